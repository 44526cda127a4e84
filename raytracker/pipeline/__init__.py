"""One image from the file to the ended job item, and where the results go."""

from .output import RESULTS, ResultStore
from .process import process_image

__all__ = [
    "RESULTS",
    "ResultStore",
    "process_image",
]
