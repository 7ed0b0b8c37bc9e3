"""Write `run.txt` and `test.txt` beside this file: every package, direct or not, at one version.

    python requirements/pin.py            # newest versions that go together
    python requirements/pin.py --keep     # as pinned now, resolving only what pyproject.toml added

What is tested is what runs: the run pins are resolved with the test pins as constraints. Uses
pip alone (`--dry-run --report`), so it asks whatever index pip is configured for and writes
neither hosts nor paths.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
HEAD = "# Made by `python requirements/pin.py` from pyproject.toml. Do not edit: run it again.\n"

# Tested together; their own bounds would let pip choose newer ones that are not.
HELD = (
    "torch==2.13.0",
    "transformers==5.23.0",
    "tokenizers==0.23.3",
    "trl==1.16.0",
    "peft==0.21.2",
    "accelerate==1.15.0",
    "datasets==5.2.0",
    "pyarrow==26.0.1",
    "dspy==3.4.1",
    "openai==2.54.0",
    "pydantic==2.14.3",
    "duckdb==2.0.0",
    "lark==1.3.1",
    "jinja2==3.1.6",
    "networkx==3.6.1",
)


def resolve(wanted: list[str], constraints: list[str]) -> dict[str, str]:
    """Names and versions of all that pip would install into an empty environment."""
    with tempfile.TemporaryDirectory() as folder:
        limits, report = Path(folder, "limits.txt"), Path(folder, "report.json")
        limits.write_text("\n".join(constraints) + "\n")
        subprocess.run(
            [
                sys.executable,
                "-m",
                "pip",
                "install",
                "--quiet",
                "--dry-run",
                "--ignore-installed",
                "--report",
                str(report),
                "--constraint",
                str(limits),
                *wanted,
            ],
            check=True,
        )
        found = json.loads(report.read_text())["install"]
    pairs = ((item["metadata"]["name"], item["metadata"]["version"]) for item in found)
    return {re.sub(r"[-_.]+", "-", name).lower(): version.partition("+")[0] for name, version in pairs}


def line(name: str, version: str) -> str:
    """One pin. uvloop has no Windows build; torch's own pins cover its CUDA packages."""
    return f"{name}=={version}" + ('; sys_platform != "win32"' if name == "uvloop" else "")


def write(path: Path, pins: dict[str, str], first: str | None = None) -> None:
    """torch leads its file, for `requirements/install` puts it in first, in a step of its own."""
    names = sorted(pins, key=lambda name: (name != first, name))
    path.write_text(HEAD + "".join(line(name, pins[name]) + "\n" for name in names), encoding="utf-8")
    print(f"{path.name}: {len(pins)} packages")


def pinned(path: Path) -> list[str]:
    """The pins that a file holds now, without markers."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [text.partition(";")[0].strip() for text in lines if text and not text.startswith("#")]


def main() -> None:
    project = tomllib.loads((HERE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    optional = project["optional-dependencies"]
    # Both are light, and neither `atk lsp` nor reading a PDF should need a second set-up.
    run = [*project["dependencies"], *optional["editor"], *optional["documents"]]
    extras = [item for extra in optional.values() for item in extra]
    held = pinned(HERE / "test.txt") if "--keep" in sys.argv[1:] else list(HELD)
    test = resolve([*run, *extras], held)
    write(HERE / "test.txt", test, first="torch")
    write(HERE / "run.txt", resolve(run, [f"{name}=={version}" for name, version in test.items()]))


if __name__ == "__main__":
    main()
