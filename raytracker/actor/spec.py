"""What a process must know to open an image, and which actor hosts it."""

from __future__ import annotations

import hashlib
import pickle
import re
import zlib
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import ray

from .. import __version__
from ..errors import TableError
from ..job_table import KEEP_SECONDS
from ..numeric import check_number
from ..ray_runtime import in_a_line, node_address, runtime_environment

if TYPE_CHECKING:
    from ..job_table import JobItem, JobTable


class Pool(NamedTuple):
    """A fixed number of actors that host many images: of those with this name, in the cluster.

    Attributes:
        name: The pool's name.
        size: How many actors it has.
        world: Which environment they were made in: jobs with another one have others.
    """

    name: str
    size: int
    world: str

    @classmethod
    def of(cls, name: str | None, size: int) -> Pool | None:
        """Returns the pool as this process would make it; None without a name.

        Raises:
            ValueError: The name is empty, or the size not positive.
        """
        if name is None:
            return None
        if not name:
            raise ValueError("pool='': a pool has a name")
        check_number("pool_size", size, 1, whole=True)
        made_of = f"{__version__} {runtime_environment()}"
        return cls(name, size, hashlib.sha256(made_of.encode()).hexdigest()[:8])

    @classmethod
    def parse(cls, text: str | None) -> Pool | None:
        """Returns the pool that `str` wrote into an item."""
        found = re.fullmatch(r"(.+)/([1-9][0-9]{0,5})/(\w+)", text or "", re.DOTALL)
        return cls(found[1], int(found[2]), found[3]) if found else None

    def __str__(self) -> str:
        return f"{self.name}/{self.size}/{self.world}"


@dataclass(frozen=True)
class Spec:
    """What a process must know to open an image: it travels in every call to the actor.

    Attributes:
        image_id: The image.
        run: The run that the caller belongs to.
        table: The job table; pickles as its settings.
        flush_interval: Seconds between flushes, at least.
        max_wcu_per_second: Write capacity that the flushes use, at most, on average.
        keep_for: Seconds that the item is kept after its last write; None: for ever.
        pool: The pool whose actor hosts the image; None: the run has an actor of its own.
        ends: Whether `wait` waits for the image's end; the item says whether it ends by itself.
        on_event: A subscriber, pickled: it goes wherever the run does, so that an actor which takes
            the place of another has it, too.
    """

    image_id: str
    run: str
    table: JobTable
    flush_interval: float = 1.0
    max_wcu_per_second: float = 25.0
    keep_for: int | None = KEEP_SECONDS
    pool: Pool | None = None
    ends: bool = True
    on_event: bytes | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        how = (self.flush_interval, self.max_wcu_per_second, self.keep_for, self.pool, self.ends)
        return _unpickle, (self.image_id, self.run, self._pickled_table, *how, self.on_event)

    @cached_property
    def _pickled_table(self) -> bytes:
        # Apart, so that a table that cannot be made in some process spoils only its own images'
        # share of a call.
        return bytes(ray.cloudpickle.dumps(self.table))

    @classmethod
    def of(cls, item: JobItem, table: JobTable) -> Spec:
        """Returns the spec of the run that an item belongs to, as who has not begun it has it."""
        return cls(
            item.image_id,
            item.tracker_run or "",
            table,
            keep_for=item.tracker_keep_for,
            pool=Pool.parse(item.tracker_pool),
        )

    @cached_property
    def key(self) -> tuple[object, ...]:
        """What tells this run of this image from all others, in a process."""
        return (self.image_id, self.run, *self.table.settings)

    @cached_property
    def actor_name(self) -> str:
        """The name of the run's actor in the namespace `raytracker`.

        One for each run: a job that is submitted again, with its environment mended, must not be
        given the process that was made in the environment before.
        """
        if self.pool is None:
            return f"{self.table.table_name}/{self.image_id}/{self.run}"
        number = zlib.crc32(self.image_id.encode()) % self.pool.size
        return f"pool:{self.pool}/{number}"  # a table's name has no colon


class _NoTable:
    """Stands for a job table that cannot be made in this process."""

    def __init__(self, image_id: str, error: Exception) -> None:
        self._text = (
            f"image {image_id!r}: its job table cannot be made on node {node_address()}: "
            f"{in_a_line(error)}"
        )

    def __getattr__(self, name: str) -> NoReturn:
        raise TableError(self._text)


def _unpickle(image_id: str, run: str, table: bytes, *how: Any) -> Spec:
    try:
        return Spec(image_id, run, _table(table), *how)
    except Exception as err:
        return Spec(image_id, run, _NoTable(image_id, err), *how)  # type: ignore[arg-type]


@lru_cache(maxsize=64)
def _table(pickled: bytes) -> JobTable:
    table: JobTable = pickle.loads(pickled)
    return table
