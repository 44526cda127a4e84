"""What a process knows of the images whose chunks it works through: fetched once, not each time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import ray

IMAGES_OF_A_PROCESS = 8  # that it remembers

_known: OrderedDict[str, Callable[..., Any]] = OrderedDict()


def is_known(image: Sequence[Any]) -> bool:
    """Returns whether this process has worked on an image of late.

    Args:
        image: A reference of what works through its chunks, in a list: there Ray leaves it alone.
    """
    return image[0].hex() in _known  # the reference itself would keep the object


def work_of(image: Sequence[Any]) -> Callable[..., Any]:
    """Returns what works through the chunks of an image; its argument is that of `is_known`."""
    [reference] = image
    name = reference.hex()
    if name not in _known:
        _known[name] = ray.get(reference)
        if len(_known) > IMAGES_OF_A_PROCESS:
            _known.popitem(last=False)
    _known.move_to_end(name)
    return _known[name]
