"""The commands that look whether all is well: `raytracker table check` and `raytracker doctor`."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from .tables import VARIABLE, table_app
from .templates import Kind
from .templates import template as template_of
from .told import told

if TYPE_CHECKING:
    from ..job_table import JobTable
    from ..job_table.creation import Look

SKEW_SECONDS = 30  # a run's signs of life are compared with the reader's clock
RUN_WCU = 25  # a second: what the flushes of an image may use, by default
PROBE = "raytracker-check: no image"  # a key that nobody has
NEVER = "attribute_exists(image_id) AND attribute_not_exists(image_id)"
EXTRAS = {"imagery": "rasterio", "embedded": "moto", "cli": "matplotlib"}  # a module of each
CHECK_EPILOG = """\
[bold]Examples:[/bold]

raytracker table check ImageJobs

raytracker table check ImageJobs --print cloudformation > table.json

Nothing is changed: writes are tried under a condition that never holds, at a key that nobody has. \
DynamoDB charges one write capacity unit for each of the three. Exit status 2: a run would fail."""
DOCTOR_EPILOG = """\
[bold]Examples:[/bold]

raytracker doctor

raytracker doctor --table ImageJobs --json

Exit status 2 where a line says FAIL."""

AsJson = Annotated[
    bool, typer.Option("--json", help="Print one JSON object a line, for each thing looked at.")
]


class Finding(NamedTuple):
    """One thing that was looked at.

    Attributes:
        mark: ok; FAIL: a run would fail; note: it would not.
        name: What was looked at.
        text: What was found.
        cure: What to do; empty where nothing is.
    """

    mark: str
    name: str
    text: str
    cure: str = ""


@table_app.command(epilog=CHECK_EPILOG)
def check(
    name: Annotated[str, typer.Argument(metavar="NAME", envvar=VARIABLE, help="The table's name.")],
    template: Annotated[
        Kind | None,
        typer.Option(
            "--print",
            metavar="KIND",
            help="Print what makes such a table, as cloudformation or terraform, or the policy of "
            "who uses it; asks no table.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Look whether a table is a job table, and what these credentials may do with it."""
    with told():
        if template is not None:
            print(template_of(template, name, _region()), end="")
            return
        from ..job_table import JobTable

        code = _print(table_findings(JobTable(name)), as_json)
    raise typer.Exit(code)


