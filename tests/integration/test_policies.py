"""The policies in deploy/ allow what a run calls, and nothing that none does."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest

from raytracker import JobItem, JobTable, Work
from tests.support.counting_proxy import CountingProxy
from tests.support.moto_s3 import moto_s3
from tests.support.scenes import BAHAMAS, outline

pytestmark = pytest.mark.usefixtures("ray_cluster")

DEPLOY = Path(__file__).parents[2] / "deploy"
# Of a file beyond 8 MB, which boto3 writes in parts, of a role that reads the images, of topics.
NOT_IN_THIS_RUN = {"s3:AbortMultipartUpload", "sts:AssumeRole", "sns:Publish"}
LINE = re.compile(r'"(?:\x1b\[\d+m)*(GET|HEAD|PUT|POST|DELETE) (/[^ ]*) HTTP')


def actions_of(log: str) -> set[str]:
    """Returns the actions of IAM that requests to S3, as a server's log has them, ask for."""
    actions = set()
    for method, path in LINE.findall(log):
        is_bucket = len(path.partition("?")[0].strip("/").split("/")) == 1
        kinds = {"GET": "s3:ListBucket"} if is_bucket else {}
        reads = {"GET": "s3:GetObject", "HEAD": "s3:GetObject", "DELETE": "s3:DeleteObject"}
        actions.add(kinds.get(method) or reads.get(method, "s3:PutObject"))
    return actions


def test_a_node_may_do_what_a_run_does(
    run: Callable[..., JobItem],
    counted_table: JobTable,
    counting_proxy: CountingProxy,
    tmp_path: Path,
) -> None:
    """An image and an output in S3, a first run and a resume: in the driver and its workers."""
    log = tmp_path / "log"
    with moto_s3(log) as endpoint:
        s3: Any = boto3.client("s3")
        for bucket in ("images", "outputs"):
            s3.create_bucket(Bucket=bucket)
        s3.upload_file(str(BAHAMAS), "images", "bahamas.tif")
        before = len(log.read_text())
        counting_proxy.requests.clear()
        arguments = {
            "image": "s3://images/bahamas.tif",
            "output": "s3://outputs/out",
            "table": counted_table,
            "work": Work(runtime_env={"env_vars": {"AWS_ENDPOINT_URL_S3": endpoint}}),
        }
        assert run(outline, **arguments).status == "SUCCESS"
        assert run(outline, **arguments, if_exists="restart").status == "SUCCESS"
        called = actions_of(log.read_text()[before:])
    called |= {f"dynamodb:{operation}" for operation in counting_proxy.requests}
    policy = json.loads((DEPLOY / "node-policy.json").read_text())
    allowed = {action for statement in policy["Statement"] for action in statement["Action"]}
    assert called <= allowed
    assert allowed - called <= NOT_IN_THIS_RUN
