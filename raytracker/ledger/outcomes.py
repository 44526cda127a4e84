"""Outcomes on their way to a ledger, and what is done with many of them at once.

A span is (first, outcomes): the number of the first of some neighbouring tiles, and one byte for
each of them, its outcome; 0, which is PENDING, says nothing of a tile. Reports are mostly of
neighbours, and spans let Python work on hundreds of tiles at a time without a loop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import IntEnum

Span = tuple[int, bytes]

PAGE = 512
SHIFT = PAGE.bit_length() - 1
_EMPTY = bytes(PAGE)


class Outcome(IntEnum):
    """What is known of a tile, or a region; the greater wins: PENDING < RETURNED < ERROR < SUCCESS.

    What was said outranks what is concluded: RETURNED is a tile whose task returned and said
    nothing of it. It is a success in all counts, and a region of such tiles is SUCCESS. The numbers
    are those in the item; which outcome is greater tells `RANK`, not they.
    """

    PENDING = 0
    ERROR = 1
    SUCCESS = 2
    RETURNED = 3


ERROR, SUCCESS, RETURNED = (
    bytes([outcome]) for outcome in (Outcome.ERROR, Outcome.SUCCESS, Outcome.RETURNED)
)
RANK = bytes([0, 2, 3, 1])  # of each outcome, by its number


def _table(of: Callable[[int, int], int]) -> bytes:
    """Returns a function of two outcomes as a table, for `_bytewise`."""
    table = bytearray(256)
    for a in range(4):
        for b in range(4):
            table[a | b << 2] = of(a, b)
    return bytes(table)


_JOIN = _table(lambda known, new: new if RANK[new] > RANK[known] else known)
_NEWS = _table(lambda known, new: new if RANK[new] > RANK[known] else 0)
_RELEASE = _table(lambda held, settled: held if RANK[held] > RANK[settled] else 0)
_UNLESS = _table(lambda outcome, said: 0 if said else outcome)
_AGREED = _table(lambda outcome, known: outcome if outcome == known else 0)


def _bytewise(table: bytes, a: bytes | bytearray, b: bytes | bytearray) -> bytes:
    """Applies a table to each pair of bytes: both fit in one, so an integer holds all pairs."""
    pairs = int.from_bytes(a, "little") | int.from_bytes(b, "little") << 2
    return pairs.to_bytes(len(a), "little").translate(table)


def join(known: bytes | bytearray, new: bytes | bytearray) -> bytes:
    """Returns the greater of two outcomes, for each of equally many tiles."""
    return _bytewise(_JOIN, known, new)


class Outcomes:
    """Outcomes of some tiles of an image, of whatever size: memory goes with what is known.

    Not thread-safe: its owner holds a lock. There is a page only where something is known.
    """

    __slots__ = ("_pages",)

    def __init__(self, spans: Iterable[Span] = ()) -> None:
        self._pages: dict[int, bytearray] = {}
        for first, outcomes in spans:
            self.join(first, outcomes)

    def __bool__(self) -> bool:
        return bool(self._pages)

    def __len__(self) -> int:
        """The tiles of which something is known."""
        return sum(PAGE - page.count(0) for page in self._pages.values())

    def __getitem__(self, number: int) -> int:
        page = self._pages.get(number >> SHIFT)
        return page[number & PAGE - 1] if page else 0

    def join(self, first: int, outcomes: bytes) -> list[Span]:
        """Takes a span, the greater outcome of each tile; returns what of it was news."""
        if len(outcomes) == 1:  # a report of one tile, from a task: the way that must be short
            page = self._pages.get(first >> SHIFT) or bytearray(PAGE)
            at = first & PAGE - 1
            if RANK[outcomes[0]] <= RANK[page[at]]:
                return []
            page[at] = outcomes[0]
            self._pages[first >> SHIFT] = page
            return [(first, outcomes)]
        news = []
        for number, here, there in pieces(first, len(outcomes)):
            page = self._pages.get(number) or bytearray(PAGE)
            new = _bytewise(_NEWS, page[here], outcomes[there])
            if new.strip(b"\0"):
                page[here] = join(page[here], new)
                self._pages[number] = page
                news.append((first + there.start, new))
        return news

    def release(self, first: int, outcomes: bytes) -> None:
        """Lets go of what a span says, and of what is less."""
        for number, here, there in pieces(first, len(outcomes)):
            if page := self._pages.get(number):
                page[here] = _bytewise(_RELEASE, page[here], outcomes[there])
                if page == _EMPTY:
                    del self._pages[number]

    def untold(self, first: int, outcomes: bytes) -> bytes:
        """Returns the outcomes of a span, without those of tiles of which something is known."""
        left = bytearray(outcomes)
        for number, here, there in pieces(first, len(outcomes)):
            if page := self._pages.get(number):
                left[there] = _bytewise(_UNLESS, outcomes[there], page[here])
        return bytes(left)

    def agreed(self, first: int, outcomes: bytes) -> bytes:
        """Returns the outcomes of a span, without those of tiles of which another is known."""
        left = bytearray(len(outcomes))
        for number, here, there in pieces(first, len(outcomes)):
            if page := self._pages.get(number):
                left[there] = _bytewise(_AGREED, outcomes[there], page[here])
        return bytes(left)

    def spans(self) -> Iterator[Span]:
        """Yields all that is known, in order."""
        for number in sorted(self._pages):
            upto = bytes(self._pages[number]).rstrip(b"\0")
            if outcomes := upto.lstrip(b"\0"):
                yield number * PAGE + len(upto) - len(outcomes), outcomes

    def copy(self) -> Outcomes:
        """Returns a copy."""
        copy = Outcomes()
        copy._pages = {number: bytearray(page) for number, page in self._pages.items()}
        return copy


def spans_of(outcomes: Mapping[int, int]) -> Iterator[Span]:
    """Yields outcomes, given by tile number, as spans."""
    for number, outcome in outcomes.items():
        yield number, bytes([outcome])


def pieces(first: int, length: int) -> Iterator[tuple[int, slice, slice]]:
    """Cuts a span at the borders of pages: page, where it lies in that, and in the span."""
    done = 0
    while done < length:
        number, start = divmod(first + done, PAGE)
        size = min(PAGE - start, length - done)
        yield number, slice(start, start + size), slice(done, done + size)
        done += size
