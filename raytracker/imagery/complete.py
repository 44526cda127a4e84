"""Files that are not all there, of which GDAL says nothing: it reads zeros where they end."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from botocore.exceptions import BotoCoreError, ClientError
from rasterio.enums import MaskFlags

from ..errors import InvalidImage
from .info import numpy_dtype
from .names import gdal_name, in_bucket

# Sizes of netCDF's types, in bytes: byte, char, short, int, float, double, and those of CDF-5.
_CDF_BYTES = dict(enumerate((1, 1, 2, 4, 4, 8, 1, 2, 4, 8, 8), start=1))
_CDF_WORDS = {1: (4, 4), 2: (4, 8), 5: (8, 8)}  # by version: bytes of a count, and of an offset
_STREAMING = 2**32 - 1, 2**64 - 1  # records that are not counted


def check_complete(source: Any, url: str, head: Callable[[str, str], Any]) -> None:
    """Refuses an image whose file is shorter than its header says, or whose mask is no image.

    Of other formats GDAL says so itself, when it reads what is not there.

    Args:
        source: The image, opened by rasterio.
        url: Its name.
        head: Asks S3 for the head of an object, by bucket and key.

    Raises:
        InvalidImage: It is.
    """
    mask = Path(f"{source.name}.msk")
    if mask.is_file() and MaskFlags.per_dataset not in source.mask_flag_enums[0]:
        raise InvalidImage(f"{mask}, the mask of {url}, is damaged: make it anew, or remove it")
    needed = {"ENVI": _envi, "PCIDSK": _pcidsk, "netCDF": _netcdf}.get(source.driver)
    file = Path(source.files[0]) if needed is not None and source.files else None
    place = in_bucket(gdal_name(url))
    if needed is _envi and place is not None:
        there = int(head(*place)["ContentLength"])
    elif file is not None and file.is_file():
        there = file.stat().st_size
    else:
        return
    assert needed is not None
    assert file is not None
    least = needed(source, file)
    if there < least:
        raise InvalidImage(
            f"{url} is truncated: it has {there} bytes, and by its header at least {least}; "
            "get it anew"
        )


def check_no_mask_beside(url: str, head: Callable[[str, str], Any]) -> None:
    """Refuses an image in S3 with a mask beside it, which GDAL is told not to look for.

    Args:
        url: Its name.
        head: As in `check_complete`.

    Raises:
        InvalidImage: It has one: pixels without data would be taken for data.
    """
    place = in_bucket(gdal_name(url))
    if place is None or "GDAL_DISABLE_READDIR_ON_OPEN" in os.environ:
        return
    bucket, key = place
    try:
        head(bucket, f"{key}.msk")
    except (BotoCoreError, ClientError):  # there is none, or nobody may know
        return
    raise InvalidImage(
        f"{url} has a mask beside it, {key}.msk, which is not looked for in S3: set "
        "GDAL_DISABLE_READDIR_ON_OPEN=TRUE, in driver and workers, or store it in the image"
    )


def _envi(source: Any, file: Path) -> int:
    header = source.tags(ns="ENVI")
    if header.get("file_compression", "0").strip() != "0":
        return 0
    pixel = sum(np.dtype(numpy_dtype(dtype)).itemsize for dtype in source.dtypes)
    return int(header.get("header_offset", 0)) + int(source.width * source.height * pixel)


def _pcidsk(source: Any, file: Path) -> int:
    if source.block_shapes[0] != (1, source.width):  # of tiles, its length says nothing
        return 0
    with file.open("rb") as stream:
        blocks = stream.read(32)[16:].strip()
    return 512 * int(blocks) if blocks.isdigit() else 0


def _netcdf(source: Any, file: Path) -> int:
    """Of the classic formats; HDF5 knows the length of its files.

    Source: the NetCDF Classic Format Specification.
    """
    with file.open("rb") as stream:
        magic = stream.read(4)
        if magic[:3] != b"CDF" or magic[3] not in _CDF_WORDS:
            return 0
        return _Cdf(stream, *_CDF_WORDS[magic[3]]).end()


class _Cdf:
    """A header of netCDF's classic formats, after its first four bytes."""

    def __init__(self, stream: BinaryIO, word: int, offset: int) -> None:
        self._stream, self._word, self._offset = stream, word, offset

    def end(self) -> int:
        """Returns where the last value of all variables ends."""
        records = self._count()
        records = 0 if records in _STREAMING else records
        dimensions = [self._named() for _ in self._list()]
        self._skip_attributes()
        ends, in_records, record_bytes = [0], [], 0
        for _ in self._list():
            self._skip_name()
            sizes = [dimensions[self._count()] for _ in range(self._count())]
            self._skip_attributes()
            size = _CDF_BYTES[self._integer(4)]
            padded, begin = self._count(), self._integer(self._offset)
            if sizes and sizes[0] == 0:  # a value in each record, with those of others
                in_records.append((begin, size * math.prod(sizes[1:])))
                record_bytes += padded
            else:
                ends.append(begin + size * math.prod(sizes))
        if len(in_records) == 1:  # which are not padded then
            record_bytes = in_records[0][1]
        if records:
            ends += [begin + (records - 1) * record_bytes + size for begin, size in in_records]
        return max(ends)

    def _integer(self, size: int) -> int:
        return int.from_bytes(self._stream.read(size), "big")

    def _count(self) -> int:
        return self._integer(self._word)

    def _list(self) -> range:
        self._integer(4)  # what it is a list of
        return range(self._count())

    def _skip(self, size: int) -> None:
        self._stream.seek(-(-size // 4) * 4, 1)

    def _skip_name(self) -> None:
        self._skip(self._count())

    def _named(self) -> int:
        self._skip_name()
        return self._count()

    def _skip_attributes(self) -> None:
        for _ in self._list():
            self._skip_name()
            size = _CDF_BYTES[self._integer(4)]
            self._skip(size * self._count())
