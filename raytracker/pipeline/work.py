"""How the tiles of an image are run: where, how often and how long, and what makes a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..mapping import TimeLimit, Tolerance
from ..numeric import check_number, is_number


@dataclass(frozen=True, kw_only=True)
class Work:
    """How the tiles of an image are run, in tasks or by workers; the same for all images.

    What is of one image, or shapes what a function is given and gives, stands beside it.

    Attributes:
        fn_constructor_args: What a model, a class, is made with, once in each worker. They travel
            as arguments of a Ray call: references among them are resolved. They are not in the job
            item, and may hold secrets.
        fn_constructor_kwargs: The same, by name.
        concurrency: For a model, how many workers there are, or (least, most): more are made while
            chunks wait and nodes have room. None: from 1 to as many as the nodes hold. For a
            function, how many chunks are submitted and not finished, at most. None: four for
            each CPU of the cluster.
        num_cpus: CPUs of each task or worker, as `ray.remote` takes them, and so are the next five;
            None: 1.
        num_gpus: GPUs of each. Ray ends the process of a task with GPUs after each call, not that
            of a worker.
        memory: Bytes of each.
        resources: Custom resources of each, by name.
        runtime_env: The environment of each.
        scheduling_strategy: Where they are put.
        retries: How often a tile is tried again, alone, that fails or whose process dies. What is
            lost with its node is tried again in any case.
        timeout: Seconds that a tile may take, each time; then it has failed. A batch may take as
            much for each of its tiles. A call into C that does not come back five seconds later is
            ended with its process.
        tolerated_failure_count: When more tiles than so many have failed, those of earlier runs
            included, the job is stopped as it stands.
        tolerated_failure_percentage: The same, in percent of the image's tiles.

    Raises:
        ValueError: One is out of its range; the text names it.
    """

    fn_constructor_args: Sequence[Any] = ()
    fn_constructor_kwargs: Mapping[str, Any] = field(default_factory=dict)
    concurrency: int | tuple[int, int] | None = None
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

    def __post_init__(self) -> None:
        check_number("retries", self.retries, whole=True)
        self._check_resources()
        if isinstance(self.fn_constructor_args, str):
            raise ValueError(
                f"fn_constructor_args={self.fn_constructor_args!r}: give a tuple, such as "
                f"({self.fn_constructor_args!r},)"
            )
        if self.concurrency is not None:
            self._check_concurrency(self.concurrency)
        TimeLimit(self.timeout)
        Tolerance(self.tolerated_failure_count, self.tolerated_failure_percentage)

    def _check_resources(self) -> None:
        for name in ("num_cpus", "num_gpus", "memory"):
            if (amount := getattr(self, name)) is not None:
                check_number(name, amount)
        if self.num_gpus is not None and self.num_gpus > 1 and self.num_gpus % 1:
            raise ValueError(f"num_gpus={self.num_gpus!r}: give a whole number, or at most 1")
        if self.resources is not None and not isinstance(self.resources, Mapping):
            raise ValueError(f"resources={self.resources!r}: give amounts by name")
        for name, amount in (self.resources or {}).items():
            check_number(f"resources[{name!r}]", amount)

    def _check_concurrency(self, concurrency: Any) -> None:
        is_range = isinstance(concurrency, (tuple, list))
        numbers = list(concurrency) if is_range else [concurrency]
        if (
            len(numbers) != 1 + is_range
            or not all(is_number(number, 1, whole=True) for number in numbers)
            or numbers != sorted(numbers)
        ):
            raise ValueError(
                f"concurrency={concurrency!r}: give a number, at least 1, or (least, most)"
            )

    @property
    def range(self) -> tuple[int, int | None]:
        """How many workers there are at first, and at most; None: as many as the nodes hold."""
        if self.concurrency is None:
            return 1, None
        if isinstance(self.concurrency, (tuple, list)):
            least, most = self.concurrency
            return int(least), int(most)
        return int(self.concurrency), int(self.concurrency)

    @property
    def ray_options(self) -> dict[str, Any]:
        """The options of each task or worker, as `ray.remote` takes them."""
        options = {
            "num_cpus": self.num_cpus,
            "num_gpus": self.num_gpus,
            "memory": self.memory,
            "resources": None if self.resources is None else dict(self.resources),
            "runtime_env": None if self.runtime_env is None else dict(self.runtime_env),
            "scheduling_strategy": self.scheduling_strategy,
        }
        return {name: value for name, value in options.items() if value is not None}