def doctor(
    table: Annotated[
        str | None,
        typer.Option("--table", metavar="NAME", envvar=VARIABLE, help="Check this job table, too."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Look whether all that raytracker needs is here: each line with its cure."""
    with told():
        code = _print(_all_findings(table), as_json)
    raise typer.Exit(code)


def _all_findings(table: str | None) -> Iterator[Finding]:
    from ..job_table import JobTable

    yield from versions()
    reached = list(aws_findings(JobTable(table or PROBE.partition(":")[0])))
    yield from reached
    if table and not any(finding.mark == "FAIL" for finding in reached):
        yield from table_findings(JobTable(table))


def versions() -> Iterator[Finding]:
    """Yields what of raytracker and Ray is installed, and which Ray a run would use."""
    from .. import __version__

    yield Finding("ok", "raytracker", f"{__version__}, Python {platform.python_version()}")
    yield Finding("ok", "Ray", version("ray"))
    address = os.environ.get("RAY_ADDRESS")
    yield Finding("ok", "cluster", f"RAY_ADDRESS={address}" if address else "a Ray of its own")
    for extra, module in EXTRAS.items():
        if find_spec(module):
            yield Finding("ok", f"[{extra}]", f"with {module}")
        else:
            cure = f'pip install "raytracker[{extra}]"'
            yield Finding("note", f"[{extra}]", f"no {module}", cure)


def aws_findings(table: JobTable) -> Iterator[Finding]:
    """Yields region, endpoint, credentials and clock, as one harmless request shows them."""
    from ..errors import CredentialsRefused, RaytrackerError, TableError

    try:
        client = table.client.meta.client
    except Exception as err:
        yield _failed("region", err, table)
        return
    yield Finding("ok", "region", str(client.meta.region_name))
    headers, error = _asked(lambda: client.describe_table(TableName=table.table_name), table)
    where = client.meta.endpoint_url
    if error is None or isinstance(error, TableError):
        refused = isinstance(error, CredentialsRefused)
        yield Finding("ok", "endpoint", where) if headers else Finding("note", "endpoint", where)
        mark = "FAIL" if refused else "ok"
        what = str(error) if refused else f"accepted ({_source()})"
        yield Finding(mark, "credentials", what)
    elif isinstance(error, RaytrackerError):
        yield Finding("FAIL", "endpoint", f"{where}: {error}")
    if "date" in headers:
        yield skew_of(headers["date"], time.time())


def skew_of(date: str, now: float) -> Finding:
    """Returns what to make of the clock here, now in epoch seconds, by DynamoDB's Date header."""
    skew = now - parsedate_to_datetime(date).timestamp()
    if abs(skew) <= SKEW_SECONDS:
        return Finding("ok", "clock", f"within {SKEW_SECONDS} s of DynamoDB's")
    which = "ahead" if skew > 0 else "behind"
    what = f"{abs(skew):.0f} s {which}: runs that live may look silent, and AWS refuse requests"
    return Finding("FAIL", "clock", what, "set it by NTP: chrony, or timedatectl set-ntp true")


def table_findings(table: JobTable) -> Iterator[Finding]:
    """Yields what a table is, and what may be done with it."""
    from ..errors import TableError, TableMismatch, TableUnavailable
    from ..job_table import look_at

    try:
        look = look_at(table)
        yield Finding("ok", "key", "image_id (S) alone")
        yield from _how_it_stands(look, table.table_name)
    except TableMismatch as err:
        yield Finding("FAIL", "key", str(err))
        return
    except TableUnavailable as err:
        yield Finding("FAIL", "table", str(err))
        return
    except TableError as err:
        if "may not do" not in str(err):
            yield Finding("FAIL", "table", str(err))
            return
        yield Finding("note", "table", str(err), "a run does without it")
    yield from rights(table)


def _how_it_stands(look: Look, name: str) -> Iterator[Finding]:
    if look.has_ttl:
        yield Finding("ok", "TTL", "on expire_time")
    else:
        cure = f"raytracker table create {name} --set-ttl"
        yield Finding("note", "TTL", "none: expired items stay", cure)
    if look.capacity is None:
        yield Finding("ok", "capacity", "on demand")
    else:
        read, write = look.capacity
        few = write < RUN_WCU
        text = f"{read} RCU, {write} WCU a second" + (
            f"; a run may take {RUN_WCU} WCU" if few else ""
        )
        cure = f"aws dynamodb update-table --table-name {name} --billing-mode PAY_PER_REQUEST"
        yield Finding("note" if few else "ok", "capacity", text, cure if few else "")
    if look.restorable:
        yield Finding("ok", "recovery", "to any second of the last days")
    elif look.restorable is None:
        yield Finding("note", "recovery", "not known", "grant dynamodb:DescribeContinuousBackups")
    else:
        cure = (
            f"aws dynamodb update-continuous-backups --table-name {name} "
            "--point-in-time-recovery-specification PointInTimeRecoveryEnabled=true"
        )
        yield Finding("note", "recovery", "none: a table that is deleted is gone", cure)


def rights(table: JobTable) -> Iterator[Finding]:
    """Yields whether these credentials may do what runs and commands do."""
    from ..ddb import ConditionFailed

    client: Any = table.client.meta.client
    name = table.table_name
    key, on = {"image_id": PROBE}, {"TableName": name}
    never = {**on, "ConditionExpression": NEVER}
    calls: dict[str, tuple[str, Callable[[], Any]]] = {
        "GetItem": ("", lambda: client.get_item(**on, Key=key)),
        "PutItem": ("", lambda: client.put_item(**never, Item=key)),
        "UpdateItem": (
            "",
            lambda: client.update_item(
                **never,
                Key=key,
                UpdateExpression="SET tracker_seq = :none",
                ExpressionAttributeValues={":none": 0},
            ),
        ),
        "DeleteItem": ("raytracker delete", lambda: client.delete_item(**never, Key=key)),
        "Scan": ("raytracker list", lambda: client.scan(**on, Limit=1)),
    }
    for right, (used_by, call) in calls.items():
        _, error = _asked(call, table)
        if error is None or isinstance(error, ConditionFailed):
            yield Finding("ok", right, "allowed")
        else:
            cure = f"only `{used_by}` needs it" if used_by else f"grant dynamodb:{right}"
            yield Finding("note" if used_by else "FAIL", right, str(error), cure)


def _asked(call: Callable[[], Any], table: JobTable) -> tuple[dict[str, str], Any]:
    """Returns the headers of an answer, and what it refuses in raytracker's terms."""
    from ..ddb import translate

    try:
        return call()["ResponseMetadata"]["HTTPHeaders"], None
    except Exception as err:
        answer = getattr(err, "response", {}).get("ResponseMetadata", {})
        return answer.get("HTTPHeaders", {}), translate(err, table.table_name)


def _failed(name: str, err: Exception, table: JobTable) -> Finding:
    from ..ddb import translate

    return Finding("FAIL", name, str(translate(err, table.table_name)))


def _region() -> str:
    import boto3

    return boto3.Session().region_name or "*"


def _source() -> str:
    """Returns where boto3 found the credentials."""
    import boto3

    found = boto3.Session().get_credentials()
    return "none" if found is None else str(found.method)


def _print(findings: Iterator[Finding], as_json: bool) -> int:
    """Prints findings as they come; returns the exit status."""
    from .show import one_line

    code = 0
    for finding in findings:
        code = 2 if finding.mark == "FAIL" else code
        if as_json:
            print(json.dumps(finding._asdict()), flush=True)
            continue
        cure = f"; {finding.cure}" if finding.cure else ""
        print(f"{finding.mark:<4}  {finding.name:<11}  {one_line(finding.text)}{cure}", flush=True)
    return code
