"""pyarrow without pandas.

The first array that pyarrow makes imports pandas, where it is installed, only to see whether it was
given one of its columns: 0.35 s and 50 MB of every run that writes. Here it does not find pandas that
once. A later `to_pandas` imports it all the same (`_PandasAPIShim` in pyarrow's pandas-shim.pxi).
"""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from typing import Any

import pyarrow as pyarrow


class _Hiding(MetaPathFinder):
    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:
        if fullname == "pandas":
            raise ModuleNotFoundError(fullname, name=fullname)
        return None


if "pandas" not in sys.modules:
    _hiding = _Hiding()
    sys.meta_path.insert(0, _hiding)
    try:
        pyarrow.array([])
    finally:
        sys.meta_path.remove(_hiding)
