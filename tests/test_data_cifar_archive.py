"""The archive of CIFAR's binary version, on tiny generated images: the official one, or refused."""

import gzip
import tarfile
import zlib

import pytest

from pysi.data.cifar import read_cifar
from pysi.errors import DataError
from test_data import never
from test_data_cifar import (
    ONE_LABEL,
    archive_bytes,
    check_content,
    contents,
    member,
    members,
    write_archive,
)
from test_data_idx import gzip_bytes
from test_data_mnist import flipped


def test_only_the_official_archive_is_read(tmp_path):
    path, kind = write_archive(tmp_path, ONE_LABEL)
    content = path.read_bytes()
    for other in (flipped(content, 4), flipped(content, -1), content[:-1], content + b"x", b""):
        path.write_bytes(other)
        with pytest.raises(DataError, match=f"expected an archive with MD5 {kind.md5}; found: "):
            read_cifar(kind, path, never)
    path.unlink()
    with pytest.raises(DataError, match=f"{path}: expected a readable tar.gz .*No such file"):
        read_cifar(kind, path, never)
    path.mkdir()
    with pytest.raises(DataError, match="Is a directory"):
        read_cifar(kind, path, never)


def broken_gzip(content):
    stream = zlib.compressobj(wbits=31)
    whole = stream.compress(content[:20_000]) + stream.flush(zlib.Z_SYNC_FLUSH)
    return whole + b"\xff" * 50


GOOD = members(ONE_LABEL)
TEST = f"{ONE_LABEL.folder}/test.bin"
REST = [(info, content) for info, content in GOOD if info.name != TEST]
ELSEWHERE = member("elsewhere", contents(ONE_LABEL)["test.bin"])


def no_file(kind, linkname=""):
    """What is no regular file, but has the right name and size."""
    return archive_bytes([*REST, ELSEWHERE, member(TEST, type=kind, linkname=linkname, size=15365)])


LABEL = b"\4" + contents(ONE_LABEL)["test.bin"][1:]
BAD_ARCHIVES = {
    "no gzip": (archive_bytes(GOOD, bytes), "readable tar.gz archive; found: not a gzip file"),
    "no tar": (gzip_bytes(b"x" * 2000), "readable tar.gz archive"),
    "empty": (archive_bytes([]), "no first.bin, second.bin, test.bin"),
    "truncated": (archive_bytes(GOOD)[:-2000], "ended before"),
    "broken": (archive_bytes(GOOD, broken_gzip), "invalid block type"),
    "missing file": (archive_bytes(REST), "first.bin, second.bin, test.bin; found: no test.bin"),
    "other folder": (archive_bytes([*REST, ELSEWHERE]), "found: no test.bin"),
    "link": (no_file(tarfile.SYMTYPE, "../elsewhere"), "a regular file of 15365 bytes; found: "),
    "hard link": (no_file(tarfile.LNKTYPE, "elsewhere"), "a regular file of 15365 bytes; found: "),
    "device": (no_file(tarfile.CHRTYPE), "a regular file of 15365 bytes; found: "),
    "one byte short": (archive_bytes([*REST, member(TEST, bytes(15364))]), "found: 15364 bytes"),
    "one record more": (archive_bytes([*REST, member(TEST, bytes(18438))]), "found: 18438 bytes"),
    "label": (archive_bytes([*REST, member(TEST, LABEL)]), "class labels below 4; found: 4"),
}


@pytest.mark.parametrize("case", BAD_ARCHIVES)
def test_bad_archives_are_refused_even_with_the_right_checksum(tmp_path, case):
    content, message = BAD_ARCHIVES[case]
    path, kind = write_archive(tmp_path, ONE_LABEL, content)
    with pytest.raises(DataError, match=f"^{path}.*{message}"):
        read_cifar(kind, path, never)


def test_an_archive_is_not_unpacked_to_disk(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    evil = [member(name, b"evil") for name in ("../evil", "evil", str(tmp_path / "evil"))]
    path, kind = write_archive(tmp_path / "data", ONE_LABEL, archive_bytes([*evil, *GOOD]))
    check_content(read_cifar(kind, path, never), kind)
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == [path]


def test_a_bomb_is_not_read_into_memory(tmp_path, monkeypatch):
    """No read of what is packed asks for more than a block, whatever size a header announces."""
    largest = 0
    read = gzip.GzipFile.read

    def recorded(self, size=-1):
        nonlocal largest
        largest = max(largest, size if size >= 0 else 2**62)
        return read(self, size)

    monkeypatch.setattr(gzip.GzipFile, "read", recorded)
    bombs = [member(name, bytes(2**22), size=2**40) for name in ("unknown", TEST)]
    for bomb in bombs:
        path, kind = write_archive(tmp_path, ONE_LABEL, archive_bytes([bomb]))
        with pytest.raises(DataError):
            read_cifar(kind, path, never)
    assert 0 < largest < 2**20
