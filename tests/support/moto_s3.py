"""An S3, and an STS, that answer on a loopback port."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from raytracker.imagery import opening

# It ends with the pipe, however this process does.
_SERVER = """
import sys
from moto.server import ThreadedMotoServer

server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""


@contextmanager
def moto_server(log: Path | None = None) -> Iterator[str]:
    """Runs moto's server, of all that it plays, while the block lasts; gives its URL.

    Args:
        log: Where a line is written of each request, as web servers do.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL if log is None else log.open("w"),
    )
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().strip().decode()}"
    finally:
        process.kill()
        process.communicate()


@contextmanager
def moto_s3(log: Path | None = None) -> Iterator[str]:
    """Runs moto's server while the block lasts, with boto3 and GDAL pointed at it; gives its URL.

    It is a process of its own: GDAL holds this one while it waits for an answer.
    """
    with moto_server(log) as endpoint, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", endpoint)
        opening._session.cache_clear()
        opening._assumed.clear()
        yield endpoint
