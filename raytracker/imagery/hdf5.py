"""HDF5 files that take pixels from other files, which GDAL doesn't see: its library opens them."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any

from ..errors import InvalidImage

DRIVERS = ("netCDF", "HDF5", "HDF5Image", "BAG")  # that open them
_MAGIC = b"\x89HDF\r\n\x1a\n"


def check_hdf5(path: str) -> None:
    """Does nothing where a file is no HDF5 file, or has all its pixels in itself.

    Source: HDF5's User's Guide, "External storage", "External links" and "Virtual datasets".

    Args:
        path: A file of this machine.

    Raises:
        InvalidImage: It takes pixels from another file, or cannot be looked into.
    """
    try:
        state = os.stat(path)  # noqa: PTH116 - a path is a text here
        _check(path, (state.st_ino, state.st_size, state.st_mtime_ns))
    except OSError:  # GDAL says which
        return


@functools.lru_cache(maxsize=64)  # a worker opens an image many times
def _check(path: str, _state: tuple[int, ...]) -> None:
    if not _is_hdf5(path):
        return
    elsewhere = _elsewhere(path)
    if elsewhere is not None:
        raise InvalidImage(
            f"{path} is an HDF5 file whose {elsewhere}: copy all into one file (h5repack, nccopy), "
            "or allow its driver (allow_driver=['HDF5', 'netCDF'], --allow-driver HDF5 "
            "--allow-driver netCDF) where you trust who made it"
        )


def _is_hdf5(path: str) -> bool:
    """Returns whether a file has HDF5's mark, which may stand behind a block of somebody's own."""
    with Path(path).open("rb") as file:
        size, place = os.fstat(file.fileno()).st_size, 0
        while place < size:
            file.seek(place)
            if file.read(len(_MAGIC)) == _MAGIC:
                return True
            place = max(512, 2 * place)
    return False


def _elsewhere(path: str) -> str | None:
    """Returns which part of an HDF5 file is in another one; None: no part."""
    import h5py

    def visit(name: str, link: Any) -> str | None:
        if isinstance(link, h5py.ExternalLink):
            return f"{name!r:.99} is in another file, {link.filename!r:.200}"
        if not isinstance(link, h5py.HardLink):  # a soft link's end has its own
            return None
        dataset = file[name]
        if not isinstance(dataset, h5py.Dataset):
            return None
        sources = dataset.virtual_sources() if dataset.is_virtual else []
        for other in {source.file_name for source in sources} - {"."}:
            return f"{name!r:.99} is made of other files, {other!r:.200}"
        if dataset.external:
            return f"{name!r:.99} has its pixels in another file, {dataset.external[0][0]!r:.200}"
        return None

    try:
        with h5py.File(path, "r", locking=False) as file:
            found = file.visititems_links(visit)
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as err:
        return f"parts cannot be looked into ({err})"
    return None if found is None else str(found)
