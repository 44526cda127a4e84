"""Features as GeoParquet 1.1; extra `raytracker[parquet]`.

Source: https://geoparquet.org/releases/v1.1.0/
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import IO, Any

import numpy as np
import shapely
from shapely.geometry import shape

from ...errors import OutputError

ROWS = 50_000  # of a row group: as many Features are in memory
CREATED_BY = "raytracker"
EXACT = 2**53  # integers up to here are floats, too

Lines = Callable[[], Iterable[bytes]]


def check_installed() -> None:
    """Does nothing where GeoParquet can be written.

    Raises:
        OutputError: What it takes is not installed.
    """
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as err:
        raise OutputError(
            f'{err}; for formats=["parquet"] install: pip install "raytracker[parquet]"'
        ) from err


def write_parquet(file: IO[bytes], lines: Lines, *, on_ground: bool) -> None:
    """Writes Features as GeoParquet: a column for the geometry, its box, and each property.

    A property's column is of booleans, integers, floats or texts: of what holds all its values;
    lists and objects are JSON. The same Features give the same bytes.

    Args:
        file: Where to.
        lines: Returns, each time, Features as JSON, one a line, in the same order.
        on_ground: Whether coordinates are longitude and latitude, and not pixels.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds, types, bounds = _looked_at(lines())
    columns = [pa.field("geometry", pa.binary()), pa.field("bbox", _box_type(pa))]
    named = _columns(kinds)
    columns += [pa.field(named[name], getattr(pa, _arrow(kind))()) for name, kind in kinds.items()]
    geometry: dict[str, Any] = {
        "encoding": "WKB",
        "geometry_types": sorted(types),
        "covering": {"bbox": {side: ["bbox", side] for side in ("xmin", "ymin", "xmax", "ymax")}},
    }
    if not on_ground:
        geometry["crs"] = None  # else it is OGC:CRS84
    if bounds is not None:
        geometry["bbox"] = bounds
    if on_ground:
        geometry["orientation"] = "counterclockwise"
    told = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": geometry}}
    schema = pa.schema(columns, metadata={"geo": json.dumps(told, sort_keys=True)})
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for features in _grouped(lines()):
            writer.write_table(_table(pa, schema, features, kinds))


def _arrow(kind: str) -> str:
    return {"bool": "bool_", "double": "float64"}.get(kind, kind)


def _box_type(pa: Any) -> Any:
    return pa.struct([pa.field(side, pa.float64()) for side in ("xmin", "ymin", "xmax", "ymax")])


def _grouped(lines: Iterable[bytes]) -> Iterator[list[dict[str, Any]]]:
    group: list[dict[str, Any]] = []
    for line in lines:
        group.append(json.loads(line))
        if len(group) == ROWS:
            yield group
            group = []
    if group:
        yield group


def _looked_at(lines: Iterable[bytes]) -> tuple[dict[str, str], set[str], list[float] | None]:
    """Returns what all Features are: the kind of each property, the geometries, and the bounds."""
    found: dict[str, str | None] = {}
    types: set[str] = set()
    low, high = np.full(2, np.inf), np.full(2, -np.inf)
    for line in lines:
        feature = json.loads(line)
        for name, value in feature["properties"].items():
            found[name] = _of_both(found.get(name), _kind(value))
        if feature["geometry"] is not None:
            there = shape(feature["geometry"])
            types.add(f"{there.geom_type}{' Z' if there.has_z else ''}")
            left, top, right, bottom = there.bounds
            low = np.fmin(low, (left, top))
            high = np.fmax(high, (right, bottom))
    kinds = {
        name: {"number": "int64"}.get(kind or "bool", kind or "bool")
        for name, kind in sorted(found.items())
    }
    return kinds, types, [*low.tolist(), *high.tolist()] if np.isfinite(low).all() else None


def _columns(names: Iterable[str]) -> dict[str, str]:
    """Returns the column of each property: its name, or with an underscore more if that is ours."""
    taken = {"geometry", "bbox", *names}
    columns = {}
    for name in names:
        column = name
        while (column != name and column in taken) or column in ("geometry", "bbox"):
            column += "_"
        taken.add(column)
        columns[name] = column
    return columns


def _kind(value: Any) -> str | None:
    """Returns what holds a value; None: anything."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return "int64" if abs(value) > EXACT else "number"
    return "double" if isinstance(value, float) else "string"


def _of_both(one: str | None, other: str | None) -> str | None:
    """Returns what holds all values of two kinds, and changes none."""
    kinds = {one, other} - {None}
    if len(kinds) <= 1:
        return next(iter(kinds), None)
    if "number" in kinds and kinds <= {"number", "int64", "double"}:
        return next(iter(kinds - {"number"}))
    return "string"


def _table(pa: Any, schema: Any, features: list[dict[str, Any]], kinds: Mapping[str, str]) -> Any:
    shapes = [None if f["geometry"] is None else shape(f["geometry"]) for f in features]
    made = np.array(shapes, object)
    wkb = shapely.to_wkb(made, byte_order=1)
    bounds = shapely.bounds(made)
    boxes = [
        None
        if np.isnan(box).any()
        else dict(zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True))
        for box in bounds.tolist()
    ]
    columns = [pa.array(list(wkb), pa.binary()), pa.array(boxes, schema.field("bbox").type)]
    for name, kind in kinds.items():
        values = [_value(each["properties"].get(name), kind) for each in features]
        columns.append(pa.array(values, schema.field(len(columns)).type))
    return pa.Table.from_arrays(columns, schema=schema)


def _value(value: Any, kind: str) -> Any:
    if value is None:
        return None
    if kind == "string" and not isinstance(value, str):
        return json.dumps(value, sort_keys=True)
    return {"bool": bool, "int64": int, "double": float}.get(kind, str)(value)
