"""The commands that end what is in the table: cancel, delete."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from raytracker.actor import posting
from raytracker.actor.coordinator import Coordinator
from raytracker.actor.messages import Batch
from raytracker.cli.ended import cancelled
from raytracker.errors import JobCancelled, TableUnavailable, TrackerSuperseded
from raytracker.job_table import JobItem, JobTable, ledger_of
from tests.support.on_call import NOW, OOM, invoke, put, stored


@pytest.fixture
def table(moto_table: JobTable, monkeypatch: pytest.MonkeyPatch) -> Iterator[JobTable]:
    """A job table that the command finds."""
    monkeypatch.setenv("RAYTRACKER_TABLE", moto_table.table_name)
    return moto_table


def test_cancel_ends_what_is_named_and_nothing_else(table: JobTable) -> None:
    """Durably, with what the ledger knew; one that lives, and one whose driver has gone."""
    for name in ("lives", "silent", "other"):
        put(table, name, tracker_alive_until=int(NOW + (140 if name == "lives" else -9)))
    put(table, "over", end_time=int(NOW * 1000), region_success=4)
    other, over = stored(table, "other"), stored(table, "over")
    done = invoke("cancel", "lives", "silent", "over")
    assert done.stdout.splitlines() == [
        "CANCELLED  lives",
        "CANCELLED  silent",
        "SUCCESS    over, as it had ended before",
    ]
    for name in ("lives", "silent"):
        job = stored(table, name)
        assert job.status == "CANCELLED"
        assert job.end_time is not None
        assert job.tracker_alive_until is None
        assert job.tile_counts()["tile_success"] == 2
    assert stored(table, "other") == other
    assert stored(table, "over") == over


def test_who_serves_a_cancelled_run_loses_it(table: JobTable) -> None:
    """Its flush is refused; who claims the item after that finds that the image has ended."""
    job = put(table, "scene-1")
    actor = Coordinator("scene-1", "run", table)
    actor.step()
    actor.report(Batch.of({2: 2}, {2: OOM}))
    invoke("cancel", "scene-1")
    actor.step()
    assert actor.moved
    after = Coordinator("scene-1", "run", table)
    after.step()
    ack = after.report(Batch.of({2: 2}, {2: OOM}))
    assert isinstance(ack.fault, JobCancelled)
    assert stored(table, "scene-1").status == "CANCELLED"
    assert ledger_of(stored(table, "scene-1")).tile_error == 0
    assert job.image_id == "scene-1"


def test_an_item_taken_while_it_is_cancelled_is_claimed_again(
    table: JobTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An actor may claim it between our claim and our flush; once, or for ever."""
    job, claim, actor = put(table, "scene-1"), JobTable.claim, iter(["actor-1", "actor-2"])

    def claimed_back(self: JobTable, image_id: str, run: str, owner: str, **how: Any) -> JobItem:
        found = claim(self, image_id, run, owner, **how)
        if (name := next(actor, None)) is not None:
            claim(self, image_id, run, name)
        return found

    monkeypatch.setattr(JobTable, "claim", claimed_back)
    with pytest.raises(TableUnavailable, match="its run claims it back"):
        cancelled(job, table, seconds=0)
    ended, had_ended = cancelled(job, table)
    assert (ended.status, had_ended) == ("CANCELLED", False)


def test_what_cannot_be_cancelled_does_not_keep_the_rest(table: JobTable) -> None:
    """It is told, and the status is 2; another run's stays."""
    table.put_ddb_item(JobItem("osml", region_count=9))
    put(table, "broken", tracker_ledger="none")
    table.table.put_item(Item={"image_id": "hostile", "end_time": ["x"], "tracker_run": 7})
    put(table, "good")
    done = invoke("cancel", "osml", "nobody", "broken", "hostile", "good", "--json", status=2)
    [known] = map(json.loads, done.stdout.splitlines())
    assert (known["image_id"], known["status"]) == ("good", "CANCELLED")
    assert [line.split(": ")[1][:18] for line in done.stderr.splitlines()] == [
        "image 'osml' is no",
        "image 'nobody' is ",
        "image 'broken'",
        "image 'hostile'",
    ]
    job = put(table, "taken")
    table.put_ddb_item(JobItem("taken", tracker_run="other"))
    with pytest.raises(TrackerSuperseded):
        cancelled(job, table)


def test_delete_asks(table: JobTable) -> None:
    """And deletes on yes only."""
    put(table, "scene-1", end_time=1)
    assert "nothing was deleted" in invoke("delete", "scene-1", stdin="n\n", status=2).stderr
    assert table.read("scene-1") is not None
    assert invoke("delete", "scene-1", stdin="y\n").stdout.endswith("deleted    scene-1\n")
    assert table.read("scene-1") is None


def test_delete_spares_a_run_that_lives(table: JobTable) -> None:
    """But for --force."""
    put(table, "scene-1")
    assert "ann on node-7" in invoke("delete", "scene-1", "--yes", status=2).stderr
    done = invoke("delete", "scene-1", "--yes", "--force", "--json")
    assert json.loads(done.stdout)["image_id"] == "scene-1"
    assert table.read("scene-1") is None


def test_delete_takes_what_cannot_be_read(table: JobTable) -> None:
    """With --force only, and by its key."""
    table.table.put_item(Item={"image_id": "hostile", "end_time": ["x"], "tracker_run": 7})
    told = invoke("delete", "hostile", "--yes", "--table", "nowhere", status=2).stderr
    assert "no such table" in told
    assert "--force" not in told
    told = invoke("delete", "hostile", "--yes", status=2).stderr
    assert told.endswith("--force deletes it by its key, unread\n")
    invoke("delete", "hostile", "--yes", "--force")
    assert table.table.scan()["Items"] == []
    assert "is not in table" in invoke("delete", "hostile", "--yes", "--force", status=2).stderr


def test_delete_spares_what_was_written_meanwhile(table: JobTable) -> None:
    """Somebody resumed it between the look and the word."""
    read = put(table, "scene-1", tracker_alive_until=None)
    put(table, "scene-1", tracker_run="another", tracker_alive_until=None)
    assert not table.delete(read)
    assert table.read("scene-1") is not None
    assert table.delete(stored(table, "scene-1"))
    assert not table.delete(read)


@pytest.mark.parametrize("away", [False, True])
def test_cancel_tells_the_image_s_topic(
    table: JobTable, monkeypatch: pytest.MonkeyPatch, away: bool
) -> None:
    """Where SNS does not answer, the item keeps the message, and the image is cancelled."""
    arn, told = "arn:aws:sns:us-east-1:123456789012:images", []

    class Topic:
        def publish(self, Message: str, **_: Any) -> None:
            if away:
                raise ConnectionError("SNS is away")
            told.append(Message.removeprefix("StatusMonitor update: "))

    monkeypatch.setattr(posting, "_client", lambda region: Topic())
    put(table, "scene-1", job_id="job", tracker_topics=f"{arn} -")
    done = invoke("cancel", "scene-1")
    assert (done.exit_code, done.stdout) == (0, "CANCELLED  scene-1\n")
    assert told == ([] if away else ["FAILED job: Cancelled"])
    assert ("SNS is not told: SNS is away" in done.stderr) == away
    assert (stored(table, "scene-1").tracker_outbox is None) == (not away)
