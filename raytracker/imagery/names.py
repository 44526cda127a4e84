"""What an image is named: whether that is a file, what it is in full, and what GDAL is given."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote

from ..errors import InvalidImage

# zip+s3://bucket/a.zip!b.tif, as rasterio has it; but it cuts a key at a #, as if it were a URL.
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://(.*)", re.DOTALL | re.IGNORECASE)
_ARCHIVES = ("zip", "tar", "gzip")
_OBJECTS = ("s3", "gs", "az", "oss")
_WEB = ("http", "https", "ftp")

# What GDAL takes in a file's place: netcdf:a.nc:band, with its parts, and /vsizip/a.zip/b.tif.
_DRIVER = re.compile(r"([a-z][a-z0-9_]*:)(.+)", re.DOTALL | re.IGNORECASE)
_PART = re.compile(r'"[^"]*"|[^:]+')
_VSI = re.compile(r"/vsi[a-z0-9_]+[/?]")
_VSI_OF_FILE = re.compile(r"(/vsi(?:zip|tar|gzip|7z|rar)/|/vsisubfile/[^,]*,)(.*)", re.DOTALL)
# Where one may begin in a name, and not in the middle of a path.
_BEGINS = r"(?:^|[\"'{=,:?&/]|/vsi[a-z0-9_]+)"
_OWN = re.compile(_BEGINS + r"/vsi(?:mem|stdin|stdout)\b")
_S3 = re.compile(_BEGINS + r"/vsis3(?:_streaming)?/")


def absolute(name: str | os.PathLike[str]) -> str:
    """Returns an image's name so that it means the same in every folder.

    A file that is there is a file, whatever its name looks like. A link stays one: on other nodes
    it may lead elsewhere.

    Args:
        name: A path, a URL such as `s3://bucket/key`, or what GDAL takes in their place, such as
            `netcdf:a.nc:band` or `/vsizip/a.zip/b.tif`.

    Raises:
        InvalidImage: It is none, or no other process sees what it names.
    """
    text = os.fsdecode(name)
    _check_text(text)
    is_url = _SCHEME.fullmatch(text) is not None
    if not is_url and os.path.lexists(text):
        return _path(text)
    if _OWN.search(text):
        raise InvalidImage(
            f"{text} is this process's own, and no worker sees it: write it to a file"
        )
    if is_url:
        return _absolute_url(text)
    if _VSI.match(text):
        return _absolute_vsi(text)
    if text.lstrip().startswith("<"):  # a VRT in place of its file
        return text
    driver = _DRIVER.fullmatch(text)
    return _path(text) if driver is None else driver[1] + _absolute_parts(text, driver[2])


def gdal_name(url: str) -> str:
    """Returns what GDAL is to open for a name that `absolute` returned.

    Keys in S3 are no URLs: each is taken as it is, whatever characters it has.
    """
    found = _SCHEME.fullmatch(url)
    if found is None:
        return url
    *archives, last = found[1].lower().split("+")
    if last in _ARCHIVES:
        archives, last = [*archives, last], "file"
    if len(archives) > 1 or not set(archives) <= set(_ARCHIVES):
        return url
    file, mark, inside = found[2].rpartition("!") if archives else (found[2], "", "")
    if not mark:  # all there is in the archive, or no archive
        file, inside = found[2], ""
    if last in _OBJECTS:
        file = f"/vsi{last}/{file}"
    elif last in _WEB:
        file = f"/vsicurl/{last}://{file}"
    elif last == "file":
        file = file if os.path.lexists(file) else unquote(file)
    else:
        return url
    return f"/vsi{archives[0]}/{{{file}}}/{inside.lstrip('/')}" if archives else file


def is_in_s3(url: str) -> bool:
    """Returns whether an image, or the file that holds it, is in S3."""
    return _S3.search(gdal_name(url)) is not None


def in_bucket(name: str) -> tuple[str, str] | None:
    """Returns the bucket and key of an object in S3, as GDAL names it; None: it is none."""
    found = re.fullmatch(r"/vsis3(?:_streaming)?/([^/]+)/(.+)", name, re.DOTALL)
    return None if found is None else (found[1], found[2])


def _check_text(text: str) -> None:
    if not text or "\0" in text:
        raise InvalidImage(f"{text!r} names no image: give a path, or s3://bucket/key")
    try:
        text.encode()
    except UnicodeEncodeError:
        shown: str | bytes = text
        with suppress(UnicodeEncodeError):  # half a character is no file's name
            shown = os.fsencode(text)
        raise InvalidImage(
            f"{shown!a} is not UTF-8, as the job table's key and GDAL want it: rename the file, "
            "or make a link to it"
        ) from None


def _path(text: str) -> str:
    if _is_stream(Path(text)):
        raise InvalidImage(f"{text} is a pipe or a device: give a file that can be read again")
    path = os.path.abspath(text)  # noqa: PTH100 - it leaves links as they are
    if ".." in Path(text).parts and not _is_same(path, text):  # of link/../file it makes another
        return os.path.join(os.getcwd(), text)  # noqa: PTH109, PTH118
    return path


def _is_stream(path: Path) -> bool:
    try:
        return path.exists() and not (path.is_file() or path.is_dir())
    except OSError:  # GDAL says which
        return False


def _is_same(path: str, text: str) -> bool:
    try:
        return Path(path).samefile(text)
    except OSError:
        return not os.path.lexists(text)


def _absolute_url(url: str) -> str:
    scheme, _, rest = url.partition("://")
    *archives, last = scheme.lower().split("+")
    if last == "file" and not archives:
        return f"{scheme}://{_path(rest)}"
    if last in (*_ARCHIVES, "file", "vrt"):  # zip://a.zip!b.tif, vrt://a.tif?bands=1
        file, mark, more = rest.partition("?" if last == "vrt" else "!")
        return f"{scheme}://{_absolute_file(file)}{mark}{more}"
    return url


def _absolute_vsi(name: str) -> str:
    """Makes absolute what an archive's name takes from this folder."""
    found = _VSI_OF_FILE.fullmatch(name)
    if found is None:
        return name
    prefix, file = found.groups()
    if file.startswith("{"):  # {…}, which may hold another one
        end = file.rfind("}") if "{" in file[1:] else file.find("}")
        return f"{prefix}{{{_absolute_file(file[1:end])}}}{file[end + 1 :]}"
    if _VSI.match(f"/{file}"):  # /vsizip/vsis3/…: GDAL lets the second slash go
        file = f"/{file}"
    return prefix + _absolute_file(file)


def _absolute_parts(name: str, rest: str) -> str:
    """Makes absolute the part between colons, or quotes, that is a file."""
    parts = [part.strip('"') for part in _PART.findall(rest)]
    whole = [part for part in parts if part.startswith("/") and os.path.lexists(part)]
    if whole:
        _path(whole[0])
        return rest
    files = [part for part in parts if _is_file_here(part)]
    if len(files) > 1:
        raise InvalidImage(
            f"{name}: {' and '.join(dict.fromkeys(files))} are files here, and it is the name of "
            "one: give that one's full path"
        )

    def replace(found: re.Match[str]) -> str:
        part = found[0].strip('"')
        if part not in files and not _VSI.match(part):
            return found[0]
        return found[0].replace(part, _absolute_file(part))

    return _PART.sub(replace, rest)


def _absolute_file(file: str) -> str:
    return _absolute_vsi(file) if _VSI.match(file) else _path(file)


def _is_file_here(part: str) -> bool:
    return not part.startswith("/") and not part.isdigit() and os.path.lexists(part)
