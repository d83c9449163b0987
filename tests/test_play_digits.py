"""The Python of the page where networks learn to read digits: `docs/_static/play/digits.py`."""

import re
from pathlib import Path

import numpy as np
import pytest

import digits
import ink
import play_digits_still
import pysi
import two_networks
from pysi.experiments.palette import colour


def silent(part):
    """Nobody is told."""


def taught(n, c=1.0, **settings):
    """A page on which n pairs of digits have been learned."""
    digits.start(silent, **settings)
    return [digits.learn(silent, c) for _ in range(n)][-1]


def painted(image, scale, top, left, side=140):
    """An image as it is on the canvas, enlarged and at another place."""
    canvas = np.zeros((side, side))
    large = np.kron(image.reshape(28, 28), np.ones((scale, scale)))
    canvas[top : top + len(large), left : left + len(large)] = large
    return canvas


class TestInk:
    def test_an_image_of_mnist_stays_as_it_is(self):
        for image in pysi.load_dataset("mnist-5k").x_test[::50]:
            found = ink.centred(image).astype(int)
            assert abs(found - image).max() <= 1  # the darkest pixel of some is 254

    @pytest.mark.parametrize("scale, top, left", [(2, 0, 84), (3, 50, 10), (5, 0, 0)])
    def test_size_and_place_of_a_drawing_do_not_matter(self, scale, top, left):
        image = pysi.load_dataset("mnist-5k").x_test[321]
        found = ink.centred(painted(image, scale, top, left)).astype(int)
        assert abs(found - image).max() <= 1

    def test_a_drawing_is_read_as_the_image_was(self):
        taught(2, readout="own")
        for task in digits.session.tasks[:2]:
            read = digits.session.net.predict(task.x_test, task.active)
            shrunk = np.stack([ink.centred(painted(x, 4, 13, 25)[::3, ::3]) for x in task.x_test])
            again = digits.session.net.predict(shrunk, task.active)
            assert (read == again).mean() > 0.95  # thinned to 4/3 of its size

    def test_a_line_fits_into_the_box(self):
        canvas = np.zeros((140, 140))
        canvas[10:130, 40:46] = 255
        found = ink.centred(canvas).reshape(28, 28)
        rows, columns = np.flatnonzero(found.sum(axis=1)), np.flatnonzero(found.sum(axis=0))
        assert np.ptp(rows) + 1 == 20 and np.ptp(columns) + 1 <= 2 and found.max() == 255
        assert rows[0] == 4 and columns[0] in (13, 14)

    def test_what_lies_to_one_side_stays_inside(self):
        canvas = np.zeros((140, 140))
        canvas[20:120, 20:120] = 1  # faint on the right, dark at the left edge
        canvas[20:120, 20:24] = 255
        found = ink.centred(canvas).reshape(28, 28)
        assert found[:, 8].any() and (found.sum(axis=0) > 0).sum() == 20

    @pytest.mark.parametrize("drawing", [
        np.zeros((28, 28)), [], [1, 2, 3], [1, 2, 3, np.nan], [-1, 2, 3, 4], "abcd", None, [[1], []]
    ])  # fmt: skip
    def test_no_drawing(self, drawing):
        with pytest.raises(pysi.ConfigError, match="^drawing: expected .*, found "):
            ink.centred(drawing)


