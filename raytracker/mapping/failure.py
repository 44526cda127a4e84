"""What a task fails with, and how that gets to whoever maps."""

from __future__ import annotations

import inspect
from typing import Any

import ray

from ..errors import TaskFailed
from ..ledger import reason_of


class ProcessSpoiled(Exception):
    """The process that raised it can do no more; what it was at is to be done in another."""


def portable(error: Exception) -> Exception:
    """Returns the exception of a task as it can travel to the driver: itself, where it can."""
    try:
        str(ray.cloudpickle.loads(ray.cloudpickle.dumps(error)))
    except Exception:  # one may fail at whatever it takes to pack it, unpack it or show it
        return TaskFailed(reason_of(error)).with_traceback(error.__traceback__)
    return error


def cause_of(error: BaseException) -> BaseException:
    """Returns what a task raised, without Ray's wrapping; else Ray's own error."""
    while isinstance(cause := getattr(error, "cause", None), BaseException):
        error = cause  # a task may fail by another's failure
    if isinstance(error, ray.exceptions.UnserializableException):
        return TaskFailed(str(error).strip().splitlines()[-1])  # the traceback's last line
    return error


def check_result(result: Any) -> None:
    """Does nothing for what a task may return.

    Raises:
        TypeError: It is the promise of a result, which nobody would redeem.
    """
    if inspect.isgenerator(result) or inspect.isasyncgen(result):
        raise TypeError("the task returned a generator, of which nothing has run: return a list")
    if inspect.iscoroutine(result):
        raise TypeError("the task returned a coroutine, which has not run: use asyncio.run(...)")
