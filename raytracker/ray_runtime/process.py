"""Which kind of process this is, what runs in it, and when Ray may end it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import ray

# Not ray.get_runtime_context: like all of Ray's public calls that starts a Ray where none is.
from ray.runtime_context import get_runtime_context


def in_worker() -> bool:
    """Whether this process is a worker of the cluster, not a driver."""
    return bool(get_runtime_context().worker.mode == ray.WORKER_MODE)


def job_name() -> str:
    """Returns the id of the Ray job that this process belongs to, in hex; empty without one."""
    worker = get_runtime_context().worker
    # Ray Client's stands in for one that is connected.
    return str(worker.current_job_id.hex()) if getattr(worker, "connected", True) else ""


def in_actor() -> bool:
    """Whether this process is an actor's."""
    return in_worker() and bool(get_runtime_context().worker.actors)


def this_actor() -> Any:
    """Returns a handle of the actor that this process is.

    Raises:
        RuntimeError: It is none.
    """
    return get_runtime_context().current_actor


def in_async_loop() -> bool:
    """Whether an event loop runs in this thread, such as an async actor's: it must not wait."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def may_end() -> bool:
    """Whether Ray may end this process as soon as the call that runs in it has returned.

    It may end an actor's at any time, and a worker's after so many calls of a function with
    `max_calls`, which `num_gpus` implies. The latter is so for all that runs in a worker that has
    met such a function: what other calls told must be out of the process by then, too.
    """
    global _met
    worker = get_runtime_context().worker
    if worker.mode != ray.WORKER_MODE:
        return False
    functions = worker.function_actor_manager._function_execution_info
    if len(functions) != _met[0]:  # asked by each report: it must cost nothing
        _met = len(functions), any(function.max_calls for function in list(functions.values()))
    return _met[1] or bool(worker.actors)


_met = 0, False


def before_actor_ends(function: Callable[[], object]) -> bool:
    """Has Ray call a function before this actor's process ends in order; returns whether it will.

    It does when the last handle goes, at `__ray_terminate__`, `exit_actor` and SIGTERM; not at
    `ray.kill`.
    """
    worker = get_runtime_context().worker
    instance = worker.actors.get(worker.actor_id)
    own = getattr(instance, "__ray_shutdown__", None)

    def shutdown() -> None:
        try:
            if own is not None:
                own()
        finally:
            function()

    try:
        instance.__ray_shutdown__ = shutdown
    except AttributeError:  # there is none yet
        return False
    return True


def attempt_number() -> int:
    """Returns how often Ray has tried the running task before; 0 outside of tasks."""
    if not in_worker():
        return 0
    worker = get_runtime_context().worker
    # Ray has no public call for it.
    return int(worker.core_worker.get_current_task_attempt_number())


def running_attempt() -> tuple[str, int] | None:
    """Returns the id of the task that this thread runs, in hex, and which attempt of it that is.

    None where there is none, as in a driver, or in a thread that a task started; and in an async
    actor, where Ray tells its methods apart, but not their attempts.
    """
    if not in_worker():
        return None
    worker = get_runtime_context().worker
    if in_async_loop() and worker.core_worker.current_actor_is_asyncio():
        return None
    task = worker.current_task_id
    # In a thread of its own it is a new one, of no actor, with every look.
    mine = task.actor_id().hex()[:_ACTOR_DIGITS] == worker.actor_id.hex()[:_ACTOR_DIGITS]
    return (task.hex(), attempt_number()) if mine else None


_ACTOR_DIGITS = 24  # before the job's, which a task of no actor has, and its worker's nil has not
