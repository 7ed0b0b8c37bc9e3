"""The extension for VS Code: its grammars colour what they should, and it packs."""

from __future__ import annotations

import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[1] / "editors" / "vscode"
MADE = ("node_modules", "out", "atk.vsix")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")
def test_the_extension_packs(tmp_path: Path) -> None:
    folder = tmp_path / "vscode"
    shutil.copytree(HOUSE, folder, ignore=shutil.ignore_patterns(*MADE))
    for command in ("npm ci --no-audit --no-fund", "npm test", "npm run package"):
        done = subprocess.run(command.split(), cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    names = set(zipfile.ZipFile(folder / "atk.vsix").namelist())
    assert {
        "extension/out/extension.js",
        "extension/syntaxes/atk.tmLanguage.json",
        "extension/syntaxes/prompt.tmLanguage.json",
        "extension/language-configuration.json",
    } <= names
    assert not any("node_modules" in name for name in names)
