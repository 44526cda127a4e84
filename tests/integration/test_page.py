"""The page in Chromium: a real run live to its end, by mouse and by keyboard."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, expect
from playwright.sync_api import Page as Tab

from raytracker import JobItem, JobTable
from tests.support.browser import ChromiumMissing, find_chromium, open_browser
from tests.support.on_call import put
from tests.support.page import Page, running_page

HOSTILE = "\"'<img src=x onerror=alert(1)>&amp;/<script>alert(2)</script>\u202e?#.tif"
REASON = '<b onclick=alert(3)>no</b> & "why"'

expect.set_options(timeout=20_000)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, one for all tests here."""
    try:
        find_chromium()
    except ChromiumMissing as missing:
        pytest.fail(str(missing), pytrace=False)
    with open_browser() as browser:
        yield browser


@pytest.fixture
def page(job_table: JobTable) -> Iterator[Page]:
    """The page of a table in DynamoDB Local."""
    with running_page(job_table) as page:
        yield page


@pytest.fixture
def tab(browser: Browser, page: Page) -> Iterator[Tab]:
    """A tab that shows the list; whatever is wrong in it, or leaves this host, fails the test."""
    context = browser.new_context()
    tab, wrong = context.new_page(), list[str]()
    tab.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.on("dialog", lambda dialog: (wrong.append(dialog.message), dialog.dismiss()))
    tab.on("request", lambda asked: wrong.append(asked.url) if not is_ours(asked.url) else None)
    tab.on("response", lambda got: wrong.append(got.url) if got.status >= 400 else None)

    def is_ours(url: str) -> bool:
        return url.startswith((page.at, "data:", "blob:"))

    tab.goto(page.url)
    expect(tab.locator(".live.on")).to_be_visible()
    yield tab
    assert wrong == []
    context.close()


def shown(tab: Tab, name: str) -> Locator:
    return tab.locator("#stats div", has=tab.get_by_text(name, exact=True)).locator("dd")


@pytest.mark.usefixtures("ray_cluster")
def test_a_run_is_seen_live_to_its_end(
    tab: Tab, page: Page, run: Callable[..., JobItem], tmp_path: Path
) -> None:
    """An error comes with its reason, and id and reason are text, whatever is in them."""
    gate = tmp_path / "gate"

    def detect(pixels: Any, tile: Any) -> None:
        import time

        if tile.region == 2:
            raise ValueError(REASON)
        while tile.region == 3 and not gate.exists():
            time.sleep(0.05)

    def go_on() -> JobItem:
        from raytracker import Work

        return run(detect, image_id=HOSTILE, work=Work(retries=0))

    with ThreadPoolExecutor(1) as driver:
        running = driver.submit(go_on)
        row = tab.get_by_role("row").filter(has_text="onerror")
        expect(row.locator(".IN_PROGRESS")).to_be_visible()
        row.get_by_role("link").click()
        expect(tab.locator("#name")).to_have_text(HOSTILE)
        expect(tab.locator(".reason .why")).to_have_text(f"ValueError: {REASON}")
        expect(tab.locator("#status")).to_have_text("in progress")
        tab.locator(".reason").click()
        expect(tab.locator("#readout")).to_contain_text(f"error: ValueError: {REASON}")
        tab.mouse.move(0, 0)
        gate.touch()
        expect(tab.locator("#status")).to_have_text("partial")
        job = running.result()
    expect(tab.locator("#percent")).to_have_text("100%")
    expect(shown(tab, "Pending")).to_have_text("0")
    expect(shown(tab, "Failed")).to_have_text(str(job.tile_counts()["tile_error"]))
    expect(tab.locator("#attributes")).to_contain_text(HOSTILE)
    assert tab.locator("#attributes img, .reason b, #name *").count() == 0


def test_a_new_image_appears_and_rows_stay_where_they_are(tab: Tab, job_table: JobTable) -> None:
    put(job_table, "first")
    expect(tab.get_by_role("row")).to_have_count(2)
    row = tab.get_by_role("row").filter(has_text="first")
    row.evaluate("row => row.classList.add('same')")
    before = row.bounding_box()
    put(job_table, "first", region_success=3, region_error=1)
    expect(row.locator(".count")).to_have_text("4 / 4")
    assert row.bounding_box() == before
    put(job_table, "older", start_time=1)
    expect(tab.get_by_role("row")).to_have_count(3)
    expect(tab.locator(".same")).to_have_count(1)


