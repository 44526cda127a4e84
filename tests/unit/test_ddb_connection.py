from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import boto3
import pytest
from botocore import exceptions as boto
from botocore.exceptions import ClientError
from moto import mock_aws

from raytracker.ddb import ConditionFailed, DDBHelper, Written, translate
from raytracker.errors import (
    CredentialsRefused,
    RaytrackerError,
    TableError,
    TableUnavailable,
)


def _create(name: str, *keys: str) -> None:
    boto3.client("dynamodb").create_table(
        TableName=name,
        KeySchema=[
            {"AttributeName": key, "KeyType": kind}
            for key, kind in zip(keys, ("HASH", "RANGE"), strict=False)
        ],
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in keys],
        BillingMode="PAY_PER_REQUEST",
    )


@pytest.fixture
def helper(aws_env: None) -> Iterator[DDBHelper]:
    with mock_aws():
        _create("things", "item_id")
        yield DDBHelper("things")


@pytest.fixture
def ranged(aws_env: None) -> Iterator[DDBHelper]:
    with mock_aws():
        _create("pairs", "item_id", "range_id")
        yield DDBHelper("pairs")


def _client_error(code: str, message: str = "text") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "UpdateItem")


# --- fenced writes ---


def test_conditional_update_returns_the_item_and_its_cost(helper: DDBHelper) -> None:
    """In Python's types."""
    helper.conditional_put({"item_id": "1", "status": "s", "b": b"\0"}, "attribute_not_exists(#k)",
                           {"#k": "item_id"}, {})  # fmt: skip
    written = helper.conditional_update(
        {"item_id": "1"}, "SET #c = :c", "#s = :s", {"#c": "count", "#s": "status"},
        {":c": 2, ":s": "s"},
    )  # fmt: skip
    assert isinstance(written, Written)
    assert written.attributes == {"item_id": "1", "status": "s", "b": b"\0", "count": 2}
    assert written.wcu > 0


def test_conditional_update_can_spare_the_item(helper: DDBHelper) -> None:
    """A flush knows what it wrote."""
    helper.conditional_put({"item_id": "1"}, "attribute_not_exists(item_id)", {}, {})
    written = helper.conditional_update(
        {"item_id": "1"},
        "SET a = :a",
        "attribute_exists(item_id)",
        {},
        {":a": 1},
        return_values="NONE",
    )
    assert written.attributes == {}


def test_a_failed_condition_shows_the_item_that_is_there(helper: DDBHelper) -> None:
    """Converted, and None where there is none."""
    old = {"item_id": "1", "a": 1, "b": b"\0", "name": {"n": [1, 2.5]}}
    helper.conditional_put({**old, "name": {"n": [1, Decimal("2.5")]}}, "attribute_not_exists(a)",
                           {}, {})  # fmt: skip
    with pytest.raises(ConditionFailed) as put:
        helper.conditional_put({"item_id": "1"}, "attribute_not_exists(item_id)", {}, {})
    assert put.value.old == old
    with pytest.raises(ConditionFailed) as update:
        helper.conditional_update({"item_id": "1"}, "SET a = :a", "a > :a", {}, {":a": 9})
    assert update.value.old == old
    with pytest.raises(ConditionFailed) as nothing:
        helper.conditional_update({"item_id": "2"}, "SET a = :a", "a > :a", {}, {":a": 9})
    assert nothing.value.old is None
    assert helper.read_item({"item_id": "1"}) == old


def test_condition_failed_survives_pickling() -> None:
    """It crosses process borders inside Ray's errors."""
    again = pickle.loads(pickle.dumps(ConditionFailed("text", {"a": 1})))
    assert str(again) == "text"
    assert again.old == {"a": 1}


def test_read_item_is_none_where_there_is_none(helper: DDBHelper) -> None:
    """An item without attributes does not exist in DynamoDB."""
    assert helper.read_item({"item_id": "none"}) is None


