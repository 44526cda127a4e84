"""The outcomes of all tiles of one image, as a join-semilattice.

Merging takes the greater of two outcomes, the lowest-numbered reasons, and the classes of failed
tiles as `Classes` joins them. It is associative,
commutative and idempotent, so reports may be repeated, reordered and sent again after a crash:
whoever has merged the same set of reports, in any order and any number of times, has the same
ledger. Everything that raytracker promises rests on this file; it imports neither Ray nor boto3.
"""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice

from ..errors import LedgerError
from .classes import Classes, ClassSpan
from .layout import Layout
from .outcomes import Outcome, Span, join
from .reasons import clip_reason, lowest_reasons

_MAGIC = b"RTL"
_VERSION = 2  # 1 had no RETURNED
_PLAIN, _ZLIB = 0, 1
_HEADER_BYTES = len(_MAGIC) + 2 + 4  # magic, version, coding, CRC-32 of coding and the rest
# An item of DynamoDB holds no more, and a start whose ledger could outgrow it is refused; what
# decompresses to more is no ledger.
_MAX_PLAIN_BYTES = 400 * 1024
# Plain integers: members of an enum take long to look up.
_PENDING, _ERROR, _SUCCESS, _RETURNED = map(int, Outcome)
_PIECE = 1 << 16  # tiles packed at a time; malloc gives what is larger back to the system less well
_UNPACK = [bytes((byte >> shift) & 3 for byte in range(256)) for shift in (0, 2, 4, 6)]


