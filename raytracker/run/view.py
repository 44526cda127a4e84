"""What can be seen of a run: from its actor, or from the item where no actor serves it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from ..actor import Spec
from ..job_table import JobItem, JobTable
from ..ledger import Ledger, Outcome
from ..notebook import GREEN, GREY, RED, card
from ..progress import Progress, in_words
from .run import Run

_PACE = ("tiles/s", " left")  # how quickly it gets on


class View:
    """The half of ImageTracker that looks and changes nothing; it needs no Ray, only the table."""

    def __init__(self, *parts: Any, **_: Any) -> None:
        if not (parts and isinstance(parts[0], Spec)):  # somebody's, not ours
            raise TypeError(
                "make an ImageTracker with ImageTracker.start(...), which begins an image, "
                ".resume(...), which goes on with one, or .attach(...), which looks at one"
            )
        spec, layout = parts
        self._run = Run(spec, layout)
        self._seen: str | None = None  # the status that this handle was told last

    def __repr__(self) -> str:
        layout = self._run.layout
        parts = [f"{layout.region_count:,} regions"]
        if layout.tile_count != layout.region_count:
            parts.append(f"{layout.tile_count:,} tiles")
        if self._seen is not None:  # a repr asks nobody
            parts.append(f"last seen {self._seen}")
        return f"<ImageTracker {self.image_id!r}: {', '.join(parts)}>"

    def _repr_html_(self) -> str:
        return self._card(self.progress(), self.outcomes())

    def show(self, every: float = 1.0) -> None:
        """Shows how the image gets on in a cell of a notebook, until it has ended.

        Interrupting the cell ends the looking, and nothing else.

        Args:
            every: Seconds between looks.

        Raises:
            ImportError: This is no notebook, and IPython is not there.
        """
        from IPython.display import HTML, display

        cell = display(HTML(self._repr_html_()), display_id=True)
        while (progress := self.progress()).status in ("STARTED", "IN_PROGRESS"):
            time.sleep(every)
            cell.update(HTML(self._card(progress, self.outcomes())))
        cell.update(HTML(self._card(progress, self.outcomes())))

    def _card(self, progress: Progress, outcomes: Sequence[Outcome]) -> str:
        counts = progress.tile_success, progress.tile_error, progress.tile_count
        what = "tiles" if progress.tile_count != progress.region_count else "regions"
        more = [part for part in in_words(progress).split(", ") if part.endswith(_PACE)]
        colours = {Outcome.ERROR: RED, Outcome.PENDING: GREY}
        regions = [colours.get(each, GREEN) for each in outcomes]
        return card(self.image_id, progress.status, *counts, what, more, regions)

    def _saw(self, job: JobItem) -> JobItem:
        self._seen = job.status
        return job

    @property
    def image_id(self) -> str:
        """The image."""
        return self._run.spec.image_id

    @property
    def run(self) -> str:
        """The run, a uuid."""
        return self._run.spec.run

    @property
    def table(self) -> JobTable:
        """The job table."""
        return self._run.spec.table

    def progress(self) -> Progress:
        """Returns how far the image has come: the actor's view, or the table's where none runs.

        It takes three seconds at most, whoever does not answer, or seven while the actor is being
        made: then it is what was last known, and `trouble` says why.

        Raises:
            TrackerSuperseded: Another run took the image over.
            JobVanished: The item was deleted.
            LedgerError: The item's ledger cannot be read.
            TableUnavailable: DynamoDB does not answer, and nothing is known.
        """
        progress = self._run.progress()
        self._seen = progress.status
        return progress

    def ledger(self) -> Ledger:
        """Returns a copy of the ledger: the actor's, or the table's where none runs.

        Raises:
            TrackerSuperseded: Another run took the image over.
            JobVanished: The item was deleted.
            LedgerError: The item's ledger cannot be read.
        """
        return self._run.ledger()

    def pending(self) -> list[int]:
        """Returns the regions that are not settled, in order."""
        return self.ledger().pending()

    def pending_tiles(self) -> list[tuple[int, int]]:
        """Returns the (region, tile) that are pending, in order."""
        return self.ledger().pending_tiles()

    def failed(self) -> dict[int, str]:
        """Returns the regions that are errors, with a reason, or the class where none is kept."""
        return self.ledger().failed()

    def outcomes(self) -> list[Outcome]:
        """Returns the outcome of each region."""
        ledger = self.ledger()
        return [ledger.outcome(region) for region in range(self._run.layout.region_count)]

    def tile_outcomes(self) -> bytes:
        """Returns one byte a tile, its outcome, in the order of regions and their tiles."""
        return self.ledger().tile_outcomes()
