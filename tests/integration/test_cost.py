"""The model of what a flush costs, held against what DynamoDB says."""

from __future__ import annotations

import random
from typing import Any

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


def test_an_item_knows_what_its_runs_did_cost(job_table: JobTable) -> None:
    """Three runs, of which the last write of each goes by the size of the item that it left."""
    layout, rng, charged = Layout.of(40_000), random.Random(0), list[float]()

    def note(parsed: dict[str, Any], **_: Any) -> None:
        if "ConsumedCapacity" in parsed:
            charged.append(parsed["ConsumedCapacity"]["CapacityUnits"])

    job_table.writer.meta.events.register("after-call.dynamodb", note, unique_id="cost")
    job_table.start(JobItem(image_id=IMAGE), run="run-0", layout=layout)
    ledger = Ledger(layout)
    for number in range(3):
        run, owner = f"run-{number}", f"owner-{number}"
        if number:
            job_table.resume(_read(job_table), run)
        spent = job_table.claim(IMAGE, run, owner).spent
        assert spent is not None
        for seq in range(5):
            outcomes = bytes(rng.choices((1, 2), k=2_500))
            ledger.merge([(2_500 * (5 * number + seq), outcomes)], {})
            flush = Flush(0, 0, ledger.encode(), {}, None, None, 0, 10**9, None, spent)
            spent = spent.plus(job_table.flush(IMAGE, run, owner, seq, flush))
    job_table.writer.meta.events.unregister("after-call.dynamodb", unique_id="cost")
    last = _read(job_table).spent
    assert last is not None
    assert last.writes == len(charged) == 1 + 3 + 2 + 15
    assert last.wcu == pytest.approx(sum(charged), abs=2)


def _read(table: JobTable) -> JobItem:
    read = table.read(IMAGE)
    assert read is not None
    return read
