"""What chance makes of items, messages, ledgers and objects: `make fuzz` plays more of it."""

from __future__ import annotations

import pytest

from tests.fuzz.__main__ import TARGETS, play


@pytest.mark.usefixtures("aws_env")
@pytest.mark.parametrize("target", range(len(TARGETS)), ids=lambda n: TARGETS[n].__name__)
def test_what_chance_makes_is_read_in_bounds(target: int) -> None:
    """No traceback, no minute, no gigabyte."""
    wrong = {seed: told for seed in range(target, 100, len(TARGETS)) if (told := play(seed))}
    assert not wrong
