"""Reads whatever chance makes, and looks at time, memory and tracebacks.

python -m tests.fuzz --seconds 600
python -m tests.fuzz --seed 12345          # one case again
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from raytracker import ImageRequest, ImageTracker
from raytracker.cli.command import app
from raytracker.errors import RaytrackerError
from raytracker.job_table import JobItem, JobTable, ledger_of, listing
from raytracker.pipeline import Cut, ResultStore, plan_image
from raytracker.pipeline.delivery import files_of
from tests.conftest import ENVIRONMENT
from tests.fuzz import inputs
from tests.support.assembled import assembled, grid_of, source_of

MOST_SECONDS, MOST_MB = 2.0, 200.0
COMMANDS = [
    ["status", "scene"], ["status", "scene", "--json"], ["errors", "scene"],
    ["errors", "scene", "--json"], ["list"], ["list", "--json"],
]  # fmt: skip


@contextmanager
def a_table_that_answers(item: dict[str, Any]) -> Iterator[None]:
    """Has every table answer with one item."""
    read, page = JobTable.read_item, listing._page
    JobTable.read_item = lambda *_: dict(item)  # type: ignore[method-assign]
    shown = {name: value for name, value in item.items() if name in listing.SHOWN}
    listing._page = lambda *_: {"Items": [shown]}
    try:
        yield
    finally:
        JobTable.read_item, listing._page = read, page  # type: ignore[method-assign]


def of_an_item(chance: random.Random) -> None:
    """Each command that reads one, and what Python makes of it."""
    item = inputs.item(chance)
    with a_table_that_answers(item):
        for command in COMMANDS:
            ended = CliRunner().invoke(app, [*command, "--table", "jobs"])
            if not (ended.exception is None or isinstance(ended.exception, SystemExit)):
                raise ended.exception
            assert "\x1b" not in ended.output, command
            lines = ended.output.splitlines()
            assert not any(line.startswith("forged") for line in lines), command
        with suppress(RaytrackerError):
            job = JobItem.from_ddb(item)
            json.dumps(job.to_dict())
            repr(job)
            files_of(job)
            ledger_of(job)
        with suppress(RaytrackerError):
            ImageTracker.attach("scene", table="jobs")
        with suppress(RaytrackerError):
            plan_image("scene", print, Cut(), table=JobTable("jobs"), if_exists="resume")


def of_a_message(chance: random.Random) -> None:
    """A request, parsed."""
    with suppress(RaytrackerError):
        ImageRequest.from_external_message(inputs.message(chance)).is_valid()


def of_a_ledger(chance: random.Random) -> None:
    """The text of one, decoded."""
    with suppress(RaytrackerError):
        ledger_of(JobItem("scene", tracker_ledger=inputs.ledger_text(chance))).tile_outcomes()


def of_an_object(chance: random.Random) -> None:
    """One of a store, assembled."""
    name, data = inputs.chunk(chance)
    with tempfile.TemporaryDirectory() as folder, suppress(RaytrackerError):
        Path(folder, "tiles").mkdir()
        Path(folder, "tiles", name).write_bytes(data)
        assembled(source_of(ResultStore(folder), grid_of(1, 3), [(0, 0), (0, 1), (0, 2)]))


TARGETS: list[Callable[[random.Random], None]] = [
    of_an_item, of_a_message, of_a_ledger, of_an_object
]  # fmt: skip


def play(seed: int) -> str | None:
    """Plays one case; returns what is wrong, or None."""
    chance = random.Random(seed)
    target = TARGETS[seed % len(TARGETS)]
    before, begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    try:
        target(chance)
    except BaseException:
        return traceback.format_exc()
    seconds = time.process_time() - begun
    mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    if seconds > MOST_SECONDS or mb > MOST_MB:
        return f"{target.__name__} took {seconds:.1f} s, and {mb:.0f} MB more\n"
    return None


def main() -> int:
    """Plays cases until the time is over; the exit status says whether all went well."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="how long")
    parser.add_argument("--seed", type=int, help="only this case")
    asked = parser.parse_args()
    os.environ.update(ENVIRONMENT)
    wrong: Counter[str] = Counter()
    end, seed = time.monotonic() + asked.seconds, asked.seed or time.time_ns() % 10**9
    first = seed
    while asked.seed is not None or time.monotonic() < end:
        told = play(seed)
        if told is not None:
            last = told.strip().splitlines()[-1]
            wrong[last[:80]] += 1
            if wrong[last[:80]] == 1:
                print(f"seed {seed}:\n{told}", flush=True)
        seed += 1
        if asked.seed is not None:
            break
    for what, times in wrong.most_common():
        print(f"{times} times: {what}")
    mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"fuzz: {seed - first} cases, {sum(wrong.values())} wrong; {mb:.0f} MB at most")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
