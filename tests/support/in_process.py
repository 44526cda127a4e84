"""The command in this process, and an item for it to be asked of."""

import re

from typer.testing import CliRunner

from raytracker.cli import app
from raytracker.job_table import Flush, JobItem, JobTable
from raytracker.ledger import Layout, Ledger, Outcome
from tests.support.command import BAHAMAS


def invoke(*args: str):
    result = CliRunner().invoke(app, list(args))
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


def refused(*args: str) -> str:
    """Returns the one line that bad usage ends with."""
    result = invoke(*args)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    lines = [line for line in lines if not re.match(r"after \d+ s, ", line)]  # on a busy machine
    assert len(lines) == 1, result.stderr
    return lines[0]


def run_refused(table: str, *more: str, image: str = BAHAMAS) -> str:
    return refused("run", image, "detector.py:detect", "--table", table, *more)


def job_in(table: JobTable, outcomes: str, state: str | None = None) -> None:
    """Writes the item of image "scene-1", one region a letter: s(uccess), e(rror), p(ending)."""
    layout = Layout.of(len(outcomes))
    table.start(JobItem(image_id="scene-1"), run="run", layout=layout)
    table.claim("scene-1", "run", "owner")
    ledger = Ledger(layout)
    known = {"p": Outcome.PENDING, "e": Outcome.ERROR, "s": Outcome.SUCCESS}
    reasons = {
        region: f"ValueError: {region} is bad"
        for region, letter in enumerate(outcomes)
        if letter == "e"
    }
    ledger.merge([(0, bytes(known[letter] for letter in outcomes))], reasons)
    ended = state or "p" not in outcomes
    table.flush(
        "scene-1",
        "run",
        "owner",
        1,
        Flush(
            region_success=outcomes.count("s"),
            region_error=outcomes.count("e"),
            ledger=ledger.encode(),
            errors=ledger.reasons(),
            state=state,
            end_time=1_700_000_000_000 if ended else None,
            processing_duration=30,
            expire_time=1_800_000_000,
        ),
    )
