from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import boto3
import pytest
from boto3.dynamodb.types import Binary
from botocore.exceptions import ClientError
from moto import mock_aws

from raytracker.ddb import DDBHelper, DDBItem, DDBKey
from raytracker.errors import (
    DDBBatchWriteException,
    DDBUpdateException,
)


@dataclass
class Item(DDBItem):
    item_id: str
    range_id: str | None = None
    a: Any = None
    b: Any = None
    outputs: str | None = None
    status: str | None = None
    width: int | None = None
    count: int | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        range_key = "range_id" if self.range_id is not None else None
        self.ddb_key = DDBKey("item_id", self.item_id, range_key, self.range_id)


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


# --- items ---


def test_to_put_leaves_out_what_is_none_and_the_key_object() -> None:
    """Zero and the empty string are values; None and ddb_key are not stored."""
    assert Item("1", a=0, b="").to_put() == {"item_id": "1", "a": 0, "b": ""}


def test_to_update_leaves_out_the_hash_key_even_when_its_name_is_another_object() -> None:
    """OSML compares the name by identity, and so sends the key where the string is not interned."""
    item = Item("1", a=2)
    item.ddb_key = DDBKey("".join(["item", "_id"]), "1")
    assert item.to_update() == {"a": 2}


def test_update_params_are_osmls_text() -> None:
    """An overriding or a testing caller sees exactly what OSML returns."""
    item = Item("1", range_id="r", a=1, b=2)
    body = {"range_id": "r", "a": 1, "b": 2}
    assert DDBHelper.get_update_params(body, item) == (
        "SET  a = :a, b = :b",
        {":a": 1, ":b": 2},
    )
    assert DDBHelper.get_update_params({}, item) == ("SET", {})


def test_keys_have_the_range_key_where_there_is_one() -> None:
    """The range key belongs to the key."""
    assert DDBHelper.get_keys(Item("1")) == {"item_id": "1"}
    assert DDBHelper.get_keys(Item("1", range_id="r")) == {"item_id": "1", "range_id": "r"}


def test_decimals_become_int_or_float_also_nested() -> None:
    """Whole numbers become int, others float; a Binary becomes bytes."""
    converted = DDBHelper.convert_decimal(
        {
            "whole": Decimal("3.0"),
            "part": Decimal("0.5"),
            "list": [Decimal(1), {"deep": Decimal("2.5")}],
            "tuple": (Decimal(1),),
            "set": {Decimal(1), Decimal(2)},
            "binary": Binary(b"\0x"),
            "text": "1",
            "true": True,
            "none": None,
        }
    )
    assert converted == {
        "whole": 3,
        "part": 0.5,
        "list": [1, {"deep": 2.5}],
        "tuple": (1,),
        "set": {1, 2},
        "binary": b"\0x",
        "text": "1",
        "true": True,
        "none": None,
    }
    assert type(converted["whole"]) is int
    assert type(converted["part"]) is float
    assert type(converted["binary"]) is bytes


def test_a_decimal_beyond_the_contexts_precision_is_converted() -> None:
    """DynamoDB's numbers go to 1E+125; Decimal's remainder fails there."""
    assert DDBHelper.convert_decimal(Decimal("1E+100")) == 10**100


# --- OSML's methods ---


def test_put_and_get(helper: DDBHelper) -> None:
    """What was put is read back in Python's types."""
    response = helper.put_ddb_item(Item("1", a=1, b=b"\0"))
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert helper.get_ddb_item(Item("1")) == {"item_id": "1", "a": 1, "b": b"\0"}


def test_getting_what_is_not_there_is_an_empty_dict(helper: DDBHelper) -> None:
    """As in OSML."""
    assert helper.get_ddb_item(Item("none")) == {}


def test_reads_are_consistent(helper: DDBHelper, monkeypatch: pytest.MonkeyPatch) -> None:
    """OSML's get_ddb_item is not, and a stale item loses what was counted since."""
    asked = []
    for client in (helper.client.meta.client, helper.writer):
        client.meta.events.register(
            "before-parameter-build.dynamodb.GetItem",
            lambda params, **_: asked.append(params.get("ConsistentRead")),
        )
    helper.get_ddb_item(Item("1"))
    helper.read_item({"item_id": "1"})
    assert asked == [True, True]


def test_a_put_whose_condition_fails_is_boto3s_error(helper: DDBHelper) -> None:
    """The condition is positional, as in OSML."""
    helper.put_ddb_item(Item("1", a=1))
    with pytest.raises(ClientError, match="ConditionalCheckFailed"):
        helper.put_ddb_item(Item("1", a=2), "attribute_not_exists(item_id)")
    assert helper.get_ddb_item(Item("1"))["a"] == 1


def test_reserved_words_do_not_break_an_update(helper: DDBHelper) -> None:
    """Names of a generated expression go through ExpressionAttributeNames."""
    item = Item("1", outputs="o", status="s", width=1, count=2, name="n")
    assert helper.update_ddb_item(item) == item.to_put()


def test_names_go_behind_placeholders_and_values_stay(helper: DDBHelper) -> None:
    """moto lets most reserved words pass; what is sent has none of them bare."""
    sent: list[dict[str, Any]] = []
    helper.client.meta.client.meta.events.register_first(
        "before-parameter-build.dynamodb.UpdateItem",
        lambda params, **_: sent.append(dict(params)),
    )
    helper.update_ddb_item(Item("1", status="name", name="status = :status"))
    assert sent[0]["UpdateExpression"] == "SET  #status = :status, #name = :name"
    assert sent[0]["ExpressionAttributeNames"] == {"#status": "status", "#name": "name"}
    assert helper.get_ddb_item(Item("1"))["name"] == "status = :status"


