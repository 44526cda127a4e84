"""Models: a class in place of a function, made once in each worker, with GPUs and in batches."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from math import log2
from pathlib import Path
from typing import Any

import pytest
import ray

from raytracker import ImageTracker, JobItem, JobTable, Work, Workers
from raytracker.errors import CannotBePlaced, InvalidFunction, ModelFailed
from raytracker.imagery import Tile
from tests.support.scenes import outline, results
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("ray_cluster")

GPUS = 1  # of the Ray of all tests; it is none


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """A folder in which models note what they do."""
    path = tmp_path / "notes"
    path.mkdir()
    return path


def noted(notes: Path) -> Counter[str]:
    return Counter(path.name.split(":")[0] for path in notes.iterdir())


class Outliner:
    """Outlines tiles; notes that it was made, and which tiles it was called with."""

    def __init__(self, notes: Path, *, seconds: float = 0.0) -> None:
        self.notes, self.seconds = notes, seconds
        self.note("made")

    def note(self, what: str) -> None:
        (self.notes / f"{what}:{os.getpid()}:{time.monotonic_ns()}").touch()

    def outline(self, pixels: Any, tile: Tile) -> Any:
        self.note(f"{tile.row}-{tile.column}")
        return outline(pixels, tile)

    def __call__(self, pixels: Any, tile: Any) -> Any:
        time.sleep(self.seconds)
        if not isinstance(tile, list):
            return self.outline(pixels, tile)
        self.note(f"batch of {len(pixels)}")
        return [self.outline(each, its) for each, its in zip(pixels, tile, strict=True)]


def test_a_model_is_made_once_in_each_worker(
    run: Callable[..., JobItem], notes: Path, tmp_path: Path
) -> None:
    """With its arguments, and half a GPU each; then it is called like a function."""
    how = Work(
        fn_constructor_args=(notes,), fn_constructor_kwargs={"seconds": 0.01}, concurrency=2,
        num_gpus=0.5,
    )  # fmt: skip
    job = run(Outliner, tile_size=64, work=how)
    assert (job.status, job.model_name) == ("SUCCESS", "Outliner")
    assert len(results(tmp_path)["features"]) == 156
    calls = noted(notes)
    assert calls.pop("made") == 2
    assert set(calls.values()) == {1}
    wait_until(lambda: ray.available_resources().get("GPU") == GPUS, what="the workers' end")


def test_batches_are_of_equal_arrays(
    run: Callable[..., JobItem], notes: Path, tmp_path: Path
) -> None:
    """As many as are said, but for the last; those at the edges are smaller, and travel apart."""
    how = Work(fn_constructor_args=(notes,), concurrency=1)
    assert run(Outliner, tile_size=64, batch_size=8, work=how).status == "SUCCESS"
    places = [tuple(f["properties"]["place"]) for f in results(tmp_path)["features"]]
    assert places == sorted(places, key=lambda p: places.index(p))
    assert len(set(places)) == len(places) == 156
    batches = {name: n for name, n in noted(notes).items() if name.startswith("batch")}
    assert set(batches) <= {f"batch of {n}" for n in range(1, 9)}
    assert batches["batch of 8"] >= 8


def test_a_function_takes_batches_too(run: Callable[..., JobItem], tmp_path: Path) -> None:
    """It is given (tiles, bands, rows, columns)."""

    def find(pixels: Any, tiles: Any) -> Any:
        assert pixels.shape == (len(tiles), 3, 64, 64)
        return [outline(*both) for both in zip(pixels, tiles, strict=True)]

    assert run(find, tile_size=64, edges="pad", batch_size=16).status == "SUCCESS"
    assert len(results(tmp_path)["features"]) == 156


def test_the_tile_at_fault_is_found_in_its_batch(run: Callable[..., JobItem]) -> None:
    """By halving: its mates succeed."""

    def find(pixels: Any, tiles: Any) -> Any:
        if any((tile.row, tile.column) == (3, 3) for tile in tiles):
            raise LookupError("no such band")
        return [None] * len(tiles)

    job = run(find, tile_size=64, edges="pad", batch_size=16, work=Work(retries=0))
    assert (job.region_success, job.region_error) == (3, 1)
    assert list((job.tracker_errors or {}).values()) == ["LookupError: no such band"]


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (lambda n: [None] * (n - 1), "returned 7 results for a batch of 8 tiles"),
        (lambda n: None, "returned a NoneType for a batch of 8 tiles"),
        (lambda n: {"type": "FeatureCollection", "features": []}, "returned a dict"),
    ],
)
def test_a_batch_has_a_result_for_each_tile(
    run: Callable[..., JobItem], job_table: JobTable, found: Any, told: str
) -> None:
    """Else nothing has been counted: which result is whose, nobody knows."""
    how = {"tile_size": 64, "edges": "pad", "batch_size": 8, "image_id": "scene"}
    with pytest.raises(InvalidFunction, match=told):
        run(lambda pixels, tiles: found(len(tiles)), **how)
    item = job_table.get_image_request("scene")
    assert (item.region_success, item.region_error, item.end_time) == (0, 0, None)


class Broken:
    """A model that cannot be made."""

    def __init__(self) -> None:
        raise FileNotFoundError("weights.pt")

    def __call__(self, pixels: Any, tile: Tile) -> None: ...


def test_a_model_that_cannot_be_made_is_told_at_once(
    run: Callable[..., JobItem], job_table: JobTable, notes: Path
) -> None:
    """In a line, and not as an error of each tile; the job can be gone on with."""
    with pytest.raises(
        ModelFailed, match=r"cannot be made: FileNotFoundError: weights\.pt"
    ) as told:
        run(Broken, image_id="scene", work=Work(concurrency=2))
    wait_until(lambda: ray.available_resources().get("CPU") == 4, what="the workers' end")
    assert "Broken" in str(told.value)
    tracker = ImageTracker.attach("scene", table=job_table)
    assert tracker.pending() == list(range(4))
    how = Work(fn_constructor_args=(notes,))
    goes_on = {"image_id": "scene", "if_exists": "resume", "take_over": True}
    assert run(Outliner, work=how, **goes_on).status == "SUCCESS"


class Dying(Outliner):
    """Ends its process while it is made, so often."""

    def __init__(self, notes: Path, times: int) -> None:
        super().__init__(notes)
        if noted(notes)["made"] <= times:
            os._exit(1)


def test_a_model_whose_process_dies_is_made_again(run: Callable[..., JobItem], notes: Path) -> None:
    """Somebody may have killed it; three times in a row it is told."""
    how = Work(fn_constructor_args=(notes, 2), concurrency=1)
    assert run(Dying, work=how).status == "SUCCESS"
    assert noted(notes)["made"] == 3
    how = Work(fn_constructor_args=(notes, 99), concurrency=1)
    with pytest.raises(ModelFailed, match="Dying cannot be made: .*died"):
        run(Dying, image_id="again", work=how)
    assert noted(notes)["made"] == 6


def test_what_no_node_has_is_told(run: Callable[..., JobItem]) -> None:
    """With what was asked for, and what there is."""
    for function, who in ((Broken, "a worker of Broken"), (lambda pixels, tile: None, "a task")):
        with pytest.raises(CannotBePlaced, match=rf"{who}.* 3 GPU \(a node has 1 at most\)"):
            run(function, image_id=who, work=Work(num_gpus=3))


@pytest.mark.parametrize(
    ("function", "work", "told"),
    [
        (Counter, None, "give a class whose objects can be called"),
        (outline, Work(fn_constructor_args=(1,)), "fn_constructor_args are for a model"),
        (outline, Work(concurrency=(1, 2)), "give one number for a function"),
        (Workers(Outliner), Work(), "have their own work"),
    ],
)
def test_what_does_not_go_together_is_refused(
    run: Callable[..., JobItem], job_table: JobTable, function: Any, work: Any, told: str
) -> None:
    """Before anything has been written."""
    with pytest.raises(InvalidFunction, match=told):
        run(function, image_id="scene", work=work)
    assert job_table.read("scene") is None


class Killer(Outliner):
    """Ends its process at one tile, and notes it."""

    def outline(self, pixels: Any, tile: Tile) -> Any:
        if (tile.row, tile.column) == (3, 3):
            self.note("death")
            os._exit(1)
        return super().outline(pixels, tile)


@pytest.mark.parametrize("concurrency", [1, 2])
def test_of_64_tiles_in_a_batch_one_ends_its_process(
    run: Callable[..., JobItem], notes: Path, tmp_path: Path, concurrency: int
) -> None:
    """It is the only error, found in as many deaths as halvings and attempts."""
    how = Work(fn_constructor_args=(notes,), concurrency=concurrency, retries=2)
    job = run(Killer, tile_size=64, edges="pad", batch_size=64, roi_crs="image", work=how)
    assert (job.region_success, job.region_error) == (3, 1)
    assert "died" in next(iter((job.tracker_errors or {}).values()))
    assert len(results(tmp_path)["features"]) == 155
    calls = noted(notes)
    deaths = calls.pop("death")
    assert deaths <= log2(64) + 2 + 1
    assert calls.pop("made") <= deaths + concurrency


class Spoiled(Outliner):
    """After one tile it can compute nothing more, as CUDA after an illegal address."""

    is_spoiled = False

    def outline(self, pixels: Any, tile: Tile) -> Any:
        self.is_spoiled = self.is_spoiled or (tile.row, tile.column) == (3, 3)
        if self.is_spoiled:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        return super().outline(pixels, tile)


def test_a_process_whose_gpu_is_of_no_more_use_is_replaced(
    run: Callable[..., JobItem], notes: Path, tmp_path: Path
) -> None:
    """All that comes after would be blamed else; the tile that did it is the only error."""
    how = Work(fn_constructor_args=(notes,), concurrency=1, num_gpus=1, retries=0)
    job = run(Spoiled, tile_size=64, edges="pad", batch_size=16, work=how)
    assert (job.region_success, job.region_error) == (3, 1)
    assert list((job.tracker_errors or {}).values()) == [
        "RuntimeError: CUDA error: an illegal memory access was encountered"
    ]
    assert len(results(tmp_path)["features"]) == 155
    assert noted(notes)["made"] <= log2(16) + 3


class Stuck(Outliner):
    """Does not come back from C at one tile."""

    def outline(self, pixels: Any, tile: Tile) -> Any:
        if (tile.row, tile.column) == (1, 1):
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
            while True:
                time.sleep(1)
        return super().outline(pixels, tile)


def test_a_model_that_is_stuck_is_ended_with_its_worker(
    run: Callable[..., JobItem], notes: Path
) -> None:
    """And only its tile is an error."""
    how = Work(fn_constructor_args=(notes,), concurrency=1, retries=0, timeout=1)
    job = run(Stuck, work=how)
    assert (job.region_success, job.region_error) == (3, 1)


def test_a_worker_that_is_killed_is_replaced(
    run: Callable[..., JobItem], notes: Path, tmp_path: Path
) -> None:
    """Nothing is lost, and no tile is to blame."""
    how = Work(fn_constructor_args=(notes,), fn_constructor_kwargs={"seconds": 0.05}, concurrency=2)
    killed: list[int] = []

    def kill(progress: Any) -> None:
        pids = {int(path.name.split(":")[1]) for path in notes.glob("made:*")} - set(killed)
        if progress.tile_success > 20 * (len(killed) + 1) and len(killed) < 3 and pids:
            killed.append(min(pids))
            os.kill(min(pids), signal.SIGKILL)

    job = run(Outliner, tile_size=64, work=how, on_progress=kill)
    assert (job.status, len(killed)) == ("SUCCESS", 3)
    assert len(results(tmp_path)["features"]) == 156
    assert 4 <= noted(notes)["made"] <= 5  # the last one killed may not have been missed any more


def test_workers_keep_their_model_from_image_to_image(
    run: Callable[..., JobItem], notes: Path, tmp_path: Path
) -> None:
    """Also where images share them."""
    with Workers(Outliner, Work(fn_constructor_args=(notes,), concurrency=2)) as workers:
        jobs: dict[int, JobItem] = {}

        def process(number: int) -> None:
            output = tmp_path / str(number)
            jobs[number] = run(workers, image_id=str(number), tile_size=128, output=output)

        process(0)
        threads = [threading.Thread(target=process, args=(number,)) for number in range(1, 5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert [jobs[number].status for number in range(5)] == ["SUCCESS"] * 5
        assert workers.made == noted(notes)["made"] == 2
    wait_until(lambda: ray.available_resources().get("CPU") == 4, what="the workers' end")


def test_more_workers_are_made_while_chunks_wait(run: Callable[..., JobItem], notes: Path) -> None:
    """As many as are allowed, where nodes have room."""
    how = Work(
        fn_constructor_args=(notes,), fn_constructor_kwargs={"seconds": 0.05}, concurrency=(1, 3)
    )
    seen: list[float | None] = []
    run(Outliner, tile_size=64, work=how, on_progress=lambda progress: seen.append(progress.busy))
    assert noted(notes)["made"] == 3
    assert seen[-1] is not None
    assert 0.5 < seen[-1] <= 1


def test_workers_in_a_task(job_table: JobTable, notes: Path) -> None:
    """A driver may be a task, which gives its CPUs to the workers that it waits for."""

    @ray.remote(num_cpus=4)
    def drive(table: JobTable) -> str:
        from raytracker import process_image
        from tests.support.scenes import BAHAMAS

        how = Work(fn_constructor_args=(notes,), concurrency=2)
        return str(process_image(BAHAMAS, Outliner, table=table, image_id="scene", work=how).status)

    assert ray.get(drive.remote(job_table), timeout=60) == "SUCCESS"
