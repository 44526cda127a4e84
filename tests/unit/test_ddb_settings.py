"""Which table is meant: the same one on every node, however its endpoint is spelt."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse

from raytracker.ddb import TableConnection
from raytracker.errors import TableError

# Unpickles tables and tells where their requests go, and for which region they are signed.
ELSEWHERE = """
import pickle, sys
from tests.unit.test_ddb_settings import asks
for table in pickle.load(sys.stdin.buffer):
    print(*asks(table))
"""
VPC = "https://vpce-0a1b-c2d3.dynamodb.us-east-1.vpce.amazonaws.com"


def asks(table: TableConnection) -> tuple[str, str]:
    """Returns the endpoint and the region of a request that is about to be sent."""
    requests: list[Any] = []

    def answer(request: Any, **_: Any) -> AWSResponse:
        requests.append(request)
        return AWSResponse(request.url, 200, {}, Body())

    table.writer.meta.events.register_first("before-send.dynamodb", answer)
    table.read_item({"image_id": "scene"})
    signature = requests[0].headers["Authorization"].decode()
    return requests[0].url.removesuffix("/").removesuffix(":443"), signature.split("/")[2]


class Body:
    """An answer's body: a JSON object that is empty."""

    def stream(self) -> Any:
        yield b"{}"


FOUND: list[tuple[dict[str, str], str]] = [
    ({}, "https://dynamodb.us-east-1.amazonaws.com"),
    ({"AWS_DEFAULT_REGION": "cn-north-1"}, "https://dynamodb.cn-north-1.amazonaws.com.cn"),
    ({"AWS_ENDPOINT_URL_DYNAMODB": VPC}, VPC),
    ({"AWS_ENDPOINT_URL": "http://127.0.0.1:8000"}, "http://127.0.0.1:8000"),
    ({"AWS_USE_FIPS_ENDPOINT": "true"}, "https://dynamodb-fips.us-east-1.amazonaws.com"),
    ({"AWS_USE_DUALSTACK_ENDPOINT": "true"}, "https://dynamodb.us-east-1.api.aws"),
    (
        {"AWS_USE_FIPS_ENDPOINT": "true", "AWS_USE_DUALSTACK_ENDPOINT": "true"},
        "https://dynamodb-fips.us-east-1.api.aws",
    ),
]


@pytest.mark.parametrize(("variables", "url"), FOUND)
def test_a_table_is_where_boto3_finds_it(
    variables: dict[str, str], url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And there again after pickling."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    table = TableConnection("jobs").spelt_out()
    here = url, os.environ["AWS_DEFAULT_REGION"]
    assert asks(table) == here
    assert asks(pickle.loads(pickle.dumps(table))) == here


def test_a_table_is_the_same_in_every_process() -> None:
    """Also under a bare environment: what the variables said goes with it."""
    tables, told = [], ""
    for variables, url in FOUND:
        with pytest.MonkeyPatch.context() as patched:
            for name, value in variables.items():
                patched.setenv(name, value)
            tables.append(TableConnection("jobs").spelt_out())
            told += f"{url} {os.environ['AWS_DEFAULT_REGION']}\n"
    keys = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "PATH", "PYTHONPATH")
    bare = {name: os.environ[name] for name in keys if name in os.environ}
    line = [sys.executable, "-c", ELSEWHERE]
    elsewhere = subprocess.run(
        line, input=pickle.dumps(tables), env=bare, capture_output=True, check=True
    )
    assert elsewhere.stdout.decode() == told


def test_what_was_given_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment fills in only what is missing."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", VPC)
    table = TableConnection("jobs", "http://127.0.0.1:8000", "eu-west-3").spelt_out()
    assert (table.region_name, table.endpoint_url) == ("eu-west-3", "http://127.0.0.1:8000")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with pytest.raises(TableError, match="region"):
        TableConnection("jobs").spelt_out()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("http://localhost:8000", "HTTP://LocalHost:8000/"),
        ("http://localhost", "http://localhost:80/"),
        ("https://[::1]", "https://[::1]:443"),
        (
            "https://dynamodb.us-east-1.amazonaws.com",
            "https://DynamoDB.us-east-1.amazonaws.com:443",
        ),
        ("http://localhost:8000/Path", "http://localhost:8000/Path/"),
    ],
)
def test_spellings_of_one_endpoint_are_one_table(one: str, other: str) -> None:
    """So that its image has one coordinator."""
    assert TableConnection("jobs", one).settings == TableConnection("jobs", other).settings


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("http://localhost:8000", "http://localhost:8001"),
        ("http://localhost:443", "https://localhost:443"),
        ("http://localhost:8080", "http://localhost"),
        ("http://localhost/path", "http://localhost/Path"),
        ("http://localhost", None),
    ],
)
def test_endpoints_that_differ_are_two(one: str, other: str | None) -> None:
    """Of two tables of the same name."""
    assert TableConnection("jobs", one).settings != TableConnection("jobs", other).settings
    assert TableConnection("jobs", one).settings != TableConnection("runs", one).settings
    assert TableConnection("jobs", one, "a").settings != TableConnection("jobs", one, "b").settings
