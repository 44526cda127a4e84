"""The fault proxy does what its fates say."""

from __future__ import annotations

import time
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, HTTPClientError

from raytracker import JobTable
from tests.support.fault_proxy import (
    EXPIRED,
    FATES,
    LATE_SECONDS,
    REFUSALS,
    FaultProxy,
    Weather,
)
from tests.support.waiting import wait_until

APPLIED = {"lose response", "late response", "applied, InternalServerError"}


def _put(proxy: FaultProxy, table: str, number: int = 1) -> None:
    config = Config(retries={"total_max_attempts": 1}, read_timeout=2)
    session = boto3.Session()  # which looks for credentials anew
    client = session.client("dynamodb", endpoint_url=proxy.endpoint_url, config=config)
    client.put_item(TableName=table, Item={"image_id": {"S": "scene"}, "n": {"N": str(number)}})


def _number(table: JobTable) -> Any:
    return (table.read_item({"image_id": "scene"}) or {}).get("n")


@pytest.mark.parametrize("fate", FATES)
def test_the_client_meets_the_fate(job_table: JobTable, fate: str) -> None:
    """A refusal in DynamoDB's words, or no answer in time; the item is written, or not."""
    weather = Weather({fate: 1.0}, held_seconds=(9, 9))
    with FaultProxy(str(job_table.endpoint_url), weather) as proxy:
        if fate.removeprefix("applied, ") in REFUSALS:
            with pytest.raises(ClientError) as refused:
                _put(proxy, job_table.table_name)
            status, _, message = REFUSALS[fate.removeprefix("applied, ")]
            answer: Any = refused.value.response
            assert answer["Error"] == {"Code": fate.split()[-1], "Message": message}
            assert answer["ResponseMetadata"]["HTTPStatusCode"] == status
        else:
            with pytest.raises(HTTPClientError):
                _put(proxy, job_table.table_name)
        if fate == "late request":
            wait_until(lambda: _number(job_table) == 1)
        else:
            assert _number(job_table) == (1 if fate in APPLIED else None)
        assert [event.what for event in proxy.events] == [fate]


def test_what_is_held_back_lands_on_what_is_newer(job_table: JobTable) -> None:
    """After its time; or at once, when the weather ends."""
    for seconds in (2.0, 30.0):  # longer than it takes to write the newer one on a busy machine
        weather = Weather({"hold back": 1.0}, held_seconds=(seconds, seconds))
        with FaultProxy(str(job_table.endpoint_url), weather) as proxy:
            with pytest.raises(HTTPClientError):
                _put(proxy, job_table.table_name, 1)
            with FaultProxy(str(job_table.endpoint_url), Weather()) as fair:
                _put(fair, job_table.table_name, 2)
            assert _number(job_table) == 2
            if seconds > LATE_SECONDS:
                proxy.calm()
            # It is noted once it is answered.
            wait_until(lambda: proxy.events[-1].what == "held back; applied")
            assert _number(job_table) == 1


def test_a_table_that_is_away_answers_nobody(job_table: JobTable) -> None:
    """And then it is back."""
    with FaultProxy(str(job_table.endpoint_url), Weather(outages=((0.0, 0.5),))) as proxy:
        for _ in range(2):
            with pytest.raises(HTTPClientError):
                _put(proxy, job_table.table_name)
            proxy.go_away(1.0)
        time.sleep(1.0)
        _put(proxy, job_table.table_name)


def test_a_seed_always_deals_the_same_fates(job_table: JobTable) -> None:
    """The n-th request of an operation meets the same, whatever others are in between."""
    weather = Weather({"lose request": 0.3, "ThrottlingException": 0.3})
    dealt = []
    for _ in range(2):
        with FaultProxy(str(job_table.endpoint_url), weather, seed=7) as proxy:
            dealt.append([proxy._fate("PutItem") for _ in range(20)])
            proxy._fate("GetItem")
    assert dealt[0] == dealt[1]
    assert set(dealt[0]) == {"lose request", "ThrottlingException", None}


@pytest.mark.parametrize("how", EXPIRED)
def test_expired_credentials_are_refused(
    job_table: JobTable, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In AWS's words, until a request is signed with the new ones, or the weather ends."""
    with FaultProxy(str(job_table.endpoint_url), Weather()) as proxy:
        proxy.accept_only("new", how)
        with pytest.raises(ClientError) as refused:
            _put(proxy, job_table.table_name)
        answer: Any = refused.value.response
        assert answer["Error"] == {"Code": how, "Message": EXPIRED[how][2]}
        with monkeypatch.context() as patch:
            patch.setenv("AWS_ACCESS_KEY_ID", "new")
            _put(proxy, job_table.table_name, 2)
        assert _number(job_table) == 2
        proxy.calm()
        _put(proxy, job_table.table_name, 3)
        assert _number(job_table) == 3


def test_an_alias_is_another_name_of_the_table(job_table: JobTable) -> None:
    """So two trackers of one image have an actor each."""
    alias = ("elsewhere", job_table.table_name)
    with FaultProxy(str(job_table.endpoint_url), Weather(), alias=alias) as proxy:
        _put(proxy, "elsewhere")
    assert _number(job_table) == 1
