"""A page that shows a job table while it lives; extra `raytracker[serve]`."""

from .app import make_app
from .server import serve

__all__ = ["make_app", "serve"]
