"""The class of each failed tile, so that all failures are counted where only some texts are kept.

A class is one word of why a tile failed, mostly the name of an exception's type. Of a tile that
failed in several classes the one that sorts first counts, and of all classes the first MAX_CLASSES
are kept. Both are joins, tile by tile: in whatever order and however often the same is told, the
same is known. Only `encode` leaves out more, where there is no room, and what it leaves out depends
on nothing but what is known.
"""

from __future__ import annotations

import functools
import re
import zlib
from collections.abc import Iterator, Mapping
from itertools import compress

from .outcomes import ERROR, PAGE, SHIFT, pieces

ClassSpan = tuple[int, bytes, str]  # a span, and the class of the errors in it

# What no task can say of itself; who maps puts it before the text of the reason.
OUT_OF_MEMORY, WORKER_DIED = "out of memory", "worker died"
NODE_LOST, CANCELLED = "node lost", "cancelled"
REPORTED = "reported"  # of a text that names none

MAX_CLASSES = 31  # an index fits into 5 bits beside a length
MAX_CLASS_BYTES = 64
_MAX_PLAIN_BYTES = 12 * 1024
_CRC_BYTES = 4
MAX_CLASSES_BYTES = _CRC_BYTES + _MAX_PLAIN_BYTES + 64  # where zlib makes nothing smaller
_LONGEST = 8  # of a run in one byte; a longer one has more after it
_FLAG = 128  # beside an index, for what is looked at

_CLASS = re.compile(
    rf"({OUT_OF_MEMORY}|{WORKER_DIED}|{NODE_LOST}|[^\W\d]\w*(?:\.\w+)*)(?::\s|:?\Z)"
)
_FLAG_ERRORS = bytes(_FLAG * (byte == ERROR[0]) for byte in range(256))
_FLAG_ALL = bytes(_FLAG * (byte != 0) for byte in range(256))
_UNFLAGGED = bytes(range(_FLAG))
_UNFLAG = _UNFLAGGED * 2
_CLEARED = _UNFLAGGED + bytes(_FLAG)  # what is flagged becomes 0


def class_of(reason: str) -> str:
    """Returns the class of a reason: the word before its first colon, or that is all of it.

    So it is the type of an exception, as `reason_of` writes it, or what somebody reported in the
    same form: `clouds: 80 %`. Of any other text it is `reported`.
    """
    found = _CLASS.match(reason)
    return _clipped(found[1]) if found else REPORTED


def classes_of(reasons: Mapping[int, str]) -> tuple[ClassSpan, ...]:
    """Returns the classes of failed tiles, given why they failed, by number."""
    classes = Classes()
    for tile, reason in reasons.items():
        classes.join(tile, ERROR, class_of(reason))
    return tuple(classes.spans())


def _clipped(name: str) -> str:
    raw = name[:MAX_CLASS_BYTES].encode("utf-8", "replace")
    return raw[:MAX_CLASS_BYTES].decode("utf-8", "ignore")


