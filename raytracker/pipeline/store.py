"""The results of one image: what was found in its tiles, chunk by chunk, and then all of it."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import time
import uuid
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import ray
from ray.exceptions import NodeDiedError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from ..errors import OutputError
from ..ray_runtime import cluster
from .places import Folder, place

RESULTS = "results.geojson"
JOB = "job.json"
MAP = "map.png"
NODE_SECONDS = 60.0
MAX_OBJECT_BYTES = 64_000_000  # of a chunk's object, at most,
MAX_UNPACKED_BYTES = 256_000_000  # and of what is in it; a larger one is not written, nor read
PACKING = 1  # smaller objects take longer to pack than they save

Key = tuple[int, int]


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
        if results:
            keys = sorted(results)
            name = f"{self._tiles}/{_name(keys)}"
            data = b"".join(b"[%d, %d, %b]\n" % (*key, results[key]) for key in keys)
            packed = gzip.compress(data, PACKING, mtime=0)
            if len(data) > MAX_UNPACKED_BYTES or len(packed) > MAX_OBJECT_BYTES:
                raise OutputError(
                    f"{self.url}/{name} is not written: the features of {len(keys)} tiles have "
                    f"{len(data)} bytes of JSON, {len(packed)} packed; at most "
                    f"{MAX_UNPACKED_BYTES} and {MAX_OBJECT_BYTES} are read"
                )
            self.write(name, packed)

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
        whatever befell the run. It holds a few chunks in memory, not all.

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
                    file.write(json.dumps(feature).encode())
                    count += 1
            file.write(b"\n]}\n")
        return count

    def _found(self, tiles: Iterable[Key]) -> Iterator[list[dict[str, Any]]]:
        """Yields the Features of each tile."""
        # A chunk begins with its least tile: those that begin later have nothing to say of it.
        objects = sorted(filter(None, map(_Object.of, self._place.names(self._tiles))))[::-1]
        known: dict[Key, tuple[int, str, list[Any]]] = {}
        for key in tiles:
            while objects and objects[-1].first <= key:
                chunk = objects.pop()
                for there, features in self._read_chunk(chunk):
                    found = chunk.tiles, chunk.name, features
                    if there >= key and (there not in known or found[:2] < known[there][:2]):
                        known[there] = found
            if key not in known:
                raise OutputError(
                    f"{self.url}/{self._tiles} has no result of region {key[0]}, tile {key[1]}, "
                    "which succeeded: it was removed, or the output is another one"
                )
            yield known.pop(key)[2]

    def _read_chunk(self, chunk: _Object) -> Iterator[tuple[Key, list[Any]]]:
        name = f"{self._tiles}/{chunk.name}"
        data = self._place.read(name, MAX_OBJECT_BYTES + 1)
        try:
            entries = _entries(data)
            if _name([(region, tile) for region, tile, _ in entries]) != chunk.name:
                raise ValueError("its tiles are not those of its name")
        except (ValueError, TypeError, RecursionError, zlib.error) as err:
            raise OutputError(f"{self.url}/{name} is damaged: {err}") from err
        for region, tile, features in entries:
            yield (region, tile), features


class _Object(NamedTuple):
    """A chunk's object, as its name tells it."""

    first: Key
    tiles: int
    name: str

    @classmethod
    def of(cls, name: str) -> _Object | None:
        found = _NAME.fullmatch(name)
        if found is None:
            return None
        region, tile, count = map(int, found.groups())
        return cls((region, tile), count, name)


_NAME = re.compile(r"(\d{5,9})-(\d{5,9})-(\d{1,9})-[0-9a-f]{12}\.jsonl\.gz")


def _name(keys: Sequence[Key]) -> str:
    """Returns the name of the object with these tiles, in order."""
    region, tile = keys[0] if keys else (0, 0)
    told = hashlib.sha256(json.dumps(keys).encode()).hexdigest()[:12]
    return f"{region:05}-{tile:05}-{len(keys)}-{told}.jsonl.gz"


def _entries(data: bytes) -> list[tuple[int, int, list[Any]]]:
    """Returns what is in a chunk's object; it is data from outside.

    Raises:
        ValueError, TypeError, RecursionError, zlib.error: It is none of ours.
    """
    if len(data) > MAX_OBJECT_BYTES:
        raise ValueError(f"it has more than {MAX_OBJECT_BYTES} bytes")
    unpack = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)  # 16: gzip
    lines = unpack.decompress(data, MAX_UNPACKED_BYTES + 1)
    if len(lines) > MAX_UNPACKED_BYTES:
        raise ValueError(f"it unpacks to more than {MAX_UNPACKED_BYTES} bytes")
    if not unpack.eof or unpack.unused_data:
        raise ValueError("its end is not where it should be")
    entries = [json.loads(line, parse_constant=_no_number) for line in lines.splitlines()]
    for _, _, features in entries:
        if not isinstance(features, list) or not all(isinstance(one, dict) for one in features):
            raise ValueError("a tile's features are none")
    return entries


def _no_number(word: str) -> Any:
    raise ValueError(f"{word} is no JSON")


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
