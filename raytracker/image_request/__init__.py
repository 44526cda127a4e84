"""An OSML request message, parsed and validated."""

from .post_processing import (
    FeatureDistillationAlgorithm,
    FeatureDistillationAlgorithmType,
    FeatureDistillationNMS,
    FeatureDistillationSoftNMS,
    MRPostProcessing,
    MRPostprocessingStep,
)
from .request import ImageCompression, ImageFormats, ImageRequest, ModelInvokeMode, SinkType

__all__ = [
    "FeatureDistillationAlgorithm",
    "FeatureDistillationAlgorithmType",
    "FeatureDistillationNMS",
    "FeatureDistillationSoftNMS",
    "MRPostProcessing",
    "MRPostprocessingStep",
    "ImageCompression",
    "ImageFormats",
    "ImageRequest",
    "ModelInvokeMode",
    "SinkType",
]