class Classes:
    """The classes of some failed tiles of an image, of whatever size: a byte a tile.

    Not thread-safe: its owner holds a lock. There is a page only where something is known, as in
    `Outcomes`.
    """

    __slots__ = ("_names", "_pages", "_tables")

    def __init__(self) -> None:
        self._pages: dict[int, bytearray] = {}  # of each tile the index of its class; 0: unknown
        self._names: list[str] = [""]  # by index, in the order in which they came
        self._tables: dict[int, bytes] = {}

    def __bool__(self) -> bool:
        return bool(self._pages)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Classes) and list(self.spans()) == list(other.spans())

    __hash__ = None  # type: ignore[assignment]

    def __getitem__(self, number: int) -> str | None:
        page = self._pages.get(number >> SHIFT)
        return self._names[page[number & PAGE - 1]] or None if page else None

    def join(self, first: int, outcomes: bytes, name: str) -> bool:
        """Takes the class of the errors in a span; returns whether that was news."""
        index = self._index(_clipped(name))
        if not index:
            return False
        table, is_news = self._table(index), False
        for number, here, there in pieces(first, len(outcomes)):
            flags = outcomes[there].translate(_FLAG_ERRORS)
            if _FLAG not in flags:
                continue
            page = self._pages.get(number) or bytearray(PAGE)
            joined = _beside(page[here], flags).translate(table)
            if joined != page[here]:
                page[here] = joined
                self._pages[number] = page
                is_news = True
        return is_news

    def _index(self, name: str) -> int:
        """Returns the index of a class, a new one if need be; 0: others come before it."""
        if name in self._names:
            return self._names.index(name)
        last = max(self._names)
        if len(self._names) > MAX_CLASSES and name > last:
            return 0
        self._tables.clear()
        if len(self._names) <= MAX_CLASSES:
            self._names.append(name)
            return len(self._names) - 1
        # No tile of the last one has another class that is kept: that would come before it.
        index = self._names.index(last)
        self._names[index] = name
        for number, page in list(self._pages.items()):
            self._set(number, page.replace(bytes([index]), b"\0"))
        return index

    def _table(self, index: int) -> bytes:
        """Returns what becomes of the index of each tile that is said to have this class."""
        if index not in self._tables:
            name = self._names[index]
            flagged = (
                index if not known or name < self._names[known] else known
                for known in range(len(self._names))
            )
            self._tables[index] = (_UNFLAGGED + bytes(flagged)).ljust(256, b"\0")
        return self._tables[index]

    def _set(self, number: int, page: bytearray) -> None:
        if page.strip(b"\0"):
            self._pages[number] = page
        else:
            self._pages.pop(number, None)

    def release(self, first: int, outcomes: bytes) -> None:
        """Lets go of the tiles of which a span says something."""
        for number, here, there in pieces(first, len(outcomes)):
            if page := self._pages.get(number):
                flags = outcomes[there].translate(_FLAG_ALL)
                page[here] = _beside(page[here], flags).translate(_CLEARED)
                self._set(number, page)

    def spans(self) -> Iterator[ClassSpan]:
        """Yields all that is known, in order: a span for each page and class."""
        for number in sorted(self._pages):
            page = self._pages[number]
            for index in sorted(set(page) - {0}, key=self._names.__getitem__):
                upto = page.translate(_only(index)).rstrip(b"\0")
                errors = bytes(upto.lstrip(b"\0"))
                yield number * PAGE + len(upto) - len(errors), errors, self._names[index]

    def copy(self) -> Classes:
        """Returns a copy."""
        copy = Classes()
        copy._pages = {number: bytearray(page) for number, page in self._pages.items()}
        copy._names = list(self._names)
        return copy

    def of_failed(self, tiles: bytes) -> list[str | None]:
        """Returns the class of each tile that is an error, in their order; None: it is not known.

        Args:
            tiles: One byte a tile, its outcome.
        """
        names = [None, *self._names[1:]]
        return [names[index] for index in self._failed(tiles)]

    def _failed(self, tiles: bytes) -> bytes:
        """Returns the same by index."""
        found = []
        for start in range(0, len(tiles), PAGE):
            flags = tiles[start : start + PAGE].translate(_FLAG_ERRORS)
            if _FLAG in flags:
                page = self._pages.get(start >> SHIFT, b"")[: len(flags)]
                found.append(_beside(page, flags).translate(_UNFLAG, _UNFLAGGED))
        return b"".join(found)

    def encode(self, tiles: bytes) -> bytes:
        """Returns the classes of the tiles that are errors as bytes; equal ones give equal bytes.

        CRC-32, and through zlib: the classes by name, and, failed tile by failed tile in their
        order, how many neighbours have which. Of which tiles that is, the ledger says, so that
        where they lie costs nothing. What is beyond 12 KB is left out, the highest numbers first;
        that holds 3,000 changes of class at least, and 12,000 where few are in a row.

        Args:
            tiles: One byte a tile, its outcome, in the order of the tile numbers.

        Returns:
            MAX_CLASSES_BYTES at most; none where no class is known.
        """
        failed = self._failed(tiles) if self else b""
        used = sorted(set(failed) - {0}, key=self._names.__getitem__)
        if not used:
            return b""
        plain = bytearray([len(used)])
        for index in used:
            name = self._names[index].encode()
            plain += bytes([len(name)]) + name
        ranks = bytearray(256)
        for rank, index in enumerate(used, 1):
            ranks[index] = rank
        for run in _runs(len(used)).finditer(failed.translate(ranks).rstrip(b"\0")):
            coded = _coded(run[0][0], run.end() - run.start())
            if len(plain) + len(coded) > _MAX_PLAIN_BYTES:
                break
            plain += coded
        body = zlib.compress(plain, 1)
        return _crc(body, tiles) + body

    @classmethod
    def decode(cls, data: bytes, tiles: bytes) -> Classes:
        """Returns what `encode` wrote; none where that is damaged, or of other outcomes.

        Whoever does not know of classes may have written the ledger since. No work depends on them.

        Args:
            data: What `encode` returned.
            tiles: As for `encode`.
        """
        classes, body = cls(), data[_CRC_BYTES:]
        if not body or data[:_CRC_BYTES] != _crc(body, tiles):
            return classes
        try:
            plain = zlib.decompressobj().decompress(body, _MAX_PLAIN_BYTES)
            names, failed = _parsed(plain, tiles.count(ERROR))
        except (zlib.error, IndexError, ValueError):
            return classes
        marks = bytearray(len(tiles))
        for tile, index in zip(
            compress(range(len(tiles)), tiles.translate(_FLAG_ERRORS)), failed, strict=False
        ):
            marks[tile] = index
        classes._names += names
        for start in range(0, len(marks), PAGE):
            classes._set(start >> SHIFT, marks[start : start + PAGE].ljust(PAGE, b"\0"))
        return classes


