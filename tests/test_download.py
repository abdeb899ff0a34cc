"""Downloads against a real server that cuts, lies, changes its mind, redirects and stalls."""

import hashlib
import json
import os
import threading
import urllib.request

import pytest

from steerbench import download as module
from steerbench.download import download, verify
from steerbench.errors import CheckpointError, FileError
from tests.misbehaving import CONTENT, HALF, serving

DIGEST = hashlib.sha256(CONTENT).hexdigest()
PART = [".model.bin.part", ".model.bin.part.json"]


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving() as server:
        yield server


def ranges(server):
    return [headers.get("Range") for _, headers in server.asked]


# -- whole, once ----------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["good", "moved", "unknown_length"])
@pytest.mark.parametrize("sha256", [DIGEST, DIGEST.upper(), None])
def test_a_download_is_whole_and_happens_once(how, sha256, server, tmp_path):
    folder = tmp_path / "new" / "cache"
    path = download(f"{server.address}/{how}/model.bin?token=1", folder, sha256)
    assert path == folder / "model.bin"
    assert path.read_bytes() == CONTENT
    notes = [] if sha256 else ["model.bin.json"]
    assert sorted(os.listdir(folder)) == ["model.bin", *notes]
    asked = len(server.asked)
    assert download(f"{server.address}/{how}/model.bin", folder, sha256) == path
    assert len(server.asked) == asked


def test_what_is_there_needs_no_network(tmp_path):
    with serving() as server:
        url = f"{server.address}/good/model.bin"
        path = download(url, tmp_path, None)
    assert download(url, tmp_path, None) == path
    assert download(url, tmp_path, DIGEST) == path


