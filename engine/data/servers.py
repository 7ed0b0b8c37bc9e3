"""Rows of a database that a server keeps: what of it is one for every server.

An address names no password: that is in an environment variable, which is read when the server is asked
and goes nowhere else. How a server is asked is for `postgres` and `mysql`.
"""

from __future__ import annotations

import importlib.util
import os
import re
import time
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from engine.data.databases import DatabaseProblem, Rows
from engine.frozen import dataclass

POSTGRES, MYSQL = "postgres", "mysql"  # also the names of the extras that bring what is needed
SCHEMES = {"postgresql": POSTGRES, "postgres": POSTGRES, "mysql": MYSQL, "mariadb": MYSQL}
NEEDED = {POSTGRES: "adbc_driver_postgresql", MYSQL: "pymysql"}
OWN = {POSTGRES: "PGPASSWORD", MYSQL: "MYSQL_PWD"}  # where their own programs look for a password
TIMEOUT = 10  # seconds until it is said that nobody is there
_ADDRESS = re.compile(rf"({'|'.join(SCHEMES)})://", re.IGNORECASE)
_PASSWORD = re.compile(r"pass(word|wd|phrase)?|pwd|sslpassword", re.IGNORECASE)


class AddressProblem(Exception):
    """An address that cannot be used. The message does not repeat it: it may hold a password."""

    def __init__(self, message: str, help: str):
        super().__init__(message)
        self.message, self.help = message, help


@dataclass(frozen=True)
class Server:
    """A database of a server: its address, and the environment variable that holds the password."""

    address: str
    secret: str | None = None

    @property
    def sort(self) -> str:
        return SCHEMES[self.address.partition(":")[0].lower()]

    @property
    def name(self) -> str:
        """What it is called in messages and in the ids of rows: without the user and the options."""
        parts = urlsplit(self.address)
        return f"{self.sort}://{parts.netloc.rpartition('@')[2]}{parts.path}"

    @property
    def password(self) -> str | None:
        return os.environ.get(self.secret or OWN[self.sort]) or None

    def signature(self) -> list[Any]:
        """Never the same: no server says cheaply whether a table has changed, so it is read each time."""
        return ["server", self.name, time.time_ns()]

    def ready(self) -> None:
        """Whether all is there to ask it. Raises `DatabaseProblem`."""
        if importlib.util.find_spec(NEEDED[self.sort]) is None:
            raise DatabaseProblem(
                f"reading {self.name} needs the package {NEEDED[self.sort]}, which is not installed",
                f"pip install 'atk[{self.sort}]'",
            )
        if self.secret is not None and not os.environ.get(self.secret):
            raise DatabaseProblem(f"the secret {self.secret} is not set", f"export {self.secret}=…")

    def rows(self, wanted: Rows) -> Iterator[dict[str, Any]]:
        """The rows of a table, or of a query in its order. Raises `DatabaseProblem`."""
        self.ready()
        if self.sort == POSTGRES:
            from engine.data import postgres as asked
        else:
            from engine.data import mysql as asked  # type: ignore[no-redef]
        return asked.rows(self, wanted)

    def without_password(self, said: str) -> str:
        """One line of what a server or a library said; should it hold the password, without it."""
        line = next((" ".join(line.split()) for line in said.splitlines() if line.strip()), "")
        return line.replace(self.password, "***") if self.password else line

    def refused(self) -> str:
        """What to do where a server does not let us in."""
        if self.secret is not None:
            return f"set {self.secret} to the password that is valid there, and see to the user's name"
        if os.environ.get(OWN[self.sort]):
            return f"set {OWN[self.sort]} to the password that is valid there, and see to the user's name"
        return 'put the password into an environment variable and write password = secret("NAME")'


def named(path: str) -> bool:
    """Whether a path is the address of a server."""
    return _ADDRESS.match(path) is not None


def server(address: str, secret: str | None) -> Server:
    """The server of an address. Raises `AddressProblem`."""
    help = "postgresql://user@host:5432/database or mysql://user@host:3306/database"
    try:
        parts = urlsplit(address)
        options: Mapping[str, str] = dict(parse_qsl(parts.query))
    except ValueError:
        raise AddressProblem("`path` is no address of a database", help) from None
    login, _, _ = parts.netloc.rpartition("@")
    # One that is not escaped may hold any of the characters that end the name of the host.
    if ":" in login or any(map(_PASSWORD.fullmatch, options)) or "@" in parts.path + parts.query:
        raise AddressProblem(
            "a password is not written into an address",
            'put it into an environment variable and write password = secret("NAME")',
        )
    return Server(address, secret)
