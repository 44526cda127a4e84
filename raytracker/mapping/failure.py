"""What a task fails with, and how that gets to whoever maps."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import ray
from ray import exceptions as rays

from ..errors import TaskFailed
from ..ledger import (
    CANCELLED,
    NODE_LOST,
    OUT_OF_MEMORY,
    WORKER_DIED,
    Span,
    reason_of,
)
from ..ray_runtime import died_with_node

_TOLD = "_raytracker_told"
# What no task can say of itself, as the class of Ray's error. Torch has an OutOfMemoryError as
# well; that is raised by a task, and stays what it is.
_OF_RAY = (
    (rays.OutOfMemoryError, OUT_OF_MEMORY),
    (rays.TaskCancelledError, CANCELLED),
    (rays.NodeDiedError, NODE_LOST),
    (rays.LocalRayletDiedError, NODE_LOST),
    (rays.WorkerCrashedError, WORKER_DIED),
    (rays.RayActorError, WORKER_DIED),
)


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


def failed_by(error: BaseException) -> str:
    """Returns why a task failed, as a reason whose first words are its class.

    Args:
        error: What `cause_of` returned.
    """
    reason = reason_of(error)
    if died_with_node(error):
        return f"{NODE_LOST}: {reason}"
    word = next((word for kind, word in _OF_RAY if isinstance(error, kind)), None)
    return f"{word}: {reason}" if word else reason


def carrying(error: Exception, run: object, told: Sequence[Span]) -> Exception:
    """Returns the exception of a task with the successes that the task told before.

    The driver's error of that task may settle the image when the actor which knew of them has died,
    and the worker has not told the next one yet. With few exceptions they get lost on the way.

    Args:
        error: As it travels.
        run: What names the run.
        told: The successes.
    """
    if told:
        with suppress(Exception):
            vars(error)[_TOLD] = run, told
    return error


def carried_by(error: BaseException, run: object) -> Sequence[Span]:
    """Returns what `carrying` gave to the exception of a task of this run."""
    found = getattr(error, "__dict__", {}).pop(_TOLD, None)
    return found[1] if found is not None and found[0] == run else ()


def check_result(result: Any) -> None:
    """Does nothing for what a task may return.

    Raises:
        TypeError: It is the promise of a result, which nobody would redeem.
    """
    if inspect.isgenerator(result) or inspect.isasyncgen(result):
        raise TypeError("the task returned a generator, of which nothing has run: return a list")
    if inspect.iscoroutine(result):
        raise TypeError("the task returned a coroutine, which has not run: use asyncio.run(...)")
