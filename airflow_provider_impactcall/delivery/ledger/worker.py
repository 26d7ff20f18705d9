"""Does the blocking work of an event loop, one job after the other."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

_Job = TypeVar("_Job")


class Worker(Protocol[_Job]):
    """Does jobs in the order in which they are handed to it. Used once, by one event loop."""

    def start(self, work: Callable[[_Job | None], Any], done: Callable[[_Job, Any], None], idle: float) -> None:
        """Begin.

        :param work: called with each job, and with None after ``idle`` seconds without a job; may block, never raises
        :param done: called on the event loop with each job and the result of ``work``
        :param idle: seconds
        """

    def hand(self, job: _Job) -> None:
        """Add a job to the queue."""

    async def stop(self) -> None:
        """Wait until all jobs that were handed over are done."""


class ThreadWorker(Generic[_Job]):
    """Does the jobs in a thread, which goes on while the event loop is busy.

    :param name: the thread's
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: queue.SimpleQueue[tuple[_Job] | None] = queue.SimpleQueue()

    def start(self, work: Callable[[_Job | None], Any], done: Callable[[_Job, Any], None], idle: float) -> None:
        """As :meth:`Worker.start` says."""
        loop = asyncio.get_running_loop()

        def run() -> None:
            while True:
                try:
                    handed = self._jobs.get(timeout=idle)
                except queue.Empty:
                    work(None)
                    continue
                if handed is None:
                    return
                (job,) = handed
                loop.call_soon_threadsafe(done, job, work(job))

        self._thread = threading.Thread(target=run, name=self._name, daemon=True)
        self._thread.start()

    def hand(self, job: _Job) -> None:
        """As :meth:`Worker.hand` says."""
        self._jobs.put((job,))

    async def stop(self) -> None:
        """As :meth:`Worker.stop` says."""
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)
