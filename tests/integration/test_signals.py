"""`raytracker run` at whatever moment a signal comes: it says what is true, and leaves nothing.

Three moments by default; `make signals` tries twenty. Each is drawn from its seed.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from raytracker.job_table import JobTable
from tests.support.command import BAHAMAS, command, environment, run
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(300)

MOMENTS = int(os.environ.get("RAYTRACKER_SIGNALS", "2"))
DETECTOR = """
import pathlib, time
pathlib.Path({folder!r}, "imported").touch()  # the command has begun
def mean(pixels, tile):
    pathlib.Path({folder!r}, f"ran-{{tile.region}}-{{tile.number}}").touch()
    time.sleep(0.1)
    return tile.feature([(0, 0), (9, 0), (9, 9), (0, 9)], {{"mean": float(pixels.mean())}})
"""
CUT = ["--tile-size", "128", "--region-size", "256", "--merge", "union"]
TILES = 42
MARK = "RAYTRACKER_SIGNALS_MARK"  # which Ray's processes inherit


class Moment(NamedTuple):
    """When a signal is sent: some seconds after so many tiles have run."""

    number: signal.Signals
    tiles: int
    seconds: float

    @classmethod
    def of(cls, seed: int) -> Moment:
        """Draws one; the seeds take turns in the start, the tiles, and the end."""
        chance = random.Random(seed)
        number = chance.choice([signal.SIGINT, signal.SIGTERM])
        tiles = (0, chance.randrange(1, TILES), TILES)[seed % 3]
        return cls(number, tiles, chance.uniform(0, 6.0 if tiles == 0 else 2.0))

    def has_come(self, folder: Path) -> bool:
        """Returns whether so many tiles have run; before the first, whether the command began."""
        what = "ran-*" if self.tiles else "imported"
        return len(list(folder.glob(what))) >= max(1, self.tiles)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "detector.py").write_text(DETECTOR.format(folder=str(tmp_path)))
    return tmp_path


@pytest.fixture
def mark() -> Iterator[str]:
    """What the processes of a command have in their environments; at the end none is left."""
    mark = uuid.uuid4().hex
    yield mark
    for pid in left(mark):
        os.kill(pid, signal.SIGKILL)


def left(mark: str) -> dict[int, str]:
    """Returns the processes that have a mark, by id, and what they are."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes():
                line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                found[int(folder.name)] = line[:200]
    return found


def signalled(
    moment: Moment, line: list[str], folder: Path, **env: str
) -> subprocess.CompletedProcess[str]:
    """Runs the command, sends the signal when its moment comes, and waits for its end."""
    process = subprocess.Popen(
        line,
        cwd=folder,
        env=environment(**env),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )

    def send() -> None:
        while not moment.has_come(folder) and process.poll() is None:
            time.sleep(0.01)
        time.sleep(moment.seconds)  # the moment itself
        if process.poll() is not None:
            return
        if moment.number == signal.SIGINT:  # a terminal sends it to all in the foreground
            os.killpg(process.pid, moment.number)
        else:
            process.send_signal(moment.number)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        out, said = process.communicate(timeout=150)
    except subprocess.TimeoutExpired:
        process.kill()
        out, said = process.communicate()
        pytest.fail(f"{moment}: it did not end: {said}")
    sender.join()
    return subprocess.CompletedProcess(line, process.returncode, out, said)


@pytest.mark.parametrize("seed", range(MOMENTS))
def test_a_signal(
    seed: int, folder: Path, mark: str, job_table: JobTable, dynamodb_local: str
) -> None:
    """The status is that of the signal or of a job that has ended; a resume does the rest."""
    moment = Moment.of(seed)
    env = {"AWS_ENDPOINT_URL_DYNAMODB": dynamodb_local}
    start = command(folder, "run", BAHAMAS, "detector.py:mean", "--table", job_table.table_name)
    ended = signalled(moment, [*start, *CUT, "--output", "out"], folder, **env, **{MARK: mark})
    told, job = ended.stderr, job_table.read(BAHAMAS)
    context = f"{moment}, status {ended.returncode}: {told}"
    assert "Traceback" not in told, context
    if ended.returncode == 0:
        assert job is not None, context
        assert job.status == "SUCCESS", context
        assert "status     SUCCESS" in ended.stdout, context
    else:
        assert ended.returncode == 128 + moment.number, context
        is_cancelled = job is not None and job.status == "CANCELLED"
        assert is_cancelled or job is None or job.status == "SUCCESS", context
        assert ("is cancelled" in told) == is_cancelled, context
        assert ("go on with: raytracker run --resume" in told) == is_cancelled, context
        assert ("nothing was started" in told or "not been started" in told) == (job is None)
    wait_until(lambda: not left(mark), 40, f"no process left; {context}")
    if job is not None and job.status == "CANCELLED":
        assert run([*start, "--resume"], folder, **env).returncode == 0
        assert job_table.get_image_request(BAHAMAS).region_error == 0
