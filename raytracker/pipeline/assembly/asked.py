"""How the results of an image are to be assembled."""

from __future__ import annotations

import json
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

from ...errors import OutputError
from ...image_request import FeatureDistillationAlgorithm, FeatureDistillationSoftNMS

Merge = Literal["none", "nms", "soft_nms", "union"]
Blend = Literal["crop", "mean"]
Format = Literal["geojson", "parquet"]

MERGES = ("none", "nms", "soft_nms", "union")
BLENDS = ("crop", "mean")
FORMATS = ("geojson", "parquet")


class Assembly(NamedTuple):
    """How the results of an image are assembled; None: nothing is said of it.

    Attributes:
        merge: "none": all Features, as they were found. "nms", "soft_nms": of those that overlap,
            that of the highest score, see `suppression`. "union": what was cut at the edges of
            tiles is one again, see `union`.
        merge_score: The property with the score; None: by OSML's rule, see `judged`.
        merge_iou: Features overlap whose boxes' intersection over union is greater.
        merge_by: The properties whose values are equal in Features that may be merged.
        merge_sigma: Of "soft_nms": the width of its Gaussian.
        merge_skip: Of "soft_nms": Features whose score falls below are dropped.
        merge_unscored: Whether Features without a score are merged as well, as what is least sure;
            OSML does, so an image of a request.
        formats: Of the Features: "geojson", "parquet", or both.
        tile_properties: Whether the properties of each Feature say its image_id, region and tile.
        blend: "crop": each pixel of a raster is from the tile whose core it is in. "mean": of all
            tiles that have it, weighted, for scores. Of several rasters this, and the last three,
            may be given by name: {"score": "mean"}.
        stride: How many of the image's pixels, across and down, are one of a raster's.
        nodata: The value of a raster's pixels without a result; None: NaN, or the greatest.
        colormap: The colours of a raster's values, as `rasterio`'s `write_colormap` takes them.
        band_names: The names of a raster's bands.
    """

    merge: str | None = None
    merge_score: str | None = None
    merge_iou: float | None = None
    merge_by: Sequence[str] | None = None
    merge_sigma: float | None = None
    merge_skip: float | None = None
    merge_unscored: bool | None = None
    formats: Sequence[str] | None = None
    tile_properties: bool | None = None
    blend: str | Mapping[str, str] | None = None
    stride: int | None = None
    nodata: float | Mapping[str, float] | None = None
    colormap: Mapping[Any, Any] | None = None
    band_names: Sequence[str] | Mapping[str, Sequence[str]] | None = None

    @property
    def is_blended(self) -> bool:
        """Whether a raster's pixels are of several tiles."""
        blends = self.blend.values() if isinstance(self.blend, Mapping) else [self.blend]
        return "mean" in blends

    def of_raster(self, name: str) -> RasterAssembly:
        """Returns what is said of the raster of a name."""
        blend, _, nodata, colormap, names = map(partial(_of, name), self._checked()[-5:])
        colours = colormap and {int(value): colour for value, colour in colormap.items()}
        return RasterAssembly(blend or "crop", self.stride or 1, nodata, colours, names)

    def applied(self, begun_with: Mapping[str, Any]) -> Assembly:
        """Returns what is said, else what the run began with, else what is usual.

        Raises:
            OutputError: A value is none; the text names it.
        """
        begun = Assembly(**{name: begun_with[name] for name in self._fields if name in begun_with})
        every = zip(self._checked(), begun._checked(), USUAL, strict=True)
        return Assembly._make(
            next((value for value in values if value is not None), None) for values in every
        )

    def requested(self, algorithms: Sequence[FeatureDistillationAlgorithm]) -> Assembly:
        """Returns it with what a request says of its Features, where nothing else is said."""
        if self.merge is not None or not algorithms:
            return self
        [algorithm] = algorithms
        iou = self.merge_iou or algorithm.iou_threshold
        wanted = self._replace(merge="nms", merge_iou=iou, merge_unscored=True)
        if isinstance(algorithm, FeatureDistillationSoftNMS):
            return wanted._replace(
                merge="soft_nms",
                merge_sigma=algorithm.sigma,
                merge_skip=algorithm.skip_box_threshold,
            )
        return wanted

    @property
    def distillation(self) -> str | None:
        """What OSML's items say of that, as JSON; None: nothing."""
        told = {"algorithm_type": str(self.merge).upper(), "iou_threshold": self.merge_iou}
        if self.merge == "soft_nms":
            told |= {"sigma": self.merge_sigma, "skip_box_threshold": self.merge_skip}
        return json.dumps(told) if self.merge in ("nms", "soft_nms") else None

    def to_dict(self) -> dict[str, Any]:
        """Returns what is not as usual, JSON-able."""
        pairs = zip(self._fields, self._checked(), USUAL, strict=True)
        return {name: value for name, value, usual in pairs if value not in (None, usual)}

    def _checked(self) -> tuple[Any, ...]:
        """Returns the values, JSON-able, but for a colormap's."""
        return (
            _one_of("merge", self.merge, MERGES),
            None if self.merge_score is None else str(self.merge_score),
            _number("merge_iou", self.merge_iou, 0, 1),
            _names("merge_by", self.merge_by),
            _number("merge_sigma", self.merge_sigma, 0, math.inf),
            _number("merge_skip", self.merge_skip, -math.inf, math.inf),
            None if self.merge_unscored is None else bool(self.merge_unscored),
            _formats(self.formats),
            None if self.tile_properties is None else bool(self.tile_properties),
            _by_name(partial(_one_of, "blend", known=BLENDS), self.blend),
            _stride(self.stride),
            _by_name(_nodata, self.nodata),
            _colormaps(self.colormap),
            _by_name(partial(_names, "band_names"), self.band_names),
        )


