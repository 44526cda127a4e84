"""DynamoDB Local as the tests start it."""

import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from raytracker import JobItem, JobTable
from tests.support import dynamodb_local as support
from tests.support.ports import answers, reserved_port
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
PARENT = textwrap.dedent("""
    import sys
    from tests.support.dynamodb_local import dynamodb_local
    with dynamodb_local() as endpoint:
        print(endpoint, flush=True)
        sys.stdin.read()
""")


def test_it_is_gone_when_its_parent_is_killed():
    """A test run that is killed leaves no Java behind."""
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert parent.stdout is not None
        endpoint = parent.stdout.readline().strip()
        assert answers(endpoint)
        parent.send_signal(signal.SIGKILL)
        wait_until(lambda: not answers(endpoint), what="DynamoDB Local ends")
    finally:
        parent.kill()
        parent.communicate()


def test_its_port_is_nobody_elses():
    """No other program is given the port between its choice and the start of Java."""
    with reserved_port() as port, socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", port))


def test_a_java_that_fails_is_shown(monkeypatch: pytest.MonkeyPatch):
    """What it wrote is in the message."""
    monkeypatch.setattr(support, "find_java", lambda: "/bin/ls")
    failure = pytest.raises(AssertionError, match="/bin/ls does not run DynamoDB Local:\n.*ls")
    with failure, support.dynamodb_local():
        pass


def test_the_calls_that_it_answers_are_counted(
    counted_table: JobTable, update_item_count: Callable[[], int]
):
    """One UpdateItem is one; reads are none."""
    counted_table.start_image_request(JobItem(image_id="scene-1", region_count=2))
    before = update_item_count()
    counted_table.complete_region_request("scene-1", error=False)
    assert update_item_count() == before + 1
    counted_table.get_image_request("scene-1")
    assert update_item_count() == before + 1
