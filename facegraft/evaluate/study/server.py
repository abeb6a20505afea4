"""A study as a web page on this machine alone: a token in the address, no cookies, nothing from elsewhere.

The address is `http://127.0.0.1:PORT/TOKEN/`. Whoever lacks the token gets 403 and learns nothing. The `Host` must be
this machine's and the `Origin` of a POST this page's, so that a page in another tab cannot vote or read.
"""

from __future__ import annotations

import hmac
import json
import logging
import re
import secrets
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import unquote, urlsplit

from facegraft.core.errors import BadInputError
from facegraft.evaluate.study.design import MEDIA_NAME, load_study
from facegraft.evaluate.study.session import RefusedError, Session
from facegraft.evaluate.study.votes import VoteStore

logger = logging.getLogger(__name__)

ADDRESS = "127.0.0.1"
MOST_BODY_BYTES = 4096
_TOKEN = re.compile(r"[A-Za-z0-9_-]{8,128}")
_PAGE_FILES = {
    "": ("index.html", "text/html; charset=utf-8"),
    "style.css": ("style.css", "text/css; charset=utf-8"),
    "study.js": ("study.js", "text/javascript; charset=utf-8"),
}
_MEDIA_TYPES = {
    ".jpg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
    ".mp4": "video/mp4",
    ".webm": "video/webm",
}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self' data:; media-src 'self'; style-src 'self'; "
    "script-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_CHUNK = 1 << 16


class StudyServer(ThreadingHTTPServer):
    """Serves one study folder until `shutdown`; `address` is what raters open."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, folder: Path, *, port: int = 0, token: str = "", votes: str = "votes.sqlite") -> None:
        """Opens the votes and the port; 0 takes a free one, an empty token draws one.

        Raises:
            BadInputError: No study there, or a port or token that cannot be used.
            OutputError: The votes cannot be written.
        """
        if token and not _TOKEN.fullmatch(token):
            raise BadInputError("--token: expected 8 to 128 letters, digits, - and _; leave it out to have one drawn")
        if not 0 <= port <= 65535:
            raise BadInputError(f"--port: expected 0 to 65535, found {port}")
        self.folder, self.token = folder, token or secrets.token_urlsafe(16)
        study = load_study(folder)
        self.store = VoteStore(folder / votes, study.inputs_sha256)  # before the port: failing, that closes both
        self.session = Session(study, self.store)
        try:
            super().__init__((ADDRESS, port), _Handler)
        except OSError as error:
            raise BadInputError(f"--port {port}: cannot be used ({(error.strerror or '').lower()})") from error

    @property
    def address(self) -> str:
        return f"http://{ADDRESS}:{self.server_port}/{self.token}/"

    def server_close(self) -> None:
        super().server_close()
        self.store.close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Browsers that hang up are no news."""
        logger.debug("a request ended early", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "facegraft"
    sys_version = ""
    timeout = 30
    wbufsize = _CHUNK  # head and body leave together: apart, the second waits for the first one's receipt
    disable_nagle_algorithm = True
    server: StudyServer
    _CALLS: ClassVar[dict[str, Callable[[Session, Mapping[str, Any]], dict[str, Any]]]] = {
        "api/join": Session.join,
        "api/next": Session.next,
        "api/vote": Session.vote,
        "api/withdraw": Session.withdraw,
    }

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_HEAD(self) -> None:
        self._answer(self._get)

    def do_POST(self) -> None:
        self._answer(self._post)

    def log_message(self, format: str, *args: Any) -> None:
        """Addresses and tokens stay out of logs."""

    def _answer(self, respond: Callable[[str], None]) -> None:
        try:
            respond(self._path())
        except RefusedError as error:
            self.close_connection = True  # what was not read of the body must not be taken for the next request
            self._send_json(error.status, {"error": str(error)})

    def _path(self) -> str:
        """The part of the address behind the token.

        Raises:
            RefusedError: 403 for a wrong host, origin or token.
        """
        hosts = {f"{name}:{self.server.server_port}" for name in (ADDRESS, "localhost")}
        origin = self.headers.get("Origin")
        if self.headers.get("Host") not in hosts or (origin and urlsplit(origin).netloc not in hosts):
            raise RefusedError(403, "forbidden")
        token, slash, path = unquote(urlsplit(self.path).path).removeprefix("/").partition("/")
        if not slash or not hmac.compare_digest(token.encode(), self.server.token.encode()):
            raise RefusedError(403, "forbidden")
        return path

    def _get(self, path: str) -> None:
        if path == "api/study":
            self._send_json(200, self.server.session.describe())
        elif path in _PAGE_FILES:
            name, kind = _PAGE_FILES[path]
            self._send_file(self.server.folder / "page" / name, kind, "no-store")
        elif path.startswith("media/") and MEDIA_NAME.fullmatch(path.removeprefix("media/")):
            file = self.server.folder / path
            self._send_file(file, _MEDIA_TYPES[file.suffix], "private, max-age=3600")
        else:
            raise RefusedError(404, "not found")

    def _post(self, path: str) -> None:
        if path not in self._CALLS:
            raise RefusedError(404, "not found")
        if self.headers.get_content_type() != "application/json":
            raise RefusedError(415, "expected application/json")
        self._send_json(200, self._CALLS[path](self.server.session, self._body()))

    def _body(self) -> dict[str, Any]:
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdigit():
            raise RefusedError(411, "expected a Content-Length")
        if int(length) > MOST_BODY_BYTES:
            raise RefusedError(413, f"expected at most {MOST_BODY_BYTES} bytes")
        try:
            body = json.loads(self.rfile.read(int(length)).decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise RefusedError(400, "expected JSON") from error
        if not isinstance(body, dict):
            raise RefusedError(400, "expected a JSON object")
        return body

    def _send_json(self, status: int, content: Mapping[str, Any]) -> None:
        data = json.dumps(content).encode()
        self._send_head(status, "application/json", len(data), "no-store", {})
        if self.command != "HEAD":
            self.wfile.write(data)

    def _send_file(self, path: Path, kind: str, cache: str) -> None:
        """The whole file, or the one range that was asked for."""
        try:
            stream = path.open("rb")
        except OSError as error:
            raise RefusedError(404, "not found") from error
        with stream:
            size = path.stat().st_size
            asked = self._range(size)
            first, last = asked or (0, size - 1)
            extra = {"Accept-Ranges": "bytes"} | ({"Content-Range": f"bytes {first}-{last}/{size}"} if asked else {})
            self._send_head(206 if asked else 200, kind, last - first + 1, cache, extra)
            if self.command == "HEAD":
                return
            stream.seek(first)
            left = last - first + 1
            while left > 0 and (data := stream.read(min(_CHUNK, left))):
                self.wfile.write(data)
                left -= len(data)

    def _range(self, size: int) -> tuple[int, int] | None:
        """First and last byte; None, which means the whole file, where no single range is asked for (RFC 9110)."""
        found = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if not found or found.groups() == ("", ""):
            return None
        start, end = found.groups()
        first = int(start) if start else max(0, size - int(end))
        last = min(int(end), size - 1) if start and end else size - 1
        if first >= size or last < first:
            raise RefusedError(416, "no such range")
        return first, last

    def _send_head(self, status: int, kind: str, length: int, cache: str, extra: Mapping[str, str]) -> None:
        self.send_response(status)
        told = {"Content-Type": kind, "Content-Length": str(length), "Cache-Control": cache}
        for name, value in (_HEADERS | told | dict(extra)).items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
