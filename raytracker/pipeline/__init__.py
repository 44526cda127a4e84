"""One image from the file to the ended job item, and where the results go."""

from .process import process_image
from .store import RESULTS, ResultStore
from .work import Work
from .workers import Workers, workers_of

__all__ = [
    "RESULTS",
    "ResultStore",
    "Work",
    "Workers",
    "process_image",
    "workers_of",
]
