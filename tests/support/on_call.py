"""Items of runs, and the command that is asked of them, in this process."""

import time
from typing import Any

from typer.testing import CliRunner

from raytracker.cli.command import app
from raytracker.job_table import JobItem, JobTable, Starter
from raytracker.job_table.ledger_text import to_text
from raytracker.ledger import SUCCESS, Layout, Ledger

NOW = time.time()
ELSEWHERE = Starter("node-7", 4711, "ann", "01000000", int(NOW * 1000), "elsewhere")
OOM = "OutOfMemoryError: CUDA out of memory"


def invoke(*args: str, stdin: str | None = None, status: int = 0) -> Any:
    result = CliRunner().invoke(app, list(args), input=stdin)
    assert result.exit_code == status, result.output
    return result


def put(table: JobTable, image_id: str, **more: Any) -> JobItem:
    """Writes the item of a run of 4 tiles, 2 of them done, that began a minute ago and lives."""
    ledger = Ledger(Layout.of(4))
    ledger.merge([(0, SUCCESS * 2)], {})
    job = JobItem(
        image_id,
        **{
            "start_time": int((NOW - 60) * 1000),
            "region_count": 4,
            "region_success": 2,
            "region_error": 0,
            "tracker_run": "run",
            "tracker_ledger": to_text(ledger.encode()),
            "tracker_started_by": ELSEWHERE.to_text(),
            "tracker_alive_until": int(time.time() + 140),  # of a module NOW may be long ago
            **more,
        },
    )
    table.put_ddb_item(job)
    return job


def stored(table: JobTable, image_id: str) -> JobItem:
    job = table.read(image_id)
    assert job is not None
    return job
