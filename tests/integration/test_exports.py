"""What Ray is sent of functions, and keeps until the job ends: once, however many images."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import ray
from ray._private import ray_constants
from ray._private.worker import global_worker

from raytracker import ImageTracker, JobTable

pytestmark = pytest.mark.usefixtures("ray_cluster")

IMAGES = 5


def exports() -> int:
    """How many functions and classes this driver has exported."""
    job = global_worker.current_job_id.binary()
    prefix = b":".join([b"RemoteFunction", job.hex().encode()])
    kv = global_worker.gcs_client.internal_kv_keys
    return len(kv(prefix, ray_constants.KV_NAMESPACE_FUNCTION_TABLE))


def test_a_function_is_sent_once(job_table: JobTable) -> None:
    """Of five images it was sent five times, with all that it refers to."""
    large = b"x" * 1_000_000

    @ray.remote
    def process(region: int) -> int:
        return len(large) + region

    def chunk(keys: Sequence[tuple[int, int]]) -> dict[tuple[int, int], str]:
        return {} if len(large) else dict.fromkeys(keys, "")

    for kind in (process, chunk):
        before = exports()
        for number in range(IMAGES):
            tracker = ImageTracker.start(f"{kind} {number}", regions=2, table=job_table)
            if kind is chunk:
                list(tracker.map_chunks(chunk))
            else:
                found = sorted(
                    r for _, r, _ in tracker.map_unordered(process, [(0, (0,)), (1, (1,))])
                )
                assert found == [1_000_000, 1_000_001]
            assert tracker.wait(30).status == "SUCCESS"
        assert exports() - before <= 1  # of chunks it is the same for all functions


def test_what_a_function_refers_to_may_change(job_table: JobTable) -> None:
    """Then it is another one."""
    factors = [2]

    @ray.remote
    def process(region: int) -> int:
        return factors[0] * (region + 1)

    for factor in (2, 3):
        factors[0] = factor
        tracker = ImageTracker.start(f"scene {factor}", regions=1, table=job_table)
        assert [result for _, result, _ in tracker.map_unordered(process, [(0, (0,))])] == [factor]
