"""Non-maximum suppression: of boxes that overlap, which is kept, or how much its score falls.

The result is that of the loop over the whole list that textbooks show; what overlaps is found by a
tree, and only where it matters.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

Boxes = NDArray[np.float64]
Numbers = NDArray[np.intp]

BLOCK = 4096  # boxes that are compared at once
THIN = 0.1  # pixels


def nms(boxes: Boxes, scores: Any, classes: Any, iou: float) -> Numbers:
    """Returns which boxes are kept, in the order of (-score, number).

    A box is kept if none of its class that is kept before it overlaps it by more.

    Args:
        boxes: (n, 4), as left, top, right, bottom; one without width or height counts as 0.1 wide
            or high (OSML 2.3.0, `FeatureSelector`).
        scores: (n,) numbers.
        classes: (n,) integers: what they are of.
        iou: The intersection over union that is still allowed.
    """
    found = _Found(boxes, classes)
    order = np.argsort(-np.asarray(scores, float), kind="stable")
    alive = np.ones(len(order), np.bool_)
    rank = np.empty(len(order), np.intp)
    rank[order] = np.arange(len(order))
    kept: list[Numbers] = []
    for begin in range(0, len(order), BLOCK):
        block = order[begin : begin + BLOCK]
        best = _greedily(found, block[alive[block]], iou)
        kept.append(best)
        # Of what comes later, what these overlap is out.
        for one, other in found.overlapping(best, iou):
            alive[other[rank[other] > rank[one]]] = False
    return np.concatenate(kept) if kept else np.empty(0, np.intp)


def _greedily(found: _Found, block: Numbers, iou: float) -> Numbers:
    """Returns which of some boxes, in order, are kept."""
    inner = _Found(found.boxes[block], found.classes[block])
    alive = np.ones(len(block), np.bool_)
    for ones, others in inner.overlapping(np.arange(len(block)), iou):
        later = others > ones
        ones, others = ones[later], others[later]
        starts = np.flatnonzero(np.diff(ones, prepend=-1))
        for one, its in zip(ones[starts].tolist(), np.split(others, starts)[1:], strict=True):
            if alive[one]:
                alive[its] = False
    kept: Numbers = block[alive]
    return kept


def soft_nms(
    boxes: Boxes, scores: Any, classes: Any, sigma: float, skip: float
) -> tuple[Numbers, NDArray[np.float64]]:
    """Returns which boxes are kept, in the order of (-new score, number), and their new scores.

    The box of the highest score is taken, again and again; each time the scores of the others of
    its class fall by exp(-IoU² / sigma). Kept is what ends above `skip`. With other boxes of their
    own component, of boxes that overlap at all, nothing happens: each is decided alone.

    Source: Bodla et al., Soft-NMS (2017), as `ensemble_boxes` has it, which OSML 2.3.0 calls.

    Args:
        boxes: As for `nms`, and so are the next two.
        scores: Likewise.
        classes: Likewise.
        sigma: How wide the Gaussian is.
        skip: A score.
    """
    found = _Found(boxes, classes)
    new = np.array(scores, float)
    for component in _components(found):
        _soften(found, component, new, sigma)
    kept = np.flatnonzero(new > skip)
    kept = kept[np.argsort(-new[kept], kind="stable")]
    return kept, new[kept]


def _soften(found: _Found, component: Numbers, scores: NDArray[np.float64], sigma: float) -> None:
    left = component
    while len(left) > 1:
        best = int(np.argmax(scores[left]))  # the first, of equal ones
        one, left = left[best], np.delete(left, best)
        shared = found.iou(np.full(len(left), one), left)
        scores[left] *= np.exp(-(shared**2) / sigma)


def _components(found: _Found) -> Iterator[Numbers]:
    """Yields the numbers of boxes, rising, that overlap one another through others; if several."""
    count = len(found.boxes)
    label = np.arange(count)

    def root(number: int) -> int:
        while label[number] != number:
            label[number] = label[label[number]]
            number = int(label[number])
        return number

    for begin in range(0, count, BLOCK):
        for ones, others in found.overlapping(np.arange(begin, min(count, begin + BLOCK)), 0.0):
            if not len(ones):
                continue
            there = np.unique(np.concatenate([ones, others]))
            # First each with the least of its own, which of a crowd is all that there is to do.
            starts = np.flatnonzero(np.diff(ones, prepend=-1))
            least = np.minimum.reduceat(label[others], starts)
            for pairs in (np.column_stack([ones[starts], least]), np.column_stack([ones, others])):
                labels = label[pairs]
                apart = np.unique(labels[labels[:, 0] != labels[:, 1]], axis=0)
                for one, other in apart.tolist():
                    low, high = sorted((root(one), root(other)))
                    label[high] = low
                label[there] = [root(number) for number in there.tolist()]
    roots = np.array([root(number) for number in range(count)], np.intp)
    order = np.argsort(roots, kind="stable")
    starts = np.flatnonzero(np.diff(roots[order], prepend=-1))
    for component in np.split(order, starts)[1:]:
        if len(component) > 1:
            yield component


class _Found:
    """Boxes of several classes, and which of them overlap.

    Args:
        boxes: As for `nms`, and so is the next.
        classes: Likewise.
    """

    def __init__(self, boxes: Boxes, classes: Any) -> None:
        self.boxes = np.array(boxes, float).reshape(-1, 4)
        self.classes = np.asarray(classes, np.intp)
        left, top, right, bottom = self.boxes.T
        right[right == left] += THIN
        bottom[bottom == top] += THIN
        self._areas = (right - left) * (bottom - top)
        # Each class lies far from the others: only those of one are found beside another.
        self._width = float(right.max() - left.min() + 1) if len(self.boxes) else 1.0
        self._shapes = self._moved(self.boxes, self.classes)
        self._tree = shapely.STRtree(self._shapes)

    def _moved(self, boxes: Boxes, classes: Numbers) -> Any:
        left, top, right, bottom = boxes.T
        away = classes * self._width
        return shapely.box(left + away, top, right + away, bottom)

    def overlapping(self, some: Numbers, iou: float) -> Iterator[tuple[Numbers, Numbers]]:
        """Yields pairs of boxes, the first of which are some, in order, that overlap by more."""
        for begin in range(0, len(some), BLOCK):
            these = some[begin : begin + BLOCK]
            ones, others = self._tree.query(self._shapes[these])
            ones = these[ones]
            different = (ones != others) & (self.classes[ones] == self.classes[others])
            ones, others = ones[different], others[different]
            more = self.iou(ones, others) > iou
            yield ones[more], others[more]

    def iou(self, ones: Numbers, others: Numbers) -> NDArray[np.float64]:
        """Returns the intersection over union of pairs."""
        a, b = self.boxes[ones], self.boxes[others]
        size = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
        shared = np.prod(np.maximum(size, 0), axis=1)
        united = self._areas[ones] + self._areas[others] - shared
        ratio: NDArray[np.float64] = shared / united
        return ratio
