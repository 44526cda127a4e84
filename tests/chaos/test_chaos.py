"""A few seeds and short scenarios; `make chaos SEEDS=0:200` plays many."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.chaos.draw import draw, is_on_cluster
from tests.chaos.draw_scenes import plays_scenes
from tests.chaos.scenarios import SCENARIOS
from tests.chaos.supervisor import ROOT


def _chaos(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.chaos", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.timeout(900)
def test_everything_is_counted_once_and_increments_are_not() -> None:
    """Twelve seeds, one on three raylets, two of scenes, beside the same with plain increments."""
    assert any(map(is_on_cluster, range(12)))
    assert sum(map(plays_scenes, range(12))) == 2
    played = _chaos("--seeds", "0:12", "--baseline", "--jobs", "2")
    lines = played.stdout.splitlines()
    assert lines[-1] == "chaos: 12 seeds, 0 miscounted, 0 lost, 0 hung", played.stdout[-8000:]
    assert played.returncode == 0
    miscounted = re.search(r"^increments +\d+ +\d+ +\d+ +(\d+)", played.stdout, re.MULTILINE)
    assert miscounted is not None
    assert int(miscounted[1]) > 0


@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", ["lost-responses", "outage"])
def test_scenarios_are_as_promised(name: str) -> None:
    """In short; the real ones take minutes."""
    assert name in SCENARIOS
    played = _chaos("--scenario", name, "--short")
    assert played.returncode == 0, played.stdout + played.stderr[-4000:]


def test_a_seed_always_draws_the_same() -> None:
    """What failed can be played again."""
    assert draw(5) == draw(5) != draw(6)