class TestLearning:
    def test_both_networks_agree_until_there_is_something_to_forget(self):
        for rule in digits.RULES:
            taught(1, c=digits.RULES[rule].c, rule=rule)
            theta = digits.session.net.synapses.theta
            assert np.array_equal(theta[0], theta[1])
            digits.learn(silent, digits.RULES[rule].c)
            assert not np.array_equal(theta[0], digits.session.net.synapses.theta[1])

    @pytest.mark.parametrize("seed", [0, 1])
    def test_consolidation_keeps_the_old_task(self, seed):
        (free, held), (new_free, new_held) = taught(2, seed=seed)["accuracy"]
        assert free < 0.9 and held > free + 0.1
        assert new_free > 0.93 and new_held > 0.9

    def test_a_strength_that_is_too_large(self):
        (_, old), (free, new) = taught(2, c=digits.RULES["si"].strengths[-1])["accuracy"]
        assert old > 0.97 and new < free - 0.2

    def test_without_strength_both_are_the_same(self):
        for free, held in taught(2, c=0)["accuracy"]:
            assert free == held

    @pytest.mark.parametrize("readout, rule", [("own", "si"), ("shared", "ewc"), ("own", "mas")])
    def test_it_is_training_as_in_the_package(self, readout, rule):
        c = digits.RULES[rule].c
        found = taught(2, c, readout=readout, rule=rule, seed=3)["accuracy"]
        tasks = two_networks.in_scenario(digits.pairs(), digits.READOUTS[readout][0])
        net = pysi.MLP(
            [784, two_networks.HIDDEN, len(tasks[0].active)], zero_readout=True, seed=[3, 3]
        )
        history = pysi.train(
            net, pysi.Adam(two_networks.RATE), digits.RULES[rule].rule(c=[0, c]), tasks[:2],
            epochs=two_networks.EPOCHS, batch_size=two_networks.BATCH, threads=1,
        )  # fmt: skip
        assert np.array_equal(history.test_accuracy[:, 1].T, found)

    def test_progress(self):
        parts = []
        digits.start(silent)
        digits.learn(silent, 1)
        summary = digits.learn(parts.append, 1)
        assert [part["task"] for part in parts] == [1] * len(parts)
        assert [part["step"] for part in parts] == list(range(0, parts[-1]["steps"] + 1, 5))
        assert parts[-1]["accuracy"] == summary["accuracy"]
        assert not parts[0]["omega"].any() and parts[-1]["omega"].max() > 0

    def test_a_task_is_taken_back(self):
        once = taught(2, c=0.1)
        again = digits.back(silent)
        assert again["learned"] == 1 and again["digits"] == [2, 3] and len(again["accuracy"]) == 1
        stronger = digits.learn(silent, 10)
        assert stronger["accuracy"][0][1] > once["accuracy"][0][1]
        assert [free for free, _ in stronger["accuracy"]] == [free for free, _ in once["accuracy"]]
        digits.back(silent)
        assert digits.learn(silent, 0.1)["accuracy"] == once["accuracy"]

    def test_the_same_clicks_give_the_same_numbers(self):
        found = digits.learn_headless(silent, c=1.0, tasks=2, seed=1)
        assert found == taught(2, seed=1)["accuracy"]
        assert found != taught(2, seed=2)["accuracy"]

    def test_all_five_and_no_more(self):
        summary = taught(5)
        assert summary["digits"] == [] and len(summary["accuracy"]) == 5
        before = digits.session.net.synapses.theta.copy()
        with pytest.raises(pysi.ConfigError, match="task: expected .* all 5 are learned"):
            digits.learn(silent, 1)
        with pytest.raises(pysi.ConfigError, match="digit: expected .* left to learn, found none"):
            digits.keep(silent, digits.pairs()[0].x_test[0], 0)
        assert np.array_equal(before, digits.session.net.synapses.theta)

    @pytest.mark.parametrize("settings, name", [
        ({"rule": "sgd"}, "rule"), ({"readout": "both"}, "readout"), ({"seed": -1}, "seed"),
        ({"seed": 0.5}, "seed"),
    ])  # fmt: skip
    def test_settings_that_are_none(self, settings, name):
        with pytest.raises(pysi.ConfigError, match=f"^{name}: expected .*, found "):
            digits.start(silent, **settings)

    @pytest.mark.parametrize("c", [-1, np.inf, np.nan, "much", None])
    def test_a_strength_that_is_none(self, c):
        digits.start(silent)
        with pytest.raises(pysi.ConfigError, match="^c: expected a finite strength c ≥ 0"):
            digits.learn(silent, c)
        assert digits.session.net.learned == 0 and not digits.session.before

    def test_nothing_to_take_back(self):
        digits.start(silent)
        with pytest.raises(pysi.ConfigError, match="task: expected one to take back, found none"):
            digits.back(silent)

    def test_a_run_that_is_interrupted_leaves_the_networks_as_they_were(self):
        taught(1)
        before = digits.session.net.synapses.theta.copy()

        def interrupted(part):
            if part["step"] > 10:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            digits.learn(interrupted, 1)
        assert digits.session.net.learned == 1
        assert np.array_equal(before, digits.session.net.synapses.theta)


