"""Dispatch: each tile is settled once, whatever becomes of the chunks that it travels in."""

from __future__ import annotations

from collections import Counter
from math import log2

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raytracker.mapping.dispatch import (
    LONGEST_PAUSE_SECONDS,
    MAX_NODE_LOSSES,
    Chunk,
    Dispatch,
    Loss,
    Settled,
)


def drain(dispatch: Dispatch, now: float = 0.0) -> list[Chunk]:
    """Returns all that may go at a moment."""
    return list(iter(lambda: dispatch.next(now), None))


@given(st.data())
def test_each_tile_is_settled_once(data: st.DataObject) -> None:
    """As what it is, within so many attempts, and it never travels twice at a time."""
    total, retries = data.draw(st.integers(0, 60)), data.draw(st.integers(0, 3))
    kinds = data.draw(st.lists(st.sampled_from("gggggbk"), min_size=total, max_size=total))
    dispatch = Dispatch(range(total), total, workers=data.draw(st.integers(1, 4)), retries=retries)
    settled: dict[int, str | None] = {}
    attempts: Counter[int] = Counter()
    deaths = losses = 0
    under_way: list[Chunk] = []
    now = 0.0
    while not (dispatch.is_over and not under_way):
        while len(under_way) < 4 and (chunk := dispatch.next(now)) is not None:
            flying = {tile for other in under_way for tile in other.tiles}
            assert chunk.tiles
            assert not flying.intersection(chunk.tiles)
            assert not settled.keys() & set(chunk.tiles)
            under_way.append(chunk)
        if not under_way:
            assert dispatch.is_over or dispatch.due is not None
            now = max(now, dispatch.due or now)
            continue
        chunk = under_way.pop(data.draw(st.integers(0, len(under_way) - 1)))
        what = data.draw(st.sampled_from(["works", "works", "works", "node", "memory"]))
        killers = [tile for tile in chunk.tiles if kinds[tile] == "k"]
        if what == "node" and losses < 20:
            losses += 1
            news = dispatch.lost(chunk, Loss.NODE, "node", now)
            assert not news
        elif what == "memory" and losses < 20 and not chunk.was_spared:
            losses += 1
            news = dispatch.lost(chunk, Loss.MEMORY, "memory", now)
            assert not news
        elif killers:
            deaths += 1
            if len(chunk.tiles) == 1 and chunk.is_suspect:
                attempts[chunk.tiles[0]] += 1
            news = dispatch.lost(chunk, Loss.PROCESS, "died", now)
        else:
            bad = {tile: "bad" for tile in chunk.tiles if kinds[tile] == "b"}
            attempts.update(bad.keys())
            news = dispatch.finished(chunk, bad, data.draw(st.floats(0, 3)))
        for tile, reason in news:
            assert tile not in settled
            settled[tile] = reason
    assert settled == {
        tile: {"g": None, "b": "bad", "k": "died"}[kind] for tile, kind in enumerate(kinds)
    }
    assert all(attempts[tile] == retries + 1 for tile, kind in enumerate(kinds) if kind != "g")


@pytest.mark.parametrize("retries", [0, 2])
def test_of_64_tiles_the_one_that_kills_is_found(retries: int) -> None:
    """With as many deaths as halvings, and those of the tile alone."""
    dispatch = Dispatch(range(64), 64, retries=retries)
    dispatch._seconds, dispatch._longest = 1e-6, 1000
    dispatch.workers, deaths = 1, 0
    settled: list[Settled] = []
    first = dispatch.next(0.0)
    assert first is not None
    rest = dispatch.lost(first, Loss.PROCESS, "died", 0.0)
    deaths, settled = 1, list(rest)
    while (chunk := dispatch.next(0.0)) is not None:
        if 13 in chunk.tiles:
            deaths += 1
            settled += dispatch.lost(chunk, Loss.PROCESS, "died", 0.0)
        else:
            settled += dispatch.finished(chunk, {}, None)
    assert dispatch.is_over
    assert sorted(settled)[13] == Settled(13, "died")
    assert sum(reason is None for _, reason in settled) == 63
    assert deaths <= log2(64) + retries + 1


