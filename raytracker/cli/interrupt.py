"""Interruptible that Ctrl-C does not break off in the middle."""

from __future__ import annotations

import os
import queue
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError  # its own before Python 3.11
from types import FrameType, TracebackType
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Interrupted(Exception):
    """A signal asks for the end; `number` says which."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


class Interruptible(Generic[T]):
    """A call in a thread of its own, while the main thread waits for it or for a signal.

    Inside the block, the first SIGINT or SIGTERM makes `result` raise Interrupted and leaves the
    work as it is: what to do about it can be done in peace. The second ends the process at once.

    Args:
        call: The work.
    """

    def __init__(self, call: Callable[[], T]) -> None:
        self._call = call
        self._future: Future[T] = Future()
        # Unlike an Event or a Condition, it may be put to in a signal handler.
        self._news: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._signalled = False
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> Interruptible[T]:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._handlers[number] = signal.signal(number, self._on_signal)
        threading.Thread(target=self._run, daemon=True, name="raytracker-work").start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def result(self) -> T:
        """Waits for the work's end, and returns what it returned or raises what it raised.

        Raises:
            Interrupted: A signal came first.
        """
        number = self._news.get()
        if number is not None:
            raise Interrupted(number)
        return self._future.result()

    @property
    def ended(self) -> bool:
        """Whether the work has ended."""
        return self._future.done()

    def join(self, timeout: float) -> bool:
        """Waits for the work's end, at most some seconds; returns whether it came."""
        try:
            self._future.exception(timeout)
        except FutureTimeoutError:
            return False
        return True

    def _run(self) -> None:
        try:
            self._future.set_result(self._call())
        except BaseException as err:
            self._future.set_exception(err)
        self._news.put(None)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._signalled:
            os._exit(128 + number)
        self._signalled = True
        self._news.put(number)
