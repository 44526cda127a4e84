"""The ledger is a join-semilattice, and its encoding is exact."""

from __future__ import annotations

import random
import sys
import time
import zlib
from itertools import product
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raytracker.errors import InvalidLayout, LedgerError, UnknownRegion
from raytracker.ledger import (
    ERROR,
    MAX_REASON_BYTES,
    MAX_REASONS,
    RETURNED,
    SUCCESS,
    Layout,
    Ledger,
    Outcome,
    clip_reason,
)
from raytracker.ledger.outcomes import join

FOLDER = Path(sys.modules[Ledger.__module__].__file__ or "").parent

layouts = st.lists(st.integers(1, 9), min_size=1, max_size=12).map(Layout.of)
texts = st.text(max_size=5)
RISING = b"\0" + RETURNED + ERROR + SUCCESS  # the order, spelt out


@st.composite
def layout_and_reports(draw: st.DrawFn) -> tuple[Layout, list[tuple[int, int, str | None]]]:
    layout = draw(layouts)
    report = st.tuples(
        st.integers(0, layout.tile_count - 1), st.sampled_from([1, 2, 3]), st.none() | texts
    )
    return layout, draw(st.lists(report, max_size=60))


def merged(layout: Layout, reports: list[tuple[int, int, str | None]]) -> Ledger:
    ledger = Ledger(layout)
    for number, outcome, reason in reports:
        ledger.merge([(number, bytes([outcome]))], {} if reason is None else {number: reason})
    return ledger


def counted_by_hand(ledger: Ledger) -> tuple[int, int, int, int]:
    tiles = ledger.tile_outcomes()
    regions = [[tiles[n] for n in numbers] for numbers in ledger.layout.regions()]
    return (
        sum(all(o in (2, 3) for o in region) for region in regions),
        sum(all(region) and 1 in region for region in regions),
        tiles.count(2) + tiles.count(3),
        tiles.count(1),
    )


def counts(ledger: Ledger) -> tuple[int, int, int, int]:
    return (ledger.region_success, ledger.region_error, ledger.tile_success, ledger.tile_error)


def test_joining_is_associative_commutative_and_idempotent() -> None:
    """For all outcomes there are: a returned task, an error and a success in any order."""
    triples = bytes(a for triple in product(RISING, repeat=3) for a in triple)
    a, b, c = (triples[i::3] for i in range(3))
    assert join(a, b) == join(b, a)
    assert join(a, join(b, c)) == join(join(a, b), c)
    assert join(a, a) == a
    assert join(a, b) == bytes(max(pair, key=RISING.index) for pair in zip(a, b, strict=True))


@given(layout_and_reports(), st.randoms(use_true_random=False))
def test_order_and_repetition_do_not_matter(case, rng: random.Random) -> None:
    """Any order of the same reports, any of them repeated, gives the same ledger."""
    layout, reports = case
    again = reports + [rng.choice(reports) for _ in range(len(reports) and 10)]
    rng.shuffle(again)
    assert merged(layout, again) == merged(layout, reports)
    assert counts(merged(layout, again)) == counts(merged(layout, reports))


@given(layout_and_reports())
def test_each_tile_ends_with_the_greatest_outcome(case) -> None:
    """A success replaces an error, and both what was concluded; never the other way round."""
    layout, reports = case
    tiles = merged(layout, reports).tile_outcomes()
    for number in range(layout.tile_count):
        known = [o for n, o, _ in reports if n == number]
        assert tiles[number] == max(known, default=0, key=RISING.index)


@given(layout_and_reports())
def test_counts_are_those_of_the_tiles(case) -> None:
    """A region is settled when all its tiles are; a success if none of them failed."""
    ledger = merged(*case)
    assert counts(ledger) == counted_by_hand(ledger)
    assert ledger.settled == (0 not in ledger.tile_outcomes())
    assert ledger.pending() == [
        r for r, numbers in enumerate(ledger.layout.regions())
        if 0 in (ledger.tile_outcomes()[n] for n in numbers)
    ]  # fmt: skip
    assert [ledger.layout.tile_number(*key) for key in ledger.pending_tiles()] == [
        n for n, outcome in enumerate(ledger.tile_outcomes()) if outcome == 0
    ]
    assert set(ledger.failed()) == {
        r for r in range(ledger.layout.region_count) if ledger.outcome(r) is Outcome.ERROR
    }


