"""A studio's server on loopback, in a thread, and a plain client."""

import base64
import contextlib
import http.client
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fingergen.runtime import Model

uvicorn = pytest.importorskip("uvicorn", reason="needs extra [serve]")
pytest.importorskip("starlette", reason="needs extra [serve]")

from fingergen.runtime.studio.app import create_app  # noqa: E402
from fingergen.runtime.studio.prints import Studio  # noqa: E402


@contextlib.contextmanager
def served(model: Model) -> Iterator[int]:
    """Serves a model's studio; gives the port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(
            uvicorn.Config(create_app(Studio(model)), log_level="critical", lifespan="off")
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()


def ask(
    port: int, path: str, fields: Any = None, body: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, http.client.HTTPMessage, bytes]:
    """Status, headers and body of an answer: to a GET, or to a POST of JSON fields or of a raw body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    with contextlib.closing(connection):
        if fields is not None:
            body = json.dumps(fields).encode()
        given = {"Content-Type": "application/json"} | (headers or {})
        connection.request("GET" if body is None else "POST", path, body, given)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()


def template_fields(path: Path, **more: Any) -> dict[str, Any]:
    """A template as the page sends it."""
    return {"name": path.name, "data": base64.b64encode(path.read_bytes()).decode(), **more}
