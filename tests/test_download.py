"""Downloads against a real server that cuts, lies, changes its mind and redirects."""

import hashlib
import http.server
import os
import threading
from urllib.parse import urlsplit

import pytest

from steerbench.download import download
from steerbench.errors import CheckpointError, FileError

CONTENT = bytes(range(256)) * 4000
DIGEST = hashlib.sha256(CONTENT).hexdigest()
HALF = len(CONTENT) // 2


class Handler(http.server.BaseHTTPRequestHandler):
    """The path says how the server misbehaves."""

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.server.asked.append((self.path, self.headers.get("Range")))
        getattr(self, urlsplit(self.path).path.split("/")[1])()

    def answer(self, body, length=None, status=200, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if length != "none":
            self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def rest(self, content=CONTENT, upto=None):
        """Honours a range, as static servers do; may stop before the end."""
        start = int((self.headers.get("Range") or "bytes=0-")[6:-1])
        if start >= len(content):
            return self.answer(b"", status=416)
        headers = {"Content_Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
        status, headers = (206, headers) if start else (200, {})
        return self.answer(content[start:upto], len(content) - start, status, **headers)

    def good(self):
        self.rest()

    def cut(self):
        first = len(self.server.asked) == 1
        self.rest(upto=HALF if first else None)

    def cut_without_ranges(self):
        first = len(self.server.asked) == 1
        self.answer(CONTENT[:HALF] if first else CONTENT, len(CONTENT))

    def changes(self):
        first = len(self.server.asked) == 1
        self.rest(CONTENT if first else CONTENT[::-1], HALF if first else None)

    def shrinks(self):
        first = len(self.server.asked) == 1
        self.rest(CONTENT if first else CONTENT[:100], HALF if first else None)

    def wrong(self):
        self.answer(CONTENT[::-1])

    def claims_less(self):
        self.answer(CONTENT, 1000)

    def unknown_length(self):
        self.answer(CONTENT, "none")

    def other_part(self):
        if self.headers.get("Range"):
            return self.answer(CONTENT[9:], status=206, Content_Range="bytes 9-1023999/1024000")
        return self.answer(CONTENT[:HALF], len(CONTENT))

    def silent_part(self):
        if self.headers.get("Range"):
            return self.answer(CONTENT[HALF:], status=206)
        return self.answer(CONTENT[:HALF], len(CONTENT))

    def page(self):
        self.answer(b"<html>Sign in</html>", Content_Type="text/html; charset=utf-8")

    def gone(self):
        self.answer(b"", status=404)

    def moved(self):
        self.answer(b"", status=302, Location="/good/moved.bin")

    def trap(self):
        self.answer(b"", status=302, Location="file:///etc/hostname")

    def nonsense(self):
        self.wfile.write(b"garbage\r\n\r\n")


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked = []
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    server.address = f"http://127.0.0.1:{server.server_address[1]}"
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("how", ["good", "moved", "unknown_length"])
@pytest.mark.parametrize("sha256", [DIGEST, DIGEST.upper(), None])
def test_a_download_is_whole_and_happens_once(how, sha256, server, tmp_path):
    folder = tmp_path / "new" / "cache"
    path = download(f"{server.address}/{how}/model.bin?token=1", folder, sha256)
    assert path == folder / "model.bin"
    assert path.read_bytes() == CONTENT
    assert os.listdir(folder) == ["model.bin"]
    asked = len(server.asked)
    assert download(f"{server.address}/{how}/model.bin", folder, sha256) == path
    assert len(server.asked) == asked


@pytest.mark.parametrize("how", ["cut", "cut_without_ranges"])
def test_a_cut_download_goes_on_the_next_time(how, server, tmp_path):
    url = f"{server.address}/{how}/model.bin"
    with pytest.raises(FileError, match=f"{HALF} of {len(CONTENT)} bytes.*call again"):
        download(url, tmp_path, DIGEST)
    assert os.listdir(tmp_path) == [".model.bin.part"]
    assert download(url, tmp_path, DIGEST).read_bytes() == CONTENT
    assert server.asked[1][1] == f"bytes={HALF}-"
    assert os.listdir(tmp_path) == ["model.bin"]


@pytest.mark.parametrize("how", ["changes", "shrinks"])
def test_a_file_that_changed_between_two_halves_is_refused(how, server, tmp_path):
    url = f"{server.address}/{how}/model.bin"
    with pytest.raises(FileError):
        download(url, tmp_path, DIGEST)
    with pytest.raises(CheckpointError, match="another file"):
        download(url, tmp_path, DIGEST)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("how", ["wrong", "claims_less"])
def test_a_wrong_digest_leaves_nothing_behind(how, server, tmp_path):
    with pytest.raises(CheckpointError, match=f"expected {DIGEST}.*|local file"):
        download(f"{server.address}/{how}/model.bin", tmp_path, DIGEST)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("how", ["other_part", "silent_part"])
def test_a_part_that_was_not_asked_for_is_not_joined(how, server, tmp_path):
    url = f"{server.address}/{how}/model.bin"
    with pytest.raises(FileError):
        download(url, tmp_path, DIGEST)
    with pytest.raises(FileError, match="the server sent"):
        download(url, tmp_path, DIGEST)
    assert (tmp_path / ".model.bin.part").stat().st_size == HALF


def test_a_complete_part_is_used(server, tmp_path):
    (tmp_path / ".model.bin.part").write_bytes(CONTENT)
    assert download(f"{server.address}/good/model.bin", tmp_path, DIGEST).read_bytes() == CONTENT


@pytest.mark.parametrize("sha256", [DIGEST, None])
def test_a_web_page_is_not_a_model(sha256, server, tmp_path):
    with pytest.raises(CheckpointError, match="web page"):
        download(f"{server.address}/page/model.bin", tmp_path, sha256)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("how", ["gone", "trap", "nonsense"])
def test_addresses_that_do_not_answer(how, server, tmp_path):
    with pytest.raises(FileError, match="a local file is as good"):
        download(f"{server.address}/{how}/model.bin", tmp_path, DIGEST)
    assert os.listdir(tmp_path) == []


def test_a_dead_server_and_a_folder_that_is_a_file(server, tmp_path):
    with pytest.raises(FileError, match="Check the network"):
        download("http://127.0.0.1:9/model.bin", tmp_path, DIGEST)
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError):
        download(f"{server.address}/good/model.bin", tmp_path / "file", DIGEST)


def test_a_file_changed_later_is_refused_and_kept(server, tmp_path):
    url = f"{server.address}/good/model.bin"
    path = download(url, tmp_path, DIGEST)
    path.write_bytes(b"other")
    with pytest.raises(CheckpointError, match=r"was changed.*Delete it"):
        download(url, tmp_path, DIGEST)
    assert path.read_bytes() == b"other"


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://x.org/a/model.pkl", "model.pkl"),
        ("https://x.org/a/..%2F..%2Fetc%2Fpasswd", "passwd"),
        ("https://x.org/a/.bashrc", "bashrc"),
        ("https://x.org/a/b%20c;d.pt", "b_c_d.pt"),
    ],
)
def test_names_stay_inside_the_folder(url, name, tmp_path):
    (tmp_path / name).write_bytes(CONTENT)
    assert download(url, tmp_path, DIGEST) == tmp_path / name


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://x.org/a", "https://x.org/", "model"])
def test_addresses_that_are_none(url, tmp_path):
    with pytest.raises(FileError, match="address"):
        download(url, tmp_path, DIGEST)


def test_an_interrupt_keeps_what_has_arrived(server, tmp_path):
    import urllib.request

    def interrupted(request, timeout):
        response = urllib.request.urlopen(request, timeout=timeout)
        read, calls = response.read, []

        def once(size):
            if calls:
                raise KeyboardInterrupt
            calls.append(size)
            return read(1000)

        response.read = once
        return response

    url = f"{server.address}/good/model.bin"
    with pytest.raises(KeyboardInterrupt):
        download(url, tmp_path, DIGEST, opener=interrupted)
    assert (tmp_path / ".model.bin.part").stat().st_size == 1000
    assert download(url, tmp_path, DIGEST, name="b.bin").read_bytes() == CONTENT
    assert download(url, tmp_path, DIGEST).read_bytes() == CONTENT
    assert server.asked[-1][1] == "bytes=1000-"
