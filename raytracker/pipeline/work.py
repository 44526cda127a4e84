"""How the tiles of an image are run: nothing in it changes what comes out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..mapping import TimeLimit, Tolerance


@dataclass(frozen=True, kw_only=True)
class Work:
    """How the tiles of an image are run; nothing in it changes what comes out.

    Attributes:
        num_cpus: CPUs of each task, as `ray.remote` takes them, and so are the next five; None:
            Ray's default, 1.
        num_gpus: GPUs of each task. Ray ends the process of a task with GPUs after each call.
        memory: Bytes of each task.
        resources: Custom resources of each task, by name.
        runtime_env: The environment of the tasks.
        scheduling_strategy: Where they are put.
        retries: How often a tile is tried again, alone, that fails or whose process dies. What is
            lost with its node is tried again in any case.
        timeout: Seconds that a tile may take, each time; then it has failed. A call into C that
            does not come back five seconds later is ended with its process.
        tolerated_failure_count: When more tiles than so many have failed, those of earlier runs
            included, the job is stopped as it stands.
        tolerated_failure_percentage: The same, in percent of the image's tiles.
        max_in_flight: How many chunks of tiles are submitted and not finished, at most; None:
            four for each CPU of the cluster.

    Raises:
        ValueError: One is out of its range; the text names it.
    """

    num_cpus: float | None = None
    num_gpus: float | None = None
    memory: float | None = None
    resources: Mapping[str, float] | None = None
    runtime_env: Mapping[str, Any] | None = None
    scheduling_strategy: Any = None
    retries: int = 2
    timeout: float | None = None
    tolerated_failure_count: int | None = None
    tolerated_failure_percentage: float | None = None
    max_in_flight: int | None = None

    def __post_init__(self) -> None:
        if self.retries < 0:
            raise ValueError(f"retries={self.retries}: it is at least 0")
        if self.max_in_flight is not None and self.max_in_flight < 1:
            raise ValueError(f"max_in_flight={self.max_in_flight}: it is at least 1")
        TimeLimit(self.timeout)
        Tolerance(self.tolerated_failure_count, self.tolerated_failure_percentage)

    @property
    def ray_options(self) -> dict[str, Any]:
        """The options of each task, as `ray.remote` takes them."""
        options = {
            "num_cpus": self.num_cpus,
            "num_gpus": self.num_gpus,
            "memory": self.memory,
            "resources": None if self.resources is None else dict(self.resources),
            "runtime_env": None if self.runtime_env is None else dict(self.runtime_env),
            "scheduling_strategy": self.scheduling_strategy,
        }
        return {name: value for name, value in options.items() if value is not None}
