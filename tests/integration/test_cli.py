"""`raytracker run` as a process, with a real Ray and DynamoDB Local.

Where it may, it uses the session's Ray: one of its own takes seconds to start.
"""

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray

from raytracker.job_table import JobTable
from tests.support.command import BAHAMAS, command, environment, run
from tests.support.ports import answers
from tests.support.waiting import wait_until

DETECTOR = """
import time
print("hello from the import")  # must not get on stdout

def fine(pixels, tile):
    print("hello from a tile")
    return tile.feature([(0, 0), (10, 0), (10, 10), (0, 10)], {"mean": pixels.mean()})

def fussy(pixels, tile):
    if tile.region == 2 and tile.number == 1:
        raise ValueError("not this one\\nand a second line")

def hopeless(pixels, tile):
    raise ValueError("none of them")

def slow(pixels, tile):
    time.sleep(0.2)
"""
# 791 x 718 pixels: 4 x 3 tiles of 256, in regions of 2 x 2: 2 x 2 regions.
CUT = ["--tile-size", "256", "--region-size", "512"]
REGIONS, TILES = 4, 12


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a detector, which no worker has on its path."""
    (tmp_path / "detector.py").write_text(DETECTOR)
    return tmp_path


@pytest.fixture
def env(ray_cluster: None, dynamodb_local: str) -> dict[str, str]:
    """Where DynamoDB and Ray are, for the command."""
    address = ray.get_runtime_context().gcs_address
    return {"AWS_ENDPOINT_URL_DYNAMODB": dynamodb_local, "RAY_ADDRESS": address}


# --- without a terminal ---


def test_a_run_that_succeeds(folder: Path, env: dict[str, str], job_table: JobTable):
    """Status 0; a few plain lines on stderr, the summary on stdout, and three files."""
    line = command(folder, "run", BAHAMAS, "detector:fine", "--table", job_table.table_name)
    ended = run([*line, *CUT, "--output", "out", "--keep-for", "12h"], folder, **env)
    assert ended.returncode == 0, ended.stderr
    # Of a busy machine Ray says that workers take long to start.
    told = [line for line in ended.stderr.splitlines() if "(raylet)" not in line]
    said = [line for line in told if not re.match(r"after \d+ s, ", line)]
    assert said[:-1] == [
        "hello from the import",
        f"image {BAHAMAS}: regions {REGIONS}, tiles {TILES}",
    ]
    assert said[-1].startswith("SUCCESS: 12 of 12 tiles, 4 of 4 regions, after ")
    assert "\x1b" not in ended.stdout + "".join(said)
    assert "hello" not in ended.stdout
    assert "status     SUCCESS\n" in ended.stdout
    job = json.loads((folder / "out" / "job.json").read_bytes())
    assert (job["status"], job["region_success"]) == ("SUCCESS", REGIONS)
    found = json.loads((folder / "out" / "results.geojson").read_bytes())
    assert len(found["features"]) == TILES
    picture = folder / "out" / "map.png"
    assert f"picture    {picture}\n" in ended.stdout
    assert picture.read_bytes().startswith(b"\x89PNG")
    item = job_table.read(BAHAMAS)
    assert item.status == "SUCCESS"
    assert item.expire_time == pytest.approx(time.time() + 12 * 3600, abs=120)


def test_a_redrive_runs_what_failed_and_no_more(
    folder: Path, env: dict[str, str], job_table: JobTable
):
    """A resume leaves the failed tiles alone; in a redrive, a success replaces the error."""
    module = folder / "detector.py"
    module.write_text(
        "import pathlib\n"
        "def once(pixels, tile):\n"
        f"    path = pathlib.Path({str(folder)!r}, f'ran-{{tile.region}}-{{tile.number}}')\n"
        "    path.open('a').write('x')\n"
        "    if tile.region == 2 and path.stat().st_size == 1:\n"
        "        raise ValueError('not the first time')\n"
    )

    def ran() -> dict[str, int]:
        return {path.name: path.stat().st_size for path in folder.glob("ran-*")}

    line = command(folder, "run", BAHAMAS, "detector.py:once", "--table", job_table.table_name)
    assert run([*line, *CUT, "--retries", "0"], folder, **env).returncode == 3
    assert set(ran().values()) == {1}
    assert run([*line, "--resume"], folder, **env).returncode == 3
    assert set(ran().values()) == {1}
    assert run([*line, "--redrive"], folder, **env).returncode == 0
    assert {name for name, times in ran().items() if times == 2} == {"ran-2-0", "ran-2-1"}
    assert job_table.read(BAHAMAS).region_success == REGIONS
    both = run([*line, *CUT, "--redrive", "--if-exists", "restart"], folder, **env)
    assert (both.returncode, both.stdout) == (2, "")


def test_a_run_that_fails_in_part_and_goes_on(
    folder: Path, env: dict[str, str], job_table: JobTable
):
    """Status 3, with the reasons; stdout is the job as one JSON object and no more."""
    line = command(folder, "run", BAHAMAS, "detector.py:fussy", "--table", job_table.table_name)
    ended = run([*line, *CUT, "--image-id", "scene", "--json"], folder, **env)
    assert ended.returncode == 3, ended.stderr
    assert ended.stdout.count("\n") == 1
    job = json.loads(ended.stdout)
    assert "tile 1 of region 2 failed: ValueError: not this one\n" in ended.stderr
    assert job["status"] == "PARTIAL"
    assert (job["tile_success"], job["tile_error"], job["tile_pending"]) == (TILES - 1, 1, 0)
    assert job["errors"] == {"2": "ValueError: not this one"}
    assert (job["region_success"], job["region_error"]) == (REGIONS - 1, 1)
    # Regions 0 and 1 are 2 x 2 tiles, region 2 is 2 x 1: its tile 1 is number 9 of all.
    assert job["tracker_errors"] == {"9": "ValueError: not this one"}
    table = ["--table", job_table.table_name]
    again = run(
        command(folder, "run", "--resume", "scene", "detector.py:fussy", *table), folder, **env
    )
    assert again.returncode == 3, again.stderr
    assert "errors     region 2: ValueError: not this one\n" in again.stdout
    resume = command(folder, "run", "--resume", "scene", "detector.py:slow", *table)
    other = run([*resume, "--edges", "pad", "--bands", "2,1", "--skip-empty"], folder, **env)
    assert (other.returncode, other.stdout) == (2, "")
    theirs = "--edges clip, no --bands, no --skip-empty, function fussy"
    ours = "--edges pad, --bands 2,1, --skip-empty, function slow"
    told = f"was begun with {theirs}; the resume is given {ours}: leave it out, or begin again "
    assert f"{told}with --if-exists restart" in other.stderr.splitlines()[-1]
    slow = run(resume, folder, **env)
    assert slow.stderr.splitlines()[-1].endswith("or go on with another function by --force")


def test_a_run_that_fails(folder: Path, env: dict[str, str], job_table: JobTable):
    """Status 4."""
    line = command(folder, "run", BAHAMAS, "detector.py:hopeless", "--table", job_table.table_name)
    ended = run([*line, *CUT], folder, **env)
    assert ended.returncode == 4, ended.stderr
    assert "status     FAILED\n" in ended.stdout
    assert "region 3: ValueError: none of them\n" in ended.stdout


def test_sigterm_cancels(folder: Path, env: dict[str, str], job_table: JobTable):
    """Status 143, and the item says CANCELLED before the process ends; it is drawn as well."""
    line = command(folder, "run", BAHAMAS, "detector.py:slow", "--table", job_table.table_name)
    line += ["--tile-size", "32", "--image-id", "scene", "--json", "--output", "out"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(line, cwd=folder, env=environment(**env), text=True, **pipes)
    _wait_for_a_tile(job_table, "scene")
    process.send_signal(signal.SIGTERM)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 143, stderr
    assert re.search(r"image scene is cancelled, \d+ of \d+ tiles, 0 of 1 regions\n", stderr)
    name = job_table.table_name
    assert f"go on with: raytracker run --resume --table {name} scene detector.py:slow\n" in stderr
    assert json.loads(stdout)["status"] == "CANCELLED"
    assert job_table.read("scene").status == "CANCELLED"
    assert (folder / "out" / "map.png").read_bytes().startswith(b"\x89PNG")


# --- at a terminal, with a Ray of its own ---


class Terminal:
    """A terminal of 120 columns, and a process in its foreground."""

    def __init__(self, line: list[str], cwd: Path, **env: str) -> None:
        self._output = b""
        pid, self._fd = pty.fork()
        if pid == 0:
            os.chdir(cwd)
            os.execve(line[0], line, environment(TERM="xterm-256color", **env))
        self.pid = pid
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._fd, 4096)
            except OSError:  # what Linux says at the end
                return
            if not data:
                return
            self._output += data

    @property
    def text(self) -> str:
        """What has been printed, without colours and other escapes."""
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self._output.decode(errors="replace"))

    @property
    def raw(self) -> bytes:
        return self._output

    def type(self, keys: str) -> None:
        os.write(self._fd, keys.encode())

    def wait(self, timeout: float = 90) -> int:
        """Returns the exit status."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.pid = 0
                self._reader.join(5)
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.05)
        raise AssertionError(f"still running after {timeout:g} s: {self.text[-2000:]}")

    def close(self) -> None:
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self._fd)


