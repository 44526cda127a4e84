"""What tells an image from another one in its place: what is at a path or key may change."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from ..errors import InvalidImage
from .names import gdal_name, in_bucket

SAMPLES = 16  # evenly spaced, and the ends: another scene differs in one of them
SAMPLE_BYTES = 4096
MAX_FILES = 16  # of a VRT

Head = Callable[[str, str], Any]
Stamp = tuple[Any, ...]


def files_of(source: Any, url: str) -> Sequence[str]:
    """Returns the files that an image is made of, as far as they tell it from another.

    Sidecars are left out: GDAL itself writes some.

    Args:
        source: The image, opened by rasterio.
        url: Its name.
    """
    name = gdal_name(url)
    if in_bucket(name) is not None:
        return [name]  # to see what lies beside it takes requests
    files: Sequence[str] = source.files
    return files[:MAX_FILES] if source.driver == "VRT" else files[:1]


def fingerprint(names: Sequence[str], head: Head) -> str | None:
    """Returns what an image's bytes are known by, the same on every node; None: by nothing.

    Of a file that is its length and a hash of samples, for a VRT also of what it is made of; of an
    object in S3 its length and ETag.

    Args:
        names: From `files_of`.
        head: Asks S3 for the head of an object, by bucket and key.

    Raises:
        InvalidImage: S3 does not answer.
    """
    if names and (place := in_bucket(names[0])) is not None:
        told = _asked(names[0], place, head)
        return f"{told['ContentLength']} bytes, ETag {told['ETag']}"
    files = [Path(name) for name in names if Path(name).is_file()]
    if not files:
        return None
    digest = hashlib.sha256()
    for file in files:
        _sample(file, digest)
    return f"{sum(file.stat().st_size for file in files)} bytes, sha256 {digest.hexdigest()[:16]}"


def stamp(names: Sequence[str], head: Head) -> Stamp:
    """Returns what changes, on one node, when an image is replaced or written to: quickly found.

    The arguments and errors are those of `fingerprint`.
    """
    if names and (place := in_bucket(names[0])) is not None:
        return ("s3", _asked(names[0], place, head)["ETag"])
    return tuple(map(_state, names))


def _asked(name: str, place: tuple[str, str], head: Head) -> Any:
    try:
        return head(*place)
    except (BotoCoreError, ClientError) as err:
        raise InvalidImage(f"{name} cannot be read: {err}") from err


def _state(name: str) -> Any:
    try:
        state = Path(name).stat()
    except OSError:  # an archive's member, say
        return None
    return state.st_ino, state.st_size, state.st_mtime_ns


def _sample(file: Path, digest: Any) -> None:
    try:
        with file.open("rb") as stream:
            size = stream.seek(0, 2)
            digest.update(size.to_bytes(8, "big"))
            last = max(0, size - SAMPLE_BYTES)
            for number in range(SAMPLES + 1):
                stream.seek(last * number // SAMPLES)
                digest.update(stream.read(SAMPLE_BYTES))
    except OSError as err:
        raise InvalidImage(f"{file} cannot be read: {err}") from err
