"""Work in bounded number, and what became of it: `map_unordered`."""

from . import attempt
from .mapper import Results
from .policy import Tolerance
from .task import Given

__all__ = [
    "Given",
    "Results",
    "Tolerance",
    "attempt",
]
