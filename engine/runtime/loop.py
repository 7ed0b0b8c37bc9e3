"""Running a coroutine to its end from ordinary code, on the fastest event loop there is.

Nothing here knows what is run.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """Run `work` and give its result, also where this thread has a running loop (a notebook).

    In that case it runs in a thread with a loop of its own; an interrupt cancels it, waits for
    it to put everything away, and is then raised again.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        with asyncio.Runner(loop_factory=_factory()) as runner:
            return runner.run(work)
    return _beside(work)


def _beside(work: Coroutine[Any, Any, Result]) -> Result:
    """The same in a thread of its own."""
    results: list[Result] = []
    errors: list[BaseException] = []
    started = threading.Event()
    handle: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]]] = []

    async def main() -> Result:
        task = asyncio.current_task()
        assert task is not None
        handle.append((asyncio.get_running_loop(), task))
        started.set()
        return await work

    def target() -> None:
        try:
            with asyncio.Runner(loop_factory=_factory()) as runner:
                results.append(runner.run(main()))
        except BaseException as error:
            errors.append(error)
        finally:
            started.set()

    thread = threading.Thread(target=target, name="atk")
    thread.start()
    try:
        thread.join()
    except KeyboardInterrupt:
        started.wait()
        with contextlib.suppress(RuntimeError):  # its loop may have closed in this moment
            for loop, task in handle:
                loop.call_soon_threadsafe(task.cancel)
        thread.join()
        raise
    if errors:
        raise errors[0]
    return results[0]


def _factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # it has no Windows build
        return None
    return uvloop.new_event_loop