def test_an_overridden_get_update_params_is_used(helper: DDBHelper) -> None:
    """Whatever expression it returns; names that it does not set by `name = :name` stay."""

    class Stamping(DDBHelper):
        @staticmethod
        def get_update_params(
            body: dict[str, Any], ddb_item: DDBItem
        ) -> tuple[str, dict[str, Any]]:
            expression, values = DDBHelper.get_update_params(body, ddb_item)
            expression += ", a = if_not_exists(a, :zero) + :one"
            return expression, {**values, ":zero": 0, ":one": 1}

    stamping = Stamping("things")
    stamping.update_ddb_item(Item("1", count=1))
    assert stamping.update_ddb_item(Item("1", count=5)) == {"item_id": "1", "count": 5, "a": 2}


def test_an_update_with_an_expression_of_its_own(helper: DDBHelper) -> None:
    """The expression is sent as it is; the new item comes back."""
    helper.put_ddb_item(Item("1", a=1))
    assert helper.update_ddb_item(Item("1"), "SET a = a + :n", {":n": Decimal(2)}) == {
        "item_id": "1",
        "a": 3,
    }


@pytest.mark.parametrize(
    ("expression", "values"), [(None, None), ("REMOVE a", None), (None, {":a": 1})]
)
def test_an_update_of_nothing_is_refused(
    helper: DDBHelper, expression: str | None, values: dict[str, Any] | None
) -> None:
    """As in OSML; the text says which item."""
    with pytest.raises(DDBUpdateException, match="item_id"):
        helper.update_ddb_item(Item("1"), expression, values)


def test_a_keys_condition_guards_updates_and_puts(helper: DDBHelper) -> None:
    """It travels with the item, so that overridden methods with OSML's arguments keep it."""
    item = Item("1", a=1)
    item.ddb_key.condition = "attribute_exists(item_id)"
    for write in (helper.update_ddb_item, helper.put_ddb_item):
        with pytest.raises(ClientError, match="ConditionalCheckFailed"):
            write(item)
    assert helper.get_ddb_item(item) == {}


def test_delete(helper: DDBHelper) -> None:
    """The item is gone; deleting it again is no error."""
    helper.put_ddb_item(Item("1"))
    for _ in range(2):
        assert helper.delete_ddb_item(Item("1"))["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert helper.get_ddb_item(Item("1")) == {}


def test_query_reads_every_page(ranged: DDBHelper) -> None:
    """A page holds 1 MB."""
    for number in range(6):
        ranged.put_ddb_item(Item("1", range_id=str(number), a="x" * 300_000, b=Decimal(number)))
    ranged.put_ddb_item(Item("2", range_id="0"))
    assert [item["b"] for item in ranged.query_items(Item("1"))] == [0, 1, 2, 3, 4, 5]


def test_batch_write_takes_more_than_one_request_holds(ranged: DDBHelper) -> None:
    """25 items to a request."""
    ranged.batch_write_items([Item("1", range_id=f"{number:03}") for number in range(60)])
    assert len(ranged.query_items(Item("1"))) == 60


class FakeClient:
    """Answers batch writes from a list: an exception, or how many items stay unprocessed."""

    def __init__(self, *answers: Exception | int) -> None:
        self.answers = list(answers)
        self.written: list[int] = []

    def batch_write_item(self, RequestItems: dict[str, list[Any]]) -> dict[str, Any]:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        [(table, requests)] = RequestItems.items()
        self.written.append(len(requests) - answer)
        return {"UnprocessedItems": {table: requests[-answer:]} if answer else {}}


def _batching(*answers: Exception | int) -> tuple[DDBHelper, FakeClient]:
    fake = FakeClient(*answers)

    class Batching(DDBHelper):
        client = fake  # type: ignore[assignment]

    return Batching("things"), fake


def test_batch_write_repeats_what_is_unprocessed() -> None:
    """And errors that heal, each time with only what is left."""
    throttled = _client_error("ProvisionedThroughputExceededException")
    helper, client = _batching(3, throttled, 1, 0)
    helper.batch_write_items([Item(str(n)) for n in range(10)], max_retries=3, max_delay=0)
    assert client.written == [7, 2, 1]


def test_batch_write_gives_up_on_unprocessed_items() -> None:
    """After max_retries; the text counts them."""
    helper, client = _batching(2, 2, 2)
    with pytest.raises(DDBBatchWriteException, match="2 of 5 items.* after 2 retries"):
        helper.batch_write_items([Item(str(n)) for n in range(5)], max_retries=2, max_delay=0)
    assert client.answers == []


def test_batch_write_gives_up_on_an_error_that_heals() -> None:
    """After max_retries, with the last error."""
    helper, client = _batching(*[_client_error("ThrottlingException")] * 3)
    with pytest.raises(ClientError, match="Throttling"):
        helper.batch_write_items([Item("1")], max_retries=2, max_delay=0)
    assert client.answers == []


def test_batch_write_raises_at_once_what_does_not_heal() -> None:
    """OSML repeats a ValidationException 500 times."""
    helper, client = _batching(_client_error("ValidationException"), 0)
    with pytest.raises(ClientError, match="Validation"):
        helper.batch_write_items([Item("1")], max_delay=0)
    assert client.answers == [0]


def test_batch_write_waits_no_longer_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many retries there were."""
    naps: list[float] = []
    monkeypatch.setattr("raytracker.ddb.helper.time.sleep", naps.append)
    monkeypatch.setattr("raytracker.ddb.helper.random.uniform", lambda low, high: high)
    helper, _ = _batching(*[1] * 600, 0)
    helper.batch_write_items([Item("1"), Item("2")], max_retries=600, max_delay=8)
    assert naps[:4] == [0.125, 0.25, 0.5, 1.0]
    assert max(naps) == 8
    assert len(naps) == 600
