"""The object that holds what was found in a chunk of tiles: how it is named, packed and read.

It is data from outside: bounded in size, and looked at before it is used. What a tile's line says
is looked at only when it is its turn, Feature by Feature, so that nothing is in memory twice.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

MAX_OBJECT_BYTES = 64_000_000  # of a chunk's object, at most,
MAX_UNPACKED_BYTES = 256_000_000  # and of what is in it; a larger one is not written, nor read
KEPT_BYTES = 64_000_000  # of objects that are read, and not all used yet
_PIECE = 1_024  # of an object: unpacked, at most a thousand times as large
PACKING = 1  # smaller objects take longer to pack than they save

Key = tuple[int, int]
DAMAGE = ValueError, RecursionError, zlib.error  # what is raised for an object that is none of ours


class ChunkObject(NamedTuple):
    """A chunk's object, as its name tells it."""

    first: Key
    tiles: int
    name: str

    @classmethod
    def of(cls, name: str) -> ChunkObject | None:
        """Returns the object of that name; None: it is something else's."""
        found = _NAME.fullmatch(name)
        if found is None:
            return None
        region, tile, count = map(int, found.groups())
        return cls((region, tile), count, name)


class Line(NamedTuple):
    """What was found in one tile: a line of an object, and where in it the Features begin."""

    text: bytes
    start: int

    def features(self) -> Iterator[str]:
        """Yields the JSON of each Feature.

        Raises:
            ValueError, RecursionError: They are none.
        """
        text, at = self.text[self.start : -1].decode("ascii"), 1
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


class Lines:
    """The lines of objects that are in use: of one object, and so many bytes of others.

    Args:
        read: Returns the lines of the object of a name.
    """

    def __init__(self, read: Callable[[str], dict[Key, Line]]) -> None:
        self._read = read
        self._kept: dict[str, dict[Key, Line]] = {}  # the one that was used last is last
        self._bytes = 0

    def of(self, name: str) -> dict[Key, Line]:
        """Returns those of an object that were not taken yet; it may have to be read again."""
        lines = self._kept.pop(name, None)
        if lines is None:
            while self._bytes > KEPT_BYTES:
                self._bytes -= _size(self._kept.pop(next(iter(self._kept))))
            lines = self._read(name)
            self._bytes += _size(lines)
        self._kept[name] = lines
        return lines

    def take(self, name: str, key: Key) -> Line:
        """Returns one, which is not kept any longer."""
        line = self.of(name).pop(key)
        self._bytes -= len(line.text)
        return line


def _size(lines: Mapping[Key, Line]) -> int:
    return sum(len(line.text) for line in lines.values())


def packed(results: Mapping[Key, bytes]) -> tuple[str, bytes]:
    """Returns the name of an object, and what is in it.

    Args:
        results: By (region, tile): what `features.encode_features` made of it.

    Raises:
        ValueError: It is larger than what is read.
    """
    keys = sorted(results)
    data = b"".join(b"[%d, %d, %b]\n" % (*key, results[key]) for key in keys)
    small = gzip.compress(data, PACKING, mtime=0)
    if len(data) > MAX_UNPACKED_BYTES or len(small) > MAX_OBJECT_BYTES:
        raise ValueError(
            f"the features of {len(keys)} tiles have {len(data)} bytes of JSON, {len(small)} "
            f"packed; at most {MAX_UNPACKED_BYTES} and {MAX_OBJECT_BYTES} are read"
        )
    return name_of(keys), small


def name_of(keys: Sequence[Key]) -> str:
    """Returns the name of the object with these tiles, in order."""
    region, tile = keys[0] if keys else (0, 0)
    told = hashlib.sha256(json.dumps(keys).encode()).hexdigest()[:12]
    return f"{region:05}-{tile:05}-{len(keys)}-{told}.jsonl.gz"


def unpacked(name: str, data: bytes) -> dict[Key, Line]:
    """Returns the lines of an object, by (region, tile).

    Raises:
        ValueError, zlib.error: It is none of ours.
    """
    if len(data) > MAX_OBJECT_BYTES:
        raise ValueError(f"it has more than {MAX_OBJECT_BYTES} bytes")
    found = [_line(line) for line in _lines(data)]
    if name_of([key for key, _ in found]) != name:
        raise ValueError("its tiles are not those of its name")
    return dict(found)


def _lines(data: bytes) -> Iterator[bytes]:
    """Yields the lines of what is packed, so that it is never in memory twice."""
    unpack = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)  # 16: gzip
    size, begun = 0, bytearray()
    for at in range(0, len(data), _PIECE):
        if unpack.eof:
            raise ValueError("its end is not where it should be")
        *ended, rest = unpack.decompress(data[at : at + _PIECE]).split(b"\n")
        size += sum(map(len, ended)) + len(ended) + len(rest)
        if size > MAX_UNPACKED_BYTES:
            raise ValueError(f"it unpacks to more than {MAX_UNPACKED_BYTES} bytes")
        for line in ended:
            yield bytes(begun + line)
            begun.clear()
        begun += rest
    if not unpack.eof or unpack.unused_data:
        raise ValueError("its end is not where it should be")
    if begun:
        yield bytes(begun)


def _line(text: bytes) -> tuple[Key, Line]:
    text = text.rstrip()
    begun = _LINE.match(text)
    if begun is None or not text.endswith(b"]]"):
        raise ValueError("a line is no tile's")
    region, tile = map(int, begun.groups())
    return (region, tile), Line(text, begun.end())


def _no_number(word: str) -> Any:
    raise ValueError(f"{word} is no JSON")


_NAME = re.compile(r"(\d{5,9})-(\d{5,9})-(\d{1,9})-[0-9a-f]{12}\.jsonl\.gz")
_LINE = re.compile(rb"\[(\d{1,9}), (\d{1,9}), (?=\[)")
_DECODER = json.JSONDecoder(parse_constant=_no_number)
