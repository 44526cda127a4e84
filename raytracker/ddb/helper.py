"""Typed access to one DynamoDB table, with the names that OSML Model Runner uses for it."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from ..errors import DDBBatchWriteException, DDBUpdateException, TableUnavailable
from .answers import ConditionFailed, to_python, translate
from .connection import TableConnection, Written

__all__ = [
    "ConditionFailed",
    "DDBHelper",
    "DDBItem",
    "DDBKey",
    "Written",
    "translate",
]

_BATCH_SIZE = 25  # BatchWriteItem takes no more
_FIRST_DELAY = 0.125  # seconds


@dataclass
class DDBKey:
    """The key of one item.

    Attributes:
        hash_key: Name of the hash key.
        hash_value: Its value.
        range_key: Name of the range key, if the table has one.
        range_value: Its value.
        condition: Condition expression under which the item may be written. It travels here,
            not as an argument, so that an `update_ddb_item` overridden with OSML's arguments
            passes it on.
    """

    hash_key: str
    hash_value: str
    range_key: str | None = None
    range_value: str | None = None
    condition: str | None = field(default=None, repr=False, compare=False)


@dataclass
class DDBItem:
    """A dataclass whose fields are the attributes of an item; a field that is None is not stored.

    Attributes:
        ddb_key: The item's key; set by the subclass, never stored as an attribute.
    """

    ddb_key: DDBKey = field(init=False)

    def to_put(self) -> dict[str, Any]:
        """All attributes that have a value, for a PutItem."""
        # Not `asdict`, which copies every value: an image's start should cost its write.
        attributes = ((f.name, getattr(self, f.name)) for f in fields(self) if f.init)
        return {name: value for name, value in attributes if value is not None}

    def to_update(self) -> dict[str, Any]:
        """All attributes that have a value, without the hash key, for an UpdateItem."""
        return {k: v for k, v in self.to_put().items() if k != self.ddb_key.hash_key}


class DDBHelper(TableConnection):
    """One DynamoDB table; OSML's DDBHelper, with consistent reads and safe attribute names.

    The methods here let boto3's errors through, as OSML's callers expect; those of
    `TableConnection` translate them.

    Args:
        table_name: Name of the table.
        endpoint_url: Where DynamoDB answers; None: as boto3 finds it.
        region_name: AWS region; None: as boto3 finds it.
    """

    def get_ddb_item(self, ddb_item: DDBItem) -> dict[str, Any]:
        """Read the item with this item's key, consistently; {} if there is none."""
        with self.asking():
            response = self.table.get_item(Key=self.get_keys(ddb_item), ConsistentRead=True)
        return dict(self.convert_decimal(response.get("Item", {})))

    def put_ddb_item(
        self, ddb_item: DDBItem, condition_expression: str | None = None
    ) -> dict[str, Any]:
        """Write the whole item; with a condition, only if it holds.

        Returns:
            boto3's response.
        """
        request = _condition(condition_expression or ddb_item.ddb_key.condition)
        with self.asking():
            return dict(self.table.put_item(Item=ddb_item.to_put(), **request))

    def batch_write_items(
        self, ddb_items: list[Any], max_retries: int = 500, max_delay: float = 8
    ) -> None:
        """Write many items, 25 to a request, in order.

        A request is repeated, with exponential, jittered delays, for what DynamoDB left
        unprocessed and for errors that may heal; any other error is raised at once.

        Args:
            ddb_items: DDBItems with distinct keys.
            max_retries: How often one request is repeated.
            max_delay: Longest pause between two attempts, in seconds.

        Raises:
            DDBBatchWriteException: Items are still unprocessed after `max_retries`.
        """
        for first in range(0, len(ddb_items), _BATCH_SIZE):
            batch = ddb_items[first : first + _BATCH_SIZE]
            self._write_batch([item.to_put() for item in batch], max_retries, max_delay)

    def _write_batch(self, items: list[dict[str, Any]], max_retries: int, max_delay: float) -> None:
        pending: Any = {self.table_name: [{"PutRequest": {"Item": item}} for item in items]}
        for attempt in range(max_retries + 1):
            if attempt:
                longest = min(max_delay, _FIRST_DELAY * 2.0 ** min(attempt - 1, 32))
                time.sleep(random.uniform(0, longest))
            try:
                with self.asking():
                    response = self.client.batch_write_item(RequestItems=pending)
            except Exception as err:
                heals = isinstance(translate(err, self.table_name), TableUnavailable)
                if not heals or attempt == max_retries:
                    raise
                continue
            pending = response.get("UnprocessedItems")
            if not pending:
                return
        left = sum(len(requests) for requests in pending.values())
        raise DDBBatchWriteException(
            f"table {self.table_name}: {left} of {len(items)} items of a batch are unprocessed "
            f"after {max_retries} retries"
        )

    def delete_ddb_item(self, ddb_item: DDBItem) -> dict[str, Any]:
        """Delete the item with this item's key, if it is there.

        Returns:
            boto3's response.
        """
        with self.asking():
            return dict(self.table.delete_item(Key=self.get_keys(ddb_item)))

    def update_ddb_item(
        self,
        ddb_item: DDBItem,
        update_exp: str | None = None,
        update_attr: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Change an item; with neither expression nor values, to all that `ddb_item` holds.

        Args:
            ddb_item: The item; its key says which, and the key's `condition` whether.
            update_exp: Update expression, sent as it is.
            update_attr: Its ExpressionAttributeValues.

        Returns:
            The item after the update.

        Raises:
            DDBUpdateException: There is nothing to write.
        """
        request = _condition(ddb_item.ddb_key.condition)
        if not update_exp and not update_attr:
            update_exp, update_attr = self.get_update_params(ddb_item.to_update(), ddb_item)
            update_exp, names = _named(update_exp, update_attr)
            if names:
                request["ExpressionAttributeNames"] = names
        if not (update_exp and update_attr):
            raise DDBUpdateException(
                f"table {self.table_name}: the update of {self.get_keys(ddb_item)} sets nothing"
            )
        with self.asking():
            response = self.table.update_item(
                Key=self.get_keys(ddb_item),
                UpdateExpression=update_exp,
                ExpressionAttributeValues=update_attr,
                ReturnValues="ALL_NEW",
                **request,
            )
        return dict(self.convert_decimal(response["Attributes"]))

    def query_items(self, ddb_item: DDBItem) -> list[dict[str, Any]]:
        """Read all items that share this item's hash key, consistently, however many pages."""
        from boto3.dynamodb.conditions import Key

        key = ddb_item.ddb_key
        request: dict[str, Any] = {
            "ConsistentRead": True,
            "KeyConditionExpression": Key(key.hash_key).eq(key.hash_value),
        }
        items: list[dict[str, Any]] = []
        while True:
            with self.asking():
                response = self.table.query(**request)
            items.extend(self.convert_decimal(response["Items"]))
            if "LastEvaluatedKey" not in response:
                return items
            request["ExclusiveStartKey"] = response["LastEvaluatedKey"]

    @staticmethod
    def get_update_params(body: dict[str, Any], ddb_item: DDBItem) -> tuple[str, dict[str, Any]]:
        """The SET expression for `body`, without the range key, and its values, as OSML's."""
        names = [name for name in body if name != ddb_item.ddb_key.range_key]
        expression = "SET " + ",".join(f" {name} = :{name}" for name in names)
        return expression if names else "SET", {f":{name}": body[name] for name in names}

    @staticmethod
    def get_keys(ddb_item: DDBItem) -> dict[str, Any]:
        """The item's key as DynamoDB takes it: the hash key, and the range key if there is one."""
        key = ddb_item.ddb_key
        keys = {key.hash_key: key.hash_value}
        if key.range_key is not None:
            keys[key.range_key] = key.range_value  # type: ignore[assignment]
        return keys

    @staticmethod
    def convert_decimal(data: Any) -> Any:
        """Turn boto3's types into Python's, also nested.

        A whole Decimal becomes an int, any other a float; a Binary becomes bytes.
        """
        return to_python(data)


def _condition(expression: str | None) -> dict[str, Any]:
    if not expression:
        return {}
    return {
        "ConditionExpression": expression,
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }


def _named(expression: str, values: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    """Put the names set by `name = :name` behind placeholders: many of them are reserved words."""
    names: dict[str, str] = {}

    def placeholder(match: re.Match[str]) -> str:
        names[f"#{match[1]}"] = match[1]
        return f"#{match[0]}"

    for value in values:
        name = re.escape(value[1:])
        expression = re.sub(rf"(?<![\w:#.])({name})(?=\s*=\s*:{name}\b)", placeholder, expression)
    return expression, names
