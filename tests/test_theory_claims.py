"""The table of `pysi theory`: it passes, and it can fail."""

import numpy as np
import pytest

from pysi.cli import main
from pysi.theory import claims, curvature, importance, ledger, normalization, paths
from pysi.theory.checks import compare, table


@pytest.mark.parametrize("seed", range(5))
def test_every_claim_holds(seed):
    checks = claims.run(seed)
    assert [check.what for check in checks if not check.passed] == []
    named = {number for check in checks for number in check.equation.split(", ")}
    assert named == {str(n) for n in range(1, 15)} | {"Sec. 4"}
    assert len(table(checks).splitlines()) == len(checks) + 1


def twice(function):
    return lambda *args, **kwargs: 2 * function(*args, **kwargs)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (importance, "Q_flow"),
        (importance, "Q_descent"),
        (importance, "Q_lyapunov"),
        (importance, "Q_mean"),
        (importance, "Q_monte_carlo"),
        (importance, "Q_rank_one"),
        (normalization, "Omega_descent"),
        (normalization, "Omega_per_parameter"),
        (normalization, "Omega_whole_movement"),
        (normalization, "ratio_of_means"),
        (curvature, "hessian_diagonal"),
        (curvature, "gauss_newton_diagonal"),
        (paths, "covariance_diagonal"),
    ],
)
def test_a_wrong_factor_fails_the_table(module, name, monkeypatch, capsys):
    monkeypatch.setattr(module, name, twice(getattr(module, name)))
    assert main(["theory"]) == 1
    assert "FAIL" in capsys.readouterr().out


@pytest.mark.parametrize("wrong", [(2, 1), (1, 0.5)])
def test_a_wrong_split_of_the_step_fails_the_table(wrong, monkeypatch):
    right = ledger.own_rate
    monkeypatch.setattr(
        ledger,
        "own_rate",
        lambda *args: tuple(np.multiply(a, b) for a, b in zip(right(*args), wrong, strict=True)),
    )
    assert [check.what for check in claims.run() if not check.passed]


@pytest.mark.smoke
def test_the_command_prints_the_table(capsys):
    assert main(["theory"]) == 0
    printed = capsys.readouterr().out
    assert "FAIL" not in printed
    assert "½σ²H" in printed
    assert main(["theory", "--seed", "-1"]) == 2


def test_a_measurement_that_is_not_a_number_fails():
    assert not compare("1", "", [1.0, 2.0], [1.0, np.nan]).passed
    assert compare("1", "", [1.0, 2.0], [1.0, 2.0]).passed
    row = compare("1", "", [1.0, 4.0], [1.1, 4.2], 0.06)
    assert (row.predicted, row.measured) == (4.0, 4.2)
    assert row.passed