def test_an_error_that_comes_later_is_counted() -> None:
    """A task returned and said nothing, then a task inside it reported an error, then a success."""
    for layout in (Layout.of(1), Layout.of([2])):
        ledger = Ledger(layout)
        ledger.merge([(0, RETURNED * layout.tile_count)], {})
        assert (ledger.settled, ledger.outcome(0)) == (True, Outcome.SUCCESS)
        assert counts(ledger) == (1, 0, layout.tile_count, 0)
        assert ledger.merge([(0, ERROR)], {0: "inside"})
        assert ledger.failed() == {0: "inside"}
        assert counts(ledger) == (0, 1, layout.tile_count - 1, 1)
        assert not ledger.merge([(0, RETURNED)], {})
        assert ledger.merge([(0, SUCCESS)], {})
        assert counts(ledger) == (1, 0, layout.tile_count, 0)
        assert ledger.outcome(0) is Outcome.SUCCESS


def test_an_interrupted_merge_leaves_the_counts_right() -> None:
    """SIGTERM makes Ray raise SystemExit wherever the actor is, and a last flush follows."""
    interrupted_after = 0  # lines of the ledger's code
    while True:
        ledger = merged(Layout.of([2, 1, 2, 1]), [(0, 1, None), (2, 1, None)])
        lines = 0

        def trace(frame: FrameType, event: str, argument: object) -> Any:
            nonlocal lines
            if Path(frame.f_code.co_filename).parent == FOLDER:
                lines += event == "line"
                if lines > interrupted_after:  # noqa: B023
                    raise SystemExit
            return trace

        before = sys.gettrace()
        try:
            sys.settrace(trace)
            ledger.merge([(0, bytes([2, 2])), (2, bytes([2, 1, 2, 2]))], {3: "clouds"})
        except SystemExit:
            assert counts(ledger) == counted_by_hand(ledger), f"after {interrupted_after} lines"
        else:
            break
        finally:
            sys.settrace(before)
        interrupted_after += 1
    assert interrupted_after > 20


@given(layout_and_reports())
def test_merging_tells_whether_anything_changed(case) -> None:
    """A report that tells nothing new changes nothing: it needs no flush."""
    layout, reports = case
    ledger = merged(layout, reports)
    for number, outcome, reason in reports:
        assert not ledger.merge(
            [(number, bytes([outcome]))], {} if reason is None else {number: reason}
        )


@given(layout_and_reports())
def test_encoding_is_exact(case) -> None:
    """A decoded ledger equals the encoded one in every part, also in its counts."""
    ledger = merged(*case)
    back = Ledger.decode(ledger.encode(), ledger.reasons())
    assert back == ledger
    assert counts(back) == counts(ledger)
    assert back.pending() == ledger.pending()
    assert len(ledger.encode()) <= Ledger.max_encoded_bytes(ledger.layout)


@given(layout_and_reports())
def test_a_redrive_keeps_successes_only(case) -> None:
    """Without its errors, a ledger has the same successes, and is pending elsewhere."""
    ledger = merged(*case)
    redriven = ledger.without_errors()
    assert redriven.tile_outcomes() == bytes(o if o != 1 else 0 for o in ledger.tile_outcomes())
    assert counts(redriven) == counted_by_hand(redriven)
    assert redriven.reasons() == {}


def test_large_layouts_encode_and_count() -> None:
    """Regions of more tiles than a byte or two can count."""
    for sizes in ([1] * 700, [300] * 3, [70_000, 2], [1, 5, 1, 256]):
        ledger = Ledger(Layout.of(sizes))
        rng = random.Random(len(sizes))
        ledger.merge([(0, bytes(rng.choices((1, 2, 3), k=ledger.layout.tile_count)))], {})
        assert counts(ledger) == counted_by_hand(ledger)
        assert Ledger.decode(ledger.encode()) == ledger


def test_outcomes_take_two_bits_a_tile() -> None:
    """Incompressible outcomes of a million tiles fit into 250 KB and a little."""
    ledger = Ledger(Layout.of(1_000_000))
    assert Ledger.max_encoded_bytes(ledger.layout) < 250_100


@given(st.binary(max_size=80))
def test_garbage_is_refused(data: bytes) -> None:
    """Bytes that are no ledger raise LedgerError, and nothing else."""
    with pytest.raises(LedgerError):
        Ledger.decode(data)


