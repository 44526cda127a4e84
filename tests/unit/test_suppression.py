"""Which boxes are kept: as the loop over the whole list has it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ensemble_boxes import nms as their_nms
from ensemble_boxes import soft_nms as their_soft_nms
from hypothesis import given, settings
from hypothesis import strategies as st

from raytracker.pipeline.assembly import suppression
from raytracker.pipeline.assembly.suppression import nms, soft_nms


def iou_of(a: Any, b: Any) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    united = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return float(shared / united)


def thick(boxes: Any) -> Any:
    boxes = np.array(boxes, float)
    for low, high in ((0, 2), (1, 3)):
        boxes[boxes[:, low] == boxes[:, high], high] += 0.1
    return boxes


def textbook(boxes: Any, scores: Any, classes: Any, iou: float) -> list[int]:
    boxes, kept = thick(boxes), []
    for one in np.argsort(-scores, kind="stable").tolist():
        if all(classes[o] != classes[one] or iou_of(boxes[o], boxes[one]) <= iou for o in kept):
            kept.append(one)
    return kept


def textbook_soft(boxes: Any, scores: Any, classes: Any, sigma: float, skip: float) -> Any:
    boxes, scores, left = thick(boxes), scores.astype(float), list(range(len(scores)))
    new = scores.copy()
    while left:
        one = max(left, key=lambda number: (new[number], -number))
        left.remove(one)
        for other in left:
            if classes[other] == classes[one]:
                new[other] *= np.exp(-(iou_of(boxes[one], boxes[other]) ** 2) / sigma)
    return {number: score for number, score in enumerate(new) if score > skip}


def drawn(data: st.DataObject) -> tuple[Any, Any, Any]:
    """Boxes on a small field, equal ones and equal scores among them, some thin."""
    count = data.draw(st.integers(0, 60))
    rng = np.random.default_rng(data.draw(st.integers(0, 10_000)))
    left, top = rng.integers(0, 30, (2, count))
    width, height = rng.integers(0, 12, (2, count))
    boxes = np.column_stack([left, top, left + width, top + height]).astype(float)
    return boxes, rng.integers(0, 6, count) / 5, rng.integers(0, 3, count)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_what_is_kept_is_what_the_loop_keeps(data: st.DataObject) -> None:
    """Also where what is compared at once is less than there is."""
    boxes, scores, classes = drawn(data)
    iou = data.draw(st.sampled_from([0.0, 0.3, 0.5, 0.75, 1.0]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(suppression, "BLOCK", data.draw(st.sampled_from([4, 4096])))
        assert nms(boxes, scores, classes, iou).tolist() == textbook(boxes, scores, classes, iou)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_scores_fall_as_in_the_loop(data: st.DataObject) -> None:
    """In each component as in the whole."""
    boxes, scores, classes = drawn(data)
    sigma, skip = data.draw(st.sampled_from([0.1, 0.5])), data.draw(st.sampled_from([0.0, 0.2]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(suppression, "BLOCK", data.draw(st.sampled_from([4, 4096])))
        kept, new = soft_nms(boxes, scores, classes, sigma, skip)
    expected = textbook_soft(boxes, scores, classes, sigma, skip)
    assert dict(zip(kept.tolist(), new, strict=True)) == pytest.approx(expected)
    assert sorted(new, reverse=True) == new.tolist()


def test_many_tiles_of_boxes() -> None:
    """100,000 of 2,000 tiles that overlap, against the loop in what could touch each."""
    rng = np.random.default_rng(5)
    tile = rng.integers(0, 2000, 100_000)
    left, top = tile % 50 * 900 + rng.uniform(0, 1000, 100_000), tile // 50 * 900
    top = top + rng.uniform(0, 1000, 100_000)
    boxes = np.column_stack([left, top, left + 20, top + 20])
    scores, classes = rng.integers(0, 1000, 100_000) / 1000, rng.integers(0, 2, 100_000)
    near: dict[Any, list[int]] = {}
    kept = []
    for one in np.argsort(-scores, kind="stable").tolist():
        x, y = int(left[one] // 20), int(top[one] // 20)
        others = (o for i in (-1, 0, 1) for j in (-1, 0, 1) for o in near.get((x + i, y + j), ()))
        if all(classes[o] != classes[one] or iou_of(boxes[o], boxes[one]) <= 0.2 for o in others):
            kept.append(one)
            near.setdefault((x, y), []).append(one)
    assert nms(boxes, scores, classes, 0.2).tolist() == kept
    assert len(kept) < 99_900


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000))
def test_it_is_what_osml_calls(seed: int) -> None:
    """With scores that differ: of equal ones, ours keeps the first, theirs any.

    What theirs returns as the new scores are the old ones.
    """
    rng = np.random.default_rng(seed)
    start = rng.uniform(0, 0.7, (40, 2))
    boxes = np.hstack([start, start + rng.uniform(0.05, 0.3, (40, 2))])
    scores, classes = rng.permutation(40) / 40 + 0.01, rng.integers(0, 2, 40)
    theirs, *_ = their_nms([boxes], [scores], [classes], iou_thr=0.4)
    ours = boxes[nms(boxes, scores, classes, 0.4)]
    assert sorted(map(tuple, ours)) == sorted(map(tuple, theirs))
    theirs, *_ = their_soft_nms([boxes], [scores], [classes], iou_thr=0.4, sigma=0.1, thresh=0.05)
    kept, _ = soft_nms(boxes, scores, classes, 0.1, 0.05)
    assert sorted(map(tuple, boxes[kept])) == sorted(map(tuple, theirs))
    assert len(kept) < 40
