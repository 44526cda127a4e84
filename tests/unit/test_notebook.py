"""How images look in a notebook."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from raytracker import JobItem, Progress
from raytracker.job_table.ledger_text import to_text
from raytracker.ledger import ERROR, SUCCESS, Layout, Ledger
from raytracker.notebook import GREEN, GREY, RED, card


def ledger() -> Ledger:
    made = Ledger(Layout.of([2, 2, 1]))
    made.merge([(0, SUCCESS * 2 + ERROR)], {2: "clouds"})
    return made


def test_a_job_item_shows_a_bar_and_counts() -> None:
    """Of tiles, with the regions beside them."""
    job = JobItem(
        "<script>alert(1)</script>",
        region_count=3,
        region_success=1,
        region_error=0,
        tracker_ledger=to_text(ledger().encode()),
    )
    shown = job._repr_html_()
    assert "<script" not in shown
    assert "2 of 5 tiles" in shown
    assert "1 failed" in shown
    assert "1 of 3 regions" in shown
    assert "width:40.0000%" in shown
    ET.fromstring(shown.replace("&nbsp;", ""))
    assert "0 of 0 regions" in JobItem("x")._repr_html_()


def test_progress_says_how_quickly_it_gets_on() -> None:
    """And how long yet."""
    progress = Progress.of(ledger(), status="IN_PROGRESS", durable=True, tiles_per_second=2.0)
    shown = progress._repr_html_()
    assert "2 of 5 tiles" in shown
    assert "2.0 tiles/s" in shown
    assert "about 1 s left" in shown
    assert "regions" in shown


def test_a_map_has_a_cell_for_each_region() -> None:
    """Of very many, none."""
    shown = card("a", "PARTIAL", 1, 1, 3, "regions", regions=[GREEN, RED, GREY])
    assert shown.count("<rect") == 3
    assert "<svg" not in card("a", "PARTIAL", 1, 1, 3, "regions", regions=[GREEN] * 10_000)
