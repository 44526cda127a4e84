"""Which images are opened: a file is whatever its bytes say, and a name may lead anywhere.

A `scene.tif` may be a VRT that takes /etc/passwd for pixels, or a description of a service in the
network; a name may be a URL. Drivers whose images are nothing but themselves, and files and objects
in S3, are what anybody may give; all else is for who asks for it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from xml.etree import ElementTree

from ..errors import InvalidImage
from .hdf5 import DRIVERS as OF_HDF5
from .hdf5 import check_hdf5
from .names import absolute, gdal_name, is_in_s3

# What they open is the image's own, or beside it with its name. PCIDSK, ERS, PAux, ISIS and HDF4
# are not among them: they name the file of the pixels, as a VRT does, and RST that of the CRS.
# HDF5's are looked into.
DRIVERS = (
    "GTiff", "COG", "JP2OpenJPEG", "JPEG", "JPEGXL", "PNG", "GIF", "BIGGIF", "BMP", "WEBP", "PNM",
    "NITF", "HFA", "ENVI", "EHdr", "AAIGrid", "SRTMHGT", "DTED", "USGSDEM", "GRIB", "netCDF",
    "HDF5", "HDF5Image", "BAG", "Zarr", "GPKG", "VICAR", "MFF", "DERIVED",
)  # fmt: skip
_ENDS = (".ovr", ".msk", ".aux", ".OVR", ".MSK", ".AUX", *(f".r{n}" for n in range(1, 6)))
_OF_OVERVIEWS = (".rrd", ".ovr", ".msk", ".aux")
_BYTES_OF_XML = 10_000_000
_BYTES_OF_HEAD = 4096

_ARCHIVE = re.compile(
    r"/{0,2}\{*/?vsi(?:zip|tar|gzip|7z|rar)/|/{0,2}\{*/?vsisubfile/[^,]*,", re.IGNORECASE
)
_S3 = re.compile(r"/?\{*/?vsis3(?:_streaming)?/", re.IGNORECASE)
_VSI = re.compile(r"(?=(?:^|[\"'{=,:?&]|/vsi[a-z0-9_]+/)/{0,2}vsi([a-z0-9_]+)[/?])", re.IGNORECASE)
_SCHEME = re.compile(r"(?<![a-z0-9.])([a-z][a-z0-9+-]*)://", re.IGNORECASE)  # not HDF5:a.h5://x
_NEAR = ("zip", "tar", "gzip", "7z", "rar", "subfile", "s3", "s3_streaming", "file", "vrt")
_TEXTS = {  # that are images, by what GDAL knows them by
    b"<VRTDataset": "VRT",
    b"<GDAL_WMS": "WMS",
    b"<WMS": "WMS",
    b"<WCS": "WCS",
    b"<GDALWMTS": "WMTS",
    b"<GDAL_WMTS": "WMTS",
    b"<GDALTileIndexDataset": "GTI",
    b"<MRF_META": "MRF",
}
_OF_VRT = frozenset(
    re.findall(
        r"\w+",
        """
        VRTDataset VRTRasterBand SRS GeoTransform GCPList GCP Metadata MDI OverviewList Overview
        MaskBand ColorInterp ColorTable Entry NoDataValue HideNoDataValue Description UnitType
        Offset Scale CategoryNames Category BlockXSize BlockYSize Histograms HistItem HistMin
        HistMax BucketCount IncludeOutOfRange Approximate HistCounts SimpleSource ComplexSource
        AveragedSource NoDataFromMaskSource KernelFilteredSource Kernel Size Coefs SourceFilename
        SourceBand SourceProperties SrcRect DstRect NODATA MaskValueThreshold RemappedValue
        ScaleOffset ScaleRatio Exponent SrcMin SrcMax DstMin DstMax Clamp LUT UseMaskBand
        ColorTableComponent
        """,
    )
)


class Allowed(NamedTuple):
    """What may be opened beside the usual.

    Attributes:
        drivers: GDAL's short names of drivers, such as "VRT".
        url: Whether the image may be elsewhere than in a file or in S3.
    """

    drivers: tuple[str, ...] = ()
    url: bool = False

    @classmethod
    def of(cls, drivers: Iterable[str], url: bool) -> Allowed:
        """Returns it as it is given.

        Raises:
            InvalidImage: Drivers are no names.
        """
        names = [drivers] if isinstance(drivers, str) else list(drivers)
        if not all(isinstance(name, str) and name for name in names):
            raise InvalidImage(f"allow_driver={drivers!r:.99}: give names of drivers, as ['VRT']")
        return cls(tuple(names), bool(url))


NOTHING = Allowed()


def check_allowed(url: str, allowed: Allowed) -> Sequence[str]:
    """Returns the drivers that may open an image; opens no more of it than its first bytes.

    Args:
        url: Its name, from `names.absolute`.
        allowed: What is allowed beside the usual.

    Raises:
        InvalidImage: It is elsewhere, or made of others, and that is not allowed.
    """
    drivers = (*DRIVERS, *allowed.drivers)
    if url.startswith("/") and not url.lower().startswith("/vsi"):
        return _check_files(url, allowed, drivers)
    if url.lstrip().startswith("<"):
        raise InvalidImage(
            f"{url[:60]!r}... is a description in place of a file: write it to a file beside the "
            'images that it is made of, and allow its driver (allow_driver=["VRT"])'
        )
    name = gdal_name(url)
    place = None if allowed.url else _elsewhere(name)
    if place is not None:
        raise InvalidImage(
            f"{url} is neither a file nor in S3, but in {place}: allow that (allow_url=True) where "
            "you trust who named it, or copy it"
        )
    files = files_in(name)
    # A driver would open a text as whatever it is.
    for path in files:
        _check_files(path, _no_text(allowed), drivers)
    if not files or _VSI.search(name):  # nothing of it can be looked into
        drivers = without_hdf5(allowed)
    if name.lower().startswith("vrt://"):
        # Bands and windows of a file that was just seen to be no text.
        if (not files or _VSI.search(name)) and "VRT" not in allowed.drivers:
            raise InvalidImage(f'{url} names no plain file that is there: allow_driver=["VRT"]')
        return (*drivers, "VRT")
    if name.upper().startswith("DERIVED_SUBDATASET:") and (not files or _VSI.search(name)):
        drivers = tuple(each for each in drivers if each != "DERIVED" or each in allowed.drivers)
    return drivers


def check_is_in_s3(url: str, allowed: Allowed) -> None:
    """Does nothing where an image that a request names is in S3, or may be elsewhere.

    Raises:
        InvalidImage: It is not: who sends requests must not choose from this machine's files.
    """
    name = _ARCHIVE.sub("", gdal_name(url))
    if not allowed.url and not (is_in_s3(url) and _S3.match(name)):
        raise InvalidImage(
            f"the request's image {url:.200} is not in S3, as that of a request must be: allow it "
            "(allow_url=True) where you trust who sent it"
        )


def without_hdf5(allowed: Allowed) -> tuple[str, ...]:
    """Returns the drivers for images that cannot be looked into: HDF5's if they are allowed."""
    return (*(driver for driver in DRIVERS if driver not in OF_HDF5), *allowed.drivers)


