"""Numbers that somebody gives as arguments, checked before anything is done with them."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any


def check_number(
    name: str,
    value: Any,
    least: float = 0,
    most: float = math.inf,
    *,
    whole: bool = False,
    exclusive: bool = False,
) -> None:
    """Checks that an argument is a finite number, Python's or numpy's, in its range.

    Args:
        name: What the argument is called.
        value: What was given.
        least: The least that it may be.
        most: The most.
        whole: It is a number of things.
        exclusive: It must be more than `least`.

    Raises:
        ValueError: It is none; the text names the value, and what it may be.
    """
    if is_number(value, least, most, whole=whole) and not (exclusive and value == least):
        return
    kind = "a whole number" if whole else "a number"
    where = f"{'more than' if exclusive else 'at least'} {least:g}"
    if most < math.inf:
        where = f"from {least:g} to {most:g}"
    raise ValueError(f"{name}={value!r}: give {kind}, {where}")


def is_number(value: Any, least: float = 0, most: float = math.inf, *, whole: bool = False) -> bool:
    """Whether something is a finite number, see `check_number`."""
    is_one = isinstance(value, Integral if whole else Real) and not isinstance(value, bool)
    return is_one and math.isfinite(value) and least <= value <= most
