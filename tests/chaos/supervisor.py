"""Has seeds played in processes of their own, and ends those that hang."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from raytracker import JobTable
from tests.chaos.cluster import kill, processes
from tests.chaos.draw import is_on_cluster
from tests.conftest import ENVIRONMENT
from tests.support.dynamodb_local import dynamodb_local

ROOT = Path(__file__).parents[2]
TABLE = "chaos"
REGION = ENVIRONMENT["AWS_DEFAULT_REGION"]
START_SECONDS = 60
START_TRIES = 3
SEED_SECONDS = 150  # a seed takes 6 to 15; these machines are noisy
DUMP_SECONDS = 2
KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


@dataclass
class Outcome:
    """How a seed ended.

    Attributes:
        seed: Its number.
        findings: (kind, text) of what was wrong with the tracker.
        tracker: What the player said of the tracker's images; empty if it hung.
        baseline: What it said of the increments.
    """

    seed: int
    findings: list[tuple[str, str]] = field(default_factory=list)
    tracker: dict[str, Any] = field(default_factory=dict)
    baseline: dict[str, Any] = field(default_factory=dict)

    @property
    def worst(self) -> str | None:
        """The kind that it is counted as."""
        kinds = {kind for kind, _ in self.findings}
        return next((k for k in ("lost", "miscounted", "hung", "broken") if k in kinds), None)


def play(seeds: Sequence[int], *, baseline: bool, jobs: int = 1) -> Iterator[Outcome]:
    """Plays seeds, those on one node first; yields how each ended.

    Args:
        seeds: Which.
        baseline: Whether to play each with increments, too.
        jobs: How many Rays play side by side.
    """
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder, job_table() as upstream:
        for nodes, those in ((1, False), (3, True)):
            left = [seed for seed in seeds if is_on_cluster(seed) == those]
            asked = {"upstream": upstream, "table": TABLE, "folder": folder}
            asked |= {"nodes": nodes, "baseline": baseline}
            yield from _side_by_side([left[i::jobs] for i in range(jobs)], asked)


@contextmanager
def job_table() -> Iterator[str]:
    """Runs DynamoDB Local with the job table `TABLE` in it; gives its URL."""
    os.environ.update(ENVIRONMENT, PYTHONPATH=str(ROOT))
    # Java would take longer to compile DynamoDB Local well than to run it.
    os.environ["JAVA_TOOL_OPTIONS"] = "-XX:TieredStopAtLevel=1"
    with dynamodb_local() as upstream:
        JobTable(TABLE, endpoint_url=upstream, region_name=REGION).create()
        yield upstream


def _side_by_side(shares: Sequence[list[int]], asked: dict[str, Any]) -> Iterator[Outcome]:
    """Plays each share on a Ray of its own; yields how the seeds ended, as they end."""
    ended: queue.SimpleQueue[Outcome | None] = queue.SimpleQueue()

    def play_share(left: list[int]) -> None:
        try:
            while left:
                for outcome in _play_some({**asked, "seeds": list(left)}):
                    left.remove(outcome.seed)
                    ended.put(outcome)
        finally:
            ended.put(None)

    with ThreadPoolExecutor(len(shares)) as pool:
        played = [pool.submit(play_share, share) for share in shares]
        for _ in shares:
            yield from iter(ended.get, None)
        for share in played:
            share.result()  # an error of the harness is no finding


def _play_some(asked: dict[str, Any]) -> Iterator[Outcome]:
    """Plays seeds until all are played, one has findings, or one hangs."""
    with _started_player(asked) as (process, said, errors, first):
        line: dict[str, Any] | None = first
        while line is not None:
            playing = Outcome(line["seed"])
            while (line := _next(said)) and line["what"] != "end":
                setattr(playing, line.pop("what"), line)
            if not line:
                hangs = process.poll() is None
                if hangs:
                    process.send_signal(signal.SIGUSR1)
                    time.sleep(DUMP_SECONDS)
                what = "it said nothing any more" if hangs else "its driver died"
                kind = "hung" if hangs else "broken"
                playing.findings.append((kind, f"{what}\n{_tail(errors)}"))
            playing.findings += [(kind, text) for kind, text in playing.tracker.get("findings", ())]
            yield playing
            line = _next(said) if line else None


def _next(said: queue.SimpleQueue[Any]) -> dict[str, Any] | None:
    """Returns what a player says next; None if it has ended, or says nothing any more."""
    try:
        line: dict[str, Any] | None = said.get(timeout=SEED_SECONDS)
    except queue.Empty:
        return None
    return line


@contextmanager
def _started_player(
    asked: dict[str, Any],
) -> Iterator[tuple[subprocess.Popen[str], queue.SimpleQueue[Any], IO[str], dict[str, Any] | None]]:
    """Starts a player, again if Ray does not come up; gives the first that it says, too."""
    for _ in range(START_TRIES):
        with _player(asked) as (process, said, errors):
            try:
                first = said.get(timeout=START_SECONDS)
            except queue.Empty:
                first = None
            if first is not None:
                yield process, said, errors, first
                return
            why = _tail(errors)
    raise RuntimeError(f"Ray did not start in {START_TRIES} tries:\n{why}")


@contextmanager
def _player(
    asked: dict[str, Any],
) -> Iterator[tuple[subprocess.Popen[str], queue.SimpleQueue[Any], IO[str]]]:
    said: queue.SimpleQueue[Any] = queue.SimpleQueue()
    hear, say_to = os.pipe()
    command = [sys.executable, "-m", "tests.chaos.player", json.dumps({**asked, "say_to": say_to})]
    # Its AWS credentials are in a file of its own, which seeds rewrite.
    env = {name: value for name, value in os.environ.items() if name not in KEYS}
    with (
        tempfile.NamedTemporaryFile(suffix=".credentials") as file,
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(
            command,
            cwd=ROOT,
            env={**env, "AWS_SHARED_CREDENTIALS_FILE": file.name},
            stdin=subprocess.DEVNULL,
            stdout=errors,
            stderr=errors,
            text=True,
            pass_fds=[say_to],
        ) as process,
    ):
        os.close(say_to)

        def read() -> None:
            with os.fdopen(hear) as lines:
                for line in lines:
                    said.put(json.loads(line))
            said.put(None)

        threading.Thread(target=read, daemon=True).start()
        try:
            yield process, said, errors
        finally:
            below = [] if process.poll() is not None else processes(process.pid)
            for pid in [process.pid, *(p.pid for p in below)]:
                kill(pid)


def _tail(errors: IO[str]) -> str:
    errors.seek(0)
    return "".join(errors.readlines()[-120:])