def files_in(name: str) -> list[str]:
    """Returns the files that are there of those that may be meant in a name for GDAL."""
    if os.path.isfile(name):  # noqa: PTH113 - a path is a text here
        return [name]
    parts = re.split(r"[\"'?]|(?<=[a-z0-9_]):(?://)?|,", name, flags=re.IGNORECASE)
    return [part for part in parts if part.startswith("/") and os.path.isfile(part)]  # noqa: PTH113


def is_near(url: str) -> bool:
    """Returns whether an image is in files of this machine, and needs no network."""
    return not is_in_s3(url) and _elsewhere(gdal_name(url)) is None


def _no_text(allowed: Allowed) -> Allowed:
    return allowed._replace(drivers=tuple(set(OF_HDF5) & set(allowed.drivers)))


def _elsewhere(name: str) -> str | None:
    """Returns where an image is that is neither a file nor in S3."""
    rest = name
    while (archive := _ARCHIVE.match(rest)) is not None:
        rest = rest[archive.end() :]
    if _S3.match(rest):  # its key is whatever it is
        return None
    for form, regex in (("/vsi{}/", _VSI), ("{}://", _SCHEME)):
        for found in regex.finditer(name):
            if found[1].lower() not in _NEAR:
                return form.format(found[1])
    return None


def _check_files(path: str, allowed: Allowed, drivers: Sequence[str]) -> Sequence[str]:
    """Refuses a file that may take pixels from anywhere, or has such a mask or overviews."""
    if not set(OF_HDF5) & set(allowed.drivers):
        check_hdf5(path)
    for sidecar in sidecars(path):  # before they are opened: a service in the network is asked
        _check_files(sidecar, allowed, drivers)
    _check_metadata(path, allowed, drivers)
    return _check_file(path, allowed, drivers)


def sidecars(path: str) -> list[str]:
    """Returns what is there of that which GDAL may take for masks and overviews of a file."""
    return [name for name in _sidecars(path) if os.path.isfile(name)]  # noqa: PTH113


def _sidecars(path: str) -> Iterator[str]:
    stem, end = os.path.splitext(path)  # noqa: PTH122
    yield from (path + each for each in _ENDS)
    if end.lower() == ".r0":  # of NITF, the first of its reduced resolutions
        yield from (f"{path[:-1]}{n}" for n in range(1, 6))
    elif end.lower() != ".aux":
        yield from (stem + each for each in (".aux", ".AUX"))


def _check_file(path: str, allowed: Allowed, drivers: Sequence[str]) -> Sequence[str]:
    """Refuses a file that is a text, which names other images, unless that is allowed."""
    try:
        with Path(path).open("rb") as file:
            head = file.read(_BYTES_OF_HEAD)
    except OSError:  # GDAL says which
        return drivers
    driver = _text_driver(head)
    if driver is None:
        return drivers
    if driver not in allowed.drivers:
        raise InvalidImage(
            f"{path} is a {driver}, whatever its name, and may take its pixels from anywhere: "
            f"allow that driver (allow_driver=['{driver}'], --allow-driver {driver}) where you "
            "trust who made it"
        )
    if driver == "VRT":
        _check_vrt(path, allowed, drivers)
    elif not allowed.url:
        raise InvalidImage(f"{path} is a {driver}, which goes elsewhere: allow_url=True, too")
    return drivers


