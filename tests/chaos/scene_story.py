"""What becomes of a scene: it is run to its end, or its driver is killed and another goes on."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from raytracker import JobItem, JobTable, Workers
from tests.chaos import scene_oracle
from tests.chaos.journal import Known
from tests.chaos.killer import Killer
from tests.chaos.plan import Image
from tests.chaos.scanner import Finding, Scanner
from tests.chaos.scene_run import SceneRun

BEGIN_SECONDS = 60.0
LEAVE_SECONDS = 60.0
MODEL_FAILED = 3  # the driver's exit status


class SceneStory:
    """The runs of a scene.

    Args:
        image: The image.
        folder: Where its files are.
        table: The job table.
        killer: Knows who was killed.
        scanner: Knows what was seen.
        workers: Those that it shares.
    """

    def __init__(
        self,
        image: Image,
        folder: Path,
        table: JobTable,
        killer: Killer,
        scanner: Scanner,
        workers: Workers | None,
    ) -> None:
        self.image = image
        self._table = table
        self._killer = killer
        self._scanner = scanner
        self._workers = workers
        self._first = SceneRun(image, image.first, "a", folder, killer)
        self._last = self._first
        if image.rival:
            assert image.second
            self._last = SceneRun(image, image.second, "b", folder, killer)
        self._found: list[Finding] = []

    @property
    def run(self) -> SceneRun:
        """The run that goes to the end."""
        return self._last

    @property
    def _redrive(self) -> bool:
        return self.image.rival is not None and self.image.rival.how == "redrive"

    def play(self) -> None:
        """Runs it in this process."""
        self._last.drive(self._table, "error", self._workers)

    def lose(self, driver: subprocess.Popen[str]) -> None:
        """Ends the first driver."""
        assert self.image.rival
        assert self.image.rival.after is not None
        end = time.monotonic() + BEGIN_SECONDS
        while not self._runs_before() and driver.poll() is None and time.monotonic() < end:
            time.sleep(0.02)
        time.sleep(self.image.rival.after)
        if driver.poll() is None:
            leave = self.image.leave
            driver.send_signal(getattr(signal, leave.how) if leave else signal.SIGKILL)
        elif driver.returncode not in ((0, MODEL_FAILED) if self._killer.workers else (0,)):
            text = f"{self.image.image_id}: its driver ended by {driver.returncode}"
            self._found.append(Finding("broken", text))
        driver.wait(LEAVE_SECONDS)

    def go_on(self) -> None:
        """Runs what is left, in this process."""
        if self._runs_before():
            self._last.drive(self._table, "resume", None, redrive=self._redrive)
        else:  # the first driver ended before it had begun
            self._last.drive(self._table, "error", None)

    def _runs_before(self) -> list[tuple[str, str]]:
        last = self._last.name
        name = self.image.image_id
        return [key for key in list(self._scanner.sights) if key[0] == name and key[1] != last]

    def _floor(self) -> bytes:
        """Returns the tiles as they were last seen before the last run."""
        if self._last is self._first or self._last.restarts:
            return b""  # nobody knows which of the runs that were called again did it
        before = self._runs_before()
        return bytes(self._scanner.sights[before[-1]].floor) if before else b""

    def known(self) -> Known:
        """Returns what is known of the tiles."""
        known = self._last.known()
        if self._last is not self._first:
            known.after(self._first.known(), self._floor(), redrive=self._redrive)
        return known

    def findings(self, item: JobItem | None) -> Iterator[Finding]:
        """Yields what is wrong, but for the item."""
        yield from self._found
        if self._last.job is not None:
            yield from scene_oracle.findings(
                item, self._last, self._killer, self._floor(), redrive=self._redrive
            )
