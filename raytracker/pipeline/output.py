"""Where results go: a folder that every node sees, or `s3://bucket/prefix`."""

from __future__ import annotations

import functools
import json
import os
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import IO, Any

import boto3
import ray
from boto3.exceptions import Boto3Error
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from ..errors import OutputError
from .features import decode_features, encode_features

RESULTS = "results.geojson"
NODE_SECONDS = 60.0
_READERS = 16  # threads: reading tiles is waiting
_READ_AHEAD = 128  # tiles


class ResultStore:
    """A place for the results of one image; pickles as its settings.

    Everything is written whole or not at all, under names that are the same at each attempt. A
    tile's result is `<tiles>/00012/00003.geojson`: of region 12, tile 3.

    Args:
        url: A folder that every node sees, or `s3://bucket/prefix`.
        tiles: The name of the folder in it that the tiles' results go to.
    """

    def __init__(self, url: str | os.PathLike[str], tiles: str = "tiles") -> None:
        self._place = _place(os.fspath(url))
        self._tiles = tiles

    @property
    def url(self) -> str:
        """The folder's absolute path, or `s3://bucket/prefix`."""
        return self._place.url

    @property
    def sink(self) -> dict[str, str]:
        """The place as an entry of a job item's `outputs`; OSML knows those of type S3."""
        return self._place.sink

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

    def write_tile(self, region: int, tile: int, features: Any) -> None:
        """Writes what was found in a tile, in place of what an earlier attempt found.

        Args:
            region: The number of the region.
            tile: The number of the tile in the region.
            features: See `features.encode_features`; None is written as well.

        Raises:
            OutputError: That is no GeoJSON, or cannot be written.
        """
        self.write(self._tile_name(region, tile), encode_features(features))

    def read_tile(self, region: int, tile: int) -> list[dict[str, Any]]:
        """Returns the Features of a tile.

        Raises:
            OutputError: They cannot be read.
        """
        return decode_features(self.read(self._tile_name(region, tile)))

    def _tile_name(self, region: int, tile: int) -> str:
        return f"{self._tiles}/{region:05}/{tile:05}.geojson"

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
            if len(nodes) > 1 and isinstance(self._place, _Folder):
                self._check_nodes(nodes, token)
        finally:
            self._place.remove(token)

    def _check_nodes(self, nodes: list[dict[str, Any]], token: str) -> None:
        see = ray.remote(num_cpus=0, max_retries=0)(_see)
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

    def merge(self, tiles: Iterable[tuple[int, int]], coordinates: str) -> int:
        """Merges the tiles' results into `results.geojson`, in the order of the tiles.

        Holds the Features of some hundred tiles in memory, not of all.

        Args:
            tiles: (region, tile) of those that succeeded.
            coordinates: What the Features' coordinates are; written beside them.

        Returns:
            How many Features there are.

        Raises:
            OutputError: A tile's result is not there, or the merged one cannot be written.
        """
        count = 0
        tiles = iter(tiles)
        head = {"type": "FeatureCollection", "coordinates": coordinates}
        with self._place.writing(RESULTS) as file, ThreadPoolExecutor(_READERS) as pool:
            file.write(f'{json.dumps(head)[:-1]}, "features": ['.encode())
            while batch := list(islice(tiles, _READ_AHEAD)):
                for features in pool.map(lambda key: self.read_tile(*key), batch):
                    for feature in features:
                        file.write(b",\n" if count else b"\n")
                        file.write(json.dumps(feature).encode())
                        count += 1
            file.write(b"\n]}\n")
        return count


def _see(store: ResultStore, token: str) -> str | None:
    """Returns, from a node, why it can't use a store; None: it can."""
    try:
        store.read(token)
        mine = f"{token}-{ray.get_runtime_context().get_node_id()}"
        store.write(mine, b"")
        store._place.remove(mine)
    except OutputError as err:
        return str(err)
    return None


def _place(url: str) -> _Folder | _Bucket:
    if not url.startswith("s3://"):
        if "://" in url or not url:
            raise OutputError(f"output {url!r}: give a folder, or s3://bucket/prefix")
        return _Folder(url)
    bucket, _, prefix = url[len("s3://") :].partition("/")
    if not bucket:
        raise OutputError(f"output {url!r} names no bucket: give s3://bucket/prefix")
    return _Bucket(bucket, prefix.strip("/"))


class _Folder:
    """A folder of the file system."""

    def __init__(self, url: str) -> None:
        # Tasks run in other folders. A link stays one: on other nodes it may lead elsewhere.
        self.url = os.path.abspath(url)  # noqa: PTH100
        self.sink = {"type": "Folder", "path": self.url}

    def prepare(self, folder: str) -> None:
        try:
            Path(self.url, folder).mkdir(parents=True, exist_ok=True)
        except OSError as err:
            raise OutputError(f"the output folder {self.url} cannot be made: {err}") from err

    def write(self, name: str, data: bytes) -> None:
        with self.writing(name) as file:
            file.write(data)

    @contextmanager
    def writing(self, name: str) -> Iterator[IO[bytes]]:
        path = Path(self.url, name)
        part = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        try:
            # Only `prepare` makes what is above: a node that doesn't have it is not to invent it.
            path.parent.mkdir(exist_ok=True)
            with part.open("xb") as file:
                yield file
            part.replace(path)
        except OSError as err:
            raise OutputError(f"{path} cannot be written: {err}") from err
        finally:
            with suppress(OSError):
                part.unlink(missing_ok=True)

    def read(self, name: str) -> bytes:
        try:
            return Path(self.url, name).read_bytes()
        except OSError as err:
            raise OutputError(f"{self.url}/{name} cannot be read: {err}") from err

    def remove(self, name: str) -> None:
        with suppress(OSError):
            Path(self.url, name).unlink()


class _Bucket:
    """A prefix of an S3 bucket."""

    def __init__(self, bucket: str, prefix: str) -> None:
        self.url = f"s3://{bucket}/{prefix}".rstrip("/")
        self.sink = {"type": "S3", "bucket": bucket, "prefix": prefix}
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""

    @functools.cached_property
    def _client(self) -> Any:
        return boto3.client("s3", config=Config(max_pool_connections=_READERS))

    def prepare(self, folder: str) -> None:
        """Does nothing: a bucket has no folders."""

    def write(self, name: str, data: bytes) -> None:
        with self._told("written", name):
            self._client.put_object(Bucket=self._bucket, Key=self._prefix + name, Body=data)

    @contextmanager
    def writing(self, name: str) -> Iterator[IO[bytes]]:
        client = self._client  # made here: boto3 can't make it in several threads at once
        with tempfile.TemporaryFile() as file:
            yield file
            file.seek(0)
            with self._told("written", name):
                client.upload_fileobj(file, self._bucket, self._prefix + name)

    def read(self, name: str) -> bytes:
        with self._told("read", name):
            answer = self._client.get_object(Bucket=self._bucket, Key=self._prefix + name)
            data: bytes = answer["Body"].read()
            return data

    def remove(self, name: str) -> None:
        with suppress(BotoCoreError, ClientError):  # the right to write may be all there is
            self._client.delete_object(Bucket=self._bucket, Key=self._prefix + name)

    @contextmanager
    def _told(self, what: str, name: str) -> Iterator[None]:
        try:
            yield
        except (BotoCoreError, ClientError, Boto3Error) as err:
            raise OutputError(f"{self.url}/{name} cannot be {what}: {err}") from err
