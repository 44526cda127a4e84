"""The classes of failed tiles are a join, tile by tile, and never more than they have room for."""

from __future__ import annotations

import random
import re
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raytracker.errors import UnknownRegion
from raytracker.ledger import (
    ERROR,
    MAX_CLASSES_BYTES,
    SUCCESS,
    Classes,
    ClassSpan,
    Layout,
    Ledger,
    class_of,
    classes_of,
    reason_of,
)
from raytracker.ledger import classes as module

TILES = 1200  # more than two pages

spans = st.tuples(
    st.integers(0, TILES - 40),
    st.lists(st.sampled_from([0, 0, 1, 1, 2, 3]), min_size=1, max_size=40).map(bytes),
    st.sampled_from(["ValueError", "KeyError", "out of memory", "Ä", "x" * 100]),
)
many = st.lists(spans, max_size=12)
outcomes = st.lists(st.sampled_from(b"\0\1\1\1\2\3"), min_size=1, max_size=TILES).map(bytes)


def joined(told: list[ClassSpan]) -> Classes:
    classes = Classes()
    for span in told:
        classes.join(*span)
    return classes


def expected(told: list[ClassSpan]) -> dict[int, str]:
    """Returns the first class, in alphabetical order, that each tile was told to have."""
    found: dict[int, str] = {}
    for first, span, name in told:
        for tile, outcome in enumerate(span, first):
            if outcome == ERROR[0]:
                found[tile] = min(name[:64], found.get(tile, name[:64]))
    return found


@given(told=many, data=st.data())
def test_order_and_repetition_do_not_matter(told: list[ClassSpan], data: st.DataObject) -> None:
    """Commutative, associative and idempotent, against a plain dictionary."""
    again = data.draw(st.permutations(told * 2))
    classes = joined(again)
    found = [(tile, n) for at, span, n in classes.spans() for tile, is_one in enumerate(span, at)
             if is_one]  # fmt: skip
    assert dict(found) == expected(told)
    assert len(found) == len(dict(found))
    at = data.draw(st.integers(0, len(told)))
    parts = joined([*joined(told[at:]).spans(), *joined(told[:at]).spans()])
    assert parts == classes
    assert not any(classes.join(*span) for span in told)


@given(names=st.permutations(range(40)), data=st.data())
def test_of_too_many_classes_the_first_are_kept(names: list[int], data: st.DataObject) -> None:
    """By name, whatever came first; a tile never gets a class instead of a lesser one."""
    told = [(at % 30, ERROR, f"E{name:02}") for at, name in enumerate(names)]
    kept = sorted({name for _, _, name in told})[: module.MAX_CLASSES]
    want = {tile: name for tile, name in expected(told).items() if name in kept}
    classes = joined(data.draw(st.permutations(told)))
    assert classes.of_failed(ERROR * 30) == [want.get(tile) for tile in range(30)]


@given(told=many, tiles=outcomes)
def test_what_was_encoded_is_decoded(told: list[ClassSpan], tiles: bytes) -> None:
    """Of all tiles that are errors, and of no others."""
    classes, want = joined(told), expected(told)
    data = classes.encode(tiles)
    assert len(data) <= MAX_CLASSES_BYTES
    of_failed = [want.get(tile) for tile, outcome in enumerate(tiles) if outcome == ERROR[0]]
    assert classes.of_failed(tiles) == of_failed
    again = Classes.decode(data, tiles)
    assert again.of_failed(tiles) == of_failed
    assert again.encode(tiles) == data
    assert bool(data) == any(of_failed)
    assert all(first + len(span) <= len(tiles) for first, span, _ in again.spans())


@given(told=many, released=st.lists(spans, max_size=5))
def test_what_is_released_is_known_no_more(
    told: list[ClassSpan], released: list[ClassSpan]
) -> None:
    """Whatever the span says of a tile; a copy keeps it."""
    classes = joined(told)
    copy = classes.copy()
    gone = set()
    for first, span, _ in released:
        classes.release(first, span)
        gone |= {tile for tile, outcome in enumerate(span, first) if outcome}
    want = {tile: name for tile, name in expected(told).items() if tile not in gone}
    assert classes.of_failed(ERROR * TILES) == [want.get(tile) for tile in range(TILES)]
    assert bool(classes) == bool(want)
    assert copy == joined(told)


def test_where_room_ends_the_lowest_tiles_are_known() -> None:
    """As many whatever the order was; the size holds for the worst names and runs."""
    names = [f"{n:02}" + "x" * 62 for n in range(31)]
    rng, told, at = random.Random(0), list[ClassSpan](), 0
    for _ in range(15_000):  # as many as can be in a byte each, so that zlib finds nothing to do
        told.append((at, ERROR * rng.randint(1, 7), rng.choice(names)))
        at += len(told[-1][1])
    tiles = ERROR * at
    classes = joined(told)
    data = classes.encode(tiles)
    assert data == joined(told[::-1]).encode(tiles)
    assert len(data) <= MAX_CLASSES_BYTES
    all_known = classes.of_failed(tiles)
    known = Classes.decode(data, tiles).of_failed(tiles)
    upto = known.index(None)
    assert known[:upto] == all_known[:upto]
    assert known[upto:] == [None] * (len(tiles) - upto)
    assert upto > 4 * 10_000


