"""The page's server: a few files and a few answers in JSON, to this machine only unless told otherwise."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from importlib.resources import files
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ..arguments import check_whole
from ..errors import FingerGenError, printable
from ..images import encode_image
from ..minutiae import FORMATS, Minutia, Template
from .files import formats, to_file
from .prints import Print, Studio
from .requests import MOST_NUMBER, MOST_REQUEST_BYTES, parse_json, print_request

MOST_ERROR = 600  # characters of a line that may quote what was sent
LOOPBACK = ("127.0.0.1", "localhost", "::1")
_PAGE = {"": "index.html", "studio.js": "studio.js", "studio.css": "studio.css"}
_TYPES = {"html": "text/html", "js": "text/javascript", "css": "text/css"}
_HEADERS = {
    # The page loads nothing but itself and the images that it asked for, from nowhere else.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def create_app(studio: Studio, local: bool = True) -> Starlette:
    """The application.

    Args:
        studio: Makes the prints.
        local: Whether requests must name this machine: a page of another site that has its name point here
            gets no answer.
    """

    def answer(work: Callable[[dict[str, Any]], Response]) -> Callable[[Request], Any]:
        async def endpoint(request: Request) -> Response:
            if request.headers.get("content-type", "").split(";")[0].strip() != "application/json":
                raise HTTPException(415, "request: its content type must be application/json")
            try:
                body = await _body(request)
            except ClientDisconnect:
                return Response(status_code=400)  # to nobody
            return await run_in_threadpool(lambda: work(parse_json(body)))

        return endpoint

    def make(fields: dict[str, Any]) -> Response:
        request = print_request(fields)
        made = _shown(studio.make(request))
        return JSONResponse({**made, "warnings": request.source.warnings if request.source else []})

    def pair(fields: dict[str, Any]) -> Response:
        first, second = (check_whole(key, fields.get(key), 0, MOST_NUMBER) for key in ("left", "right"))
        found = studio.pair(print_request(fields), (first, second))
        return JSONResponse(
            {
                "prints": [_shown(each) for each in found.prints],
                "mates": found.mates,
                "score": found.score,
                "remark": found.remark,
            }
        )

    def download(fields: dict[str, Any]) -> Response:
        request = print_request(fields)
        made = studio.make(request)
        name = f"{request.seed}_{request.number}" if request.source is None else request.source.name
        file = to_file(made, _plain(name), str(fields.get("to")))
        disposition = f'attachment; filename="{file.name}"'
        return Response(
            file.data, media_type="application/octet-stream", headers={"Content-Disposition": disposition}
        )

    async def about(request: Request) -> Response:
        readable = [{"name": name, "text": each.description} for name, each in FORMATS.items()]
        return JSONResponse({**studio.about(), "formats": formats(), "readable": readable})

    async def page(request: Request) -> Response:
        name = _PAGE[request.url.path.removeprefix("/")]
        content = (files(__package__) / "page" / name).read_bytes()
        return Response(content, media_type=_TYPES[name.rpartition(".")[2]])

    app = Starlette(
        routes=[
            *(Route(f"/{path}", page) for path in _PAGE),
            Route("/api/about", about),
            Route("/api/print", answer(make), methods=["POST"]),
            Route("/api/pair", answer(pair), methods=["POST"]),
            Route("/api/file", answer(download), methods=["POST"]),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=list(LOOPBACK))] if local else [],
        exception_handlers={
            HTTPException: _http_error,
            FingerGenError: lambda request, error: _error(400, str(error)),
            Exception: lambda request, error: _error(500, f"{type(error).__name__}: {error}"),
        },
    )
    app.add_middleware(_Headers)
    return app


class _Headers:
    """Adds `_HEADERS` to every answer."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def sent(message: Any) -> None:
            if message["type"] == "http.response.start":
                added = [(key.lower().encode(), value.encode()) for key, value in _HEADERS.items()]
                message["headers"] = [*message["headers"], *added]
            await send(message)

        await self._app(scope, receive, sent)


async def _body(request: Request) -> bytes:
    """What was sent; no more than `MOST_REQUEST_BYTES` of it are held."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_REQUEST_BYTES:
            raise HTTPException(413, f"request: has more than {MOST_REQUEST_BYTES >> 20} MiB")
    return bytes(body)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _error(error.status_code, str(error.detail))


def _error(status: int, text: str) -> Response:
    return JSONResponse({"error": printable(text)[:MOST_ERROR]}, status)


def _plain(name: str) -> str:
    """A file name of the user's as that of another file: without its extension and whatever needs quoting."""
    stem = name.rpartition("/")[2].rpartition("\\")[2].split(".")[0]
    return re.sub(r"[^A-Za-z0-9_-]+", "_", stem) or "print"


def _shown(made: Print) -> dict[str, Any]:
    """A print as the page draws it."""
    height, width = made.pixels.shape[:2]
    png = base64.b64encode(encode_image(made.pixels, ".png", made.ppi, made.provenance)).decode()
    return {
        "image": f"data:image/png;base64,{png}",
        "width": width,
        "height": height,
        "ppi": made.ppi,
        "caption": made.caption,
        "truncation": made.truncation,
        **_points(made.template),
    }


def _points(template: Template | None) -> dict[str, Any]:
    if template is None:
        return {"minutiae": None, "cores": [], "deltas": []}
    return {
        "minutiae": [_minutia(each) for each in template.minutiae],
        "cores": [[round(each.x, 1), round(each.y, 1)] for each in template.cores],
        "deltas": [[round(each.x, 1), round(each.y, 1)] for each in template.deltas],
    }


def _minutia(each: Minutia) -> list[float | str]:
    return [round(each.x, 1), round(each.y, 1), round(each.angle, 1), each.type.value]
