"""A run has the environment of the job that began it, not that of a process made before."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import ray
from ray.util import list_named_actors

from raytracker import ImageTracker, JobTable
from raytracker.actor import NAMESPACE
from raytracker.errors import TrackerSuperseded
from tests.support.command import environment
from tests.support.jobs import counts
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("ray_cluster")

JOB = """
import json, sys, ray
from raytracker import ImageTracker, JobTable
from raytracker.errors import WaitTimeout

address, runtime_env, pool, timeout, *table = sys.argv[1:]
ray.init(address=address, log_to_driver=False, runtime_env=json.loads(runtime_env))
tracker = ImageTracker.start(
    "scene", regions=2, table=JobTable(*table), if_exists="resume", pool=pool or None, pool_size=1
)

@ray.remote
def report(region):
    with tracker.region(region):
        pass

tracker.report(0)
tracker.report(1)
try:
    print("ended:", tracker.wait(float(timeout)).status)
except WaitTimeout as err:
    print("ended:", err)
"""

# What the nodes have and the driver has not: botocore heeds it.
BROKEN = {"env_vars": {"HTTP_PROXY": "http://127.0.0.1:9"}}


def submit(table: JobTable, runtime_env: object, pool: str, timeout: float) -> str:
    """Runs a job on this test's cluster to its end; returns how the image ended there."""
    address = ray.get_runtime_context().gcs_address
    arguments = (address, json.dumps(runtime_env), pool, str(timeout))
    where = (table.table_name, str(table.endpoint_url), "us-east-1")
    run = subprocess.run(
        [sys.executable, "-c", JOB, *arguments, *where],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    ended = [line for line in run.stdout.splitlines() if line.startswith("ended: ")]
    assert len(ended) == 1, run.stdout + run.stderr
    return ended[0].removeprefix("ended: ")


def actors(part: str) -> list[str]:
    """Returns the names of the actors in whose names that is."""
    named = list_named_actors(all_namespaces=True)
    return [one["name"] for one in named if one["namespace"] == NAMESPACE and part in one["name"]]


@pytest.mark.parametrize("pool", ["", "mended"], ids=["of its own", "of a pool"])
def test_a_job_that_is_submitted_again_with_its_environment_mended_runs(
    pool: str, job_table: JobTable
) -> None:
    """Its image is not given the process of the job before; that one ends soon."""
    assert "2 of 2 regions" in submit(job_table, BROKEN, pool, 4)
    of_before = actors("pool:mended/" if pool else job_table.table_name)
    assert len(of_before) == 1
    assert submit(job_table, {}, pool, 60) == "SUCCESS"
    assert counts(job_table.get_image_request("scene")) == (2, 2, 0)
    wait_until(lambda: not actors(of_before[0]), 40, "the end of the actor of the job before")


def test_jobs_of_one_environment_share_a_pool(job_table: JobTable) -> None:
    """A pool is what jobs share; only those of another environment have another one."""
    environments = [{}, {"env_vars": {"A": "1", "B": "2"}}, {"env_vars": {"B": "2", "A": "1"}}]
    for runtime_env in environments:
        assert submit(job_table, runtime_env, "shared", 60) == "SUCCESS"
    assert len(actors("pool:shared/1/")) == 2


def test_a_superseded_run_learns_of_it_at_once(job_table: JobTable) -> None:
    """Though it has nothing to write, so that nobody refuses it; and its actor ends soon."""
    old = ImageTracker.start("scene", regions=2, table=job_table)
    old.report(0)
    old.flush()
    new = ImageTracker.resume("scene", table=job_table)

    def is_told() -> bool:
        try:
            old.progress()
        except TrackerSuperseded as err:
            return new.run in str(err)
        return False

    wait_until(is_told, 5)
    wait_until(lambda: not actors(old.run), 30, "the end of the old run's actor")
    with pytest.raises(TrackerSuperseded):
        old.report(1)
    new.report(1)
    assert counts(new.wait(30)) == (2, 2, 0)
