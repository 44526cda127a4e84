"""The actor that holds a model: makes it once, and works through chunks of any image with it."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import ray

from .chunks import Answer

IMAGES_OF_A_WORKER = 8  # that it remembers


class ModelWorker:
    """The actor: a model, and what works through the chunks of each image with it."""

    def __init__(self) -> None:
        self._model: Any = None
        self._images: OrderedDict[str, Any] = OrderedDict()
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
        [reference] = image
        name = reference.hex()
        idle = begun - self._ended_at if name in self._images else 0.0
        if name not in self._images:
            self._images[name] = ray.get(reference)
            if len(self._images) > IMAGES_OF_A_WORKER:
                self._images.popitem(last=False)
        self._images.move_to_end(name)
        answer: Answer = self._images[name](tiles, self._model)
        self._ended_at = time.perf_counter()
        return answer._replace(idle_seconds=idle)
