"""Reasons are clipped, and limited in number, where they arise."""

from __future__ import annotations

import pickle
import tracemalloc
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from raytracker.actor import Batch, Spec
from raytracker.actor.early import Early
from raytracker.ledger import (
    ERROR,
    MAX_REASON_BYTES,
    MAX_REASONS,
    SUCCESS,
    Layout,
    Ledger,
    lowest_reasons,
    reason_of,
)
from raytracker.mapping.attempt import Attempt
from raytracker.mapping.chunks import reporting
from raytracker.reporter.held import Held
from raytracker.run.reports import report_of
from tests.support.world import World, progress

LONG = "x" * 10_000_000


def test_a_reason_is_clipped_where_it_arises() -> None:
    """An exception's text may be an image."""
    assert len(reason_of(ValueError(LONG))) == MAX_REASON_BYTES
    _, reasons, _ = report_of(Layout.of(2), 0, None, True, LONG)
    assert [len(text) for text in reasons.values()] == [MAX_REASON_BYTES]


def test_what_a_chunk_answers_is_small() -> None:
    """A function tells reasons of its own."""

    class Fake:
        spec = None
        layout = Layout.of(10)

    answer = reporting(cast(Any, Fake), lambda keys: dict.fromkeys(keys, LONG))(range(10))
    assert len(pickle.dumps(answer)) < 10 * (MAX_REASON_BYTES + 50) + 500


def test_an_attempt_keeps_as_many_reasons_as_a_ledger() -> None:
    """They travel to the driver with its result."""
    attempt = Attempt(cast(Spec, None))
    for number in reversed(range(10_000)):
        attempt.add([(number, ERROR)], {number: "clouds"})
    _, reasons, _ = attempt.told()
    assert sorted(reasons) == list(range(MAX_REASONS))


def test_a_reporter_keeps_as_many_reasons_as_a_ledger() -> None:
    """While nothing becomes durable: once over at most, as it is tidied now and then."""
    held = Held(cast(Spec, None))
    for number in reversed(range(20_000)):
        held.add([(number, ERROR)], {number: f"clouds {number}"})
    assert len(held.outcomes) == 20_000
    assert len(held._reasons) <= 2 * MAX_REASONS + 1
    batch = held.take()
    assert sorted(batch.reasons) == list(range(MAX_REASONS))
    held.send_all_again()
    assert sorted(held.take().reasons) == list(range(MAX_REASONS))


def test_errors_while_the_table_is_away_take_no_memory() -> None:
    """A hundred thousand batches of one error each: some megabytes, and all of them count."""
    world = World(100_000)
    coordinator = world.open()
    tracemalloc.start()
    for number in range(100_000):
        coordinator.report(Batch([(number, ERROR)], {number: "clouds" * 20}))
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size < 2_000_000
    coordinator.step()
    assert progress(coordinator).region_error == 100_000
    assert len(coordinator.view().reasons) == MAX_REASONS


@given(
    st.lists(
        st.dictionaries(st.integers(0, 300), st.text(min_size=1, max_size=2), max_size=150),
        max_size=6,
    )
)
def test_a_ledger_is_the_same_of_what_is_left(told: list[dict[int, str]]) -> None:
    """Reasons that are dropped on the way are none that it would keep."""
    ledger, joined, early = Ledger(Layout.of(301)), Ledger(Layout.of(301)), Early()
    for reasons in told:
        spans = [(number, ERROR) for number in reasons]
        ledger.merge(spans, reasons)
        early.add(Batch(spans, lowest_reasons(reasons)))
    for batch in early.take(301):
        joined.merge(batch.spans, batch.reasons)
    assert joined.tile_outcomes() == ledger.tile_outcomes()
    assert set(joined.reasons()) == set(ledger.reasons())


def test_what_came_early_is_taken_once() -> None:
    """In parts; with what kind of batch it was."""
    early = Early()
    early.add(Batch([(0, SUCCESS)], {}, sole=True))
    early.add(Batch([(2000, ERROR)], {2000: "clouds"}))
    batches = list(early.take(3000))
    assert [batch.spans for batch in batches] == [[(0, SUCCESS)], [(2000, ERROR)]]
    assert all(batch.sole for batch in batches)
    assert batches[1].reasons == {2000: "clouds"}
    assert list(early.take(3000)) == []
