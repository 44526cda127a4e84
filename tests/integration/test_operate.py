"""What who is on call does to runs that go on, from the table alone."""

import pytest
from typer.testing import CliRunner

from raytracker import ImageTracker, JobTable
from raytracker.cli.command import app
from raytracker.errors import JobCancelled

pytestmark = pytest.mark.usefixtures("ray_cluster")


def test_a_living_run_learns_that_it_was_cancelled(
    job_table: JobTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By another process, without Ray: its next report is refused, and its end is waited for."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", str(job_table.endpoint_url))
    tracker = ImageTracker.start("scene-1", regions=10, table=job_table)
    tracker.report([0, 1, 2])
    tracker.flush()
    done = CliRunner().invoke(app, ["cancel", "scene-1", "--table", job_table.table_name])
    assert (done.exit_code, done.stdout) == (0, "CANCELLED  scene-1\n")
    tracker.report(3)
    job = tracker.wait(timeout=60)
    assert job.status == "CANCELLED"
    assert job.tile_counts()["tile_success"] == 3
    with pytest.raises(JobCancelled):
        _tell(tracker, 4)


def _tell(tracker: ImageTracker, region: int) -> None:
    tracker.report(region)
    tracker.flush()