def test_two_that_want_the_same_file_fetch_it_once(server, tmp_path):
    found = []

    def fetch():
        found.append(download(f"{server.address}/slow/model.bin", tmp_path, None))

    threads = [threading.Thread(target=fetch) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [tmp_path / "model.bin"] * 4
    assert len(server.asked) == 1
    assert sorted(os.listdir(tmp_path)) == ["model.bin", "model.bin.json"]


def test_proxies_are_honoured(server, tmp_path, monkeypatch):
    """The name of the host exists nowhere: only the proxy can have answered."""
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", server.address)
    url = "http://models.invalid/good/model.bin"
    assert download(url, tmp_path, DIGEST).read_bytes() == CONTENT
    assert server.asked[0][0] == url


# -- going on -------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["cut", "cut_without_ranges"])
def test_a_cut_download_goes_on_the_next_time(how, server, tmp_path):
    url = f"{server.address}/{how}/model.bin"
    with pytest.raises(FileError, match=f"{HALF} of {len(CONTENT)} bytes.*call again"):
        download(url, tmp_path, DIGEST)
    assert sorted(os.listdir(tmp_path)) == PART
    assert download(url, tmp_path, DIGEST).read_bytes() == CONTENT
    assert ranges(server) == [None, f"bytes={HALF}-"]
    assert os.listdir(tmp_path) == ["model.bin"]


@pytest.mark.parametrize("how", ["cut_tagged", "cut_dated", "stalls"])
def test_it_goes_on_without_a_digest_where_the_server_names_the_version(
    how, server, tmp_path, monkeypatch
):
    monkeypatch.setattr(module, "TIMEOUT", 0.2)
    url = f"{server.address}/{how}/model.bin"
    with pytest.raises(FileError, match="kept"):
        download(url, tmp_path, None)
    assert download(url, tmp_path, None).read_bytes() == CONTENT
    assert ranges(server) == [None, f"bytes={HALF}-"]
    assert server.asked[1][1]["If-Range"] in ('"one"', "Wed, 01 Jan 2020 00:00:00 GMT")


@pytest.mark.parametrize("how", ["cut", "cut_weak", "changes_untagged"])
def test_it_starts_anew_where_nothing_would_tell_a_change(how, server, tmp_path):
    url = f"{server.address}/{how}/model.bin"
    with pytest.raises(FileError):
        download(url, tmp_path, None)
    found = download(url, tmp_path, None).read_bytes()
    assert found == (CONTENT[::-1] if how == "changes_untagged" else CONTENT)
    assert ranges(server) == [None, None]


@pytest.mark.parametrize("note", ["", "[]", '{"url": 3, "total": "x", "validator": ["a"]}'])
def test_a_damaged_note_beside_a_part_is_no_harm(note, server, tmp_path):
    url = f"{server.address}/cut_tagged/model.bin"
    with pytest.raises(FileError):
        download(url, tmp_path, None)
    (tmp_path / PART[1]).write_text(note)
    assert download(url, tmp_path, None).read_bytes() == CONTENT
    assert ranges(server) == [None, None]


def test_a_part_of_another_address_is_not_joined(server, tmp_path):
    with pytest.raises(FileError):
        download(f"{server.address}/cut_tagged/model.bin", tmp_path, None)
    other = f"{server.address}/good/model.bin"
    assert download(other, tmp_path, None).read_bytes() == CONTENT
    assert ranges(server) == [None, None]


@pytest.mark.parametrize("sha256", [DIGEST, None])
def test_a_cut_without_a_length_is_noticed(sha256, server, tmp_path):
    with pytest.raises(FileError, match="Cannot fetch"):
        download(f"{server.address}/cut_chunked/model.bin", tmp_path, sha256)
    assert sorted(os.listdir(tmp_path)) == PART


def test_a_complete_part_is_used(server, tmp_path):
    (tmp_path / ".model.bin.part").write_bytes(CONTENT)
    assert download(f"{server.address}/good/model.bin", tmp_path, DIGEST).read_bytes() == CONTENT


def test_an_interrupt_keeps_what_has_arrived(server, tmp_path):
    def interrupted(request, timeout):
        response = urllib.request.urlopen(request, timeout=timeout)
        read, calls = response.read1, []

        def once(size):
            if calls:
                raise KeyboardInterrupt
            calls.append(size)
            return read(1000)

        response.read1 = once
        return response

    url = f"{server.address}/good/model.bin"
    with pytest.raises(KeyboardInterrupt):
        download(url, tmp_path, DIGEST, opener=interrupted)
    assert (tmp_path / ".model.bin.part").stat().st_size == 1000
    assert download(url, tmp_path, DIGEST, name="b.bin").read_bytes() == CONTENT
    assert download(url, tmp_path, DIGEST).read_bytes() == CONTENT
    assert ranges(server)[-1] == "bytes=1000-"


# -- changed --------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["changes", "shrinks"])
def test_a_file_that_changed_between_two_halves_is_refused(how, server, tmp_path):
    url = f"{server.address}/{how}/model.bin"
    with pytest.raises(FileError):
        download(url, tmp_path, DIGEST)
    with pytest.raises(CheckpointError, match="another file"):
        download(url, tmp_path, DIGEST)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "how",
    [
        *("changes_tagged", "changes_dated"),
        *("changes_stubborn", "changes_stubborn_dated", "changes_secretly", "grows_secretly"),
    ],
)
def test_halves_of_two_files_are_never_joined(how, server, tmp_path):
    """Whatever the server does, what appears is one whole file: here the newer one."""
    url = f"{server.address}/{how}/model.bin"
    with pytest.raises(FileError):
        download(url, tmp_path, None)
    newer = CONTENT[::-1] * 2 if how == "grows_secretly" else CONTENT[::-1]
    assert download(url, tmp_path, None).read_bytes() == newer
    assert ranges(server)[1] == f"bytes={HALF}-"
    assert sorted(os.listdir(tmp_path)) == ["model.bin", "model.bin.json"]


@pytest.mark.parametrize("how", ["other_part", "silent_part"])
@pytest.mark.parametrize("sha256", [DIGEST, None])
def test_a_part_that_was_not_asked_for_is_not_joined(how, sha256, server, tmp_path):
    url = f"{server.address}/{how}/model.bin"
    with pytest.raises(FileError):
        download(url, tmp_path, sha256)
    with pytest.raises(FileError, match="the server sent"):
        download(url, tmp_path, sha256)
    assert (tmp_path / ".model.bin.part").stat().st_size == HALF


