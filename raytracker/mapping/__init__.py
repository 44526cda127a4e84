"""Work in bounded number, and what became of it: `map_unordered`, the driver's side."""

from . import attempt
from .mapper import Key, Results
from .policy import Tolerance

__all__ = [
    "Key",
    "Results",
    "Tolerance",
    "attempt",
]
