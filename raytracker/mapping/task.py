"""A remote function as `map_unordered` runs it: what it told comes back beside its result."""

from __future__ import annotations

import functools
import inspect
import operator
import pickle
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import ray

from ..actor import Spec
from ..errors import RaytrackerError
from ..ledger import ERROR, RETURNED, Layout, Outcomes, class_of
from ..ray_runtime import attempt_number, default_retries, remote_once, unwrap
from ..reporter import reporter
from ..run import Run
from . import attempt
from .failure import carried_by, carrying, cause_of, check_result, failed_by, portable
from .policy import Retries, TimeLimit
from .source import Finished, Source, Verdict

DELIVER_SECONDS = 2.0

Key = int | tuple[int, int]
Given = tuple[Key, Sequence[Any]] | tuple[Key, Sequence[Any], Mapping[str, Any]]


class Task:
    """Submits a remote function for one item after another.

    Args:
        run: The run whose tiles the items are.
        remote_function: A function with `@ray.remote`, or its `.options(...)`.
        limit: How long an attempt may take.

    Raises:
        TypeError: It is none, does not return one result, or cannot be pickled.
        ValueError: It is too large, with all that it refers to.
    """

    def __init__(self, run: Run, remote_function: Any, limit: TimeLimit) -> None:
        function, options = unwrap(remote_function)
        name = getattr(function, "__name__", "tile")
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(f"{name} is a generator function: have it return a list, or None")
        if options.get("num_returns", 1) != 1:
            raise TypeError(
                f"num_returns={options['num_returns']!r} of {name}: map_unordered takes functions "
                "of one result; have it return a tuple"
            )
        retries = Retries.of(
            options.get("max_retries", default_retries()), options.get("retry_exceptions")
        )
        options = {"name": name, **options, "num_returns": 2}
        self._remote = remote_once(_attempted(function), options)
        # An argument, so that the function is the same for all images.
        self._how = bytes(ray.cloudpickle.dumps(How(run.spec, limit, retries)))

    def submit(self, item: Item) -> tuple[Any, Any]:
        """Returns references of what the task told, and of its result."""
        result, told = self._remote.remote(self._how, *item.args, **item.kwargs)
        return told, result


class How(NamedTuple):
    """What an attempt has to know beside its function.

    Attributes:
        spec: The image and run.
        limit: How long it may take.
        retries: How often Ray tries it again.
    """

    spec: Spec
    limit: TimeLimit
    retries: Retries


@functools.lru_cache(maxsize=64)
def _how(pickled: bytes) -> How:
    how: How = pickle.loads(pickled)  # once a process and image
    return how


def _attempted(function: Any) -> Any:
    @functools.wraps(function)
    def attempted(how: bytes, /, *args: Any, **kwargs: Any) -> Any:
        return _attempt(_how(how), function, args, kwargs)

    del attempted.__wrapped__  # Ray would check the arguments against it: an error of the caller
    return attempted


def _attempt(how: How, function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Runs an attempt of a task; returns its result, and what it told."""
    spec, limit, retries = how

    def tell(told: attempt.Told, *, held_elsewhere: bool) -> None:
        spans, reasons, classes = told
        # Where the run has ended, the driver learns of it; the result is still a result.
        with suppress(RaytrackerError):
            if spans:
                reporter().report(spec, spans, reasons, classes, held_elsewhere=held_elsewhere)
                if not held_elsewhere:  # or the driver's error of the key may end the image first
                    reporter().deliver(spec, DELIVER_SECONDS)

    with attempt.running(spec) as this:
        try:
            with limit.applied():
                result = function(*args, **kwargs)
            check_result(result)
        except Exception as err:
            tell(this.successes(), held_elsewhere=False)
            if not retries.are_over(err, attempt_number()):
                raise  # its errors are nothing: another attempt comes
            tell(this.errors(), held_elsewhere=False)
            sent = carrying(portable(err), spec.key, this.successes()[0])
            if sent is err:
                raise
            raise sent from None  # or Ray would show the other one, too, which may fail
        if not this.has_told:
            return result, None
        tell(this.errors(), held_elsewhere=True)
        # The result first: where that cannot be packed, Ray makes errors of both.
        return result, this.told()


class Mapped(Source):
    """The work of `map_unordered`: a task for each item; one that returns is its key's success.

    Args:
        run: The run whose tiles the items are.
        task: What submits the task of an item.
        items: As `ImageTracker.map_unordered` takes them.
    """

    def __init__(self, run: Run, task: Task, items: Iterable[Given]) -> None:
        super().__init__()
        self._layout = run.layout
        self._run = run.spec.key
        self._items: Iterator[Given] = iter(items)
        self._task = task

    def next(self) -> Item:
        """As in `Source`."""
        return Item.of(next(self._items), self._layout)

    def submit(self, item: Item) -> tuple[Any, Any]:
        """As in `Source`."""
        return self._task.submit(item)

    def judge(self, item: Item, answer: Any, result: Any) -> Verdict:
        """As in `Source`."""
        first, count = item.tiles.start, len(item.tiles)
        of_tiles = isinstance(item.key, tuple)
        if isinstance(answer, BaseException):
            error = cause_of(answer)
            finished = Finished(item.key, None, error)
            reason = failed_by(error)
            spans = [*carried_by(error, self._run), (first, ERROR * count)]
            known_as = (first, ERROR * count, class_of(reason))
            return Verdict(finished, spans, {first: reason}, (known_as,), of_tiles)
        its_spans, its_reasons, its_classes = answer or ((), {}, ())
        untold = Outcomes(its_spans).untold(first, RETURNED * count)
        finished = Finished(item.key, result, None)
        return Verdict(finished, [*its_spans, (first, untold)], its_reasons, its_classes, of_tiles)


class Item(NamedTuple):
    """One item of `map_unordered`, checked.

    Attributes:
        key: The region, or (region, tile), as it was given.
        tiles: The numbers of its tiles.
        args: What its task is called with; Ray resolves references among them.
        kwargs: The same, by name.
    """

    key: Key
    tiles: range
    args: Sequence[Any]
    kwargs: Mapping[str, Any]

    @classmethod
    def of(cls, item: Any, layout: Layout) -> Item:
        """Returns an item as the user gave it.

        Raises:
            TypeError: It is not (key, args) or (key, args, kwargs).
            UnknownRegion: The image has no such region or tile.
        """
        if not isinstance(item, (tuple, list)) or len(item) not in (2, 3):
            raise TypeError(f"item {item!r:.100}: give (key, args) or (key, args, kwargs)")
        key, args, kwargs = item if len(item) == 3 else (*item, {})
        if not isinstance(args, (tuple, list)) or not isinstance(kwargs, Mapping):
            raise TypeError(
                f"item of key {key!r}: args is a tuple and kwargs a mapping, not "
                f"{type(args).__name__} and {type(kwargs).__name__}"
            )
        return cls(key, _tiles(layout, key), args, kwargs)


def _tiles(layout: Layout, key: Any) -> range:
    """Returns the numbers of the tiles that a key names."""
    try:
        place = [operator.index(part) for part in (key if isinstance(key, tuple) else (key,))]
    except TypeError:
        place = []
    if len(place) not in (1, 2):
        raise TypeError(f"key {key!r}: give a region, or (region, tile)")
    if len(place) == 1:
        return layout.tiles(*place)
    number = layout.tile_number(*place)
    return range(number, number + 1)
