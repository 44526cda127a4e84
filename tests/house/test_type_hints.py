"""What tools that read annotations need: dacite, pydantic, Sphinx."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from functools import cached_property
from typing import Any, get_type_hints

import pytest

import raytracker.ddb
import raytracker.image_request
import raytracker.job_table

PACKAGES = (raytracker.ddb, raytracker.image_request, raytracker.job_table)
PUBLIC = {
    name: getattr(package, name)
    for package in PACKAGES
    for name in package.__all__
    if callable(getattr(package, name))
}


def annotated(thing: Any) -> Iterator[Any]:
    """Yields a class or function, and the methods and properties of a class of ours."""
    yield thing
    for owner in thing.__mro__ if inspect.isclass(thing) else ():
        if not owner.__module__.startswith("raytracker"):
            continue
        for member in vars(owner).values():
            if isinstance(member, cached_property):
                yield member.func
            elif isinstance(member, property):
                yield member.fget
            elif isinstance(member, (classmethod, staticmethod)):
                yield member.__func__
            elif inspect.isfunction(member):
                yield member


@pytest.mark.parametrize("name", PUBLIC)
def test_annotations_can_be_read(name: str) -> None:
    """Each name in them is there when the program runs, also without the extras."""
    for thing in annotated(PUBLIC[name]):
        get_type_hints(thing)
