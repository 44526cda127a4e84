"""Requests that are repeated until DynamoDB answers, or the time that they may take is over."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import TypeVar

from ..errors import TableUnavailable

START_SECONDS = 30.0

T = TypeVar("T")


def patiently(request: Callable[[], T], seconds: float = START_SECONDS) -> T:
    """Repeats a request that is safe to repeat, until DynamoDB answers or the time is over."""
    deadline = time.monotonic() + seconds
    delay = 0.1
    while True:
        try:
            return request()
        except TableUnavailable:
            if time.monotonic() >= deadline:
                raise
        time.sleep(delay * random.uniform(0.5, 1.0))
        delay = min(2.0, delay * 2)


def in_time(read: Callable[[], T], seconds: float) -> T:
    """Repeats a read as `patiently` does, and waits no longer for it, whatever the network does.

    Raises:
        TableUnavailable: The time is over.
    """
    answer: Future[T] = Future()
    failed: list[TableUnavailable] = []

    def noted() -> T:
        try:
            return read()
        except TableUnavailable as err:
            failed.append(err)
            raise

    def ask() -> None:
        try:
            answer.set_result(patiently(noted, seconds))
        except BaseException as err:
            answer.set_exception(err)

    # A connection that is not refused but never answered takes a request four seconds.
    threading.Thread(target=ask, daemon=True, name="raytracker-read").start()
    try:
        return answer.result(seconds)
    except FutureTimeout:
        said = failed[-1] if failed else f"DynamoDB did not answer within {seconds:.1f} s"
        raise TableUnavailable(str(said)) from None
