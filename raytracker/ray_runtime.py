"""Which cluster this is, which kind of process, and what Ray has no public name for.

Ray's private corners stand here and nowhere else; tests/integration/test_ray_runtime.py has a test
for each, which says what is relied on.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Collection
from typing import Any

import ray
from ray._private import ray_constants

from .errors import ForkedProcess, RayNotInitialized

_connected_at_fork = False
_forked_from: int | None = None  # the process whose connection this one seems to have


def _before_fork() -> None:
    global _connected_at_fork
    _connected_at_fork = ray.is_initialized()


def _after_fork_in_child() -> None:
    global _forked_from
    _forked_from = os.getppid() if _connected_at_fork else None


os.register_at_fork(before=_before_fork, after_in_child=_after_fork_in_child)


def check_not_forked() -> None:
    """Does nothing but in a process that was forked from one that was connected to a cluster.

    Such a process looks connected, and hangs or breaks the connection of its parent when it uses
    it; of Ray's threads it has none.

    Raises:
        ForkedProcess: It was.
    """
    if _forked_from is not None:
        raise ForkedProcess(
            f"process {os.getpid()} was forked from {_forked_from}, which is connected to "
            "Ray, and cannot use that connection: report in the parent, or start processes with "
            "the spawn method (multiprocessing.get_context('spawn'); for a torch DataLoader "
            "multiprocessing_context='spawn')"
        )


def is_connected() -> bool:
    """Whether this process is connected to a cluster.

    Raises:
        ForkedProcess: Its parent is, and forked it.
    """
    check_not_forked()
    return bool(ray.is_initialized())


def check_connected() -> None:
    """Does nothing in a process that is connected to a cluster.

    Raises:
        ForkedProcess: Its parent is, and forked it.
        RayNotInitialized: It is not.
    """
    if not is_connected():
        raise RayNotInitialized("Ray is not running in this process: call ray.init() first")


def cluster() -> tuple[str, str]:
    """Returns what tells the cluster, and this process's connection to it, from any other.

    Raises:
        ForkedProcess: Its parent is, and forked it.
        RayNotInitialized: This process is connected to none.
    """
    check_connected()
    context = ray.get_runtime_context()
    return context.get_node_id(), context.get_job_id()


def runtime_environment() -> str:
    """Returns the `runtime_env` of this process, as text: equal for equal ones.

    An actor that this process starts inherits it. What a package or a folder holds is in it, too:
    Ray names them by their contents.
    """
    check_connected()
    text = ray.get_runtime_context().get_runtime_env_string()
    return json.dumps(json.loads(text or "{}"), sort_keys=True)  # a driver's has other spaces


def node_address() -> str:
    """Returns the address of this process's node, as Ray's own messages name it."""
    return str(ray.util.get_node_ip_address())


def head_node() -> str | None:
    """Returns the id of the cluster's head node; None where Ray shows none."""
    for node in ray.nodes():
        if node["Alive"] and "node:__internal_head__" in node["Resources"]:
            return str(node["NodeID"])
    return None


def actor_state(handle: Any) -> str | None:
    """Returns what Ray says of an actor, such as PENDING_CREATION, and where it is.

    None where it says nothing: under Ray Client, or when its head node does not answer.
    """
    from ray._private.state import state  # the public one asks a dashboard, which may not run

    try:
        found = state.actor_table(handle._actor_id.hex())
        name, address, pid = found["State"], found["Address"]["IPAddress"], found["Pid"]
    except Exception:  # whatever it is, it must not hide what made somebody ask
        return None
    return f"{name} on node {address}, process {pid}" if address else str(name)


def in_worker() -> bool:
    """Whether this process is a worker of the cluster, not a driver."""
    return bool(ray.get_runtime_context().worker.mode == ray.WORKER_MODE)


def in_local_mode() -> bool:
    """Whether the whole cluster is this process."""
    # Ray 2.54 took local mode away, and later its constant.
    return bool(ray.get_runtime_context().worker.mode == getattr(ray, "LOCAL_MODE", None))


def attempt_number() -> int:
    """Returns how often Ray has tried the running task before; 0 outside of tasks."""
    if not in_worker():
        return 0
    worker = ray.get_runtime_context().worker
    # Ray has no public call for it.
    return int(worker.core_worker.get_current_task_attempt_number())


