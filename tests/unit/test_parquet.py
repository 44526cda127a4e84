"""Features as GeoParquet, as its readers want it."""

from __future__ import annotations

import io
import json
import sys
from typing import Any

import pyarrow.parquet as pq
import pytest
import shapely
from shapely.geometry import mapping

from raytracker.errors import OutputError
from raytracker.pipeline.assembly import parquet
from raytracker.pipeline.assembly.parquet import check_installed, write_parquet


def line(geometry: Any, /, **properties: Any) -> bytes:
    there = None if geometry is None else mapping(geometry)
    return json.dumps({"type": "Feature", "geometry": there, "properties": properties}).encode()


LINES = [
    line(shapely.box(0, 1, 2, 3), n=1, mixed=1, when=None, many=[1, 2], flag=True),
    line(None, n=2.5, mixed="a", flag=None, bbox="theirs"),
    line(shapely.Point(5, -6), n=3, mixed={"b": 1}),
]


def written(lines: list[bytes], *, on_ground: bool = True) -> bytes:
    file = io.BytesIO()
    write_parquet(file, lambda: iter(lines), on_ground=on_ground)
    return file.getvalue()


def test_columns_hold_what_features_have() -> None:
    """Numbers as numbers; what is of several kinds, or nested, as text."""
    table = pq.read_table(io.BytesIO(written(LINES)))
    assert shapely.from_wkb(table["geometry"].to_pylist()[0]).equals(shapely.box(0, 1, 2, 3))
    assert table["geometry"].to_pylist()[1] is None
    assert table["bbox"].to_pylist() == [
        {"xmin": 0.0, "ymin": 1.0, "xmax": 2.0, "ymax": 3.0},
        None,
        {"xmin": 5.0, "ymin": -6.0, "xmax": 5.0, "ymax": -6.0},
    ]
    assert table["n"].to_pylist() == [1.0, 2.5, 3.0]
    assert table["mixed"].to_pylist() == ["1", "a", '{"b": 1}']
    assert table["many"].to_pylist() == ["[1, 2]", None, None]
    assert table["flag"].to_pylist() == [True, None, None]
    assert table["bbox_"].to_pylist() == [None, "theirs", None]


def test_no_value_is_changed_or_lost() -> None:
    """What one type would bend is text; a name that is ours gets an underscore, if that is free."""
    lines = [
        line(None, geometry=1, geometry_=2, both=True, large=2**53 + 1, whole=1, big=2**60),
        line(None, geometry=3, geometry_=4, both=5, large=0.5, whole=2.5, big=7),
    ]
    table = pq.read_table(io.BytesIO(written(lines)))
    assert table["geometry__"].to_pylist() == [1, 3]
    assert table["geometry_"].to_pylist() == [2, 4]
    assert table["both"].to_pylist() == ["true", "5"]
    assert table["large"].to_pylist() == [str(2**53 + 1), "0.5"]
    assert table["whole"].to_pylist() == [1.0, 2.5]
    assert table["big"].to_pylist() == [2**60, 7]


@pytest.mark.parametrize("on_ground", [True, False])
def test_it_says_where_it_lies(on_ground: bool) -> None:
    """As GeoParquet 1.1 says it; pixels have no CRS."""
    table = pq.read_table(io.BytesIO(written(LINES, on_ground=on_ground)))
    told = json.loads(table.schema.metadata[b"geo"])
    assert (told["version"], told["primary_column"]) == ("1.1.0", "geometry")
    column = told["columns"]["geometry"]
    assert column["encoding"] == "WKB"
    assert column["geometry_types"] == ["Point", "Polygon"]
    assert column["bbox"] == [0, -6, 5, 3]
    assert ("crs" in column, column.get("crs")) == (not on_ground, None)
    assert column["covering"]["bbox"]["xmin"] == ["bbox", "xmin"]


def test_the_same_features_are_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in several groups of rows, and of none."""
    assert written(LINES) == written(LINES)
    monkeypatch.setattr(parquet, "ROWS", 2)
    file = pq.ParquetFile(io.BytesIO(written(LINES)))
    assert (file.num_row_groups, file.metadata.num_rows) == (2, 3)
    assert pq.read_table(io.BytesIO(written([]))).num_rows == 0


def test_what_it_takes_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything runs."""
    check_installed()
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(OutputError, match=r'pip install "raytracker\[parquet\]"'):
        check_installed()
