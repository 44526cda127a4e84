"""The model of what a flush costs, held against what DynamoDB says."""

from __future__ import annotations

import random

import pytest

from raytracker import JobItem, JobTable
from raytracker.cost import OTHER_BYTES, WCU_BYTES, estimate
from raytracker.job_table import Flush, text_bytes
from raytracker.ledger import Layout, Ledger

IMAGE = "s3://bucket/2026/scene-0001.tif"


@pytest.mark.parametrize("tiles", [10_000, 100_000])
def test_a_flush_costs_what_the_model_says(job_table: JobTable, tiles: int) -> None:
    """Within 1 WCU where zlib does not help; never more, and less for outcomes at random."""
    layout, rng = Layout.of(tiles), random.Random(0)
    job_table.start(JobItem(image_id=IMAGE), run="r" * 32, layout=layout)
    job_table.claim(IMAGE, "r" * 32, "o" * 32)
    numbers = iter(range(1, 10))

    def measured(ledger: bytes) -> float:
        flush = Flush(tiles // 2, tiles // 4, ledger, {}, None, 10**12, 600, 10**9)
        return job_table.flush(IMAGE, "r" * 32, "o" * 32, next(numbers), flush)

    most = estimate(tiles, minutes=1).flush_wcu
    ledger = Ledger(layout)
    ledger.merge([(0, bytes(rng.choices((0, 1, 2), k=tiles)))], {})
    encoded = ledger.encode()
    assert measured(encoded) <= most
    assert measured(encoded) == pytest.approx(
        (OTHER_BYTES + text_bytes(len(encoded))) / WCU_BYTES, abs=1
    )
    incompressible = rng.randbytes(Ledger.max_encoded_bytes(layout))
    assert measured(incompressible) == pytest.approx(most, abs=1)
