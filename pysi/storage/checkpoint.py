"""Checkpoints: a run that was stopped at any moment goes on as if nothing had happened.

All randomness is a function of (seed, purpose, task, epoch), so the state of a run is its table of
synapses, the arrays of its optimizer and rule, and how far it has come. Two files take turns: while
one is written the other stays whole, and a checksum of the content tells whether a file is whole.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pysi.errors import ConfigError, DataError
from pysi.history import Epoch, Event
from pysi.storage.archive import Headers, Malformed, read_archive, write_archive
from pysi.storage.files import make_folder
from pysi.storage.state import restore, state
from pysi.typing import Array, File


class Checkpoint:
    """The newest state of one training run on disk, and the one before it.

    It listens to a run: before the run begins, the newest state is restored; after every epoch the
    state is saved.

    Parameters
    ----------
    path : path-like
        File of the newest state, ``….npz``; the one before is beside it, as ``….previous.npz``.
    settings : dict
        What a run must share with the checkpoint to go on from it, as plain values for JSON:
        configuration, seed, BLAS threads, ….
    interval : float
        Seconds that must pass between two saves. A state that comes sooner is saved only if due.
    announce : callable
        Called with a sentence if the newest state is broken and the one before is used.
    """

    def __init__(
        self,
        path: File,
        settings: dict[str, Any],
        *,
        interval: float = 0.0,
        announce: Callable[[str], object] = print,
    ) -> None:
        self.path = Path(path)
        self.previous = self.path.with_suffix(".previous.npz")
        self.settings, self.announce = json.loads(json.dumps(settings)), announce
        self.interval, self._saved = interval, time.monotonic()

    def begin(self, run: Any) -> None:
        """Let a run go on where the newest state was saved, if there is one."""
        if (saved := self.load()) is not None:
            restore(*saved, run, source=str(self.path))

    def __call__(self, event: Event) -> None:
        """Save the state after an epoch; after the last epoch of a task in any case."""
        if isinstance(event, Epoch):
            run: Any = event.run
            self.save(*state(run), due=event.epoch == run.epochs)

    def save(
        self, arrays: dict[str, Array], progress: dict[str, Any], *, due: bool = False
    ) -> None:
        """Write a state: arrays on the host by name, and progress, a dict of plain values.

        It is written if the interval has passed, or in any case if it is `due`.

        Raises
        ------
        DataError
            The file system refuses, or the result folder is no longer there.
        """
        if not due and time.monotonic() - self._saved < self.interval:
            return
        make_folder(self.path.parent)  # but not the folder around it, which may have been removed
        about = {"settings": self.settings, "progress": progress}
        write_archive(self.path, about, arrays, keep=self.previous)
        self._saved = time.monotonic()

    def load(self) -> tuple[dict[str, Array], dict[str, Any]] | None:
        """Return the newest good state as (arrays, progress); None if there is no checkpoint.

        Raises
        ------
        ConfigError
            The checkpoint belongs to a run with other settings.
        DataError
            Every file that is there is damaged or has been changed.
        """
        broken = []
        for path in (self.path, self.previous):
            if not path.exists():
                continue
            try:
                about, arrays = read_archive(path, "a complete checkpoint", check, remedy="")
            except DataError as err:
                # the writer of the next one may have moved it just now
                if path.exists() and not isinstance(err.__cause__, FileNotFoundError):
                    broken.append(str(err))
                continue
            if broken:
                self.announce(f"{broken[0]} The run goes on from the one before it, {path}.")
            self._compare(path, about["settings"])
            return arrays, about["progress"]
        if broken:
            raise DataError(
                " ".join(broken) + f" Remove {self.path.parent} to start this run anew."
            )
        return None

    def remove(self) -> None:
        """Delete the files: the run is over."""
        for path in self.path.parent.glob(f"{self.path.stem}.*"):
            path.unlink(missing_ok=True)

    def _compare(self, path: Path, settings: dict[str, Any]) -> None:
        """Raise a ConfigError if a checkpoint was made with other settings."""
        for key in sorted(settings.keys() | self.settings.keys()):
            made, wanted = settings.get(key), self.settings.get(key)
            if made != wanted:
                raise ConfigError(
                    f"{path}: expected a checkpoint with {key} = {wanted!r}, found {made!r}. "
                    "Use the settings that it was made with, or start a new run."
                )


def check(about: Any, headers: Headers) -> None:
    """Raise `Malformed` if `about` does not describe a checkpoint."""
    known = isinstance(about, dict) and {"settings", "progress"} <= about.keys()
    if not known or not all(isinstance(about[name], dict) for name in ("settings", "progress")):
        raise Malformed("no settings and progress in it")