def test_a_million_tiles_of_which_one_in_a_hundred_failed_are_known_in_full() -> None:
    """In five classes that follow no order."""
    tiles = bytearray(SUCCESS * 10**6)
    classes = Classes()
    for at, n in enumerate(range(50, 10**6, 100)):
        tiles[n] = 1
        classes.join(n, ERROR, f"E{at * at * 7919 // 16 % 5}")
    data = classes.encode(bytes(tiles))
    assert Classes.decode(data, bytes(tiles)) == classes
    assert len(data) < 5000


@given(data=st.binary(max_size=60), at=st.integers(0, 10**4), flip=st.integers(1, 255))
def test_damage_leaves_nothing_known(data: bytes, at: int, flip: int) -> None:
    """Of bytes by chance, and with the right checksum; of a byte that was changed."""
    tiles = ERROR * 9
    assert not Classes.decode(data, tiles)
    for body in (data, zlib.compress(data)):
        right = zlib.crc32(body, zlib.crc32(tiles)).to_bytes(4, "little") + body
        assert len(Classes.decode(right, tiles).of_failed(tiles)) == 9
    good = bytearray(joined([(2, ERROR * 3, "ValueError")]).encode(tiles))
    good[at % len(good)] ^= flip
    assert not Classes.decode(bytes(good), tiles)


def test_classes_of_another_ledger_are_not_known() -> None:
    """Somebody who knows nothing of classes wrote outcomes since."""
    classes = joined([(0, ERROR * 4, "ValueError")])
    data = classes.encode(ERROR * 4)
    assert Classes.decode(data, ERROR * 4) == classes
    assert not Classes.decode(data, ERROR * 3 + SUCCESS + ERROR)


def test_a_bomb_is_not_inflated() -> None:
    """40 MB that zlib makes small, and one run of more tiles than there are."""
    tiles = ERROR * 9
    for plain in (b"\x01\x01A" + b"\x0f" + b"\xff" * 40_000_000, b"\x01\x01A\x0f\xff\xff\xff\x7f"):
        body = zlib.compress(plain)
        data = zlib.crc32(body, zlib.crc32(tiles)).to_bytes(4, "little") + body
        assert not Classes.decode(data, tiles)


@pytest.mark.parametrize(
    ("reason", "name"),
    [
        (reason_of(ValueError("bad: worse")), "ValueError"),
        (reason_of(KeyError()), "KeyError"),
        ("rasterio.errors.RasterioIOError: no file", "rasterio.errors.RasterioIOError"),
        ("worker died: WorkerCrashedError: it has gone", "worker died"),
        ("out of memory", "out of memory"),
        ("cancelled: TaskCancelledError", "cancelled"),
        ("clouds: 80 %", "clouds"),
        ("clouds", "clouds"),
        ("80 % clouds", "reported"),
        ("too cloudy: 80 %", "reported"),
        ("https://nowhere", "reported"),
        ("", "reported"),
        ("\ud800", "reported"),
        ("é" * 60 + ": x", "é" * 32),
    ],
)
def test_the_class_of_a_reason_is_its_first_word(reason: str, name: str) -> None:
    """An exception's type, one of the few words of what no task can say, or somebody's own."""
    assert class_of(reason) == name
    assert list(classes_of({7: reason})) == [(7, ERROR, name)]


def test_a_success_drops_the_class_of_a_tile() -> None:
    """Whichever came first; and a redrive drops all."""
    layout = Layout.of([4])
    ledger = Ledger(layout)
    told = [(0, ERROR * 4, "ValueError")]
    assert ledger.merge([(1, SUCCESS), (0, ERROR * 4)], {}, told)
    assert not ledger.merge([(1, SUCCESS), (0, ERROR * 4)], {}, told)
    assert ledger.classes_of_failed() == ["ValueError"] * 3
    assert [ledger.class_of(tile) for tile in range(4)] == [
        "ValueError", None, "ValueError", "ValueError",
    ]  # fmt: skip
    assert ledger.merge([(0, SUCCESS)], {})
    assert ledger.classes_of_failed() == ["ValueError"] * 2
    data = ledger.classes().encode(ledger.tile_outcomes())
    assert Ledger.decode(ledger.encode(), {}, data) == ledger
    assert Ledger.decode(ledger.encode(), {}).classes_of_failed() == [None, None]
    redriven = ledger.without_errors()
    redriven.merge([(2, ERROR)], {})
    assert redriven.classes_of_failed() == [None]


def test_a_region_whose_text_is_not_kept_has_its_class() -> None:
    """Beside others: failed and not settled, a success, and one of which nothing is known."""
    ledger = Ledger(Layout.of([2, 2, 2, 2, 2]))
    told = ERROR + b"\0" + SUCCESS * 2 + ERROR * 6
    classes = [(0, ERROR, "A"), (5, ERROR, "B"), (8, ERROR * 2, "C")]
    ledger.merge([(0, told)], {8: "C: of tile 8"}, classes)
    assert ledger.failed() == {2: "B", 3: "no reason kept", 4: "C: of tile 8"}


def test_a_class_that_comes_after_its_error_is_news() -> None:
    """The ledger is to be flushed for it."""
    ledger = Ledger(Layout.of([4]))
    assert ledger.merge([(0, ERROR)], {})
    assert ledger.merge([], {}, [(0, ERROR, "KeyError")])
    assert ledger.classes_of_failed() == ["KeyError"]


def test_the_class_of_no_tile_is_refused() -> None:
    """Before anything is merged."""
    ledger = Ledger(Layout.of([4]))
    with pytest.raises(UnknownRegion, match=re.escape("tile 4")):
        ledger.merge([(0, ERROR)], {}, [(3, ERROR * 2, "KeyError")])
    assert ledger.tile_error == 0
