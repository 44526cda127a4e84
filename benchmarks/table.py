"""What the job table is asked for, and how soon it has it."""

from __future__ import annotations

import random
import statistics
import time
import uuid
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import ray

from raytracker import ImageTracker, JobItem, JobTable

from .harness import Bench, bench, differences, quotients
from .stage import job_table, local_ray, metered_table, retire, start, stopwatch, until

THREADS = 8


@ray.remote
def work_and_report(tracker, region):
    tracker.report(region)


@bench
def writes(bench: Bench) -> None:
    """Writes for an image of 10,000 regions that takes a minute.

    Ray tasks report them, shuffled and spread over the minute. Without raytracker: one
    `complete_region_request` a region, as OSML does it. A proxy between boto3 and DynamoDB Local
    counts the requests, and sums up the write capacity units that DynamoDB says they consumed.
    """
    regions, duration = bench.size(10_000, 300), bench.size(60.0, 4.0)
    shuffled = random.Random(1).sample(range(regions), regions)
    with metered_table() as (table, proxy), local_ray():

        def consumed(run: Callable[[], object]) -> tuple[int, float]:
            requests, units = proxy.requests["UpdateItem"], proxy.capacity["UpdateItem"]
            run()
            return (
                proxy.requests["UpdateItem"] - requests,
                proxy.capacity["UpdateItem"] - units,
            )

        def tracked() -> None:
            tracker = ImageTracker.start("tracked", regions=regions, table=table)
            begun = time.monotonic()
            for done, region in enumerate(shuffled):
                time.sleep(max(0.0, begun + done * duration / regions - time.monotonic()))
                work_and_report.remote(tracker, region)
            assert tracker.wait().region_success == regions

        bench.tell(f"{duration:g} s of tasks")
        requests, units = consumed(tracked)
        bench.tell("one request a region")
        plain_requests, plain_units = consumed(lambda: _one_by_one(table, regions))
        bench.row("UpdateItem, one a region", "requests", [plain_requests])
        bench.row("UpdateItem, raytracker", "requests", [requests])
        bench.row("one a region", "WCU", [plain_units])
        bench.row("raytracker", "WCU", [units])
        bench.goal("requests, raytracker / one a region", [requests / plain_requests], at_most=0.01)
        bench.goal("WCU, raytracker / one a region", [units / plain_units], at_most=0.02)
        bench.notes.append(
            f"Measured once, since it lasts {duration:g} s; the requests of one a region are "
            "counted, not spread."
        )


@bench
def wall(bench: Bench) -> None:
    """Time to count 10,000 regions, where the table is the limit.

    As fast as it goes, until all of them are in DynamoDB: one `complete_region_request` a region,
    from eight threads, and `report` in a loop, then `wait`. The image has been started before. The
    table takes as long for each request: one a region is measured with 1,000, times ten.
    """
    regions, sample = bench.size((10_000, 1000), (400, 400))
    with job_table() as table, local_ray():

        def tracked() -> float:
            tracker = start(table, regions)
            with stopwatch() as seconds:
                for region in range(regions):
                    tracker.report(region)
                job = tracker.wait()
            assert job.region_success == regions
            retire(tracker)
            return seconds()

        def naive() -> float:
            with stopwatch() as seconds:
                _one_by_one(table, sample)
            return seconds() * regions / sample

        sides = {"one a region": naive, "raytracker": tracked}
        tracked()  # warms up
        seconds = bench.alternate("s", sides)
        bench.goal("one a region / raytracker", quotients(*seconds.values()), "times", at_least=20)


def _one_by_one(table: JobTable, regions: int) -> None:
    """Counts regions as OSML does it, from eight threads."""
    image_id = f"image-{uuid.uuid4()}"
    table.start_image_request(JobItem(image_id=image_id, region_count=regions))
    with ThreadPoolExecutor(THREADS) as threads:
        for _ in threads.map(
            lambda _: table.complete_region_request(image_id, error=False), range(regions)
        ):
            pass
    job = table.get_image_request(image_id)
    assert job.region_success == regions
    assert table.is_image_request_complete(job)
    table.end_image_request(image_id)


@bench
def latency(bench: Bench) -> None:
    """Time from the last report until DynamoDB shows the image's end.

    Until a consistent read returns `end_time`; there is one every few milliseconds. Idle: all other
    regions are durable. Ongoing: they were reported one by one, up to the last. Each round also
    takes the median of twenty UpdateItem requests for another item, which is what the end costs
    at least.
    """
    regions = 500

    with job_table() as table, local_ray():
        client = table.writer
        table.start_image_request(JobItem(image_id="other", region_count=regions))

        def round_trip() -> float:
            taken = []
            for _ in range(20):
                with stopwatch() as seconds:
                    client.update_item(
                        TableName=table.table_name,
                        Key={"image_id": "other"},
                        UpdateExpression="SET region_success = :n",
                        ExpressionAttributeValues={":n": 1},
                    )
                taken.append(seconds())
            return 1000 * statistics.median(taken)

        def ended(image_id: str) -> bool:
            item = client.get_item(
                TableName=table.table_name,
                Key={"image_id": image_id},
                ConsistentRead=True,
                ProjectionExpression="end_time",
            )["Item"]
            return bool(item)

        def end(before: Callable[[ImageTracker], object]) -> float:
            tracker = start(table, regions)
            before(tracker)
            with stopwatch() as seconds:
                tracker.report(regions - 1)
                until(lambda: ended(tracker.image_id))
            retire(tracker)
            return 1000 * seconds()

        def idle(tracker: ImageTracker) -> None:
            _report(tracker, range(regions - 1))
            tracker.flush()
            time.sleep(0.2)

        def ongoing(tracker: ImageTracker) -> None:
            _report(tracker, range(regions - 1), gap=0.002)

        end(idle)  # warms up
        sides = {
            "UpdateItem": round_trip,
            "end_time, idle": lambda: end(idle),
            "end_time, ongoing": lambda: end(ongoing),
        }
        one, *ends = bench.alternate("ms", sides).values()
        for what, taken in zip(("idle", "ongoing"), ends, strict=True):
            bench.goal(f"end_time - UpdateItem, {what}", differences(taken, one), "ms", at_most=60)


def _report(tracker: ImageTracker, regions: Iterable[int], gap: float = 0.0) -> None:
    for region in regions:
        tracker.report(region)
        if gap:
            time.sleep(gap)


@bench
def idle(bench: Bench) -> None:
    """Requests for an image that nothing is reported of.

    Half of its regions are reported and durable; its actor lives, and so does the process that
    reported: that the run lives is written once a minute. A proxy between boto3 and DynamoDB Local
    counts all that is asked.
    """
    duration = bench.size(60.0, 4.0)
    with metered_table() as (table, proxy), local_ray():
        tracker = start(table, 1000)
        _report(tracker, range(500))
        tracker.flush()
        before = proxy.requests.total()
        bench.tell(f"{duration:g} s of nothing")
        time.sleep(duration)
        requests = proxy.requests.total() - before
        bench.goal("requests", [requests * 60 / duration], "a minute", at_most=1)
        bench.notes.append(f"Measured once, for {duration:g} s.")
