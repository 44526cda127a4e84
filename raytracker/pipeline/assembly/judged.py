"""What a Feature is of, and how sure of it whoever found it was."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from ...errors import OutputError
from .asked import Assembly

UNSCORED = "", -1.0  # as OSML has it


def group_of(properties: Mapping[str, Any], assembly: Assembly) -> str:
    """Returns what is equal in Features that may be one: the values of the properties that tell."""
    if not assembly.merge_by:
        return ""
    return json.dumps([properties.get(name) for name in assembly.merge_by], default=str)


def class_and_score(properties: Mapping[str, Any], assembly: Assembly) -> tuple[str, float]:
    """Returns the class of a Feature, as text, and its score.

    By OSML's rule they are those of the entry of `featureClasses` with the highest score, its
    `iri` and `score` (Model Runner 2.3.0, `FeatureSelector`); or the score is a property, and the
    class what is told by others.

    Raises:
        OutputError: It has none, and that is asked for.
    """
    if assembly.merge_score is not None:
        score = properties.get(assembly.merge_score)
        if not _is_number(score):
            raise OutputError(
                f"a feature has {score!r:.40} as its property {assembly.merge_score!r}, by which "
                f"merge={assembly.merge!r} ranks: give each one a number"
            )
        return group_of(properties, assembly), float(score)  # type: ignore[arg-type]
    best = best_class(properties)
    if best is None:
        if assembly.merge_unscored:
            return UNSCORED
        raise OutputError(
            f"a feature has no featureClasses with a score, by which merge={assembly.merge!r} "
            "ranks: name the property that has its score (merge_score), or give it "
            'featureClasses=[{"iri": ..., "score": ...}]'
        )
    return json.dumps([best.get("iri"), group_of(properties, assembly)]), float(best["score"])


def best_class(properties: Mapping[str, Any]) -> Any | None:
    """Returns the entry of `featureClasses` with the highest score, the first of equal ones."""
    entries = properties.get("featureClasses")
    found = [
        entry
        for entry in (entries if isinstance(entries, (list, tuple)) else ())
        if isinstance(entry, Mapping) and _is_number(entry.get("score"))
    ]
    return max(found, key=lambda entry: float(entry["score"]), default=None)


def with_score(feature: dict[str, Any], score: float, assembly: Assembly) -> dict[str, Any]:
    """Returns a Feature with another score, and the one that it had as `rawScore`."""
    properties = feature["properties"]
    if assembly.merge_score is not None:
        properties["rawScore"] = properties[assembly.merge_score]
        properties[assembly.merge_score] = score
        return feature
    best = best_class(properties)
    if best is not None:
        for entry in properties["featureClasses"]:
            if isinstance(entry, dict) and entry.get("iri") == best.get("iri"):
                entry["rawScore"] = entry.get("score")
                entry["score"] = score
    return feature


def _is_number(value: Any) -> bool:
    if isinstance(value, (bool, str, bytes)):
        return False
    try:
        return math.isfinite(value)
    except TypeError:
        return False