def test_the_writer_tries_once_and_gives_up_after_two_seconds(helper: DDBHelper) -> None:
    """The retry is its caller's."""
    config = helper.writer.meta.config
    assert config.retries["total_max_attempts"] == 1
    assert (config.connect_timeout, config.read_timeout) == (2, 2)
    assert config.max_pool_connections >= 16


def test_an_unreachable_endpoint_is_unavailable(aws_env: None) -> None:
    """Nothing listens on port 1; the text names the table and the endpoint."""
    nowhere = DDBHelper("things", "http://127.0.0.1:1", "us-east-1")
    with pytest.raises(TableUnavailable, match=r"table things: .*127\.0\.0\.1:1"):
        nowhere.read_item({"item_id": "1"})
    with pytest.raises(TableUnavailable):
        nowhere.conditional_put({"item_id": "1"}, "attribute_exists(a)", {}, {})


def test_a_missing_table_is_an_error_that_names_the_cure(helper: DDBHelper) -> None:
    """It will be missing until somebody creates it."""
    with pytest.raises(TableError, match="raytracker table create nowhere"):
        DDBHelper("nowhere").read_item({"item_id": "1"})


def test_missing_credentials_are_an_error_that_names_the_cure(
    monkeypatch: pytest.MonkeyPatch, aws_env: None
) -> None:
    """Before anything is sent."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(TableError, match="table things: .*credentials .*AWS_PROFILE"):
        DDBHelper("things", "http://127.0.0.1:1", "us-east-1").read_item({"item_id": "1"})


def test_a_missing_region_is_an_error_that_names_the_cure(
    monkeypatch: pytest.MonkeyPatch, aws_env: None
) -> None:
    """boto3 raises it when the client is built."""
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with pytest.raises(TableError, match="AWS_DEFAULT_REGION"):
        DDBHelper("things").read_item({"item_id": "1"})


def test_a_malformed_endpoint_is_permanent(aws_env: None) -> None:
    """boto3 raises ValueError."""
    with pytest.raises(TableError, match="not-a-url"):
        DDBHelper("things", "not-a-url", "us-east-1").read_item({"item_id": "1"})


def test_a_value_that_dynamodb_has_no_type_for_is_permanent(helper: DDBHelper) -> None:
    """A float, for one."""
    with pytest.raises(TableError, match="Float types"):
        helper.conditional_put({"item_id": "1", "a": 0.5}, "attribute_exists(a)", {}, {})


def test_an_item_too_large_is_permanent(helper: DDBHelper) -> None:
    """The cure is larger tiles."""
    with pytest.raises(TableError, match="400 KB.*larger tiles"):
        helper.conditional_put(
            {"item_id": "1", "a": b"x" * 410_000}, "attribute_not_exists(a)", {}, {}
        )


def test_another_key_is_permanent(ranged: DDBHelper) -> None:
    """The text says what a job table's key is."""
    with pytest.raises(TableError, match="another key .*image_id"):
        ranged.read_item({"image_id": "1"})
    with pytest.raises(TableError, match="another key .*image_id"):
        ranged.conditional_put({"image_id": "1"}, "attribute_not_exists(a)", {}, {})


@pytest.mark.parametrize(
    "code",
    [
        "ValidationException",
        "AccessDeniedException",
        "ResourceNotFoundException",
    ],
)
def test_refusals_that_stay_are_table_errors(code: str) -> None:
    """Until somebody changes something."""
    assert type(translate(_client_error(code), "things")) is TableError


@pytest.mark.parametrize(
    "err",
    [
        _client_error("UnrecognizedClientException"),
        _client_error("InvalidSignatureException"),
        _client_error("MissingAuthenticationToken"),
        _client_error("ExpiredTokenException"),
        boto.NoCredentialsError(),
        boto.PartialCredentialsError(provider="env", cred_var="AWS_SECRET_ACCESS_KEY"),
        boto.ProfileNotFound(profile="p"),
        boto.SSOTokenLoadError(profile_name="p", error_msg="expired"),
        boto.TokenRetrievalError(provider="sso", error_msg="expired"),
    ],
)
def test_refused_credentials_are_told_apart(err: Exception) -> None:
    """They heal as soon as somebody renews them."""
    translated = translate(err, "things")
    assert type(translated) is CredentialsRefused
    assert "table things: " in str(translated)
    assert "renew them" in str(translated)


