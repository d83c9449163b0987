"""IDX files: what is written is what is read, and nothing that was tampered with is read at all."""

import gzip
import hashlib
import io
import os
import struct
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pysi.data.idx import idx_md5, read_idx
from pysi.data.mnist import OfficialFile, read_official
from pysi.errors import DataError


def idx_bytes(array):
    """The content of an IDX file, written from the format's description."""
    header = struct.pack(f">{1 + array.ndim}I", 0x0800 + array.ndim, *array.shape)
    return header + array.tobytes()


def gzip_bytes(content, level=9, mtime=0, filename=""):
    out = io.BytesIO()
    with gzip.GzipFile(filename, "wb", level, out, mtime=mtime) as file:
        file.write(content)
    return out.getvalue()


def official(name, array):
    """The row of the table of official files that describes this array."""
    return OfficialFile(name, array.shape, hashlib.md5(idx_bytes(array)).hexdigest())


def read_bytes(content):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "file")
        path.write_bytes(content)
        return read_idx(path)


def read_bytes_as(content, array):
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "file").write_bytes(content)
        return read_official(folder, official("file", array))


@st.composite
def arrays(draw):
    shape = draw(
        st.sampled_from([(1,), (3,)]) | st.lists(st.integers(1, 4), min_size=3, max_size=3)
    )
    data = draw(st.binary(min_size=int(np.prod(shape)), max_size=int(np.prod(shape))))
    return np.frombuffer(data, np.uint8).reshape(shape)


wrappers = st.one_of(
    st.just(lambda content: content),
    st.builds(
        lambda *how: lambda content: gzip_bytes(content, *how),
        st.integers(0, 9),
        st.integers(0, 2**31),
        st.sampled_from(["", "t10k-labels-idx1-ubyte", "another name"]),
    ),
)


@given(arrays(), wrappers)
@settings(deadline=None)
def test_round_trip_whatever_the_wrapper(array, wrap):
    read = read_bytes(wrap(idx_bytes(array)))
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, array)
    assert idx_md5(read) == hashlib.md5(idx_bytes(array)).hexdigest()


@given(st.data(), arrays())
@settings(deadline=None)
def test_a_flipped_byte_is_refused(data, array):
    content = bytearray(idx_bytes(array))
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(DataError):
        read_bytes_as(content, array)


@given(st.data(), arrays(), st.integers(0, 9))
@settings(deadline=None)
def test_a_flipped_byte_in_a_gzipped_file_never_changes_the_data(data, array, level):
    """A few bytes of the wrapper (the time stamp, say) are free; all others are refused."""
    content = bytearray(gzip_bytes(idx_bytes(array), level))
    position = data.draw(st.integers(0, len(content) - 1))
    content[position] ^= data.draw(st.integers(1, 255))
    try:
        read = read_bytes_as(content, array)
    except DataError:
        return
    assert position < 10  # gzip's own header
    np.testing.assert_array_equal(read, array)


@given(st.data(), arrays(), wrappers)
@settings(deadline=None)
def test_a_truncated_file_is_refused(data, array, wrap):
    content = wrap(idx_bytes(array))
    with pytest.raises(DataError):
        read_bytes(content[: data.draw(st.integers(0, len(content) - 1))])


@given(arrays(), st.binary(min_size=1, max_size=20))
@settings(deadline=None)
def test_bytes_after_the_data_are_refused(array, more):
    with pytest.raises(DataError, match="after the header, for shape .* found: more"):
        read_bytes(idx_bytes(array) + more)
    with pytest.raises(DataError, match="found: more"):
        read_bytes(gzip_bytes(idx_bytes(array) + more))


@pytest.mark.smoke
@pytest.mark.parametrize("wrap", [bytes, gzip_bytes])
@pytest.mark.parametrize("shape", [(2**32 - 1,) * 3, (2**26 + 1, 1, 1)])
def test_a_huge_header_is_refused_before_anything_is_read(wrap, shape):
    header = struct.pack(">4I", 2051, *shape)
    with pytest.raises(DataError, match="header of at most 67108864 bytes"):
        read_bytes(wrap(header))


def test_a_gzip_bomb_is_not_unpacked(monkeypatch):
    """What lies past the announced size costs no memory: no read asks for more than that plus 1."""
    asked = []
    read = gzip.GzipFile.read

    def recorded(self, size=-1):
        asked.append(size)
        return read(self, size)

    bomb = gzip_bytes(struct.pack(">2I", 2049, 5) + bytes(2**24))
    monkeypatch.setattr(gzip.GzipFile, "read", recorded)
    with pytest.raises(DataError, match="found: more"):
        read_bytes(bomb)
    assert asked == [4, 4, 6]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_a_pipe_in_a_files_place_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="pipe: .*neither a file nor a folder"):
        read_idx(tmp_path / "pipe")