@pytest.fixture
def terminals() -> Iterator[list[Terminal]]:
    """Terminals to be closed."""
    opened: list[Terminal] = []
    yield opened
    for terminal in opened:
        terminal.close()


def test_a_run_at_a_terminal_with_its_own_dynamodb(folder: Path, terminals: list[Terminal]):
    """A bar with counts, rate and time left; the embedded DynamoDB is named, and gone at the end.

    Nothing here says where AWS is, and there are no credentials.
    """
    line = command(folder, "run", BAHAMAS, "detector.py:slow", "--embedded")
    nowhere = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_DEFAULT_REGION": ""}
    terminal = Terminal([*line, "--tile-size", "128"], folder, **nowhere)
    terminals.append(terminal)
    assert terminal.wait() == 0, terminal.text
    endpoint = re.search(
        r"embedded DynamoDB at (http://127\.0\.0\.1:\d+), gone when", terminal.text
    )
    assert endpoint, terminal.text
    assert not answers(endpoint[1])
    assert "starting Ray" in terminal.text
    bar = r"processing .* \d+/42 tiles  \d+ s left  [\d.]+ tiles/s  0/1 regions"
    assert re.search(bar, terminal.text), terminal.text
    assert terminal.raw.rindex(b"\x1b[?25h") > terminal.raw.rindex(b"\x1b[?25l")  # the cursor
    assert re.search(r"status +SUCCESS", terminal.text)