@pytest.mark.parametrize("sha256", [DIGEST, None])
def test_a_file_changed_later_is_refused_and_kept(sha256, server, tmp_path):
    url = f"{server.address}/good/model.bin"
    path = download(url, tmp_path, sha256)
    path.write_bytes(b"other")
    with pytest.raises(CheckpointError, match=r"was changed.*Delete it"):
        download(url, tmp_path, sha256)
    assert path.read_bytes() == b"other"
    path.unlink()
    assert download(url, tmp_path, sha256).read_bytes() == CONTENT


def test_the_digest_of_a_file_put_there_by_hand_is_remembered(tmp_path):
    path = tmp_path / "model.bin"
    path.write_bytes(CONTENT)
    assert verify(path) == path
    assert json.loads((tmp_path / "model.bin.json").read_text())["sha256"] == DIGEST
    path.write_bytes(CONTENT[::-1])
    with pytest.raises(CheckpointError, match="was changed"):
        verify(path)


# -- lies -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["wrong", "claims_less"])
def test_a_wrong_digest_leaves_nothing_behind(how, server, tmp_path):
    with pytest.raises(CheckpointError, match=f"Expected {DIGEST}.*|local file"):
        download(f"{server.address}/{how}/model.bin", tmp_path, DIGEST)
    assert os.listdir(tmp_path) == []


def test_a_length_that_is_too_long_is_noticed(server, tmp_path):
    with pytest.raises(FileError, match=f"{len(CONTENT)} of {len(CONTENT) + 1000} bytes"):
        download(f"{server.address}/claims_more/model.bin", tmp_path, None)
    assert sorted(os.listdir(tmp_path)) == PART


@pytest.mark.parametrize("how", ["claims_less", "claims_more"])
def test_a_published_length_is_compared_before_the_transfer(how, server, tmp_path):
    url = f"{server.address}/{how}/model.bin"
    with pytest.raises(CheckpointError, match=f"bytes long, expected {len(CONTENT)}"):
        download(url, tmp_path, None, length=len(CONTENT))
    assert os.listdir(tmp_path) == []


def test_a_published_length_is_compared_after_the_transfer(server, tmp_path):
    url = f"{server.address}/unknown_length/model.bin"
    with pytest.raises(CheckpointError, match=f"expected {len(CONTENT) + 1}"):
        download(url, tmp_path, None, length=len(CONTENT) + 1)
    assert os.listdir(tmp_path) == []
    assert download(url, tmp_path, None, length=len(CONTENT)).read_bytes() == CONTENT


@pytest.mark.parametrize("how", ["page", "disguised_page"])
@pytest.mark.parametrize("sha256", [DIGEST, None])
def test_a_web_page_is_not_a_model(how, sha256, server, tmp_path):
    with pytest.raises(CheckpointError, match="web page"):
        download(f"{server.address}/{how}/model.bin", tmp_path, sha256)
    assert os.listdir(tmp_path) == []


def test_packed_bytes_are_refused(server, tmp_path):
    with pytest.raises(FileError, match="packed as 'gzip'"):
        download(f"{server.address}/packed/model.bin", tmp_path, None)
    assert os.listdir(tmp_path) == []


# -- no file --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("gone", "404.*dead"),
        ("forbidden", "403.*closed to you"),
        ("broken", "500.*call again later"),
        ("busy", "503.*call again later"),
        ("trap", "302"),
        ("circle", "302"),
        ("nonsense", "Check the network"),
        ("hangs_up", "Check the network"),
        ("silent", "timed out.*Check the network"),
    ],
)
def test_addresses_that_do_not_answer(how, says, server, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "TIMEOUT", 0.2)
    with pytest.raises(FileError, match=f"(?s){says}.*a local file is as good"):
        download(f"{server.address}/{how}/model.bin", tmp_path, DIGEST)
    assert os.listdir(tmp_path) == []


def test_a_dead_server_and_a_folder_that_is_a_file(server, tmp_path):
    with pytest.raises(FileError, match="Check the network"):
        download("http://127.0.0.1:9/model.bin", tmp_path, DIGEST)
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError):
        download(f"{server.address}/good/model.bin", tmp_path / "file", DIGEST)


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
