"""How many threads a network is trained with: as many as pay, unless somebody has said."""

import os
import sys

import pytest

import pysi
from pysi import threads
from pysi.backend import arrays
from strategies import toy_cnn, toy_image_tasks, toy_net, toy_run

COUNT = threads.cores  # what the tests below replace
threadpoolctl = pytest.importorskip("threadpoolctl")


def blas():
    pools = threadpoolctl.threadpool_info()
    return {pool["num_threads"] for pool in pools if pool["user_api"] == "blas"}


def seen(net=None, **options):
    """Threads of the BLAS library and for images while a network is trained."""
    found = set()

    def look(event):
        pool = list(arrays._pools.values())[-1] if arrays._pools else None
        found.add((*blas(), pool._max_workers if pool else 1))

    toy_run(pysi.FineTuning(), net=net or toy_net(), epochs=1, listeners=[look], **options)
    (one,) = found
    return one


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    """Four cores, nothing asked for, and a BLAS library that uses three threads."""
    for name in threads.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(threads, "cores", lambda: 4)
    with threadpoolctl.threadpool_limits(3, user_api="blas"):
        yield
        assert blas() == {3}  # afterwards it is as it was


def test_a_small_network_gets_one_thread():
    assert seen() == (1, 1)


def test_a_large_network_gets_all_cores(monkeypatch):
    monkeypatch.setattr(threads, "WORTHWHILE", 1)
    assert seen() == (4, 1)


def test_what_pays_depends_on_the_work_of_a_step():
    small, large = pysi.MLP((784, 256, 256, 10)), pysi.MLP((784, 2000, 2000, 10))
    assert threads.worthwhile(small, 64) == 1
    assert threads.worthwhile(large, 256) == 4


def test_images_get_threads_of_their_own():
    assert seen(toy_cnn(), tasks=toy_image_tasks()) == (1, 4)


@pytest.mark.parametrize("name", threads.VARIABLES)
@pytest.mark.parametrize("value", ["2", " 2 ", "2,1"])
def test_the_environment_is_obeyed(name, value, monkeypatch):
    monkeypatch.setenv(name, value)
    assert seen() == (2, 1)


def test_an_argument_comes_before_the_environment(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert seen(threads=3) == (3, 1)


def test_within_using_its_count_holds(monkeypatch):
    monkeypatch.setattr(threads, "WORTHWHILE", 1)
    with threads.using(2):
        assert seen() == (2, 1)
    assert seen() == (4, 1)


@pytest.mark.parametrize("value", ["0", "two", "-1", "1.5"])
def test_a_bad_variable_is_named(value, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    net = toy_net()
    net.synapses.theta_ref[...] = 7
    with pytest.raises(pysi.ConfigError, match=f"OMP_NUM_THREADS: .* found '{value}'"):
        toy_run(pysi.SynapticIntelligence(1.0), net=net)
    assert (net.synapses.theta_ref == 7).all()  # before any work


def test_without_threadpoolctl_the_library_decides(monkeypatch):
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    assert seen() == (3, 1)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="not on this system")
def test_cores_are_those_that_this_process_may_use():
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert COUNT() == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert COUNT() == len(allowed)
