"""Which Features of an image are kept, and what stands for those that are one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from shapely.geometry import mapping

from ...imagery import ImageInfo, on_ground
from .asked import Assembly
from .features import Located, PartFeatures
from .judged import with_score
from .suppression import nms, soft_nms
from .union import candidates, common, joined, together


class Decision(NamedTuple):
    """What becomes of the Features of a part.

    Attributes:
        kept: Whether each is kept.
        scores: Their new scores; None: they stay.
        replaced: What stands in the place of some, as JSON, by their number.
    """

    kept: NDArray[np.bool_]
    scores: NDArray[np.float64] | None
    replaced: Mapping[int, str]


def decide(
    located: Sequence[Any],
    features: Sequence[Any],
    get: Callable[[Any], Any],
    assembly: Assembly,
    info: ImageInfo,
) -> list[Decision]:
    """Returns what becomes of the Features of each part.

    Args:
        located: Stand for the `Located` of each part.
        features: Stand for its `PartFeatures`; only some are looked at, one at a time.
        get: Returns what one of these stands for.
        assembly: How they are merged.
        info: The image.
    """
    known: list[Located] = [get(each)._replace(shapes=[]) for each in located]
    if not known:
        return []
    boxes = np.concatenate([each.boxes for each in known])
    names = np.array([group for each in known for group in each.groups], object)
    groups = np.unique(names, return_inverse=True)[1] if len(names) else np.empty(0, np.intp)
    ends = np.cumsum([len(each.boxes) for each in known])
    kept = np.ones(len(boxes), np.bool_)
    # What lies nowhere is in nobody's way.
    there = np.flatnonzero(np.isfinite(boxes).all(axis=1))
    scores = None
    replaced: dict[int, str] = {}
    if assembly.merge == "union":
        tiles = np.concatenate([each.tiles + (n << 40) for n, each in enumerate(known)])
        ones, others = candidates(boxes[there], tiles[there], groups[there])
        pieces = _Pieces(located, features, get, ends)
        for numbers, feature in _united(pieces, (there[ones], there[others]), assembly, info):
            kept[numbers[1:]] = False
            replaced[numbers[0]] = feature
    else:
        scores = np.concatenate([each.scores for each in known])
        _suppress(kept, scores, there, boxes, groups, assembly)
        scores = scores if assembly.merge == "soft_nms" else None
    return [
        Decision(
            kept[begin:end],
            None if scores is None else scores[begin:end],
            {n - begin: text for n, text in replaced.items() if begin <= n < end},
        )
        for begin, end in zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True)
    ]


def decided(part: PartFeatures, decision: Decision, assembly: Assembly) -> PartFeatures:
    """Returns the Features of a part as they were decided on."""
    lines = part.text.decode().split("\n") if part.number else []
    chosen = []
    for number in np.flatnonzero(decision.kept).tolist():
        line = decision.replaced.get(number, lines[number])
        if decision.scores is not None:
            feature = with_score(json.loads(line), float(decision.scores[number]), assembly)
            line = json.dumps(feature)
        chosen.append(line)
    return PartFeatures("\n".join(chosen).encode(), len(chosen))


def _suppress(
    kept: NDArray[np.bool_],
    scores: NDArray[np.float64],
    there: NDArray[np.intp],
    boxes: NDArray[np.float64],
    groups: NDArray[np.intp],
    assembly: Assembly,
) -> None:
    those = boxes[there], scores[there], groups[there]
    kept[there] = False
    if assembly.merge == "nms":
        kept[there[nms(*those, assembly.merge_iou or 0.0)]] = True
        return
    numbers, new = soft_nms(*those, assembly.merge_sigma or 0.1, assembly.merge_skip or 0.0)
    kept[there[numbers]] = True
    scores[there[numbers]] = new


class _Pieces:
    """The shapes and the Features of some of all parts, fetched part by part."""

    def __init__(
        self,
        located: Sequence[Any],
        features: Sequence[Any],
        get: Callable[[Any], Any],
        ends: NDArray[np.intp],
    ) -> None:
        self._located, self._features, self._get, self._ends = located, features, get, ends

    def _by_part(self, numbers: Sequence[int]) -> Iterator[tuple[int, list[tuple[int, int]]]]:
        """Yields each part that has some of these, and their numbers: in all, and in it."""
        wanted = np.unique(np.array(numbers, np.intp))
        parts = np.searchsorted(self._ends, wanted, side="right")
        for part in np.unique(parts).tolist():
            begin = int(self._ends[part - 1]) if part else 0
            yield part, [(n, n - begin) for n in wanted[parts == part].tolist()]

    def shapes(self, numbers: Sequence[int]) -> dict[int, Any]:
        """Returns those that are areas."""
        found = {}
        for part, those in self._by_part(numbers):
            shapes = self._get(self._located[part]).shapes
            for number, inner in those:
                if shapes[inner] is not None:
                    found[number] = shapely.from_wkb(shapes[inner])
        return found

    def properties(self, numbers: Sequence[int]) -> dict[int, Any]:
        """Returns the properties of their Features."""
        found = {}
        for part, those in self._by_part(numbers):
            lines = self._get(self._features[part]).text.decode().split("\n")
            for number, inner in those:
                found[number] = json.loads(lines[inner])["properties"]
        return found


def _united(
    pieces: _Pieces,
    pairs: tuple[NDArray[np.intp], NDArray[np.intp]],
    assembly: Assembly,
    info: ImageInfo,
) -> Iterator[tuple[list[int], str]]:
    """Yields the numbers of Features that are one, and that one as JSON."""
    shapes = pieces.shapes(np.concatenate(pairs).tolist())
    components = together(shapes, pairs)
    properties = pieces.properties([number for numbers in components for number in numbers])
    everything = Affine(*info.coefficients)
    for numbers in components:
        shape = on_ground(info, joined([shapes[number] for number in numbers]), everything)
        feature = {
            "type": "Feature",
            "geometry": mapping(shape),
            "properties": common([properties[number] for number in numbers], assembly.merge_score),
        }
        yield numbers, json.dumps(feature)
