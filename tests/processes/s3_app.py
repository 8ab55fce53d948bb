"""Moto's S3 API as a server of its own, one request at a time, with faults on demand.

Run as ``python -m tests.processes.s3_app``; it prints the port. Moto looks whether an object is there, and then writes
it, in two steps; one request at a time makes them one, as S3 does. A POST to ``/faults`` sets the faults: a list of
``{"kind", "method", "match", "times"}``. ``kind``: ``busy`` answers 503, ``cut`` ends the answer in the middle,
``slow`` waits for a second, ``lost`` does what is asked and answers 500, as if the answer had been lost, ``careless``
puts whatever the condition says.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable
from typing import Any

from moto.server import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

_BUSY = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"


class WithFaults:
    """The application behind its faults."""

    def __init__(self, application: Any) -> None:
        self.application, self.faults = application, []

    def __call__(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/faults":
            self.faults = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
            start("204 No Content", [])
            return []
        kind = self._next(environ["REQUEST_METHOD"], environ["PATH_INFO"])
        if kind == "busy":
            start("503 Slow Down", [("Content-Type", "application/xml"), ("Content-Length", str(len(_BUSY)))])
            return [_BUSY]
        if kind == "slow":
            time.sleep(1)
        if kind == "careless":
            environ.pop("HTTP_IF_NONE_MATCH", None)
        if kind not in ("cut", "lost"):
            return self.application(environ, start)
        answered: list[Any] = []
        body = b"".join(self.application(environ, lambda *answer: answered.extend(answer)))
        if kind == "lost":
            start("500 Internal Server Error", [("Content-Length", "0")])
            return []
        start(*answered[:2])
        return [body[: len(body) // 2]]

    def _next(self, method: str, path: str) -> str | None:
        for fault in self.faults:
            if fault["times"] and fault["method"] == method and re.search(fault["match"], path):
                fault["times"] -= 1
                return str(fault["kind"])
        return None


def main() -> None:
    application = WithFaults(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, application, request_handler=MotoRequestHandler)
    print(f"Running on http://127.0.0.1:{server.port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
