"""The Python of the page of the two loss surfaces: `docs/_static/play/surfaces.py`."""

import re
from functools import cache

import numpy as np
import pytest

import play_surfaces_still
import pysi
import surfaces
import two_tasks

ONE = int(abs(surfaces.STRENGTHS - 1).argmin())


@cache
def run(**settings):
    """The paths, (task) → (R, moments, 2), and what is told at the end."""
    *parts, told = surfaces.learn(**settings)
    paths = [
        np.concatenate([part["theta"] for part in parts if part["task"] == task], axis=1)
        for task in (0, 1)
    ]
    return paths, told


def notebook_1(c, turn=0.0, lr=0.05, steps=3000, xi=1e-3):
    """The path of notebook 1, step by step and by hand: task 1, then task 2 with the pull of c."""
    H = surfaces.hessians(turn)
    path, omega = [surfaces.START], np.zeros(2)
    for _ in range(steps):
        g = (path[-1] - surfaces.BEST[0]) @ H[0]
        omega += g * lr * g
        path.append(path[-1] - lr * g)
    t1 = path[-1]
    Omega = omega / ((t1 - surfaces.START) ** 2 + xi)
    for _ in range(steps):
        g = (path[-1] - surfaces.BEST[1]) @ H[1] + 2 * c * Omega * (path[-1] - t1)
        path.append(path[-1] - lr * g)
    return np.array(path), omega, Omega


def endpoint(c, Omega, theta_ref, turn=0.0):
    """Where task 2 ends if it is learned long enough: the closed form of notebook 1."""
    H, pull = surfaces.hessians(turn)[1], np.diag(2 * c * Omega)
    return np.linalg.solve(H + pull, H @ surfaces.BEST[1] + pull @ theta_ref)


@pytest.mark.parametrize("k", [0, ONE])
def test_the_paths_are_those_of_notebook_1(k):
    (first, second), told = run()
    path, omega, Omega = notebook_1(surfaces.STRENGTHS[k])
    moments = np.array(sorted(surfaces.moments(3000)))
    assert np.allclose(first[k], path[moments], atol=1e-9)
    assert np.allclose(second[k], path[3000 + moments], atol=1e-9)
    assert np.allclose(told["memory"]["omega"], omega)
    assert np.allclose(told["memory"]["Omega"], Omega)


def test_every_strength_ends_where_the_formula_says():
    _, told = run()
    memory = told["memory"]
    stable = [k for k, end in enumerate(told["ends"]) if end]
    assert len(stable) > 40
    for k in stable:
        predicted = endpoint(surfaces.STRENGTHS[k], memory["Omega"], memory["theta_ref"])
        assert np.allclose(told["ends"][k][:2], predicted, atol=1e-3)


def test_losses_are_those_of_both_quadratics():
    H, theta = surfaces.hessians(30), np.array([0.3, -0.2])
    old, new = (
        0.5 * (theta - best) @ h @ (theta - best) for best, h in zip(surfaces.BEST, H, strict=True)
    )
    assert np.allclose(two_tasks.losses(theta, H), [old, new, old + new])
    nudged = [
        two_tasks.losses(two_tasks.joint(H) + d, H)[2] for d in 1e-3 * np.array([[1, 0], [0, 1]])
    ]
    assert min(nudged) > two_tasks.losses(two_tasks.joint(H), H)[2]


@pytest.mark.parametrize("turn", [0, 45])
def test_the_fisher_information_is_the_curvature_and_c_is_lambda(turn):
    _, told = run(rule="ewc", turn=turn)
    curvature = np.diag(surfaces.hessians(turn)[0])
    assert np.allclose(told["memory"]["Omega"], curvature)
    theta = told["memory"]["theta_ref"]
    predicted = endpoint(1.0, curvature / 2, theta, turn)  # λ/2 F with λ = c = 1
    assert np.allclose(told["ends"][ONE][:2], predicted, atol=1e-3)
    # at 0° the Hessian is diagonal, so that EWC at its natural strength is joint training
    assert np.allclose(predicted, told["joint"][:2], atol=1e-3) == (turn == 0)


def test_the_surrogate_is_a_parabola_through_the_old_weights():
    for rule, unit in (("si", 1.0), ("ewc", 0.5)):
        memory = run(rule=rule, turn=20)[1]["memory"]
        for k in (0, 1):
            x, truth, parabola = memory["slices"][k]
            change = (x - memory["theta_ref"][k]) ** 2
            assert np.allclose(parabola - memory["after"][0], unit * memory["Omega"][k] * change)
            assert np.allclose(np.diff(truth, 2) / (x[1] - x[0]) ** 2, 2 * memory["half"][k])


@pytest.mark.parametrize("rule", surfaces.RULES)
def test_a_run_is_reproduced_to_the_bit(rule):
    once, again = (run.__wrapped__(rule=rule, noise=0.1, steps=60) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(once[0], again[0], strict=True))
    assert once[1]["says"] == again[1]["says"]


def test_without_a_rule_all_strengths_are_the_network_without_consolidation():
    free, told = run(rule="fine-tuning", steps=200)
    assert (free[1] == free[1][0]).all()
    assert np.array_equal(free[1][0], run(steps=200)[0][1][0])
    assert len(set(told["says"])) == 1