@given(layout_and_reports(), st.data())
def test_a_damaged_ledger_is_refused(case, data: st.DataObject) -> None:
    """One flipped bit, or a byte missing at the end, is noticed."""
    encoded = bytearray(merged(*case).encode())
    with pytest.raises(LedgerError):
        Ledger.decode(bytes(encoded[: data.draw(st.integers(0, len(encoded) - 1))]))
    encoded[data.draw(st.integers(0, len(encoded) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(LedgerError):
        Ledger.decode(bytes(encoded))


def _with_body(body: bytes, version: int = 1, coding: int = 0) -> bytes:
    return b"RTL" + bytes([version, coding]) + zlib.crc32(body, coding).to_bytes(4, "little") + body


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (_with_body(b"\x01\x02\x01\x00", version=9), "version 9"),
        (_with_body(b"\x01\x02\x01\x00", version=0), "version 0"),
        (_with_body(b"no zlib", coding=1), "damaged"),
        (_with_body(zlib.compress(b"\x01\x02\x01\x00")[:-1], coding=1), "damaged"),
        (_with_body(zlib.compress(b"\x01\x02\x01\x00") + b"more", coding=1), "damaged"),
        (_with_body(b"\x01\x02\x01"), "0 bytes of outcomes"),
        (_with_body(b"\x01\x02\x01\x0f"), "tile 0"),
        (_with_body(b"\x01\x02\x00\x00"), "0 tiles"),
        (_with_body(b"\x01\x82"), "truncated"),
    ],
)
def test_an_unreadable_ledger_says_why(data: bytes, text: str) -> None:
    """The message names what is wrong."""
    with pytest.raises(LedgerError, match=text):
        Ledger.decode(data)


def test_a_ledger_of_version_1_is_read() -> None:
    """It is what an item holds that was begun before there was RETURNED."""
    ledger = Ledger.decode(_with_body(b"\x01\x03\x01\x06"))  # three regions of a tile
    assert ledger.tile_outcomes() == SUCCESS + ERROR + b"\0"
    assert counts(ledger) == (1, 1, 1, 1)
    assert Ledger.decode(ledger.encode()) == ledger
    assert ledger.encode()[3] == 2


@pytest.mark.parametrize(
    ("plain", "coding"),
    [
        (b"\x80" * 40_000_000, 1),  # of zlib, 39 KB
        (bytes(40_000_000), 1),
        (b"\x80" * 300_000, 0),
        (b"\x01" + b"\xff\xff\xff\x7f" * 2, 0),  # regions and tiles that nobody has
        (b"\xff\xff\xff\x7f" + b"\x01\x01" * 100, 0),
    ],
    ids=["number", "zeros", "number without zlib", "tiles", "runs"],
)
def test_a_bomb_is_refused_at_once(plain: bytes, coding: int) -> None:
    """What an item says of its sizes costs neither minutes nor gigabytes."""
    data = _with_body(zlib.compress(plain) if coding else plain, coding=coding)
    began = time.perf_counter()
    with pytest.raises(LedgerError):
        Ledger.decode(data)
    assert time.perf_counter() - began < 0.5


@pytest.mark.parametrize("regions", [0, -3, [], [3, 0], [4, -1]])
def test_an_empty_layout_is_refused(regions: int | list[int]) -> None:
    """An image has a region at least, a region a tile."""
    with pytest.raises(InvalidLayout):
        Layout.of(regions)


@given(layouts)
def test_tiles_are_numbered_region_by_region(layout: Layout) -> None:
    """`tile_number` and `locate` are each other's inverse, and cover all tiles in order."""
    keys = [(r, t) for r, numbers in enumerate(layout.regions()) for t in range(len(numbers))]
    assert [layout.tile_number(*key) for key in keys] == list(range(layout.tile_count))
    assert [layout.locate(number) for number in range(layout.tile_count)] == keys
    assert Layout.decode(layout.encode()) == layout


def test_unknown_regions_and_tiles_are_named() -> None:
    """The message says which there are."""
    layout = Layout.of([3, 2])
    with pytest.raises(UnknownRegion, match=r"region 2: .* 0 to 1"):
        layout.tiles(2)
    with pytest.raises(UnknownRegion, match="region -1"):
        layout.tiles(-1)
    with pytest.raises(UnknownRegion, match=r"tile 2 of region 1: it has tiles 0 to 1"):
        layout.tile_number(1, 2)
    with pytest.raises(UnknownRegion, match=r"tile 5"):
        Ledger(layout).merge([(3, b"\2\2\2")], {})


def test_reasons_are_bounded() -> None:
    """The lowest 100 tile numbers keep their reason, each cut to 200 bytes between characters."""
    ledger = Ledger(Layout.of(500))
    ledger.merge([(0, ERROR * 500)], dict.fromkeys(reversed(range(500)), "é" * 300))
    assert sorted(ledger.reasons()) == list(range(MAX_REASONS))
    assert all(len(text.encode()) == MAX_REASON_BYTES for text in ledger.reasons().values())
    assert clip_reason("a" + "é" * 300).encode() == b"a" + "é".encode() * 99
    assert ledger.failed()[499] == "no reason kept"


def test_the_reason_of_a_region_is_that_of_a_failed_tile() -> None:
    """A tile that succeeded in the end does not speak for its region."""
    ledger = Ledger(Layout.of([3]))
    ledger.merge([(0, ERROR * 2 + SUCCESS)], {0: "flaky", 1: "broken"})
    ledger.merge([(0, SUCCESS)], {})
    assert ledger.failed() == {0: "broken"}