class TestWhatIsShown:
    def test_answers(self):
        digits.start(silent)
        zero = digits.pairs()[0].x_test[0]
        assert digits.see(silent, zero)["answers"] == []
        taught(2)
        (answer,) = digits.see(silent, zero)["answers"]
        assert answer["question"] == "even or odd" and answer["words"] == ["even", "odd"]
        assert np.allclose(np.sum(answer["p"], axis=1), 1)
        assert answer["p"][1][0] > 0.5  # the network with consolidation still knows it

    def test_answers_of_each_readout(self):
        taught(2, readout="own")
        two = digits.pairs()[1].x_test[0]
        found = digits.see(silent, two)
        assert np.array_equal(found["image"].ravel(), ink.centred(two))
        assert [answer["question"] for answer in found["answers"]] == ["0 or 1", "2 or 3"]
        assert all(p[0] > 0.5 for p in found["answers"][1]["p"])

    def test_importance_is_that_of_the_first_layer(self):
        summary = taught(1)
        table = digits.session.net.synapses
        assert np.allclose(summary["Omega"].sum(), table.group("dense1.W").Omega[1].sum())
        assert not summary["Omega"][0].any()  # the upper edge is always paper
        image = summary["Omega"]
        largest = np.sort(image.ravel())[::-1][: round(summary["half"] * 784)]
        assert largest.sum() >= image.sum() / 2 > largest[:-1].sum()
        assert 0.05 < summary["half"] < 0.4
        assert digits.start(silent)["half"] == 0

    def test_sentences(self):
        summary = taught(2)
        shares = [two_networks.percent(share) for share in summary["accuracy"][0]]
        assert summary["sentences"][0] == (
            f"Of the 0s and 1s, {shares[0]} are still read correctly without consolidation, and "
            f"{shares[1]} with SI."
        )
        assert "still" not in summary["sentences"][1]  # the newest pair
        assert [two_networks.percent(x) for x in (0.685, 0.5, 1)] == ["69 %", "50 %", "100 %"]

    def test_colours_are_those_of_the_palette(self):
        told = digits.describe(silent)
        assert told["look"]["free"] == colour("fine-tuning")
        assert {rule["name"]: rule["colour"] for rule in told["rules"]}["si"] == colour("si")
        assert all(rule["c"] in rule["strengths"] for rule in told["rules"])

    def test_examples_are_of_tasks_up_to_the_next(self):
        digits.start(silent)
        assert {int(digits.example(silent, i)["digit"]) for i in range(40)} == {0, 1}
        digits.learn(silent, 1)
        found = [digits.example(silent, i) for i in range(40)]
        assert {int(each["digit"]) for each in found} == {0, 1, 2, 3}
        assert np.array_equal(digits.example(silent, 400)["image"], found[0]["image"])
        with pytest.raises(pysi.ConfigError, match="number"):
            digits.example(silent, -1)


