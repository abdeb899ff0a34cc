"""A real HTTP server that cuts, lies, changes its mind, redirects, stalls and serves web pages.

The first part of an address says how it misbehaves: ``/cut/model.bin`` serves half at first and
the rest when asked again. ``Server.content`` may be replaced by the bytes of a real file.
"""

from __future__ import annotations

import gzip
import http.server
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

CONTENT = bytes(range(256)) * 4000
HALF = len(CONTENT) // 2
DATES = ("Wed, 01 Jan 2020 00:00:00 GMT", "Thu, 02 Jan 2020 00:00:00 GMT")


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        self.server.asked.append((self.path, dict(self.headers)))
        getattr(self, urlsplit(self.path).path.split("/")[1])()

    @property
    def content(self):
        return self.server.content

    @property
    def half(self):
        return len(self.content) // 2

    @property
    def first(self):
        """Whether this is the first request, and the one that is cut."""
        return len(self.server.asked) == 1

    def answer(self, body, length=None, status=200, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if length != "none":
            self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def rest(self, content=None, upto=None, whole=False, **headers):
        """Honours a range, as static servers do, unless ``whole``; may stop before the end."""
        content = self.content if content is None else content
        start = 0 if whole else int((self.headers.get("Range") or "bytes=0-")[6:-1])
        if start and start >= len(content):
            return self.answer(b"", status=416)
        if start:
            headers["Content_Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        status = 206 if start else 200
        return self.answer(content[start:upto], len(content) - start, status, **headers)

    def half_first(self, later=None, **headers):
        """Half at first; later the rest, of what may be other content by then."""
        later = self.content if later is None else later
        self.rest(
            self.content if self.first else later, self.half if self.first else None, **headers
        )

    # -- honest

    def good(self):
        self.rest()

    def unknown_length(self):
        self.answer(self.content, "none")

    def moved(self):
        self.answer(b"", status=302, Location="/good/moved.bin")

    # -- cut, and honest about what the rest belongs to

    def cut(self):
        self.half_first()

    def cut_without_ranges(self):
        self.answer(self.content[: self.half] if self.first else self.content, len(self.content))

    def cut_tagged(self):
        self.half_first(ETag='"one"')

    def cut_dated(self):
        self.half_first(Last_Modified=DATES[0])

    def cut_weak(self):
        self.half_first(ETag='W/"one"')

    def cut_chunked(self):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"%x\r\n%s\r\n" % (self.half, self.content[: self.half]))
        self.wfile.write(b"%x\r\n%s" % (self.half, self.content[self.half : self.half + 10]))

    # -- changed between two halves

    def changes(self):
        self.half_first(self.content[::-1])

    def shrinks(self):
        self.half_first(self.content[:100])

    def changes_tagged(self):
        """Proper: the tag does not fit any more, so the whole new file comes."""
        now = '"one"' if self.first else '"two"'
        whole = self.headers.get("If-Range") != now
        content = self.content if self.first else self.content[::-1]
        self.rest(content, self.half if self.first else None, whole, ETag=now)

    def changes_dated(self):
        now = DATES[0 if self.first else 1]
        whole = self.headers.get("If-Range") != now
        content = self.content if self.first else self.content[::-1]
        self.rest(content, self.half if self.first else None, whole, Last_Modified=now)

    def changes_stubborn(self):
        """Sends the rest of another file, with another tag, whatever was asked."""
        self.half_first(self.content[::-1], ETag='"one"' if self.first else '"two"')

    def changes_stubborn_dated(self):
        self.half_first(self.content[::-1], Last_Modified=DATES[0 if self.first else 1])

    def changes_secretly(self):
        """The same, without a tag."""
        self.half_first(self.content[::-1], **({"ETag": '"one"'} if self.first else {}))

    def changes_untagged(self):
        """Never says what it serves."""
        self.half_first(self.content[::-1])

    def grows_secretly(self):
        headers = {"Last_Modified": DATES[0]} if self.first else {}
        self.half_first(self.content[::-1] * 2, **headers)

    # -- lies

    def wrong(self):
        self.answer(self.content[::-1])

    def claims_less(self):
        self.answer(self.content, 1000)

    def claims_more(self):
        self.answer(self.content, len(self.content) + 1000)

    def other_part(self):
        if self.headers.get("Range"):
            return self.answer(self.content[9:], status=206, Content_Range="bytes 9-999/1000")
        return self.answer(self.content[: self.half], len(self.content), ETag='"one"')

    def silent_part(self):
        if self.headers.get("Range"):
            return self.answer(self.content[self.half :], status=206, ETag='"one"')
        return self.answer(self.content[: self.half], len(self.content), ETag='"one"')

    def packed(self):
        self.answer(gzip.compress(self.content), Content_Encoding="gzip")

    def page(self):
        self.answer(b"<html>Sign in</html>", Content_Type="text/html; charset=utf-8")

    def disguised_page(self):
        page = b"\n <!DOCTYPE html><html>Too many downloads</html>"
        self.answer(page, Content_Type="application/octet-stream")

    # -- no file

    def gone(self):
        self.answer(b"", status=404)

    def forbidden(self):
        self.answer(b"", status=403)

    def broken(self):
        self.answer(b"", status=500)

    def busy(self):
        self.answer(b"", status=503)

    def trap(self):
        self.answer(b"", status=302, Location="file:///etc/hostname")

    def circle(self):
        self.answer(b"", status=302, Location=self.path)

    def nonsense(self):
        self.wfile.write(b"garbage\r\n\r\n")

    def hangs_up(self):
        self.connection.close()

    def silent(self):
        time.sleep(1)

    def stalls(self):
        if not self.first:
            return self.rest(ETag='"one"')
        self.answer(self.content[: self.half], len(self.content), ETag='"one"')
        return time.sleep(1)

    def slow(self):
        time.sleep(0.3)
        self.rest()


class Server(http.server.ThreadingHTTPServer):
    """Attributes: ``asked``, the path and headers of each request; ``content``; ``address``."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked, self.content = [], CONTENT
        self.address = f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request, client_address):
        """A client that went away is nothing to report."""


@contextmanager
def serving() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
