"""The post-processing steps of an OSML request, which raytracker carries to the job item."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import Enum
from typing import Any

from ..errors import InvalidImageRequestException
from .message import invalid, shown

MAX_NUMBER = 1e9  # no threshold is greater; and neither infinite nor NaN


class FeatureDistillationAlgorithmType(str, Enum):
    """How overlapping features are reduced: (soft) non-maximum suppression."""

    NMS = "NMS"
    SOFT_NMS = "SOFT_NMS"


class MRPostprocessingStep(str, Enum):
    """What is done with an image's features."""

    FEATURE_DISTILLATION = "FEATURE_DISTILLATION"


@dataclass(frozen=True)
class FeatureDistillationAlgorithm:
    """An algorithm that reduces overlapping features to one.

    Attributes:
        algorithm_type: Which one.
        iou_threshold: Features whose intersection over union is greater are the same one.
    """

    algorithm_type: FeatureDistillationAlgorithmType
    iou_threshold: float


@dataclass(frozen=True)
class FeatureDistillationNMS(FeatureDistillationAlgorithm):
    """Non-maximum suppression; what a request that says nothing gets."""

    algorithm_type: FeatureDistillationAlgorithmType = FeatureDistillationAlgorithmType.NMS
    iou_threshold: float = 0.75


@dataclass(frozen=True)
class FeatureDistillationSoftNMS(FeatureDistillationAlgorithm):
    """Gaussian soft non-maximum suppression.

    Attributes:
        skip_box_threshold: Features of a lower confidence are dropped.
        sigma: Width of the Gaussian.
    """

    algorithm_type: FeatureDistillationAlgorithmType = FeatureDistillationAlgorithmType.SOFT_NMS
    iou_threshold: float = 0.75
    skip_box_threshold: float = 0.0001
    sigma: float = 0.1


@dataclass(frozen=True)
class MRPostProcessing:
    """One step.

    Attributes:
        step: What is done.
        algorithm: How.
    """

    step: MRPostprocessingStep
    algorithm: FeatureDistillationAlgorithm


_ALGORITHMS: dict[FeatureDistillationAlgorithmType, type[FeatureDistillationAlgorithm]] = {
    FeatureDistillationAlgorithmType.NMS: FeatureDistillationNMS,
    FeatureDistillationAlgorithmType.SOFT_NMS: FeatureDistillationSoftNMS,
}


def default_post_processing() -> list[MRPostProcessing]:
    """OSML's default: non-maximum suppression at 0.75."""
    return [MRPostProcessing(MRPostprocessingStep.FEATURE_DISTILLATION, FeatureDistillationNMS())]


def parse_post_processing(steps: Any) -> list[MRPostProcessing]:
    """Parse the `postProcessing` of a message; nothing is OSML's default.

    Raises:
        InvalidImageRequestException: It is malformed; the text names the field.
    """
    if not steps:
        return default_post_processing()
    if not isinstance(steps, list):
        raise InvalidImageRequestException(f"postProcessing is {shown(steps)}; it must be a list")
    return [_parse_step(step, f"postProcessing[{number}]") for number, step in enumerate(steps)]


def _parse_step(step: Any, name: str) -> MRPostProcessing:
    if not isinstance(step, Mapping) or not isinstance(step.get("algorithm"), Mapping):
        raise InvalidImageRequestException(
            f"{name} is {shown(step)}; it must be an object with step and algorithm"
        )
    try:
        kind = MRPostprocessingStep(step.get("step"))
    except ValueError as err:
        raise InvalidImageRequestException(f"{name}.step: {err}") from err
    # OSML takes its message's names (iouThreshold) and its Python names (iou_threshold).
    options = {
        re.sub("[A-Z]", lambda found: f"_{found[0].lower()}", str(option)): value
        for option, value in step["algorithm"].items()
    }
    return MRPostProcessing(kind, _parse_algorithm(options, f"{name}.algorithm"))


def _parse_algorithm(options: dict[str, Any], name: str) -> FeatureDistillationAlgorithm:
    try:
        kind = FeatureDistillationAlgorithmType(options.pop("algorithm_type", None))
    except ValueError as err:
        raise InvalidImageRequestException(f"{name}.algorithmType: {err}") from err
    algorithm = _ALGORITHMS[kind]
    known = {f.name for f in fields(algorithm)}
    for option, value in options.items():
        if option not in known:
            raise InvalidImageRequestException(f"{name} of {kind.value} has no option {option:.99}")
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not is_number or not abs(value) <= MAX_NUMBER:
            raise invalid(f"{name}.{option}", value, "a number")
    return algorithm(algorithm_type=kind, **options)
