"""What a process must know to open an image, and which actor hosts it."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from ..job_table import JobTable


class Pool(NamedTuple):
    """A fixed number of actors that host many images: of those with this name, in the cluster.

    Attributes:
        name: The pool's name.
        size: How many actors it has.
    """

    name: str
    size: int

    @classmethod
    def of(cls, name: str | None, size: int) -> Pool | None:
        """Returns the pool; None without a name.

        Raises:
            ValueError: The name is empty, or the size not positive.
        """
        if name is None:
            return None
        if not name:
            raise ValueError("pool='': a pool has a name")
        if size < 1:
            raise ValueError(f"pool_size={size}: a pool has at least one actor")
        return cls(name, size)

    @classmethod
    def parse(cls, text: str | None) -> Pool | None:
        """Returns the pool that `str` wrote into an item."""
        if not text:
            return None
        name, _, size = text.rpartition("/")
        return cls(name, int(size))

    def __str__(self) -> str:
        return f"{self.name}/{self.size}"


@dataclass(frozen=True)
class Spec:
    """What a process must know to open an image: it travels in every call to the actor.

    Attributes:
        image_id: The image.
        run: The run that the caller belongs to.
        table: The job table; pickles as its settings.
        flush_interval: Seconds between flushes, at least.
        max_wcu_per_second: Write capacity that the flushes use, at most, on average.
        pool: The pool whose actor hosts the image; None: it has an actor of its own.
    """

    image_id: str
    run: str
    table: JobTable
    flush_interval: float = 1.0
    max_wcu_per_second: float = 25.0
    pool: Pool | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        settings = (self.flush_interval, self.max_wcu_per_second, self.pool)
        return Spec, (self.image_id, self.run, self.table, *settings)

    @cached_property
    def key(self) -> tuple[object, ...]:
        """What tells this run of this image from all others, in a process."""
        return (self.image_id, self.run, *self.table.settings)

    @cached_property
    def actor_name(self) -> str:
        """The name of the image's actor in the namespace `raytracker`."""
        if self.pool is None:
            return f"{self.table.table_name}/{self.image_id}"
        number = zlib.crc32(self.image_id.encode()) % self.pool.size
        return f"pool:{self.pool}/{number}"  # a table's name has no colon
