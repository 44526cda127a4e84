"""The results of one image: what was found in its tiles, chunk by chunk, and then all of it."""

from __future__ import annotations

import os
import re
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import IO, Any

import ray
from ray.exceptions import NodeDiedError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from ..errors import OutputError
from ..ray_runtime import cluster
from . import objects
from .arrays import RASTER
from .objects import DAMAGE, Chunk, ChunkObject, Key, TileResult, packed, unpacked
from .places import Bucket, Folder, place

RESULTS = "results.geojson"
PARQUET = "results.parquet"
RASTER_FILE = "result.tif"
JOB = "job.json"
MAP = "map.png"
FILES, OF = "files", "of"  # of a sink: what was assembled, and a digest of what it was made of
NODE_SECONDS = 60.0
OBJECT_BYTES = 64_000_000  # not packed; more is several objects


def raster_file(name: str) -> str:
    """Returns the name of the file of a raster: result.tif, of the only one, or result-NAME.tif."""
    return RASTER_FILE if name == RASTER else f"result-{name}.tif"


def kind_of(name: str) -> str | None:
    """Returns what is in a file of results: "results", "parquet", or the name of a raster."""
    known = {RESULTS: "results", PARQUET: "parquet", RASTER_FILE: RASTER}
    raster = re.fullmatch(r"result-([A-Za-z0-9_.-]+)\.tif", name)
    return known.get(name) or (raster and raster[1])


