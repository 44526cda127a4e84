"""What is relied on of Ray, on the oldest that is supported: in an ordinary cluster of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import ray

from tests.integration.test_ray_runtime import *  # noqa: F403


@pytest.fixture(scope="module")
def ray_cluster(aws_env: None) -> Iterator[None]:
    """Of this module only: the others need local mode."""
    ray.init(
        address="local",
        num_cpus=4,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        object_store_memory=200_000_000,
    )
    yield
    ray.shutdown()


def test_it_is_the_oldest_that_is_supported() -> None:
    """Or these tests would say nothing that those on the newest don't."""
    assert ray.__version__.startswith("2.53.")
