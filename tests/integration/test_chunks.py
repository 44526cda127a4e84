"""Tiles in chunks, on a real Ray: a tile that fails, or ends its process, is its own affair."""

from __future__ import annotations

import os
import time
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from math import log2
from pathlib import Path
from typing import Any

import pytest
import ray

from raytracker import ImageTracker, JobTable
from raytracker.errors import JobStopped
from tests.support.jobs import counts

pytestmark = pytest.mark.usefixtures("ray_cluster")

Key = tuple[int, int]


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """A folder in which tasks note what they do."""
    path = tmp_path / "notes"
    path.mkdir()
    return path


def note(notes: Path, what: object) -> None:
    (notes / f"{what}:{uuid.uuid4()}").touch()


def noted(notes: Path) -> Counter[str]:
    return Counter(path.name.split(":")[0] for path in notes.iterdir())


def begun(table: JobTable, regions: Sequence[int]) -> ImageTracker:
    return ImageTracker.start("scene", regions=regions, table=table)


def test_tiles_travel_together(job_table: JobTable, notes: Path) -> None:
    """Many in a task, each of them once; and what is told is how many are settled."""

    def work_through(keys: Sequence[Key]) -> Mapping[Key, str]:
        note(notes, len(keys))
        return {}

    tracker = begun(job_table, [500] * 10)
    settled = [key for key, _, _ in tracker.map_chunks(work_through)]
    assert sum(settled) == 5000
    job = tracker.wait(30)
    assert (job.status, counts(job)) == ("SUCCESS", (10, 10, 0))
    sizes = noted(notes)
    assert sum(int(size) * times for size, times in sizes.items()) == 5000
    assert sum(sizes.values()) < 300


def test_a_tile_that_fails_is_tried_again_alone(job_table: JobTable, notes: Path) -> None:
    """So often as is said, then it is an error with its last reason; its mates succeed."""

    def work_through(keys: Sequence[Key]) -> Mapping[Key, str]:
        if (1, 7) not in keys:
            return {}
        note(notes, "alone" if len(keys) == 1 else "among others")
        return {(1, 7): f"attempt {sum(noted(notes).values())}"}

    tracker = begun(job_table, [50, 50])
    list(tracker.map_chunks(work_through, retries=3))
    job = tracker.wait(30)
    assert (job.status, counts(job)) == ("PARTIAL", (2, 1, 1))
    assert tracker.ledger().tile_error == 1
    assert tracker.failed() == {1: "attempt 4"}
    assert noted(notes)["alone"] >= 3


def test_what_the_function_raises_is_the_reason_of_all(job_table: JobTable) -> None:
    """Of each alone, at the end."""

    def work_through(keys: Sequence[Key]) -> Mapping[Key, str]:
        raise LookupError("no such weights")

    tracker = begun(job_table, [1] * 5)
    list(tracker.map_chunks(work_through, retries=1))
    job = tracker.wait(30)
    assert (job.status, counts(job)) == ("FAILED", (5, 0, 5))
    assert set(tracker.failed().values()) == {"LookupError: no such weights"}


def test_of_64_tiles_one_ends_its_process(job_table: JobTable, notes: Path) -> None:
    """It is the only error, found in as many deaths as halvings and attempts."""

    def work_through(keys: Sequence[Key]) -> Mapping[Key, str]:
        if (0, 13) in keys:
            note(notes, "death")
            os._exit(1)
        for _, tile in keys:
            note(notes, tile)
        return {}

    tracker = begun(job_table, [64])
    list(tracker.map_chunks(work_through, retries=2))
    tracker.wait(30)
    ledger = tracker.ledger()
    assert (ledger.tile_success, ledger.tile_error) == (63, 1)
    assert "died" in tracker.failed()[0]
    assert set(tracker.ledger().classes_of_failed()) == {"worker died"}
    ran = noted(notes)
    assert ran.pop("death") <= log2(64) + 2 + 1
    assert set(ran.values()) == {1}


def test_too_many_failures_stop_it(job_table: JobTable) -> None:
    """As the job stands; what is pending can be resumed."""

    def work_through(keys: Sequence[Key]) -> Mapping[Key, str]:
        time.sleep(0.01 * len(keys))
        return dict.fromkeys(keys, "cloudy")

    tracker = begun(job_table, [10] * 100)
    with pytest.raises(JobStopped, match="tolerated are 5 tiles"):
        list(tracker.map_chunks(work_through, retries=0, tolerated_failure_count=5))
    item = job_table.get_image_request("scene")
    assert 5 < tracker.ledger().tile_error < 1000
    assert item.end_time is not None


def test_chunks_in_a_task(job_table: JobTable) -> None:
    """A driver may be a task, which gives its CPU to those that it waits for."""

    def work_through(keys: Sequence[Key]) -> Mapping[Key, str]:
        return {key: "cloudy" for key in keys if key == (3, 1)}

    @ray.remote(num_cpus=int(ray.cluster_resources()["CPU"]))
    def drive(tracker: Any) -> str:
        list(tracker.map_chunks(work_through, retries=1))
        return str(tracker.wait(30).status)

    assert ray.get(drive.remote(begun(job_table, [4] * 25)), timeout=60) == "PARTIAL"
    job = job_table.get_image_request("scene")
    assert counts(job) == (25, 24, 1)


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        ({"retries": -1}, "retries=-1"),
        ({"max_in_flight": 0}, "max_in_flight=0"),
        ({"tolerated_failure_percentage": 101}, "tolerated_failure_percentage=101"),
    ],
)
def test_a_limit_out_of_its_range_is_refused(
    job_table: JobTable, limits: dict[str, Any], told: str
) -> None:
    """By its name."""
    tracker = begun(job_table, [1])
    with pytest.raises(ValueError, match=told):
        tracker.map_chunks(lambda keys: {}, **limits)
    assert tracker.pending() == [0]
