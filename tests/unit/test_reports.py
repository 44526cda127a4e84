"""What may be given to `report`, `region` and `tile`, and what is refused before it is told."""

from __future__ import annotations

import re
from typing import Any

import pytest

from raytracker.errors import UnknownRegion
from raytracker.ledger import ERROR, SUCCESS, Layout, Outcomes, clip_reason, reason_of
from raytracker.run import report_of, span_of

np = pytest.importorskip("numpy")
LAYOUT = Layout.of([2, 3])


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


def spans(region: Any, tile: Any = None, error: Any = False, reason: Any = None) -> list[Any]:
    return list(Outcomes(report_of(LAYOUT, region, tile, error, reason)[0]).spans())


@pytest.mark.parametrize(
    "one", [1, np.uint8(1), np.int64(1), np.array(1), np.array(1, dtype=np.uint64)]
)
def test_whatever_is_an_integer_is_one(one: Any) -> None:
    """Python's, numpy's, and numpy's arrays without a dimension."""
    assert spans(one) == [(2, SUCCESS * 3)]
    assert spans(one, one) == [(3, SUCCESS)]
    assert span_of(LAYOUT, one, one, ERROR) == [(3, ERROR)]


@pytest.mark.parametrize("many", [[0, 1], range(2), (np.int8(0), 1), np.array([0, 1])])
def test_many_are_a_list_or_an_array(many: Any) -> None:
    """Of regions, or of tiles of one region."""
    assert spans(many) == [(0, SUCCESS * 5)]
    assert spans(many, 1) == [(1, SUCCESS + b"\0" + SUCCESS)]
    assert spans(1, many) == [(2, SUCCESS * 2)]
    assert spans([]) == []


@pytest.mark.parametrize(
    "value", [True, np.True_, 1.0, np.float32(1), "1", b"1", object(), np.array(1.0)]
)
def test_what_is_no_integer_is_refused(value: Any) -> None:
    """By its value, what it is, and what to give."""
    said = rf"={re.escape(repr(value))} is a {type(value).__name__}: give an integer"
    with pytest.raises(TypeError, match=f"region{said}"):
        report_of(LAYOUT, value, None, False, None)
    with pytest.raises(TypeError, match=f"tile{said}"):
        report_of(LAYOUT, 0, value, False, None)
    with pytest.raises(TypeError, match=f"tile{said}"):
        span_of(LAYOUT, 0, value, SUCCESS)


def test_no_region_is_none() -> None:
    """A tile may be left out, its region may not; nor may a block have several."""
    with pytest.raises(TypeError, match="region=None is a NoneType: give an integer"):
        report_of(LAYOUT, None, 1, False, None)
    with pytest.raises(TypeError, match=r"region=\[0, 1\] is a list: give an integer"):
        span_of(LAYOUT, [0, 1], None, SUCCESS)
    with pytest.raises(UnknownRegion, match="region 2"):
        report_of(LAYOUT, 2, None, False, None)


@pytest.mark.parametrize("failed", [True, np.True_, np.array(True)])
def test_an_error_is_a_bool(failed: Any) -> None:
    """Python's or numpy's."""
    assert spans(0, error=failed) == [(0, ERROR * 2)]
    assert spans(0, error=failed ^ True) == [(0, SUCCESS * 2)]


@pytest.mark.parametrize("failed", [1, 0, None, "no", np.array([True]), np.int8(1)])
def test_what_is_no_bool_is_no_error(failed: Any) -> None:
    """A 1 may be anything."""
    with pytest.raises(TypeError, match=r"error=.* is a .*: True or False"):
        report_of(LAYOUT, 0, None, failed, None)


def test_an_exception_is_a_reason_not_an_error() -> None:
    """The message says where it goes."""
    with pytest.raises(TypeError, match=r"ValueError.*say error=True, reason="):
        report_of(LAYOUT, 0, None, ValueError("x"), None)


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        ("clouds", "clouds"),
        (np.str_("clouds"), "clouds"),
        (ValueError("clouds\nand haze"), "ValueError: clouds"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (Unspeakable(), "Unspeakable: (its text cannot be made: RuntimeError)"),
    ],
)
def test_a_reason_is_a_text_or_an_exception(reason: Any, text: str) -> None:
    """Which is told by its type and its first line; a plain text comes out."""
    _, reasons, _ = report_of(LAYOUT, [0, 1], None, True, reason)
    assert reasons == {0: text, 2: text}
    assert all(type(each) is str for each in reasons.values())


def test_no_reason_is_none() -> None:
    """An empty one neither; and a success has none."""
    assert report_of(LAYOUT, 0, None, True, None)[1:] == ({}, [])
    assert report_of(LAYOUT, 0, None, True, "")[1] == {}
    assert report_of(LAYOUT, 0, None, False, "clouds")[1] == {}


@pytest.mark.parametrize("reason", [b"clouds", 1, ValueError, ["clouds"]])
def test_other_reasons_are_refused(reason: Any) -> None:
    """Also where nothing failed: it is a mistake there too."""
    for error in (True, False):
        with pytest.raises(TypeError, match=r"reason=.* is a .*: give a text, an exception"):
            report_of(LAYOUT, 0, None, error, reason)


def test_half_a_surrogate_is_no_harm() -> None:
    """Such as `os.fsdecode` makes of a file's name: it cannot be encoded, and is replaced."""
    assert clip_reason("caf\udce9: " + "x" * 300).startswith("caf?: xxx")
    assert reason_of(OSError("caf\udce9")) == "OSError: caf\udce9"


def test_a_reason_is_the_class_of_all_tiles_that_were_told_to_fail() -> None:
    """The text is of the first only; of regions, tiles, and arrays."""
    error = KeyError("x")
    assert report_of(LAYOUT, 1, None, True, error)[2] == [(2, ERROR * 3, "KeyError")]
    assert report_of(LAYOUT, 1, 2, True, error)[2] == [(4, ERROR, "KeyError")]
    [(first, outcomes, name)] = report_of(LAYOUT, np.array([0, 1]), None, True, "too cloudy")[2]
    assert (first, outcomes, name) == (0, ERROR * 5, "reported")
