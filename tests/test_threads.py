"""Dividing work among threads, and memory that is kept from step to step."""

import threading
import time

import numpy as np
import pytest

import pysi
from pysi.backend.arrays import share_out, threads
from pysi.backend.memory import Memory, Passing, Slot
from pysi.layers import ReLU


def test_work_is_divided_among_the_threads_there_are():
    here, order = [], []
    share_out(lambda i: here.append((i, threading.get_ident())), 3)
    assert here == [(i, threading.get_ident()) for i in range(3)]
    with threads(2):
        barrier = threading.Barrier(2, timeout=30)
        share_out(lambda i: barrier.wait(), 2)  # returns, because both threads are at work
        with threads(1):
            share_out(order.append, 5)
        share_out(lambda i: barrier.wait(), 2)
        with np.errstate(over="ignore"):  # without this a warning, which is an error in tests
            share_out(lambda i: np.float64(1e308) * 10, 2)
    assert order == [0, 1, 2, 3, 4]
    share_out(order.append, 1)
    assert order[5:] == [0]


def test_what_goes_wrong_in_a_thread_comes_out():
    def fail(i):
        if i == 1:
            raise ValueError("number 1")

    with threads(2), pytest.raises(ValueError, match="number 1"):
        share_out(fail, 3)


def at_work():
    """How many threads `share_out` uses: as many as can wait for each other."""
    seen = set()
    share_out(lambda i: (seen.add(threading.get_ident()), time.sleep(0.05)), 4)
    return len(seen)


@pytest.mark.parametrize("counts", [(2, 3), (3, 1), (1, 2)])
def test_contexts_may_be_closed_in_any_order(counts):
    first, second = (threads(count) for count in counts)
    first.__enter__()
    second.__enter__()
    assert at_work() == counts[1]
    first.__exit__(None, None, None)
    assert at_work() == counts[1]
    second.__exit__(None, None, None)
    with threads(1):
        assert at_work() == 1
    here = []
    share_out(lambda i: here.append(threading.get_ident()), 2)
    assert here == [threading.get_ident()] * 2


@pytest.mark.parametrize("count", [0, -1, 1.5, 2.0, "2", None, np.nan, [2]])
def test_a_number_of_threads_is_a_whole_number_from_1(count):
    with pytest.raises(pysi.ConfigError, match="threads: expected a whole number from 1, found"):
        threads(count)


def test_a_number_of_threads_may_be_numpy_s():
    with threads(np.int64(2)):
        assert at_work() == 2


def memory(passing=None):
    """Return the memory of one layer, with its arrays to be passed on in `passing`."""
    slot = Slot(ReLU(), "relu1", pysi.Synapses({"none": (1,)}))
    return Memory(slot, shared=passing)


def test_every_thread_passes_on_arrays_of_its_own():
    lent, found = memory(Passing()), {}
    barrier = threading.Barrier(2, timeout=30)

    def use(i):
        array = lent.passing("a", (3,))
        array[...] = i
        barrier.wait()
        found[i] = array.copy(), lent.passing("a", (3,)) is array

    with threads(2):
        share_out(use, 2)
    for i in range(2):
        assert np.array_equal(found[i][0], [i] * 3)
        assert found[i][1]


def test_what_is_lent_once_is_lent_again():
    lent = memory()
    array = lent("x", (2,))
    array[...] = 5
    assert lent("x", (2,)) is array
    other = lent("x", (3,), bool)
    assert (other.shape, other.dtype, other.any()) == ((3,), bool, False)
    assert array.dtype == np.float32
    first = lent.once("a", list)
    assert lent.once("a", dict) is first
    assert lent.once("b", dict) == {}