class Ledger:
    """The outcomes of all tiles of one image, and why the first of those that failed did.

    Not thread-safe: its owner holds a lock. Counts of regions are kept up to date, so reading
    them costs nothing.

    Args:
        layout: The tiles of each region.
    """

    __slots__ = (
        "_classes",
        "_failed_in",
        "_pending_in",
        "_reasons",
        "_tiles",
        "layout",
        "region_error",
        "region_success",
        "tile_error",
        "tile_success",
    )

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._tiles = bytearray(layout.tile_count)
        self._reasons: dict[int, str] = {}
        self._classes = Classes()
        self._recount()

    def _recount(self) -> None:
        """Sets all counts from the outcomes of the tiles."""
        tiles = self._tiles
        self.tile_error = tiles.count(_ERROR)
        self.tile_success = len(tiles) - tiles.count(_PENDING) - self.tile_error
        # Tiles of each region that are pending, and that failed, in as few bytes as hold them;
        # none where each region is its only tile, which tells all.
        largest = max(size for _, size in self.layout.runs)
        code = "B" if largest < 1 << 8 else "H" if largest < 1 << 16 else "I"
        self._pending_in, self._failed_in = array(code), array(code)
        if largest == 1:
            self.region_success, self.region_error = self.tile_success, self.tile_error
            return
        for numbers in self.layout.regions():
            at = numbers.start, numbers.stop
            self._pending_in.append(tiles.count(_PENDING, *at))
            self._failed_in.append(tiles.count(_ERROR, *at))
        known = [self._outcome(region) for region in range(self.layout.region_count)]
        self.region_success = known.count(_SUCCESS)
        self.region_error = known.count(_ERROR)

    @property
    def tile_settled(self) -> int:
        """Tiles that are not pending."""
        return self.tile_success + self.tile_error

    @property
    def settled(self) -> bool:
        """Whether no tile is pending."""
        return self.tile_settled == self.layout.tile_count

    def merge(
        self,
        spans: Sequence[Span],
        reasons: Mapping[int, str],
        classes: Sequence[ClassSpan] = (),
    ) -> bool:
        """Merges reported outcomes, each the greater of what is known and what is new.

        Args:
            spans: Outcomes of neighbouring tiles, in any order; a tile may come repeatedly.
            reasons: Why tiles failed, by tile number.
            classes: The classes of failed tiles.

        Returns:
            Whether the ledger changed.

        Raises:
            UnknownRegion: The image has no such tile; nothing is merged.
        """
        for first, new in spans:
            self.layout.check(first, len(new))
        for first, new, _ in classes:
            self.layout.check(first, len(new))
        changed = False
        tiles = self._tiles
        try:
            for first, new in spans:
                stop = first + len(new)
                known = tiles[first:stop]
                joined = join(known, new)
                if joined != known:
                    tiles[first:stop] = joined
                    self._count(first, known, joined)
                    changed = True
        except BaseException:
            self._recount()  # a signal may come between tiles and their counts
            raise
        for span in classes:
            changed |= self._classes.join(*span)
        return self._merge_reasons(reasons) or changed

    def is_news(self, spans: Iterable[Span]) -> bool:
        """Returns whether merging these outcomes would change that of a tile.

        Raises:
            UnknownRegion: The image has no such tile.
        """
        for first, new in spans:
            self.layout.check(first, len(new))
            known = self._tiles[first : first + len(new)]
            if join(known, new) != known:
                return True
        return False

    def told(self, first: int, count: int) -> bool:
        """Returns whether somebody told an error or a success of each of these tiles."""
        known = self._tiles[first : first + count]
        return _PENDING not in known and _RETURNED not in known

    def _count(self, first: int, known: bytearray, joined: bytes) -> None:
        """Moves the counts for a span of tiles that rose from `known` to `joined`."""
        settled = known.count(_PENDING) - joined.count(_PENDING)
        failed = joined.count(_ERROR) - known.count(_ERROR)  # less than 0 where errors were mended
        self.tile_success += settled - failed
        self.tile_error += failed
        if not self._pending_in:
            self.region_success, self.region_error = self.tile_success, self.tile_error
            return
        pending_in, failed_in = self._pending_in, self._failed_in
        for region, start, stop in self.layout.parts(first, first + len(known)):
            a, b = start - first, stop - first
            before = self._outcome(region)
            pending_in[region] -= known.count(_PENDING, a, b) - joined.count(_PENDING, a, b)
            failed_in[region] += joined.count(_ERROR, a, b) - known.count(_ERROR, a, b)
            after = self._outcome(region)
            self.region_success += (after == _SUCCESS) - (before == _SUCCESS)
            self.region_error += (after == _ERROR) - (before == _ERROR)

    def _outcome(self, region: int) -> int:
        """Returns the outcome of a region, from the counts of its tiles."""
        if self._pending_in[region]:
            return _PENDING
        return _ERROR if self._failed_in[region] else _SUCCESS

    def _merge_reasons(self, reasons: Mapping[int, str]) -> bool:
        # The lowest MAX_REASONS tile numbers ever reported with a reason, and of two reasons the
        # lesser string. Reasons of tiles that succeeded later stay among them (they are not shown):
        # dropping them would make the result depend on the order in which reports arrive.
        if not reasons:
            return False
        joined = dict(self._reasons)
        for number, text in reasons.items():
            reason = clip_reason(text)
            joined[number] = min(reason, joined.get(number, reason))
        kept = lowest_reasons(joined)
        changed = kept != self._reasons
        self._reasons = kept
        return changed

    def outcome(self, region: int) -> Outcome:
        """Returns a region's outcome: pending while a tile is, an error if one is, else a success.

        Raises:
            UnknownRegion: The image has no such region.
        """
        tiles = self.layout.tiles(region)
        if self._pending_in:
            return Outcome(self._outcome(region))
        known = self._tiles[tiles.start]
        return Outcome.SUCCESS if known == _RETURNED else Outcome(known)

    def tile_outcomes(self) -> bytes:
        """Returns one byte a tile, its outcome, in the order of the tile numbers."""
        return bytes(self._tiles)

    def reasons(self) -> dict[int, str]:
        """Returns what `merge` was told of the lowest-numbered failed tiles, by tile number."""
        return dict(self._reasons)

    def classes(self) -> Classes:
        """Returns a copy of what `merge` was told of the classes of tiles."""
        return self._classes.copy()

    def class_of(self, number: int) -> str | None:
        """Returns the class of a tile; None: it is no error, or it isn't known."""
        return self._classes[number] if self._tiles[number] == _ERROR else None

    def classes_of_failed(self) -> list[str | None]:
        """Returns the class of each tile that is an error, in their order; None: it isn't known."""
        return self._classes.of_failed(self.tile_outcomes())

    def failed(self) -> dict[int, str]:
        """Returns the regions that are errors, with the first reason known of them, or class."""
        found, classes = {}, iter(self.classes_of_failed())
        for region, tiles in enumerate(self.layout.regions()):
            # Also of regions that are not settled: it is one for each failed tile.
            names = list(islice(classes, self._tiles.count(_ERROR, tiles.start, tiles.stop)))
            if self.outcome(region) == _ERROR:
                known = [number for number in tiles if number in self._reasons]
                known.sort(key=lambda number: self._tiles[number] != _ERROR)
                name = next(filter(None, names), "no reason kept")
                found[region] = self._reasons[known[0]] if known else name
        return found

    def pending(self) -> list[int]:
        """Returns the regions that are not settled, in order."""
        if not self._pending_in:
            return [n for n, outcome in enumerate(self._tiles) if outcome == _PENDING]
        return [region for region, tiles in enumerate(self._pending_in) if tiles]

    def pending_tiles(self) -> list[tuple[int, int]]:
        """Returns the (region, tile) that are pending, in order."""
        return [
            (region, tile)
            for region in self.pending()
            for tile, number in enumerate(self.layout.tiles(region))
            if self._tiles[number] == _PENDING
        ]

    def without_errors(self) -> Ledger:
        """Returns a ledger with every failed tile pending again: what a redrive starts from."""
        kept = self._tiles.replace(bytes([_ERROR]), bytes([_PENDING]))
        return self._from(self.layout, kept, {})

    @classmethod
    def _from(
        cls,
        layout: Layout,
        tiles: bytearray,
        reasons: Mapping[int, str],
        classes: Classes | None = None,
    ) -> Ledger:
        ledger = cls.__new__(cls)
        ledger.layout, ledger._tiles, ledger._reasons = layout, tiles, {}
        ledger._classes = classes or Classes()
        ledger._merge_reasons(reasons)
        ledger._recount()
        return ledger

    def encode(self) -> bytes:
        """Returns layout and outcomes as bytes, see `encode_outcomes`."""
        return encode_outcomes(self.layout, self._tiles)

    @classmethod
    def decode(
        cls, data: bytes, reasons: Mapping[int, str] | None = None, classes: bytes = b""
    ) -> Ledger:
        """Returns the ledger that `encode` wrote.

        Args:
            data: What `encode` returned.
            reasons: Why tiles failed, by tile number.
            classes: What `Classes.encode` returned; none are known where it is damaged.

        Raises:
            LedgerError: The bytes are truncated, damaged, or of a later version.
        """
        if data[: len(_MAGIC)] != _MAGIC or len(data) < _HEADER_BYTES:
            raise LedgerError(f"{len(data)} bytes that are not a ledger: {data[:12]!r}")
        version, coding = data[3], data[4]
        if not 1 <= version <= _VERSION:
            raise LedgerError(
                f"the ledger has version {version}; this raytracker reads 1 to {_VERSION}: use "
                " the raytracker that wrote it, or a newer one"
            )
        body = data[_HEADER_BYTES:]
        if _crc(coding, body) != data[5:_HEADER_BYTES]:
            raise LedgerError(f"the ledger is truncated or damaged ({len(data)} bytes)")
        plain = _decompressed(body) if coding == _ZLIB else body
        layout, at = Layout.decode_from(plain, 0)
        packed = plain[at:]
        if len(packed) != _packed_bytes(layout):
            raise LedgerError(f"the ledger holds {len(packed)} bytes of outcomes for {layout}")
        tiles = bytearray(len(packed) * 4)
        for quarter in range(4):
            tiles[quarter::4] = packed.translate(_UNPACK[quarter])
        del tiles[layout.tile_count :]
        if version == 1 and _RETURNED in tiles:
            number = tiles.index(_RETURNED)
            raise LedgerError(f"tile {number} of the ledger has an outcome that version 1 has not")
        for number in reasons or ():
            if not 0 <= number < layout.tile_count:
                raise LedgerError(
                    f"tracker_errors has a reason of tile {number}, of {layout.tile_count} tiles"
                )
        known = Classes.decode(classes, bytes(tiles)) if classes else None
        return cls._from(layout, tiles, reasons or {}, known)

    @staticmethod
    def max_encoded_bytes(layout: Layout) -> int:
        """Returns the size, in bytes, that a ledger of this layout never exceeds."""
        return _HEADER_BYTES + len(layout.encode()) + _packed_bytes(layout)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Ledger)
            and self.layout == other.layout
            and self._tiles == other._tiles
            and self._reasons == other._reasons
            and self.classes_of_failed() == other.classes_of_failed()
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return (
            f"<Ledger: {self.layout.tile_count} tiles, {self.tile_success} success, "
            f"{self.tile_error} error>"
        )


