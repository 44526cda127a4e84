"""Assembles an image in Ray tasks: part by part, then each file of all parts.

It can be killed and begun again at any time: nothing is left of it but whole files.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import ray

from ...errors import OutputError, RaytrackerError
from ...ray_runtime import in_a_line, remote_once
from ..objects import ChunkObject
from ..store import RESULTS
from .asked import Assembly
from .features import PartFeatures, features_of_part, write_geojson
from .source import Part, Source

# No CPU of Ray's: those may all be held by workers, whose models stay for the next image. On all
# nodes: what a task reads and makes is not small.
OPTIONS = {"num_cpus": 0, "scheduling_strategy": "SPREAD"}
LOOK_SECONDS = 0.2


class Note(NamedTuple):
    """What a task tells the driver, beside what it leaves with Ray.

    Attributes:
        error: Why it failed; None: it did not.
        features: How many Features its part has.
    """

    error: str | None = None
    features: int = 0


def assemble(
    source: Source,
    assembly: Assembly,
    runtime_env: Mapping[str, Any] | None = None,
    on_progress: Callable[[int, int], object] | None = None,
) -> list[str]:
    """Assembles the results of an image whose tiles are settled, or as far as they are.

    Args:
        source: What there is.
        assembly: How; all is said of it.
        runtime_env: The environment of the tasks, as `ray.remote` takes it.
        on_progress: Called with how many of the steps are done, and how many there are.

    Returns:
        The names of the files, in the store.

    Raises:
        OutputError: A result is not there or none of ours, or a file cannot be written.
    """
    parts = source.parts
    objects = source.objects_of(parts, source.store.chunks())
    given = ray.put((source, assembly))
    tasks = _Tasks(runtime_env, len(parts) + 1, on_progress)
    made = tasks.run(
        [_Task(_part, 2, (given, part, found)) for part, found in zip(parts, objects, strict=True)]
    )
    features = [references[1] for references in made]
    tasks.run([_Task(_features, 1, (given, features))])
    return [RESULTS]


def _part(given: tuple[Source, Assembly], part: Part, objects: Sequence[ChunkObject]) -> Any:
    """A task: what there is in a part of the image; a note, and the Features."""
    source, _ = given
    try:
        keys = source.keys(part)
        results = source.results(keys, objects)
        features = features_of_part(keys, results)
    except RaytrackerError as err:
        return Note(str(err)), None
    return Note(features=features.number), features


def _features(given: tuple[Source, Assembly], features: Sequence[Any]) -> Note:
    """A task: the Features of all parts go to their file."""
    source, _ = given
    try:
        write_geojson(source, _each(features))
    except RaytrackerError as err:
        return Note(str(err))
    return Note()


def _each(references: Sequence[Any]) -> Iterator[PartFeatures]:
    """Yields what is referred to; one is in memory at a time."""
    for reference in references:
        yield ray.get(reference)


class _Task(NamedTuple):
    """A call of a function in a Ray task; the first that it returns is a `Note`."""

    function: Callable[..., Any]
    returns: int
    arguments: tuple[Any, ...]


class _Tasks:
    """Runs tasks, a few at a time, and tells how many are done.

    Args:
        runtime_env: Their environment.
        steps: How many there will be.
        tell: Called with how many are done, and how many there will be.
    """

    def __init__(
        self,
        runtime_env: Mapping[str, Any] | None,
        steps: int,
        tell: Callable[[int, int], object] | None,
    ) -> None:
        self._options = OPTIONS | ({} if runtime_env is None else {"runtime_env": runtime_env})
        self._steps = steps
        self._done = 0
        self._tell = tell
        self._most = max(2, math.ceil(ray.cluster_resources().get("CPU", 1)))

    def run(self, tasks: Sequence[_Task]) -> list[list[Any]]:
        """Returns the references of what each task returned, in their order.

        Raises:
            OutputError: One failed.
        """
        made: list[list[Any]] = []
        under_way: list[Any] = []
        try:
            while len(made) < len(tasks) or under_way:
                while len(made) < len(tasks) and len(under_way) < self._most:
                    made.append(self._submit(tasks[len(made)]))
                    under_way.append(made[-1][0])
                done, under_way = ray.wait(under_way, timeout=LOOK_SECONDS)
                for note in done:
                    _check(note)
                self._done += len(done)
                if self._tell is not None:
                    self._tell(self._done, self._steps)
        finally:
            for note in under_way:
                ray.cancel(note)
        return made

    def _submit(self, task: _Task) -> list[Any]:
        remote = remote_once(task.function, self._options).options(num_returns=task.returns)
        submitted = remote.remote(*task.arguments)
        return [submitted] if task.returns == 1 else list(submitted)


def _check(reference: Any) -> None:
    try:
        note = ray.get(reference)
    except ray.exceptions.RayError as err:
        raise OutputError(f"assembling failed: {in_a_line(err)}") from err
    if note.error is not None:
        raise OutputError(note.error)
