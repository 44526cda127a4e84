"""What the options of the command mean, as text."""

from typing import Any

import pytest

from raytracker.cli.options import Refused, concurrency_of


@pytest.mark.parametrize(
    ("text", "meant"), [("3", 3), ("1:8", (1, 8)), (" 2 : 2 ", (2, 2)), ("0", 0), ("8:1", (8, 1))]
)
def test_a_concurrency(text: str, meant: Any) -> None:
    """A number, or the least and the most; whether they make sense, `Work` finds out."""
    assert concurrency_of(text) == meant


@pytest.mark.parametrize("text", ["", "x", "1:", ":8", "1:2:3", "-1", "1.5", "1,8", "1234567", "٣"])
def test_what_is_no_concurrency(text: str) -> None:
    """It is refused with what would be right."""
    with pytest.raises(Refused) as refused:
        concurrency_of(text)
    assert str(refused.value) == (
        f"--concurrency {text!r}: give a number, or LEAST:MOST, such as 1:8"
    )