class RasterAssembly(NamedTuple):
    """How a raster is assembled; the attributes are those of `Assembly`."""

    blend: str
    stride: int
    nodata: float | None = None
    colormap: Mapping[int, Sequence[int]] | None = None
    band_names: Sequence[str] | None = None


NOTHING_SAID = Assembly()
USUAL = Assembly("none", None, 0.5, None, 0.1, 0.0001, False, ["geojson"], False, "crop", 1)


def _of(raster: str, value: Any) -> Any:
    """Returns what is said of a raster, where it may be said of several by name."""
    is_by_name = isinstance(value, dict) and not all(map(str.isdecimal, value))
    return value.get(raster) if is_by_name else value


def _by_name(check: Callable[[Any], Any], value: Any) -> Any:
    if not isinstance(value, Mapping):
        return check(value)
    return {str(name): check(of) for name, of in sorted(value.items())}


def _one_of(name: str, value: Any, known: Sequence[str]) -> str | None:
    if value is None or value in known:
        return value  # type: ignore[no-any-return]
    raise OutputError(f"{name} {value!r}: say {', '.join(known[:-1])} or {known[-1]}")


def _names(name: str, value: Any) -> list[str] | None:
    if value is None:
        return None
    is_list = isinstance(value, Sequence) and not isinstance(value, (str, bytes))
    names = list(value) if is_list else [value]
    if not names or not all(isinstance(each, str) and each for each in names):
        raise OutputError(f"{name} {value!r}: give names, such as ['class']")
    return names


def _formats(value: Any) -> list[str] | None:
    names = _names("formats", value)
    for each in names or ():
        _one_of("formats", each, FORMATS)
    return names and sorted(set(names))


def _number(name: str, value: Any, least: float, most: float) -> float | None:
    if value is None:
        return None
    number = _plain(name, value)
    if not (math.isfinite(number) and least <= number <= most):
        raise OutputError(f"{name} {value!r}: give a number from {least:g} to {most:g}")
    return number


def _nodata(value: Any) -> float | None:
    number = None if value is None else _plain("nodata", value)
    return None if number is None or math.isnan(number) else number  # NaN is what floats have


def _plain(name: str, value: Any) -> float:
    try:
        if isinstance(value, (str, bytes, bool)):
            raise TypeError
        number = float(value)
    except (TypeError, ValueError):
        raise OutputError(f"{name} {value!r}: give a number") from None
    return int(number) if number.is_integer() else number


def _stride(value: Any) -> int | None:
    try:
        stride = None if value is None else operator.index(value)
    except TypeError:
        stride = 0
    if stride is not None and stride < 1:
        raise OutputError(f"stride {value!r}: give a whole number of pixels, from 1")
    return stride


def _colormaps(value: Any) -> Any:
    is_by_name = isinstance(value, Mapping) and len(value) > 0
    if is_by_name and all(isinstance(each, Mapping) for each in value.values()):
        return _by_name(_colormap, value)
    return _colormap(value)


def _colormap(value: Any) -> dict[str, list[int]] | None:
    """Returns colours by value, as JSON has it: its keys are texts."""
    if value is None:
        return None
    try:
        found = {int(key): [int(part) for part in colour] for key, colour in value.items()}
    except (AttributeError, TypeError, ValueError):
        found = {}
    if not found or not all(
        0 <= key <= 65535 and len(colour) in (3, 4) and all(0 <= part <= 255 for part in colour)
        for key, colour in found.items()
    ):
        raise OutputError(
            f"colormap {value!r:.80}: give a colour of (red, green, blue) or (red, green, blue, "
            "alpha), of 0 to 255, for each value, such as {1: (0, 0, 255)}"
        )
    return {str(key): colour for key, colour in sorted(found.items())}
