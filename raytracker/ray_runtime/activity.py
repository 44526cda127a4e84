"""What runs in the cluster: which attempts were made of a task, and what may still report."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

# Not ray.get_runtime_context: like all of Ray's public calls that starts a Ray where none is.
from ray.runtime_context import get_runtime_context


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