class ResultStore:
    """A place for the results of one image; pickles as its settings.

    Everything is written whole or not at all. The results of a chunk of tiles are one object, see
    `objects`. Its name says in which part of the grid its tiles lie and how many it has, and ends
    with a hash of which.

    Args:
        url: A folder that every node sees, or `s3://bucket/prefix`.
        tiles: The name of the folder in it that chunks go to: one for each run from its start, so
            that no other run's results can get in.
    """

    def __init__(self, url: str | os.PathLike[str], tiles: str = "tiles") -> None:
        self._place = place(os.fspath(url))
        self._tiles = tiles

    @property
    def url(self) -> str:
        """The folder's absolute path, or `s3://bucket/prefix`."""
        return self._place.url

    @property
    def sink(self) -> dict[str, str]:
        """The place as an entry of a job item's `outputs`; OSML knows those of type S3."""
        return {**self._place.sink, "tiles": self._tiles}

    @classmethod
    def of_sink(cls, sink: Any) -> ResultStore | None:
        """Returns the store that an entry of `outputs` names; None: it is none of ours."""
        tiles = sink.get("tiles") if isinstance(sink, dict) else None
        # Who can write the table must not choose another folder.
        if not isinstance(tiles, str) or not re.fullmatch(r"tiles-[0-9a-f]{32}", tiles):
            return None
        texts = [sink.get(name) for name in ("path", "bucket", "prefix")]
        path, bucket, prefix = (text if isinstance(text, str) else "" for text in texts)
        url = f"s3://{bucket}/{prefix}" if sink.get("type") == "S3" else path
        try:
            store = cls(url, tiles)
        except OutputError:
            return None
        ours = {name: value for name, value in sink.items() if name not in (FILES, OF)}
        return store if store.sink == ours else None

    def set_aside(self) -> None:
        """Moves what an earlier run left into a folder of its own: another run begins.

        Raises:
            OutputError: It cannot be moved.
        """
        folder = time.strftime("before-%Y%m%dT%H%M%SZ", time.gmtime())
        for name in self._place.names(""):
            if name in (JOB, MAP) or kind_of(name) is not None:
                self._place.move(name, f"{folder}/{name}")

    def __reduce__(self) -> tuple[Any, ...]:
        return ResultStore, (self.url, self._tiles)

    def __repr__(self) -> str:
        return f"<ResultStore: {self.url}>"

    # --- from everywhere ---

    def write(self, name: str, data: bytes) -> None:
        """Writes one file, whole or not at all.

        Raises:
            OutputError: It cannot be written, or the folder is not on this node.
        """
        self._place.write(name, data)

    def read(self, name: str) -> bytes:
        """Returns what is in one file.

        Raises:
            OutputError: It cannot be read.
        """
        return self._place.read(name)

    def writing(self, name: str) -> AbstractContextManager[IO[bytes]]:
        """Writes one file, that the block fills; where it raises, nothing is there.

        Raises:
            OutputError: It cannot be written.
        """
        return self._place.writing(name)

    def write_chunk(self, results: Mapping[Key, TileResult]) -> None:
        """Writes what was found in some tiles: as one object, if that does not get too large.

        Args:
            results: By (region, tile).

        Raises:
            OutputError: It cannot be written, or that of a tile is larger than what is read.
        """
        group: dict[Key, TileResult] = {}
        size = 0
        for key, result in results.items():
            if group and size + result.size > OBJECT_BYTES:
                self._write_object(group)
                group, size = {}, 0
            group[key] = result
            size += result.size
        if group:
            self._write_object(group)

    def _write_object(self, results: Mapping[Key, TileResult]) -> None:
        try:
            name, data = packed(results)
        except ValueError as err:
            raise OutputError(f"a chunk of {self.url} is not written: {err}") from err
        self.write(f"{self._tiles}/{name}", data)

    def read_chunk(self, name: str) -> Chunk:
        """Returns what is in a chunk's object.

        Raises:
            OutputError: It cannot be read, or is none of ours.
        """
        data = self._place.read(f"{self._tiles}/{name}", objects.MAX_OBJECT_BYTES + 1)
        with self.damage_told(name):
            return unpacked(name, data)

    @contextmanager
    def damage_told(self, name: str) -> Iterator[None]:
        """Tells of what is raised in the block as of a chunk's object that is damaged.

        Raises:
            OutputError: It is.
        """
        try:
            yield
        except DAMAGE as err:
            raise OutputError(f"{self.url}/{self._tiles}/{name} is damaged: {err}") from err

    # --- from the driver ---

    def chunks(self) -> list[ChunkObject]:
        """Returns the chunks' objects that are there, as a listing tells them.

        Raises:
            OutputError: They cannot be listed.
        """
        return sorted(filter(None, map(ChunkObject.of, self._place.names(self._tiles))))

    def has(self, name: str) -> bool:
        """Whether one file is there, and can be read."""
        try:
            self._place.read(name, 1)
        except OutputError:
            return False
        return True

    def remove_chunks(self) -> None:
        """Removes all chunks' objects.

        Raises:
            OutputError: One is there and cannot be removed.
        """
        self._place.clear(self._tiles)

    def check_shared(self) -> None:
        """Makes the place ready, and finds out whether every node of the cluster can use it.

        Raises:
            OutputError: It cannot be written, or a node doesn't see it; the text names the node.
        """
        token = f"{self._tiles}/.seen-{uuid.uuid4().hex}"
        self._place.prepare(self._tiles)
        self.write(token, b"")
        try:
            nodes = [node for node in ray.nodes() if node["Alive"]]
            if len(nodes) > 1 and isinstance(self._place, Folder):
                self._check_nodes(nodes, token)
        finally:
            self._place.remove(token)

    def _check_nodes(self, nodes: list[dict[str, Any]], token: str) -> None:
        see = ray.remote(num_cpus=0)(_see)  # Ray may try it again: a process may be killed
        asked = {
            see.options(
                scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            ).remote(self, token): node
            for node in nodes
        }
        answered, _ = ray.wait(list(asked), num_returns=len(asked), timeout=NODE_SECONDS)
        blind = {}
        for answer, node in asked.items():
            if answer not in answered:
                blind[node["NodeID"]] = f"no answer in {NODE_SECONDS:.0f} s"
                continue
            try:
                problem = ray.get(answer)
            except NodeDiedError:  # Ray knows it of this task sooner than of the node
                continue
            except RayError as err:
                problem = f"{type(err).__name__}: {err}".splitlines()[0]
            if problem:
                blind[node["NodeID"]] = problem
        for node in ray.nodes():  # one that has gone meanwhile is nobody's problem
            if node["NodeID"] in blind and node["Alive"]:
                raise OutputError(
                    f"the output folder {self.url} is not shared with node "
                    f"{node['NodeManagerAddress']} ({node['NodeID'][:8]}), where a task says: "
                    f"{blind[node['NodeID']]}; give a folder that every node mounts, or "
                    "s3://bucket/prefix"
                )

    def copy(self, name: str, bucket: str, key: str) -> None:
        """Copies one file, of an output on S3, to elsewhere on S3.

        Raises:
            OutputError: It cannot be copied.
        """
        if isinstance(self._place, Bucket):
            self._place.copy(name, bucket, key)


def _see(store: ResultStore, token: str) -> str | None:
    """Returns, from a node, why it can't use a store; None: it can."""
    try:
        store.read(token)
        mine = f"{token}-{cluster()[0]}"
        store.write(mine, b"")
        store._place.remove(mine)
    except OutputError as err:
        return str(err)
    return None
