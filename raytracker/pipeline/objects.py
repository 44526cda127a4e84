"""The object that holds the results of a chunk of tiles: how it is named, packed and read.

It is lines of JSON, packed by gzip, one for each tile, `[region, tile, [feature, ...]]`; and behind
them, where functions return arrays, these, each packed by zlib. The line of a tile then says where
its arrays are, and may say where its Features lie in the image's pixels: `[region, tile, {"arrays":
[[name, dtype, shape, at, size], ...], "pixels": [...]}, [feature, ...]]`.

It is data from outside: bounded in size, and looked at before it is used. What a tile's line says
is looked at only when it is its turn, Feature by Feature, so that nothing is in memory twice.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

MAX_OBJECT_BYTES = 1_000_000_000  # of a chunk's object, at most,
MAX_UNPACKED_BYTES = 256_000_000  # and of its lines; a larger one is not written, nor read
MAX_ARRAY_BYTES = 4_000_000_000
_PIECE = 1_024  # of an object: unpacked, at most a thousand times as large
PACKING = 1  # smaller objects take longer to pack than they save
_SAMPLE = 16_384  # bytes of an array that tell whether packing it is worth the while,
_WORTH = 0.5  # which it is where they become so small: scores take as long as a model, and don't
_KINDS = "buif"  # of arrays: what a raster holds

Key = tuple[int, int]
Place = tuple[int, int]
DAMAGE = ValueError, RecursionError, TypeError, zlib.error  # what an object that is none raises


@dataclass(frozen=True)
class TileResult:
    """What a function found in one tile, ready to be kept.

    Attributes:
        place: The (row, column) of the tile in the grid.
        features: Its Features, as `features.encode_features` makes them.
        pixels: Where they lie in the image, as JSON: a list with something for each; None: that
            is not wanted.
        arrays: Its rasters by name, (bands, rows, columns) each.
    """

    place: Place
    features: bytes = b"[]"
    pixels: bytes | None = None
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Its bytes, not packed."""
        arrays = sum(array.nbytes for array in self.arrays.values())
        return len(self.features) + len(self.pixels or b"") + arrays


class ChunkObject(NamedTuple):
    """A chunk's object, as its name tells it.

    Attributes:
        tiles: How many tiles it has.
        name: Its name: of those that have a tile, that with the fewest, then the least, counts.
        top: The first row of the grid that it has a tile of; and likewise the others, the last two
            being behind the last.
    """

    tiles: int
    name: str
    top: int
    left: int
    bottom: int
    right: int

    @classmethod
    def of(cls, name: str) -> ChunkObject | None:
        """Returns the object of that name; None: it is something else's."""
        found = _NAME.fullmatch(name)
        if found is None:
            before = _NAME_BEFORE.fullmatch(name)
            return before and cls(int(before[1]), name, 0, 0, _ANYWHERE, _ANYWHERE)
        top, left, rows, columns, tiles = map(int, found.groups()[:5])
        return cls(tiles, name, top, left, top + rows, left + columns)

    def meets(self, rows: range, columns: range) -> bool:
        """Whether tiles of it may be in these rows and columns of the grid."""
        return (
            self.top < rows.stop
            and rows.start < self.bottom
            and self.left < columns.stop
            and columns.start < self.right
        )


