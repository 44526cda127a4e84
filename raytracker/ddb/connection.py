"""A connection to one DynamoDB table: settings that pickle, clients that don't, fenced writes.

Two clients, for two callers. `client` and `table` are boto3's resources, as OSML's callers know
them. `writer` is for writes that their caller repeats until they are durable: one attempt, short
time-outs, safe to use from many threads.

boto3 is imported at first use, so that importing raytracker stays quick.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from urllib.parse import urlsplit

from .answers import restore_binary, to_python, translate

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBServiceResource
    from mypy_boto3_dynamodb.service_resource import Table
else:
    DynamoDBServiceResource = Table = Any  # installed where types are checked

_Connection = TypeVar("_Connection", bound="TableConnection")

_AWS_HOSTS = (".amazonaws.com", ".amazonaws.com.cn", ".api.aws")

# Clients are built one at a time: boto3's loaders are not safe to use from two threads at once.
_building = threading.RLock()


@dataclass(frozen=True)
class Written:
    """What DynamoDB says about a write that it has made.

    Attributes:
        attributes: The item after the write, in Python's types; empty if it was not asked for.
        wcu: Write capacity units consumed.
    """

    attributes: dict[str, Any]
    wcu: float


class TableConnection:
    """One DynamoDB table, with reads and conditional writes that say what to make of an error.

    It pickles as its settings; each process and each copy builds clients of its own.

    Args:
        table_name: Name of the table.
        endpoint_url: Where DynamoDB answers; None: as boto3 finds it.
        region_name: AWS region; None: as boto3 finds it.
    """

    def __init__(
        self, table_name: str, endpoint_url: str | None = None, region_name: str | None = None
    ) -> None:
        self.table_name = table_name
        self.endpoint_url = endpoint_url
        self.region_name = region_name

    def __repr__(self) -> str:
        settings = (self.table_name, self.endpoint_url, self.region_name)
        return f"{type(self).__name__}({', '.join(repr(s) for s in settings if s is not None)})"

    def spelt_out(self: _Connection) -> _Connection:
        """Returns the same table with region and endpoint as boto3 finds them here.

        The nodes of a cluster have other environments than the driver.

        Raises:
            TableError: boto3 finds no region.
        """
        try:
            writer = self.writer
        except Exception as err:
            raise translate(err, self.table_name) from err
        table = copy.copy(self)
        table.region_name = writer.meta.region_name
        if not (urlsplit(writer.meta.endpoint_url).hostname or "").endswith(_AWS_HOSTS):
            table.endpoint_url = writer.meta.endpoint_url
        table.writer = writer  # a client takes a tenth of a second and some megabytes
        return table

    def __getstate__(self) -> dict[str, Any]:
        clients = {"client", "table", "writer"}
        return {name: value for name, value in self.__dict__.items() if name not in clients}

    def _resource(self, **config: Any) -> DynamoDBServiceResource:
        import boto3
        from botocore.config import Config

        with _building:
            session = boto3.Session(region_name=self.region_name)
            resource: DynamoDBServiceResource = session.resource(
                "dynamodb", endpoint_url=self.endpoint_url, config=Config(**config)
            )
        # Before boto3's own handler, which turns the attributes into Python's types.
        resource.meta.client.meta.events.register_first("after-call.dynamodb", _restore_binary)
        return resource

    @cached_property
    def client(self) -> DynamoDBServiceResource:
        """boto3's service resource for DynamoDB (OSML's name for it), with botocore's retries."""
        return self._resource(
            retries={"max_attempts": 3, "mode": "standard"},
            max_pool_connections=50,
            connect_timeout=5,
            read_timeout=20,
        )

    @cached_property
    def table(self) -> Table:
        """boto3's Table."""
        return self.client.Table(self.table_name)

    @cached_property
    def writer(self) -> Any:
        """A thread-safe client that takes Python values, tries once and gives up after 2 s."""
        return self._resource(
            # The caller repeats; botocore's retries would hold its thread for minutes.
            retries={"total_max_attempts": 1},
            parameter_validation=False,  # a quarter of a write's computing; DynamoDB checks again
            max_pool_connections=16,
            connect_timeout=2,
            read_timeout=2,
            tcp_keepalive=True,
        ).meta.client

    def conditional_put(
        self,
        item: Mapping[str, Any],
        condition: str,
        names: Mapping[str, str],
        values: Mapping[str, Any],
    ) -> None:
        """Write a whole item if a condition holds.

        Args:
            item: The attributes, in Python's types.
            condition: Condition expression.
            names: ExpressionAttributeNames; may be empty.
            values: ExpressionAttributeValues; may be empty.

        Raises:
            ConditionFailed: It does not hold; `.old` is the item that is there.
            TableError: DynamoDB refuses, and will again.
            TableUnavailable: The same request may succeed later, or already has.
        """
        self._write("put_item", condition, names, values, Item=dict(item))

    def conditional_update(
        self,
        key: Mapping[str, Any],
        update: str,
        condition: str,
        names: Mapping[str, str],
        values: Mapping[str, Any],
        *,
        return_values: Literal["ALL_NEW", "NONE"] = "ALL_NEW",
    ) -> Written:
        """Change an item if a condition holds.

        Args:
            key: The item's key.
            update: Update expression.
            condition: Condition expression.
            names: ExpressionAttributeNames; may be empty.
            values: ExpressionAttributeValues; may be empty.
            return_values: "NONE" spares the item's way back.

        Returns:
            The item after the write, and what the write cost.

        Raises:
            ConditionFailed, TableError, TableUnavailable: As in `conditional_put`.
        """
        response = self._write(
            "update_item",
            condition,
            names,
            values,
            Key=dict(key),
            UpdateExpression=update,
            ReturnValues=return_values,
        )
        return Written(
            attributes=to_python(response.get("Attributes", {})),
            wcu=float(response.get("ConsumedCapacity", {}).get("CapacityUnits", 0)),
        )

    def _write(
        self,
        operation: str,
        condition: str,
        names: Mapping[str, str],
        values: Mapping[str, Any],
        **request: Any,
    ) -> dict[str, Any]:
        if names:
            request["ExpressionAttributeNames"] = dict(names)
        if values:
            request["ExpressionAttributeValues"] = dict(values)
        try:
            response: dict[str, Any] = getattr(self.writer, operation)(
                TableName=self.table_name,
                ConditionExpression=condition,
                ReturnConsumedCapacity="TOTAL",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
                **request,
            )
        except Exception as err:
            raise translate(err, self.table_name) from err
        return response

    def read_item(self, key: Mapping[str, Any]) -> dict[str, Any] | None:
        """Read an item, consistently.

        Args:
            key: The item's key.

        Returns:
            The attributes in Python's types, or None if there is no such item.

        Raises:
            TableError: DynamoDB refuses, and will again.
            TableUnavailable: The same request may succeed later.
        """
        try:
            response = self.writer.get_item(
                TableName=self.table_name, Key=dict(key), ConsistentRead=True
            )
        except Exception as err:
            raise translate(err, self.table_name) from err
        item = response.get("Item")
        return None if item is None else dict(to_python(item))


def _restore_binary(parsed: Any, **_: Any) -> None:
    restore_binary(parsed)
