"""What the oracle demands and allows of a tile, from a journal."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.chaos.journal import ERROR, PENDING, RETURNED, SUCCESS, Journal, Known


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """A journal of a run that has told nothing yet."""
    return Journal(tmp_path / "journal")


def nobody(process: Sequence[int]) -> bool:
    return False


def this_process(process: Sequence[int]) -> bool:
    return process[0] == os.getpid()


def test_the_best_that_was_told_is_demanded(journal: Journal) -> None:
    """And of what was said nothing else is allowed."""
    journal.note("told", {0: ERROR}, "why")
    journal.note("told", {0: SUCCESS, 1: RETURNED})
    known = Known.of(journal, 3, nobody, None)
    assert known.must == [SUCCESS, RETURNED, PENDING]
    assert known.may == [{ERROR, SUCCESS}, {RETURNED}, set()]
    assert known.allows_reason(0, "why")
    assert not known.allows_reason(1, "why")


def test_what_died_with_its_process_may_be_there(journal: Journal) -> None:
    """Unless `flush` had confirmed it; and Ray may say of a task that died that it failed."""
    journal.note("begin", {0: ERROR, 1: ERROR})
    journal.note("told", {0: SUCCESS})
    journal.note("durable", {1: SUCCESS})
    known = Known.of(journal, 2, this_process, None)
    assert known.must == [PENDING, SUCCESS]
    assert known.may == [{ERROR, SUCCESS}, {ERROR, SUCCESS}]
    assert known.allows_reason(0, "the worker died")


def test_what_is_told_after_the_end_is_not_demanded(journal: Journal) -> None:
    """The flush that ended the image has closed its ledger."""
    journal.note("told", {0: ERROR})
    closed = time.time()
    journal.note("told", {0: SUCCESS})
    assert Known.of(journal, 1, nobody, closed).must == [ERROR]
    assert Known.of(journal, 1, nobody, time.time() + 1).must == [SUCCESS]


def test_a_redrive_forgets_errors(journal: Journal) -> None:
    """A resume does not: what the run before made durable stays."""
    journal.note("told", {0: ERROR}, "why")
    journal.note("told", {1: SUCCESS})
    before = Known.of(journal, 2, nobody, None)
    for redrive, must in ((False, [ERROR, SUCCESS]), (True, [PENDING, SUCCESS])):
        known = Known(2)
        known.after(before, [ERROR, SUCCESS], redrive=redrive)
        assert known.must == must
        assert known.may == [set() if redrive else {ERROR}, {SUCCESS}]
        assert known.allows_reason(0, "why") is not redrive
