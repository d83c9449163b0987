"""The paper's longest sequence of tasks: CIFAR-10, then CIFAR-100."""

from pysi.data.dataset import Dataset
from pysi.errors import ConfigError
from pysi.tasks import Task, consecutive_tasks


def cifar_tasks(dataset: Dataset, n_tasks: int = 6, *, examples: int | None = None) -> list[Task]:
    """Return CIFAR-10, then ten classes of CIFAR-100 at a time, in the order of their fine labels.

    Parameters
    ----------
    dataset : pysi.data.Dataset
        CIFAR-10 and CIFAR-100 as one data set.
    n_tasks : int
        From 1 to 11.
    examples : int, optional
        Largest number of training examples per task; the first ones are taken. By default, all.

    Returns
    -------
    list of Task

    Raises
    ------
    ConfigError
        There are not enough classes for that number of tasks.

    References
    ----------
    Zenke, Poole & Ganguli (2017), Section 5.3.
    """
    names = ["CIFAR-10"] + [f"CIFAR-100, {k} to {k + 9}" for k in range(0, 100, 10)]
    if n_tasks != int(n_tasks) or not 1 <= n_tasks <= len(names):
        raise ConfigError(f"tasks: expected a number from 1 to {len(names)}, found {n_tasks}")
    return consecutive_tasks(dataset, names[:n_tasks], [10] * n_tasks, examples=examples)
