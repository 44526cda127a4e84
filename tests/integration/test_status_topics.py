"""What SNS is told of an image: the same as by OSML's own status monitors."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from raytracker import JobTable
from tests.support import topics_driver
from tests.support.command import environment
from tests.support.moto_s3 import moto_server
from tests.support.osml import OSMLMissing
from tests.support.osml_monitor import tell_as_osml

ACCOUNT = "123456789012"  # moto's


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with moto_server() as endpoint:
        for service in ("SNS", "SQS"):
            monkeypatch.setenv(f"AWS_ENDPOINT_URL_{service}", endpoint)
        yield endpoint


def queue(name: str) -> tuple[str, str]:
    """Makes a queue; returns its URL and its ARN."""
    url = boto3.client("sqs").create_queue(QueueName=name)["QueueUrl"]
    return url, f"arn:aws:sqs:us-east-1:{ACCOUNT}:{name}"


def topic(name: str) -> str:
    return f"arn:aws:sns:us-east-1:{ACCOUNT}:{name}"


def take(url: str, count: int) -> list[dict[str, str]]:
    """Returns so many messages of a queue, each its body and attributes."""
    sqs, found = boto3.client("sqs"), []
    deadline = time.monotonic() + 60
    while len(found) < count and time.monotonic() < deadline:
        got = sqs.receive_message(
            QueueUrl=url,
            MaxNumberOfMessages=10,
            WaitTimeSeconds=1,
            MessageAttributeNames=["All"],
        )
        for message in got.get("Messages", ()):
            attributes = message.get("MessageAttributes", {})
            said = {name: each["StringValue"] for name, each in attributes.items()}
            found.append({"body": message["Body"], **said})
    return found


def track(table: JobTable, topics: list[str], queues: list[str]) -> Any:
    """Runs the driver, and with it the Ray whose actor is killed; returns what it said."""
    what = {"table": table.table_name, "endpoint_url": table.endpoint_url}
    what |= {"topics": topics, "queues": queues}
    driver = [sys.executable, topics_driver.__file__, json.dumps(what)]
    done = subprocess.run(driver, env=environment(), capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    [line] = [line for line in done.stdout.splitlines() if line.startswith("{")]  # Ray speaks, too
    return json.loads(line)


def test_the_messages_are_osml_s_also_when_the_actor_is_killed(
    job_table: JobTable, aws: str
) -> None:
    """Of a PARTIAL image with a region of each status.

    The actor dies before it has sent any; and the driver takes its Ray along once it has waited.
    """
    images, regions, theirs = queue("images"), queue("regions"), queue("theirs")
    said = track(job_table, [topic("images"), topic("regions")], [images[1], regions[1]])
    ours = [*take(images[0], 3), *take(regions[0], 3)]
    assert said["status"] == "PARTIAL"
    ids = [message.pop("message_id") for message in ours]
    assert len(set(ids)) == 6

    sns: Any = boto3.client("sns")
    their_topic = sns.create_topic(Name="theirs")["TopicArn"]
    raw = {"RawMessageDelivery": "true"}
    sns.subscribe(TopicArn=their_topic, Protocol="sqs", Endpoint=theirs[1], Attributes=raw)
    job = {"image_id": "scene", "job_id": "job", "processing_duration": said["duration"]}
    job |= {"region_count": 3, "region_success": 1, "region_error": 2}
    items = [
        {
            "image_id": "scene",
            "job_id": "job",
            "region_id": f"{number}-job",
            "total_tiles": 2,
            "failed_tile_count": failed,
            "processing_duration": int(ours[3 + number]["processing_duration"]),
        }
        for number, failed in enumerate((0, 1, 2))
    ]
    try:
        tell_as_osml({"topics": [their_topic, their_topic], "job": job, "regions": items})
    except OSMLMissing as missing:
        pytest.fail(str(missing), pytrace=False)
    told = take(theirs[0], 6)
    for message in told:  # since Python 3.11 an f-string says so of a (str, Enum)
        message["body"] = message["body"].replace("RequestStatus.", "")
    assert ours == [told[0], told[1], told[5], *told[2:5]]


def test_a_node_may_publish() -> None:
    """To the topics of the policy, which who has none leaves out."""
    path = Path(__file__).parents[2] / "deploy" / "node-policy.json"
    [statement] = [
        each for each in json.loads(path.read_text())["Statement"] if each["Sid"] == "StatusTopics"
    ]
    assert statement["Action"] == ["sns:Publish"]
    assert all(arn.startswith("arn:aws:sns:") for arn in statement["Resource"])
