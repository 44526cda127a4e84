"""Assembles an image in Ray tasks: part by part, then each file of all parts.

It can be killed and begun again at any time: nothing is left of it but whole files.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

import ray
from rasterio.errors import RasterioError

from ...errors import OutputError, RaytrackerError
from ...ray_runtime import in_a_line, remote_once
from ..objects import ChunkObject, Key
from ..store import PARQUET, RESULTS, raster_file
from .asked import Assembly
from .cog import write_cog
from .features import PartFeatures, features_of_part, write_geojson
from .merging import Decision, decide, decided
from .mosaic import mosaic, rectangle_of
from .parquet import write_parquet
from .source import Kind, Part, Source, check_alike

# No CPU of Ray's: those may all be held by workers, whose models stay for the next image. On all
# nodes: what a task reads and makes is not small.
OPTIONS = {"num_cpus": 0, "scheduling_strategy": "SPREAD"}
LOOK_SECONDS = 0.2


class Note(NamedTuple):
    """What a task tells the driver, beside what it leaves with Ray.

    Attributes:
        error: Why it failed; None: it did not.
        features: How many Features its part has.
        rasters: What the rasters of its part are, by name, and one of the tiles that say so.
    """

    error: str | None = None
    features: int = 0
    rasters: Mapping[str, tuple[Kind, Key]] = {}


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
    wanted = list(map(source.around, parts)) if assembly.is_blended else parts
    objects = source.objects_of(wanted, source.store.chunks())
    given = ray.put((source, assembly))
    merges = assembly.merge != "none"
    tasks = _Tasks(runtime_env, len(parts) + 1 + merges, on_progress)
    made = tasks.run(
        [_Task(_part, 4, (given, part, found)) for part, found in zip(parts, objects, strict=True)]
    )
    rasters = _agreed([note.rasters for note in tasks.notes])
    _, features, places, arrays = zip(*made, strict=True) if made else ((),) * 4
    joins = {
        raster_file(name): _Task(_raster, 1, (given, name, kind, arrays))
        for name, kind in rasters.items()
    }
    if not rasters or any(note.features for note in tasks.notes):
        decisions = None
        if merges:
            [[_, decisions]] = tasks.run([_Task(_decide, 2, (given, features, places))])
        for each in assembly.formats or ():
            name = {"geojson": RESULTS, "parquet": PARQUET}[each]
            joins[name] = _Task(_features, 1, (given, name, features, decisions))
    tasks.run(list(joins.values()))
    return sorted(joins)


def _agreed(found: Iterable[Mapping[str, tuple[Kind, Key]]]) -> dict[str, Kind]:
    """Returns what the rasters of all parts are.

    Raises:
        OutputError: Of one it is not the same everywhere.
    """
    agreed: dict[str, tuple[Kind, Key]] = {}
    for rasters in found:
        for name, (kind, key) in rasters.items():
            check_alike(name, agreed.setdefault(name, (kind, key)), (kind, key))
    return {name: kind for name, (kind, _) in sorted(agreed.items())}


def _part(given: tuple[Source, Assembly], part: Part, objects: Sequence[ChunkObject]) -> Any:
    """A task: what is in a part of the image; a note, the Features, their places, the rasters."""
    source, assembly = given
    try:
        keys = source.keys(part)
        around = source.keys(source.around(part)) if assembly.is_blended else keys
        results = source.results(around, objects)
        features, located = features_of_part(keys, results, assembly)
        rasters = {}
        kinds = results.kinds()
        for name, (kind, _) in kinds.items():
            how = assembly.of_raster(name)
            array_of = partial(results.array, name, stride=how.stride)
            rasters[name] = mosaic(source.grid, part, around, array_of, kind, how)
    except RaytrackerError as err:
        return Note(str(err)), None, None, None
    return Note(features=features.number, rasters=kinds), features, located, rasters


def _decide(given: tuple[Source, Assembly], features: Sequence[Any], located: Sequence[Any]) -> Any:
    """A task: which Features are kept; a note, and what is decided of each part."""
    source, assembly = given
    try:
        return Note(), decide(located, features, ray.get, assembly, source.grid.info)
    except RaytrackerError as err:
        return Note(str(err)), None


def _features(
    given: tuple[Source, Assembly],
    name: str,
    features: Sequence[Any],
    decisions: Sequence[Decision] | None,
) -> Note:
    """A task: the Features of all parts go to a file."""
    source, assembly = given

    def parts() -> Iterator[PartFeatures]:
        for number, reference in enumerate(features):
            part = ray.get(reference)
            yield part if decisions is None else decided(part, decisions[number], assembly)

    def lines() -> Iterator[bytes]:
        return chain.from_iterable(part.text.splitlines() for part in parts())

    try:
        if name == RESULTS:
            write_geojson(source, parts())
        else:
            with source.into.writing(name) as file:
                write_parquet(file, lines, on_ground=source.grid.info.crs is not None)
    except RaytrackerError as err:
        return Note(str(err))
    return Note()


def _raster(given: tuple[Source, Assembly], name: str, kind: Kind, arrays: Sequence[Any]) -> Note:
    """A task: a raster of all parts goes to its file."""
    source, assembly = given
    how = assembly.of_raster(name)
    parts = (
        (rectangle_of(source.grid, part, how.stride), data)
        for part, reference in zip(source.parts, arrays, strict=True)
        if (data := ray.get(reference).get(name)) is not None
    )
    try:
        write_cog(source.into, raster_file(name), source.grid, parts, kind, how)
    except (RaytrackerError, OSError, RasterioError) as err:
        return Note(f"{source.into.url}/{raster_file(name)} cannot be written: {err}")
    return Note()


class _Task(NamedTuple):
    """A call of a function in a Ray task; it returns a `Note`, or that first."""

    function: Callable[..., Any]
    returns: int
    arguments: tuple[Any, ...]


class _Tasks:
    """Runs tasks, a few at a time, and tells how many are done.

    Args:
        runtime_env: Their environment.
        steps: How many there will be, at least.
        tell: Called with how many are done, and how many there will be.

    Attributes:
        notes: What those that are done have told.
    """

    def __init__(
        self,
        runtime_env: Mapping[str, Any] | None,
        steps: int,
        tell: Callable[[int, int], object] | None,
    ) -> None:
        self._options = OPTIONS | ({} if runtime_env is None else {"runtime_env": runtime_env})
        self.notes: list[Note] = []
        self._steps = steps
        self._tell = tell
        self._most = max(2, math.ceil(ray.cluster_resources().get("CPU", 1)))

    def run(self, tasks: Sequence[_Task]) -> list[list[Any]]:
        """Returns the references of what each task returned, in their order.

        Raises:
            OutputError: One failed.
        """
        made: list[list[Any]] = []
        under_way: list[Any] = []
        self._steps = max(self._steps, len(self.notes) + len(tasks))
        try:
            while len(made) < len(tasks) or under_way:
                while len(made) < len(tasks) and len(under_way) < self._most:
                    made.append(self._submit(tasks[len(made)]))
                    under_way.append(made[-1][0])
                done, under_way = ray.wait(under_way, timeout=LOOK_SECONDS)
                self.notes += map(_note_of, done)
                if self._tell is not None:
                    self._tell(len(self.notes), self._steps)
        finally:
            for note in under_way:
                ray.cancel(note)
        return made

    def _submit(self, task: _Task) -> list[Any]:
        remote = remote_once(task.function, self._options).options(num_returns=task.returns)
        submitted = remote.remote(*task.arguments)
        return [submitted] if task.returns == 1 else list(submitted)


def _note_of(reference: Any) -> Note:
    try:
        note: Note = ray.get(reference)
    except ray.exceptions.RayError as err:
        raise OutputError(f"assembling failed: {in_a_line(err)}") from err
    if note.error is not None:
        raise OutputError(note.error)
    return note
