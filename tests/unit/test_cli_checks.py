"""`raytracker table check` and `raytracker doctor`: what is looked at, and what is to be done."""

import json
from typing import Any

import boto3
import pytest
from typer.testing import CliRunner

from raytracker.cli import checks
from raytracker.cli.checks import rights, skew_of
from raytracker.cli.command import app
from raytracker.job_table import JobItem, JobTable
from tests.support.ports import reserved_port

DATE = "Fri, 27 Nov 2026 09:00:00 GMT"
AT = 1795770000.0


def findings(*args: str, status: int = 0) -> dict[str, dict[str, str]]:
    """Returns what the command found, by its name."""
    result = CliRunner().invoke(app, [*args, "--json"])
    assert result.exit_code == status, result.output
    found = [json.loads(line) for line in result.stdout.splitlines()]
    return {finding["name"]: finding for finding in found}


def test_a_table_that_fits(moto_table: JobTable) -> None:
    """All is well, and nothing has changed: no item is there."""
    found = findings("table", "check", moto_table.table_name)
    assert {finding["mark"] for finding in found.values()} == {"ok"}
    assert [*found] == [
        "key",
        "TTL",
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


def test_rights_that_are_missing(moto_table: JobTable, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a run needs fails; what a command needs is a note."""
    from botocore.exceptions import ClientError

    def refused(self: Any, name: str) -> Any:
        def call(**_: Any) -> Any:
            raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, name)

        return call

    client = moto_table.client.meta.client
    for name in ("put_item", "scan"):
        monkeypatch.setattr(client, name, refused(client, name))
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
