"""What the oracle demands and allows of a scene, from its plan and its journal."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.draw import draw
from tests.chaos.draw_scenes import plays_scenes
from tests.chaos.finder import broken
from tests.chaos.journal import ERROR, PENDING, SUCCESS
from tests.chaos.killer import Killer
from tests.chaos.plan import ALWAYS, Poison, Scene
from tests.chaos.scene import sizes, spots, text
from tests.chaos.scene_run import SceneRun
from tests.chaos.work import reason_of


@pytest.fixture
def killer() -> Killer:
    """One that has killed nobody."""
    cluster: Any = None
    return Killer(cluster, ())


@pytest.fixture
def run_of(tmp_path: Path, killer: Killer) -> Callable[..., SceneRun]:
    """Returns a run of a scene in which tile 0 has this poison; a tile may fail twice."""

    def run_of(poison: Poison | None = None) -> SceneRun:
        image = draw(next(filter(plays_scenes, range(99)))).images[0]
        assert image.first.scene
        scene = replace(image.first.scene, poisons={0: poison} if poison else {})
        work = replace(image.first, scene=scene, max_retries=1)
        return SceneRun(image, work, "a", tmp_path, killer)

    return run_of


def test_a_tile_is_a_success_only_if_its_function_came_to_its_end(
    run_of: Callable[..., SceneRun],
) -> None:
    """And of a tile that it was never called with, nothing is known."""
    run = run_of()
    run.journal.note("begin", {0: ERROR, 1: ERROR})
    run.journal.note("may", {0: SUCCESS})
    known = run.known()
    assert known.must[:3] == [SUCCESS, PENDING, PENDING]
    assert known.may[:3] == [{SUCCESS}, set(), set()]


@pytest.mark.parametrize(("fails", "outcome"), [(1, SUCCESS), (2, ERROR), (ALWAYS, ERROR)])
def test_a_tile_fails_that_raises_more_often_than_it_is_tried_again(
    run_of: Callable[..., SceneRun], fails: int, outcome: int
) -> None:
    """Its reason is the one it gave."""
    run = run_of(Poison(ends=False, times=fails))
    reason = reason_of(broken("a", 0))
    for _ in range(min(fails, 2)):
        run.journal.note("begin", {0: ERROR})
        run.journal.note("raised", {0: ERROR}, reason)
    if fails == 1:
        run.journal.note("may", {0: SUCCESS})
    known = run.known()
    assert (known.must[0], known.may[0]) == (outcome, {outcome})
    assert known.allows_reason(0, reason) is (outcome == ERROR)
    assert not known.allows_reason(0, "the worker died")


def test_kills_may_fail_a_tile(run_of: Callable[..., SceneRun], killer: Killer) -> None:
    """If they are more than it is tried again."""
    run = run_of()
    run.journal.note("begin", {0: ERROR})
    run.journal.note("may", {0: SUCCESS})
    killer.workers = 1
    assert run.known().may[0] == {SUCCESS}
    killer.workers = 2
    assert run.known().may[0] == {ERROR, SUCCESS}
    assert run.known().allows_reason(0, "the worker died")


def test_what_died_with_a_process_may_have_failed_in_vain(
    run_of: Callable[..., SceneRun], killer: Killer
) -> None:
    """Then the tile is tried once more, and may succeed."""
    run = run_of(Poison(ends=False, times=2))
    for _ in range(2):
        run.journal.note("begin", {0: ERROR})
        run.journal.note("raised", {0: ERROR}, "why")
    run.journal.note("may", {0: SUCCESS})
    assert run.known().may[0] == {ERROR}
    killer.killed.add(os.getpid())
    assert run.known().may[0] == {ERROR, SUCCESS}


def test_tiles_are_numbered_region_by_region(run_of: Callable[..., SceneRun]) -> None:
    """And what is in the results, by these numbers."""
    scene: Scene = replace(run_of().scene, shape=(3, 3), block=(2, 2), tile=16, overlap=0, cut=1)
    assert sizes(scene) == (4, 2, 2, 1)
    assert [spot[:2] for spot in spots(scene)] == [
        (0, 0), (0, 1), (1, 0), (1, 1), (0, 2), (1, 2), (2, 0), (2, 1), (2, 2),
    ]  # fmt: skip
    assert spots(scene)[8] == (2, 2, 32, 32, 15, 15)
    found = text(scene, [4, 1]).decode()
    assert found.count('Feature"') == 3
    assert found.index("[0, 1]") < found.index("[0, 2]")
