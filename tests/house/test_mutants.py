"""Each mutation finds what it breaks, and the tests that are to notice it."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def mutations(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "tools" / "mutants")
    import counting
    import surroundings
    import telling

    found = [*counting.MUTATIONS, *surroundings.MUTATIONS, *telling.MUTATIONS]
    for name in ("counting", "surroundings", "telling", "mutation"):
        monkeypatch.delitem(sys.modules, name)
    return found


def test_each_has_a_name_and_a_place_of_its_own(mutations):
    """The text that it replaces stands once in its file."""
    assert len({mutation.name for mutation in mutations}) == len(mutations) > 50
    for mutation in mutations:
        for name, old, _ in mutation.changes:
            text = (ROOT / "raytracker" / name).read_text()
            assert text.count(old) == 1, f"{mutation.name}: {old!r} in {name}"


def test_its_tests_are_there(mutations):
    """Files, or functions in them."""
    for mutation in mutations:
        assert mutation.tests
        for test in mutation.tests:
            name, _, function = test.partition("::")
            text = (ROOT / name).read_text()
            function = re.sub(r"\[.*", "", function).rpartition("::")[2]
            assert not function or f"def {function}(" in text, f"{mutation.name}: {test}"
