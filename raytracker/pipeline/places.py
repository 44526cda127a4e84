"""Where bytes go: a folder of the file system, or a prefix of an S3 bucket."""

from __future__ import annotations

import functools
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Protocol

import boto3
from boto3.exceptions import Boto3Error
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from ..errors import OutputError
from ..secrets import CURE, secret_in, without_secret

READERS = 16  # threads, at most, that use a place at once


class Place(Protocol):
    """A folder, or what stands for one. Everything is written whole or not at all."""

    url: str
    sink: dict[str, str]

    def prepare(self, folder: str) -> None:
        """Makes a folder in it, and itself."""

    def write(self, name: str, data: bytes) -> None:
        """Writes one file."""

    def writing(self, name: str) -> AbstractContextManager[IO[bytes]]:
        """Writes one file, that the block fills; where it raises, nothing is there."""

    def read(self, name: str, most: int | None = None) -> bytes:
        """Returns what is in one file, or its first bytes, `most` of them."""
        ...

    def names(self, folder: str) -> Sequence[str]:
        """Returns the names of the files in a folder, which are whole."""
        ...

    def move(self, name: str, target: str) -> None:
        """Gives one file another name, where it is there."""

    def remove(self, name: str) -> None:
        """Removes one file, if that may be."""

    def clear(self, folder: str) -> None:
        """Removes all files in a folder, which need not be there."""


def place(url: str) -> Place:
    """Returns the place at a folder's path, or `s3://bucket/prefix`.

    Raises:
        OutputError: It is neither.
    """
    if (secret := secret_in(url)) is not None and "://" in url:
        raise OutputError(
            f"the output {without_secret(url)}... has {secret} in its name, which goes into the "
            f"table and logs: {CURE}"
        )
    if not url.startswith("s3://"):
        if "://" in url or not url:
            raise OutputError(f"output {url!r}: give a folder, or s3://bucket/prefix")
        return Folder(url)
    bucket, _, prefix = url[len("s3://") :].partition("/")
    if not bucket:
        raise OutputError(f"output {url!r} names no bucket: give s3://bucket/prefix")
    return Bucket(bucket, prefix.strip("/"))


class Folder(Place):
    """A folder of the file system."""

    def __init__(self, url: str) -> None:
        # Tasks run in other folders. A link stays one: on other nodes it may lead elsewhere.
        self.url = os.path.abspath(url)  # noqa: PTH100
        self.sink = {"type": "Folder", "path": self.url}

    def prepare(self, folder: str) -> None:
        """As in `Place`."""
        self._check(folder)
        try:
            Path(self.url, folder).mkdir(parents=True, exist_ok=True)
        except OSError as err:
            raise OutputError(f"the output folder {self.url} cannot be made: {err}") from None

    def write(self, name: str, data: bytes) -> None:
        """As in `Place`."""
        with self.writing(name) as file:
            file.write(data)

    @contextmanager
    def writing(self, name: str) -> Iterator[IO[bytes]]:
        """As in `Place`."""
        self._check(name)
        path = Path(self.url, name)
        part = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        try:
            # Only `prepare` makes what is above: a node that doesn't have it is not to invent it.
            path.parent.mkdir(exist_ok=True)
            with part.open("xb") as file:
                yield file
            part.replace(path)
        except OSError as err:
            raise OutputError(f"{path} cannot be written: {err}") from None
        finally:
            with suppress(OSError):
                part.unlink(missing_ok=True)

    def read(self, name: str, most: int | None = None) -> bytes:
        """As in `Place`."""
        self._check(name)
        try:
            with Path(self.url, name).open("rb") as file:
                # No more than there is: Python makes room for all that is asked for.
                size = os.fstat(file.fileno()).st_size
                return file.read(size if most is None else min(size, most))
        except OSError as err:
            raise OutputError(f"{self.url}/{name} cannot be read: {err}") from err

    def names(self, folder: str) -> Sequence[str]:
        """As in `Place`."""
        self._check(folder)
        try:
            return [path.name for path in Path(self.url, folder).iterdir() if path.name[0] != "."]
        except FileNotFoundError:  # as in a bucket
            return []
        except OSError as err:
            raise OutputError(f"{self.url}/{folder} cannot be listed: {err}") from err

    def move(self, name: str, target: str) -> None:
        """As in `Place`."""
        self._check(str(Path(target).parent))
        path, to = Path(self.url, name), Path(self.url, target)
        try:
            if path.exists():
                to.parent.mkdir(exist_ok=True)
                path.replace(to)
        except OSError as err:
            raise OutputError(f"{path} cannot be moved to {to}: {err}") from err

    def remove(self, name: str) -> None:
        """As in `Place`."""
        with suppress(OSError, OutputError):
            self._check(name)
            Path(self.url, name).unlink()

    def clear(self, folder: str) -> None:
        """As in `Place`."""
        self._check(folder)
        path = Path(self.url, folder)
        try:
            if path.exists():
                shutil.rmtree(path)
        except OSError as err:
            raise OutputError(f"{path} cannot be removed: {err}") from err

    def _check(self, name: str) -> None:
        """Does nothing where no link leads out of the folder, which itself may be one.

        Raises:
            OutputError: One does: whoever can write there must not choose what is read elsewhere,
                nor where we write.
        """
        path = Path(self.url)
        for part in Path(name).parts:
            path = path / part
            if path.is_symlink():
                raise OutputError(
                    f"{path} is a link, and nothing of ours is one: remove it, or give another "
                    "output"
                )


