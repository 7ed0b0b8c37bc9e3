"""The module `atk`: its names, their documentation, its weight, and its use beside a running loop."""

from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import atk
from engine.runtime.loop import run

ROOT = Path(__file__).resolve().parent.parent
HEAVY = (
    "duckdb",
    "pyarrow",
    "aiohttp",
    "openai",
    "tokenizers",
    "datasketch",
    "numpy",
    "lark",
    "networkx",
    "rich",
)


def test_exported_names_are_these_and_sorted():
    assert atk.__all__ == sorted(atk.__all__)
    assert atk.__all__ == [
        "GraphError",
        "NodePlan",
        "NodeProgress",
        "Plan",
        "Summary",
        "connect",
        "execute",
        "plan",
    ]
    assert all(hasattr(atk, name) for name in atk.__all__)


def test_nothing_else_looks_public():
    ours = {
        name
        for name, value in vars(atk).items()
        if not name.startswith("_") and inspect.getmodule(value) is atk and callable(value)
    }
    assert ours <= set(atk.__all__)


@pytest.mark.parametrize("name", atk.__all__)
def test_every_name_is_documented(name):
    assert inspect.getdoc(getattr(atk, name))


@pytest.mark.parametrize("name", ["plan", "execute", "connect"])
def test_every_function_is_typed(name):
    signature = inspect.signature(getattr(atk, name))
    assert signature.return_annotation is not inspect.Signature.empty
    assert all(found.annotation is not inspect.Parameter.empty for found in signature.parameters.values())


def test_import_is_cheap():
    code = f"import sys, atk; print(sorted(set({HEAVY!r}) & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd="/",
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", "a"),
        (3, "3"),
        (0.5, "0.5"),
        (True, "true"),
        (None, "null"),
        (["a", "b"], '["a", "b"]'),
        (Path("x/y"), "x/y"),
        ({"a": "ä"}, '{"a": "ä"}'),
    ],
)
def test_values_as_the_command_line_has_them(value, text):
    assert atk._as_text(value) == text


async def answer():
    await asyncio.sleep(0)
    return threading.current_thread()


def test_run_uses_this_thread_where_no_loop_runs():
    assert run(answer()) is threading.current_thread()


def test_run_goes_beside_a_running_loop():
    async def notebook():
        return run(answer())

    assert asyncio.run(notebook()) is not threading.current_thread()


def test_an_error_beside_a_running_loop_is_raised_here():
    async def broken():
        raise ValueError("as it was")

    async def notebook():
        run(broken())

    with pytest.raises(ValueError, match="as it was"):
        asyncio.run(notebook())


def test_an_interrupt_beside_a_running_loop_puts_everything_away(monkeypatch):
    tidied = threading.Event()
    begun = threading.Event()

    async def work():
        begun.set()
        try:
            await asyncio.sleep(60)
        finally:
            tidied.set()

    real = threading.Thread.join
    interrupts = iter([True])

    def join(thread, timeout=None):
        if thread.name == "atk" and next(interrupts, False):
            begun.wait()
            raise KeyboardInterrupt
        return real(thread, timeout)

    monkeypatch.setattr(threading.Thread, "join", join)

    async def notebook():
        run(work())

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(notebook())
    assert tidied.is_set()
