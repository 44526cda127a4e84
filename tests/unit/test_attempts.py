"""Which attempts of tasks were the last, decided from looks at what Ray tells."""

from __future__ import annotations

from raytracker.actor.attempts import LOOK_SECONDS, UNKNOWN_SECONDS, Attempts

FIRST, SECOND = ("task", 0), ("task", 1)


def test_an_attempt_that_runs_is_undecided() -> None:
    """However long: its task may catch the error and go on."""
    attempts = Attempts()
    for hours in range(5):
        assert attempts.decide([FIRST], {"task": {0: False}}, hours * 3600.0) == ({}, [])


def test_an_attempt_with_a_later_one_was_not_the_last() -> None:
    """At the first look, though the later one has not even begun."""
    assert Attempts().decide([FIRST], {"task": {0: True, 1: False}}, 0.0) == ({FIRST: False}, [])
    assert Attempts().decide([FIRST], {"task": {1: False}}, 0.0) == ({FIRST: False}, [])


def test_an_attempt_that_ended_was_the_last_if_none_follows() -> None:
    """Two looks say so: between them, its owner may tell of another."""
    attempts, ended = Attempts(), {"task": {0: True}}
    assert attempts.decide([FIRST], ended, 0.0) == ({}, [])
    assert attempts.decide([FIRST], ended, LOOK_SECONDS / 2) == ({}, [])
    assert attempts.decide([FIRST], ended, LOOK_SECONDS) == ({FIRST: True}, [])


def test_an_attempt_that_follows_between_two_looks_counts() -> None:
    """The first one was not the last, and the second is looked at from its own end on."""
    attempts = Attempts()
    attempts.decide([FIRST], {"task": {0: True}}, 0.0)
    both = {"task": {0: True, 1: True}}
    assert attempts.decide([FIRST, SECOND], both, 5.0) == ({FIRST: False}, [])
    assert attempts.decide([SECOND], both, 5.0 + LOOK_SECONDS) == ({SECOND: True}, [])


def test_what_ray_does_not_know_is_the_last_in_the_end() -> None:
    """And is named, for the log."""
    attempts = Attempts()
    for known in ({}, {"another": {0: True}}):
        assert attempts.decide([FIRST], known, 0.0) == ({}, [])
    assert attempts.decide([FIRST], {}, UNKNOWN_SECONDS - 1) == ({}, [])
    assert attempts.decide([FIRST], {}, UNKNOWN_SECONDS) == ({FIRST: True}, [FIRST])


def test_what_ray_knows_late_is_known() -> None:
    """The time without knowledge does not count for what is known now."""
    attempts = Attempts()
    attempts.decide([FIRST], {}, 0.0)
    assert attempts.decide([FIRST], {"task": {0: False}}, UNKNOWN_SECONDS + 1) == ({}, [])
    assert attempts.decide([FIRST], {}, UNKNOWN_SECONDS + 2) == ({}, [])


def test_what_is_not_asked_any_more_is_forgotten() -> None:
    """So that the same attempt, asked again, gets its two looks again."""
    attempts, ended = Attempts(), {"task": {0: True}}
    attempts.decide([FIRST], ended, 0.0)
    attempts.decide([], ended, 1.0)
    assert attempts.decide([FIRST], ended, 2.0) == ({}, [])
