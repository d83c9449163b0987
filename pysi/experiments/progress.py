"""How processes report their progress, and when they end."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import parent_process
from multiprocessing.managers import SyncManager
from typing import Any, TypeAlias

from pysi.experiments import machine

Report: TypeAlias = Callable[[tuple[str, int, int]], object]
"""It is called with (name, task, epoch) after every epoch."""

GONE = (EOFError, OSError)
"""What a queue raises when its process is gone."""


def silent(event: tuple[str, int, int]) -> None:
    """Report nothing: nobody can watch the epochs of this work."""


@contextmanager
def progress(total: int, several: bool) -> Iterator[Report]:
    """Show a progress bar, and yield the function that reports epochs to it, from any process."""
    tqdm = machine.require("tqdm").tqdm
    with tqdm(total=total, unit="epoch") as bar:

        def show(event: tuple[str, int, int]) -> None:
            name, task, epoch = event
            bar.set_postfix_str(f"{name} task {task} epoch {epoch}", False)
            bar.update()

        if not several:
            yield show
            return
        # loky starts it without importing the user's script; a port has no path, so none too long
        loky = machine.require("joblib.externals.loky.backend.context").get_context("loky")
        manager = SyncManager(("127.0.0.1", 0), ctx=loky)
        manager.start(outlive_signals)
        with manager:
            queue = manager.Queue()

            def read() -> None:
                with suppress(*GONE):
                    for event in iter(queue.get, None):
                        show(event)

            reader = threading.Thread(target=read)
            reader.start()
            send = Sender(queue)
            try:
                yield send
            finally:
                send(None)
                reader.join()


class Sender:
    """Puts what it is called with into a queue.

    If the queue's process has died, only the progress bar stops.
    """

    def __init__(self, queue: Any) -> None:
        self.queue = queue

    def __call__(self, event: tuple[str, int, int] | None) -> None:
        """Put an event, or the end, into the queue."""
        with suppress(*GONE):
            self.queue.put(event)


def outlive_signals() -> None:
    """In the queue's process, ignore signals to the whole group; the parent ends the process."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    follow_parent()


def follow_parent() -> None:
    """In a worker, ignore Ctrl-C, since the parent ends workers; end if the parent is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    process = parent_process()
    assert process is not None  # this is a worker
    parent = process.pid

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
