"""Database servers of the tests' own: each in a folder of its own, on this machine only, for one module.

Where a server is not installed, what needs it is skipped. Neither runs as root, so there the account that
the package made is used.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PASSWORD = "s3cret-" + "of/the@server"
USER = "reader"


def _program(*names: str, under: str = "") -> str:
    places = [shutil.which(name) for name in names]
    places += [str(one) for name in names for one in sorted(Path("/usr").glob(under.format(name)))[-1:]]
    found = next((one for one in places if one), None)
    if found is None:
        pytest.skip(f"no {names[0]} here")
    return found


def _as(user: str, *command: object) -> list[str]:
    """A command as it is run by an account that is not root's."""
    before = ["runuser", "-u", user, "--"] if os.geteuid() == 0 else []
    return [*before, *map(str, command)]


def _done(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, cwd="/", timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@contextlib.contextmanager
def _folder(user: str) -> Iterator[Path]:
    """A folder of that account, with a short path: a socket lies in it."""
    folder = Path(tempfile.mkdtemp(prefix="atk-"))
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, user)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextlib.contextmanager
def postgres() -> Iterator[tuple[str, Any]]:
    """The address of a Postgres server, and what executes statements there."""
    pytest.importorskip("adbc_driver_postgresql")
    under = "lib/postgresql/*/bin/{}"
    initdb, control = _program("initdb", under=under), _program("pg_ctl", under=under)
    from adbc_driver_postgresql import dbapi

    with _folder("postgres") as folder:
        port, data, boss = free_port(), folder / "data", f"boss@/postgres?host={folder}"
        _done(*_as("postgres", initdb, "-D", data, "-A", "trust", "-U", "boss", "--no-sync", "-E", "UTF8"))
        known = f"local all boss trust\nhost all {USER} 127.0.0.1/32 scram-sha-256\n"
        (data / "pg_hba.conf").write_text(known)
        options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        _done(*_as("postgres", control, "-D", data, "-w", "-l", folder / "log", "-o", options, "start"))
        try:
            with dbapi.connect(f"postgresql://{boss}&port={port}", autocommit=True) as connection:

                def execute(*statements: str) -> None:
                    with connection.cursor() as cursor:
                        for statement in statements:
                            cursor.execute(statement)

                execute(
                    f"CREATE USER {USER} PASSWORD '{PASSWORD}'",
                    f"ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO {USER}",
                )
                yield f"postgresql://{USER}@127.0.0.1:{port}/postgres", execute
        finally:
            _done(*_as("postgres", control, "-D", data, "-m", "immediate", "stop"))


@contextlib.contextmanager
def mysql() -> Iterator[tuple[str, Any]]:
    """The address of a MariaDB server, and what executes statements there."""
    pymysql = pytest.importorskip("pymysql")
    install = _program("mariadb-install-db", under="bin/{}")
    server = _program("mariadbd", under="sbin/{}")
    with _folder("mysql") as folder:
        port, data, where = free_port(), folder / "data", folder / "socket"
        _done(
            *_as(
                "mysql",
                install,
                "--no-defaults",
                f"--datadir={data}",
                "--skip-test-db",
                "--auth-root-authentication-method=normal",
            )
        )
        options = [f"--datadir={data}", f"--socket={where}", f"--port={port}", "--bind-address=127.0.0.1"]
        running = subprocess.Popen(
            _as("mysql", server, "--no-defaults", *options, f"--pid-file={folder}/pid"),
            cwd="/",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            until = time.monotonic() + 60
            while not where.exists():
                assert running.poll() is None
                assert time.monotonic() < until
                time.sleep(0.05)
            connection = pymysql.connect(unix_socket=str(where), user="root", autocommit=True)

            def execute(*statements: str) -> None:
                with connection.cursor() as cursor:
                    for statement in statements:
                        cursor.execute(statement)

            execute(
                "CREATE DATABASE facts CHARACTER SET utf8mb4",
                f"CREATE USER {USER}@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'",
                f"GRANT ALL ON *.* TO {USER}@'127.0.0.1'",
                "USE facts",
            )
            with contextlib.closing(connection):
                yield f"mysql://{USER}@127.0.0.1:{port}/facts", execute
        finally:
            running.terminate()
            running.wait(60)
