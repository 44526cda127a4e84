"""What comes before the claim, while the table is away: bounded by the tiles of the image."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

from ..errors import JobEnded
from ..ledger import Classes, Layout, Outcomes, lowest_reasons
from ..logs import about
from .messages import Batch, Tentative

logger = logging.getLogger(__name__)


class Early:
    """Batches that wait for a ledger, joined. Not thread-safe: its owner holds a lock."""

    def __init__(self) -> None:
        self._outcomes = Outcomes()
        self._reasons: dict[int, str] = {}
        self._classes = Classes()
        self._tentative: dict[tuple[str, int], Tentative] = {}
        self._sole = False

    def add(self, batch: Batch) -> None:
        """Takes a batch."""
        for span in batch.spans:
            self._outcomes.join(*span)
        if batch.reasons:
            self._reasons = lowest_reasons({**self._reasons, **batch.reasons})
        for known_as in batch.classes:
            self._classes.join(*known_as)
        for error in batch.tentative:
            # Of a tile and a task the last attempt counts.
            known = self._tentative.get((error.task, error.first))
            if known is None or known.attempt <= error.attempt:
                self._tentative[error.task, error.first] = error
        self._sole |= batch.sole

    def give(
        self, take: Callable[[Batch], JobEnded | None], image_id: str, layout: Layout
    ) -> list[JobEnded]:
        """Has all that was added taken; returns what is answered to it, as far as it is late."""

        def taken(batch: Batch) -> JobEnded | None:
            try:
                return take(batch)
            except Exception as err:  # nobody is left to be told; and the others must not be lost
                text = "image %s: a report is dropped"
                logger.error(text, image_id, exc_info=err, extra=about(image_id))
                return None

        return list(filter(None, map(taken, self.take(layout.tile_count))))

    def take(self, tile_count: int) -> Iterator[Batch]:
        """Yields what was added, in parts: what is of no tile spoils nothing else.

        Args:
            tile_count: The tiles of the image.
        """
        for first, outcomes in self._outcomes.spans():
            known = max(0, tile_count - first)
            for start, part in ((first, outcomes[:known]), (first + known, outcomes[known:])):
                if part:
                    tiles = range(start, start + len(part))
                    reasons = {n: text for n, text in self._reasons.items() if n in tiles}
                    yield Batch([(start, part)], reasons, sole=self._sole)
        known_as = [
            (first, errors[:known], name)
            for first, errors, name in self._classes.spans()
            if (known := tile_count - first) > 0
        ]
        if known_as:
            yield Batch([], {}, sole=self._sole, classes=known_as)
        for error in self._tentative.values():
            yield Batch([], {}, sole=self._sole, tentative=[error])
        self.__init__()  # type: ignore[misc]
