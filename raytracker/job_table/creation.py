"""Making the job table, or finding that it is there and fits."""

from __future__ import annotations

import contextlib
from typing import Any, NamedTuple

from ..ddb import TableConnection, translate
from ..errors import TableMismatch

KEY = "image_id"
TTL_ATTRIBUTE = "expire_time"
_LOOKS: Any = {"Delay": 0.5, "MaxAttempts": 240}  # twice a second, for two minutes
_CURE = "make another table: `raytracker table create NAME`"


class Look(NamedTuple):
    """How a job table stands.

    Attributes:
        has_ttl: Whether expired items go.
        capacity: Read and write capacity units a second; None: on demand.
        restorable: Whether it can be restored to a point in time; None: that can't be known here.
    """

    has_ttl: bool
    capacity: tuple[int, int] | None
    restorable: bool | None


def create_job_table(table: TableConnection, *, set_ttl: bool = False) -> bool:
    """Create a table with on-demand billing, hash key `image_id` and TTL on `expire_time`.

    Waits until the table is active. One that is there is not changed. Any number of processes may
    do this at once.

    Args:
        table: The connection to it; says its name.
        set_ttl: Set the TTL of a table that is there, and has none.

    Returns:
        Whether the table has its TTL; expired items stay where it has none.

    Raises:
        TableMismatch: A table of that name has another key, or TTL on another attribute.
        TableError: DynamoDB refuses.
        TableUnavailable: DynamoDB does not answer, or the table is not active in two minutes.
    """
    name = table.table_name
    try:
        with table.asking():
            client = table.client.meta.client
            made = _create_if_missing(client, name)
            _check_key(client.describe_table(TableName=name)["Table"], name)
            if made or set_ttl:
                _enable_ttl(client, name)
            return _ttl_is_enabled(client, name)
    except Exception as err:
        raise translate(err, name) from None  # its text says all


def look_at(table: TableConnection) -> Look:
    """Returns how a table stands; nothing is changed.

    Args:
        table: The connection to it; says its name.

    Raises:
        TableMismatch, TableError, TableUnavailable: As in `create_job_table`; TableError also where
            there is no such table.
    """
    name = table.table_name
    try:
        with table.asking():
            client = table.client.meta.client
            description = client.describe_table(TableName=name)["Table"]
            _check_key(description, name)
            return Look(
                _ttl_is_enabled(client, name), _capacity(description), _restorable(client, name)
            )
    except Exception as err:
        raise translate(err, name) from None  # its text says all


def _create_if_missing(client: Any, name: str) -> bool:
    """Returns whether this call made the table."""
    made = False
    # Looked for first: who may only use a table that is there may not be allowed to create one.
    try:
        client.describe_table(TableName=name)
    except client.exceptions.ResourceNotFoundException:
        with contextlib.suppress(client.exceptions.ResourceInUseException):  # another was quicker
            client.create_table(
                TableName=name,
                KeySchema=[{"AttributeName": KEY, "KeyType": "HASH"}],
                AttributeDefinitions=[{"AttributeName": KEY, "AttributeType": "S"}],
                BillingMode="PAY_PER_REQUEST",
            )
            made = True
    client.get_waiter("table_exists").wait(TableName=name, WaiterConfig=_LOOKS)
    return made


def _check_key(description: Any, name: str) -> None:
    types = {
        attribute["AttributeName"]: attribute["AttributeType"]
        for attribute in description["AttributeDefinitions"]
    }
    key = [
        (part["KeyType"], part["AttributeName"], types[part["AttributeName"]])
        for part in description["KeySchema"]
    ]
    if key != [("HASH", KEY, "S")]:
        found = " and ".join(f"{kind} key {attribute} ({type_})" for kind, attribute, type_ in key)
        raise TableMismatch(
            f"table {name} has {found}; a job table has HASH key {KEY} (S) alone; {_CURE}"
        )


def _enable_ttl(client: Any, name: str) -> None:
    if _ttl_is_enabled(client, name):
        return
    try:
        client.update_time_to_live(
            TableName=name,
            TimeToLiveSpecification={"Enabled": True, "AttributeName": TTL_ATTRIBUTE},
        )
    except client.exceptions.ClientError:
        # Refused also where another process has just enabled it.
        if not _ttl_is_enabled(client, name):
            raise


def _ttl_is_enabled(client: Any, name: str) -> bool:
    ttl = client.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    enabled = ttl.get("TimeToLiveStatus") in ("ENABLED", "ENABLING")
    attribute = ttl.get("AttributeName")
    if enabled and attribute != TTL_ATTRIBUTE:
        raise TableMismatch(
            f"table {name} has its TTL on {attribute}; a job table has it on {TTL_ATTRIBUTE}; "
            f"change it, or {_CURE}"
        )
    return enabled


def _capacity(description: Any) -> tuple[int, int] | None:
    if description.get("BillingModeSummary", {}).get("BillingMode") == "PAY_PER_REQUEST":
        return None
    given = description["ProvisionedThroughput"]
    return given["ReadCapacityUnits"], given["WriteCapacityUnits"]


def _restorable(client: Any, name: str) -> bool | None:
    try:
        found = client.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
    except client.exceptions.ClientError:  # no right to ask, or DynamoDB Local, which has none
        return None
    recovery = found.get("PointInTimeRecoveryDescription", {})
    return bool(recovery.get("PointInTimeRecoveryStatus") == "ENABLED")