class TestOwnDigits:
    def test_they_take_part(self):
        """Images of 1 that are called 0 are learned as 0, if they are shown."""
        digits.start(silent)
        one = digits.pairs()[0].x_test[150]
        assert digits.pairs()[0].y_test[150] == 1
        assert taught(1)["own"] == []
        assert digits.see(silent, one)["answers"][0]["p"][0][0] < 0.2
        digits.start(silent)
        assert digits.keep(silent, one, 0)["own"][0].keys() == {"digit", "image"}
        summary = digits.learn(silent, 1)
        assert digits.see(silent, one)["answers"][0]["p"][0][0] > 0.5
        assert summary["own"][0]["right"] == [True, True]
        assert np.array_equal(summary["own"][0]["image"].ravel(), ink.centred(one))

    def test_they_are_tested_after_later_tasks(self):
        digits.start(silent, readout="own")
        for digit, place in ((0, 0), (1, 150)):
            digits.keep(silent, digits.pairs()[0].x_test[place], digit)
        digits.learn(silent, 1)
        summary = digits.learn(silent, 1)
        assert [entry["digit"] for entry in summary["own"]] == [0, 1]
        assert all(len(entry["right"]) == 2 for entry in summary["own"])
        assert len(digits.discard(silent, 0)["own"]) == 1

    def test_the_next_task_alone_takes_them(self):
        digits.start(silent)
        x = digits.pairs()[0].x_test[0]
        for digit in (2, 10, -1, "0", 0.5):
            with pytest.raises(pysi.ConfigError, match="^digit: expected .*, found "):
                digits.keep(silent, x, digit)
        with pytest.raises(pysi.ConfigError, match="drawing: expected some ink"):
            digits.keep(silent, np.zeros(784), 0)
        with pytest.raises(pysi.ConfigError, match="index: expected one of 0 drawings"):
            digits.discard(silent, 0)
        assert digits.session.kept == []


class TestWhatThePageSays:
    TEXT = (Path(two_networks.__file__).parents[2] / "play" / "digits.md").read_text("utf-8")

    def test_numbers(self):
        task = digits.pairs()[0]
        assert f"the training images, {two_networks.REPEATS} times" in self.TEXT
        sizes = f"({len(task.y_train)} per pair to learn from, and {len(task.y_test)} to test)"
        assert sizes in self.TEXT and f"{two_networks.HIDDEN} hidden units" in self.TEXT.replace(
            "\n", " "
        )
        assert f"c = {digits.RULES['si'].strengths[-1]:,.0f}" in self.TEXT
        assert 0.1 in digits.RULES["si"].strengths

    def test_the_first_two_tries(self):
        (free, held), _ = taught(2)["accuracy"]
        assert 0.65 < free < 0.8 and held > 0.95
        digits.back(silent)
        (_, weaker), _ = digits.learn(silent, 0.1)["accuracy"]
        assert free < weaker < held
        digits.back(silent)
        (_, old), (_, new) = digits.learn(silent, 1000)["accuracy"]
        assert old > 0.99 and new < 0.65

    def test_the_third_try(self):
        """One image of 1 that is called 0 is believed, and other 1s are still read correctly."""
        digits.start(silent)
        digits.keep(silent, digits.pairs()[0].x_test[150], 0)
        summary = digits.learn(silent, 1)
        assert summary["own"][0]["right"] == [True, True]
        assert min(summary["accuracy"][0]) > 0.9

    def test_with_output_units_of_their_own_little_is_lost_at_first(self):
        assert min(min(pair) for pair in taught(2, readout="own")["accuracy"]) > 0.95
        for _ in range(3):
            summary = digits.learn(silent, 1)
        assert min(free for free, _ in summary["accuracy"]) < 0.9

    def test_the_still_picture_shows_two_pairs(self):
        drawn, stored = play_digits_still.picture(), play_digits_still.PICTURE.read_text("utf-8")
        ends = [
            [float(line.split(",")[-1]) for line in re.findall('points="([^"]*)"', each)]
            for each in (drawn, stored)
        ]
        assert len(ends[0]) == 4  # two networks, two pairs
        assert np.allclose(*ends, atol=0.03 * play_digits_still.HEIGHT)
        words = [re.findall("<text[^>]*>([^<]*)", each) for each in (drawn, stored)]
        assert words[0] == words[1], "run python docs/play_digits_still.py"
        assert len(stored) < 80_000
