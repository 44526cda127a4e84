"""OSML Model Runner's request message: parsed, with errors that name the field.

OSML keeps an attribute's message name and its Python name apart (`imageProcessorTileSize`,
`tile_size`); errors use the message's.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import InvalidImageRequestException
from ..wkt import parsed_wkt
from .message import check_plain, decoded, invalid
from .post_processing import (
    FeatureDistillationAlgorithm,
    MRPostProcessing,
    MRPostprocessingStep,
    default_post_processing,
    parse_post_processing,
)

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry
else:
    BaseGeometry = Any  # shapely is an extra, and slow to import; get_type_hints wants a name

logger = logging.getLogger(__name__)

MAX_PIXELS = 2**31 - 1  # of a side: GDAL counts no further

_E = TypeVar("_E", bound=Enum)
_Message = Mapping[str, Any]


class ModelInvokeMode(str, Enum):
    """How a model is invoked."""

    NONE = "NONE"
    SM_ENDPOINT = "SM_ENDPOINT"
    HTTP_ENDPOINT = "HTTP_ENDPOINT"


class ImageFormats(str, Enum):
    """How a tile is encoded."""

    NITF = "NITF"
    JPEG = "JPEG"
    PNG = "PNG"
    GTIFF = "GTIFF"


class ImageCompression(str, Enum):
    """How a tile is compressed."""

    NONE = "NONE"
    JPEG = "JPEG"
    J2K = "J2K"
    LZW = "LZW"


class SinkType(str, Enum):
    """Where results go."""

    S3 = "S3"
    KINESIS = "Kinesis"


@dataclass
class ImageRequest:
    """A request to process one image.

    Attributes:
        job_id: The job that asks.
        image_id: `jobId:imageUrl`; the key in the job table.
        image_url: Where the image is.
        image_read_role: ARN of the IAM role that may read it, or "".
        outputs: Where results go: objects with a `type`, S3 or Kinesis, and what that needs.
        model_name: Name of the model.
        model_invoke_mode: How it is invoked.
        tile_size: Width and height of a tile in pixels.
        tile_overlap: Width and height of the overlap of two tiles in pixels.
        tile_format: How a tile is encoded.
        tile_compression: How a tile is compressed.
        model_invocation_role: ARN of the IAM role that may invoke the model, or "".
        feature_properties: Objects whose properties are added to each feature.
        roi: Region of interest, a shapely geometry, or None.
        post_processing: What is done with an image's features.
        model_endpoint_parameters: What the model's endpoint is called with, for example a
            TargetVariant, or None; newer than OSML 2.3.0.
    """

    job_id: str = ""
    image_id: str = ""
    image_url: str = ""
    image_read_role: str = ""
    outputs: list[dict[str, Any]] = field(default_factory=list)
    model_name: str = ""
    model_invoke_mode: ModelInvokeMode = ModelInvokeMode.NONE
    tile_size: tuple[int, int] = (1024, 1024)
    tile_overlap: tuple[int, int] = (50, 50)
    tile_format: str = ImageFormats.NITF.value
    tile_compression: str = ImageCompression.NONE.value
    model_invocation_role: str = ""
    feature_properties: list[dict[str, Any]] = field(default_factory=list)
    roi: BaseGeometry | None = None
    post_processing: list[MRPostProcessing] = field(default_factory=default_post_processing)
    model_endpoint_parameters: dict[str, Any] | None = None

    @staticmethod
    def from_external_message(image_request: Mapping[str, Any] | str | bytes) -> ImageRequest:
        """Parse a request message.

        A message that has several `imageUrls` is, as in OSML, a request for the first.

        Args:
            image_request: The message: a decoded JSON object, or its text.

        Raises:
            InvalidImageRequestException: It is malformed; the text names the field.
        """
        message = _decoded(image_request)
        job_id = _text(message, "jobId", required=True)
        image_url = _image_url(message)
        processor = message.get("imageProcessor")
        if not isinstance(processor, Mapping):
            raise invalid("imageProcessor", processor, "an object with a name")
        mode = processor.get("type")
        request = ImageRequest(
            job_id=job_id,
            image_id=f"{job_id}:{image_url}",
            image_url=image_url,
            image_read_role=_text(message, "imageReadRole"),
            outputs=_outputs(message),
            model_name=_text(processor, "name", "imageProcessor.", required=True),
            model_invoke_mode=_member(
                ModelInvokeMode, mode, "imageProcessor.type", ModelInvokeMode.SM_ENDPOINT
            ),
            tile_size=_dimensions(message, "imageProcessorTileSize", (1024, 1024)),
            tile_overlap=_dimensions(message, "imageProcessorTileOverlap", (50, 50)),
            tile_format=_member(
                ImageFormats,
                message.get("imageProcessorTileFormat"),
                "imageProcessorTileFormat",
                ImageFormats.NITF,
            ).value,
            tile_compression=_member(
                ImageCompression,
                message.get("imageProcessorTileCompression"),
                "imageProcessorTileCompression",
                ImageCompression.NONE,
            ).value,
            model_invocation_role=_text(processor, "assumedRole", "imageProcessor."),
            feature_properties=_objects(message, "featureProperties"),
            roi=_roi(message.get("regionOfInterest")),
            post_processing=parse_post_processing(message.get("postProcessing")),
            model_endpoint_parameters=_object(message, "imageProcessorParameters"),
        )
        request._validate()
        return request

    def is_valid(self) -> bool:
        """Whether all that a job needs is there and makes sense; the log says what does not."""
        try:
            self._validate()
            if len(self.get_feature_distillation_option()) > 1:
                raise InvalidImageRequestException("postProcessing: more than one distillation")
        except InvalidImageRequestException as err:
            logger.error("Invalid ImageRequest: %s", err)
            return False
        return True

    def get_shared_values(self) -> dict[str, Any]:
        """The attributes that a region's request has in common with its image's."""
        return {
            "image_id": self.image_id,
            "job_id": self.job_id,
            "image_url": self.image_url,
            "image_read_role": self.image_read_role,
            "model_name": self.model_name,
            "model_invoke_mode": self.model_invoke_mode,
            "model_endpoint_parameters": self.model_endpoint_parameters,
            "model_invocation_role": self.model_invocation_role,
            "tile_size": self.tile_size,
            "tile_overlap": self.tile_overlap,
            "tile_format": self.tile_format,
            "tile_compression": self.tile_compression,
        }

    def get_feature_distillation_option(self) -> list[FeatureDistillationAlgorithm]:
        """The algorithms of the post-processing steps that reduce overlapping features."""
        return [
            operation.algorithm
            for operation in self.post_processing
            if operation.step == MRPostprocessingStep.FEATURE_DISTILLATION
            and isinstance(operation.algorithm, FeatureDistillationAlgorithm)
        ]

    def _validate(self) -> None:
        """Raise InvalidImageRequestException that names the first field that is wrong."""
        for name, text in (
            ("jobId", self.job_id),
            ("imageUrls", self.image_url),
            ("image_id", self.image_id),
            ("imageProcessor.name", self.model_name),
        ):
            if not text:
                raise invalid(name, text, "a string that is not empty")
        for name, value, kind in (
            ("imageProcessor.type", self.model_invoke_mode, ModelInvokeMode),
            ("imageProcessorTileFormat", self.tile_format, ImageFormats),
            ("imageProcessorTileCompression", self.tile_compression or "NONE", ImageCompression),
        ):
            _member(kind, value, name)
        self._validate_tiles()
        for name, role in (
            ("imageReadRole", self.image_read_role),
            ("imageProcessor.assumedRole", self.model_invocation_role),
        ):
            if role and not role.startswith("arn:"):
                raise invalid(name, role, "the ARN of an IAM role (arn:...)")
        for number, output in enumerate(self.outputs):
            if output.get("type") not in [sink.value for sink in SinkType]:  # it may be a list
                raise invalid(f"outputs[{number}].type", output.get("type"), "S3 or Kinesis")

    def _validate_tiles(self) -> None:
        size, overlap = self.tile_size, self.tile_overlap
        if not size or len(size) != 2 or min(size) <= 0:
            raise invalid("imageProcessorTileSize", size, "a positive integer")
        if not overlap or len(overlap) != 2 or min(overlap) < 0:
            raise invalid("imageProcessorTileOverlap", overlap, "an integer, 0 or more")
        if overlap[0] >= size[0] or overlap[1] >= size[1]:
            wanted = f"smaller than imageProcessorTileSize, {size}"
            raise invalid("imageProcessorTileOverlap", overlap, wanted)


def _decoded(message: Mapping[str, Any] | str | bytes) -> _Message:
    if isinstance(message, (str, bytes)):
        message = decoded(message)
    if not isinstance(message, Mapping):
        raise invalid("the request message", message, "a JSON object")
    check_plain(message)
    return message


def _text(message: _Message, name: str, prefix: str = "", *, required: bool = False) -> str:
    value = message.get(name)
    if required and not value:
        raise invalid(prefix + name, value, "a string that is not empty")
    if value is not None and not isinstance(value, str):
        raise invalid(prefix + name, value, "a string")
    return value or ""


def _image_url(message: _Message) -> str:
    urls = message.get("imageUrls")
    if (
        not isinstance(urls, Sequence)
        or isinstance(urls, str)
        or not urls
        or not all(isinstance(url, str) and url for url in urls)
    ):
        raise invalid("imageUrls", urls, "a list of one or more strings")
    if len(urls) > 1:
        logger.warning("imageUrls has %d entries; only the first is processed", len(urls))
    return str(urls[0])


def _object(message: _Message, name: str) -> dict[str, Any] | None:
    value = message.get(name)
    if value is not None and not isinstance(value, dict):
        raise invalid(name, value, "an object")
    return value


def _objects(message: _Message, name: str) -> list[dict[str, Any]]:
    value = message.get(name)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise invalid(name, value, "a list of objects")
    return value


def _outputs(message: _Message) -> list[dict[str, Any]]:
    outputs = _objects(message, "outputs")
    bucket, prefix = _text(message, "outputBucket"), _text(message, "outputPrefix")
    if not outputs and bucket and prefix:
        return [{"type": SinkType.S3.value, "bucket": bucket, "prefix": prefix}]
    return outputs


def _dimensions(message: _Message, name: str, default: tuple[int, int]) -> tuple[int, int]:
    value = message.get(name)
    if value is None:
        return default
    try:
        number = int(value)
        whole = isinstance(value, str) or number == value
    except (TypeError, ValueError, OverflowError):
        whole = False
    if not whole or isinstance(value, bool) or abs(number) > MAX_PIXELS:
        raise invalid(name, value, "an integer, as an image may have pixels")
    return (number, number)


def _member(kind: type[_E], value: object, name: str, default: _E | None = None) -> _E:
    if default is not None and (value is None or value == ""):
        return default
    try:
        return kind(value)
    except ValueError as err:
        wanted = "one of " + ", ".join(str(member.value) for member in kind)
        raise invalid(name, value, wanted) from err


def _roi(wkt: object) -> BaseGeometry | None:
    if wkt is None or wkt == "":
        return None
    if not isinstance(wkt, str):
        raise invalid("regionOfInterest", wkt, "a string of WKT")
    try:
        return parsed_wkt(wkt)
    except ImportError as err:
        raise InvalidImageRequestException(
            'regionOfInterest needs shapely: pip install "raytracker[imagery]"'
        ) from err
    except ValueError as err:
        raise invalid("regionOfInterest", wkt, f"WKT ({err})") from err
