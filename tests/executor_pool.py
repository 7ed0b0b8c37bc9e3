"""An executor over processes and pipes, for the tests: it shows what another executor has to do, and dies.

Each worker is `python -m tests.executor_pool`. It reads pickled batches from its input and writes pickled
answers to its output, as they come. `kill` ends a worker with SIGKILL, whatever it has in hand.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from itertools import count, cycle
from pathlib import Path
from typing import Any

from engine.language.program import ModelSpec
from engine.runtime.executors import Answer, Job, LocalExecutor, shared

ROOT = Path(__file__).resolve().parents[1]
HALT = "halt"
END = None


class Gone(Exception):
    """A worker has ended."""


class Worker:
    """One process, started at its first batch and again after it has ended."""

    def __init__(self, errors: Path, environment: Mapping[str, str]):
        self.errors, self.environment = errors, environment
        self.process: Process | None = None
        self.starting = asyncio.Lock()
        self.reading: asyncio.Task[None] | None = None
        self.batches: dict[int, asyncio.Queue[Any]] = {}
        self.numbers = count(1)
        self.seen: list[int] = []  # process ids

    async def send(self, model: ModelSpec, jobs: Sequence[Job]) -> AsyncIterator[Answer]:
        """The answers of a batch. Raises `Gone`."""
        process = await self.running()
        number = next(self.numbers)
        queue = self.batches[number] = asyncio.Queue()
        try:
            write(process.stdin, (number, model, list(jobs)))
            while True:
                answer = await queue.get()
                if isinstance(answer, Gone):
                    raise answer
                if answer is END:
                    return
                yield answer
        finally:
            del self.batches[number]

    async def running(self) -> Process:
        async with self.starting:
            if self.process is None or self.process.returncode is not None or self.reading.done():
                with self.errors.open("ab") as errors:
                    self.process = await asyncio.create_subprocess_exec(
                        *(sys.executable, "-m", "tests.executor_pool"),
                        stdin=PIPE,
                        stdout=PIPE,
                        stderr=errors,
                        cwd=ROOT,
                        env=dict(self.environment),
                        start_new_session=True,  # Ctrl-C is the driver's to hear
                    )
                self.seen.append(self.process.pid)
                self.reading = asyncio.create_task(self.read(self.process))
            return self.process

    async def read(self, process: Process) -> None:
        """Hand each answer to its batch; when the process ends, all batches hear of it."""
        try:
            while True:
                number, answer = await read(process.stdout)
                if number in self.batches:
                    self.batches[number].put_nowait(answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            await process.wait()
            for queue in self.batches.values():
                queue.put_nowait(Gone(f"worker {process.pid} ended with {process.returncode}"))

    def kill(self) -> None:
        if self.process is not None and self.process.returncode is None:
            os.kill(self.process.pid, signal.SIGKILL)

    async def close(self) -> None:
        if self.process is None:
            return
        with contextlib.suppress(ConnectionError, RuntimeError):
            self.process.stdin.close()
        try:
            await asyncio.wait_for(self.process.wait(), 5)
        except TimeoutError:
            self.kill()
            await self.process.wait()
        await self.reading


class Pool:
    """Batches are dealt out among workers; a worker that is lost takes its part of a batch with it."""

    def __init__(self, errors: Path, workers: int = 2, environment: Mapping[str, str] = os.environ):
        self.workers = [Worker(errors, environment) for _ in range(workers)]
        self.turn = cycle(self.workers)
        self.pids: list[int] = []

    async def submit(self, model: ModelSpec, jobs: Sequence[Job]) -> AsyncIterator[Answer]:
        parts: dict[Worker, list[Job]] = {}
        for job in jobs:
            parts.setdefault(next(self.turn), []).append(job)
        model = shared(model, len(self.workers))
        answers: asyncio.Queue[Any] = asyncio.Queue()

        async def follow(worker: Worker, part: list[Job]) -> None:
            try:
                async for answer in worker.send(model, part):
                    answers.put_nowait(answer)
            except Exception as error:
                answers.put_nowait(error)
            else:
                answers.put_nowait(END)

        tasks = [asyncio.create_task(follow(worker, part)) for worker, part in parts.items()]
        lost: Exception | None = None
        try:
            for _ in tasks:
                while (answer := await answers.get()) is not END:
                    if isinstance(answer, Exception):
                        lost = answer
                        break
                    yield answer
        finally:
            for task in tasks:
                task.cancel()
        if lost is not None:
            raise lost

    def halt(self) -> None:
        for worker in self.workers:
            if worker.process is not None and worker.process.returncode is None:
                write(worker.process.stdin, HALT)

    def kill(self) -> None:
        """End one worker at once."""
        self.workers[0].kill()

    async def close(self) -> None:
        for worker in self.workers:
            await worker.close()
            self.pids += worker.seen


# -- on the wire -----------------------------------------------------------------------------------


def write(stream: Any, message: object) -> None:
    data = pickle.dumps(message)
    with contextlib.suppress(ConnectionError):
        stream.write(len(data).to_bytes(8, "big") + data)


async def read(stream: asyncio.StreamReader) -> Any:
    """The next message. Raises `asyncio.IncompleteReadError` at the end."""
    size = int.from_bytes(await stream.readexactly(8), "big")
    return pickle.loads(await stream.readexactly(size))


async def work() -> None:
    """What a worker does: batches in, answers out, until its input ends."""
    loop = asyncio.get_running_loop()
    source = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(source), sys.stdin.buffer)
    executor, tasks = LocalExecutor(), set()
    output = sys.stdout.buffer

    def tell(number: int, answer: object) -> None:
        write(output, (number, answer))
        output.flush()

    async def answer(number: int, model: ModelSpec, jobs: Sequence[Job]) -> None:
        async for one in executor.submit(model, jobs):
            tell(number, one)
        tell(number, END)

    with contextlib.suppress(asyncio.IncompleteReadError):
        while True:
            message = await read(source)
            if message == HALT:
                executor.halt()
                continue
            task = asyncio.create_task(answer(*message))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
    for task in tasks:
        task.cancel()
    await executor.close()


if __name__ == "__main__":
    asyncio.run(work())
