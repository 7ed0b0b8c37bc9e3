"""What people install: pins, the two commands of a checkout, and the wheel."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
import tomllib
import venv
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
RUN, TEST = (ROOT / "requirements" / name for name in ("run.txt", "test.txt"))
TOOLS = ("sh", "cat", "cmp", "cp", "mkdir", "mv", "rm", "sed", "sleep", "tail", "readlink")


def pins(path):
    """Names and versions that a file of pins holds."""
    lines = [
        line.partition(";")[0].strip() for line in path.read_text().splitlines() if not line.startswith("#")
    ]
    return dict(line.split("==") for line in lines if line)


def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def name_of(requirement):
    return re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", requirement)[0]).lower()


def test_what_runs_is_what_is_tested():
    assert pins(RUN).items() <= pins(TEST).items()


def test_pins_cover_every_declared_dependency():
    extras = [item for extra in project()["optional-dependencies"].values() for item in extra]
    assert {name_of(item) for item in project()["dependencies"]} <= pins(RUN).keys()
    assert {name_of(item) for item in [*project()["dependencies"], *extras]} <= pins(TEST).keys()


@pytest.mark.parametrize("path", [RUN, TEST], ids=lambda path: path.name)
def test_pins_are_exact_and_name_no_place(path):
    for line in path.read_text().splitlines():
        assert re.fullmatch(r"#.*|[a-z0-9-]+==[0-9][\w.]*(; sys_platform != \"win32\")?", line), line


def test_torch_leads_the_test_pins():
    assert TEST.read_text().splitlines()[1].startswith("torch==")
    assert "torch" not in pins(RUN)


# -- bin/atk ---------------------------------------------------------------------------


@pytest.fixture
def checkout(tmp_path):
    """A copy of what `bin/atk` needs of a checkout."""
    for name in ("bin", "requirements"):
        shutil.copytree(ROOT / name, tmp_path / "checkout" / name)
    return tmp_path / "checkout"


@pytest.fixture
def tools(tmp_path):
    """A folder with the few tools that any system has, and no Python."""
    folder = tmp_path / "tools"
    folder.mkdir()
    for name in TOOLS:
        (folder / name).symlink_to(shutil.which(name))
    return folder


def script(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def atk(command, *arguments, path=None, cwd=None):
    environment = {"PATH": path or os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}
    return subprocess.run(
        [str(command), *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def ready(checkout):
    """An environment that is up to date, with a Python that tells what it is asked."""
    script(
        checkout / ".venv" / "bin" / "python",
        '#!/bin/sh\nprintf "%s|" "$PWD" "$PYTHONPATH" "$@"\nexit 7\n',
    )
    shutil.copy(checkout / "requirements" / "run.txt", checkout / ".venv" / ".pins")


@pytest.mark.parametrize("way", ["plain", "link", "link to a link", "relative link"])
def test_bin_atk_hands_everything_on(checkout, tmp_path, way):
    ready(checkout)
    command = checkout / "bin" / "atk"
    if way != "plain":
        (tmp_path / "one").symlink_to("checkout/bin/atk" if way == "relative link" else command)
        command = tmp_path / "one"
    if way == "link to a link":
        (tmp_path / "two").symlink_to(command)
        command = tmp_path / "two"
    done = atk(command, "sql", "FROM a  b", cwd="/")
    assert done.stdout == f"/|{checkout}|-P|-m|engine.commands|sql|FROM a  b|"
    assert (done.returncode, done.stderr) == (7, "")


def test_bin_atk_without_python_says_what_to_do(checkout, tools):
    done = atk(checkout / "bin" / "atk", "--help", path=str(tools))
    assert done.returncode == 1
    assert done.stderr.startswith("error: atk needs Python 3.11 or newer, and none is on the PATH\nhelp: ")
    assert not (checkout / ".venv").exists()


def test_bin_atk_passes_over_a_python_that_is_too_old(checkout, tools):
    script(tools / "python3", "#!/bin/sh\nexit 1\n")
    done = atk(checkout / "bin" / "atk", "--help", path=str(tools))
    assert "needs Python 3.11" in done.stderr


@pytest.mark.parametrize(
    ("step", "message"),
    [("venv", "cannot make a virtual environment"), ("pip", "could not be installed")],
)
def test_a_failed_set_up_leaves_nothing(checkout, tools, step, message):
    pip = checkout / ".venv" / "bin" / "python"
    makes_venv = (
        f'mkdir -p "{pip.parent}"; printf "#!/bin/sh\\necho no network; exit 1\\n" >"{pip}"; chmod +x "{pip}"'
    )
    (tools / "chmod").symlink_to(shutil.which("chmod"))
    fails = "echo no ensurepip; exit 1"
    script(
        tools / "python3",
        f'#!/bin/sh\ncase "$*" in *"-m venv"*) {fails if step == "venv" else makes_venv};; esac\n',
    )
    done = atk(checkout / "bin" / "atk", "--help", path=str(tools))
    assert done.returncode == 1
    assert message in done.stderr
    assert "help: " in done.stderr
    assert sorted(path.name for path in checkout.iterdir()) == ["bin", "requirements"]


def test_a_lock_whose_holder_has_died_is_taken(checkout, tools):
    dead = subprocess.Popen(["true"])
    dead.wait()
    lock = checkout / ".venv.lock"
    lock.mkdir()
    (lock / "pid").write_text(str(dead.pid))
    script(tools / "python3", "#!/bin/sh\nexit 0\n")
    done = atk(checkout / "bin" / "atk", "--help", path=str(tools))
    assert "waiting" not in done.stderr
    assert not lock.exists()


def test_a_changed_pin_renews_the_environment(checkout, tools):
    ready(checkout)
    log = checkout / "log"
    script(checkout / ".venv" / "bin" / "python", f'#!/bin/sh\necho "$@" >>"{log}"\n')
    script(tools / "python3", "#!/bin/sh\nexit 0\n")
    (checkout / "requirements" / "run.txt").write_text("lark==9.9\n")
    done = atk(checkout / "bin" / "atk", "--help", path=str(tools))
    assert done.returncode == 0
    first, second = log.read_text().splitlines()
    assert first.startswith("-m pip install")
    assert second == "-P -m engine.commands --help"
    assert (checkout / ".venv" / ".pins").read_text() == "lark==9.9\n"


# -- the wheel -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from the project as it is, offline."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("engine", "graphs", "grammar", "prompts"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "atk.py", "LICENSE", "README.md"):
        shutil.copy(ROOT / name, source / name)
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--quiet",
            "--no-deps",
            "--no-index",
            "--no-build-isolation",
            "--wheel-dir",
            str(target),
            str(source),
        ],
        check=True,
    )
    (built,) = target.glob("atk-*.whl")
    return built


@pytest.mark.slow
def test_wheel_brings_grammar_graphs_and_prompts(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"atk.py", "engine/__init__.py", "engine/py.typed", "engine/shipped/grammar/atk.lark"} <= names
    assert {f"engine/commands/picture/page.{part}" for part in ("css", "js")} <= names
    assert "engine/commands/result/page.css" in names
    for folder in ("graphs", "prompts"):
        here = {
            f"engine/shipped/{path.relative_to(ROOT)}"
            for path in (ROOT / folder).rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }
        assert here
        assert here <= names
    assert not any(
        name.startswith(("tests/", "docs/", "requirements/")) or "__pycache__" in name for name in names
    )


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """An environment that holds the wheel and the run pins, and nothing else.

    The pinned packages are linked from the environment of the tests, so that nothing is fetched.
    """
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    (site,) = folder.glob("lib/python*/site-packages")
    for name in pins(RUN):
        distribution = metadata.distribution(name)
        tops = {file.parts[0] for file in distribution.files if file.parts[0] != ".."}
        for top in tops - {"__pycache__"}:
            if not (site / top).exists():
                (site / top).symlink_to(distribution.locate_file(top))
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "--python",
            str(folder / "bin" / "python"),
            "install",
            "--quiet",
            "--no-deps",
            "--no-index",
            str(wheel),
        ],
        check=True,
    )
    return folder / "bin" / "atk"


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments", [("--help",), ("version",), ("check", "quickstart"), ("graph", "quickstart")]
)
def test_installed_atk_works_from_any_folder(installed, tmp_path, arguments):
    done = atk(installed, *arguments, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


@pytest.mark.slow
def test_installed_atk_runs_the_quickstart(installed, tmp_path):
    done = atk(installed, "exec", "quickstart", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    written = [path for path in (tmp_path / "out").rglob("*") if path.suffix in (".jsonl", ".parquet")]
    assert written
    assert all(path.stat().st_size for path in written)
    again = atk(installed, "exec", "quickstart", cwd=tmp_path)
    assert again.returncode == 0
    assert "0 calls" in again.stdout


@pytest.mark.slow
def test_installed_atk_begins_a_project(installed, tmp_path):
    """The templates of `init` are in the wheel, with their hidden files; what it writes runs."""
    assert atk(installed, "init", "notes", cwd=tmp_path).returncode == 0
    project = tmp_path / "notes"
    assert (project / ".gitignore").is_file()
    assert list((project / ".github").rglob("*.yml"))
    for command in (("check",), ("test",), ("exec",)):
        done = atk(installed, *command, "notes.atk", cwd=project)
        assert done.returncode == 0, (command, done.stderr)
    assert (project / "out" / "sft.jsonl").stat().st_size


@pytest.mark.slow
def test_installed_atk_adds_a_shipped_graph(installed, tmp_path):
    done = atk(installed, "add", "factual", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "graphs" / "vendor" / "factual"
    assert (folder / "prompts" / "factual" / "converse.md").is_file()
    assert (folder / "lib" / "text.atk").is_file()
    assert atk(installed, "check", "graphs/vendor/factual/factual.atk", cwd=tmp_path).returncode == 0
