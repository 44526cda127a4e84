"""The command `raytracker`."""

from .command import app, main

__all__ = [
    "app",
    "main",
]
