"""A schedule gives out what is due, the earliest first."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from raytracker.actor.schedule import Schedule

changes = st.tuples(st.sampled_from("abcde"), st.none() | st.integers(0, 9).map(float))


@given(st.lists(changes, max_size=30), st.integers(0, 9))
def test_what_is_due_comes_out_by_time(made: list[tuple[str, float | None]], now: int) -> None:
    """Only the last time set for a key counts."""
    schedule: Schedule[str] = Schedule()
    times: dict[str, float] = {}
    for key, due in made:
        times.pop(key, None)
        if due is not None:
            times[key] = due
        is_first = schedule.set(key, due)
        assert is_first == (due is not None and due == min(times.values()))
        assert schedule.first() == min(times.values(), default=None)
    taken = []
    while (key := schedule.take(now)) is not None:
        taken.append(key)
    assert sorted(taken) == sorted(key for key, due in times.items() if due <= now)
    assert [times[key] for key in taken] == sorted(times[key] for key in taken)
    assert len(schedule) == len(times) - len(taken)
