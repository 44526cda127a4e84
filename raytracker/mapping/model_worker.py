"""The actor that holds a model: makes it once, and works through chunks of any image with it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from .chunks import Answer
from .known import is_known, work_of


class ModelWorker:
    """The actor: a model, and what works through the chunks of each image with it."""

    def __init__(self) -> None:
        self._model: Any = None
        self._ended_at = 0.0

    def make(self, model: Callable[..., Any], args: Any, *resolved: Any) -> None:
        """Makes the model.

        Args:
            model: What makes it, a class.
            args: The names of its keyword arguments.
            resolved: Its arguments, those with names last.
        """
        split = len(resolved) - len(args)
        self._model = model(*resolved[:split], **dict(zip(args, resolved[split:], strict=True)))

    def work_through(self, image: Sequence[Any], tiles: Sequence[int]) -> Answer:
        """Works through a chunk.

        Args:
            image: A reference of what does that for its image, as `chunks.reporting` returns it.
            tiles: The numbers of the tiles.
        """
        begun = time.perf_counter()
        idle = begun - self._ended_at if is_known(image) else 0.0
        answer: Answer = work_of(image)(tiles, self._model)
        self._ended_at = time.perf_counter()
        return answer._replace(idle_seconds=idle)
