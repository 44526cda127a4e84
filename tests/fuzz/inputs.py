"""Inputs that somebody may have made: good ones, and what chance makes of them."""

from __future__ import annotations

import gzip
import json
import random
import zlib
from collections.abc import Callable
from dataclasses import fields
from decimal import Decimal
from typing import Any

import numpy as np

from raytracker.job_table import JobItem
from raytracker.job_table.ledger_text import to_text
from raytracker.ledger import Layout, Ledger
from raytracker.pipeline.objects import TileResult, packed
from tests.support.command import BAHAMAS

Chance = random.Random

NASTY: list[Any] = [
    None, True, False, "", " ", "\0", "\x1b[2J", "\nforged", "x" * 5000, "é\ud800", "NaN", "-0",
    "1e400", "9" * 400, "[" * 3000, "{}", "[]", '{"a":', "s3://", "../../etc", "x/0", "x/1/y",
    0, -1, 1, 2**31, 2**53, 2**63, 2**70, 10**300, 0.5, 1e308, -1e308, [], {}, [[]], {"": None},
    [0] * 300, {"a": {"b": {"c": [1, {"d": 2}]}}},
]  # fmt: skip
NOTES = ["tile_size", "tile_overlap", "region_size", "roi", "roi_crs", "edges", "bands", "size",
         "skip_empty", "bytes", "crs", "function", "merge", "merge_iou", "merge_by", "formats",
         "blend", "stride", "nodata", "colormap", "band_names", "version"]  # fmt: skip


def ledger(chance: Chance) -> Ledger:
    """A ledger of a few regions, some of it settled."""
    made = Ledger(Layout.of([chance.randint(1, 9) for _ in range(chance.randint(1, 6))]))
    tiles = bytes(chance.choices(range(4), k=made.layout.tile_count))
    classes = [(0, tiles, chance.choice(["clouds", "ValueError", "\x1b[2J"])) for _ in range(2)]
    made.merge([(0, tiles)], {n: "clouds" for n, seen in enumerate(tiles) if seen == 1}, classes)
    return made


def item(chance: Chance) -> dict[str, Any]:
    """A job item as DynamoDB gives it: a good one, of which chance has changed something."""
    made = ledger(chance)
    notes = {"tile_size": [256, 256], "tile_overlap": [0, 0], "region_size": [512, 512]}
    sink = {"type": "Folder", "path": "/out", "tiles": "tiles-" + "0f" * 16}
    good: dict[str, Any] = {
        "image_id": "scene",
        "job_id": "job",
        "image_url": BAHAMAS,
        "region_count": Decimal(made.layout.region_count),
        "region_success": Decimal(made.region_success),
        "region_error": Decimal(made.region_error),
        "start_time": Decimal(1_700_000_000_000),
        "end_time": Decimal(1_700_000_100_000),
        "expire_time": Decimal(1_700_086_400),
        "processing_duration": Decimal(5),
        "outputs": json.dumps([sink | {"files": ["result.tif"], "of": "0f"}]),
        "tracker_run": "run",
        "tracker_owner": "owner",
        "tracker_seq": Decimal(3),
        "tracker_grid": json.dumps(notes),
        "tracker_errors": {"0": "clouds"},
        "tracker_ledger": to_text(made.encode()),
        "tracker_classes": classes_text(chance, made),
        "tracker_keep_for": Decimal(604_800),
        "tracker_alive_until": Decimal(1_700_000_000),
        "tracker_writes": Decimal(7),
        "tracker_wcu": Decimal(9),
        "tracker_history": '[["before","PARTIAL","ann@head",1700000000000,1700000100000,1,1,2]]',
    }
    names = [f.name for f in fields(JobItem) if f.name not in ("image_id", "ddb_key")]
    for _ in range(chance.randint(1, 3)):
        name = chance.choice(names)
        good[name] = _changed(chance, good.get(name))
    if chance.random() < 0.3:
        for _ in range(2):
            notes[chance.choice(NOTES)] = _plain(chance)  # type: ignore[assignment]
        good["tracker_grid"] = json.dumps(notes)
    return {name: value for name, value in good.items() if value is not None}


