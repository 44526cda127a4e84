"""Runs each form of Ray in examples/ray_forms, and writes the table in docs/ray.md.

python -m tests.examples.forms [NAME ...]    (without a name: all, and the table is written)
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import psutil

from raytracker import JobTable
from tests.conftest import ENVIRONMENT
from tests.support.command import ROOT, environment, run
from tests.support.dynamodb_local import dynamodb_local
from tests.support.ports import answers, reserved_port
from tests.support.waiting import wait_until

FORMS = ROOT / "examples" / "ray_forms"
PAGE = ROOT / "docs" / "ray.md"
TABLE_HEAD = "| form | example | status | success | error |"

# The process that Ray starts for a client may die at once, before any code of ours has run.
NO_CLIENT_SERVER = "Starting Ray client server failed"
CLIENT_ATTEMPTS = 3

Counts = tuple[str, int, int]


class Form(NamedTuple):
    """A form in which Ray runs work, and what must be counted there.

    Attributes:
        says: The form, in words.
        counts: (status, region_success, region_error).
        example: The program's name, if it is not the form's.
        job: What the job that runs it brings along, as a runtime_env; None: it is no job.
        own_ray: Whether it starts a Ray of its own.
    """

    says: str
    counts: Counts
    example: str | None = None
    job: Mapping[str, object] | None = None
    own_ray: bool = False


CATALOGUE = {
    "tasks": Form("tasks", ("PARTIAL", 7, 1)),
    "gpu_tasks": Form("tasks on GPUs (`num_gpus`)", ("SUCCESS", 6, 0)),
    "max_calls": Form("tasks with `max_calls`", ("SUCCESS", 10, 0)),
    "retries": Form("tasks with `retry_exceptions`", ("PARTIAL", 5, 1)),
    "nested_tasks": Form("nested tasks", ("PARTIAL", 4, 1)),
    "task_per_image": Form("a task for each image", ("SUCCESS", 6, 0)),
    "streaming": Form("streaming generators", ("SUCCESS", 4, 0)),
    "several_returns": Form("several returns", ("SUCCESS", 8, 0)),
    "actor_pool": Form("actors with a model, `ActorPool`", ("SUCCESS", 12, 0)),
    "killed_actor": Form("an actor killed after its result", ("SUCCESS", 6, 0)),
    "async_actor": Form("async actors", ("SUCCESS", 20, 0)),
    "threaded_actor": Form("threaded actors", ("SUCCESS", 20, 0)),
    "ray_data": Form("Ray Data, a function", ("SUCCESS", 8, 0)),
    "ray_data_model": Form("Ray Data, a pool of models", ("SUCCESS", 96, 0)),
    "multiprocessing_pool": Form("Ray's `multiprocessing.Pool`", ("SUCCESS", 40, 0)),
    "joblib_pool": Form("joblib", ("SUCCESS", 40, 0)),
    "tune_trials": Form("Ray Tune", ("SUCCESS", 4, 0)),
    "spawned_processes": Form("processes of a task's own", ("SUCCESS", 3, 0)),
    "two_drivers": Form("two drivers of one image", ("SUCCESS", 20, 0)),
    "client": Form("Ray Client", ("SUCCESS", 12, 0)),
    "job": Form("a job with a working_dir", ("SUCCESS", 8, 0), job={}),
    "job_wheel": Form(
        "a job with raytracker's wheel", ("SUCCESS", 8, 0), example="job", job={"py_modules": []}
    ),
    "shutdown_and_again": Form(
        "`ray.shutdown()`, and `ray.init()` again", ("SUCCESS", 20, 0), own_ray=True
    ),
    "growing_cluster": Form("a cluster that grows", ("SUCCESS", 60, 0), own_ray=True),
}


class Stage(NamedTuple):
    """A cluster that stands for a user's, and DynamoDB Local beside it."""

    address: str
    client: str
    dashboard: str
    endpoint: str

    def counted(self, name: str) -> Counts:
        """Runs a form; returns what it says was counted, which is what its item says, too.

        Raises:
            AssertionError: It ended with an error, or its item says something else.
        """
        form = CATALOGUE[name]
        where = {"RAY_CLIENT": self.client, "AWS_ENDPOINT_URL_DYNAMODB": self.endpoint}
        where["RAY_AUTH_MODE"] = "disabled"
        if not form.own_ray:
            where["RAY_ADDRESS"] = self.dashboard if form.job is not None else self.address
        with tempfile.TemporaryDirectory() as folder:
            line = [sys.executable, str(FORMS / f"{form.example or name}.py")]
            if form.job is not None:
                line = _submission(form, name, Path(folder))
            ended = run(line, Path(folder), timeout=240, **where)
            for _ in range(CLIENT_ATTEMPTS - 1):
                if NO_CLIENT_SERVER in ended.stderr:
                    ended = run(line, Path(folder), timeout=240, **where)
        assert ended.returncode == 0, f"{name}: {ended.stdout}\n{ended.stderr}"
        ends = [line for line in ended.stdout.splitlines() if _is_end(line)]
        image_id, status, success, error = ends[-1].split()
        item = JobTable("ImageJobs", endpoint_url=self.endpoint).read(image_id)
        assert item is not None
        counts = status, int(success), int(error)
        assert (item.status, item.region_success, item.region_error) == counts
        return counts


