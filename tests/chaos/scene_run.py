"""One run of `process_image`, and what its journal tells of each tile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from raytracker import JobItem, JobTable, Workers, process_image
from raytracker import Work as How
from raytracker.errors import ModelFailed
from raytracker.run import IfExists
from tests.chaos.finder import Finder, Search, broken
from tests.chaos.journal import ERROR, SUCCESS, Journal, Known
from tests.chaos.killer import Killer
from tests.chaos.plan import ALWAYS, Image, Poison, Scene, Work
from tests.chaos.scene import write
from tests.chaos.work import reason_of

GPU = 0.1  # a number that only Ray knows


class SceneRun:
    """A run of a scene.

    Args:
        image: The image.
        work: What is to be done.
        label: Tells this run's reasons from another's.
        folder: Where the picture, the journal and the output are.
        killer: Knows who was killed; None in another process.

    Attributes:
        job: What `process_image` returned, once it has.
        refused: Always None: no other run takes over from one that lives.
        restarts: How often it was called again, as all workers were killed that made the model.
    """

    refused = None

    def __init__(
        self, image: Image, work: Work, label: str, folder: Path, killer: Killer | None = None
    ) -> None:
        assert work.scene
        self.image = image
        self.work = work
        self.scene: Scene = work.scene
        self.label = label
        self.output = folder / f"{image.image_id}.out"
        self.job: JobItem | None = None
        self.restarts = 0
        self._killer = killer
        self._folder = folder
        self.journal = search_of(image, work, label, folder).journal

    @property
    def name(self) -> str | None:
        """The run that it was told it is."""
        return self.job.tracker_run if self.job else None

    def drive(
        self, table: JobTable, how: IfExists, workers: Workers | None, *, redrive: bool = False
    ) -> None:
        """Runs it to its end; again, if all that made the model were killed, as a user would.

        Args:
            table: The job table.
            how: What to do if the image is in it.
            workers: Those that it shares.
            redrive: Whether tiles that failed run again.
        """
        search, scene = search_of(self.image, self.work, self.label, self._folder), self.scene
        if not search.path.exists():
            write(scene, search.path)
        step = scene.tile - scene.overlap
        options = None if workers else how_of(self.work, search)
        function = workers or (search if scene.model is None else Finder)

        def process(how: IfExists) -> JobItem:
            return process_image(
                search.path,
                function,
                table=table,
                image_id=self.image.image_id,
                tile_size=scene.tile,
                tile_overlap=scene.overlap,
                region_size=(scene.block[1] * step, scene.block[0] * step),
                edges=scene.edges,
                batch_size=scene.batch,
                output=self.output if scene.output else None,
                blend={"score": "mean"},
                if_exists=how,
                redrive=redrive,
                take_over=True,
                flush_interval=self.work.flush_interval,
                work=options,
            )

        self.job = self._again(process, how)

    def _again(self, process: Callable[[IfExists], JobItem], how: IfExists) -> JobItem:
        """Calls what processes; again, if all workers were killed that made the model."""
        try:
            return process(how)
        except ModelFailed:
            if self._killer is None or self.restarts >= self._killer.workers:
                raise
        self.restarts += 1
        return self._again(process, "resume")

    def known(self, closed: float | None = None) -> Known:
        """Returns what the journal and the plan tell of the tiles that were tried.

        Args:
            closed: Of no use here: nothing that a scene's function does comes after its end.
        """
        assert self._killer
        known = Known(self.work.tile_count)
        lines = self.journal.lines()
        happened = Counter((line["event"], int(n)) for line in lines for n, _ in line["outcomes"])
        ended = [line["process"] for line in lines if line["event"] == "exited"]
        # What a process that died had met, the driver does not know.
        lost = {
            int(n)
            for line in lines
            if self._killer.has_killed(line["process"]) or line["process"] in ended
            for n, _ in line["outcomes"]
        }
        for number in range(self.work.tile_count):
            if happened["begin", number]:
                failed = happened["raised", number] + happened["exited", number]
                self._learn(known, number, failed, happened["may", number] > 0, number in lost)
        return known

    def _learn(self, known: Known, number: int, failed: int, found: bool, lost: bool) -> None:
        assert self._killer
        retries = self.work.max_retries
        poison = self.scene.poisons.get(number, Poison(False, 0))
        # A kill counts as a tile's failure only if that was alone; more than this is not known.
        unlucky = self._killer.workers > 0 and failed + self._killer.workers > retries
        finals = {ERROR} if poison.times == ALWAYS else {SUCCESS}
        if retries < poison.times < ALWAYS:
            is_sure = not (poison.ends or lost or self.restarts or self.scene.shared)
            finals = {ERROR} if is_sure else {ERROR, SUCCESS}
        if unlucky:
            finals.add(ERROR)
        if not found:
            finals.discard(SUCCESS)
        if failed <= retries and not unlucky:
            finals.discard(ERROR)
        reason = reason_of(broken(self.label, number)) if poison.times and not poison.ends else None
        if poison.ends or unlucky:
            known.killed_at.add(number)
        for outcome in finals:
            why = reason if outcome == ERROR else None
            known.learn("told" if len(finals) == 1 else "may", {number: outcome}, why)


def search_of(image: Image, work: Work, label: str, folder: Path) -> Search:
    """Returns what is done with the tiles of a run."""
    assert work.scene
    journal = Journal(folder / f"{image.image_id}.{label}.journal")
    return Search(work.scene, folder / f"{image.image_id}.tif", journal, label)


def how_of(work: Work, *searches: Search) -> How:
    """Returns how tiles are run; if by a model, then one that knows these searches."""
    assert work.scene
    options: dict[str, Any] = {"retries": work.max_retries}
    if work.scene.gpus:
        options["num_gpus"] = GPU
    if work.scene.spread:
        options["scheduling_strategy"] = "SPREAD"
    if work.scene.model is not None:
        options |= {"concurrency": work.scene.model, "fn_constructor_args": searches}
    return How(**options)


@contextmanager
def shared_workers(images: tuple[Image, ...], folder: Path) -> Iterator[Workers | None]:
    """Runs the workers that images share, if they do."""
    scene = images[0].first.scene
    if scene is None or not scene.shared:
        yield None
        return
    searches = [search_of(image, image.first, "a", folder) for image in images]
    with Workers(Finder, how_of(images[0].first, *searches)) as workers:
        yield workers
