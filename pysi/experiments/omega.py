"""The path integral ω of every task, kept in the result folder for the paper's Figure 5."""

from pathlib import Path
from typing import Any

from pysi.backend import to_host
from pysi.errors import DataError
from pysi.experiments.correlation import correlation
from pysi.history import Event, TaskLearned
from pysi.network import Network
from pysi.storage.archive import Headers, Malformed, read_archive, write_archive
from pysi.storage.files import make_folder
from pysi.typing import Array


def omega_file(out: Path, cell: Any, task: int) -> Path:
    """Return the file with ω of a task (from 1); for task 1, it is the file of the cell's trunk."""
    cell = cell.trunk if cell.trunk and task == 1 else cell
    return out / "omega" / f"{cell.name}-task{task}.npz"


def save_omega(omega: Array, path: Path) -> None:
    """Write ω as it is at a task's end, the whole row or nothing."""
    make_folder(path.parent)
    # It need not be durable: a resumed run checks whether it is there.
    write_archive(path, {"omega": path.stem}, {"omega": omega}, durable=False)


def load_omega(path: Path, row: Array) -> Array:
    """Return the ω in a file, which must be a row like `row`. It stays in the file until used.

    Raises
    ------
    DataError
        The file is missing, damaged, or another run's.
    """

    def check(about: Any, headers: Headers) -> None:
        if about != {"omega": path.stem}:
            raise Malformed(f"that of {str(about)[:80]}")
        if headers != {"omega": (row.shape, row.dtype)}:
            raise Malformed(f"{headers}")

    remedy = "With --resume, the run that it belongs to is trained again."
    return read_archive(path, "a task's ω", check, mapped=True, remedy=remedy)[1]["omega"]


class OmegaFiles:
    """Writes ω of every cell when a task has been learned; listens to the run that trains them."""

    def __init__(self, cell: Any, out: Path) -> None:
        self.cell, self.out = cell, out

    def __call__(self, event: Event) -> None:
        """Write ω while it is still the task's own."""
        if isinstance(event, TaskLearned):
            run: Any = event.run
            rows = to_host(run.net.synapses.omega).reshape(len(self.cell.cells), -1)
            for one, omega in zip(self.cell.cells, rows, strict=True):
                save_omega(omega, omega_file(self.out, one, event.task))

    def lacking(self, run: Any, tasks: int) -> str | None:
        """Return what is wrong with the files of the first `tasks` tasks; None if they are good."""
        row = run.net.synapses.theta.reshape(len(self.cell.cells), -1)[0]
        try:
            for cell in self.cell.cells:
                for task in range(1, tasks + 1):
                    load_omega(omega_file(self.out, cell, task), row)
        except DataError as err:
            return str(err)
        return None


def omega_correlation(net: Network, cell: Any, out: Path) -> dict[str, list[list[float]]]:
    """Return the correlation of ω between tasks for every weight matrix, by name (Figure 5)."""
    tasks = range(1, 1 + cell.how.trains.count(cell.config.tasks))
    row = net.synapses.theta.reshape(-1, len(net.synapses))[0]
    omega = [load_omega(omega_file(out, cell, task), row) for task in tasks]
    groups = (net.synapses.group(name) for name in net.synapses.shapes if name.endswith(".W"))
    return {
        group.name: correlation([row[group.columns] for row in omega]).round(6).tolist()
        for group in groups
    }
