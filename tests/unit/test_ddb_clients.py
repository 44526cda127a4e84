"""boto3's clients: shared, dropped when their credentials are refused, and after a fork."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore import exceptions as boto
from botocore.exceptions import ClientError, NoCredentialsError

from raytracker.ddb import ConditionFailed, DDBHelper, TableConnection, clients
from raytracker.ddb.answers import other_credentials_may_help
from raytracker.errors import CredentialsRefused, TableError, TableUnavailable
from raytracker.job_table import JobItem, JobTable
from tests.support.guarded_dynamodb import GuardedDynamoDB

ITEM = JobItem("scene", width=5)


@pytest.fixture
def guard() -> Iterator[GuardedDynamoDB]:
    """A DynamoDB that takes the key NEW."""
    with GuardedDynamoDB("NEW") as guard:
        yield guard


@pytest.fixture
def credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], object]:
    """Writes the file in which boto3 finds its credentials; it is not there before."""
    path = tmp_path / "credentials"
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(path))
    return lambda key: path.write_text(
        f"[default]\naws_access_key_id = {key}\naws_secret_access_key = secret\n"
    )


@pytest.fixture
def table(guard: GuardedDynamoDB) -> JobTable:
    return JobTable("jobs", guard.endpoint_url, "us-east-1")


ASKS: list[Callable[[JobTable], object]] = [
    lambda t: t.read("scene"),
    lambda t: t.conditional_put({"image_id": "scene"}, "attribute_not_exists(a)", {}, {}),
    lambda t: t.conditional_update({"image_id": "a"}, "SET a = :a", "a = :a", {}, {":a": 1}),
    lambda t: t.get_ddb_item(ITEM),
    lambda t: t.put_ddb_item(ITEM),
    lambda t: t.delete_ddb_item(ITEM),
    lambda t: t.batch_write_items([ITEM], max_retries=0),
    lambda t: t.start_image_request(ITEM),
]
NAMES = ["read", "put", "update", "get_ddb_item", "put_ddb_item", "delete_ddb_item",
         "batch_write_items", "start_image_request"]  # fmt: skip


def is_refused(ask: Callable[[JobTable], object], table: JobTable) -> bool:
    try:
        ask(table)
    except (CredentialsRefused, ClientError):
        return True
    return False


@pytest.mark.parametrize("ask", ASKS, ids=NAMES)
def test_renewed_credentials_are_seen(
    ask: Callable[[JobTable], object], table: JobTable, credentials: Callable[[str], object]
) -> None:
    """By the request after the one that was refused, whichever they are."""
    credentials("OLD")
    with pytest.raises(Exception, match="UnrecognizedClientException"):
        ask(table)
    credentials("NEW")
    ask(table)


@pytest.mark.parametrize("ask", [ASKS[0], ASKS[3]], ids=["read", "get_ddb_item"])
def test_credentials_that_were_missing_are_seen(
    ask: Callable[[JobTable], object], table: JobTable, credentials: Callable[[str], object]
) -> None:
    """Once they are there."""
    with pytest.raises((CredentialsRefused, NoCredentialsError), match="credentials"):
        ask(table)
    credentials("NEW")
    ask(table)


def test_a_profile_that_was_missing_is_seen(
    table: JobTable, credentials: Callable[[str], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """boto3 then makes not even a session."""
    monkeypatch.setenv("AWS_PROFILE", "default")
    with pytest.raises(CredentialsRefused, match="profile"):
        table.read("scene")
    credentials("NEW")
    table.read("scene")


def test_a_region_that_was_missing_is_seen(
    table: JobTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """boto3 makes a session then, and no client; the session knows the files as they were."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "NEW")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    table.region_name = None
    with pytest.raises(TableError, match="AWS_DEFAULT_REGION"):
        table.read("scene")
    (tmp_path / "config").write_text("[default]\nregion = us-east-1\n")
    table.read("scene")


@pytest.mark.parametrize(
    ("err", "may_help"),
    [
        (ClientError({"Error": {"Code": "ExpiredTokenException"}}, "AssumeRole"), True),
        (ClientError({"Error": {"Code": "AccessDenied"}}, "AssumeRoleWithWebIdentity"), True),
        (boto.CredentialRetrievalError(provider="process", error_msg="no"), True),
        (boto.UnauthorizedSSOTokenError(), True),
        (ClientError({"Error": {"Code": "ValidationException"}}, "GetItem"), False),
        (boto.ConnectTimeoutError(endpoint_url="http://there"), False),
        (TypeError("Float types are not supported"), False),
    ],
)
def test_errors_for_which_other_credentials_may_help(err: Exception, may_help: bool) -> None:
    """Also those of who hands out the credentials."""
    assert other_credentials_may_help(err) is may_help


