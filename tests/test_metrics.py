"""Metrics: each against its definition, written out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pysi
from pysi.experiments.correlation import correlation, mean_off_diagonal
from pysi.metrics import (
    backward_transfer,
    forward_transfer,
    intransigence,
    sd,
)
from strategies import seeds


@given(seeds, st.integers(1, 6))
def test_metrics_by_their_definitions(seed, n):
    A = np.random.default_rng(seed).random((3, n, n))
    for seed_, (average, forgot) in enumerate(
        zip(pysi.average_accuracy(A), pysi.forgetting(A), strict=True)
    ):
        a = A[seed_]
        for i in range(n):
            assert np.isclose(average[i], sum(a[i][j] for j in range(i + 1)) / (i + 1))
        lost = [max(a[i][j] for i in range(j, n - 1)) - a[n - 1][j] for j in range(n - 1)]
        assert np.isclose(forgot, np.mean(lost) if lost else 0)
        moved = [a[n - 1][j] - a[j][j] for j in range(n - 1)]
        assert np.isclose(backward_transfer(a), np.mean(moved) if moved else 0)
        untrained = np.random.default_rng(seed + 1).random(n)
        ahead = [a[j - 1][j] - untrained[j] for j in range(1, n)]
        assert np.isclose(forward_transfer(a, untrained), np.mean(ahead) if ahead else 0)
        unlearned = [untrained[j] - a[j][j] for j in range(n)]
        assert np.isclose(intransigence(a, untrained), np.mean(unlearned))
    for metric in (backward_transfer, lambda A: forward_transfer(A, 0.1)):
        assert metric(A).shape == (3,)


@pytest.mark.parametrize("axis", [0, 1])
def test_sd_and_sem_by_their_definitions(axis):
    values = np.array([[1.0, 2.0, 4.0, 3.0], [5.0, 0.0, 1.0, 1.0], [2.0, 2.0, 7.0, 0.5]])
    rows = values if axis else values.T
    expected = [np.sqrt(sum((x - sum(r) / len(r)) ** 2 for x in r) / (len(r) - 1)) for r in rows]
    assert np.allclose(sd(values, axis), expected)
    assert np.allclose(pysi.sem(values, axis), np.divide(expected, np.sqrt(len(rows[0]))))


@pytest.mark.parametrize("error", [sd, pysi.sem])
def test_a_single_value_has_no_spread(error):
    assert np.isnan(error([0.5]))
    found = error([[0.5, 0.6]])
    assert found.shape == (2,) and np.isnan(found).all()


def test_the_mean_off_the_diagonal():
    matrices = np.random.default_rng(0).normal(size=(2, 3, 4, 4))
    off = ~np.eye(4, dtype=bool)
    assert np.allclose(mean_off_diagonal(matrices), matrices[..., off].mean(axis=-1))
    assert np.isnan(mean_off_diagonal([[1.0]]))


@given(seeds, st.integers(1, 5), st.integers(2, 60), st.integers(1, 70), st.floats(-1e3, 1e3))
def test_correlation_is_numpy_s_whatever_the_chunk(seed, n, length, chunk, offset):
    rows = np.random.default_rng(seed).standard_normal((n, length)) + offset
    # float64, centred from up to 1e3: three of sixteen digits are lost
    assert np.allclose(correlation(rows, chunk=chunk), np.corrcoef(rows), rtol=0, atol=1e-9)


@pytest.mark.parametrize("value", [0.0, 0.1, -7.3])
@pytest.mark.parametrize("chunk", [1, 2, 100])
def test_a_constant_row_is_correlated_with_itself_only(value, chunk):
    rows = [np.full(7, value), np.arange(7.0) ** 2, np.full(7, 0.7)]
    assert np.array_equal(correlation(rows, chunk=chunk), np.eye(3))


def test_correlation_reads_files_and_one_precision_is_enough(tmp_path):
    rows = np.random.default_rng(0).standard_normal((3, 1000)).astype(np.float32)
    for i, row in enumerate(rows):
        np.save(tmp_path / f"{i}.npy", row)
    files = [np.load(tmp_path / f"{i}.npy", mmap_mode="r") for i in range(3)]
    found = correlation(files, chunk=99)
    assert found.dtype == np.float64
    assert np.allclose(found, np.corrcoef(rows.astype(float)), rtol=0, atol=1e-12)
