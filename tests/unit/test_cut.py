"""How an image was cut, in its item: the ROI stands there once, and still tells two cuts apart."""

import json

import numpy as np
import pytest
import shapely

from raytracker.errors import InvalidLayout, ResumeMismatch
from raytracker.job_table import JobItem, cut_of, with_cut
from raytracker.ledger import Layout
from raytracker.run.beginning import How, begin
from tests.support.simulated_table import SimulatedTable


def circle(vertices: int, radius: float = 1000.0) -> str:
    angles = np.linspace(0, 2 * np.pi, vertices, endpoint=False)
    points = radius * np.column_stack([np.cos(angles), np.sin(angles)])
    return str(shapely.Polygon(points).wkt)


ROI = circle(6000)
CUT = {"tile_size": [256, 256], "roi": ROI, "roi_crs": "image"}


def begun(table: SimulatedTable, roi: str, if_exists: str = "resume") -> None:
    cut = {**CUT, "roi": roi}
    begin(JobItem("scene", roi_wkt=roi), 5, table, if_exists, cut, False, How(take_over=True))  # type: ignore[arg-type]


def test_a_large_roi_is_in_the_item_once() -> None:
    """Of 6,000 vertices there would be no room for a second."""
    table = SimulatedTable()
    begun(table, ROI, "error")
    item = JobItem.from_ddb(table.items["scene"])
    assert item.roi_wkt == ROI
    assert item.tracker_grid is not None
    assert len(item.tracker_grid) < 300
    assert cut_of(item) == CUT


def test_a_resume_with_another_roi_is_refused() -> None:
    """One vertex is enough; the same one is gone on with."""
    table = SimulatedTable()
    begun(table, ROI, "error")
    with pytest.raises(ResumeMismatch, match="cut with roi") as caught:
        begun(table, ROI.replace("POLYGON ((1000 0,", "POLYGON ((1001 0,"))
    assert len(str(caught.value)) < 600
    begun(table, ROI)


def test_an_item_that_has_its_roi_twice_is_gone_on_with() -> None:
    """As an earlier version wrote it."""
    table = SimulatedTable()
    both = JobItem("scene", roi_wkt="POLYGON ((0 0, 9 0, 9 9, 0 0))", tracker_grid="{}")
    cut = {**CUT, "roi": both.roi_wkt}
    both.tracker_grid = json.dumps(cut, sort_keys=True)
    table.start(both, run="before", layout=Layout.of(5))
    begin(
        JobItem("scene", roi_wkt=both.roi_wkt), 5, table, "resume", cut, False, How(take_over=True)
    )


@pytest.mark.parametrize("text", [None, "", "garbage", "[1]", "[" * 100_000])
def test_what_is_no_cut(text: str | None) -> None:
    """Is no error, until somebody needs it."""
    assert not cut_of(JobItem("scene", tracker_grid=text))


def test_an_roi_that_fills_the_item_is_named() -> None:
    """With its size: larger tiles are no cure. Tiles that fill it are named as before."""
    table = SimulatedTable()
    with pytest.raises(
        InvalidLayout, match=r"its ROI \(roi_wkt\) has 15001 vertices in \d+ bytes.*simplify"
    ):
        begun(table, circle(15_000), "error")
    assert "scene" not in table.items
    with pytest.raises(InvalidLayout, match="2000000 tiles in .* use larger tiles"):
        begin(JobItem("scene"), [1000] * 2000, table, "error", None, False, How(take_over=True))


def test_a_cut_without_the_jobs_roi_is_kept_as_it_is() -> None:
    """Pipelines of their own may call something else so."""
    job = with_cut(JobItem("scene", roi_wkt="POLYGON EMPTY"), {"roi": "the north"})
    assert job.tracker_grid == '{"roi": "the north"}'
    assert cut_of(job) == {"roi": "the north"}