def encode_outcomes(layout: Layout, tiles: bytes | bytearray) -> bytes:
    """Returns a layout and the outcomes of its tiles as bytes; equal ones give equal bytes.

    A header (magic, version, coding, CRC-32), then the layout and 2 bits a tile, the lowest bits
    first, through zlib where that is smaller. Reasons and classes are not in it.

    Args:
        layout: The tiles of each region.
        tiles: One byte a tile, its outcome, in the order of the tile numbers.
    """
    pieces = (_pack(tiles[at : at + _PIECE]) for at in range(0, len(tiles), _PIECE))
    plain = b"".join((layout.encode(), *pieces))
    squeezed = zlib.compress(plain, 1)
    coding, body = (_ZLIB, squeezed) if len(squeezed) < len(plain) else (_PLAIN, plain)
    return _MAGIC + bytes([_VERSION, coding]) + _crc(coding, body) + body


def _pack(tiles: bytes | bytearray) -> bytes:
    """Returns outcomes, one byte a tile, in 2 bits each."""
    a, b, c, d = (int.from_bytes(tiles[i::4], "little") << 2 * i for i in range(4))
    return (a | b | c | d).to_bytes(-(-len(tiles) // 4), "little")


def _decompressed(body: bytes) -> bytes:
    """Returns what zlib made smaller, if a ledger can be that large."""
    inflate = zlib.decompressobj()
    try:
        plain = inflate.decompress(body, _MAX_PLAIN_BYTES)
    except zlib.error as err:
        raise LedgerError(f"the ledger is damaged: {err}") from err
    if not inflate.eof or inflate.unused_data:
        raise LedgerError(
            f"the ledger is damaged: {len(body)} bytes that are not {_MAX_PLAIN_BYTES} or less "
            "through zlib"
        )
    return plain


def _crc(coding: int, body: bytes) -> bytes:
    return zlib.crc32(body, coding).to_bytes(4, "little")


def _packed_bytes(layout: Layout) -> int:
    return -(-layout.tile_count // 4)
