"""What an item notes of a run, so that nobody goes on with it as something else."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..imagery import ImageInfo
from ..job_table import JobItem, cut_of
from .work import Work
from .workers import Workers

_OF_FUNCTION = ("function", "arguments")
_OF_IMAGE = ("size", "bytes", "crs", "transform", "dtype", "band_count")
_LONGEST = 100  # characters of a CRS in an item; a longer one is hashed
_DIGITS = 8  # enough to see a difference, too few to find an argument by trying


class Difference(NamedTuple):
    """Something that a resume would do otherwise than the run before.

    Attributes:
        name: The option, as `process_image` calls it; or what is known of the image.
        theirs: What the run began with.
        ours: What the resume is given.
    """

    name: str
    theirs: Any
    ours: Any

    @property
    def is_of_image(self) -> bool:
        """Whether it is another image."""
        return self.name in _OF_IMAGE

    @property
    def is_of_function(self) -> bool:
        """Whether it is another function, or a model made otherwise."""
        return self.name in _OF_FUNCTION


def known_of(info: ImageInfo) -> dict[str, Any]:
    """Returns what tells an image from another one, JSON-able."""
    crs = info.crs
    if crs is not None and len(crs) > _LONGEST:
        crs = f"sha256 {hashlib.sha256(crs.encode()).hexdigest()[:16]}"
    return {
        "bytes": info.fingerprint,
        "crs": crs,
        "transform": None if info.transform is None else list(info.transform),
        "dtype": info.dtype,
        "band_count": info.bands,
    }


def name_of(function: Any) -> str:
    """Returns the name of a function or a model, which is compared, and never imported."""
    named = function.model if isinstance(function, Workers) else function
    return str(getattr(named, "__name__", type(named).__name__))


def arguments_of(work: Work) -> str | None:
    """Returns a hash of what a model is made with; None where that is nothing, or can't be told.

    Arguments may hold secrets: they are not in the item.
    """
    if not (work.fn_constructor_args or work.fn_constructor_kwargs):
        return None
    try:
        told = json.dumps(
            [list(work.fn_constructor_args), dict(work.fn_constructor_kwargs)],
            default=_plain,
            sort_keys=True,
        )
    except (TypeError, ValueError):
        return None
    return hashlib.sha256(told.encode()).hexdigest()[:_DIGITS]


def _plain(value: Any) -> Any:
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError


def noted_in(before: JobItem | None) -> dict[str, Any]:
    """Returns what an item notes; {} where that is nothing of ours."""
    noted = None if before is None else cut_of(before)
    return noted if noted is not None and "tile_size" in noted else {}


def differences(
    theirs: Mapping[str, Any], ours: Mapping[str, Any], *, any_function: bool
) -> Sequence[Difference]:
    """Returns in which options two runs differ, of which an item notes the first.

    What it does not note, as one that an earlier version began, is not compared.
    """
    return [
        Difference(name, theirs[name], ours[name])
        for name in ours
        if name in theirs
        and theirs[name] != ours[name]
        and not (any_function and name in _OF_FUNCTION)
        and not (name == "arguments" and None in (theirs[name], ours[name]))
    ]
