"""raytracker: knows, exactly and cheaply, how far each image of a Ray pipeline has come.

One Ray actor per image collects the outcomes of its regions and flushes them to a DynamoDB job
table with the schema of OSML Model Runner's JobTable. Each region is counted exactly once.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .errors import RaytrackerError
    from .image_request import ImageRequest
    from .job_table import JobItem, JobTable
    from .ledger import Outcome
    from .local import EmbeddedDynamoDB
    from .pipeline import Work, Workers, collect, process_image
    from .progress import Progress
    from .tracker import ImageTracker

__version__ = "0.1.0"

__all__ = [
    "ImageTracker",
    "JobTable",
    "JobItem",
    "ImageRequest",
    "Outcome",
    "Progress",
    "RaytrackerError",
    "process_image",
    "collect",
    "Work",
    "Workers",
    "EmbeddedDynamoDB",
]

_HOME = {
    "ImageTracker": "tracker",
    "JobTable": "job_table",
    "JobItem": "job_table",
    "ImageRequest": "image_request",
    "Outcome": "ledger",
    "Progress": "progress",
    "RaytrackerError": "errors",
    "process_image": "pipeline",
    "collect": "pipeline",
    "Work": "pipeline",
    "Workers": "pipeline",
    "EmbeddedDynamoDB": "local",
}
_EXTRAS = {"pipeline": "[imagery]"}  # of the homes that need more than Ray and boto3


def __getattr__(name: str) -> Any:
    # At first use: importing raytracker loads neither Ray nor boto3 nor rasterio.
    if name not in _HOME:
        raise AttributeError(f"module 'raytracker' has no attribute {name!r}")
    home = _HOME[name]
    try:
        value = getattr(import_module(f".{home}", __name__), name)
    except ModuleNotFoundError as err:
        if (err.name or __name__).partition(".")[0] == __name__:
            raise  # that is a defect, no missing extra
        cure = f'{name} needs it: pip install "raytracker{_EXTRAS.get(home, "")}"'
        raise ModuleNotFoundError(f"{err}; {cure}", name=err.name, path=err.path) from None
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
