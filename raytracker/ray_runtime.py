"""Which cluster this is, which kind of process, and what Ray has no public name for.

Ray's private corners stand here and nowhere else; tests/integration/test_ray_runtime.py has a test
for each, which says what is relied on.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import ray
from ray._private import ray_constants

# Not ray.get_runtime_context: like all of Ray's public calls that starts a Ray where none is.
from ray.runtime_context import get_runtime_context

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
    context = get_runtime_context()
    return context.get_node_id(), context.get_job_id()


def runtime_environment() -> str:
    """Returns the `runtime_env` of this process, as text: equal for equal ones.

    An actor that this process starts inherits it. What a package or a folder holds is in it, too:
    Ray names them by their contents.
    """
    check_connected()
    text = get_runtime_context().get_runtime_env_string()
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
    return bool(get_runtime_context().worker.mode == ray.WORKER_MODE)


def in_actor() -> bool:
    """Whether this process is an actor's."""
    return in_worker() and bool(get_runtime_context().worker.actors)


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


def in_local_mode() -> bool:
    """Whether the whole cluster is this process."""
    # Ray 2.54 took local mode away, and later its constant.
    return bool(get_runtime_context().worker.mode == getattr(ray, "LOCAL_MODE", None))


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


@dataclass(frozen=True)
class Running:
    """What may still report to an image, as Ray tells it.

    Attributes:
        used: Resources that are used, and how much of each; of object stores and nodes, none.
        queued: How many tasks, actors and placement groups wait for resources.
        actors: Actors that live or are to, by class, but for raytracker's own.
        drivers: What other drivers run.
        tasks: Tasks, also of actors, that have not ended.
        known: Whether Ray told all of this.
    """

    used: Mapping[str, float]
    queued: int
    actors: Collection[str] = ()
    drivers: Collection[str] = ()
    tasks: Collection[str] = ()
    known: bool = True

    @property
    def visible(self) -> bool:
        """Whether something runs, or is to as soon as it can."""
        return bool(self.used or self.queued)

    @property
    def nothing(self) -> bool:
        """Whether it is certain that nothing is left which could report."""
        return self.known and not (self.visible or self.actors or self.drivers or self.tasks)

    def __str__(self) -> str:
        if not self.known:
            return "what runs in this cluster cannot be seen from here"
        each = [
            ("resources", [f"{amount:g} {name}" for name, amount in self.used.items()]),
            ("queued", [str(self.queued)] if self.queued else []),
            ("actors", sorted(self.actors)),
            ("drivers", sorted(self.drivers)),
            ("tasks", sorted(self.tasks)),
        ]
        return "; ".join(f"{what}: {', '.join(names[:5])}" for what, names in each if names)


# A job that was submitted is watched by an actor of Ray's; ours are what is waited for.
_NO_REPORTERS = ("raytracker", "SUPERVISOR_ACTOR_RAY_NAMESPACE")


def what_runs(*, certain: bool) -> Running:
    """Returns what may still report.

    Args:
        certain: Whether also to look for what takes no resources: actors, other drivers, and tasks
            that have begun; else these are left out. It may take seconds in a busy cluster.
    """
    from ray._private.state import state  # the public state API asks a dashboard
    from ray.core.generated import gcs_pb2

    try:
        accessor = state._connect_and_get_accessor()
        raw = accessor.get_all_resource_usage()
        usage = gcs_pb2.ResourceUsageBatchData.FromString(raw or b"")  # type: ignore[attr-defined]
        running = Running(_used(usage), _queued(usage))
        if running.visible or not certain:
            return running
        return replace(
            running, actors=_actors(accessor), drivers=_drivers(accessor), tasks=_tasks(accessor)
        )
    except Exception:  # such as under Ray Client: it can't be told
        return Running({}, 0, known=False)


def _used(usage: Any) -> dict[str, float]:
    used: dict[str, float] = {}
    for node in usage.batch:
        for name, total in node.resources_total.items():
            if name == "object_store_memory" or name.startswith("node:"):
                continue
            amount = total - node.resources_available.get(name, 0.0)
            if amount > 1e-6:
                used[name] = used.get(name, 0.0) + amount
    return used


def _queued(usage: Any) -> int:
    demands = usage.resource_load_by_shape.resource_demands
    groups = usage.placement_group_load.placement_group_data
    waiting = [
        demand.num_ready_requests_queued
        + demand.num_infeasible_requests_queued
        + demand.backlog_size
        for demand in demands
    ]
    return len(groups) + int(sum(waiting))


def _actors(accessor: Any) -> list[str]:
    from ray.core.generated import gcs_pb2

    dead = gcs_pb2.ActorTableData.ActorState.Value("DEAD")  # type: ignore[attr-defined]
    raw = accessor.get_actor_table(None, None)
    table = [gcs_pb2.ActorTableData.FromString(each) for each in raw]  # type: ignore[attr-defined]
    return [
        actor.class_name or actor.name or actor.actor_id.hex()
        for actor in table
        if actor.state != dead and actor.ray_namespace not in _NO_REPORTERS
    ]


def _drivers(accessor: Any) -> list[str]:
    from ray.core.generated import gcs_pb2

    mine = bytes.fromhex(get_runtime_context().get_job_id())
    raw = accessor.get_job_table()
    table = [gcs_pb2.JobTableData.FromString(each) for each in raw]  # type: ignore[attr-defined]
    return [
        job.entrypoint or f"process {job.driver_pid}"
        for job in table
        if not job.is_dead and job.job_id != mine and not _is_rays_own(job)
    ]


def _is_rays_own(job: Any) -> bool:
    """Whether a job is one that Ray runs for itself, such as its dashboard's."""
    return str(job.config.ray_namespace).startswith("_ray_internal")


def _tasks(accessor: Any) -> list[str]:
    from ray.core.generated import common_pb2, gcs_pb2

    statuses = common_pb2.TaskStatus  # type: ignore[attr-defined]
    ends = {statuses.Value(name) for name in ("FINISHED", "FAILED")}
    driver = common_pb2.TaskType.Value("DRIVER_TASK")  # type: ignore[attr-defined]
    open_, ended = {}, set()
    for raw in accessor.get_task_events():
        event = gcs_pb2.TaskEvents.FromString(raw)  # type: ignore[attr-defined]
        key = event.task_id, event.attempt_number
        if any(status in ends for status in event.state_updates.state_ts_ns):
            ended.add(key)
        elif event.HasField("task_info") and event.task_info.type != driver:
            open_[key] = event.task_info.name
    return [
        name
        for key, name in open_.items()
        if key not in ended and not name.startswith("ImageActor.")
    ]


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
