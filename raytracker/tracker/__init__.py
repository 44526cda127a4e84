"""The handle that people hold, and the driver's side."""

from .tracker import ImageTracker

__all__ = [
    "ImageTracker",
]