def _is_end(line: str) -> bool:
    words = line.split()
    return len(words) == 4 and words[1] in ("SUCCESS", "PARTIAL", "FAILED", "IN_PROGRESS")


def _submission(form: Form, name: str, folder: Path) -> list[str]:
    """Returns the command that runs an example as a job."""
    job = dict(form.job or {})
    if "py_modules" in job:
        build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
        subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
        job["py_modules"] = [str(wheel) for wheel in folder.glob("*.whl")]
    line = [str(Path(sys.executable).with_name("ray")), "job", "submit"]
    line += ["--working-dir", str(FORMS), "--runtime-env-json", json.dumps(job)]
    return [*line, "--", sys.executable, f"{form.example or name}.py"]


def _end(head: subprocess.Popen[bytes]) -> None:
    """Ends a cluster at once; in order it takes half a minute."""
    processes = [psutil.Process(head.pid), *psutil.Process(head.pid).children(recursive=True)]
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, 30)
    head.wait()


@contextmanager
def stage(endpoint: str) -> Iterator[Stage]:
    """A cluster of one node with four CPUs and a GPU that is none, while the block lasts.

    Args:
        endpoint: Where DynamoDB Local answers.
    """
    with ExitStack() as stack:
        gcs, client, dashboard, agent = (stack.enter_context(reserved_port()) for _ in range(4))
    line = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block"]
    line += [f"--port={gcs}", f"--ray-client-server-port={client}"]
    line += [f"--dashboard-port={dashboard}", f"--dashboard-agent-listen-port={agent}"]
    line += ["--num-cpus=4", "--num-gpus=1", "--object-store-memory=200000000"]
    env = environment(AWS_ENDPOINT_URL_DYNAMODB=endpoint, RAY_AUTH_MODE="disabled")
    here = Stage(
        f"127.0.0.1:{gcs}",
        f"ray://127.0.0.1:{client}",
        f"http://127.0.0.1:{dashboard}",
        endpoint,
    )
    with (
        tempfile.TemporaryDirectory("", "forms-", "/tmp", ignore_cleanup_errors=True) as folder,
        tempfile.TemporaryFile("w+") as output,
    ):
        line.append(f"--temp-dir={folder}")
        head = subprocess.Popen(line, env=env, stdout=output, stderr=output)
        try:
            for url in (f"http://{here.address}", here.client, here.dashboard):
                wait_until(lambda url=url: answers(url), 60)
            JobTable("ImageJobs", endpoint_url=endpoint).create()
            yield here
        finally:
            _end(head)


def table(counted: Mapping[str, Counts]) -> str:
    """Returns the table of docs/ray.md."""
    rows = [TABLE_HEAD, "| --- | --- | --- | --- | --- |"]
    for name, (status, success, error) in counted.items():
        form = CATALOGUE[name]
        file = f"{form.example or name}.py"
        link = f"[{file}](../examples/ray_forms/{file})"
        rows.append(f"| {form.says} | {link} | {status} | {success} | {error} |")
    return "\n".join(rows) + "\n"


def documented() -> str:
    """Returns the table as it stands in docs/ray.md."""
    text = PAGE.read_text()
    start = text.index(TABLE_HEAD)
    return text[start : text.index("\n\n", start) + 1]


def main(names: list[str]) -> None:
    """Runs the forms named, or all, which writes the table."""
    os.environ.update(ENVIRONMENT)
    with dynamodb_local() as endpoint, stage(endpoint) as here:
        counted = {}
        for name in names or list(CATALOGUE):
            try:
                counted[name] = here.counted(name)
            except Exception as err:
                print(name, "FAILED", str(err)[-1500:], flush=True)
                continue
            right = counted[name] == CATALOGUE[name].counts
            print(name, *counted[name], "right" if right else "WRONG", flush=True)
    if not names and PAGE.exists():
        PAGE.write_text(PAGE.read_text().replace(documented(), table(counted)))


if __name__ == "__main__":
    main(sys.argv[1:])
