"""--roi: WKT on the command line, or a file of WKT or GeoJSON."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from typer.testing import CliRunner

from raytracker.cli.command import app
from raytracker.cli.roi import roi_of
from raytracker.errors import InvalidGrid

WKT = "POLYGON ((0 0, 9 0, 9 9, 0 9, 0 0))"
POLYGON = json.loads(shapely.to_geojson(shapely.from_wkt(WKT)))
FEATURE = {"type": "Feature", "geometry": POLYGON, "properties": {}}
FAR = {"type": "Polygon", "coordinates": [[[20, 0], [29, 0], [29, 9], [20, 0]]]}


@pytest.mark.parametrize(
    "text",
    [WKT, "multipolygon(((0 0,1 0,1 1,0 0)))", " POLYGON Z ((0 0 0, 1 0 0, 1 1 0, 0 0 0))",
     "POLYGON EMPTY", "POINT (1 2)", "SRID=4326;POLYGON ((0 0, 1 0, 1 1, 0 0))"],
)  # fmt: skip
@pytest.mark.parametrize("crs", [None, "image", "lonlat"])
def test_what_begins_like_wkt_is_wkt(text: str, crs: Any) -> None:
    """Whether it is an area, the grid finds out; in a file it is the same."""
    assert roi_of(text, crs) == (text, crs)


@pytest.mark.parametrize("name", ["roi.wkt", "polygon.txt", "POLYGON", "a file (1).wkt"])
@pytest.mark.parametrize("mark", ["", "\ufeff", "\n"])
def test_a_file_of_wkt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, mark: str
) -> None:
    """Of any name, and of any size: a command line takes 128 kB."""
    monkeypatch.chdir(tmp_path)
    angles = np.linspace(0, 6.28, 10_000)
    large = shapely.Polygon(np.column_stack([np.cos(angles), np.sin(angles)])).wkt
    assert len(large) > 128 * 1024
    Path(name).write_text(f"{mark}{large}\n", "utf-8")
    assert roi_of(name, None) == (large, None)
    assert roi_of(name, "lonlat") == (large, "lonlat")


@pytest.mark.parametrize(
    "found",
    [
        POLYGON,
        FEATURE,
        {"type": "FeatureCollection", "features": [FEATURE]},
        {
            **POLYGON,
            "crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:OGC:1.3:CRS84"}},
        },
        {**POLYGON, "crs": {"type": "name", "properties": {"name": "EPSG:4326"}}},
        {**POLYGON, "crs": None},
    ],
)
@pytest.mark.parametrize("crs", [None, "lonlat"])
def test_a_file_of_geojson(tmp_path: Path, found: Any, crs: Any) -> None:
    """Its coordinates are longitude and latitude, as its standard says."""
    path = tmp_path / "roi.geojson"
    path.write_text(json.dumps(found))
    roi, roi_crs = roi_of(str(path), crs)
    assert roi_crs == "lonlat"
    assert shapely.from_wkt(roi).equals(shapely.from_wkt(WKT))


def test_several_features_are_one_area(tmp_path: Path) -> None:
    """Those without a geometry are none of it."""
    path = tmp_path / "roi.json"
    features = [FEATURE, {**FEATURE, "geometry": FAR}, {**FEATURE, "geometry": None}]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    area = shapely.from_wkt(roi_of(str(path), None)[0])
    assert area.geom_type == "MultiPolygon"
    assert area.area == pytest.approx(81 + 40.5)


UTM = {**POLYGON, "crs": {"type": "name", "properties": {"name": "EPSG:32618"}}}


@pytest.mark.parametrize(
    ("content", "crs", "told"),
    [
        (None, None, "no WKT, and no file can be read: .*No such file"),
        ("hello", None, "neither WKT nor GeoJSON"),
        ("", None, "neither WKT nor GeoJSON"),
        ("[]", None, "neither WKT nor GeoJSON"),
        ("[" * 100_000, None, "neither WKT nor GeoJSON"),
        ('{"type": "Polygon"}', None, "neither WKT nor GeoJSON"),
        ('{"type": "Polygon", "coordinates": [[[0, 0], [1]]]}', None, "neither WKT nor GeoJSON"),
        ('{"type": "Feature"}', None, "neither WKT nor GeoJSON"),
        (b"\xff\xfe\x00", None, "no file can be read"),
        (json.dumps(POLYGON), "image", "--roi-crs image says otherwise"),
        (json.dumps(UTM), None, "these are of EPSG:32618"),
    ],
)
def test_what_is_no_area(tmp_path: Path, content: Any, crs: Any, told: str) -> None:
    """Is told in one line, with the option."""
    path = tmp_path / "roi"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InvalidGrid, match=f"--roi {path}.*{told}") as caught:
        roi_of(str(path), crs)
    assert "\n" not in str(caught.value)


def test_the_command_takes_a_file() -> None:
    """And says that there is none, before anything else happens."""
    line = ["run", "scene.tif", "detect.py:f", "--table", "T", "--roi", "missing.wkt"]
    done = CliRunner().invoke(app, line)
    assert done.exit_code == 2
    assert "--roi missing.wkt: it is no WKT, and no file can be read" in done.output