class Bucket(Place):
    """A prefix of an S3 bucket."""

    def __init__(self, bucket: str, prefix: str) -> None:
        self.url = f"s3://{bucket}/{prefix}".rstrip("/")
        self.sink = {"type": "S3", "bucket": bucket, "prefix": prefix}
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""

    @functools.cached_property
    def _client(self) -> Any:
        return boto3.client("s3", config=Config(max_pool_connections=READERS))

    def prepare(self, folder: str) -> None:
        """Does nothing: a bucket has no folders."""

    def write(self, name: str, data: bytes) -> None:
        """As in `Place`."""
        with self._told("written", name):
            self._client.put_object(Bucket=self._bucket, Key=self._prefix + name, Body=data)

    @contextmanager
    def writing(self, name: str) -> Iterator[IO[bytes]]:
        """As in `Place`."""
        client = self._client  # made here: boto3 can't make it in several threads at once
        try:
            with tempfile.TemporaryFile() as file:
                yield file
                file.seek(0)
                with self._told("written", name):
                    client.upload_fileobj(file, self._bucket, self._prefix + name)
        except OSError as err:
            folder = tempfile.gettempdir()
            raise OutputError(f"{name} cannot be made ready in {folder}: {err}") from err

    def copy(self, name: str, bucket: str, key: str) -> None:
        """Copies one file to elsewhere on S3.

        Raises:
            OutputError: It cannot be copied.
        """
        with self._told(f"copied to s3://{bucket}/{key}", name):
            source = {"Bucket": self._bucket, "Key": self._prefix + name}
            self._client.copy(source, bucket, key)

    def read(self, name: str, most: int | None = None) -> bytes:
        """As in `Place`."""
        with self._told("read", name):
            answer = self._client.get_object(Bucket=self._bucket, Key=self._prefix + name)
            with closing(answer["Body"]) as body:
                is_larger = most is not None and answer["ContentLength"] > most
                # Only what is read to its end is found to have been cut off on its way.
                data: bytes = body.read(most if is_larger else None)
            return data

    def names(self, folder: str) -> Sequence[str]:
        """As in `Place`."""
        prefix = f"{self._prefix}{folder}/" if folder else self._prefix
        with self._told("listed", folder):
            keys = [key for page in self._pages(prefix) for key in page]
        return [key[len(prefix) :] for key in keys if key[len(prefix)] != "."]

    def _pages(self, prefix: str) -> Iterator[list[str]]:
        pages = self._client.get_paginator("list_objects_v2")
        # Of a folder above, what is below is not wanted: it may be a million tiles.
        for page in pages.paginate(Bucket=self._bucket, Prefix=prefix, Delimiter="/"):
            yield [entry["Key"] for entry in page.get("Contents", ())]

    def move(self, name: str, target: str) -> None:
        """As in `Place`: a copy, and then the old one is deleted."""
        source = {"Bucket": self._bucket, "Key": self._prefix + name}
        with self._told("moved", name):
            found = self._client.list_objects_v2(Bucket=self._bucket, Prefix=source["Key"])
            if any(entry["Key"] == source["Key"] for entry in found.get("Contents", ())):
                self._client.copy(source, self._bucket, self._prefix + target)
                self._client.delete_object(**source)

    def remove(self, name: str) -> None:
        """As in `Place`."""
        with suppress(BotoCoreError, ClientError):  # the right to write may be all there is
            self._client.delete_object(Bucket=self._bucket, Key=self._prefix + name)

    def clear(self, folder: str) -> None:
        """As in `Place`."""
        with self._told("removed", folder):
            for keys in self._pages(f"{self._prefix}{folder}/"):
                for key in keys:
                    self._client.delete_object(Bucket=self._bucket, Key=key)

    @contextmanager
    def _told(self, what: str, name: str) -> Iterator[None]:
        try:
            yield
        except (BotoCoreError, ClientError, Boto3Error) as err:
            raise OutputError(f"{self.url}/{name} cannot be {what}: {err}") from None
