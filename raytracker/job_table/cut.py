"""How an image was cut, as its item keeps it: a region of interest is in it once, as OSML's."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from .item import JobItem


def with_cut(job: JobItem, cut: Mapping[str, Any] | None) -> JobItem:
    """Returns a job with how its image is cut, as `tracker_grid`.

    An ROI that is the job's `roi_wkt`, too, stands there as its hash: it may take half an item. So
    two jobs of different ROIs still differ in this attribute.
    """
    if cut is not None and job.roi_wkt is not None and cut.get("roi") == job.roi_wkt:
        cut = {**cut, "roi": _hash(job.roi_wkt)}
    return replace(job, tracker_grid=None if cut is None else json.dumps(cut, sort_keys=True))


def cut_of(job: JobItem) -> dict[str, Any] | None:
    """Returns how a job's image is cut, in full; None: that is not known.

    Of what somebody else wrote there it returns {}.
    """
    if not job.tracker_grid:
        return None
    try:
        cut = json.loads(job.tracker_grid)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(cut, dict):
        return {}
    if job.roi_wkt is not None and cut.get("roi") == _hash(job.roi_wkt):
        cut["roi"] = job.roi_wkt
    return cut


def _hash(roi: str) -> str:
    told = roi.encode("utf-8", "surrogatepass")  # whatever somebody wrote there
    return f"sha256:{hashlib.sha256(told).hexdigest()}"
