"""Workers: what holds a model from image to image."""

from __future__ import annotations

import inspect
from typing import Any

from ..errors import InvalidFunction
from ..mapping import WorkerPool
from ..ray_runtime import check_connected, check_sendable
from .work import Work


class Workers:
    """Processes that each hold a model, made once, and keep it from image to image.

    Give them to `process_image` in place of a function, from several threads at once if you like:
    images share them evenly, and one's tiles run while another is read to its end.

    ```python
    with Workers(Detector, Work(fn_constructor_args=("weights.pt",), num_gpus=1)) as workers:
        for url in urls:
            process_image(url, workers, table="ImageJobs")
    ```

    Args:
        model: A class; it is made in each worker, and called there as a function is.
        work: How.

    Raises:
        InvalidFunction: The model is none.
        TypeError, ValueError: It cannot be sent to Ray's workers.
    """

    def __init__(self, model: type, work: Work | None = None) -> None:
        if not _is_model(model):
            raise InvalidFunction(
                f"model={model!r}: give a class whose objects can be called, with (pixels, tile)"
            )
        check_sendable(model)
        self.model = model
        self.work = work or Work()
        least, most = self.work.range
        self._pool = WorkerPool(
            model,
            self.work.fn_constructor_args,
            self.work.fn_constructor_kwargs,
            options=self.work.ray_options,
            least=least,
            most=most,
        )

    def __enter__(self) -> Workers:
        check_connected()
        self._pool.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the workers, whatever they do."""
        self._pool.close()

    @property
    def pool(self) -> WorkerPool:
        """What `ImageTracker.map_chunks` takes."""
        return self._pool

    @property
    def made(self) -> int:
        """How many times the model was made."""
        return self._pool.made

    def __repr__(self) -> str:
        least, most = self.work.range
        size = f"{least} or more" if most is None else f"{most} at most"
        return f"<Workers: {self._pool.ready} of {self.model.__name__} are ready, {size}>"


def workers_of(function: Any, work: Work | None) -> Workers | None:
    """Returns the workers of what is given as a function: its own, new ones of a model, or None.

    Raises:
        InvalidFunction: It is none, or `work` does not go with it.
        TypeError, ValueError: It cannot be sent to Ray's workers.
    """
    if isinstance(function, Workers):
        if work is not None:
            raise InvalidFunction(f"{function!r} have their own work: {function.work!r}")
        return function
    if inspect.isclass(function):
        return Workers(function, work)
    if hasattr(function, "remote"):
        raise TypeError(
            f"{function!r} is a remote function: give the plain one, Ray comes by itself"
        )
    if not callable(function):
        raise TypeError(f"function={function!r}: give a callable that takes (pixels, tile)")
    if work is not None and (work.fn_constructor_args or work.fn_constructor_kwargs):
        raise InvalidFunction(
            "fn_constructor_args are for a model, a class: a function can be given its own with "
            "functools.partial"
        )
    if work is not None and isinstance(work.concurrency, (tuple, list)):
        raise InvalidFunction(
            f"concurrency={work.concurrency!r} is for a model, a class: give one number for a "
            "function"
        )
    check_sendable(function)
    return None


def _is_model(function: Any) -> bool:
    """Whether something is a class whose objects are functions."""
    return inspect.isclass(function) and any("__call__" in vars(base) for base in function.__mro__)
