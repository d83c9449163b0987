"""Downloading MNIST to the user's cache: verified first, moved into place after.

Whatever goes wrong on the way, the files that already lie in the cache stay as they are.
"""

import os
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from pysi.data import mnist
from pysi.errors import ConfigError, DataError

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
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

    The mirrors are tried in turn; each file is verified before it replaces what the cache holds.

    Parameters
    ----------
    name : str
        ``"mnist"``.
    force : bool
        Download even if the cache is good.
    progress : bool
        Show progress, and the mirrors that fail, on stderr.

    Returns
    -------
    Path
        The folder with the files.

    Raises
    ------
    ConfigError
        No data set of this name can be downloaded.
    DataError
        No mirror gave the true files, pooch is missing, or the cache cannot be written.
    """
    if name != "mnist":
        raise ConfigError(f"cannot fetch {name!r}: expected 'mnist', the only download.")
    cache = cache_dir()
    if not force and cache is not None and _is_good(cache / name):
        return cache / name
    try:
        import pooch
    except ImportError as error:
        raise DataError(
            f"downloading {name} needs the package pooch, which cannot be imported ({error}).\n"
            "Install it: pip install 'pysi[demo]'."
        ) from error
    pooch.get_logger().setLevel("ERROR")  # what it has to tell, the progress bar shows
    folder = cache / name
    try:
        cache.mkdir(parents=True, exist_ok=True)
        # On the cache's own file system, so that each move into place is one atomic step.
        with tempfile.TemporaryDirectory(prefix=f"{name}-", dir=cache) as temporary:
            source = _download(Path(temporary), progress)
            folder.mkdir(exist_ok=True)
            for path in source.iterdir():
                os.replace(path, folder / path.name)
    except OSError as error:
        raise DataError(
            f"the cache cannot be written: {error}.\n"
            "Remove what is in the way, or name another folder by PYSI_CACHE."
        ) from error
    return folder


def _is_good(folder):
    try:
        mnist.read_mnist(folder)
    except DataError:
        return False
    return True


def _download(folder, progress):
    failures = []
    for number, mirror in enumerate(MIRRORS):
        source = folder / str(number)  # one each: what a bad mirror gave must not be reused
        try:
            _download_from(mirror, source, progress)
        except (DataError, OSError, ValueError) as error:
            failures.append(f"{mirror}: {_reason(error)}")
            if progress:
                print(f"this mirror failed: {failures[-1]}", file=sys.stderr)
        else:
            return source
    raise DataError(
        "MNIST could not be downloaded: no mirror gave its files.\n"
        + "\n".join(f"  {failure}" for failure in failures)
        + "\nCheck the network and try again, or give a folder that holds mnist/ with the four "
        "official files by --data or PYSI_DATA."
    )


def _download_from(mirror, folder, progress):
    import pooch

    # No hash for pooch: it would be that of the gzipped file, and mirrors may gzip as they like.
    # `read_official` checks the content.
    registry = {f"{file.name}.gz": None for file in mnist.FILES}
    files = pooch.create(folder, mirror, registry=registry, retry_if_failed=RETRIES)
    show = progress and find_spec("tqdm") is not None
    downloader = pooch.HTTPDownloader(progressbar=show, timeout=TIMEOUT, chunk_size=2**16)
    for file in mnist.FILES:
        files.fetch(f"{file.name}.gz", downloader=downloader)
        mnist.read_official(folder, file)


def _reason(error):
    # requests wraps the cause in layers that repeat each other; the innermost is the plain one.
    while not isinstance(error, DataError) and error.__context__ is not None:
        error = error.__context__
    return str(error).splitlines()[0] if str(error) else type(error).__name__