def attempts_of(tasks: Collection[str]) -> dict[str, dict[int, bool]]:
    """Returns what Ray knows of tasks: for each, its attempts, and whether each has ended.

    Owners tell the head node once a second. It keeps the last 100,000 tasks, and all of them travel
    here, which takes seconds then. Of a task that it has forgotten or was never told of, nothing is
    known.

    Args:
        tasks: The tasks' ids, in hex.
    """
    # The public state API asks a dashboard, which may not run, and needs packages that may not be.
    from ray._private.state import state
    from ray.core.generated import common_pb2, gcs_pb2

    statuses = common_pb2.TaskStatus  # type: ignore[attr-defined]
    ends = {statuses.Value(name) for name in ("FINISHED", "FAILED")}
    ids = {bytes.fromhex(task): task for task in tasks}
    known: dict[str, dict[int, bool]] = {}
    for event in state._connect_and_get_accessor().get_task_events():
        if not any(id_ in event for id_ in ids):
            continue  # to parse them all would take longer than to get them
        told = gcs_pb2.TaskEvents.FromString(event)  # type: ignore[attr-defined]
        task = ids.get(told.task_id)
        if task is not None and told.HasField("state_updates"):
            ended = any(status in ends for status in told.state_updates.state_ts_ns)
            known.setdefault(task, {})[told.attempt_number] = ended
    return known


def unwrap(remote_function: Any) -> tuple[Callable[..., Any], dict[str, Any]]:
    """Returns the function that `@ray.remote` wrapped, and the options that it was given.

    Args:
        remote_function: A function with `@ray.remote`, or its `.options(...)`.

    Raises:
        TypeError: It is none; the text says what it is.
    """
    from ray.dag import FunctionNode  # which takes a while, and only who maps needs it

    if isinstance(remote_function, ray.actor.ActorMethod):
        kind = "a method of an actor"
    elif not hasattr(remote_function, "remote"):
        kind = "no remote function: decorate it with @ray.remote"
    elif hasattr(remote_function, "bind"):
        node = remote_function.bind()  # the same for f and for f.options(...)
        if isinstance(node, FunctionNode):
            return node._body, _given(node.get_options())
        kind = "an actor class"
    else:  # Ray Client has classes of its own
        stub = getattr(remote_function, "_remote_stub", remote_function)
        if type(stub).__name__ == "ClientRemoteFunc":
            return stub._func, _given({**(stub._options or {}), **(remote_function._options or {})})
        kind = "an actor's class or method"
    raise TypeError(
        f"{remote_function!r} is {kind}; give a function with @ray.remote, or its .options(...)"
    )


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def default_retries() -> int:
    """Returns how often Ray tries a task again whose options do not say it (`max_retries`)."""
    return int(os.environ.get("RAY_TASK_MAX_RETRIES", ray_constants.DEFAULT_TASK_MAX_RETRIES))


def check_sendable(function: Callable[..., Any]) -> None:
    """Does nothing for a function that Ray can send to its workers.

    Raises:
        TypeError: It cannot be pickled, with what it refers to.
        ValueError: It is too large, with what it refers to.
    """
    name, most = (
        getattr(function, "__name__", function),
        ray_constants.FUNCTION_SIZE_ERROR_THRESHOLD,
    )
    try:
        size = len(ray.cloudpickle.dumps(function))
    except Exception as err:
        raise TypeError(f"{name} cannot be sent to Ray's workers: {err}") from err
    if size >= most:
        raise ValueError(
            f"{name} has {size / 1e6:.0f} MB with what it refers to; Ray sends {most / 1e6:.0f} MB "
            "at most: ray.put() what is large, and give the reference as an argument"
        )


def in_a_line(error: BaseException) -> str:
    """Returns what Ray says, without colours and the middle of its tracebacks."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    lines = [line.strip() for line in text.splitlines() if line.strip()] or [""]
    ends = lines[:1] if len(lines) == 1 else [lines[0], lines[-1]]
    return f"{type(error).__name__}: {' ... '.join(ends)}"[:400]
