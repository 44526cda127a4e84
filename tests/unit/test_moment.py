"""Where a report may call an actor and wait, and where it must not."""

from __future__ import annotations

import functools
import gc
import os
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from raytracker.reporter.moment import may_call

seen: list[bool] = []


def look() -> None:
    seen.append(may_call())


@pytest.fixture(autouse=True)
def nothing_seen() -> None:
    seen.clear()


def handler(number: int, frame: FrameType | None) -> None:
    look()


class Handler:
    def method(self, number: int, frame: FrameType | None) -> None:
        look()

    def __call__(self, number: int, frame: FrameType | None) -> None:
        look()


def test_ordinary_code_may_call() -> None:
    """In the main thread, and in others."""
    look()
    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [True, True]


@pytest.mark.parametrize(
    "installed",
    [handler, Handler().method, Handler(), functools.partial(functools.partial(handler))],
)
def test_a_signal_handler_may_not(installed: Callable[..., Any]) -> None:
    """Whatever kind of callable it is; what comes after it may again."""
    before = signal.signal(signal.SIGUSR1, installed)
    try:
        os.kill(os.getpid(), signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)
    look()
    assert seen == [False, True]


def test_what_is_called_at_collection_may_not() -> None:
    """A `__del__`, also one that calls others; a finalizer."""

    class Dying:
        def __del__(self) -> None:
            look()

    Dying()
    cycle = Handler()
    weakref.finalize(cycle, look)
    cycle.itself = cycle  # type: ignore[attr-defined]
    del cycle
    gc.collect()
    assert seen == [False, False]


def test_what_is_called_at_exit_may_not() -> None:
    """The interpreter ends, and Ray with it."""
    code = """
import atexit
from raytracker.reporter.moment import may_call
atexit.register(lambda: print(may_call()))
print(may_call())
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.split() == ["True", "False"]
