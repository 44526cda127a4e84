"""The image behind a picture: small, stretched, and with what is no data told apart."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from matplotlib.artist import Artist
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, Resampling
from rasterio.features import rasterize, shapes

from ..imagery.info import ImageInfo
from ..imagery.opening import environment, open_image
from ..imagery.reading import mask_of

MAX_SIDE = 1500  # pixels of the image as shown
MAX_SOURCE_PIXELS = 500_000_000  # read for that, of an image without overviews
NO_DATA = 0.93  # the grey of it: paper
_LEAST_BORDER = 0.002  # of an image: less is no border without data


class Backdrop(NamedTuple):
    """The image as it is shown.

    Attributes:
        pixels: (rows, columns, 3).
        has_empty: Whether some of it is without data.
    """

    pixels: NDArray[np.uint8]
    has_empty: bool


class Shown(Artist):
    """An image in its axes, each pixel of the picture the nearest of its own.

    matplotlib's own image makes floats of it, which takes twenty times its memory.

    Args:
        pixels: (rows, columns, 3).
        info: The image, in whose pixels the axes are.
    """

    def __init__(self, pixels: NDArray[np.uint8], info: ImageInfo) -> None:
        super().__init__()
        self._pixels, self._size = pixels, (info.width, info.height)
        self.set_in_layout(False)

    def draw(self, renderer: Any) -> None:
        """Draws it, as matplotlib asks for."""
        assert self.axes is not None
        box = self.axes.get_window_extent()
        left, bottom, right, top = (round(edge) for edge in box.extents)
        places = self.axes.transData.inverted()
        columns = places.transform([(x + 0.5, bottom) for x in range(left, right)])[:, 0]
        rows = places.transform([(left, y + 0.5) for y in range(bottom, top)])[:, 1]
        high, wide = self._pixels.shape[:2]
        x = np.clip(columns * wide / self._size[0], 0, wide - 1).astype(int)
        y = np.clip(rows * high / self._size[1], 0, high - 1).astype(int)
        rgba = np.full((len(y), len(x), 4), 255, np.uint8)
        rgba[..., :3] = self._pixels[y[:, None], x]
        gc = renderer.new_gc()
        gc.set_clip_rectangle(self.axes.bbox)
        renderer.draw_image(gc, left, bottom, rgba)
        gc.restore()


def read_small(info: ImageInfo, shown: int = MAX_SIDE) -> Backdrop | None:
    """Returns an image at the size at which it is shown, or None if that took reading it whole.

    That is over 500 million pixels, without overviews.

    Args:
        info: The image.
        shown: How long its longer side is, at most, in pixels.

    Raises:
        InvalidImage: It cannot be read.
    """
    shrink = max(1.0, max(info.width, info.height) / shown)
    size = max(1, round(info.height / shrink)), max(1, round(info.width / shrink))
    with environment(info.url, info.role), open_image(info.url, info.allowed) as source:
        bands = bands_of(source)
        if not source.overviews(bands[0]) and info.width * info.height > MAX_SOURCE_PIXELS:
            return None
        # One by one, as they may be of several types.
        pixels = [
            source.read(band, out_shape=size, resampling=Resampling.nearest) for band in bands
        ]
        valid = mask_of(source, shape=size)
    valid &= ~_border(pixels) & np.any([np.isfinite(band) for band in pixels], axis=0)
    stretched = [stretch(band, valid) for band in pixels]
    grey = sum(stretched) / np.float32(len(stretched))
    shown_bands = np.empty((*size, 3), np.uint8)
    for number in range(3):  # one by one: they are large
        paler = 0.08 + 0.87 * (0.3 * grey + 0.7 * stretched[number % len(stretched)])
        paler[~valid] = NO_DATA  # what lies over it is seen
        shown_bands[..., number] = 255 * paler
    return Backdrop(shown_bands, not valid.all())


def bands_of(source: Any) -> list[int]:
    """Returns the bands that are red, green and blue: those that say so, else the first three."""
    meanings = list(source.colorinterp)
    colours = [ColorInterp.red, ColorInterp.green, ColorInterp.blue]
    if all(colour in meanings for colour in colours):
        return [meanings.index(colour) + 1 for colour in colours]
    return [1, 2, 3] if source.count >= 3 and ColorInterp.alpha not in meanings[:3] else [1]


def _border(pixels: list[NDArray[Any]]) -> NDArray[np.bool_]:
    """Returns what is a border without data, though the image does not say so.

    That is pixels of zero, in all bands, that reach from a corner inwards.
    """
    zero = np.asarray(np.stack([band == 0 for band in pixels]).all(axis=0), np.bool_)
    none = np.zeros_like(zero)
    if not zero[[0, 0, -1, -1], [0, -1, 0, -1]].any() or zero.all():
        return none
    bottom, right = zero.shape[0], zero.shape[1]
    corners = {(0.0, 0.0), (right, 0.0), (0.0, bottom), (right, bottom)}
    found = [
        area
        for area, _ in shapes(zero.astype("uint8"), mask=zero, connectivity=4)
        if corners & {tuple(point) for point in area["coordinates"][0]}
    ]
    border: NDArray[np.bool_] = rasterize(found, zero.shape, dtype="uint8") != 0
    return border if np.mean(border) > _LEAST_BORDER else none


def stretch(band: NDArray[Any], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Returns a band with its 2nd and 98th percentile at 0 and 1, whatever its type."""
    values = np.abs(band) if np.iscomplexobj(band) else band
    known = np.isfinite(values) & valid
    low, high = np.percentile(values[known], (2, 98)) if known.any() else (0, 0)
    if high <= low:
        return np.where(known, 0.5, 0).astype(np.float32)
    with np.errstate(invalid="ignore", over="ignore"):
        exact = np.float32 if values.dtype.itemsize <= 2 else np.float64
        stretched = values.astype(exact)
        stretched -= exact(low)
        stretched /= exact(high - low)
        np.clip(stretched, 0, 1, out=stretched)
    shown: NDArray[np.float32] = np.nan_to_num(stretched, copy=False).astype(np.float32)
    return shown
