"""Takes the pictures of the page that docs/ shows.

Usage: screenshots.py [FOLDER]    (no name: docs/)

They are of Debian's Chromium (apt-get install chromium) and of invented images, in a table in this
process; the clock is the machine's.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
from pathlib import Path
from typing import Any, Literal, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

from moto import mock_aws
from playwright.sync_api import Browser

from raytracker.job_table import JobItem, JobTable, Starter
from raytracker.job_table.ledger_text import to_text
from raytracker.ledger import ERROR, SUCCESS, Layout, Ledger
from tests.support.browser import open_browser
from tests.support.page import Page, running_page

FOLDER = Path(__file__).parents[1] / "docs"
NOW = time.time()
SECONDS = 40
BLOCK = 8  # tiles along the side of a region
LIVE = "s3://imagery/2026/sentinel/T32TQM_20260131.tif"
REASONS = (
    "OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB",
    "TimeoutError: a tile took longer than 60 s",
    "RasterioIOError: Read failed. See previous exception for details.",
)


class Shot(NamedTuple):
    """A picture: the name of its file, what is shown, and on what."""

    name: str
    path: str
    width: int
    height: int
    scheme: Literal["light", "dark"] = "light"
    is_whole: bool = False


IMAGE = f"image?image_id={LIVE}"
SHOTS = (
    Shot("page-list", "", 1440, 900),
    Shot("page-image", IMAGE, 1440, 960),
    Shot("page-image-dark", IMAGE, 1440, 960, "dark"),
    Shot("page-phone", "", 390, 844),
)


def tiles_of(image: JobItem) -> tuple[int, int]:
    """Returns the columns and rows of an image's tiles."""
    assert image.width is not None
    assert image.height is not None
    return -(-image.width // 512), -(-image.height // 512)


def regions_of(columns: int, rows: int) -> list[int]:
    """Returns the number of tiles of each region."""
    return [
        min(BLOCK, columns - left) * min(BLOCK, rows - top)
        for top in range(0, rows, BLOCK)
        for left in range(0, columns, BLOCK)
    ]


def ledger_of(image: JobItem, done: float, failed: int) -> Ledger:
    """Returns a ledger of which a part is done, and a number of neighbours have failed."""
    ledger = Ledger(Layout.of(regions_of(*tiles_of(image))))
    count = round(ledger.layout.tile_count * done)
    ledger.merge([(0, SUCCESS * count)], {})
    outcomes = bytearray(ledger.tile_outcomes())
    bad = {(count // 3 + k * 7 + k * k) % max(1, count): REASONS[k % 7 // 3] for k in range(failed)}
    for tile in bad:
        outcomes[tile] = ERROR[0]
    fresh = Ledger(ledger.layout)
    fresh.merge([(0, bytes(outcomes))], bad)
    return fresh


def put(
    table: JobTable, name: str, minutes: float, size: int, done: float, failed: int = 0, **more: Any
) -> None:
    """Writes the item of an image that began so many minutes ago."""
    start = int((NOW - minutes * 60) * 1000)
    image = JobItem(name, image_url=name, width=size, height=round(size * 0.72), start_time=start)
    ledger = ledger_of(image, done, failed)
    ends = ledger.settled or "tracker_state" in more
    took = int(min(minutes, 3 + size / 9000) * 60) if ends else int(minutes * 60)
    cut = {
        "tile_size": [512, 512],
        "tile_overlap": [0, 0],
        "region_size": [512 * BLOCK] * 2,
        "edges": "clip",
    }
    attributes = {
        "job_id": name.rsplit("/", 1)[-1].removesuffix(".tif"),
        "model_name": "ships-v4",
        "tile_size": "(512, 512)",
        "tile_overlap": "(0, 0)",
        "outputs": json.dumps([{"type": "S3", "bucket": "results", "prefix": "2026"}]),
        "processing_duration": took,
        "end_time": start + took * 1000 if ends else None,
        "region_count": ledger.layout.region_count,
        "region_success": ledger.region_success,
        "region_error": ledger.region_error,
        "tracker_run": f"run-{name}",
        "tracker_ledger": to_text(ledger.encode()),
        "tracker_errors": {str(tile): text for tile, text in ledger.reasons().items()},
        "tracker_grid": json.dumps(cut),
        "tracker_started_by": Starter(
            "ip-10-0-3-17", 4711, "ann", "02000000", start, "there"
        ).to_text(),
        "tracker_alive_until": None if ends else int(NOW + 147),
        **more,
    }
    for key, value in attributes.items():
        setattr(image, key, value)
    table.put_ddb_item(image)


def fill(table: JobTable) -> None:
    """Writes a morning of images."""
    at = "s3://imagery/2026/sentinel"
    put(table, f"{at}/T32TQN_20260131.tif", 4, 28_000, 0.31)
    put(table, f"{at}/T32TPM_20260131.tif", 2, 20_000, 0.04, 1)
    put(table, f"{at}/T32TPN_20260131.tif", 0.2, 20_000, 0.0)
    put(table, f"{at}/T31TGM_20260131.tif", 95, 30_000, 0.48, tracker_alive_until=int(NOW - 2600))
    put(table, "s3://imagery/2026/harbours/rotterdam.tif", 61, 26_000, 1.0, 14)
    put(table, "s3://imagery/2026/harbours/antwerp.tif", 66, 22_000, 1.0)
    put(table, "s3://imagery/2026/harbours/hamburg.tif", 72, 24_000, 1.0)
    put(table, "s3://imagery/2026/harbours/genoa.tif", 80, 18_000, 0.4, tracker_state="CANCELLED")
    put(
        table,
        "s3://imagery/2026/harbours/piraeus.tif",
        90,
        16_000,
        0.3,
        40,
        tracker_state="STOPPED",
    )
    for number in range(18):
        put(table, f"{at}/T33TU{chr(65 + number)}_20260130.tif", 700 + 9 * number, 18_000, 1.0)


def main(folder: Path) -> None:
    """Takes all pictures."""
    os.environ.update(
        AWS_ACCESS_KEY_ID="x", AWS_SECRET_ACCESS_KEY="x", AWS_DEFAULT_REGION="us-east-1"
    )
    with mock_aws():
        table = JobTable("ImageJobs")
        table.create()
        fill(table)
        for shot in SHOTS:
            put_live(table, 0)
            with running_page(table) as page, open_browser() as browser:
                take(table, page, browser, shot, folder)


def put_live(table: JobTable, step: int) -> None:
    """Writes the image that goes on before one's eyes, so many seconds later."""
    done = 0.34 + 0.006 * step + 0.01 * math.sin(step / 4)
    alive = int(time.time() + 149)
    put(table, LIVE, 1.5 + step / 60, 40_000, done, 9, tracker_alive_until=alive)


def take(table: JobTable, page: Page, browser: Browser, shot: Shot, folder: Path) -> None:
    """Takes one picture."""
    context = browser.new_context(
        viewport={"width": shot.width, "height": shot.height},
        color_scheme=shot.scheme,
        device_scale_factor=2 if shot.width < 500 else 1,
    )
    tab = context.new_page()
    tab.goto(page.url)
    tab.goto(page.at + shot.path)
    tab.locator(".live.on").wait_for()
    for step in range(SECONDS if shot.path else 1):
        put_live(table, step)
        tab.wait_for_timeout(1000)
    if shot.path and shot.width > 500:
        tab.locator(".reason").first.click()
        tab.locator("#zoom-all").click()
        tab.mouse.move(0, 0)
        tab.locator("#readout").filter(has_text="error").wait_for()
        tab.wait_for_timeout(1000)
    tab.screenshot(path=str(folder / f"{shot.name}.png"), full_page=shot.is_whole)
    context.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
