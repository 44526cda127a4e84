"""The part of a raster that a rectangle of tiles makes: each pixel of one tile, or of all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.io import MemoryFile

from ...errors import InvalidGrid, OutputError
from ...imagery import Grid, Tile
from ...imagery.axis import Axis
from ..objects import Key
from .asked import RasterAssembly
from .source import Kind, Part

BLOCK = 512
# The file of a part is read once, by who joins them: quickly made, and small enough.
PROFILE = {
    "driver": "GTiff",
    "compress": "zstd",
    "zstd_level": 1,
    "bigtiff": "if_safer",
    "num_threads": 2,  # blocks are packed while the next ones are made
}
MOST_WEIGHT = 4096  # of a pixel, down and across each

ArrayOf = Callable[[Tile], "NDArray[Any] | None"]
Found = Sequence[tuple[Tile, "NDArray[Any]"]]


class Rectangle(NamedTuple):
    """Pixels of a raster: rows from `top` to before `bottom`, and likewise columns."""

    top: int
    left: int
    bottom: int
    right: int


class _Strip(NamedTuple):
    """A row of a part's tiles: where it lies, and what all its pixels have in common.

    Attributes:
        place: Where it lies in the raster.
        kind: What the arrays are.
        stride: How many of the image's pixels, across and down, are one of the raster's.
        nodata: The value of pixels without a result.
        overlap: What neighbouring tiles share, (down, across), in pixels of the raster.
    """

    place: Rectangle
    kind: Kind
    stride: int
    nodata: float
    overlap: tuple[int, int]

    def empty(self) -> NDArray[Any]:
        """Returns its pixels as they are without any result."""
        top, left, bottom, right = self.place
        return np.full((self.kind.bands, bottom - top, right - left), self.nodata, self.kind.dtype)


def check_stride(grid: Grid, stride: int) -> None:
    """Does nothing where all tiles begin, end and meet at multiples of the stride.

    Raises:
        InvalidGrid: Some don't; nothing has been run.
    """
    if stride == 1:
        return
    for name, axis in (("width", grid.across), ("height", grid.down)):
        for what, pixels in _places(axis):
            if pixels % stride:
                raise InvalidGrid(
                    f"stride={stride}: {what} of {pixels} pixels ({name}) is no multiple of it: "
                    f"choose tile_size, and half of tile_overlap, as multiples of {stride}"
                    f"{_cure(grid, stride)}"
                )


def _places(axis: Axis) -> Iterator[tuple[str, int]]:
    for number in range(axis.count):
        yield "an array", axis.length(number)
        yield "an offset", axis.start(number)
        if number:
            yield "a seam", axis.core(number)[0]


def _cure(grid: Grid, stride: int) -> str:
    if grid.edges == "pad":
        return ""
    return ', and edges="pad", as the image\'s own size need be none then'


def raster_size(grid: Grid, stride: int) -> tuple[int, int]:
    """Returns (rows, columns) of the raster of an image: the last may be partly beyond it."""
    return -(-grid.info.height // stride), -(-grid.info.width // stride)


def rectangle_of(grid: Grid, part: Part, stride: int) -> Rectangle:
    """Returns the pixels that the cores of a part's tiles are."""
    (top, _), (_, bottom) = grid.down.core(part.rows[0]), grid.down.core(part.rows[-1])
    (left, _), (_, right) = grid.across.core(part.columns[0]), grid.across.core(part.columns[-1])
    return Rectangle(top // stride, left // stride, -(-bottom // stride), -(-right // stride))


def mosaic(
    grid: Grid,
    part: Part,
    keys: Sequence[Key],
    array_of: ArrayOf,
    kind: Kind,
    how: RasterAssembly,
) -> bytes:
    """Returns a part of a raster as a GeoTIFF, of which only the pixels count.

    A row of tiles of it is in memory at a time, and for "mean" what meets it. No array is asked for
    twice: each is unpacked then.

    Args:
        grid: How the image is cut.
        part: The tiles whose cores it is made of.
        keys: (region, tile) of the tiles that succeeded: of the part, and for "mean" of those
            around it.
        array_of: Returns the array, (bands, rows, columns), of a tile; None: it has none.
        kind: What they all are.
        how: How it is assembled.

    Raises:
        OutputError: Its type does not hold the value for nodata.
    """
    stride, nodata = how.stride, nodata_of(kind, how.nodata)
    whole = rectangle_of(grid, part, stride)
    tiles = {key: grid.tile(*key) for key in keys}
    fill = _cropped if how.blend == "crop" else _mean
    overlap = grid.down.overlap // stride, grid.across.overlap // stride
    profile = {
        **PROFILE,
        **_blocks(whole),
        "width": whole.right - whole.left,
        "height": whole.bottom - whole.top,
        "count": kind.bands,
        "dtype": kind.dtype,
        "transform": Affine.scale(2),  # any: rasterio warns of none
    }
    known: dict[Key, NDArray[Any] | None] = {}
    with MemoryFile() as memory:
        with memory.open(**profile) as written:
            for row in part.rows:
                place = rectangle_of(grid, Part(range(row, row + 1), part.columns), stride)
                near = grid.down.near(row) if how.blend == "mean" else (row,)
                there = {key: tile for key, tile in tiles.items() if tile.row in near}
                _keep(known, there, array_of)
                found = [(there[k], array) for k in there if (array := known[k]) is not None]
                pixels = fill(found, _Strip(place, kind, stride, nodata, overlap))
                top, bottom = place.top - whole.top, place.bottom - whole.top
                written.write(pixels, window=((top, bottom), (0, profile["width"])))
        return bytes(memory.read())


def _keep(
    known: dict[Key, NDArray[Any] | None], tiles: Mapping[Key, Tile], array_of: ArrayOf
) -> None:
    """Makes what is known the arrays of these tiles."""
    for key in known.keys() - tiles.keys():
        del known[key]
    for key, tile in tiles.items():
        if key not in known:
            known[key] = array_of(tile)


def _blocks(whole: Rectangle) -> dict[str, Any]:
    if min(whole.bottom - whole.top, whole.right - whole.left) < BLOCK:
        return {}
    return {"tiled": True, "blockxsize": BLOCK, "blockysize": BLOCK}


def _cropped(found: Found, strip: _Strip) -> NDArray[Any]:
    """Returns the pixels of a strip, each of the tile whose core it is in."""
    pixels = strip.empty()
    place, stride = strip.place, strip.stride
    for tile, array in found:
        core = tile.core
        top, left = int(core.row_off) // stride, int(core.col_off) // stride
        bottom = -(-int(core.row_off + core.height) // stride)
        right = -(-int(core.col_off + core.width) // stride)
        above, beside = top - tile.row_off // stride, left - tile.col_off // stride
        pixels[:, top - place.top : bottom - place.top, left - place.left : right - place.left] = (
            array[:, above : above + bottom - top, beside : beside + right - left]
        )
    return pixels


def _mean(found: Found, strip: _Strip) -> NDArray[Any]:
    """Returns the pixels of a strip, each the mean of all tiles that have it.

    A tile's weight falls over what it shares, in whole numbers: so what is the same in all tiles,
    as float32, stays so to the last bit; float64 has no room for that.
    """
    pixels = strip.empty()
    place, stride, (down, across) = strip.place, strip.stride, strip.overlap
    total = np.zeros(pixels.shape)
    weights = np.zeros((1, *pixels.shape[1:]))  # of all bands, as long as they are valid alike
    for tile, array in found:
        _, height, width = array.shape
        rows, inner_rows = _meeting(tile.row_off // stride, height, place.top, place.bottom)
        cols, inner_cols = _meeting(tile.col_off // stride, width, place.left, place.right)
        inner = array[:, inner_rows, inner_cols]
        weight = np.outer(_taper(height, down)[inner_rows], _taper(width, across)[inner_cols])
        valid = _is_valid(inner, strip.nodata)
        if valid.all():
            total[:, rows, cols] += inner * weight
            weights[:, rows, cols] += weight
        else:
            if len(weights) < len(pixels):
                weights = np.repeat(weights, len(pixels), axis=0)
            total[:, rows, cols] += np.where(valid, inner, 0) * weight
            weights[:, rows, cols] += np.where(valid, weight, 0)
    known = np.broadcast_to(weights > 0, pixels.shape)
    means = np.divide(total, weights, out=total, where=known)
    if pixels.dtype.kind in "ui":
        np.rint(means, out=means)
    np.copyto(pixels, means, casting="unsafe", where=known)
    return pixels


def _meeting(start: int, length: int, first: int, last: int) -> tuple[slice, slice]:
    """Returns where a tile and a strip meet, along an axis: in the strip, and in the tile."""
    begin, end = max(start, first), max(min(start + length, last), max(start, first))
    return slice(begin - first, end - first), slice(begin - start, end - start)


def _taper(length: int, overlap: int) -> NDArray[np.float64]:
    """Returns a tapered cosine: it rises over what is shared, and falls at the other end; never 0.

    So the weights of two tiles, where they meet, add up to the same everywhere, about.

    Args:
        length: The pixels of a tile.
        overlap: How many of them, at each end, it shares.
    """
    inside = np.minimum(np.arange(length), np.arange(length)[::-1]) + 0.5
    part = np.minimum(1.0, inside / max(1, overlap))
    weight: NDArray[np.float64] = np.maximum(
        1, np.rint(MOST_WEIGHT * np.sin(np.pi / 2 * part) ** 2)
    )
    return weight


def _is_valid(array: NDArray[Any], nodata: float) -> NDArray[np.bool_]:
    is_nan = np.isnan(array) if array.dtype.kind == "f" else np.zeros(array.shape, np.bool_)
    valid: NDArray[np.bool_] = ~(is_nan | (array == nodata))
    return valid


def nodata_of(kind: Kind, given: float | None) -> float:
    """Returns the value of pixels without a result: what is given, else NaN or the greatest.

    Not 0, which is what a mask has where nothing is.

    Raises:
        OutputError: The raster's type does not hold what is given.
    """
    dtype = np.dtype(kind.dtype)
    if given is None:
        return float("nan") if dtype.kind == "f" else int(np.iinfo(dtype).max)
    if dtype.kind == "f":
        fits = np.isinf(given) or abs(given) <= float(np.finfo(dtype).max)
    else:
        limits = np.iinfo(dtype)
        fits = float(given).is_integer() and limits.min <= given <= limits.max
    if not fits:
        raise OutputError(f"nodata={given:g}: no value of {dtype}, of which the raster is")
    return given


def check_raster(name: str, array: NDArray[Any], how: RasterAssembly) -> None:
    """Does nothing where an array goes with what is said of its raster.

    Raises:
        OutputError: It does not; the text names what.
    """
    bands, dtype = len(array), array.dtype.name
    nodata_of(Kind(dtype, bands), how.nodata)
    if how.band_names is not None and len(how.band_names) != bands:
        raise OutputError(
            f"the raster {name!r} has {bands} bands, and band_names {list(how.band_names)}: give "
            "as many"
        )
    if how.colormap is not None and (dtype not in ("uint8", "uint16") or bands != 1):
        raise OutputError(
            f"the raster {name!r} has {bands} bands of {dtype}, and colormap= colours one band of "
            "uint8 or uint16: return that, or leave it out"
        )
