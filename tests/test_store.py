"""Files of tensors: what goes in comes out, and what was damaged never does."""

import json
import os
import stat
import struct

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from steerbench import store
from steerbench.errors import CheckpointError, FileError, NotFoundError

HEADER = {
    "name": "lamp – on",
    "scale": 1.5,
    "layers": [0, 1],
    "nested": {"none": None, "yes": True},
}
TENSORS = {
    "vector": torch.linspace(0, 1, 7, dtype=torch.float64),
    "half": torch.randn(2, 3, dtype=torch.bfloat16),
    "mask": torch.tensor([[True, False]]),
    "count": torch.tensor(3),
    "empty": torch.zeros(0, 4),
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file.safetensors"


def raw(path, header, data=b""):
    """A file with this header, as an object or as the bytes themselves."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def entry(shape, start, end, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].dtype == value.dtype
        assert torch.equal(found[name], value)


# -- what goes in comes out ---------------------------------------------------------------------


def test_round_trip(path):
    store.save(path, TENSORS, HEADER)
    tensors, header = store.load(path)
    assert_same(tensors, TENSORS)
    assert header == HEADER == store.read_header(path)
    assert all(t.is_contiguous() and t.device.type == "cpu" for t in tensors.values())


@pytest.mark.parametrize(
    "value",
    [
        torch.arange(6.0).view(2, 3).T,
        torch.arange(10)[::3],
        torch.ones(3, requires_grad=True),
        np.arange(5, dtype=np.float64)[::-1],
        np.arange(4, dtype=">f4"),
        np.broadcast_to(np.float32(2), (2, 2)),
        np.array([True, False]),
        np.array(3, dtype=np.uint16),
        torch.tensor([1.5, -2], dtype=torch.float8_e4m3fn),
    ],
    ids=lambda value: f"{type(value).__name__}-{value.dtype}",
)
def test_any_stride_order_and_dtype(value, path):
    store.save(path, {"a": value})
    found = store.load(path)[0]["a"]
    if isinstance(value, np.ndarray):
        np.testing.assert_array_equal(found.numpy(), value)
        assert found.numpy().dtype == value.dtype.newbyteorder("=")
    else:
        assert found.dtype == value.dtype
        assert torch.equal(found.double(), value.detach().double())


def test_tensors_that_share_memory_become_their_own(path):
    base = torch.arange(4.0)
    store.save(path, {"a": base, "b": base, "c": base[1:3]})
    found, _ = store.load(path)
    found["a"][0] = 9
    assert found["b"][0] == 0
    assert found["c"].tolist() == [1, 2]


def test_a_loaded_file_may_be_replaced_or_cut(path):
    store.save(path, {"a": torch.ones(4096)})
    found, _ = store.load(path)
    os.truncate(path, 0)
    assert found["a"].sum() == 4096


def test_the_same_content_is_the_same_file(path, tmp_path):
    other = tmp_path / "other.safetensors"
    store.save(path, TENSORS, HEADER)
    store.save(other, dict(reversed(TENSORS.items())), HEADER)
    assert path.read_bytes() == other.read_bytes()


def test_others_can_read_our_files_and_we_theirs(path):
    store.save(path, TENSORS, HEADER)
    assert_same(safetensors.torch.load_file(path), TENSORS)
    safetensors.torch.save_file({"a": torch.ones(2)}, path, {"format": "pt"})
    assert store.load(path)[1] == {} == store.read_header(path)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(header=st.dictionaries(st.text(), json_values, max_size=4))
def test_any_json_header_survives(header, tmp_path_factory):
    path = tmp_path_factory.mktemp("json") / "a.safetensors"
    store.save(path, {"a": torch.ones(1)}, header)
    assert store.load(path)[1] == header


# -- what cannot be kept ------------------------------------------------------------------------


def deep(levels):
    value = 0
    for _ in range(levels):
        value = [value]
    return {"deep": value}


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ({"scores": {"r2": float("nan")}}, r"header\.scores\.r2 is nan"),
        ({"scores": [1, float("inf")]}, r"header\.scores\[1\] is inf"),
        ({"when": object()}, r"header\.when is a object"),
        ({"t": torch.ones(1)}, "Tensor"),
        ({1: "a"}, "key 1"),
        (deep(100), "deeper than 64"),
    ],
)
def test_a_header_that_is_not_json_is_refused(header, says, path):
    with pytest.raises(FileError, match=says):
        store.save(path, {}, header)
    assert not path.exists()


@pytest.mark.parametrize(
    "value",
    [
        np.array([object()]),
        np.array(["a"]),
        [1, 2],
        None,
        torch.ones(2).to_sparse(),
        torch.ones(2, dtype=torch.complex128),
    ],
)
def test_values_that_are_no_plain_tensors_are_refused(value, path):
    with pytest.raises(FileError, match="dense tensor"):
        store.save(path, {"a": value})
    assert not path.exists()


def test_a_header_too_long_to_read_back_is_refused(path, monkeypatch):
    monkeypatch.setattr(store, "MAX_HEADER", 300)
    with pytest.raises(FileError, match="as tensors"):
        store.save(path, {}, {"long": "x" * 300})


# -- files that lie -----------------------------------------------------------------------------

TWICE = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},'
TWICE += b'"a":{"dtype":"I32","shape":[1],"data_offsets":[0,4]}}'
HOSTILE = {
    "empty": b"",
    "short": b"\x02\x00",
    "pickle": b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00cposix\nsystem\n.",
    "zip": b"PK\x03\x04" + b"\0" * 60,
    "header beyond the file": struct.pack("<Q", 2**40) + b"{}",
    "header of 2^64": b"\xff" * 64,
    "not utf-8": (b"\xff\xfe{}", b""),
    "not json": (b"{'a': 1}", b""),
    "a list": (b"[]", b""),
    "NaN": (b'{"__metadata__":{"a":NaN}}', b""),
    "deep lists": (b'{"a":' + b"[" * 100_000, b""),
    "deep objects": (b'{"a":' * 100_000, b""),
    "a long number": (b'{"a":' + b"9" * 10_000 + b"}", b""),
    "a name twice": (TWICE, b"\0" * 4),
    "metadata of numbers": ({"__metadata__": {"a": 1}}, b""),
    "metadata a list": ({"__metadata__": []}, b""),
    "entry a number": ({"a": 1}, b""),
    "unknown dtype": ({"a": entry([1], 0, 4, "OBJECT")}, b"\0" * 4),
    "negative shape": ({"a": entry([-1], 0, 4)}, b"\0" * 4),
    "huge shape": ({"a": entry([2**40], 0, 2**42)}, b"\0" * 4),
    "overflowing shape": ({"a": entry([2**62, 4], 0, 0)}, b""),
    "huge empty shape": ({"a": entry([0, 2**63], 0, 0)}, b""),
    "shape beyond its bytes": ({"a": entry([2], 0, 4)}, b"\0" * 4),
    "overlap": ({"a": entry([2], 0, 8), "b": entry([2], 4, 12)}, b"\0" * 12),
    "gap": ({"a": entry([1], 0, 4), "b": entry([1], 8, 12)}, b"\0" * 12),
    "backwards": ({"a": entry([1], 4, 0)}, b"\0" * 4),
    "trailing bytes": ({"a": entry([1], 0, 4)}, b"\0" * 9),
    "half of our marks": ({"__metadata__": {"steerbench": "{}"}}, b""),
    "our header not json": ({"__metadata__": {"steerbench": "{", "sha256": ""}}, b""),
    "our header a list": ({"__metadata__": {"steerbench": "[]", "sha256": ""}}, b""),
    "our header with infinity": (
        {"__metadata__": {"steerbench": '{"a":1e999}', "sha256": ""}},
        b"",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_files_that_lie_are_refused(name, path):
    content = HOSTILE[name]
    if isinstance(content, tuple):
        raw(path, *content)
    else:
        path.write_bytes(content)
    for function in (store.load, store.read_header):
        if name == "huge empty shape" and function is store.read_header:
            continue
        with pytest.raises(CheckpointError, match=r"file\.safetensors.*Fetch or make"):
            function(path)


def test_a_changed_header_is_noticed(path):
    store.save(path, {"a": torch.ones(3)}, {"scale": 1.5})
    path.write_bytes(path.read_bytes().replace(b"1.5", b"9.5"))
    with pytest.raises(CheckpointError, match="altered"):
        store.load(path)


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    path = tmp_path_factory.mktemp("sample") / "a.safetensors"
    store.save(path, TENSORS, HEADER)
    return path.read_bytes()


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_damage_is_noticed_or_harmless(data, sample, tmp_path_factory):
    blob = bytearray(sample)
    if data.draw(st.booleans(), label="cut"):
        blob = blob[: data.draw(st.integers(0, len(blob) - 1))]
    flips = data.draw(
        st.lists(st.tuples(st.integers(0, len(sample)), st.integers(1, 255)), max_size=3)
    )
    for position, mask in flips:
        if position < len(blob):
            blob[position] ^= mask
    path = tmp_path_factory.getbasetemp() / "damaged.safetensors"
    path.write_bytes(blob)
    try:
        tensors, header = store.load(path)
    except CheckpointError:
        return
    assert_same(tensors, TENSORS)
    assert header == HEADER


def test_every_truncation_is_noticed(sample, path):
    for length in range(len(sample)):
        path.write_bytes(sample[:length])
        with pytest.raises(CheckpointError):
            store.load(path)


# -- places -------------------------------------------------------------------------------------


def test_missing_files_and_folders(tmp_path):
    store.save(tmp_path / "lamp.safetensors", TENSORS)
    for function in (store.load, store.read_header):
        with pytest.raises(NotFoundError, match=r"lamp\.safetensors"):
            function(tmp_path / "lmap.safetensors")
        with pytest.raises(NotFoundError):
            function(tmp_path / "nowhere" / "a.safetensors")
        with pytest.raises(FileError, match="Cannot read"):
            function(tmp_path)
    with pytest.raises(FileError, match="folder exists"):
        store.save(tmp_path / "nowhere" / "a.safetensors", TENSORS)


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only for root")
def test_a_read_only_folder(tmp_path):
    os.chmod(tmp_path, stat.S_IRUSR | stat.S_IXUSR)
    with pytest.raises(FileError, match="read-only"):
        store.save(tmp_path / "a.safetensors", TENSORS)


@pytest.mark.parametrize("step", ["open", "fsync", "replace"])
@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), KeyboardInterrupt()])
def test_a_write_that_fails_leaves_what_was_there(step, error, path, monkeypatch):
    store.save(path, TENSORS, {"version": 1})

    def fail(*_):
        raise error

    monkeypatch.setattr(store if step == "open" else store.os, step, fail, raising=False)
    expected = FileError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected):
        store.save(path, TENSORS, {"version": 2})
    monkeypatch.undo()
    assert store.load(path)[1] == {"version": 1}
    assert os.listdir(path.parent) == [path.name]


def test_text_and_bytes(tmp_path):
    store.write_text_atomic(tmp_path / "a.txt", "Zoë\n")
    store.write_bytes_atomic(tmp_path / "b", b"\0\1")
    assert (tmp_path / "a.txt").read_bytes() == "Zoë\n".encode()
    assert (tmp_path / "b").read_bytes() == b"\0\1"
    (tmp_path / "link").symlink_to(tmp_path / "b")
    store.write_bytes_atomic(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "b").read_bytes() == b"new"
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE((tmp_path / "b").stat().st_mode) == 0o666 & ~umask


# -- fingerprints -------------------------------------------------------------------------------


def test_a_fingerprint_names_the_content():
    a, b = torch.arange(6.0).view(2, 3), torch.ones(2)
    mark = store.fingerprint({"a": a, "b": b})
    assert len(mark) == 16
    assert int(mark, 16) >= 0
    assert mark == store.fingerprint({"b": b.clone(), "a": a.T.contiguous().T})
    assert mark == store.fingerprint({"a": a.numpy(), "b": torch.nn.Parameter(b)})
    others = [
        {"a": a, "c": b},
        {"a": a.double(), "b": b},
        {"a": a.view(3, 2), "b": b},
        {"a": a + 1e-6, "b": b},
        {"a": b, "b": a},
        {"a": a},
    ]
    assert len({mark, *map(store.fingerprint, others)}) == 7


def test_a_fingerprint_stays_the_same_over_releases():
    content = {"w": torch.arange(4.0), "n": torch.tensor(7)}
    assert store.fingerprint(content) == "45a9dffb01491f80"


def test_the_cache_folder_is_named_by_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("STEERBENCH_CACHE", str(tmp_path / "kept"))
    assert store.cache_folder("models", "a.pt") == tmp_path / "kept" / "models" / "a.pt"
    assert not (tmp_path / "kept").exists()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("STEERBENCH_CACHE")
    assert store.cache_folder() == tmp_path / ".cache" / "steerbench"
