"""A Cloud Optimized GeoTIFF of all parts of a raster: a VRT joins them, GDAL's driver writes it."""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

import numpy as np
import rasterio
import rasterio.shutil
from affine import Affine
from rasterio.env import Env

from ...imagery import Grid
from ...imagery.info import parsed_crs
from ..arrays import GDAL_NAMES
from ..store import ResultStore
from .asked import RasterAssembly
from .mosaic import BLOCK, Rectangle, nodata_of, raster_size
from .source import Kind


def write_cog(
    into: ResultStore,
    name: str,
    grid: Grid,
    parts: Iterable[tuple[Rectangle, bytes]],
    kind: Kind,
    how: RasterAssembly,
) -> None:
    """Writes a raster of an image; the same bytes for the same parts.

    It is made in a folder for temporary files, which needs room for it twice.

    Args:
        into: Where it goes.
        name: Its name there.
        grid: How the image is cut.
        parts: The pixels of each part, and its GeoTIFF; what is in none is nodata.
        kind: What they all are.
        how: How it is assembled.

    Raises:
        OutputError: It cannot be written.
    """
    with tempfile.TemporaryDirectory(prefix="raytracker-") as folder:
        sources = []
        packed = 0
        for number, (rectangle, data) in enumerate(parts):
            path = Path(folder, f"{number:05}.tif")
            path.write_bytes(data)
            sources.append((rectangle, path.name))
            packed += len(data)
        vrt = Path(folder, "all.vrt")
        vrt.write_text(vrt_of(grid, sources, kind, how))
        made = Path(folder, name)
        is_smooth = np.dtype(kind.dtype).kind == "f"
        # Not all cores: GDAL's threads take memory, and other tasks have the cores.
        with Env(GDAL_NUM_THREADS="2"):
            rasterio.shutil.copy(
                vrt,
                made,
                driver="COG",
                compress="deflate",
                level=_level(packed, sources, kind),
                predictor="yes",
                blocksize=BLOCK,
                overview_resampling="average" if is_smooth else "nearest",
                bigtiff="if_safer",
                num_threads="2",
            )
        with made.open("rb") as source, into.writing(name) as file:
            shutil.copyfileobj(source, file, 1 << 22)


def _level(packed: int, sources: Sequence[tuple[Rectangle, str]], kind: Kind) -> int:
    """Returns how hard deflate tries: scores, mostly noise, take twice as long for a fortieth."""
    pixels = sum((bottom - top) * (right - left) for (top, left, bottom, right), _ in sources)
    size = pixels * kind.bands * np.dtype(kind.dtype).itemsize
    return 1 if 2 * packed > size else 6


def vrt_of(
    grid: Grid,
    sources: Sequence[tuple[Rectangle, str]],
    kind: Kind,
    how: RasterAssembly,
) -> str:
    """Returns a VRT of files that lie beside it."""
    rows, columns = raster_size(grid, how.stride)
    lines = [f'<VRTDataset rasterXSize="{columns}" rasterYSize="{rows}">']
    if grid.info.crs is not None:
        lines.append(f"<SRS>{escape(parsed_crs(grid.info.crs).to_wkt())}</SRS>")
    if grid.info.transform is not None:
        transform = Affine(*grid.info.coefficients) @ Affine.scale(how.stride)
        lines.append(f"<GeoTransform>{', '.join(map(repr, transform.to_gdal()))}</GeoTransform>")
    for band in range(1, kind.bands + 1):
        lines += _band(band, sources, kind, how)
    return "\n".join([*lines, "</VRTDataset>"])


def _band(
    band: int,
    sources: Sequence[tuple[Rectangle, str]],
    kind: Kind,
    how: RasterAssembly,
) -> list[str]:
    nodata = nodata_of(kind, how.nodata)
    lines = [f'<VRTRasterBand dataType="{GDAL_NAMES[kind.dtype]}" band="{band}">']
    if how.band_names is not None:
        lines.append(f"<Description>{escape(how.band_names[band - 1])}</Description>")
    lines.append(f"<NoDataValue>{'nan' if math.isnan(nodata) else repr(nodata)}</NoDataValue>")
    if how.colormap is not None:
        lines.append("<ColorInterp>Palette</ColorInterp>")
        lines += _colours(how.colormap)
    for (top, left, bottom, right), name in sources:
        size = f'xSize="{right - left}" ySize="{bottom - top}"'
        lines += [
            "<SimpleSource>",
            f'<SourceFilename relativeToVRT="1">{escape(name)}</SourceFilename>',
            f"<SourceBand>{band}</SourceBand>",
            f'<SrcRect xOff="0" yOff="0" {size}/>',
            f'<DstRect xOff="{left}" yOff="{top}" {size}/>',
            "</SimpleSource>",
        ]
    return [*lines, "</VRTRasterBand>"]


def _colours(colormap: Mapping[int, Sequence[int]]) -> list[str]:
    """Returns the colours of all values up to the last one that has any; others are black."""
    lines = ["<ColorTable>"]
    for value in range(max(colormap) + 1):
        parts = zip(("c1", "c2", "c3", "c4"), (*colormap.get(value, (0, 0, 0)), 255), strict=False)
        named = " ".join(f"{name}={quoteattr(str(part))}" for name, part in parts)
        lines.append(f"<Entry {named}/>")
    return [*lines, "</ColorTable>"]