def test_the_noise_is_the_same_for_all_networks_and_rules():
    (si, _), (ewc, _), (quiet, _) = (
        run(noise=0.2, steps=50)[0], run(rule="ewc", noise=0.2, steps=50)[0], run(steps=50)[0],
    )  # fmt: skip
    assert (si == si[0]).all() and np.array_equal(si, ewc)
    assert not np.allclose(si, quiet, atol=0.01)


ENDS = [
    {name: end} for name in ("turn", "lr", "noise") for end in surfaces.RANGES[name]
] + [{"turn": 90, "lr": 1.2, "noise": 0.5}, {"turn": 45, "lr": 0.8, "noise": 0.5}]  # fmt: skip


@pytest.mark.parametrize("settings", ENDS, ids=str)
@pytest.mark.parametrize("rule", surfaces.RULES)
def test_at_the_ends_of_the_sliders_all_is_finite_or_said(rule, settings):
    paths, told = run(rule=rule, steps=400, **settings)
    assert all(np.isfinite(path).all() and abs(path).max() <= surfaces.FAR for path in paths)
    for end, said in zip(told["ends"], told["says"], strict=True):
        assert said and "nan" not in said and "inf" not in said
        assert (end is None) == ("overshoot" in said or "too large" in said)
        assert end is None or np.isfinite(end).all()
    for value in (told["memory"] or {}).values():
        assert value is None or np.isfinite(value).all()


def test_the_cap_is_where_the_formula_says():
    _, told = run()
    H, Omega = surfaces.hessians()[1], told["memory"]["Omega"]
    for k, c in enumerate(surfaces.STRENGTHS):
        stable = 0.05 * np.linalg.eigvalsh(H + np.diag(2 * c * Omega)).max() < 2
        assert (told["ends"][k] is not None) == stable


def test_a_path_that_overshoots_leaves_the_picture_and_ends_there():
    (_, second), told = run(noise=0.5)
    assert told["ends"][-1] is None
    far = abs(second[-1]).max(axis=-1) == surfaces.FAR
    first = int(far.argmax())
    assert far[first:].all() and (second[-1, first:] == second[-1, first]).all()


def test_the_still_picture_is_what_the_page_shows_first():
    number = re.compile(r"-?\d+\.?\d*")
    drawn, stored = (
        play_surfaces_still.picture(),
        play_surfaces_still.PICTURE.read_text(encoding="utf-8"),
    )
    assert number.sub("", drawn) == number.sub("", stored), "run python docs/play_surfaces_still.py"
    numbers = [np.array(number.findall(each), float) for each in (drawn, stored)]
    assert np.allclose(*numbers, atol=0.11)  # of coordinates in pixels
    assert len(stored) < 60_000


def says(c=1.0, **settings):
    """What is said with this strength."""
    return run(**settings)[1]["says"][int(abs(surfaces.STRENGTHS - c).argmin())]


def test_what_is_said_of_the_settings_that_the_page_proposes():
    assert "catastrophic forgetting" in says(0.0)
    assert "as low as training on both tasks at once" in says(1.0)
    assert "By Ω, θ₂ matters 21 times as much as θ₁." in says(1.0)
    turned = says(1.0, turn=45)
    assert "worse than none" in turned and "one number per synapse" in turned
    assert "Little is forgotten" in says(0.0, turn=45)
    assert "squared noise" in says(1.0, noise=0.2)
    assert "squared noise" not in says(1.0, noise=0.2, rule="ewc")
    assert "smaller c" in says(100.0)
    assert "Choose a smaller learning rate" in says(1.0, lr=1.2)
    assert "After 20 steps task 1 still has a loss" in says(1.0, steps=20)


def test_the_parts_are_small_and_in_order():
    *parts, told = surfaces.learn(steps=300)
    assert [part["task"] for part in parts] == sorted(part["task"] for part in parts)
    assert max(np.diff([part["step"] for part in parts if part["task"] == 0])) <= 40
    assert parts[-1]["step"] == 300 and "theta" not in told


def test_the_page_begins_and_goes_on():
    first = surfaces.begin(None, steps=300)
    second = surfaces.more(None)
    assert second["step"] > first["step"] and second["task"] == first["task"] == 0
    assert surfaces.begin(None, rule="ewc", steps=300)["step"] == first["step"]


@pytest.mark.parametrize(
    "settings",
    [{"rule": "magic"}, {"rule": 3}, {"turn": 91}, {"turn": "east"}, {"lr": 0}, {"lr": np.nan},
     {"noise": -0.1}, {"noise": np.inf}, {"steps": 0}],
    ids=str,
)  # fmt: skip
def test_nonsense_is_refused_before_any_work(settings):
    (name,) = settings
    with pytest.raises(pysi.ConfigError, match=f"{name}: expected"):
        surfaces.begin(None, **settings)


def test_what_the_page_is_told_fits_the_settings():
    about = surfaces.describe(None)
    assert about["defaults"]["rule"] in [rule["name"] for rule in about["rules"]]
    for name, (least, most) in about["ranges"].items():
        assert least <= about["defaults"][name] <= most
    assert (min(about["rates"]), max(about["rates"])) == about["ranges"]["lr"]
    assert (about["strengths"][0], about["strengths"][-1]) == pytest.approx(about["ranges"]["c"])
    assert len(about["rules"]) <= 7
