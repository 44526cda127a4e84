"""How an image is to be cut, as far as that is said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from .grid import Grid, Size, plan
from .info import ImageInfo

TILE_SIZE = 512
REGION_SIZE = 2048


class Cut(NamedTuple):
    """How an image is to be cut, as `imagery.plan` takes it; None: nothing is said of it."""

    tile_size: Size | None = None
    tile_overlap: Size | None = None
    region_size: Size | None = None
    roi: str | None = None
    roi_crs: str | None = None
    edges: str | None = None
    bands: Sequence[int] | None = None
    skip_empty: bool | None = None

    def applied(self, info: ImageInfo, begun_with: Mapping[str, Any]) -> Grid:
        """Returns the grid: of what is said, else of what the run began with, else as usual.

        Raises:
            InvalidGrid: It does not fit the image.
        """
        usual = Cut(TILE_SIZE, 0, REGION_SIZE, None, "image", "clip", None, False)
        known = {name: begun_with.get(name) for name in self._fields}
        cut = (
            next((value for value in values if value is not None), None)
            for values in zip(self, known.values(), usual, strict=True)
        )
        return plan(info, *cut)  # type: ignore[arg-type]
