"""Small images made for a test."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import rasterio
from rasterio.io import DatasetReader


def make_image(path: Path, pixels: Any, mask: Any = None, **profile: Any) -> Path:
    """Writes an image of (bands, rows, columns): a GeoTIFF, unless the profile says otherwise.

    A mask is (rows, columns), true where pixels are valid.
    """
    count, height, width = pixels.shape
    with rasterio.open(
        path,
        "w",
        count=count,
        height=height,
        width=width,
        dtype=pixels.dtype,
        **{"driver": "GTiff", **profile},
    ) as target:
        target.write(pixels)
        if mask is not None:
            target.write_mask(mask)
    return path


def noting(opened: list[str]) -> Callable[..., Any]:
    """Returns what opens images, with a note of what it opened."""
    really = DatasetReader

    def note(url: str, **how: Any) -> Any:
        opened.append(url)
        return really(url, **how)

    return note
