"""Downloading data sets to the user's cache: verified first, moved into place after.

Whatever goes wrong on the way, the files that already lie in the cache stay as they are.
"""

import os
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from pysi.data.catalogue import CATALOGUE
from pysi.errors import ConfigError, DataError

TIMEOUT = (3, 15)  # seconds: to connect, and between two packets
RETRIES = 1


def cache_dir():
    """The folder that holds downloaded data.

    Returns
    -------
    Path or None
        ``PYSI_CACHE`` if set, else the platform's own place for caches, which pooch knows; None
        where neither is there to tell.
    """
    if os.environ.get("PYSI_CACHE"):
        return Path(os.path.expanduser(os.environ["PYSI_CACHE"]))
    try:
        import pooch
    except ImportError:
        return None
    return pooch.os_cache("pysi")


def fetch(name, force=False, progress=True):
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
        No mirror gave the true files, pooch is missing, or the cache cannot be written.
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
            f"Install it: pip install 'pysi[demo]'. {_or_by_hand(entry)}"
        ) from error
    pooch.get_logger().setLevel("ERROR")  # what it has to tell, the progress bar shows
    try:
        cache.mkdir(parents=True, exist_ok=True)
        # On the cache's own file system, so that each move into place is one atomic step.
        with tempfile.TemporaryDirectory(prefix=f"{name}-", dir=cache) as temporary:
            source = _download(entry, Path(temporary), progress)
            for file in entry.files:
                (cache / file).parent.mkdir(exist_ok=True)
                os.replace(source / file, cache / file)
    except OSError as error:
        raise DataError(
            f"the cache cannot be written: {error}.\n"
            "Remove what is in the way, or name another folder by PYSI_CACHE."
        ) from error
    return entry.locate(cache)


def _is_whole(entry, folder):
    shortcomings = []
    try:
        entry.read(entry.locate(folder), shortcomings.append)
    except DataError:
        return False
    return not shortcomings


def _download(entry, folder, progress):
    failures = []
    for number, mirror in enumerate(entry.mirrors):
        source = folder / str(number)  # one each: what a bad mirror gave must not be reused
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


def _download_from(mirror, entry, folder, progress):
    import pooch

    # No hash for pooch: it would be that of the file as it is sent, and mirrors may gzip MNIST as
    # they like. What comes is a data folder like any other, and read as such.
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


def _or_by_hand(entry):
    return f"Or name by --data or PYSI_DATA a folder that\nholds {entry.holds}."


def _reason(error):
    # requests wraps the cause in layers that repeat each other; the innermost is the plain one.
    while not isinstance(error, DataError) and error.__context__ is not None:
        error = error.__context__
    return str(error).splitlines()[0] if str(error) else type(error).__name__
