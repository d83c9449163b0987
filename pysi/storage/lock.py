"""One run at a time in a folder."""

import errno
import os
import platform
import re
import sys
from contextlib import suppress
from pathlib import Path
from weakref import finalize

from pysi.errors import ConfigError
from pysi.storage.files import cannot_write
from pysi.typing import File

if sys.platform == "win32":
    import msvcrt

    def _lock(number: int) -> None:
        msvcrt.locking(number, msvcrt.LK_NBLCK, 1)

elif sys.platform == "emscripten":  # a browser's files are of one process

    def _lock(number: int) -> None:
        pass

else:
    import fcntl

    def _lock(number: int) -> None:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)


SIGNATURE = re.compile(r"process (\d{1,9}) on (.*)")
"""What a process writes into the file."""
HELD = (errno.EAGAIN, errno.EACCES, errno.EDEADLK)
"""The errors that mean that another process holds the lock."""


class Lock:
    """A folder's lock. It is held until `release`, or until its process ends, however that ends.

    It is a file `.lock` in the folder, locked by the operating system, so that what a killed
    process leaves is no obstacle. On a file system without locks, it has no effect.

    Parameters
    ----------
    folder : path-like
        A folder that exists.

    Attributes
    ----------
    left_by : int, optional
        The number of a process of this machine that was killed while it held the lock.

    Raises
    ------
    ConfigError
        Another process, or another `Lock`, holds it.
    DataError
        The folder cannot be written to.
    """

    def __init__(self, folder: File) -> None:
        self.path = Path(folder) / ".lock"
        try:
            number = self._open()
            while not _same(number, self.path):  # its last owner has just removed it
                os.close(number)
                number = self._open()
            left = SIGNATURE.fullmatch(os.read(number, 200).decode(errors="replace"))
            os.ftruncate(number, 0)
            os.lseek(number, 0, os.SEEK_SET)
            os.write(number, f"process {os.getpid()} on {platform.node()}".encode())
        except OSError as err:
            raise cannot_write(folder, err) from err
        self._number = number
        self.left_by = int(left[1]) if left and left[2] == platform.node() else None
        self.release = finalize(self, _release, number, self.path)

    def holds(self) -> bool:
        """Return whether the folder is still there, and this lock still holds it."""
        return self.release.alive and _same(self._number, self.path)

    def _open(self) -> int:
        number = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock(number)
        except OSError as err:
            if err.errno in HELD:
                owner = ""
                with suppress(OSError):
                    owner = os.read(number, 200).decode(errors="replace")
                os.close(number)
                raise ConfigError(
                    f"{self.path.parent}: expected a folder in which nothing is running, found a "
                    f"run at work ({owner or 'of another process'}). Wait for its end, or name "
                    "another folder."
                ) from err
        return number


def _same(number: int, path: Path) -> bool:
    with suppress(OSError):
        return os.path.samestat(os.fstat(number), path.stat())
    return False


def _release(number: int, path: Path) -> None:
    if _same(number, path):
        with suppress(OSError):
            path.unlink()
    os.close(number)
