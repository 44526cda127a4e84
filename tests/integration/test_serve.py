"""`raytracker serve` as a process, and what its viewers cost the table."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from raytracker.job_table import JobTable
from raytracker.job_table.ledger_text import to_text
from raytracker.ledger import ERROR, SUCCESS, Layout, Ledger
from tests.support.command import command, environment
from tests.support.counting_proxy import CountingProxy
from tests.support.on_call import put
from tests.support.page import TOKEN, running_page

SIDE = 1000  # tiles


@contextmanager
def served(folder: Path, table: JobTable) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command, and the URL that it prints."""
    endpoint = {"AWS_ENDPOINT_URL_DYNAMODB": str(table.endpoint_url)}
    line = command(folder, "serve", "--table", table.table_name, "--port", "0")
    process = subprocess.Popen(
        line,
        cwd=folder,
        env=environment(**endpoint),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().split(": ", 1)[1].strip()
        finally:
            process.kill()


@contextmanager
def looking(at: str, path: str, token: str) -> Iterator[socket.socket]:
    """A viewer, who has been told something."""
    address = urlsplit(at)
    with socket.create_connection((address.hostname, address.port), timeout=20) as viewer:
        asked = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n"
        viewer.sendall(asked.encode())
        told = b""
        while b"data: " not in told:
            told += viewer.recv(65536)
        yield viewer


@pytest.mark.parametrize("signal_", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_while_somebody_looks(
    tmp_path: Path, job_table: JobTable, signal_: signal.Signals
) -> None:
    put(job_table, "scene")
    with served(tmp_path, job_table) as (process, url):
        assert url.startswith("http://127.0.0.1:")
        token = url.partition("token=")[2]
        assert len(token) >= 32
        assert httpx.get(url.partition("?")[0]).status_code == 401
        with looking(url, "/api/images/events", token):
            process.send_signal(signal_)
            _, errors = process.communicate(timeout=10)
        assert process.returncode == 0
        assert errors == "who has this URL can read the table's items; Ctrl-C ends it\n"


def test_fifty_viewers_cost_one_read_a_second_and_none_who_look_no_more(
    counted_table: JobTable, counting_proxy: CountingProxy
) -> None:
    for number in range(3):
        put(counted_table, f"scene-{number}")

    def reads() -> int:
        return counting_proxy.requests["GetItem"]

    with running_page(counted_table) as page:
        with ExitStack() as viewers:
            for number in range(50):
                path = f"/api/image/events?image_id=scene-{number % 3}"
                viewers.enter_context(looking(page.at, path, TOKEN))
            before, began = reads(), time.monotonic()
            time.sleep(4)
            took = time.monotonic() - began
            assert 3 <= reads() - before <= took + 1
        time.sleep(2)  # a stream notices when it next has something to say
        before = reads()
        time.sleep(2.5)
        assert reads() == before


def test_a_million_tiles_fit_into_300_megabytes(tmp_path: Path, job_table: JobTable) -> None:
    """Of a map of 1,000 by 1,000, in regions of 16 by 16."""
    blocks = [min(16, SIDE - first) for first in range(0, SIDE, 16)]
    ledger = Ledger(Layout.of([down * across for down in blocks for across in blocks]))
    half, last = ledger.layout.tile_count // 2, ledger.layout.tile_count - 1000
    ledger.merge([(0, SUCCESS * half), (last, ERROR * 1000)], {last: "no"})
    cut = {"tile_size": [5, 5], "tile_overlap": [0, 0], "region_size": [80, 80], "edges": "clip"}
    put(
        job_table,
        "large",
        width=5 * SIDE,
        height=5 * SIDE,
        tracker_ledger=to_text(ledger.encode()),
        tracker_errors={str(last): "no"},
        tracker_grid=json.dumps(cut),
    )
    with served(tmp_path, job_table) as (process, url):
        at, _, token = url.partition("?token=")
        began = time.monotonic()
        for path in ("image", "api/image", "api/image/tiles"):
            answer = httpx.get(
                at + path,
                params={"image_id": "large"},
                headers={"Authorization": f"Bearer {token}"},
                timeout=30,
            )
            assert answer.status_code == 200
        took = time.monotonic() - began
        assert answer.content.count(b"\x01") == 1000
        assert answer.content.count(b"\x02") == half
        status = Path(f"/proc/{process.pid}/status").read_text()
        peak = int(status.partition("VmHWM:")[2].split()[0]) / 1000
        print(f"a million tiles: {took:.2f} s, {peak:.0f} MB")
        assert took < 10  # two seconds are asked for, of a machine that does nothing else
        assert peak < 300


def test_a_thousand_images_are_listed(tmp_path: Path, job_table: JobTable) -> None:
    names = [f"scene-{number}" for number in range(1000)]
    with ThreadPoolExecutor(8) as writers:
        list(writers.map(lambda name: put(job_table, name), names))
    with served(tmp_path, job_table) as (_, url):
        at, _, token = url.partition("?token=")
        began = time.monotonic()
        told = httpx.get(
            at + "api/images?limit=1000", headers={"Authorization": f"Bearer {token}"}, timeout=30
        ).json()
        took = time.monotonic() - began
        print(f"a thousand images: {took:.2f} s")
        assert len(told["images"]) == told["count"] == 1000
        assert took < 5  # one second is asked for, of a machine that does nothing else
