"""What lies beside an image and belongs to it: GDAL opens it with whatever driver fits."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from rasterio.io import DatasetReader

from ..errors import InvalidImage
from .allowed import DRIVERS, Allowed, check_overviews, sidecars, sources_of_vrt
from .info import GDAL_ERRORS

_ENDS = (".ovr", ".msk", ".aux")  # overviews, masks, and statistics with overviews
_DRIVERS = ("GTiff", "HFA")  # that write them
_RSET = re.compile(r"\.r[1-5]$", re.IGNORECASE)  # of NITF: reduced resolutions
_GRID = re.compile(r'PARAMETERFILE\["[^"]*",\s*"([^"]*)"|grids=([^\s"]+)')  # in WKT 2


def check_beside(
    source: Any, url: str, folders: Sequence[str], drivers: Sequence[str] = ()
) -> None:
    """Does nothing where all that an image is made of is the image's own, or beside it, or below.

    Args:
        source: The image, opened by rasterio.
        url: Its name.
        folders: Where it is, and the image itself if it may be a folder.
        drivers: What may open overviews and masks beside those that GDAL writes.

    Raises:
        InvalidImage: A part is elsewhere, as some formats can say in their headers, or is an image
            of another kind, which may be anywhere.
    """
    _check_sidecars(source, url, drivers, set())
    roots = [os.path.normpath(folder) for folder in folders]
    for file in source.files:
        path = os.path.normpath(file)
        if not any(path == root or path.startswith(f"{root}/") for root in roots):
            raise InvalidImage(
                f"{url} takes a part of itself from {file!r:.200}, which is not beside it: put it "
                "there, and make the image anew"
            )
        if path.lower().endswith(_ENDS) and path not in roots:
            _check_openable(file, url, (*_DRIVERS, *drivers))
    for file in _opened_by(source, roots):
        check_inner(file, url, drivers)
    _check_grids(source, url)


def _check_sidecars(source: Any, url: str, drivers: Sequence[str], seen: set[str]) -> None:
    """Refuses masks and overviews that name others, before GDAL opens those to list them."""
    seen.add(source.name)
    files = sidecars(source.name)
    named = source.tags(ns="OVERVIEWS").get("OVERVIEW_FILE")
    if named:
        files += check_overviews(named, source.name, Allowed(tuple(drivers)), drivers)
    for file in files:
        with suppress(*GDAL_ERRORS):  # of which it is told when it is found to be used
            if file not in seen:
                with DatasetReader(file, driver=(*_DRIVERS, *drivers)) as own:
                    _check_sidecars(own, url, drivers, seen)
                    for inner in _opened_by(own, [file]):
                        check_inner(inner, url, drivers)


def check_inner(file: str, url: str, drivers: Sequence[str]) -> None:
    """Does nothing where a file that a driver opens for itself is a plain image.

    Of all of GDAL's drivers the first that fits opens it, whichever were named for the image.

    Args:
        file: It.
        url: The image of which it is a part, or the whole.
        drivers: What may open it beside those of plain images.

    Raises:
        InvalidImage: It is opened by another driver, or made of what is elsewhere.
    """
    try:
        states = tuple(map(os.stat, (file, *sidecars(file))))
    except OSError:  # which whoever reads it is told
        return
    known_by = tuple((state.st_ino, state.st_size, state.st_mtime_ns) for state in states)
    _check_inner(file, url, tuple(drivers), known_by)


@functools.lru_cache(maxsize=4096)  # a worker opens a VRT many times, and each takes a millisecond
def _check_inner(file: str, url: str, drivers: Sequence[str], _known_by: Sequence[Any]) -> None:
    try:
        own = DatasetReader(file)
    except GDAL_ERRORS:  # which whoever reads it is told
        return
    with own:
        if own.driver not in {*DRIVERS, *drivers}:
            raise InvalidImage(
                f"{file}, of which {url} is made, is a {own.driver}, which may take its pixels "
                f"from anywhere: allow that driver (allow_driver=['{own.driver}'], --allow-driver "
                f"{own.driver}) where you trust who made it"
            )
        if own.driver not in set(drivers) - {"VRT"}:
            check_beside(own, url, [file, os.path.dirname(file)], drivers)  # noqa: PTH120


def _opened_by(source: Any, roots: Sequence[str]) -> Sequence[str]:
    """Returns the images that an image's driver opens for itself."""
    if source.driver == "VRT" and os.path.isfile(source.name):  # noqa: PTH113
        return sources_of_vrt(source.name)
    files = source.files if source.driver == "NITF" else []
    return [file for file in files if _RSET.search(file) and os.path.normpath(file) not in roots]


def _check_grids(source: Any, url: str) -> None:
    """Refuses a CRS that names the path of a file, by which PROJ would move the image."""
    try:
        wkt = "" if source.crs is None else source.crs.to_wkt(version="WKT2_2019")
    except GDAL_ERRORS:  # which who describes it is told
        return
    for found in _GRID.finditer(wkt):
        grid = found[1] or found[2]
        if re.search(r"[/\\]", grid):
            raise InvalidImage(
                f"{url} has a CRS that takes its datum from {grid!r:.200}: give it one that names "
                "its grids without a path"
            )


def _check_openable(file: str, url: str, drivers: Sequence[str]) -> None:
    try:
        DatasetReader(file, driver=drivers).close()
    except GDAL_ERRORS:
        raise InvalidImage(
            f"{file}, which belongs to {url}, is neither a TIFF nor an HFA file: make it anew, or "
            "remove it"
        ) from None
