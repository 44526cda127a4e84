"""What lies beside an image and belongs to it: GDAL opens it with whatever driver fits."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any

from rasterio.io import DatasetReader

from ..errors import InvalidImage
from .info import GDAL_ERRORS

_ENDS = (".ovr", ".msk", ".aux")  # overviews, masks, and statistics with overviews
_DRIVERS = ("GTiff", "HFA")  # that write them


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
    named = source.tags(ns="OVERVIEWS").get("OVERVIEW_FILE", "").removeprefix(":::BASE:::")
    if named and (re.search(r"[/\\:<{]", named) or not named.lower().endswith((".rrd", *_ENDS))):
        raise InvalidImage(
            f"{url} takes its overviews from {named!r:.200}, which is not beside it: take "
            "OVERVIEW_FILE out of its metadata, also out of its .aux.xml"
        )
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


def _check_openable(file: str, url: str, drivers: Sequence[str]) -> None:
    try:
        DatasetReader(file, driver=drivers).close()
    except GDAL_ERRORS:
        raise InvalidImage(
            f"{file}, which belongs to {url}, is neither a TIFF nor an HFA file: make it anew, or "
            "remove it"
        ) from None
