"""`raytracker table check` and `raytracker doctor`: what is looked at, and what is to be done."""

import json
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from typer.testing import CliRunner

from raytracker.cli import checks
from raytracker.cli.checks import rights, skew_of
from raytracker.cli.command import app
from raytracker.job_table import JobItem, JobTable
from tests.support.ports import reserved_port

DATE = "Fri, 27 Nov 2026 09:00:00 GMT"
AT = 1795770000.0


def refused(name: str) -> Any:
    """Returns a call that these credentials may not do."""

    def call(**_: Any) -> Any:
        raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, name)

    return call


def findings(*args: str, status: int = 0) -> dict[str, dict[str, str]]:
    """Returns what the command found, by its name."""
    result = CliRunner().invoke(app, [*args, "--json"])
    assert result.exit_code == status, result.output
    found = [json.loads(line) for line in result.stdout.splitlines()]
    return {finding["name"]: finding for finding in found}


def test_a_table_that_fits(moto_table: JobTable) -> None:
    """All is well, and nothing has changed: no item is there."""
    found = findings("table", "check", moto_table.table_name)
    assert [name for name, one in found.items() if one["mark"] != "ok"] == ["recovery"]
    assert [*found] == [
        "key",
        "TTL",
        "capacity",
        "recovery",
        "GetItem",
        "PutItem",
        "UpdateItem",
        "DeleteItem",
        "Scan",
    ]
    assert moto_table.table.scan()["Items"] == []


def test_a_check_needs_no_empty_table(moto_table: JobTable) -> None:
    """And leaves what is there."""
    moto_table.put_ddb_item(JobItem("scene-1", job_id="j"))
    findings("table", "check", moto_table.table_name)
    assert [item["image_id"] for item in moto_table.table.scan()["Items"]] == ["scene-1"]


def test_tables_that_do_not_fit(moto_table: JobTable) -> None:
    """None, one with another key, one without TTL; each with its cure."""
    found = findings("table", "check", "nowhere", status=2)
    assert "raytracker table create nowhere" in found["table"]["text"]
    client = boto3.client("dynamodb")
    for name, key in (("other", "job_id"), ("bare", "image_id")):
        client.create_table(
            TableName=name,
            KeySchema=[{"AttributeName": key, "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
    assert "HASH key job_id" in findings("table", "check", "other", status=2)["key"]["text"]
    ttl = findings("table", "check", "bare")["TTL"]
    assert (ttl["mark"], ttl["cure"]) == ("note", "raytracker table create bare --set-ttl")


def test_capacity_and_recovery_come_with_their_cure(moto_table: JobTable) -> None:
    """Each cure is a command that can be typed as it is."""
    name, client = moto_table.table_name, boto3.client("dynamodb")
    cure = findings("table", "check", name)["recovery"]["cure"]
    assert cure.startswith(f"aws dynamodb update-continuous-backups --table-name {name} ")
    client.update_continuous_backups(
        TableName=name, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
    )
    for write, mark in ((5, "note"), (25, "ok")):
        throughput = {"ReadCapacityUnits": 7, "WriteCapacityUnits": write}
        client.update_table(
            TableName=name, BillingMode="PROVISIONED", ProvisionedThroughput=throughput
        )
        found = findings("table", "check", name)
        assert found["recovery"]["mark"] == "ok"
        assert found["capacity"]["mark"] == mark
        assert found["capacity"]["text"].startswith(f"7 RCU, {write} WCU a second")
        assert ("--billing-mode PAY_PER_REQUEST" in found["capacity"]["cure"]) == (mark == "note")


def test_recovery_that_cannot_be_asked_for(
    moto_table: JobTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Is a note: a run does not need it."""
    monkeypatch.setattr(
        moto_table.client.meta.client, "describe_continuous_backups", refused("Describe")
    )
    found = {finding.name: finding for finding in checks.table_findings(moto_table)}
    assert (found["recovery"].mark, found["recovery"].text) == ("note", "not known")


def test_rights_that_are_missing(moto_table: JobTable, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a run needs fails; what a command needs is a note."""
    client = moto_table.client.meta.client
    for name in ("put_item", "scan"):
        monkeypatch.setattr(client, name, refused(name))
    found = {finding.name: finding for finding in rights(moto_table)}
    assert (found["PutItem"].mark, found["PutItem"].cure) == ("FAIL", "grant dynamodb:PutItem")
    assert (found["Scan"].mark, found["Scan"].cure) == ("note", "only `raytracker list` needs it")
    assert found["GetItem"].mark == found["UpdateItem"].mark == "ok"


@pytest.mark.parametrize(
    ("skew", "mark", "words"),
    [
        (0, "ok", "within"),
        (29, "ok", "within"),
        (90, "FAIL", "90 s ahead"),
        (-400, "FAIL", "behind"),
    ],
)
def test_the_clock(skew: float, mark: str, words: str) -> None:
    """Is compared with the Date of DynamoDB's answer."""
    found = skew_of(DATE, AT + skew)
    assert found.mark == mark
    assert words in found.text


def test_the_doctor_finds_all_well(moto_table: JobTable) -> None:
    """Versions, extras, region, endpoint, credentials; and the table's own lines."""
    found = findings("doctor", "--table", moto_table.table_name)
    assert {"raytracker", "Ray", "region", "endpoint", "credentials", "TTL", "Scan"} <= {*found}
    assert not [one for one in found.values() if one["mark"] == "FAIL"]
    assert "accepted" in found["credentials"]["text"]


def test_the_doctor_without_region_or_dynamodb(
    moto_table: JobTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Says which, and ends with 2."""
    with reserved_port() as port:
        monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        found = findings("doctor", status=2)
        assert "does not answer" in found["endpoint"]["text"]
        assert "credentials" not in found
    monkeypatch.delenv("AWS_ENDPOINT_URL_DYNAMODB")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    assert "AWS_DEFAULT_REGION" in findings("doctor", status=2)["region"]["text"]


def test_an_extra_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Is a note, with what to install."""
    monkeypatch.setattr(checks, "EXTRAS", {"imagery": "no_such_module"})
    [found] = [finding for finding in checks.versions() if finding.name == "[imagery]"]
    assert (found.mark, found.cure) == ("note", 'pip install "raytracker[imagery]"')