def test_ctrl_c_at_a_terminal(
    folder: Path, dynamodb_local: str, job_table: JobTable, terminals: list[Terminal]
):
    """The key reaches the whole process group; still the job item is cancelled, and it is said."""
    line = command(folder, "run", BAHAMAS, "detector.py:slow", "--table", job_table.table_name)
    terminal = Terminal(
        [*line, "--tile-size", "32", "--image-id", "scene"],
        folder,
        AWS_ENDPOINT_URL_DYNAMODB=dynamodb_local,
        RAYTRACKER_TABLE=job_table.table_name,
    )
    terminals.append(terminal)
    _wait_for_a_tile(job_table, "scene")
    terminal.type("\x03")
    assert terminal.wait() == 130, terminal.text
    assert "SIGINT: cancelling image scene" in terminal.text
    assert "image scene is cancelled" in terminal.text
    assert "go on with: raytracker run --resume scene detector.py:slow\r\n" in terminal.text
    assert "Traceback" not in terminal.text
    job = job_table.read("scene")
    assert job.status == "CANCELLED"
    assert job.end_time is not None


def _wait_for_a_tile(table: JobTable, image_id: str) -> None:
    def begun() -> bool:
        job = table.read(image_id)
        return job is not None and (job.tracker_seq or 0) > 0

    wait_until(begun, timeout=60, what="the first flush of a run")
