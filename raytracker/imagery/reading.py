"""Reading an image's pixels; it stays open from one tile to the next."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import RasterioIOError
from rasterio.windows import Window

from ..errors import InvalidImage
from .fingerprint import Stamp, files_of, fingerprint, stamp
from .hearing import listening
from .info import GDAL_ERRORS, ImageInfo, cause, dtype_of
from .opening import environment, head_object, open_image


def read_window(
    image: ImageInfo, window: Window, bands: Sequence[int] | None = None, role: str | None = None
) -> NDArray[Any]:
    """Returns a part of an image as an array of (bands, rows, columns).

    Only the blocks of the file that it touches are read. The image stays open in this thread
    until another is read: neighbouring tiles share blocks, and small ones most of them.

    Args:
        image: The image.
        window: The part, in pixels.
        bands: The numbers of the bands wanted, from 1; None: all.
        role: The role to assume instead of the one that the image was described with.

    Returns:
        The pixels; of bands of several types, in one that holds all of them.

    Raises:
        InvalidImage: The image, or this part of it, cannot be read.
    """
    numbers = list(bands or range(1, image.bands + 1))
    dtype = dtype_of(image, numbers)
    with _opened(image, window, role) as source:
        if len({source.dtypes[number - 1] for number in numbers}) == 1:
            pixels: NDArray[Any] = source.read(numbers, window=window)
            return pixels
        # Rasterio reads no bands of several types at once.
        return np.stack([source.read(number, window=window).astype(dtype) for number in numbers])


def read_mask(image: ImageInfo, window: Window, role: str | None = None) -> NDArray[np.bool_]:
    """Returns which pixels of a part of an image are valid, as (rows, columns).

    The arguments and errors are those of `read_window`.
    """
    with _opened(image, window, role) as source:
        return mask_of(source, window=window)


def mask_of(
    source: Any, *, window: Window | None = None, shape: tuple[int, int] | None = None
) -> NDArray[np.bool_]:
    """Returns which pixels of an open image are valid, as (rows, columns).

    Args:
        source: The image.
        window: The part, in pixels; None: all of it.
        shape: Of what is returned; None: that of the part.
    """
    if shape is not None and all(MaskFlags.all_valid in band for band in source.mask_flag_enums):
        return np.ones(shape, np.bool_)
    small = {"window": window, "out_shape": shape}
    if ColorInterp.alpha in source.colorinterp:
        alpha = source.colorinterp.index(ColorInterp.alpha) + 1
        return np.asarray(source.read(alpha, **small), np.bool_)
    if MaskFlags.per_dataset in source.mask_flag_enums[0]:
        return np.asarray(source.read_masks(1, **small), np.bool_)
    # Not rasterio's dataset_mask(): of red, green, blue and another band it asks the last only.
    masks = [source.read_masks(band, **small) != 0 for band in source.indexes]
    return np.asarray(np.any(masks, axis=0), np.bool_)


@contextmanager
def kept_open(image: ImageInfo, role: str | None = None) -> Iterator[None]:
    """Reads of this image, in this thread, take less time while the block lasts.

    GDAL's settings are made once for all of them. Not for hours: credentials end.

    Args:
        image: The image.
        role: As in `read_window`.

    Raises:
        InvalidImage: The role cannot be assumed.
    """
    before = _kept.inside
    with environment(image.url, role or image.role) as env:
        _kept.inside = (image.opened, role), env.session.get_credential_options()
        try:
            yield
        finally:
            _kept.inside = before


def check_unchanged(image: ImageInfo, role: str | None = None) -> None:
    """Does nothing where an image is as it was when this thread began to read it.

    Raises:
        InvalidImage: Another one is in its place, or it was written to: what was read of it may be
            of either.
    """
    _kept.check(image, role)


@contextmanager
def _opened(image: ImageInfo, window: Window, role: str | None) -> Iterator[Any]:
    with ExitStack() as stack:
        inside = _kept.inside
        if inside is None or inside[0] != (image.opened, role):
            stack.enter_context(kept_open(image, role))
            inside = _kept.inside
        assert inside is not None
        source = _kept.open(image, inside[1], role)
        try:
            with listening() as said:
                yield source
            if said:
                raise RasterioIOError(said[0])
        except GDAL_ERRORS as err:
            _kept.close()  # what went wrong may be remembered in it
            (top, bottom), (left, right) = window.toranges()
            raise InvalidImage(
                f"rows {top} to {bottom - 1}, columns {left} to {right - 1} of {image.url} "
                f"cannot be read: {cause(err)}"
            ) from err


class _Kept(threading.local):
    """The image that this thread has open; GDAL allows a thread its own only."""

    inside: tuple[Any, Mapping[str, str]] | None = None  # a block of `kept_open`, its credentials
    _key: Any = None
    _source: Any = None
    _files: Sequence[str] = ()
    _stamp: Stamp = ()

    def open(self, image: ImageInfo, credentials: Mapping[str, str], role: str | None) -> Any:
        # What is open was opened with credentials that end.
        key = image.opened, credentials
        if key != self._key:
            self.close()
            source = open_image(image.url, image.allowed)
            if (source.width, source.height) != (image.width, image.height):
                raise InvalidImage(
                    f"{image.url} is {source.width} x {source.height} pixels now, and was "
                    f"{image.width} x {image.height} when it was planned: start it again"
                )
            head = functools.cache(head_object(role or image.role))  # one answer for both
            files = files_of(source, image.url)
            found = stamp(files, head), fingerprint(files, head)
            if image.fingerprint is not None and found[1] != image.fingerprint:
                source.close()
                raise InvalidImage(
                    f"{image.url} is another image than when it was planned ({found[1]}; it was "
                    f"{image.fingerprint}): put that back, or start it again"
                )
            self._key, self._source = key, source
            self._files, self._stamp = files, found[0]
        return self._source

    def check(self, image: ImageInfo, role: str | None) -> None:
        if self._source is None or self._key[0] != image.opened:
            return
        if stamp(self._files, head_object(role or image.role)) != self._stamp:
            self.close()
            raise InvalidImage(f"{image.url} was replaced, or written to, while it was read")

    def close(self) -> None:
        if self._source is not None:
            self._source.close()
        self._key = self._source = None


_kept = _Kept()