def _beside(indices: bytes | bytearray, flags: bytes | bytearray) -> bytes:
    """Returns the indices of some tiles, flagged."""
    both = int.from_bytes(indices, "little") | int.from_bytes(flags, "little")
    return both.to_bytes(len(flags), "little")


@functools.lru_cache(maxsize=MAX_CLASSES)
def _only(index: int) -> bytes:
    return bytes(ERROR[0] * (byte == index) for byte in range(256))


@functools.lru_cache(maxsize=MAX_CLASSES)
def _runs(most: int) -> re.Pattern[bytes]:
    """Returns what matches a run of one index: several times as quick as a reference back."""
    return re.compile(b"|".join(rb"\x%02x+" % index for index in range(most + 1)))


def _coded(index: int, length: int) -> bytes:
    """Returns a run: its class and length in a byte, and what is left of a long one in more."""
    if length < _LONGEST:
        return bytes([index << 3 | length - 1])
    coded, rest = bytearray([index << 3 | _LONGEST - 1]), length - _LONGEST
    while rest >= _FLAG:
        coded.append(rest % _FLAG | _FLAG)
        rest //= _FLAG
    return bytes([*coded, rest])


def _parsed(plain: bytes, most: int) -> tuple[list[str], bytes]:
    """Returns the names of classes, and the index of that of each failed tile.

    Raises:
        ValueError: It is not what `encode` wrote, of so many failed tiles at most.
        IndexError: It ends too early.
    """
    names, at = list[str](), 1
    for _ in range(plain[0]):
        end = at + 1 + plain[at]
        names.append(plain[at + 1 : end].decode())
        at = end
    failed = bytearray()
    while at < len(plain):
        index, length = plain[at] >> 3, (plain[at] & _LONGEST - 1) + 1
        at, shift, goes_on = at + 1, 0, length == _LONGEST
        while goes_on:
            length += (plain[at] & _FLAG - 1) << shift
            goes_on = plain[at] >= _FLAG
            at, shift = at + 1, shift + 7
        if index > len(names) or len(failed) + length > most:
            raise ValueError("a run of no class, or of more tiles than failed")
        failed += bytes([index]) * length
    if len({*names, ""}) != len(names) + 1 or len(names) > MAX_CLASSES:
        raise ValueError("too many names, or one twice")
    if any(len(name.encode()) > MAX_CLASS_BYTES for name in names):
        raise ValueError("too long a name")
    return names, bytes(failed)


def _crc(body: bytes, tiles: bytes) -> bytes:
    return zlib.crc32(body, zlib.crc32(tiles)).to_bytes(_CRC_BYTES, "little")
