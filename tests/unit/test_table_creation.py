from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from raytracker.errors import (
    TableError,
    TableMismatch,
    TableUnavailable,
)
from raytracker.job_table import JobItem, JobTable


@pytest.fixture
def table(aws_env: None) -> Iterator[JobTable]:
    with mock_aws():
        jobs = JobTable("jobs")
        jobs.create()
        yield jobs


def _make(name: str, keys: list[tuple[str, str, str]], ttl: str | None = None) -> None:
    client = boto3.client("dynamodb")
    client.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": key, "KeyType": kind} for key, kind, _ in keys],
        AttributeDefinitions=[
            {"AttributeName": key, "AttributeType": type_} for key, _, type_ in keys
        ],
        ProvisionedThroughput={"ReadCapacityUnits": 1, "WriteCapacityUnits": 1},
    )
    if ttl:
        client.update_time_to_live(
            TableName=name, TimeToLiveSpecification={"Enabled": True, "AttributeName": ttl}
        )


def _ttl(name: str) -> dict[str, str]:
    answer = boto3.client("dynamodb").describe_time_to_live(TableName=name)
    return dict(answer["TimeToLiveDescription"])


def test_create(table: JobTable) -> None:
    """On demand, one key, TTL on expire_time."""
    description = boto3.client("dynamodb").describe_table(TableName="jobs")["Table"]
    assert description["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    assert description["KeySchema"] == [{"AttributeName": "image_id", "KeyType": "HASH"}]
    assert description["AttributeDefinitions"] == [
        {"AttributeName": "image_id", "AttributeType": "S"}
    ]
    assert _ttl("jobs") == {"TimeToLiveStatus": "ENABLED", "AttributeName": "expire_time"}


def test_create_again_changes_nothing(table: JobTable) -> None:
    """The items stay."""
    item = table.start_image_request(JobItem("image"))
    assert table.create() is True
    assert table.get_image_request("image") == item


def test_create_does_not_change_a_table_that_is_there(aws_env: None) -> None:
    """Whose TTL is off, it says so; another billing mode is no misfit."""
    with mock_aws():
        _make("jobs", [("image_id", "HASH", "S")])
        before = boto3.client("dynamodb").describe_table(TableName="jobs")["Table"]
        assert JobTable("jobs").create() is False
        assert boto3.client("dynamodb").describe_table(TableName="jobs")["Table"] == before
        assert _ttl("jobs") == {"TimeToLiveStatus": "DISABLED"}


def test_create_sets_ttl_where_it_is_asked_to(aws_env: None) -> None:
    """On a table that has none; again, it changes nothing."""
    with mock_aws():
        _make("jobs", [("image_id", "HASH", "S")])
        for _ in range(2):
            assert JobTable("jobs").create(set_ttl=True) is True
            assert _ttl("jobs") == {"TimeToLiveStatus": "ENABLED", "AttributeName": "expire_time"}


@pytest.mark.parametrize("set_ttl", [False, True])
@pytest.mark.parametrize(
    ("keys", "ttl", "text"),
    [
        ([("id", "HASH", "S")], None, r"HASH key id \(S\)"),
        ([("image_id", "HASH", "N")], None, r"HASH key image_id \(N\)"),
        (
            [("image_id", "HASH", "S"), ("job", "RANGE", "S")],
            None,
            r"HASH key image_id \(S\) and RANGE key job \(S\)",
        ),
        ([("image_id", "HASH", "S")], "ttl", "TTL on ttl"),
    ],
)
def test_create_says_what_does_not_fit(
    aws_env: None, keys: list[tuple[str, str, str]], ttl: str | None, text: str, set_ttl: bool
) -> None:
    """And changes nothing, whatever it is asked to."""
    with mock_aws():
        _make("jobs", keys, ttl)
        with pytest.raises(
            TableMismatch, match=rf"table jobs has .*{text}.*raytracker table create"
        ):
            JobTable("jobs").create(set_ttl=set_ttl)
        assert _ttl("jobs").get("AttributeName") == ttl


def test_create_without_dynamodb(aws_env: None) -> None:
    """One clear line."""
    nowhere = JobTable("jobs", endpoint_url="http://127.0.0.1:1", region_name="us-east-1")
    with pytest.raises(TableUnavailable, match=r"table jobs: .*127\.0\.0\.1:1"):
        nowhere.create()


def test_create_with_a_name_that_dynamodb_does_not_take(dynamodb_error: Any) -> None:
    """It is permanent."""
    with pytest.raises(TableError, match="ValidationException"):
        JobTable("jobs").create()


@pytest.fixture
def dynamodb_error(aws_env: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every request is refused."""

    def refuse(self: Any, operation: str, params: Any) -> Any:
        raise ClientError({"Error": {"Code": "ValidationException", "Message": "no"}}, operation)

    monkeypatch.setattr("botocore.client.BaseClient._make_api_call", refuse)