def test_the_mates_of_a_tile_that_fails_succeed() -> None:
    """And it is tried again alone."""
    dispatch = Dispatch(range(8), 8, retries=1)
    dispatch._seconds, dispatch._longest = 0.01, 100
    chunk = dispatch.next(0.0)
    assert chunk is not None
    assert len(chunk.tiles) == 4
    settled = dispatch.finished(chunk, {2: "bad"}, 0.04)
    assert settled == [Settled(tile, None) for tile in (0, 1, 3)]
    again = dispatch.next(0.0)
    assert again is not None
    assert again.tiles == (2,)
    assert dispatch.finished(again, {2: "worse"}, 0.01) == [Settled(2, "worse")]


def test_who_is_lost_with_a_node_is_not_to_blame() -> None:
    """It goes again after a pause, that grows; but not for ever."""
    dispatch = Dispatch([7], 1, retries=0)
    now, losses = 0.0, 0
    pauses = []
    settled: list[Settled] = []
    while not settled:
        chunk = dispatch.next(now)
        if chunk is None:
            assert dispatch.due is not None
            pauses.append(dispatch.due - now)
            now = dispatch.due
            continue
        losses += 1
        settled = dispatch.lost(chunk, Loss.NODE, "the node has gone", now)
    assert settled == [Settled(7, "the node has gone")]
    assert losses == MAX_NODE_LOSSES + 2  # once more alone
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (1.0, LONGEST_PAUSE_SECONDS)
    assert dispatch.is_over


@pytest.mark.parametrize("loss", [Loss.MEMORY, Loss.UNCLEAR])
def test_what_may_not_be_its_fault_does_not_count_at_first(loss: Loss) -> None:
    """It was often another process that took the memory, or the node that has gone."""
    dispatch = Dispatch([7], 1, retries=0)
    [chunk] = drain(dispatch)
    assert dispatch.lost(chunk, loss, "lost", 0.0) == []
    assert dispatch.next(0.5) is None
    assert not dispatch.is_over
    [chunk] = drain(dispatch, 1.0)
    assert dispatch.lost(chunk, loss, "lost", 1.0) == [Settled(7, "lost")]


def test_a_death_counts_for_a_tile_that_was_alone() -> None:
    """Something else may have been with its process before; a suspect goes alone."""
    dispatch = Dispatch([7, 8], 2, retries=0)
    chunk = dispatch.next(0.0, suspect=False)
    assert chunk is not None
    assert dispatch.kinds(0.0) == [False]
    assert dispatch.lost(chunk, Loss.PROCESS, "died", 0.0) == []
    assert dispatch.kinds(0.0) == [True, False]
    fresh = dispatch.next(0.0, suspect=False)
    assert fresh is not None
    assert fresh.tiles == (8,)
    suspect = dispatch.next(0.0, suspect=True)
    assert suspect is not None
    assert suspect.is_suspect
    assert dispatch.next(0.0, suspect=True) is None
    assert dispatch.lost(suspect, Loss.PROCESS, "died", 0.0) == [Settled(7, "died")]


def test_chunks_grow_to_half_a_second() -> None:
    """From one tile, eight times at most at a time, by what tiles take."""
    dispatch = Dispatch(range(10**6), 10**6)
    sizes = []
    for _ in range(12):
        chunk = dispatch.next(0.0)
        assert chunk is not None
        sizes.append(len(chunk.tiles))
        dispatch.finished(chunk, {}, 0.002 * len(chunk.tiles))
    assert sizes[:4] == [1, 8, 64, 250]
    assert set(sizes[4:]) <= {249, 250}


def test_chunks_shrink_near_the_end() -> None:
    """So that no worker waits long for another: the last take a fiftieth of a second."""
    for seconds, first, last in ((0.1, 5, 1), (0.01, 13, 2), (0.001, 20, 20)):
        dispatch = Dispatch(range(100), 100, workers=4)
        dispatch._seconds, dispatch._longest = seconds, 1000
        sizes = [len(chunk.tiles) for chunk in drain(dispatch)]
        assert sizes == sorted(sizes, reverse=True)
        assert (sizes[0], sizes[-1], sum(sizes)) == (first, last, 100)


def test_many_workers_have_longer_chunks() -> None:
    """Or the driver would have more than 200 a second to see to."""
    dispatch = Dispatch(range(10**7), 10**7, workers=1000)
    dispatch._seconds, dispatch._longest = 0.1, 1000
    chunk = dispatch.next(0.0)
    assert chunk is not None
    assert len(chunk.tiles) == 50  # five seconds