@pytest.mark.parametrize(
    "err",
    [
        _client_error("ProvisionedThroughputExceededException"),
        _client_error("ThrottlingException"),
        _client_error("RequestLimitExceeded"),
        _client_error("InternalServerError"),
        _client_error("ServiceUnavailable"),
        _client_error("TransactionConflictException"),
        _client_error("503"),
        boto.ReadTimeoutError(endpoint_url="http://there"),
        boto.ConnectTimeoutError(endpoint_url="http://there"),
        boto.ConnectionClosedError(endpoint_url="http://there"),
        boto.CredentialRetrievalError(provider="iam-role", error_msg="timed out"),
        ConnectionResetError("reset"),
    ],
)
def test_what_may_heal_is_unavailable(err: Exception) -> None:
    """The same request may succeed later."""
    translated = translate(err, "things")
    assert type(translated) is TableUnavailable
    assert "things" in str(translated)


def test_translate_leaves_our_own_errors_alone() -> None:
    """It may be applied twice."""
    err = RaytrackerError("text")
    assert translate(err, "things") is err


def test_messages_are_one_line() -> None:
    """The command prints them as they are."""
    assert "\n" not in str(translate(_client_error("ValidationException", "a\nb"), "things"))


# --- settings and clients ---


def test_a_helper_pickles_as_its_settings(helper: DDBHelper) -> None:
    """Clients stay where they were built."""
    assert helper.table
    assert helper.writer
    data = pickle.dumps(helper)
    again = pickle.loads(data)
    assert len(data) < 300
    assert vars(again) == {"table_name": "things", "endpoint_url": None, "region_name": None}
    assert again.read_item({"item_id": "1"}) is None
    assert "writer" not in vars(copy.copy(helper))


def test_settings_reach_both_clients(aws_env: None) -> None:
    """Endpoint and region are the helper's, not the environment's."""
    helper = DDBHelper("things", "http://127.0.0.1:9", "eu-west-1")
    for client in (helper.client.meta.client, helper.writer):
        assert client.meta.endpoint_url == "http://127.0.0.1:9"
        assert client.meta.region_name == "eu-west-1"
    assert repr(helper) == "DDBHelper('things', 'http://127.0.0.1:9', 'eu-west-1')"


def test_nothing_is_built_before_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A handle that only travels costs nothing, and needs no region."""
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    helper = DDBHelper("things")
    assert vars(helper).keys() == {"table_name", "endpoint_url", "region_name"}


def test_importing_does_not_import_boto3() -> None:
    """It takes half a second."""
    program = (
        "import sys, raytracker.ddb, raytracker.job_table.item, raytracker.image_request;"
        "sys.exit('boto3' in sys.modules or 'botocore' in sys.modules or 'shapely' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_clients_are_built_one_at_a_time(monkeypatch: pytest.MonkeyPatch, aws_env: None) -> None:
    """boto3's loaders are not safe to use from two threads at once."""
    building, most = 0, 0
    real = boto3.Session

    def session(**settings: Any) -> Any:
        nonlocal building, most
        building += 1
        most = max(most, building)
        time.sleep(0.02)  # long enough for another thread to come in
        building -= 1
        return real(**settings)

    monkeypatch.setattr(boto3, "Session", session)
    with ThreadPoolExecutor(4) as pool:
        for number in range(4):
            attribute = ("client", "writer")[number % 2]
            pool.submit(getattr, DDBHelper("things", f"http://127.0.0.{number}"), attribute)
    assert most == 1
