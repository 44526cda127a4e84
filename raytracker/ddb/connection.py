"""A connection to one DynamoDB table: settings that pickle, clients that don't, fenced writes.

Two clients, for two callers. `client` and `table` are boto3's resources, as OSML's callers know
them. `writer` is for writes that their caller repeats until they are durable: one attempt, short
time-outs, safe to use from many threads.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from urllib.parse import urlsplit, urlunsplit

from .answers import other_credentials_may_help, to_python, translate
from .clients import Clients, shared_clients

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBServiceResource
    from mypy_boto3_dynamodb.service_resource import Table
else:
    DynamoDBServiceResource = Table = Any  # installed where types are checked

_Connection = TypeVar("_Connection", bound="TableConnection")

_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


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

    It pickles as its settings; each process makes clients of its own, which its tables share.

    Args:
        table_name: Name of the table.
        endpoint_url: Where DynamoDB answers; None: as boto3 finds it.
        region_name: AWS region; None: as boto3 finds it.
    """

    _kept: Clients | None = None
    _own: tuple[Clients, DynamoDBServiceResource, Table] | None = None

    def __init__(
        self, table_name: str, endpoint_url: str | None = None, region_name: str | None = None
    ) -> None:
        self.table_name = table_name
        self.endpoint_url = endpoint_url
        self.region_name = region_name

    def __repr__(self) -> str:
        settings = (self.table_name, self.endpoint_url, self.region_name)
        return f"{type(self).__name__}({', '.join(repr(s) for s in settings if s is not None)})"

    @property
    def settings(self) -> tuple[str, str | None, str | None]:
        """What tells this table from others: name, endpoint in a normal form, and region."""
        return (self.table_name, _normal(self.endpoint_url), self.region_name)

    def spelt_out(self: _Connection) -> _Connection:
        """Returns the same table with region and endpoint as boto3 finds them here.

        The nodes of a cluster have other environments than the driver.

        Raises:
            TableError: boto3 finds no region.
        """
        clients = self._clients
        try:
            found = clients.writer.meta
        except Exception as err:
            raise translate(err, self.table_name) from None  # its text says all
        table = copy.copy(self)
        table.region_name, table.endpoint_url = found.region_name, found.endpoint_url
        if f"//dynamodb.{found.region_name}.api." in found.endpoint_url:
            table.endpoint_url += ":443"  # given bare, boto3 refuses its own dual-stack endpoint
        table._kept = clients  # they are what a table of these settings would make
        return table

    def __getstate__(self) -> dict[str, Any]:
        made = ("_kept", "_own")
        return {name: value for name, value in self.__dict__.items() if name not in made}

    @property
    def _clients(self) -> Clients:
        # Kept, so that a change of the environment is not seen in the midst of a run.
        if self._kept is None or not self._kept.usable:
            self._kept = shared_clients(self.endpoint_url, self.region_name)
        return self._kept

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Lends the clients for one request; if it is refused for credentials, they are dropped."""
        clients = self._clients
        try:
            yield
        except Exception as err:
            if other_credentials_may_help(err):
                clients.drop()
            raise

    @property
    def client(self) -> DynamoDBServiceResource:
        """boto3's service resource for DynamoDB (OSML's name for it), with botocore's retries."""
        return self._resources()[1]

    @property
    def table(self) -> Table:
        """boto3's Table."""
        return self._resources()[2]

    def _resources(self) -> tuple[Clients, DynamoDBServiceResource, Table]:
        clients, own = self._clients, self._own
        if own is None or own[0] is not clients:
            resource = clients.resource()
            own = self._own = (clients, resource, resource.Table(self.table_name))
        return own

    @property
    def writer(self) -> Any:
        """A thread-safe client that takes Python values, tries once and gives up after 2 s."""
        return self._clients.writer

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
            with self.asking():
                response: dict[str, Any] = getattr(self.writer, operation)(
                    TableName=self.table_name,
                    ConditionExpression=condition,
                    ReturnConsumedCapacity="TOTAL",
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                    **request,
                )
        except Exception as err:
            raise translate(err, self.table_name) from None  # its text says all
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
            with self.asking():
                response = self.writer.get_item(
                    TableName=self.table_name, Key=dict(key), ConsistentRead=True
                )
        except Exception as err:
            raise translate(err, self.table_name) from None  # its text says all
        item = response.get("Item")
        return None if item is None else dict(to_python(item))


def _normal(endpoint_url: str | None) -> str | None:
    """Returns one spelling for all of an endpoint: lower case, no default port, no last slash."""
    if endpoint_url is None:
        return None
    parts = urlsplit(endpoint_url)
    host = parts.netloc.lower().removesuffix(_DEFAULT_PORTS.get(parts.scheme, "no port"))
    return urlunsplit(parts._replace(netloc=host, path=parts.path.rstrip("/")))