def message(chance: Chance) -> Any:
    """A request message, likewise."""
    good: dict[str, Any] = {
        "jobId": "job",
        "imageUrls": ["s3://bucket/scene.tif"],
        "imageProcessor": {"name": "model", "type": "SM_ENDPOINT"},
        "imageProcessorTileSize": 512,
        "imageProcessorTileOverlap": 64,
        "outputs": [{"type": "S3", "bucket": "b", "prefix": "p"}],
        "featureProperties": [{"a": 1}],
        "regionOfInterest": "POLYGON ((0 0, 1 0, 1 1, 0 0))",
        "postProcessing": [{"step": "FEATURE_DISTILLATION", "algorithm": {"algorithmType": "NMS"}}],
    }
    for _ in range(chance.randint(1, 3)):
        name = chance.choice([*good, "imageReadRole", "imageProcessorTileFormat"])
        good[name] = _changed(chance, good.get(name))
    text = json.dumps(good, default=float)
    return _torn(chance, text) if chance.random() < 0.3 else text


def chunk(chance: Chance) -> tuple[str, bytes]:
    """An object with tiles' results, likewise: its name, and what is in it."""
    features = json.dumps([{"type": "Feature", "geometry": None, "properties": {"n": 1}}]).encode()
    places = json.dumps([[[0, 0, 1, 1], 0.5, "", None]]).encode()
    array = {"raster": np.zeros((1, 4, 4), np.uint8)} if chance.random() < 0.5 else {}
    tiles = {(0, n): TileResult((0, n), features, places, array) for n in range(3)}
    name, data = packed(tiles)
    if chance.random() < 0.3:
        return name, _torn(chance, data.decode("latin-1")).encode("latin-1", "replace")
    # What is packed is changed, so that it unpacks.
    lines = (
        f"[0, 0, {json.dumps(_plain(chance))}, []]\n" if array else gzip.decompress(data).decode()
    )
    return name, gzip.compress(_torn(chance, lines).encode("utf-8", "replace"))


def classes_text(chance: Chance, made: Ledger) -> str:
    """The text of the classes of a ledger, likewise."""
    tiles = made.tile_outcomes()
    if chance.random() < 0.5:
        return to_text(made.classes().encode(tiles))
    body = zlib.compress(chance.randbytes(chance.randint(0, 40)) * chance.choice([1, 1, 500_000]))
    return to_text(zlib.crc32(body, zlib.crc32(tiles)).to_bytes(4, "little") + body)


def ledger_text(chance: Chance) -> Any:
    """The text of a ledger, likewise; its checksum may be right all the same."""
    body = zlib.compress(chance.randbytes(chance.randint(0, 40)) * chance.choice([1, 1, 500_000]))
    crc = zlib.crc32(body, 1).to_bytes(4, "little")
    bomb = to_text(b"RTL\x02\x01" + crc + body)
    return chance.choice([bomb, _torn(chance, to_text(ledger(chance).encode())), _plain(chance)])


def _changed(chance: Chance, value: Any) -> Any:
    way = chance.randrange(4)
    if way == 0 and isinstance(value, str):
        return _torn(chance, value)
    if way == 1 and isinstance(value, (dict, list)) and value:
        return _nested(chance, value)
    if way == 2 and isinstance(value, (int, Decimal)):
        return Decimal(chance.choice([-1, 0, 1, 2**31, 2**63, 10**30]))
    made = _plain(chance)
    return Decimal(made) if isinstance(made, int) and abs(made) < 10**37 else made


def _nested(chance: Chance, value: Any) -> Any:
    if isinstance(value, list):
        return [*value[1:], _plain(chance)]
    return {**value, chance.choice([*value, "x"]): _plain(chance)}


def _plain(chance: Chance) -> Any:
    value = chance.choice(NASTY)
    return [value] * chance.randint(0, 3) if chance.random() < 0.2 else value


def _torn(chance: Chance, text: str) -> str:
    """A text, cut, doubled, or with some characters changed."""
    at = chance.randint(0, len(text))
    ways: list[Callable[[], str]] = [
        lambda: text[:at],
        lambda: text[:at] + text[at:] * 2,
        lambda: text[:at] + chr(chance.randrange(256)) + text[at + 1 :],
        lambda: text[:at] + str(chance.choice(NASTY)) + text[at:],
    ]
    return chance.choice(ways)()
