"""Work in bounded number, and what became of it: `map_unordered`, and tiles in chunks."""

from . import attempt
from .chunks import ChunkFunction, Worked
from .failure import ProcessSpoiled
from .mapper import Results, map_chunks, map_items
from .policy import TimeLimit, Tolerance
from .task import Given
from .workers import WorkerPool

__all__ = [
    "map_items",
    "map_chunks",
    "Given",
    "ChunkFunction",
    "Worked",
    "ProcessSpoiled",
    "WorkerPool",
    "Results",
    "TimeLimit",
    "Tolerance",
    "attempt",
]
