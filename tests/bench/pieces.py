"""Pieces of work, one after the other, each in a process of its own, within a limit of time.

What a piece has written stays, however it ends. After every piece `summary.json` says how all of
them stand. A later call with the same folder skips what is done, and continues the rest.
"""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import turns

END = 10
"""Seconds that are kept for the end."""
GRACE = 5
"""Seconds in which a piece may end by itself after it was interrupted."""
SMALL = (".json", ".png", ".pdf", ".svg")
"""Endings of the files that are copied from a result folder."""
SHOWN = 8
"""Lines at the end of a failed piece's output that the summary repeats."""


@dataclass(frozen=True)
class Piece:
    """What is run, and how long it may take.

    Attributes
    ----------
    name : str
    words : tuple of str
        The command line, without the Python interpreter.
    seconds : float
        How long it takes, as estimated.
    least : float
        With fewer seconds it is not begun.
    limit : float
        The most seconds that one call gives it.
    folder : Path, optional
        The result folder of a `pysi run`, which `again` continues.
    again : tuple of str
    file : Path, optional
        The file that it writes. Another try keeps it under another name.
    lacks : str
        What it needs and does not find.
    """

    name: str
    words: tuple[str, ...]
    seconds: float
    least: float = 5
    limit: float = math.inf
    folder: Path | None = None
    again: tuple[str, ...] = ()
    file: Path | None = None
    lacks: str = ""


class Pieces:
    """Pieces, the folder in which they report, and how they stand.

    `settings` are those that a folder's calls must share. Raise a ValueError if they do not.
    """

    def __init__(self, pieces, out, settings, env=None):
        self.pieces, self.out, self.settings, self.env = pieces, Path(out), settings, env
        self.out.mkdir(parents=True, exist_ok=True)
        self.summary = self.out / "summary.json"
        self.standing = {}
        if self.summary.exists():
            found = json.loads(self.summary.read_text())
            if found["settings"] != settings:
                raise ValueError(
                    f"out: expected a folder of calls with {settings}, found one with "
                    f"{found['settings']}: name another"
                )
            self.standing = found["pieces"]

    def run(self, seconds):
        """Run what is not done within these seconds; return whether no piece failed.

        What failed in an earlier call is tried again last.
        """
        end = time.monotonic() + seconds - END
        for piece in sorted(self.pieces, key=lambda piece: self.state(piece) == "failed"):
            state = self.state(piece)
            left = end - time.monotonic()
            if state == "done":
                print(f"{piece.name}: done in an earlier call", flush=True)
                continue
            if piece.lacks or left < piece.least:
                reason = piece.lacks or f"needs {piece.least:.0f} s, {max(left, 0):.0f} s are left"
                if state == "not begun":
                    self.enter(piece, state=state, reason=reason)
                print(f"{piece.name}: not begun: {reason}", flush=True)
                continue
            self.attempt(piece, min(piece.limit, left), bool(piece.folder) and state == "stopped")
            found = self.standing[piece.name]
            how = found["state"] + " (resumed)" * found["resumed"]
            print(f"{piece.name}: {how} in {found['seconds']:.0f} s: {found['reason']}", flush=True)
        return all(self.state(piece) != "failed" for piece in self.pieces)

    def state(self, piece):
        """Return "done", "stopped" (its time was over), "failed" or "not begun"."""
        return self.standing.get(piece.name, {}).get("state", "not begun")

    def enter(self, piece, **found):
        """Write down how a piece stands."""
        self.standing[piece.name] = self.standing.get(piece.name, {}) | found
        content = {"settings": self.settings, "pieces": self.standing}
        turns.write(self.summary, content, quiet=True)

    def attempt(self, piece, limit, resumed):
        """Run one piece for at most `limit` seconds, and enter how it ended."""
        before = self.standing.get(piece.name, {}).get("seconds", 0)
        self.enter(piece, state="stopped", resumed=resumed, reason="it was begun", seconds=before)
        log = self.out / f"{piece.name}.log"
        began = time.monotonic()
        try:
            status = run(self.prepare(piece), log, limit, self.env)
        finally:
            if piece.folder:
                bring(piece.folder, self.out / piece.name)
        took = time.monotonic() - began
        lines = log.read_text(errors="replace").replace("\r", "\n").splitlines()
        lines = [line for line in lines if line.strip()][-SHOWN:]
        if status == 0:
            state, reason = "done", (lines or [""])[-1][:80]
        elif status is None:
            later = "continues" if piece.folder else "repeats"
            state, reason = "stopped", f"its {limit:.0f} s were over; another call {later} it"
        else:
            state, reason = "failed", "\n  ".join([f"exit status {status}", *lines])
        self.enter(piece, state=state, reason=reason, seconds=round(before + took, 1))

    def prepare(self, piece):
        """Return the command line that begins a piece, or continues it."""
        if piece.file and piece.file.exists():
            piece.file.replace(piece.file.with_name(f"earlier-{piece.file.name}"))
        if piece.folder and not (piece.folder / "result.json").exists():
            bring(self.out / piece.name, piece.folder)  # finished runs, from another machine
        begun = piece.folder and (piece.folder / "result.json").exists()
        return piece.again if begun else piece.words


def bring(source, target):
    """Copy a result and its figures, but no tables of synapses and no checkpoints."""
    for path in source.glob("*"):
        if path.suffix in SMALL:
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)


def run(words, log, limit, env=None):
    """Run Python with these words; return its exit status, or None if it took too long.

    Its output is appended to the file `log`. Of the processes that it starts none is left.
    """
    with open(log, "a") as file:
        process = subprocess.Popen(
            [sys.executable, *words],
            stdout=file,
            stderr=subprocess.STDOUT,
            env=os.environ | (env or {}),
            start_new_session=True,
            # a job in the background of a shell ignores Ctrl-C, and so would the piece
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        try:
            return process.wait(limit)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)  # pytest then writes its report
            with suppress(subprocess.TimeoutExpired):
                process.wait(GRACE)
            return None
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