def test_runs_before_and_the_cost_are_shown(tab: Tab, job_table: JobTable) -> None:
    put(job_table, "scene", tracker_writes=41, tracker_wcu=80)
    tab.get_by_role("row").get_by_role("link", name="scene").click()
    expect(tab.locator("#attributes")).to_contain_text("42 writes, 81 WCU")
    expect(tab.locator("#history-card")).to_be_hidden()
    job = job_table.read("scene")
    assert job is not None
    job_table.resume(job, "next")
    rows = tab.locator("#history tr")
    expect(rows).to_have_count(3)
    expect(rows.nth(1)).to_contain_text("IN_PROGRESS")
    expect(rows.nth(2)).to_contain_text("SUPERSEDED")
    expect(rows.nth(2)).to_contain_text("ann@node-7")


def test_search_and_status_filter_and_stay_in_the_address(tab: Tab, job_table: JobTable) -> None:
    put(job_table, "scene-1")
    put(job_table, "scene-2", region_success=4, end_time=2)
    rows = tab.locator("#rows .row")
    expect(rows).to_have_count(2)
    tab.get_by_role("button", name="success").click()
    expect(rows.locator(".name")).to_have_text(["scene-2"])
    tab.get_by_role("searchbox").fill("scene-1")
    expect(tab.locator("#empty")).to_be_visible()
    tab.get_by_role("button", name="all").click()
    expect(rows.locator(".name")).to_have_text(["scene-1"])
    tab.reload()
    expect(tab.get_by_role("searchbox")).to_have_value("scene-1")
    expect(rows.locator(".name")).to_have_text(["scene-1"])


def test_the_keyboard_alone_reaches_everything(tab: Tab, job_table: JobTable) -> None:
    """List, filter, image, map, and where one is can be seen."""
    cut = {"tile_size": [5, 5], "tile_overlap": [0, 0], "region_size": [5, 5], "edges": "clip"}
    put(job_table, "scene", width=10, height=10, tracker_grid=json.dumps(cut))
    expect(tab.locator("#rows .row")).to_have_count(1)

    def tab_to(wanted: str) -> None:
        for _ in range(40):
            tab.keyboard.press("Tab")
            if tab.locator(wanted).and_(tab.locator(":focus-visible")).count():
                return
        raise AssertionError(wanted)

    tab_to("#search")
    tab.keyboard.type("sce")
    tab_to(".chip.IN_PROGRESS")
    tab.keyboard.press("Enter")
    expect(tab.locator(".chip.IN_PROGRESS")).to_have_attribute("aria-pressed", "true")
    tab_to("#rows a")
    tab.keyboard.press("Enter")
    expect(tab.locator("#name")).to_have_text("scene")
    expect(tab.locator("#percent")).to_have_text("50%")
    tab_to("#zoom-in")
    tab.keyboard.press("Enter")
    tab_to("#map")
    tab.keyboard.press("ArrowRight")
    expect(tab.locator("#readout")).to_contain_text("Region 0, tile 0 (number 0): success")
    tab.keyboard.press("ArrowDown")
    expect(tab.locator("#readout")).to_contain_text("Region 2, tile 0 (number 2): pending")
    tab.keyboard.press("0")
    tab.keyboard.press("Shift+Tab")


def test_a_phone_has_nothing_beyond_its_edge(
    browser: Browser, page: Page, job_table: JobTable
) -> None:
    put(job_table, "s3://bucket/" + "a-long-name" * 20 + ".tif")
    context = browser.new_context(viewport={"width": 390, "height": 844})
    tab = context.new_page()
    tab.goto(page.url)
    expect(tab.locator("#rows .row")).to_have_count(1)
    assert tab.locator("html").evaluate("page => page.scrollWidth") == 390
    tab.locator("#rows a").click()
    expect(tab.locator("#percent")).to_have_text("50%")
    assert tab.locator("html").evaluate("page => page.scrollWidth") == 390
    context.close()
