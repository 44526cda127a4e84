"""One reader of the table for all who look at it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ..job_table import JobTable
from .sights import Image, Images, Sight

PAUSE = 1.0  # seconds from one read to the next, at least
MAX_RCU = 100.0  # a second, on average: a listing of a large table comes less often
MAX_KEPT = 16  # images that nobody looks at any more


class Watch:
    """Reads what somebody looks at: one thing at a time, one a second at most, each in its turn.

    While nobody looks, nothing is read. All methods belong to one event loop.

    Args:
        table: The table.
    """

    def __init__(self, table: JobTable) -> None:
        self.table = table
        self.images = Images()
        self._each: dict[str, Image] = {}
        self._news = asyncio.Condition()
        self._next_at = 0.0  # by time.monotonic
        self._reader: asyncio.Task[None] | None = None
        self._is_over = False

    def image(self, image_id: str) -> Image:
        """Returns an image, to look at."""
        image = self._each.pop(image_id, None) or Image(image_id)
        self._each[image_id] = image  # the last one looked at is last
        idle = [key for key, each in self._each.items() if not each.viewers and each is not image]
        for key in idle[:-MAX_KEPT]:
            del self._each[key]
        return image

    @asynccontextmanager
    async def looking(self, sight: Sight) -> AsyncIterator[None]:
        """Somebody looks at it, until the block ends."""
        sight.viewers += 1
        if self._reader is None or self._reader.done():
            self._reader = asyncio.create_task(self._read())
        try:
            yield
        finally:
            sight.viewers -= 1

    async def newer(self, sight: Sight, version: int) -> bool:
        """Waits until it has been read after `version`; returns False if it never will be."""
        async with self._news:
            await self._news.wait_for(lambda: self._is_over or sight.version > version)
        return not self._is_over

    async def fresh(self, sight: Sight) -> bool:
        """Waits until it has been read within the last pause, or is read; False: it won't be."""
        if sight.version and time.time() * 1000 - sight.read_at < PAUSE * 1000:
            return True
        async with self.looking(sight):
            return await self.newer(sight, sight.version)

    async def end(self) -> None:
        """Lets all who wait go, for good."""
        async with self._news:
            self._is_over = True
            self._news.notify_all()
        if self._reader is not None:
            self._reader.cancel()

    async def _read(self) -> None:
        while sight := self._due():
            wait = self._next_at - time.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
                continue  # somebody else may have come meanwhile, or have gone
            rcu = await asyncio.to_thread(sight.read, self.table)
            self._next_at = time.monotonic() + max(PAUSE, rcu / MAX_RCU)
            async with self._news:
                self._news.notify_all()

    def _due(self) -> Sight | None:
        """Returns what is looked at and was read longest ago."""
        sights = [each for each in (self.images, *self._each.values()) if each.viewers]
        return min(sights, key=lambda each: each.turn, default=None)