@pytest.mark.parametrize(
    ("refusal", "error"),
    [
        ("ExpiredTokenException", CredentialsRefused),
        ("InvalidSignatureException", CredentialsRefused),
        ("AccessDeniedException", TableError),  # the machine's role may be another by now
    ],
)
def test_a_renewed_environment_is_seen(
    refusal: str,
    error: type[Exception],
    table: JobTable,
    guard: GuardedDynamoDB,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After a refusal, of whatever kind."""
    guard.refusal = refusal
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "OLD")
    with pytest.raises(error):
        table.read("scene")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "NEW")
    table.read("scene")


def test_renewed_credentials_are_seen_by_all_threads(
    guard: GuardedDynamoDB, credentials: Callable[[str], object]
) -> None:
    """Whether they share a table or have tables of their own; then all have the same client."""
    credentials("OLD")
    shared = JobTable("jobs", guard.endpoint_url, "us-east-1")
    tables = [shared] * 4
    tables += [JobTable(f"jobs-{n}", guard.endpoint_url, "us-east-1") for n in range(4)]
    refused = threading.Barrier(len(tables) + 1, timeout=30)
    renewed = threading.Event()

    def work(table: JobTable) -> int:
        assert [is_refused(ask, table) for ask in (ASKS[0], ASKS[3])] == [True, True]
        refused.wait()
        assert renewed.wait(30)
        return sum(is_refused(ask, table) for ask in (ASKS[0], ASKS[3]) * 20)

    with ThreadPoolExecutor(len(tables)) as pool:
        works = [pool.submit(work, table) for table in tables]
        refused.wait()
        credentials("NEW")
        renewed.set()
        # One may have looked for credentials just before they were renewed.
        assert max(work.result() for work in works) <= 1
    assert len({id(table.writer) for table in tables}) == 1


def test_refusals_without_end_make_few_sessions(
    table: JobTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session takes a tenth of a second of computing, and an actor may host a thousand images."""
    made: list[Any] = []
    real = boto3.Session
    monkeypatch.setattr(boto3, "Session", lambda **o: made.append(o) or real(**o))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "OLD")
    monkeypatch.setattr(clients, "DROPS_SECONDS", 1e9)
    monkeypatch.setattr(clients, "MAX_DROPS", 4)
    assert all(is_refused(ASKS[0], table) for _ in range(12))
    assert len(made) == 1 + 4
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "NEW")
    assert is_refused(ASKS[0], table)
    monkeypatch.setattr(clients, "DROPS_SECONDS", 0.0)
    assert is_refused(ASKS[0], table)
    assert not is_refused(ASKS[0], table)


def test_what_has_nothing_to_do_with_credentials_drops_no_client(
    table: JobTable, guard: GuardedDynamoDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To make one takes a tenth of a second."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "OLD")
    writer, client = table.writer, table.client
    for refusal, error in (
        ("ThrottlingException", TableUnavailable),
        ("ResourceNotFoundException", TableError),
        ("ConditionalCheckFailedException", ConditionFailed),
    ):
        guard.refusal = refusal
        with pytest.raises(error):
            table.read("scene")
        with pytest.raises(ClientError):
            table.get_ddb_item(ITEM)
    assert (table.writer, table.client) == (writer, client)
    nowhere = JobTable("jobs", "http://127.0.0.1:1", "us-east-1")
    writer = nowhere.writer
    with pytest.raises(TableUnavailable):
        nowhere.read("scene")
    assert nowhere.writer is writer


# --- sharing ---


def test_tables_share_a_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one endpoint and region, spelt out or not: a session takes 10 MB."""
    made: list[Any] = []
    real = boto3.Session
    monkeypatch.setattr(boto3, "Session", lambda **o: made.append(o) or real(**o))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "tables-share-a-client")
    tables: list[TableConnection] = []
    for number in range(50):
        table = JobTable(f"jobs-{number % 2}").spelt_out()
        tables += [table, DDBHelper("things")]
        assert table.client
        assert table.table.name == table.table_name
    assert len({id(table.writer) for table in tables}) == 1
    assert len(made) == 1
    assert JobTable("jobs", region_name="eu-west-1").writer is not tables[0].writer
    assert JobTable("jobs", "http://127.0.0.1:9").writer is not tables[0].writer


def test_another_environment_is_another_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tables made in it; those that are there keep their credentials."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "one")
    ours = JobTable("jobs")
    writer = ours.writer
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "other")
    theirs = JobTable("jobs")
    assert theirs.writer is not writer
    assert ours.writer is writer


def test_clients_are_not_kept_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service whose environment changes each hour does not grow."""
    monkeypatch.setattr(clients, "_MAX_SHARED", 2)
    first = weakref.ref(JobTable("jobs", "http://127.0.0.1:1", "us-east-1").writer)
    for number in range(2, 4):
        assert JobTable("jobs", f"http://127.0.0.1:{number}", "us-east-1").writer
    gc.collect()
    assert first() is None


FORKING = """
import os, signal, sys, threading
import boto3
from raytracker.job_table import JobItem, JobTable

signal.alarm(60)  # it would hang
table = JobTable("jobs", sys.argv[1], "us-east-1")
table.read("scene")
before = table.writer, table.client
real, building, go_on = boto3.Session, threading.Event(), threading.Event()

def session(**settings):
    building.set()
    go_on.wait()
    return real(**settings)

boto3.Session = session
other = JobTable("jobs", sys.argv[1], "eu-west-1")
threading.Thread(target=lambda: other.writer, daemon=True).start()
building.wait()
child = os.fork()
if not child:
    boto3.Session = real
    table.read("scene")
    JobTable("jobs", sys.argv[1], "us-east-1").read("scene")
    table.put_ddb_item(JobItem("scene"))
    os._exit(10 * (table.writer is before[0]) + (table.client is before[1]))
assert os.waitpid(child, 0)[1] == 0
assert (table.writer, table.client) == before
"""


def test_a_forked_child_makes_clients_of_its_own(guard: GuardedDynamoDB) -> None:
    """It would share the parent's connections; a thread may be making a client just then."""
    environment = {**os.environ, "AWS_ACCESS_KEY_ID": "NEW"}
    program = [sys.executable, "-c", FORKING, guard.endpoint_url]
    subprocess.run(program, env=environment, check=True)
