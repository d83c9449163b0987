"""IDX, the format of the MNIST files: a short header that gives the shape, then the bytes.

All numbers are big-endian::

    magic   4 bytes           2049 (labels, one dimension) or 2051 (images, three dimensions)
    sizes   4 bytes per size  n for labels; n, rows, columns for images
    data    1 byte per value  unsigned: a label, or a pixel; row by row, and nothing after them

Source: http://yann.lecun.com/exdb/mnist/
"""

import gzip
import hashlib
import math
import os
import zlib
from io import BufferedReader

import numpy as np

from pysi.errors import DataError
from pysi.typing import Array, File, Shape

GZIP_MAGIC = b"\x1f\x8b"
N_DIMENSIONS = {2049: 1, 2051: 3}

# MNIST's largest file has 47 MB. The limit keeps a wrong header, or a few kilobytes of gzip that
# unpack to terabytes, from filling the memory.
MAX_BYTES = 2**26


def open_file(path: File) -> BufferedReader:
    """Open a file to read its bytes; raise an OSError for a pipe or device, which may never end."""
    if os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path)):
        raise OSError("neither a file nor a folder")
    return open(path, "rb")


def read_idx(path: File) -> Array:
    """Read an IDX file, plain or gzipped; its content decides which, not its name.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    ndarray of uint8, shape (n,) or (n, rows, columns)
        The labels or images; read-only.

    Raises
    ------
    DataError
        The file cannot be read, is not IDX, or is shorter or longer than its header says.
    """
    try:
        with (
            open_file(path) as raw,
            gzip.GzipFile(fileobj=raw) if raw.peek(2)[:2] == GZIP_MAGIC else raw as file,
        ):
            shape = _read_shape(file, path)
            n_bytes = math.prod(shape)
            if n_bytes > MAX_BYTES:
                raise _refusal(path, f"a header of at most {MAX_BYTES} bytes", f"shape {shape}")
            # One byte more than expected shows whether something follows; asking for it also
            # makes gzip reach its end and check its own checksum.
            data = file.read(n_bytes + 1)
    except (OSError, EOFError, zlib.error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise _refusal(path, "a readable IDX file, plain or gzipped", reason) from error
    if len(data) != n_bytes:
        found = f"only {len(data)}" if len(data) < n_bytes else "more"
        raise _refusal(path, f"{n_bytes} bytes after the header, for shape {shape}", found)
    return np.frombuffer(data, np.uint8).reshape(shape)


def idx_md5(array: Array) -> str:
    """Return the MD5 of the IDX file that holds an array, uncompressed.

    `read_idx` accepts only one content for each array (the shape fixes the header, and nothing may
    follow the data), so this is the checksum of the content that was read, gzipped or not.

    Parameters
    ----------
    array : ndarray of uint8, shape (n,) or (n, rows, columns)
        What `read_idx` returned.

    Returns
    -------
    str
        32 hexadecimal digits.
    """
    header = np.array([0x0800 + array.ndim, *array.shape], ">u4")
    md5 = hashlib.md5(header.tobytes(), usedforsecurity=False)
    md5.update(array.tobytes())
    return md5.hexdigest()


def _read_shape(file: BufferedReader | gzip.GzipFile, path: File) -> Shape:
    magic = int.from_bytes(file.read(4), "big")
    if magic not in N_DIMENSIONS:
        raise _refusal(path, "magic number 2049 (labels) or 2051 (images)", magic)
    sizes = file.read(4 * N_DIMENSIONS[magic])
    if len(sizes) < 4 * N_DIMENSIONS[magic]:
        raise _refusal(path, f"{N_DIMENSIONS[magic]} sizes in the header", "the end of the file")
    return tuple(int(size) for size in np.frombuffer(sizes, ">u4"))


def _refusal(path: File, expected: str, found: object) -> DataError:
    return DataError(
        f"{path}: expected {expected}; found: {found}.\n"
        "Replace it with a fresh copy of the official file, readable by this user."
    )
