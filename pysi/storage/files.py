"""Files: written whole or not at all, and opened only if they are regular files."""

import errno
import os
import platform
import secrets
import stat
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, BinaryIO

from pysi.errors import DataError
from pysi.typing import File

PARTIAL = ".partial"
"""The end of the name of a file that is still being written."""
LONGEST_WRITE = 24 * 3600
"""Seconds after which a partial file of another machine counts as left behind."""
REMEDIES = {
    errno.ENOSPC: "Make room on the disk.",
    getattr(errno, "EDQUOT", errno.ENOSPC): "Make room within your quota.",
    errno.EFBIG: "Raise the limit of the size of files (ulimit -f).",
    errno.EACCES: "Check the permissions, or name another place.",
    errno.EPERM: "Check the permissions, or name another place.",
    errno.EROFS: "The place is read-only: make it writable, or name another one.",
    errno.EIO: "Check the disk.",
    errno.ENOENT: "Its folder is not there, or was removed.",
}
"""What to do about the errors of a file system."""


@contextmanager
def atomic(
    path: File, mode: str = "wb", *, durable: bool = False, keep: File | None = None, **options: Any
) -> Iterator[IO[Any]]:
    """Open a new file beside `path`, which replaces `path` when this context ends without error.

    Several processes and threads may write the same path: each call has a file of its own. Files
    that killed writers of this path have left are removed. The folder must exist.

    Parameters
    ----------
    path : path-like
    mode : str
        As for `open`.
    durable : bool
        Whether the file must survive a loss of power once this context has ended.
    keep : path-like, optional
        Where the file that was at `path` before is moved to.
    **options
        Further arguments of `open`.

    Raises
    ------
    DataError
        The file system refuses, or there is an OSError within the context. The message names the
        file, and the old file stays as it was.
    """
    path = Path(path)
    partial = path.with_name(f"{path.name}.{_host()}-{os.getpid()}-{secrets.token_hex(4)}{PARTIAL}")
    try:
        remove_leftovers(path.parent, of=path.name)
        try:
            with partial.open(mode, **options) as file:
                yield file
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
            if keep is not None:
                with suppress(FileNotFoundError):  # another writer may just have moved it
                    os.replace(path, keep)
            os.replace(partial, path)
            if durable:
                _sync_folder(path.parent)
        finally:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
    except OSError as err:
        raise cannot_write(path, err) from err
    except ValueError as err:  # from a ZIP file that cannot be closed after an OSError
        if isinstance(err.__context__, OSError):
            raise cannot_write(path, err.__context__) from err
        raise


def cannot_write(path: File, err: OSError) -> DataError:
    """Return the error that says why a file or folder cannot be written, and what to do."""
    remedy = REMEDIES.get(err.errno or 0, "Check the disk, or name another place.")
    return DataError(f"{path}: expected a writable place, found: {err.strerror or err}. {remedy}")


def make_folder(path: File) -> Path:
    """Make a folder in an existing one, unless it is there; raise a DataError if that fails."""
    try:
        Path(path).mkdir(exist_ok=True)
    except OSError as err:
        raise cannot_write(path, err) from err
    return Path(path)


def remove_leftovers(folder: File, of: str = "", *, below: bool = False) -> None:
    """Remove what killed writers have left in a folder; the files of live ones stay.

    Parameters
    ----------
    folder : path-like
    of : str
        The name of the file that they were writing; by default, any.
    below : bool
        Whether to look into its subfolders, too.
    """
    for path in Path(folder).glob(f"{'**/' * below}*{PARTIAL}"):
        name, _, writer = path.name.removesuffix(PARTIAL).rpartition(".")
        if of in ("", name) and not _alive(path, writer):
            with suppress(OSError):
                path.unlink(missing_ok=True)


def open_regular(path: File, expected: str) -> BinaryIO:
    """Open a regular file for reading. A pipe or device, on which reading might wait, is refused.

    Raises
    ------
    DataError
        There is no such file, or it is not regular; the message says what was `expected`.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        number = os.open(path, flags)
    except FileNotFoundError as err:
        raise DataError(f"{path}: expected {expected}, found no such file") from err
    except (OSError, ValueError) as err:  # ValueError: a path with a zero byte
        raise DataError(f"{path}: expected {expected}, found: {err}") from err
    kind = os.fstat(number).st_mode
    if not stat.S_ISREG(kind):
        os.close(number)
        other = "a folder" if stat.S_ISDIR(kind) else "a pipe or device"
        raise DataError(f"{path}: expected {expected}, found {other}")
    return os.fdopen(number, "rb")


def process_is_alive(pid: int) -> bool:
    """Return whether a process of this machine is alive; True if that cannot be known."""
    if os.name == "nt":  # there, `os.kill` would end it; but an open file cannot be removed
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        pass
    return True


def _host() -> str:
    return f"{zlib.crc32(platform.node().encode()):08x}"


def _alive(path: Path, writer: str) -> bool:
    """Return whether the writer of a partial file may still be at work."""
    host, _, rest = writer.partition("-")
    pid = rest.partition("-")[0]
    if host == _host() and pid.isdigit() and os.name != "nt":
        return process_is_alive(int(pid))
    with suppress(OSError):
        return time.time() - path.stat().st_mtime < LONGEST_WRITE
    return True


def _sync_folder(folder: Path) -> None:
    """Make sure that a new name in a folder survives; not every system can do that."""
    with suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
