"""Intervals: against tables of Student's t, by their coverage, and where there is one seed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pysi import ConfigError, interval


# 0.975 quantiles of Student's t, from printed tables
@pytest.mark.parametrize(("n", "t"), [(2, 12.706), (3, 4.303), (5, 2.776), (10, 2.262)])
def test_the_half_width_is_t_times_the_standard_error(n, t):
    values = np.random.default_rng(n).normal(size=n)
    found = interval(values)
    half = t * values.std(ddof=1) / np.sqrt(n)
    assert found.mean == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - half, rel=1e-3, abs=1e-3 * half)
    assert found.high == pytest.approx(values.mean() + half, rel=1e-3, abs=1e-3 * half)
    assert found.n == n


def test_the_coverage_is_the_level():
    draws = np.random.default_rng(0).normal(3.0, 2.0, size=(4000, 4))
    for level in (0.5, 0.95):
        covered = [interval(row, level).within(-np.inf, np.inf) and
                   interval(row, level).low < 3.0 < interval(row, level).high
                   for row in draws]  # fmt: skip
        spread = np.sqrt(level * (1 - level) / len(draws))
        assert abs(np.mean(covered) - level) < 4 * spread


def test_one_seed_carries_no_verdict():
    found = interval([0.7])
    assert not found.above(-1e9)
    assert not found.below(1e9)
    assert not found.within(-np.inf, np.inf)
    assert found.lies() is found.lies(0.9) is found.lies(high=0.1) is None
    assert str(found) == "0.7000 (one seed)"


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=9), st.floats(-1, 1))
def test_a_shift_of_all_seeds_shifts_the_interval(values, shift):
    found, moved = interval(values), interval(np.array(values) + shift)
    assert moved.low == pytest.approx(found.low + shift, abs=1e-9)
    assert moved.high == pytest.approx(found.high + shift, abs=1e-9)
    assert found.low <= found.mean <= found.high


def test_what_a_seed_does_to_both_methods_cancels():
    seeds = np.random.default_rng(1).normal(size=10)
    better, worse = seeds + 0.1, seeds + 1e-3 * np.arange(10)
    assert interval(better - worse).above(0)
    assert interval(better).low < interval(worse).high  # the two intervals overlap widely


def test_where_an_interval_lies():
    found = interval([0.1, 0.2, 0.3])  # -0.05 to 0.45
    assert found.lies(-0.1, 0.5) is found.lies(-0.1) is found.lies(high=0.5) is True
    assert found.lies(0.5) is found.lies(high=-0.1) is found.lies(0.5, 0.9) is False
    assert found.lies(0.0) is found.lies(high=0.2) is found.lies(0.0, 0.2) is None


@pytest.mark.parametrize("values", [[], [[0.1, 0.2]], [0.1, np.nan], 0.3, [np.inf, 1]])
def test_what_is_no_list_of_numbers_is_refused(values):
    with pytest.raises(ConfigError, match="values: expected finite numbers, one per seed"):
        interval(values)


@pytest.mark.parametrize("level", [0, 1, 95, "0.9", np.nan, True])
def test_a_level_that_is_none_is_refused(level):
    with pytest.raises(ConfigError, match="level: expected a number between 0 and 1"):
        interval([0.1, 0.2], level)
