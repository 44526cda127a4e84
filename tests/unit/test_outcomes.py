"""Outcomes on their way: what many tiles at a time do is what one tile at a time would."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raytracker import ImageTracker, JobTable
from raytracker.actor import Spec
from raytracker.errors import UnknownRegion
from raytracker.ledger import ERROR, RETURNED, SUCCESS, Layout, Outcomes
from raytracker.run.arrays import spans_of_arrays

SIZE = 1200  # more than two pages
RISING = b"\0" + RETURNED + ERROR + SUCCESS  # the order, spelt out

# Mostly short, here and there one that goes over the borders of pages.
_short = st.lists(st.integers(0, 3), min_size=1, max_size=6).map(bytes)
_long = st.builds(
    lambda outcome, n: outcome * n, st.sampled_from([ERROR, SUCCESS, RETURNED]), st.integers(1, 700)
)
spans = st.tuples(st.integers(0, SIZE - 701), _short | _long)


def known(outcomes: Outcomes) -> bytes:
    return bytes(outcomes[number] for number in range(SIZE))


def laid(base: bytes, reported: list[tuple[int, bytes]]) -> bytes:
    """The oracle: the greater outcome of each tile, one by one."""
    tiles = bytearray(base)
    for first, outcomes in reported:
        for number, outcome in enumerate(outcomes, first):
            tiles[number] = max(tiles[number], outcome, key=RISING.index)
    return bytes(tiles)


@given(st.lists(spans, max_size=12))
def test_joining_takes_the_greater_of_each_tile(reported: list[tuple[int, bytes]]) -> None:
    """And the news of each span, laid together, are all that is known."""
    outcomes, news = Outcomes(), []
    for span in reported:
        news += outcomes.join(*span)
    assert known(outcomes) == laid(bytes(SIZE), reported)
    assert len(outcomes) == SIZE - known(outcomes).count(0)
    assert laid(bytes(SIZE), news) == known(outcomes)
    assert known(Outcomes(outcomes.spans())) == known(outcomes) == known(outcomes.copy())


@given(st.lists(spans, max_size=8))
def test_what_is_known_is_no_news(reported: list[tuple[int, bytes]]) -> None:
    outcomes = Outcomes(reported)
    assert [outcomes.join(*span) for span in reported] == [[] for _ in reported]


@given(st.lists(spans, max_size=8), st.lists(spans, max_size=4))
def test_releasing_lets_go_of_what_is_not_greater(
    reported: list[tuple[int, bytes]], durable: list[tuple[int, bytes]]
) -> None:
    """A success stays held where only its error is durable."""
    outcomes = Outcomes(reported)
    for span in durable:
        outcomes.release(*span)
    held, gone = laid(bytes(SIZE), reported), laid(bytes(SIZE), durable)
    assert known(outcomes) == bytes(
        h if RISING.index(h) > RISING.index(g) else 0 for h, g in zip(held, gone, strict=True)
    )
    assert len(outcomes) == SIZE - known(outcomes).count(0)


@given(st.lists(spans, max_size=8), spans)
def test_untold_is_what_nobody_spoke_of(
    reported: list[tuple[int, bytes]], span: tuple[int, bytes]
) -> None:
    said = known(Outcomes(reported))
    first, outcomes = span
    untold = Outcomes(reported).untold(first, outcomes)
    assert list(untold) == [
        0 if said[number] else outcome for number, outcome in enumerate(outcomes, first)
    ]


@given(
    st.lists(st.integers(1, 9) | st.just(900), min_size=1, max_size=12).map(Layout.of),
    st.data(),
)
def test_arrays_report_what_single_reports_would(layout: Layout, data: st.DataObject) -> None:
    """Regions in any order, also repeated; all their tiles, or some."""
    np = pytest.importorskip("numpy")
    regions = data.draw(st.lists(st.integers(0, layout.region_count - 1), max_size=20))
    tiles = [data.draw(st.integers(0, len(layout.tiles(region)) - 1)) for region in regions]
    expected = Outcomes((layout.tiles(r).start, b"\1" * len(layout.tiles(r))) for r in regions)
    found, firsts = spans_of_arrays(layout, np.array(regions, dtype=np.uint16), None, b"\1")
    assert list(Outcomes(found).spans()) == list(expected.spans())
    assert firsts == sorted({layout.tiles(region).start for region in regions})
    numbers = [layout.tile_number(*key) for key in zip(regions, tiles, strict=True)]
    found, firsts = spans_of_arrays(
        layout, np.array(regions, dtype=int), np.array(tiles, int), b"\2"
    )
    assert list(Outcomes(found).spans()) == list(Outcomes((n, b"\2") for n in numbers).spans())
    assert firsts == sorted(set(numbers))


def test_arrays_that_name_no_tile_are_refused() -> None:
    """The error names the value and what there is."""
    np = pytest.importorskip("numpy")
    layout = Layout.of([2, 3])
    with pytest.raises(UnknownRegion, match="region 2: this image has regions 0 to 1"):
        spans_of_arrays(layout, np.array([0, 2]), None, b"\2")
    with pytest.raises(UnknownRegion, match="region -1"):
        spans_of_arrays(layout, np.array([-1]), None, b"\2")
    with pytest.raises(UnknownRegion, match="tile 2: its region has tiles 0 to 1"):
        spans_of_arrays(layout, np.array([1, 0]), np.array([2, 2]), b"\2")
    with pytest.raises(TypeError, match=r"region: an integer or an array of integers, not float64"):
        spans_of_arrays(layout, np.array([0.0]), None, b"\2")


def test_without_numpy_arrays_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what `report` takes, and what is missing."""
    monkeypatch.setitem(sys.modules, "raytracker.run.arrays", None)
    tracker = ImageTracker(Spec("scene", "run", JobTable("jobs")), Layout.of(3))
    with pytest.raises(TypeError, match=r"region \[0, 1\], tile None: integers, or numpy arrays"):
        tracker.report([0, 1])