class Line(NamedTuple):
    """What was found in one tile: a line of an object, and where in it what is found begins."""

    text: bytes
    start: int

    def features(self) -> Iterator[str]:
        """Yields the JSON of each Feature.

        Raises:
            ValueError, RecursionError: They are none.
        """
        text, at = self.text[self._begin : -1].decode("ascii"), 1
        while text != "[]":
            feature, end = _DECODER.raw_decode(text, at)
            if not isinstance(feature, dict):
                raise ValueError("a tile's features are none")
            yield text[at:end]
            if end == len(text) - 1:  # its bracket
                return
            if text[end : end + 2] != ", ":
                raise ValueError("a tile's features are no list")
            at = end + 2

    @property
    def has_more(self) -> bool:
        """Whether it says anything beside its Features."""
        return self.text[self.start : self.start + 1] == b"{"

    @property
    def more(self) -> Mapping[str, Any]:
        """What it says of its arrays, and of its Features in pixels.

        Raises:
            ValueError, RecursionError: It is none of ours.
        """
        return self._more()[0]

    @property
    def _begin(self) -> int:
        return self._more()[1]

    def _more(self) -> tuple[Mapping[str, Any], int]:
        if not self.has_more:
            return {}, self.start
        text = self.text[self.start :].decode("ascii")
        more, end = _DECODER.raw_decode(text)
        if not isinstance(more, dict) or text[end : end + 3] != ", [":
            raise ValueError("a line is no tile's")
        return more, self.start + end + 2


class PackedArray(NamedTuple):
    """An array as it stands in an object."""

    dtype: str
    shape: tuple[int, int, int]
    data: bytes

    def unpacked(self) -> NDArray[Any]:
        """Returns the array.

        Raises:
            ValueError, zlib.error: It is none.
        """
        dtype = np.dtype(self.dtype)
        size = prod(self.shape) * dtype.itemsize
        if size > MAX_ARRAY_BYTES:
            raise ValueError(f"an array has more than {MAX_ARRAY_BYTES} bytes")
        unpack = zlib.decompressobj()
        data = unpack.decompress(self.data, size) if size else b""
        if len(data) != size or unpack.unconsumed_tail or (size and not unpack.eof):
            raise ValueError("an array is not as large as it says")
        return np.frombuffer(data, dtype).reshape(self.shape)


class Chunk(NamedTuple):
    """What is in an object: the line of each tile, and the arrays, packed."""

    lines: Mapping[Key, Line]
    data: bytes

    def arrays(self, key: Key) -> dict[str, PackedArray]:
        """Returns the arrays of a tile by name.

        Raises:
            ValueError, TypeError, RecursionError: They are none.
        """
        found = {}
        for name, dtype, shape, at, size in self.lines[key].more.get("arrays", ()):
            rows = tuple(map(_whole, shape))
            at, size = _whole(at), _whole(size)
            if not (isinstance(name, str) and isinstance(dtype, str) and len(rows) == 3):
                raise ValueError("an array is none")
            if np.dtype(dtype).kind not in _KINDS or at + size > len(self.data):
                raise ValueError(f"the array {name!r:.40} is none, or not there")
            found[name] = PackedArray(dtype, rows, self.data[at : at + size])
        return found


def packed(results: Mapping[Key, TileResult]) -> tuple[str, bytes]:
    """Returns the name of an object, and what is in it.

    Args:
        results: By (region, tile).

    Raises:
        ValueError: It is larger than what is read.
    """
    keys = sorted(results)
    lines, arrays, at = [], [], 0
    for key in keys:
        result = results[key]
        more: list[str] = []
        told = []
        for name, array in result.arrays.items():
            plain = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
            data = _packed_array(plain)
            told.append([name, plain.dtype.str, plain.shape, at, len(data)])
            arrays.append(data)
            at += len(data)
        if told:
            more.append(f'"arrays": {json.dumps(told)}')
        if result.pixels is not None:
            more.append(f'"pixels": {result.pixels.decode()}')
        extra = f"{{{', '.join(more)}}}, ".encode() if more else b""
        lines.append(b"[%d, %d, %b%b]\n" % (*key, extra, result.features))
    text = b"".join(lines)
    data = b"".join((gzip.compress(text, PACKING, mtime=0), *arrays))
    if len(text) > MAX_UNPACKED_BYTES or len(data) > MAX_OBJECT_BYTES:
        raise ValueError(
            f"the results of {len(keys)} tiles have {len(text)} bytes of JSON, and {len(data)} "
            f"packed; at most {MAX_UNPACKED_BYTES} and {MAX_OBJECT_BYTES} are read"
        )
    return name_of(keys, [results[key].place for key in keys]), data


