"""Fixtures for every test: invented AWS credentials, DynamoDB Local, moto, Ray."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from tests.support.counting_proxy import CountingProxy
from tests.support.dynamodb_local import DynamoDBLocalMissing
from tests.support.dynamodb_local import dynamodb_local as run_dynamodb_local

if TYPE_CHECKING:
    from raytracker.job_table import JobTable

REGION = "us-east-1"
ENVIRONMENT = {
    # Invented credentials, and no way to a person's own.
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": REGION,
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
    # Ray: quiet, to itself, and not to be upset by what else the machine does.
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_OBJECT_STORE_ALLOW_SLOW_STORAGE": "1",
    "RAY_memory_monitor_refresh_ms": "0",
}


@pytest.fixture(scope="session", autouse=True)
def aws_env() -> Iterator[None]:
    """The environment of every test and of the processes that it starts."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith("AWS_") or name == "RAY_ADDRESS":
                patch.delenv(name)
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="session")
def dynamodb_local(aws_env: None) -> Iterator[str]:
    """The endpoint URL of a DynamoDB Local, one for the session."""
    try:
        with run_dynamodb_local() as endpoint:
            yield endpoint
    except DynamoDBLocalMissing as missing:
        pytest.fail(str(missing), pytrace=False)


@pytest.fixture
def job_table(dynamodb_local: str) -> JobTable:
    """A new job table in DynamoDB Local."""
    return _new_table(dynamodb_local)


@pytest.fixture
def counting_proxy(dynamodb_local: str) -> Iterator[CountingProxy]:
    """A proxy in front of DynamoDB Local that counts requests."""
    with CountingProxy(dynamodb_local) as proxy:
        yield proxy


@pytest.fixture
def counted_table(counting_proxy: CountingProxy) -> JobTable:
    """A new job table in DynamoDB Local, behind the counting proxy."""
    return _new_table(counting_proxy.endpoint_url)


@pytest.fixture
def update_item_count(counting_proxy: CountingProxy) -> Callable[[], int]:
    """Tells how many UpdateItem calls DynamoDB Local has answered for the counted table."""
    return lambda: counting_proxy.requests["UpdateItem"]


@pytest.fixture
def moto_table(aws_env: None) -> Iterator[JobTable]:
    """A new job table in moto, in this process only."""
    from moto import mock_aws

    with mock_aws():
        yield _new_table(None)


def _new_table(endpoint_url: str | None) -> JobTable:
    from raytracker.job_table import JobTable

    table = JobTable(f"jobs-{uuid.uuid4()}", endpoint_url=endpoint_url, region_name=REGION)
    table.create()
    return table


@pytest.fixture(scope="session")
def ray_cluster(aws_env: None) -> Iterator[None]:
    """A Ray of one node with four CPUs and what it takes for a GPU, one for the session."""
    import ray

    ray.init(
        address="local",
        num_cpus=4,
        num_gpus=1,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="WARNING",
        object_store_memory=200_000_000,
    )
    yield
    ray.shutdown()
