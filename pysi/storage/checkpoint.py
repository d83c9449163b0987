"""Checkpoints: a run that was stopped at any moment goes on as if nothing had happened.

All randomness is a function of (seed, purpose, task, epoch), so the state of a run is its table of
synapses, the arrays of its optimizer and rule, and how far it has come. Two files take turns: while
one is written the other stays whole, and a checksum of the content tells whether a file is.
"""

import hashlib
import json
import os
import time
from pathlib import Path

import numpy as np

from pysi.errors import ConfigError, DataError
from pysi.history import Epoch
from pysi.storage.files import atomic, read_arrays
from pysi.storage.state import restore, state


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

    It listens to a run: before it begins, the newest state is put back in place; after every epoch
    the state is saved.

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

    def begin(self, run):
        """Let a run go on where the newest state was saved, if there is one."""
        if (saved := self.load()) is not None:
            restore(*saved, run)

    def __call__(self, event):
        """Save the state after an epoch; after a task's last one in any case."""
        if isinstance(event, Epoch):
            self.save(*state(event.run), due=event.epoch == event.run.epochs)

    def save(self, arrays, progress, *, due=False):
        """Write a state: arrays on the host by name, and progress, a dict of plain values.

        It is written if the interval has passed, or `due`: then however soon it comes.
        """
        if not due and time.monotonic() - self._saved < self.interval:
            return
        about = json.dumps({"settings": self.settings, "progress": progress})
        self.path.parent.mkdir(parents=True, exist_ok=True)
        newest = self.path.with_suffix(".new.npz")
        with atomic(newest) as file:
            np.savez(file, about=about, sha256=digest(arrays, about), **arrays)
        if self.path.exists():
            os.replace(self.path, self.previous)
        os.replace(newest, self.path)
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
        arrays = read_arrays(path, "a complete checkpoint")
        if missing := {"about", "sha256"} - arrays.keys():
            raise DataError(f"{path}: expected a complete checkpoint, found no {sorted(missing)}.")
        about, expected = str(arrays.pop("about")), str(arrays.pop("sha256"))
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
