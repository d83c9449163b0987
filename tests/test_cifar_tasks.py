"""The tasks of split CIFAR: CIFAR-10, then ten classes of CIFAR-100 at a time."""

import numpy as np
import pytest

import pysi
from pysi.data.cifar import CIFAR100
from test_data_cifar import images


def test_tasks_are_cifar_10_and_tens_of_cifar_100(small_cifar):
    tasks = pysi.cifar_tasks(small_cifar, 3)
    names = ["CIFAR-10", "CIFAR-100, 0 to 9", "CIFAR-100, 10 to 19"]
    assert [task.name for task in tasks] == names
    for i, task in enumerate(tasks):
        assert np.flatnonzero(task.active).tolist() == list(range(10 * i, 10 * i + 10))
        assert (len(task.active), task.chance) == (30, 0.1)
        for part in ("train", "test"):
            x, y = task.part(part)
            labels, pixels = getattr(small_cifar, f"y_{part}"), getattr(small_cifar, f"x_{part}")
            assert np.array_equal(x, pixels[labels // 10 == i])
            assert np.array_equal(y, labels[labels // 10 == i])
    x, labels = images(40, CIFAR100, 0)  # an image with the fine label 13 there has class 23 here
    (thirteen,) = x[labels[:, 1] == 13]
    assert np.array_equal(tasks[2].x_train[tasks[2].y_train == 23], [thirteen])


def test_a_task_has_its_first_examples_at_most(small_cifar):
    whole = pysi.cifar_tasks(small_cifar, 3)
    for few, all_of_it in zip(pysi.cifar_tasks(small_cifar, 3, examples=9), whole, strict=True):
        assert np.array_equal(few.x_train, all_of_it.x_train[:9])
        assert np.array_equal(few.y_train, all_of_it.y_train[:9])
        assert np.array_equal(few.x_test, all_of_it.x_test)
    for n in (0, 12):
        with pytest.raises(pysi.ConfigError, match=f"tasks: .* from 1 to 11, found {n}"):
            pysi.cifar_tasks(small_cifar, n)
    for n in (-5, 0, 1.5):
        with pytest.raises(pysi.ConfigError, match=f"examples: .* from 1, found {n}"):
            pysi.cifar_tasks(small_cifar, 3, examples=n)
    with pytest.raises(pysi.ConfigError, match="'CIFAR-100, 40 to 49': train: expected .* found 0"):
        pysi.cifar_tasks(small_cifar, 6)  # these classes are not there