def _check_metadata(path: str, allowed: Allowed, drivers: Sequence[str]) -> None:
    """Refuses metadata beside a file that name overviews elsewhere."""
    metadata = f"{path}.aux.xml"
    try:
        size = Path(metadata).stat().st_size
        text = Path(metadata).read_text("utf-8") if size <= _BYTES_OF_XML else None
    except OSError:
        return
    except ValueError:  # of some other encoding
        text = None
    # An entity may be the name; what is too large, or no UTF-8, is refused in what follows.
    if text is not None and "OVERVIEW" not in text.upper() and "&#" not in text:
        return
    for element in _elements(metadata):
        if "OVERVIEW_FILE" in map(str.upper, element.attrib.values()):
            check_overviews((element.text or "").strip(), path, allowed, drivers)


def check_overviews(
    named: str, path: str, allowed: Allowed, drivers: Sequence[str]
) -> Sequence[str]:
    """Returns the files that may be meant where metadata name one of overviews.

    Args:
        named: The value of OVERVIEW_FILE.
        path: The file whose metadata they are.
        allowed: What is allowed beside the usual.
        drivers: What may open images.

    Raises:
        InvalidImage: It is elsewhere, or names other images, or a service in the network.
    """
    name = named.removeprefix(":::BASE:::")
    if re.search(r"[/\\:<{]", name) or not name.lower().endswith(_OF_OVERVIEWS):
        raise InvalidImage(
            f"{path} takes its overviews from {name!r:.200}, which is not beside it: take "
            "OVERVIEW_FILE out of its metadata, also out of its .aux.xml"
        )
    beside = str(Path(path).parent / name)
    found = [file for file in {beside, absolute(name)} - {path} if Path(file).is_file()]
    for file in found:
        _check_file(file, allowed, drivers)
    return found


def _text_driver(head: bytes) -> str | None:
    """Returns the driver that takes a text for an image; None: it is no such text."""
    # As GDAL: what it looks for may come behind other things.
    return next((driver for mark, driver in _TEXTS.items() if mark in head), None)


def sources_of_vrt(path: str) -> list[str]:
    """Returns the images that a VRT, which `check_allowed` let through, is made of."""
    texts = {element.text or "" for element in _elements(path) if element.tag == "SourceFilename"}
    return [str(Path(path).parent / text.strip()) for text in sorted(texts)]


def _check_vrt(path: str, allowed: Allowed, drivers: Sequence[str]) -> None:
    """Refuses a VRT that is made of anything but images beside it, or below.

    Raises:
        InvalidImage: It is; the text says of what.
    """
    no_text = _no_text(allowed)
    for element in _elements(path):
        name = element.tag
        plain = "VRTSourcedRasterBand"
        odd = name not in _OF_VRT or element.get("subClass", plain) != plain
        if odd or "OVERVIEW" in (element.get("domain") or element.get("key") or "").upper():
            raise InvalidImage(
                f"{path} has a {name} {element.attrib or ''} in it, which may take pixels from "
                "anywhere: make one of plain images"
            )
        if name == "SourceFilename":
            source = (element.text or "").strip()
            _check_source(path, source, element.get("relativeToVRT") == "1")
            _check_files(str(Path(path).parent / source), no_text, drivers)


def _elements(path: str) -> list[ElementTree.Element]:
    try:
        if Path(path).stat().st_size > _BYTES_OF_XML:
            raise ValueError(f"more than {_BYTES_OF_XML:,} bytes")
        text = Path(path).read_text("utf-8")
        if "<!" in text:  # entities: what GDAL and we read would differ
            raise ValueError("it has declarations or comments")
        return list(ElementTree.fromstring(text).iter())
    except (OSError, ValueError, ElementTree.ParseError) as err:
        raise InvalidImage(f"{path} cannot be looked into: {err}") from None


def _check_source(vrt: str, source: str, is_relative: bool) -> None:
    parts = PurePosixPath(source).parts
    is_beside = is_relative and source and source[0] not in "/<{" and ".." not in parts
    if not is_beside or re.search(r"[:\\]|^vsi|[<>]", source, re.IGNORECASE):
        raise InvalidImage(
            f"{vrt} takes pixels from {source!r:.200}, which is not beside it: put it there, and "
            'make the VRT anew (relativeToVRT="1")'
        )
    target = Path(vrt).parent / source
    try:
        with target.open("rb") as file:
            driver = _text_driver(file.read(_BYTES_OF_HEAD))
    except OSError:  # which `check_complete` tells
        return
    if driver is not None:
        raise InvalidImage(f"{vrt} takes pixels from {source}, which is a {driver}: name images")
