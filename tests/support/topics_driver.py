"""A driver whose actor is killed before it could send: python topics_driver.py JSON.

Its topics are not there before that, so that nothing can be sent.
"""

from __future__ import annotations

import json
import os
import signal
import sys

import boto3
import ray

from raytracker import ImageTracker, JobItem, JobTable
from raytracker.actor import find


def main(table: str, endpoint_url: str, topics: list[str], queues: list[str]) -> None:
    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)
    tracker = ImageTracker.start(
        JobItem(image_id="scene", job_id="job"),
        regions=[2, 2, 2],
        table=JobTable(table, endpoint_url=endpoint_url, region_name="us-east-1"),
        status_topic=topics[0],
        region_status_topic=topics[1],
    )
    tracker.report(0)
    tracker.report(1, tile=0)
    tracker.report(1, tile=1, error=True, reason="clouds")
    tracker.flush()
    os.kill(ray.get(find(tracker._run.spec).pid.remote()), signal.SIGKILL)
    sns = boto3.client("sns")
    for topic, queue in zip(topics, queues, strict=True):
        arn = sns.create_topic(Name=topic.split(":")[-1])["TopicArn"]
        sns.subscribe(
            TopicArn=arn,
            Protocol="sqs",
            Endpoint=queue,
            Attributes={"RawMessageDelivery": "true"},
        )
    tracker.report(2, error=True, reason="clouds")
    job = tracker.wait(60)
    print(json.dumps({"duration": job.processing_duration, "status": job.status}), flush=True)


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