def _packed_array(array: NDArray[Any]) -> bytes:
    plain = array.data.cast("B") if array.size else b""
    middle = len(plain) // 2
    sample = plain[middle : middle + _SAMPLE]
    is_worth = len(zlib.compress(sample, PACKING)) <= _WORTH * len(sample)
    return zlib.compress(plain, PACKING if is_worth else 0)


def name_of(keys: Sequence[Key], places: Sequence[Place]) -> str:
    """Returns the name of the object with these tiles, in order, at these places in the grid."""
    rows, columns = zip(*places, strict=True)
    top, left = min(rows), min(columns)
    size = f"{max(rows) - top + 1}x{max(columns) - left + 1}"
    return f"{top:05}-{left:05}-{size}-{len(keys)}-{_told(keys)}.tiles"


def unpacked(name: str, data: bytes) -> Chunk:
    """Returns what is in an object.

    Raises:
        ValueError, zlib.error: It is none of ours.
    """
    if len(data) > MAX_OBJECT_BYTES:
        raise ValueError(f"it has more than {MAX_OBJECT_BYTES} bytes")
    lines, rest = _unpacked(data)
    found = [_line(line) for line in lines]
    named = _NAME.fullmatch(name) or _NAME_BEFORE.fullmatch(name)
    if named is None or named.groups()[-2:] != (str(len(found)), _told([key for key, _ in found])):
        raise ValueError("its tiles are not those of its name")
    if rest and not any(line.has_more for _, line in found):
        raise ValueError("its end is not where it should be")
    return Chunk(dict(found), rest)


def _told(keys: Sequence[Key]) -> str:
    return hashlib.sha256(json.dumps(keys).encode()).hexdigest()[:12]


def _unpacked(data: bytes) -> tuple[list[bytes], bytes]:
    """Returns the lines, which are never in memory twice, and what is behind them."""
    unpack = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)  # 16: gzip
    lines: list[bytes] = []
    size, at, begun = 0, 0, bytearray()
    while at < len(data) and not unpack.eof:
        *ended, rest = unpack.decompress(data[at : at + _PIECE]).split(b"\n")
        at += _PIECE
        size += sum(map(len, ended)) + len(ended) + len(rest)
        if size > MAX_UNPACKED_BYTES:
            raise ValueError(f"its lines are more than {MAX_UNPACKED_BYTES} bytes")
        for line in ended:
            lines.append(bytes(begun + line))
            begun.clear()
        begun += rest
    if not unpack.eof:
        raise ValueError("its end is not where it should be")
    if begun:
        lines.append(bytes(begun))
    return lines, unpack.unused_data + data[at:]


def _line(text: bytes) -> tuple[Key, Line]:
    text = text.rstrip()
    begun = _LINE.match(text)
    if begun is None or not text.endswith(b"]]"):
        raise ValueError("a line is no tile's")
    region, tile = map(int, begun.groups())
    return (region, tile), Line(text, begun.end())


def _whole(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r:.40} is no number of an array")
    return value


def _no_number(word: str) -> Any:
    raise ValueError(f"{word} is no JSON")


_NAME = re.compile(r"(\d{5,9})-(\d{5,9})-(\d{1,9})x(\d{1,9})-(\d{1,9})-([0-9a-f]{12})\.tiles")
_NAME_BEFORE = re.compile(r"\d{5,9}-\d{5,9}-(\d{1,9})-([0-9a-f]{12})\.jsonl\.gz")  # until 0.1
_ANYWHERE = 1_000_000_000  # rows, columns
_LINE = re.compile(rb"\[(\d{1,9}), (\d{1,9}), (?=[\[{])")
_DECODER = json.JSONDecoder(parse_constant=_no_number)
