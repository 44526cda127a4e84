"""Features, and the files of a store of them."""

from __future__ import annotations

from pathlib import Path

import boto3

from raytracker.pipeline import ResultStore

POINT = {"type": "Point", "coordinates": [1.0, 2.0]}
FEATURE = {"type": "Feature", "geometry": POINT, "properties": {"n": 1}}


def names(store: ResultStore) -> list[str]:
    """All files of a store."""
    if not store.url.startswith("s3://"):
        root = Path(store.url)
        return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())
    bucket = store.url.split("/")[2]
    listed = boto3.client("s3").list_objects_v2(Bucket=bucket).get("Contents", [])
    return sorted(entry["Key"].removeprefix("some/prefix/") for entry in listed)
