"""The embedded DynamoDB: for one command, or in `raytracker dev` for all commands of a shell."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from types import FrameType

from ..job_table import JobTable
from ..local import EmbeddedDynamoDB
from .options import Refused

INSIDE = "RAYTRACKER_DEV"  # set in what `dev` starts: where its DynamoDB is
_ACCOUNT = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN")


def embedded_table(stack: ExitStack, table_name: str, *, keeps_account: bool) -> JobTable:
    """Starts an embedded DynamoDB, makes a table in it, and has all from here on find it.

    Args:
        stack: It lasts as long as this.
        table_name: The table's name.
        keeps_account: Whether to leave region and credentials as they are, since images on S3 need
            them; the embedded one takes any. Else there need be none.
    """
    dynamodb = stack.enter_context(EmbeddedDynamoDB())
    found = dynamodb.environment  # which Ray's workers inherit
    if keeps_account:
        for name in ("AWS_DEFAULT_REGION", *dynamodb.credentials):
            del found[name]
    else:
        for name in _ACCOUNT:
            os.environ.pop(name, None)
    os.environ.update(found)
    region_name = None if keeps_account and _region() else dynamodb.region_name
    table = JobTable(table_name, dynamodb.endpoint_url, region_name)
    table.create()
    return table


def dev(command: Sequence[str], table_name: str) -> int:
    """Runs a command, or the user's shell, that finds an embedded table; returns its status.

    Raises:
        Refused: This is such a shell, or there is no such command.
    """
    if INSIDE in os.environ:
        raise Refused(
            f"this shell has its embedded DynamoDB already, at {os.environ[INSIDE]}: "
            "`exit` ends both"
        )
    with ExitStack() as stack:
        table = embedded_table(stack, table_name, keeps_account=_has_credentials())
        assert table.endpoint_url is not None
        os.environ.setdefault("AWS_DEFAULT_REGION", table.region_name or _region() or "")
        os.environ.update({INSIDE: table.endpoint_url, "RAYTRACKER_TABLE": table_name})
        # Its nodes would look for the table on loopback ports of their own.
        os.environ.pop("RAY_ADDRESS", None)
        if not command:
            shell = os.environ.get("SHELL") or "/bin/sh"
            print(
                f"embedded DynamoDB at {table.endpoint_url}, table {table_name}: both last until "
                f"this shell ends ({os.path.basename(shell)}; `exit`)",  # noqa: PTH119
                file=sys.stderr,
                flush=True,
            )
            command = [shell]
        return _run(command)


def _run(command: Sequence[str]) -> int:
    """Runs a command in this terminal to its end; returns its status, as a shell would."""
    children: list[subprocess.Popen[bytes]] = []

    def pass_on(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGTERM:  # a key of the terminal reaches both by itself
            for child in children:
                child.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        children.append(subprocess.Popen(command))
        status = children[0].wait()
    except OSError as err:
        raise Refused(f"{command[0]} cannot be run: {err.strerror}") from err
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 128 - status if status < 0 else status


def _region() -> str | None:
    import boto3

    region: str | None = boto3.Session().region_name
    return region


def _has_credentials() -> bool:
    """Whether boto3 finds credentials, which what else the shell does on AWS may need."""
    import boto3

    try:
        found = boto3.Session().get_credentials()
        return found is not None and bool(found.get_frozen_credentials().access_key)
    except Exception:  # a profile that is not there, a login that has run out, and so on
        return False
