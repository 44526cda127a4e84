"""What must hold of a scene beside its item: its results, its calls, and its models."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from math import ceil, log2

import numpy as np
import rasterio
from rasterio.errors import NotGeoreferencedWarning

from raytracker import JobItem
from raytracker.job_table import ledger_of
from tests.chaos.journal import ERROR, PENDING, RETURNED, SUCCESS, ranks
from tests.chaos.killer import Killer
from tests.chaos.scanner import Finding
from tests.chaos.scene import raster, scores, text
from tests.chaos.scene_run import SceneRun


def findings(
    item: JobItem | None, run: SceneRun, killer: Killer, floor: Sequence[int], *, redrive: bool
) -> Iterator[Finding]:
    """Yields what is wrong with a run that went to the end.

    Args:
        item: As it is in the table.
        run: It.
        killer: Knows who was killed.
        floor: The tiles as they were last seen of the run before; empty, if there was none.
        redrive: Whether its errors were to run again.
    """
    if item is None:
        return  # that is told already
    tiles = ranks(ledger_of(item).tile_outcomes())
    lines = run.journal.lines()
    told = [("miscounted", what) for what in _results(item, run, tiles)]
    told += [("broken", what) for what in _models(run, killer, lines)]
    happened = Counter((line["event"], int(n)) for line in lines for n, _ in line["outcomes"])
    done = {
        n for n, seen in enumerate(floor) if seen != PENDING and not (redrive and seen == ERROR)
    }
    if again := sorted(n for n in done if happened["begin", n]):
        told.append(("lost", f"tiles {again} were settled, and ran again"))
    if len(killer.killed) == killer.actors and not run.restarts and not floor:
        told += [("broken", what) for what in _calls(run, happened)]
    unlucky = [n for n, seen in enumerate(tiles) if seen == ERROR and happened["begin", n]]
    unlucky = [n for n in unlucky if n not in run.scene.poisons]
    if len(unlucky) > killer.workers:
        told.append(("miscounted", f"{killer.workers} workers were killed; failed are {unlucky}"))
    for kind, what in told:
        yield Finding(kind, f"{run.image.image_id}: {what}")


def _results(item: JobItem, run: SceneRun, tiles: bytes) -> Iterator[str]:
    if not run.scene.output:
        if run.output.exists():
            yield "there is an output, and none was wanted"
        return
    successes = [n for n, seen in enumerate(tiles) if seen in (RETURNED, SUCCESS)]
    yield from _rasters(run, successes)
    expected, path = text(run.scene, successes), run.output / "results.geojson"
    # Where there is a raster and no Feature, there is no such file.
    there = path.read_bytes() if path.exists() or not successes else text(run.scene, [])
    sums = [hashlib.sha256(data).hexdigest()[:12] for data in (expected, there)]
    if sums[0] != sums[1]:
        have, want = (Counter(map(str, json.loads(d)["features"])) for d in (there, expected))
        yield (
            f"the sha256 of results.geojson is {sums[1]}, not {sums[0]}: missing are "
            f"{sorted(want - have)[:5]}, and too many are {sorted(have - want)[:5]}"
        )
    job = json.loads((run.output / "job.json").read_text())
    for name in ("status", "region_success", "region_error", "tracker_run"):
        if job[name] != getattr(item, name):
            yield f"job.json says {name} {job[name]!r}, the item {getattr(item, name)!r}"


def _rasters(run: SceneRun, successes: Sequence[int]) -> Iterator[str]:
    if not successes:
        return
    for name, expected, off in (
        ("result.tif", raster(run.scene, successes), 0.0),
        ("result-score.tif", scores(run.scene, successes), 1e-5),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(run.output / name) as file:
                there = file.read(1)
        if there.shape != expected.shape:
            yield f"{name} has {there.shape} pixels, not {expected.shape}"
            continue
        right = np.isclose(there, expected, rtol=0, atol=off, equal_nan=True)
        if wrong := np.argwhere(~right).tolist():
            yield f"{name} is wrong in {len(wrong)} pixels, the first at {wrong[0]}"


def _models(run: SceneRun, killer: Killer, lines: Sequence[Mapping]) -> Iterator[str]:
    """Each worker has made its model, once, and no more of them lived than were to be."""
    if run.scene.model is None or (run.scene.shared and run.image.image_id.endswith("too")):
        return  # of shared workers, the first image's journal tells
    made = Counter(tuple(line["process"]) for line in lines if line["event"] == "made")
    called = {tuple(line["process"]) for line in lines if line["event"] == "begin"}
    ended = {tuple(line["process"]) for line in lines if line["event"] == "exited"}
    if without := called - made.keys():
        yield f"processes {without} were called without a model"
    if twice := [process for process, times in made.items() if times > 1]:
        yield f"processes {twice} made the model more than once"
    alive = [p for p in made if p not in ended and not killer.has_killed(p)]
    if run.scene.shared:
        return  # the other image's tiles may have ended some
    most = run.scene.model[1] * (1 + run.restarts)
    if len(alive) > most:
        yield f"{len(alive)} workers with a model lived, of {most} that were wanted: {alive}"


def _calls(run: SceneRun, happened: Counter[tuple[str, int]]) -> Iterator[str]:
    """Where no worker was killed, it is known how often a tile was tried."""
    retries, count = run.work.max_retries, run.work.tile_count
    poisons = run.scene.poisons
    ends = [n for n, poison in poisons.items() if poison.ends]
    deaths = max(1, ceil(log2(count))) + retries + 1
    for number in ends:
        if happened["exited", number] > deaths:
            yield f"tile {number} ended {happened['exited', number]} processes, not {deaths}"
    if ends or run.scene.shared:
        return  # what was with a process that ended is tried again, and that may be another image's
    for number in range(count):
        poison = poisons.get(number)
        wanted = poison.times if poison else 0
        times = min(wanted, retries + 1)
        if happened["raised", number] != times:
            yield f"tile {number} raised {happened['raised', number]} times, not {times}"
        tries = times + (wanted <= retries)
        if run.scene.batch is None and happened["begin", number] != tries:
            yield f"tile {number} was tried {happened['begin', number]} times, not {tries}"
