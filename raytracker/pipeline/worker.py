"""What a task does with a chunk of tiles: it reads ahead, calls the function, keeps the results."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import InvalidFunction
from ..imagery import Grid, Tile, plain_environment
from ..ledger import reason_of
from ..mapping import ProcessSpoiled, TimeLimit, Worked
from .ahead import Entry, read_ahead
from .arrays import split
from .assembly.asked import USUAL, Assembly
from .assembly.features import located
from .assembly.mosaic import check_raster
from .features import encoded, features_of
from .objects import TileResult
from .spoiled import is_spoiled
from .store import ResultStore

Key = tuple[int, int]


@dataclass(frozen=True)
class Worker:
    """Works through chunks of an image's tiles, with a function or a model.

    Attributes:
        grid: How the image is cut.
        limit: How long a tile may take.
        store: Where results are put; None: nowhere.
        batch_size: How many tiles a call is given, at most; None: one, not as a batch.
        assembly: How they will be assembled; None: they are not kept.
        properties: What each Feature's properties are updated with.
    """

    grid: Grid
    limit: TimeLimit
    store: ResultStore | None
    batch_size: int | None = None
    assembly: Assembly | None = None
    properties: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, function: Callable[..., Any], keys: Sequence[Key]) -> Worked:
        """Works through a chunk; returns the reason of each tile that failed.

        Args:
            function: What the user gave, or the model that was made of it.
            keys: (region, tile) of each of its tiles.

        Raises:
            InvalidFunction: It does not return what a batch is to return.
            ProcessSpoiled: Nothing can be computed in this process any more.
            Exception: It failed as a whole: the image cannot be read, or the output not written.
        """
        call = Call(function, self.limit, is_batch=self.batch_size is not None)
        outcomes = Outcomes(self.assembly, self.properties)
        with plain_environment():  # what the function does with rasterio takes less time
            for entries in self._batches(
                read_ahead(self.grid, keys, self.batch_size or 1), outcomes
            ):
                for entry, result in zip(entries, call.results(entries), strict=True):
                    outcomes.add(entry.tile, result)
        if self.store is not None:
            self.store.write_chunk(outcomes.results)
        return Worked(outcomes.reasons, call.busy_seconds)

    def _batches(self, entries: Iterable[Entry], outcomes: Outcomes) -> Iterator[list[Entry]]:
        """Yields tiles that one call is given: of arrays of one shape, in order."""
        waiting: dict[tuple[int, ...], list[Entry]] = {}
        for entry in entries:
            if entry.error is not None or entry.pixels is None:
                outcomes.add(entry.tile, entry.error)
                continue
            alike = waiting.setdefault(entry.pixels.shape, [])
            alike.append(entry)
            if len(alike) >= (self.batch_size or 1):
                yield waiting.pop(entry.pixels.shape)
        yield from waiting.values()


class Outcomes:
    """What became of the tiles of a chunk.

    Args:
        assembly: How results will be assembled; None: they are checked, and not kept.
        properties: What each Feature's properties are updated with.

    Attributes:
        reasons: Why tiles failed, by (region, tile).
        results: What was found in the others.
    """

    def __init__(self, assembly: Assembly | None, properties: Mapping[str, Any]) -> None:
        self.reasons: dict[Key, str] = {}
        self.results: dict[Key, TileResult] = {}
        self._assembly = assembly
        self._properties = properties

    def add(self, tile: Tile, result: Any) -> None:
        """Takes a tile's result, or the exception in its place."""
        key = tile.region, tile.number
        try:
            if isinstance(result, Exception):
                raise result
            if result is not None or self._assembly is not None:
                kept = self._checked(tile, result)
                if self._assembly is not None:
                    self.results[key] = kept
        except Exception as err:  # whatever it is, it is this tile's
            self.reasons[key] = reason_of(err)

    def _checked(self, tile: Tile, result: Any) -> TileResult:
        assembly = self._assembly or USUAL
        found, arrays = split(result, tile, assembly.stride or 1)
        for name, array in arrays.items():
            check_raster(name, array, assembly.of_raster(name))
        properties = self._properties
        if assembly.tile_properties:
            properties = {**properties, "region": tile.region, "tile": tile.number}
        features = features_of(found, tile, properties)
        pixels = located(features, tile, assembly) if self._assembly is not None else None
        return TileResult((tile.row, tile.column), encoded(features), pixels, arrays)


class Call:
    """Calls the user's function, and measures how long it computes.

    Args:
        function: It, or the model.
        limit: How long a tile may take.
        is_batch: Whether it takes several at a time, as (tiles, bands, rows, columns).

    Attributes:
        busy_seconds: How long it computed.
    """

    def __init__(self, function: Callable[..., Any], limit: TimeLimit, *, is_batch: bool) -> None:
        self.busy_seconds = 0.0
        self._function = function
        self._limit = limit
        self._is_batch = is_batch

    def results(self, entries: Sequence[Entry]) -> list[Any]:
        """Returns what is found in tiles, of arrays of one shape; exceptions where it raises.

        A batch that raises is halved until the tile at fault is alone.

        Raises:
            InvalidFunction: It does not return a result for each.
            ProcessSpoiled: What it raised is of the process, not of a tile.
        """
        try:
            with self._limit.times(len(entries)).applied(), self._busy():
                return self._call(entries)
        except InvalidFunction:
            raise
        except Exception as err:
            if is_spoiled(err):
                raise ProcessSpoiled(reason_of(err)) from err
            if len(entries) == 1:
                return [err]
        middle = len(entries) // 2
        return [*self.results(entries[:middle]), *self.results(entries[middle:])]

    def _call(self, entries: Sequence[Entry]) -> list[Any]:
        if not self._is_batch:
            [entry] = entries
            return [_run(self._function(entry.pixels, entry.tile))]
        pixels = np.stack([entry.pixels for entry in entries])
        found = self._function(pixels, [entry.tile for entry in entries])
        is_many = isinstance(found, Iterable) and not isinstance(found, (str, bytes, Mapping))
        results = [_run(result) for result in found] if is_many else []
        if len(results) != len(entries):
            what = f"{len(results)} results" if is_many else f"a {type(found).__name__}"
            raise InvalidFunction(
                f"the function returned {what} for a batch of {len(entries)} tiles: with "
                "batch_size it is given (pixels, tiles), pixels of (tiles, bands, rows, columns), "
                "and returns a list with a result for each tile, in their order"
            )
        return results

    @contextmanager
    def _busy(self) -> Iterator[None]:
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.busy_seconds += time.perf_counter() - begun


def _run(result: Any) -> Any:
    """Returns a tile's result; a generator is run, which takes what time it takes."""
    return list(result) if isinstance(result, Iterator) else result
