"""Keep a store of the present version, so that later ones are held to read it.

    python tests/stores/make.py

To be run once for each version of the schema, with the code that first has it, and never again: what
lies here is what users have.
"""

from __future__ import annotations

import asyncio
import gzip
import shutil
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))


def main() -> None:
    """Run the project beside this file and keep its store."""
    from engine.runtime import execute, load
    from engine.runtime.engine import Options
    from engine.store.schema import MIGRATIONS

    kept = HERE / f"version-{len(MIGRATIONS)}.duckdb.gz"
    if kept.exists():
        sys.exit(f"{kept.name} is there already, and stays as it is")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name in ("graph.atk", "inputs", "prompts"):
            copy = shutil.copytree if (HERE / name).is_dir() else shutil.copy
            copy(HERE / name, root / name)
        store = root / "store.duckdb"
        asyncio.run(execute(load("graph.atk", root=root), Options(root=root, store=store, out=root)))
        kept.write_bytes(gzip.compress(store.read_bytes(), mtime=0))


if __name__ == "__main__":
    main()
