"""Checkpoints: a run that was stopped at any moment goes on as if nothing had happened.

All randomness is a function of (seed, purpose, task, epoch), so the state of a run is its table of
synapses, the arrays of its optimizer and rule, and how far it has come. Two files take turns: while
one is written the other stays whole, and a checksum of the content tells whether a file is.
"""

import hashlib
import json
import os
import time
import zipfile
from pathlib import Path

import numpy as np

from pysi.errors import ConfigError, DataError


def digest(arrays, about):
    """SHA-256 of all arrays, with their names, types and shapes, and of what is said about them."""
    found = hashlib.sha256(about.encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        found.update(f"{name} {array.dtype} {array.shape}".encode())
        found.update(array)
    return found.hexdigest()


class Checkpoint:
    """The newest state of one training run on disk, and the one before it.

    Parameters
    ----------
    path : path-like
        File of the newest state, ``….npz``; the one before lies beside it as ``….previous.npz``.
    settings : dict
        What a run must share with the checkpoint to go on from it: configuration, seed, BLAS
        threads, …. Plain values, as JSON has them.
    interval : float
        Seconds that must pass between two saves; what comes sooner is saved only if it is due.
    announce : callable
        Told, in a sentence, if the newest state is broken and the one before is used.
    """

    def __init__(self, path, settings, *, interval=0.0, announce=print):
        self.path = Path(path)
        self.previous = self.path.with_suffix(".previous.npz")
        self.settings, self.announce = json.loads(json.dumps(settings)), announce
        self.interval, self._saved = interval, time.monotonic()

    def save(self, arrays, progress, *, due=False):
        """Write a state: arrays on the host by name, and progress, a dict of plain values.

        It is written if the interval has passed, or `due`: then however soon it comes.
        """
        if not due and time.monotonic() - self._saved < self.interval:
            return
        about = json.dumps({"settings": self.settings, "progress": progress})
        partial = self.path.with_suffix(f".{os.getpid()}.partial")  # a killed run may linger
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            np.savez(file, about=about, sha256=digest(arrays, about), **arrays)
        if self.path.exists():
            os.replace(self.path, self.previous)
        os.replace(partial, self.path)
        self._saved = time.monotonic()

    def load(self):
        """The newest good state as (arrays, progress); None if there is no checkpoint.

        Raises
        ------
        ConfigError
            The checkpoint belongs to a run with other settings.
        DataError
            Every file that is there is truncated or has been changed.
        """
        broken = []
        for path in (self.path, self.previous):
            if not path.exists():
                continue
            try:
                arrays, about = self._read(path)
            except DataError as err:
                broken.append(str(err))
                continue
            if broken:
                self.announce(f"{broken[0]} Going on from the one before it, {path}.")
            self._check(path, about["settings"])
            return arrays, about["progress"]
        if broken:
            raise DataError(
                " ".join(broken) + f" Remove {self.path.parent} to start this run anew."
            )
        return None

    def remove(self):
        """Delete the files: the run is over."""
        for path in self.path.parent.glob(f"{self.path.stem}.*"):
            path.unlink(missing_ok=True)

    @staticmethod
    def _read(path):
        try:
            with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            about, expected = str(arrays.pop("about")), str(arrays.pop("sha256"))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as err:
            raise DataError(
                f"{path}: expected a complete checkpoint, found {type(err).__name__}: {err}."
            ) from err
        if (found := digest(arrays, about)) != expected:
            raise DataError(
                f"{path}: expected content with SHA-256 {expected}, found {found}: it was changed."
            )
        return arrays, json.loads(about)

    def _check(self, path, settings):
        keys = sorted(settings.keys() | self.settings.keys())
        for key in keys:
            made, wanted = settings.get(key), self.settings.get(key)
            if made != wanted:
                raise ConfigError(
                    f"{path}: expected a checkpoint with {key} = {wanted!r}, found {made!r}. "
                    "Use the settings that it was made with, or start a new run."
                )
