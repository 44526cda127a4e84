"""Geometries as WKT that somebody else wrote: shapely, given what it can take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

MAX_CHARACTERS = 400 * 1024  # a job item holds no more
MAX_DEPTH = 16  # GEOS ends the process on tens of thousands of collections in each other


def parsed_wkt(text: Any) -> BaseGeometry:
    """Returns a geometry.

    Args:
        text: WKT.

    Raises:
        ValueError: It is none, or longer or deeper than any area needs; the text says which.
        ImportError: shapely is not installed.
    """
    if not isinstance(text, str):
        raise ValueError(f"it is a {type(text).__name__}")
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"it has {len(text):,} characters, and may have {MAX_CHARACTERS:,}")
    depth = 0
    for character in text:
        depth += (character == "(") - (character == ")")
        if depth > MAX_DEPTH:
            raise ValueError(f"its parentheses are nested more than {MAX_DEPTH} deep")
    import shapely  # an extra, and slow

    try:
        geometry: BaseGeometry = shapely.from_wkt(text)
    except (shapely.errors.ShapelyError, UnicodeError) as err:
        raise ValueError(" ".join(str(err).split())[:200]) from None
    return geometry
