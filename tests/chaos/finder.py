"""What runs in the workers of scenes: a function, and a model, that note what they do."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from tests.chaos.journal import ERROR, SUCCESS, Event, Journal
from tests.chaos.plan import Scene
from tests.chaos.scene import Spot, found, mask, score, sizes
from tests.chaos.work import Broken, reason_of


@dataclass(frozen=True)
class Search:
    """A function for `process_image`.

    Attributes:
        scene: What it is called with.
        path: The picture.
        journal: Where it notes what it does.
        label: Tells this run's reasons from another's.
    """

    scene: Scene
    path: Path
    journal: Journal
    label: str

    def __call__(self, pixels: Any, tiles: Any) -> Any:
        """Finds what is in a tile, or in those of a batch."""
        if self.scene.batch is None:
            return self._find([pixels], [tiles])[0]
        return self._find(pixels, tiles)

    def _find(self, pixels: Any, tiles: Any) -> list[Any]:
        firsts = [0, *accumulate(sizes(self.scene))]
        numbers = [firsts[tile.region] + tile.number for tile in tiles]
        self.journal.note("begin", dict.fromkeys(numbers, ERROR))
        time.sleep(self.scene.seconds * len(tiles))
        for number in numbers:
            self._suffer(number, alone=len(numbers) == 1)
        results = [_found(*both) for both in zip(pixels, tiles, strict=True)]
        self.journal.note("may", dict.fromkeys(numbers, SUCCESS))
        return results

    def _suffer(self, number: int, *, alone: bool) -> None:
        """Does what is wrong with a tile; in a batch, what it raises says nothing of it yet."""
        poison = self.scene.poisons.get(number)
        event: Event = "exited" if poison and poison.ends else "raised"
        if poison is None or self._count(event, number) >= poison.times:
            return
        error = broken(self.label, number)
        if poison.ends or alone:
            self.journal.note(event, {number: ERROR}, reason_of(error))
        if poison.ends:
            os._exit(1)
        raise error

    def _count(self, event: Event, number: int) -> int:
        lines = self.journal.lines()
        return sum(line["event"] == event and line["outcomes"][0][0] == number for line in lines)


class Finder:
    """A model for `process_image`.

    Args:
        searches: What it does with each of its pictures.
    """

    def __init__(self, *searches: Search) -> None:
        self._searches = {str(search.path): search for search in searches}
        searches[0].journal.note("made", {})

    def __call__(self, pixels: Any, tiles: Any) -> Any:
        """Does what its search does for the picture."""
        tile = tiles[0] if isinstance(tiles, list) else tiles
        return self._searches[tile.image.url](pixels, tiles)


def broken(label: str, number: int) -> Broken:
    """Returns what is raised at a tile."""
    return Broken(f"{label}: tile {number} does not work")


def _found(pixels: Any, tile: Any) -> dict[str, Any]:
    window, valid = tile.window, tile.valid
    spot = Spot(tile.row, tile.column, window.row_off, window.col_off, window.height, window.width)
    rows = slice(valid.row_off, valid.row_off + valid.height)
    columns = slice(valid.col_off, valid.col_off + valid.width)
    return {
        "features": found(spot, pixels[0, rows, columns]),
        "raster": mask(pixels[0]),
        "score": score(pixels[0]),
    }
