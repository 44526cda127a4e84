"""Tracks an image of 64 regions, each processed by a Ray task; one of them fails.

The job table is where boto3 finds DynamoDB: set AWS_PROFILE, or AWS_ENDPOINT_URL_DYNAMODB. With
`--embedded` it is in memory: `pip install "raytracker[embedded]"`, and no AWS.
"""

import os
import sys
from contextlib import ExitStack

import ray

from raytracker import EmbeddedDynamoDB, ImageTracker, JobTable

REGIONS = 64


@ray.remote
def process(tracker, region):
    with tracker.region(region):  # a success at its end, or an error with the exception as reason
        if region == 13:
            raise ValueError("nothing but clouds")  # your own work goes here


with ExitStack() as stack:
    if "--embedded" in sys.argv:
        dynamodb = stack.enter_context(EmbeddedDynamoDB())
        os.environ.update(dynamodb.environment)  # before Ray starts: its workers inherit it
    ray.init()
    table = JobTable("ImageJobs")
    table.create()  # does nothing if it is there
    tracker = ImageTracker.start("scene-1", regions=REGIONS, table=table, if_exists="restart")
    tasks = [process.remote(tracker, region) for region in range(REGIONS)]
    job = tracker.wait()  # every region is settled, and DynamoDB has it
    print(f"{job.image_id}: {job.status}, {job.region_success} of {job.region_count} regions")
    for region, reason in tracker.failed().items():
        print(f"region {region}: {reason}")
