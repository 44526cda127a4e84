"""An S3, and an STS, that answer on a loopback port."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from raytracker.imagery import opening
from raytracker.local import EmbeddedDynamoDB


@contextmanager
def moto_s3() -> Iterator[str]:
    """Runs moto's server while the block lasts, with boto3 and GDAL pointed at it; gives its URL.

    It is a process of its own: GDAL holds this one while it waits for an answer.
    """
    with EmbeddedDynamoDB() as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", server.endpoint_url)
        opening._session.cache_clear()
        opening._assumed.clear()
        yield server.endpoint_url
