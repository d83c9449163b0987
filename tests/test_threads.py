"""Sharing work out over threads, and memory that is kept from step to step."""

import threading

import numpy as np
import pytest

from pysi.backend.arrays import Scratch, Workspace, share_out, threads


def test_work_is_shared_out_over_the_threads_there_are():
    here, order = [], []
    share_out(lambda i: here.append((i, threading.get_ident())), 3)
    assert here == [(i, threading.get_ident()) for i in range(3)]
    with threads(2):
        barrier = threading.Barrier(2, timeout=30)
        share_out(lambda i: barrier.wait(), 2)  # returns, because both are at work
        with threads(1):
            share_out(order.append, 5)
        share_out(lambda i: barrier.wait(), 2)
        with np.errstate(over="ignore"):  # else a warning, which is an error in tests
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


def test_every_thread_has_a_workspace_of_its_own():
    work, like, found = Workspace(), np.zeros(1), {}
    barrier = threading.Barrier(2, timeout=30)

    def use(i):
        array = work("a", (3,), like)
        array[...] = i
        barrier.wait()
        found[i] = array.copy(), work("a", (3,), like) is array

    with threads(2):
        share_out(use, 2)
    for i in range(2):
        assert np.array_equal(found[i][0], [i] * 3)
        assert found[i][1]


def test_what_is_made_once_is_kept():
    scratch, like = Scratch(), np.zeros(1, np.float32)
    array = scratch("x", (2,), like)
    array[...] = 5
    assert scratch("x", (2,), like) is array
    other = scratch("x", (3,), like, bool)
    assert (other.shape, other.dtype, other.any()) == ((3,), bool, False)
    assert array.dtype == np.float32
    first = scratch.once("a", list)
    assert scratch.once("a", dict) is first
    assert scratch.once("b", dict) == {}
