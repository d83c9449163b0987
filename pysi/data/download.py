"""Downloading data sets to the user's cache: they are verified first and then moved into place.

Whatever goes wrong on the way, the files that already lie in the cache stay as they are.
"""

import os
import platform
import re
import shutil
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

from pysi.data.catalogue import CATALOGUE, Entry
from pysi.errors import ConfigError, DataError, install
from pysi.storage.files import process_is_alive

TIMEOUT = (3, 15)
"""Seconds to wait for a connection, and between two packets."""
RETRIES = 1
DAY = 86_400


def cache_dir() -> Path | None:
    """Return the folder that holds downloaded data.

    Returns
    -------
    Path or None
        ``PYSI_CACHE`` if set, else the platform's own place for caches, which pooch knows. None
        without either: pooch is not installed, or the user has no home.
    """
    if os.environ.get("PYSI_CACHE"):
        return Path(os.path.expanduser(os.environ["PYSI_CACHE"]))
    try:
        import pooch
    except ImportError:
        return None
    try:
        path = Path(pooch.os_cache("pysi"))
    except RuntimeError:  # the user has no home
        return None
    return path if path.is_absolute() else None  # older versions leave the "~" as it is


def fetch(name: str, force: bool = False, progress: bool = True) -> Path:
    """Download a data set to the cache, unless it is there and good.

    The mirrors are tried in turn; what one gives is verified before it replaces what the cache
    holds.

    Parameters
    ----------
    name : str
        ``"mnist"``, ``"cifar10"`` or ``"cifar100"``.
    force : bool
        Download even if the cache holds the whole set.
    progress : bool
        Show progress, and the mirrors that fail, on stderr.

    Returns
    -------
    Path
        Where the data set lies in the cache: a folder or, for CIFAR, the archive.

    Raises
    ------
    ConfigError
        No data set of this name can be downloaded.
    DataError
        No mirror gave the true files, pooch is missing, or there is no cache that can be written.
    """
    if name not in CATALOGUE:
        raise ConfigError(f"cannot fetch {name!r}: expected one of {', '.join(CATALOGUE)}.")
    entry, cache = CATALOGUE[name], cache_dir()
    if not force and cache is not None and _is_whole(entry, cache):
        return entry.locate(cache)
    try:
        import pooch
    except ImportError as error:
        raise DataError(
            f"downloading {name} needs the package pooch, which cannot be imported ({error}).\n"
            f"Install it: {install('demo')}. {_or_by_hand(entry)}"
        ) from error
    if cache is None:
        raise DataError(
            f"downloading {name} needs a folder for the cache, and this user has no home.\n"
            f"Set PYSI_CACHE to one. {_or_by_hand(entry)}"
        )
    pooch.get_logger().setLevel("ERROR")  # the progress bar shows what it has to say
    try:
        cache.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(cache)
        # On the cache's own file system, so that each move into place is one atomic step.
        owner = f"{name}.{platform.node()}.{os.getpid()}."
        with tempfile.TemporaryDirectory(".partial", owner, cache) as temporary:
            source = _download(entry, Path(temporary), progress)
            for file in entry.files:
                (cache / file).parent.mkdir(exist_ok=True)
                os.replace(source / file, cache / file)
    except OSError as error:
        raise DataError(
            f"the cache cannot be written: {error}.\n"
            "Remove what is in the way, or set PYSI_CACHE to another folder."
        ) from error
    return entry.locate(cache)


def _remove_leftovers(cache: Path) -> None:
    """Remove the folders of downloads that were killed."""
    for folder in cache.glob("*.partial"):
        if (owner := re.fullmatch(r"\w+\.(.*)\.(\d+)\.\w+\.partial", folder.name)) is None:
            continue
        if owner[1] == platform.node() and os.name != "nt":
            dead = not process_is_alive(int(owner[2]))
        else:  # of another machine, or on Windows, where no harmless signal shows a live process
            dead = time.time() - folder.stat().st_mtime > DAY
        if dead:
            shutil.rmtree(folder, ignore_errors=True)


def _is_whole(entry: Entry, folder: Path) -> bool:
    shortcomings: list[str] = []
    try:
        entry.read(entry.locate(folder), shortcomings.append)
    except DataError:
        return False
    return not shortcomings


def _download(entry: Entry, folder: Path, progress: bool) -> Path:
    failures = []
    for number, mirror in enumerate(entry.mirrors):
        source = folder / str(number)  # one per mirror: what a bad one gave must not be reused
        try:
            _download_from(mirror, entry, source, progress)
        except (DataError, OSError, ValueError) as error:
            failures.append(f"{mirror}: {_reason(error)}")
            if progress:
                print(f"this mirror failed: {failures[-1]}", file=sys.stderr)
        else:
            return source
    raise DataError(
        f"{entry.title} could not be downloaded: no mirror gave its files.\n"
        + "\n".join(f"  {failure}" for failure in failures)
        + f"\nCheck the network and try again. {_or_by_hand(entry)}"
    )


def _download_from(mirror: str, entry: Entry, folder: Path, progress: bool) -> None:
    import pooch

    # Pooch is given no hash: it would be that of the file as it is sent, and mirrors may gzip MNIST
    # as they like. What comes is a data folder like any other, and is read as one.
    files = pooch.create(
        folder,
        mirror,
        registry=dict.fromkeys(entry.files),
        urls={file: mirror + Path(file).name for file in entry.files},
        retry_if_failed=RETRIES,
    )
    show = progress and find_spec("tqdm") is not None
    downloader = pooch.HTTPDownloader(progressbar=show, timeout=TIMEOUT, chunk_size=2**16)
    for file in entry.files:
        files.fetch(file, downloader=downloader)
    entry.read(entry.locate(folder), announce=print)


def _or_by_hand(entry: Entry) -> str:
    return f"Or use --data or PYSI_DATA to name a folder that\nholds {entry.holds}."


def _reason(error: BaseException) -> str:
    # requests wraps the cause in layers that repeat each other; the innermost is the plain one.
    while not isinstance(error, DataError) and error.__context__ is not None:
        error = error.__context__
    return str(error).splitlines()[0] if str(error) else type(error).__name__
