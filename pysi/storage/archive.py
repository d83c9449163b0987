"""Arrays in one file, with a description of them and a checksum of everything.

The file is an ``.npz``, which NumPy can read; nothing in it is ever unpickled. The description is
JSON, in the member `about`; the checksum is in the member `sha256`.
"""

import hashlib
import json
import os
import re
import zipfile
from collections.abc import Callable, Mapping
from math import prod
from typing import Any, BinaryIO, Literal, NamedTuple, TypeAlias

import numpy as np

from pysi.errors import DataError
from pysi.storage.files import atomic, open_regular
from pysi.typing import Array, File, Shape

Headers: TypeAlias = "dict[str, tuple[Shape, np.dtype[Any]]]"
"""The shape and dtype of every array, by name."""

HEADER = re.compile(
    rb"\{'descr': '([<>|][biufU]\d{1,9})', 'fortran_order': (True|False), "
    rb"'shape': \(((?:\d{1,18}, ?)*(?:\d{1,18})?)\), \} *\n"
)
"""The header of an array, as NumPy writes it. Any other header is not from this package."""
LARGEST_RATIO, SMALL = 20, 1 << 26
"""The content has at most this many times the bytes of its file, or this many if that is more.

Arrays are not compressed. Those of older tables were, but random weights hardly shrink.
"""
CHUNK = 1 << 20


class Malformed(ValueError):
    """What is wrong with a file, as the end of the sentence "expected …, found …"."""


def digest(arrays: Mapping[str, Array], about: str) -> str:
    """Return the SHA-256 of arrays (names, types, shapes, content) and of the text about them."""
    found = hashlib.sha256(about.encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        found.update(f"{name} {array.dtype} {array.shape}".encode())
        found.update(array.reshape(-1).view(np.uint8).data)
    return found.hexdigest()


def write_archive(
    path: File,
    about: Any,
    arrays: Mapping[str, Array],
    *,
    durable: bool = True,
    keep: File | None = None,
) -> None:
    """Write arrays on the host, and plain values about them, to a file that appears whole.

    `durable` and `keep` are those of `pysi.storage.files.atomic`, as are the errors.
    """
    text = json.dumps(about)
    with atomic(path, durable=durable, keep=keep) as file:
        np.savez(file, about=text, sha256=digest(arrays, text), **arrays)  # type: ignore[arg-type]


def read_archive(
    path: File,
    expected: str,
    check: Callable[[Any, Headers], None] = lambda about, headers: None,
    *,
    older: str | None = None,
    mapped: bool = False,
    remedy: str = "Write it again, or name another file.",
) -> tuple[Any, dict[str, Array]]:
    """Return the description of the arrays in a file, and the arrays by name.

    Names, types, shapes and sizes are checked before an array is read, the checksum after that.

    Parameters
    ----------
    path : path-like
    expected : str
        What the file should be, for the message.
    check : callable
        Called as check(about, headers); raises `Malformed` if the arrays are not those expected.
    older : str, optional
        The member that describes the arrays in older files, which have no checksum.
    mapped : bool
        Whether the arrays are left in the file, and read from there when they are used.
    remedy : str
        What to do if the file is bad, for the message.

    Raises
    ------
    DataError
        The file is missing, is something else, or has been damaged or changed.
    """
    with open_regular(path, expected) as file:
        try:
            return _read(file, check, older, mapped)
        # damaged files make zipfile, zlib, json and NumPy raise almost anything
        except Exception as err:
            found = str(err) if isinstance(err, Malformed) else f"{type(err).__name__}: {err}"
            raise DataError(
                f"{path}: expected {expected}, found {found}. {remedy}".rstrip()
            ) from err


class Place(NamedTuple):
    """Where an array is in a file, and what it is."""

    member: zipfile.ZipInfo
    start: int
    shape: Shape
    dtype: np.dtype[Any]
    order: Literal["C", "F"]


def _read(
    file: BinaryIO, check: Callable[[Any, Headers], None], older: str | None, mapped: bool
) -> tuple[Any, dict[str, Array]]:
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        size, room = sum(member.file_size for member in members), os.fstat(file.fileno()).st_size
        if size > max(LARGEST_RATIO * room, SMALL):
            raise Malformed(f"{size} bytes in a file of {room}")
        places = {m.filename.removesuffix(".npy"): _place(archive, m) for m in members}
        if [f"{name}.npy" for name in places] != [member.filename for member in members]:
            raise Malformed(f"the members {[member.filename for member in members]}")
        is_older = older in places and "about" not in places
        text, *checksum = needed = [older or ""] if is_older else ["about", "sha256"]
        if missing := sorted(set(needed) - places.keys()):
            raise Malformed(f"no {' and '.join(missing)} in it")
        said, *expected = (_text(archive, places[name]) for name in needed)
        about = {older: json.loads(said)} if is_older else json.loads(said)
        content = {name: place for name, place in places.items() if name not in needed}
        check(about, {name: (place.shape, place.dtype) for name, place in content.items()})
        take = _map if mapped else _take
        arrays = {name: take(archive, place) for name, place in content.items()}
    if not is_older and [found := digest(arrays, said)] != expected:
        raise Malformed(f"changed content, whose SHA-256 is {found} and not {expected[0]}")
    return about, arrays


def _place(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Place:
    """Return the place of a member's array, once its header and size are found to be right."""
    with archive.open(member) as file:
        magic = file.read(8)
        length = int.from_bytes(file.read(2), "little")
        header = HEADER.fullmatch(file.read(length))
    if magic != b"\x93NUMPY\x01\x00" or not header:
        raise Malformed(f"no array in {member.filename}")
    dtype = np.dtype(header[1].decode())
    shape = tuple(int(n) for n in header[3].decode().split(",") if n.strip())
    if member.file_size != 10 + length + prod(shape) * dtype.itemsize or not dtype.itemsize:
        raise Malformed(f"{member.file_size} bytes for {dtype} of shape {shape}")
    return Place(member, 10 + length, shape, dtype, "F" if header[2] == b"True" else "C")


def _text(archive: zipfile.ZipFile, place: Place) -> str:
    if place.shape != () or place.dtype.kind != "U":
        raise Malformed(f"no text in {place.member.filename}")
    return str(_take(archive, place))


def _take(archive: zipfile.ZipFile, place: Place) -> Array:
    """Return an array, read from its member."""
    data = np.empty(place.member.file_size - place.start, np.uint8)
    with archive.open(place.member) as file:
        file.read(place.start)
        for i in range(0, len(data), CHUNK):
            part = data[i : i + CHUNK]
            part[...] = np.frombuffer(file.read(len(part)), np.uint8)
    return data.view(place.dtype).reshape(place.shape, order=place.order)


def _map(archive: zipfile.ZipFile, place: Place) -> Array:
    """Return an array that stays in its member."""
    if place.member.compress_type != zipfile.ZIP_STORED or not prod(place.shape):
        return _take(archive, place)
    at, file = place.member.header_offset, archive.fp
    assert file is not None  # the archive is open
    file.seek(at + 26)
    name, extra = (int.from_bytes(file.read(2), "little") for _ in range(2))
    start = at + 30 + name + extra + place.start
    return np.memmap(file, place.dtype, "r", start, place.shape, place.order)
