"""The embedded DynamoDB: there for the block, gone after it and with its parent."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import boto3
import pytest

from raytracker.errors import RaytrackerError
from raytracker.local import EmbeddedDynamoDB
from tests.support.ports import answers
from tests.support.waiting import wait_until

PARENT = textwrap.dedent("""
    import signal, sys
    from raytracker.local import EmbeddedDynamoDB
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with EmbeddedDynamoDB() as dynamodb:
        print(dynamodb.endpoint_url, flush=True)
        sys.stdin.read()
""")


@pytest.fixture(scope="module")
def embedded() -> Iterator[EmbeddedDynamoDB]:
    """One for those that only ask it."""
    with EmbeddedDynamoDB() as dynamodb:
        yield dynamodb


@pytest.fixture
def parent() -> Iterator[subprocess.Popen[str]]:
    """Another process that runs an embedded DynamoDB and leads a process group."""
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    yield process
    process.kill()
    process.communicate()


def test_it_answers_as_soon_as_the_block_begins():
    """Tables can be made and items written; the region is the one asked for."""
    with EmbeddedDynamoDB(region_name="eu-west-1") as dynamodb:
        assert dynamodb.endpoint_url.startswith("http://127.0.0.1:")
        client = boto3.client(
            "dynamodb", region_name=dynamodb.region_name, endpoint_url=dynamodb.endpoint_url
        )
        table = client.create_table(
            TableName="jobs",
            KeySchema=[{"AttributeName": "image_id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "image_id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )["TableDescription"]
        assert ":eu-west-1:" in table["TableArn"]
        item = {"image_id": {"S": "scene-1"}}
        client.put_item(TableName="jobs", Item=item)
        assert client.get_item(TableName="jobs", Key=item)["Item"] == item


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("POST", "/moto-api/reset", {}),
        ("GET", "/moto-api/data.json", {}),
        ("POST", "/moto-api/", {"X-Amz-Target": "DynamoDB_20120810.ListTables"}),
        ("POST", "/", {"X-Amz-Target": "S3_20060301.ListBuckets"}),
        ("POST", "/", {"X-Amz-Target": "DynamoDB_20120810.ListTables", "Host": "evil.example"}),
        ("POST", "/", {"X-Amz-Target": "DynamoDB_20120810.ListTables", "Origin": "http://evil"}),
        ("OPTIONS", "/", {"Origin": "http://evil", "Access-Control-Request-Method": "POST"}),
    ],
)
def test_it_answers_dynamodbs_requests_only(
    embedded: EmbeddedDynamoDB, method: str, path: str, headers: dict[str, str]
) -> None:
    """Neither moto's control paths, nor a page in a browser, by whatever name it comes."""
    connection = HTTPConnection(embedded.endpoint_url.removeprefix("http://"), timeout=10)
    connection.request(method, path, b"{}" if method == "POST" else None, headers)
    answer = connection.getresponse()
    assert answer.status == 403
    assert not [name for name in answer.headers if name.lower().startswith("access-control")]
    connection.close()


def test_its_answers_let_no_browser_in(embedded: EmbeddedDynamoDB) -> None:
    """No CORS header; and it listens on the loopback address only."""
    connection = HTTPConnection(embedded.endpoint_url.removeprefix("http://"), timeout=10)
    headers = {"X-Amz-Target": "DynamoDB_20120810.ListTables"}
    connection.request("POST", "/", b"{}", headers)
    answer = connection.getresponse()
    assert answer.status == 200
    assert not [name for name in answer.headers if name.lower().startswith("access-control")]
    connection.close()
    port = int(embedded.endpoint_url.rpartition(":")[2])
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.2", port), timeout=2)


def test_it_is_gone_after_the_block():
    """Also when the block ends in an exception."""
    dynamodb = EmbeddedDynamoDB()
    with pytest.raises(ZeroDivisionError), dynamodb:  # noqa: PT012
        endpoint = dynamodb.endpoint_url
        assert answers(endpoint)
        1 / 0  # noqa: B018
    assert not answers(endpoint)
    assert dynamodb.endpoint_url == ""


def test_two_at_once_have_their_own_ports():
    """Nobody has to choose a port."""
    with EmbeddedDynamoDB() as one, EmbeddedDynamoDB() as other:
        assert one.endpoint_url != other.endpoint_url


def test_it_is_gone_when_its_parent_is_killed(parent: subprocess.Popen[str]):
    """Not even kill -9 leaves a server behind."""
    endpoint = _endpoint(parent)
    parent.kill()
    wait_until(lambda: not answers(endpoint), what="the server ends")


def test_ctrl_c_in_the_terminal_leaves_it_running(parent: subprocess.Popen[str]):
    """Who handles Ctrl-C still has a table for the last flush."""
    endpoint = _endpoint(parent)
    os.killpg(parent.pid, signal.SIGINT)
    with pytest.raises(AssertionError):
        wait_until(lambda: not answers(endpoint), timeout=0.5)


def test_without_moto_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """moto is in an extra."""
    Path(tmp_path, "moto.py").write_text("raise ModuleNotFoundError(\"No module named 'moto'\")")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    cure = r"'moto'.*pip install \"raytracker\[embedded\]\""
    with pytest.raises(RaytrackerError, match=cure), EmbeddedDynamoDB():
        pass


def test_a_server_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """The start is bounded in time."""
    Path(tmp_path, "moto.py").write_text("import time; time.sleep(60)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with (
        pytest.raises(RaytrackerError, match=r"within 0\.5 s"),
        EmbeddedDynamoDB(start_timeout=0.5),
    ):
        pass


def _endpoint(parent: subprocess.Popen[str]) -> str:
    assert parent.stdout is not None
    endpoint = parent.stdout.readline().strip()
    assert answers(endpoint)
    return endpoint
