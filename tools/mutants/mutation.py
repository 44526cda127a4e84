"""What a mutation is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutation:
    """One thing broken.

    Attributes:
        name: What is wrong then.
        changes: In each of the files, the first text becomes the second.
        tests: The first of these that fails has noticed it.
    """

    name: str
    changes: tuple[tuple[str, str, str], ...]
    tests: tuple[str, ...]
