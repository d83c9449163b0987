"""Standard output and error as they are found: closed, cut off, full, or of few characters."""

import codecs
import os
import select
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO, cast

SPELLED = {"±": "+-", "−": "-", "×": "x", "·": "*", "⟨": "<", "⟩": ">", "≥": ">=", "≤": "<="}
"""What stands for a character in an encoding that lacks it; Greek letters go by their names."""


def spelled(character: str) -> str:
    """Return ASCII text in place of a character."""
    name = unicodedata.name(character, "").split()
    if name[:1] == ["GREEK"]:
        return name[-1].capitalize() if "CAPITAL" in name else name[-1].lower()
    if unicodedata.combining(character):  # the tilde of θ̃
        return ""
    plain = SPELLED.get(character) or unicodedata.normalize("NFKD", character).replace("⁄", "/")
    return plain if plain.isascii() else character.encode("ascii", "backslashreplace").decode()


def spell(error: UnicodeError) -> tuple[str, int]:
    """Spell out what cannot be encoded: an error handler, as `codecs` wants it."""
    assert isinstance(error, UnicodeEncodeError)
    return "".join(map(spelled, error.object[error.start : error.end])), error.end


codecs.register_error("spell", spell)


class Unheard:
    """A stream like another, where what cannot be written is lost without an error.

    With such an error, a progress bar would stop the work or, since tqdm then keeps its lock, wait
    for ever.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        """Write a text and return its length."""
        with suppress(OSError):
            self.stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Write what is held back."""
        with suppress(OSError):
            self.stream.flush()


@contextmanager
def console() -> Iterator[None]:
    """Within this context anything can be printed, whatever the two streams are.

    If nobody reads any more, as with `| head`, the process ends without a message, and with the
    exit status of one that SIGPIPE has ended. Any other error of a file is reported in one line.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed, as by `2>&-`; the next file would take its place
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.set_inheritable(nowhere, True)
            setattr(sys, name, os.fdopen(nowhere, "w"))
        if hasattr(stream := getattr(sys, name), "reconfigure"):
            stream.reconfigure(errors="spell")
    before = sys.stderr
    sys.stderr = cast(TextIO, Unheard(before))
    try:
        try:
            yield
        finally:
            sys.stdout.flush()  # not only when Python ends
    except OSError as err:
        cut_off = isinstance(err, BrokenPipeError) and unread(sys.stdout)
        give_up(sys.stdout)
        if cut_off:
            sys.exit(128 + 13)
        print(f"pysi: expected to read and write files, found {err}", file=sys.stderr)
        sys.exit(1)
    finally:
        give_up(before)
        sys.stderr = before


def unread(stream: TextIO) -> bool:
    """Return whether a stream is a pipe from which nobody reads any more."""
    try:
        poll = select.poll()
        poll.register(stream.fileno(), select.POLLOUT)
    except (AttributeError, OSError):  # Windows, or no file
        return False
    return any(event & select.POLLERR for _, event in poll.poll(0))


def give_up(stream: TextIO) -> None:
    """Redirect a stream that cannot be written to: writing its rest would be a second error."""
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
