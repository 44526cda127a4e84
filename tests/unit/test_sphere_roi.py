"""Regions of interest where longitudes end and meet: they are taken modulo 360."""

from __future__ import annotations

import pytest
from pyproj import Geod

from raytracker.errors import InvalidGrid
from raytracker.imagery import ImageInfo, plan
from tests.support.worlds import (
    EASTWARD,
    NORTH,
    SOUTH,
    STRIP,
    UTM_60,
    WEB,
    WHOLE,
    WORLDS,
)

EARTH = Geod(ellps="WGS84")


def kept(info: ImageInfo, roi: str, roi_crs: str = "lonlat") -> set[tuple[int, int]]:
    """The places of the tiles that an ROI keeps."""
    grid = plan(info, max(1, info.width // 20), roi=roi, roi_crs=roi_crs)
    rows, columns = grid.places()
    return set(zip(rows.tolist(), columns.tolist(), strict=True))


def square(west: float, south: float, east: float, north: float) -> str:
    corners = [(west, south), (east, south), (east, north), (west, north), (west, south)]
    return f"POLYGON (({', '.join(f'{x} {y}' for x, y in corners)}))"


HALVES = (179.8, 180), (-180, -179.8)


@pytest.mark.parametrize(
    ("info", "south", "north"),
    [
        (UTM_60, 7, 8.5),
        (WEB, 7, 8.5),
        (STRIP, 10.2, 10.8),
        (EASTWARD, -20, 20),
        (WHOLE, -20, 20),
        (WORLDS["turned UTM 60"], 7.9, 8.5),
        (NORTH, 86, 88),
        (SOUTH, -88, -86),
    ],
    ids=["UTM 60", "web", "strip", "eastward", "whole", "turned", "north", "south"],
)
def test_a_region_across_180_degrees_is_its_two_halves(
    info: ImageInfo, south: float, north: float
) -> None:
    """However it is written; where both ways round are in the image, a jump is refused in words."""
    halves = set.union(*(kept(info, square(west, south, east, north)) for west, east in HALVES))
    east, west = (square(low, south, high, north)[8:] for low, high in HALVES)
    assert kept(info, f"MULTIPOLYGON ({east}, {west})") == halves
    for turn in (-360, 0, 360):
        assert kept(info, square(179.8 + turn, south, 180.2 + turn, north)) == halves
    jump = square(179.8, south, -179.8, north)
    if info in (UTM_60, WEB, STRIP, WORLDS["turned UTM 60"]):
        assert kept(info, jump) == halves
    else:
        with pytest.raises(InvalidGrid, match="more than 180 degrees apart.*MULTIPOLYGON"):
            kept(info, jump)


@pytest.mark.parametrize("info", [STRIP, EASTWARD], ids=["strip", "eastward"])
def test_a_region_in_the_degrees_of_the_image_is_taken_modulo_360(info: ImageInfo) -> None:
    """The image's CRS is longitude and latitude itself, and goes on beyond 180 degrees."""
    for west, east in ((180.2, 180.4), (179.7, 180.3), (-179.8, -179.6)):
        there = kept(info, square(west, 10.2, east, 10.8))
        for turn in (-360, 0, 360):
            assert kept(info, square(west + turn, 10.2, east + turn, 10.8), "image") == there


def test_a_region_with_a_hole_across_180_degrees() -> None:
    """The hole is where it was."""
    ring = "(179.2 10.1, -179.2 10.1, -179.2 10.9, 179.2 10.9, 179.2 10.1)"
    hole = "(-179.5 10.4, 179.5 10.4, 179.5 10.6, -179.5 10.6, -179.5 10.4)"
    there = kept(STRIP, f"POLYGON ({ring}, {hole})")
    assert there == kept(
        STRIP,
        "POLYGON ((179.2 10.1, 180.8 10.1, 180.8 10.9, 179.2 10.9, 179.2 10.1), "
        "(180.5 10.4, 179.5 10.4, 179.5 10.6, 180.5 10.6, 180.5 10.4))",
    )
    assert (5, 10) not in there
    assert (5, 3) in there


def test_a_region_around_a_pole() -> None:
    """As a box of all longitudes, or as a ring that goes around it."""
    around = kept(NORTH, square(-180, 88, 180, 90))
    assert 4 <= len(around) <= 100
    assert (9, 9) in around
    ring = ", ".join(f"{longitude} 88" for longitude in (*range(0, 181, 5), *range(-175, 1, 5)))
    assert kept(NORTH, f"POLYGON (({ring}))") == around


def test_all_the_world_is_all_tiles() -> None:
    """From -180 to 180, or from 0 to 360."""
    for info in WORLDS.values():
        everything = kept(info, square(-180, -90, 180, 90))
        assert everything == kept(info, square(0, -90, 360, 90))
        assert len(everything) == sum(plan(info, max(1, info.width // 20)).tiles_per_region)


def test_a_region_on_the_other_side_of_the_world_misses() -> None:
    """Also where its longitudes look near."""
    for info in (UTM_60, STRIP, WEB):
        with pytest.raises(InvalidGrid, match="misses"):
            kept(info, square(-0.2, 7, 0.2, 11))
        with pytest.raises(InvalidGrid, match="misses"):
            kept(info, square(359.8, 7, 360.2, 11))
