"""What SIGINT (Ctrl-C) and SIGTERM do to the command, whatever it is at."""

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
_NUMBERS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(Exception):
    """A signal asks for the end; `number` says which."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


class Terminated(KeyboardInterrupt):
    """SIGTERM came, where Ctrl-C would be a KeyboardInterrupt."""


class Signals:
    """What both signals do inside the block: they break off what is done, or wait.

    Ray puts other handlers in their place while it connects, and while it shuts down: meanwhile,
    and after that, one of the methods is to be called again. Where they wait at the block's end,
    they do nothing from then on: all is done, and the process ends with its own status.
    """

    def __init__(self) -> None:
        self._before: dict[int, Any] = {}
        self._came: int | None = None
        self._wait = False

    def __enter__(self) -> Signals:
        self._before = {number: signal.getsignal(number) for number in _NUMBERS}
        self.breaking_off()
        return self

    def __exit__(self, *_: object) -> None:
        # Python puts handlers of its own away before it ends, but not this one.
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_IGN if self._wait else handler)

    def breaking_off(self) -> None:
        """Has them raise KeyboardInterrupt, SIGTERM its subclass; also one that came before."""
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, _terminate)
        self._wait = False
        if (came := self._came) is not None:
            self._came = None
            signal.raise_signal(came)

    def waiting(self) -> None:
        """Has the first do nothing yet; the second ends the process at once."""
        signal.alarm(0)  # by which Ray's handler in C++ aborts the process three seconds later
        self._wait = True
        for number in _NUMBERS:
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._came is not None:
            os._exit(128 + number)
        self._came = number


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated


class Interruptible(Generic[T]):
    """A call in a thread of its own, while the main thread waits for it or for a signal.

    Inside the block, the first SIGINT or SIGTERM makes `result` raise Interrupted and leaves the
    work as it is: what to do about it can be done in peace. The second ends the process at once.

    Args:
        call: The work.
        then: What is called at the block's end, in place of putting the handlers back.
    """

    def __init__(self, call: Callable[[], T], then: Callable[[], None] | None = None) -> None:
        self._call = call
        self._then = then
        self._future: Future[T] = Future()
        # Unlike an Event or a Condition, it may be put to in a signal handler.
        self._news: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._signalled = False
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> Interruptible[T]:
        for number in _NUMBERS:
            self._handlers[number] = signal.signal(number, self._on_signal)
        threading.Thread(target=self._run, daemon=True, name="raytracker-work").start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._then is not None:
            self._then()
            return
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
