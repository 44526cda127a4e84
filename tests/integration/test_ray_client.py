"""Ray Client: a driver outside of the cluster, which speaks to it through a server."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
import ray

from raytracker import ImageTracker, JobTable
from tests.support.command import environment
from tests.support.jobs import counts
from tests.support.ports import answers, reserved_port
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("ray_cluster")

BEGIN = """
import sys, time, ray
from raytracker import ImageTracker, JobTable
from raytracker.errors import JobCancelled, WaitTimeout

server, *where = sys.argv[1:]
for attempt in range(5):
    try:
        ray.init(server, log_to_driver=False)
        break
    except ConnectionAbortedError as err:  # the process that Ray starts for a client died at once
        print("not connected:", str(err).strip().splitlines()[-1])
assert ray.util.client.ray.is_connected()
table = JobTable(*where)
"""

ALL_THAT_A_DRIVER_DOES = """
@ray.remote
def process(tracker, region):
    with tracker.region(region):
        if region == 3:
            raise ValueError("no such sensor")

def square(number):
    return number * number

tracker = ImageTracker.start("scene", regions=[1, 1, 1, 1, 2, 2, 1, 1], table=table)
assert tracker.progress().status == "STARTED"

ray.wait([process.remote(tracker, region) for region in range(4)], num_returns=4)

items = [((4, 0), (2,)), ((4, 1), (3,)), (5, (4,)), (6, ("six",))]
results = {key: (result, error) for key, result, error in
           tracker.map_unordered(ray.remote(square).options(num_cpus=0.5), items)}
assert {key: result for key, (result, _) in results.items()} == {
    (4, 0): 4, (4, 1): 9, 5: 16, 6: None}, results
assert isinstance(results[6][1], TypeError)

while tracker.pending() != [7]:  # Ray is asked whether it tries the one that raised again
    time.sleep(0.1)
try:
    tracker.wait(1)
except WaitTimeout as err:
    assert "[7]" in str(err), err
else:
    raise AssertionError("it waits for the last region")
assert tracker.pending() == [7]
with tracker.region(7):
    pass
tracker.flush()

seen = ImageTracker.attach("scene", table=table)
assert seen.outcomes() == tracker.outcomes()
assert seen.progress().region_success == 6
job = seen.wait(30)
assert job.status == "PARTIAL"
assert sorted(seen.failed()) == [3, 6], seen.failed()
assert "no such sensor" in seen.failed()[3]

again = ImageTracker.resume("scene", table=table, redrive=True, pool="of clients")
assert again.pending() == [3, 6]
again.report(3)
again.cancel()
try:
    again.report(6)
except JobCancelled:
    print("done")
"""

REPORT_AS_THE_LAST_THING = """
tracker = ImageTracker.start("scene", regions=100, table=table, flush_interval=60)
tracker.report(0)
tracker.flush()  # so that the actor is there
for region in range(1, 100):
    tracker.report(region)
print("done")
"""


@pytest.fixture(scope="module")
def server(ray_cluster: None) -> Iterator[str]:
    """The server that `ray start --head --ray-client-server-port` runs, for this test's cluster."""
    with reserved_port() as port:
        pass  # the server wants it for itself
    line = [sys.executable, "-m", "ray.util.client.server", "--mode", "proxy"]
    address = ray.get_runtime_context().gcs_address
    where = ["--host", "127.0.0.1", "--port", str(port), "--address", address]
    with subprocess.Popen([*line, *where], env=environment()) as process:
        try:
            wait_until(lambda: answers(f"http://127.0.0.1:{port}"), 60, "Ray Client's server")
            yield f"ray://127.0.0.1:{port}"
        finally:
            process.terminate()


def run(server: str, table: JobTable, code: str) -> None:
    """Runs a driver to its end."""
    where = (table.table_name, str(table.endpoint_url), "us-east-1")
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + code, server, *where],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert "done" in done.stdout.splitlines(), done.stdout + done.stderr


def test_a_driver_may_be_a_client(server: str, job_table: JobTable) -> None:
    """All that a tracker does, it does there as well, and the counts are right."""
    run(server, job_table, ALL_THAT_A_DRIVER_DOES)
    job = job_table.get_image_request("scene")
    assert (job.status, counts(job)) == ("CANCELLED", (8, 7, 0))


def test_a_client_that_ends_has_told_all(server: str, job_table: JobTable) -> None:
    """What it reported last is in the actor, in the cluster, or in the item already."""
    run(server, job_table, REPORT_AS_THE_LAST_THING)
    job = ImageTracker.attach("scene", table=job_table).wait(30)
    assert counts(job) == (100, 100, 0)
