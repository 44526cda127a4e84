"""What can be seen of a run: from its actor, or from the item where no actor serves it."""

from __future__ import annotations

from ..actor import Spec
from ..job_table import JobTable
from ..ledger import Layout, Ledger, Outcome
from ..progress import Progress
from .run import Run


class View:
    """The half of ImageTracker that looks and changes nothing; it needs no Ray, only the table."""

    def __init__(self, spec: Spec, layout: Layout) -> None:
        self._run = Run(spec, layout)

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

        Raises:
            TrackerSuperseded: Another run took the image over.
            JobVanished: The item was deleted.
            LedgerError: The item's ledger cannot be read.
        """
        return self._run.progress()

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
        """Returns the regions that are errors, with the reason of their first failed tile."""
        return self.ledger().failed()

    def outcomes(self) -> list[Outcome]:
        """Returns the outcome of each region."""
        ledger = self.ledger()
        return [ledger.outcome(region) for region in range(self._run.layout.region_count)]

    def tile_outcomes(self) -> bytes:
        """Returns one byte a tile, its outcome, in the order of regions and their tiles."""
        return self.ledger().tile_outcomes()
