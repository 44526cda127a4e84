"""The page's routes, and the JSON under it, which has the names of the job item."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from ..job_table import JobTable
from ..views import Status, Wanted
from .guard import Guard
from .sights import Asked, Image, Sight
from .watch import Watch

FILES = Path(__file__).parent / "static"
MAX_LIMIT = 10_000


def make_app(table: JobTable, *, token: str, host: str = "127.0.0.1", port: int = 0) -> Starlette:
    """Returns the page as an ASGI application; its `state.watch` reads the table.

    Args:
        table: The table that is shown.
        token: The secret that whoever looks at it must have.
        host: Where it is served.
        port: Its port, which tells its cookie from that of another one.
    """
    app = Starlette(
        routes=[
            Route("/", _page("list.html")),
            Route("/image", _page("image.html")),
            Route("/api/images", _images),
            Route("/api/images/events", _images_live),
            Route("/api/image", _image),
            Route("/api/image/events", _image_live),
            Route("/api/image/tiles", _tiles),
            Route("/api/image/tile", _tile),
            Mount("/static", StaticFiles(directory=FILES)),
        ],
        middleware=[Middleware(Guard, token=token, host=host, cookie=f"raytracker_{port}")],
        exception_handlers={HTTPException: _refused},
    )
    app.state.watch = Watch(table)
    return app


def _page(name: str) -> Callable[[Request], Any]:
    async def page(request: Request) -> Response:
        return FileResponse(FILES / name)

    return page


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code)


# --- all images ---


async def _images(request: Request) -> Response:
    watch, asked = _watch(request), _asked(request)
    await _fresh(watch, watch.images)
    return JSONResponse({"table": watch.table.table_name, **watch.images.told(asked)})


async def _images_live(request: Request) -> Response:
    watch, asked = _watch(request), _asked(request)
    table = watch.table.table_name
    return _live(watch, watch.images, lambda: {"table": table, **watch.images.told(asked)})


def _asked(request: Request) -> Asked:
    query = request.query_params
    statuses = frozenset(query.getlist("status"))
    for status in statuses - set(Status.__members__):
        raise HTTPException(400, f"status {status!r}: it is one of {', '.join(Status.__members__)}")
    limit = query.get("limit", str(Asked().limit))
    if not (limit.isascii() and limit.isdigit() and 1 <= int(limit[:9]) <= MAX_LIMIT):
        raise HTTPException(400, f"limit {limit!r}: it is 1 to {MAX_LIMIT}")
    wanted = Wanted(statuses, failing="failing" in query, silent="silent" in query)
    return Asked(wanted, query.get("q", "").casefold(), int(limit))


# --- one image ---


async def _image(request: Request) -> Response:
    watch = _watch(request)
    image = watch.image(_image_id(request))
    await _fresh(watch, image)
    told = image.told()
    if "image_id" not in told:
        raise HTTPException(404, _missing(watch, image))
    return JSONResponse(told)


async def _image_live(request: Request) -> Response:
    watch = _watch(request)
    image = watch.image(_image_id(request))

    def told() -> dict[str, Any]:
        known = image.told()
        return known if "image_id" in known else {"error": _missing(watch, image), **known}

    return _live(watch, image, told)


async def _tiles(request: Request) -> Response:
    """Answers with the outcomes of the map's cells, as they were read last."""
    image = await _mapped(request)
    packed = gzip.compress(image.raster, 1)
    return Response(packed, 200, {"Content-Encoding": "gzip"}, "application/octet-stream")


async def _tile(request: Request) -> Response:
    """Answers with what is known of a tile, by its number or its place in the map."""
    image = await _mapped(request)
    assert image.map is not None
    query = request.query_params
    try:
        if "number" in query:
            number: int | None = int(query["number"])
        else:
            number = image.map.number_at(int(query["row"]), int(query["column"]))
    except (KeyError, ValueError) as err:
        raise HTTPException(400, "give number, or row and column, as whole numbers") from err
    if number is None or not 0 <= number < image.map.layout.tile_count:
        raise HTTPException(404, "there is no tile")
    return JSONResponse(image.tile(number))


async def _mapped(request: Request) -> Image:
    watch = _watch(request)
    image = watch.image(_image_id(request))
    if not image.version:
        await _fresh(watch, image)
    if image.map is None:
        raise HTTPException(404, f"image {image.image_id!r} has no ledger: its tiles aren't known")
    return image


def _image_id(request: Request) -> str:
    image_id = request.query_params.get("image_id")
    if not image_id:
        raise HTTPException(400, "give image_id")
    return image_id


def _missing(watch: Watch, image: Image) -> str:
    return image.trouble or f"image {image.image_id!r} is not in table {watch.table.table_name!r}"


# --- both ---


def _watch(request: Request) -> Watch:
    watch: Watch = request.app.state.watch
    return watch


async def _fresh(watch: Watch, sight: Sight) -> None:
    if not await watch.fresh(sight):
        raise HTTPException(503, "the server ends")
    if sight.trouble is not None and not sight.read_at:
        raise HTTPException(502, sight.trouble)


def _live(watch: Watch, sight: Sight, told: Callable[[], dict[str, Any]]) -> Response:
    """Answers with server-sent events: what is said now, and then whenever it has been read."""

    async def events() -> AsyncIterator[str]:
        async with watch.looking(sight):
            version = 0
            while await watch.newer(sight, version):
                version = sight.version
                yield f"data: {json.dumps(told())}\n\n"

    return StreamingResponse(events(), 200, {"X-Accel-Buffering": "no"}, "text/event-stream")
