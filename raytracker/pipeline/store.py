"""The results of one image: what was found in its tiles, chunk by chunk, and then all of it."""

from __future__ import annotations

import json
import os
import re
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import ray
from ray.exceptions import NodeDiedError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from ..errors import OutputError
from ..ray_runtime import cluster
from . import objects
from .objects import DAMAGE, ChunkObject, Key, Line, Lines, packed, unpacked
from .places import Bucket, Folder, place

RESULTS = "results.geojson"
JOB = "job.json"
MAP = "map.png"
NODE_SECONDS = 60.0


class ResultStore:
    """A place for the results of one image; pickles as its settings.

    Everything is written whole or not at all. The results of a chunk of tiles are one object,
    packed by gzip: a line of JSON for each tile, `[region, tile, [feature, ...]]`. Its name says
    where it begins and how many tiles it has, and ends with a hash of which.

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
        return store if store.sink == sink else None

    def set_aside(self) -> None:
        """Moves what an earlier run left into a folder of its own: another run begins.

        Raises:
            OutputError: It cannot be moved.
        """
        folder = time.strftime("before-%Y%m%dT%H%M%SZ", time.gmtime())
        for name in (RESULTS, JOB, MAP):
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

    def write_chunk(self, results: Mapping[Key, bytes]) -> None:
        """Writes what was found in some tiles, as one object.

        Args:
            results: By (region, tile): what `features.encode_features` made of it.

        Raises:
            OutputError: It cannot be written, or is larger than what is read.
        """
        if not results:
            return
        try:
            name, data = packed(results)
        except ValueError as err:
            raise OutputError(f"a chunk of {self.url} is not written: {err}") from err
        self.write(f"{self._tiles}/{name}", data)

    # --- from the driver ---

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

    def merge(self, tiles: Iterable[Key], coordinates: str | None = None) -> int:
        """Merges the tiles' results into `results.geojson`, in the order of the tiles.

        Of a tile that is in several objects, as when a chunk was run twice, the one with the
        fewest tiles counts, and of those the one of the least name: so the result is the same,
        whatever befell the run. It holds some chunks in memory, up to so many bytes of them, and
        no Feature that it does not write.

        Args:
            tiles: (region, tile) of those that succeeded, in order.
            coordinates: What the Features' coordinates are, if they are no longitudes and
                latitudes; written beside them.

        Returns:
            How many Features there are.

        Raises:
            OutputError: A tile's result is not there, or an object is none of ours, or the merged
                one cannot be written.
        """
        count = 0
        # RFC 7946 knows longitude and latitude only, and no member `coordinates` here.
        told = {"raytracker:coordinates": coordinates} if coordinates else {}
        head = {"type": "FeatureCollection", **told}
        with self._place.writing(RESULTS) as file:
            file.write(f'{json.dumps(head)[:-1]}, "features": ['.encode())
            for features in self._found(tiles):
                for feature in features:
                    file.write(b",\n" if count else b"\n")
                    file.write(feature.encode())
                    count += 1
            file.write(b"\n]}\n")
        return count

    def copy(self, name: str, bucket: str, key: str) -> None:
        """Copies one file, of an output on S3, to elsewhere on S3.

        Raises:
            OutputError: It cannot be copied.
        """
        if isinstance(self._place, Bucket):
            self._place.copy(name, bucket, key)

    def _found(self, tiles: Iterable[Key]) -> Iterator[Iterator[str]]:
        """Yields the Features of each tile, as JSON."""
        # A chunk begins with its least tile: those that begin later have nothing to say of it.
        ahead = sorted(filter(None, map(ChunkObject.of, self._place.names(self._tiles))))[::-1]
        lines = Lines(self._read_chunk)
        known: dict[Key, tuple[int, str]] = {}
        for key in tiles:
            while ahead and ahead[-1].first <= key:
                _, count, name = ahead.pop()
                for there in lines.of(name):
                    if there >= key:
                        known[there] = min((count, name), known.get(there, (count, name)))
            if key not in known:
                raise OutputError(
                    f"{self.url}/{self._tiles} has no result of region {key[0]}, tile {key[1]}, "
                    "which succeeded: it was removed, or the output is another one"
                )
            _, name = known.pop(key)
            yield self._features(name, lines.take(name, key))

    def _read_chunk(self, name: str) -> dict[Key, Line]:
        data = self._place.read(f"{self._tiles}/{name}", objects.MAX_OBJECT_BYTES + 1)
        with self._damage_told(name):
            return unpacked(name, data)

    def _features(self, name: str, line: Line) -> Iterator[str]:
        with self._damage_told(name):
            yield from line.features()

    @contextmanager
    def _damage_told(self, name: str) -> Iterator[None]:
        try:
            yield
        except DAMAGE as err:
            raise OutputError(f"{self.url}/{self._tiles}/{name} is damaged: {err}") from err


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
