"""The palette: the same colour for the same thing, told apart by every reader; and text to read."""

import itertools

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.text import Text

import pysi
from pysi.experiments.course import FAMILIES
from pysi.experiments.methods import METHODS
from pysi.experiments.palette import PALETTE, SPARE, colour
from pysi.figures import figure3, figure4, figure5, figure6, figure_sweep, learning_curve, matrix
from pysi.figures.landscape import figure_landscape
from pysi.figures.style import STYLE, WIDTH, look_of, shades, use
from pysi.rules.mistakes import MISTAKES
from test_figures import PAPER, result
from test_figures_cifar import split_cifar
from test_figures_history import history, relative_luminance
from test_sweep import a_sweep

# Machado, Oliveira & Fernandes (2009), A physiologically-based model for simulation of color vision
# deficiency, IEEE TVCG 15(6), Table 1: severity 1.0, for linear RGB.
VISION = {
    "normal": np.eye(3),
    "protanopia": np.array([
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ]),
    "deuteranopia": np.array([
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ]),
}  # fmt: skip


def lab(hexadecimal, vision):
    """Return CIELAB (CIE 15:2004, white D65) of an sRGB colour (IEC 61966-2-1) as it is seen."""
    rgb = np.array(to_rgb(hexadecimal))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ])  # fmt: skip
    seen = np.clip(VISION[vision] @ linear, 0, 1)
    xyz = to_xyz @ seen / to_xyz.sum(axis=1)
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def nearest(colours, vision):
    """Return the smallest distance between two of these colours; 2.3 is just noticeable."""
    seen = [lab(one, vision) for one in colours]
    return min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2))


COLOURS = {look.colour for look in PALETTE.values()} - {colour("chance")}


@pytest.mark.parametrize("vision", VISION)
def test_colours_with_a_meaning_are_ten_times_as_far_apart_as_is_noticed(vision):
    assert nearest(COLOURS, vision) > 23


def test_the_simulation_finds_a_palette_of_red_and_green():
    pair = ("#d62728", "#2ca02c")
    assert nearest(pair, "normal") > 100 > 40 > nearest(pair, "deuteranopia")


@pytest.mark.parametrize("vision", VISION)
def test_spare_colours_differ_from_each_other(vision):
    assert nearest(SPARE, vision) > 10


def test_every_colour_is_seen_on_white():
    for one in {*COLOURS, *SPARE}:
        assert 1.05 / (relative_luminance(np.array(to_rgb(one))) + 0.05) > 2


def test_roles_of_one_meaning_share_a_colour_and_no_others_do():
    shared = {}
    for role, look in PALETTE.items():
        shared.setdefault(look.colour, []).append(role)
    assert [roles for roles in shared.values() if len(roles) > 1] == [
        ["si", "surrogate"], ["ewc", "fisher"], ["single", "joint", "exact"]
    ]  # fmt: skip


def test_methods_differ_without_any_colour():
    looks = [PALETTE[name][1:] for name in PALETTE if name in METHODS]
    assert len(set(looks)) == len(looks) == 10
    assert all(METHODS[name].look == PALETTE[name] for name in PALETTE if name in METHODS)


def test_a_role_that_the_palette_lacks_is_named():
    with pytest.raises(pysi.ConfigError, match="role: expected one of si, .*, found 'SI'"):
        colour("SI")


def test_an_order_goes_from_dark_to_light():
    light = [relative_luminance(rgb[:3]) for rgb in shades(12)]
    assert np.all(np.diff(light) > 0)


class Overview:
    """A landscape of all methods."""

    scenarios = {name: {"chance": 0.5} for name in ("task", "domain", "class")}

    def methods(self):
        return sorted(METHODS, key=lambda name: list(FAMILIES).index(METHODS[name].family))

    def rows(self, scenario):
        return self.methods()[: None if scenario == "task" else -1]

    def accuracy(self, scenario, method):
        return np.linspace(0.6, 0.9, 3)


TEN = [f"CIFAR-100, {k} to {k + 9}" for k in range(0, 100, 10)]
DRAWN = {
    "figure3": lambda: figure3(result(PAPER[1:4], tasks=5, experiment="split-mnist")),
    "figure3, every mistake": lambda: figure3(
        result([(name, 1.0) for name in MISTAKES], tasks=5, experiment="split-mnist")
    ),
    "figure4": lambda: figure4(result(tasks=10)),
    "figure5": lambda: figure5(result(tasks=10)),
    "figure6": lambda: figure6(split_cifar(tasks=11)),
    "sweep": lambda: figure_sweep(a_sweep({(1.0, 0.1): [0.2, 0.3], (2.0, 0.1): [0.5, 0.4]})),
    "landscape": lambda: figure_landscape(Overview()),
    "matrix": lambda: matrix(history(10, names=TEN)),
    "learning_curve": lambda: learning_curve(history(10, names=TEN, measures=["test_accuracy"])),
}


@pytest.mark.parametrize("name", DRAWN)
def test_text_can_be_read_when_projected_and_on_a_phone(name):
    fig = DRAWN[name]()
    FigureCanvasAgg(fig).draw()
    texts = [text for text in fig.findobj(Text) if text.get_text() and text.get_visible()]
    assert len(texts) > 5
    assert min(text.get_fontsize() for text in texts) >= 8
    assert fig.get_figwidth() <= 7 + 1e-9 and WIDTH < 7
    assert fig.legends or any(ax.get_legend() for ax in fig.axes) or name in ("figure5", "matrix")
    inside = fig.bbox.padded(1)  # pixels
    for text in texts:
        box = text.get_window_extent()
        on = [ax for ax in fig.axes if text in ax.xaxis.findobj(Text) + ax.yaxis.findobj(Text)]
        if not on or _on_axis(text, on[0]):
            assert inside.x0 <= box.x0 and box.x1 <= inside.x1, text
            assert inside.y0 <= box.y0 and box.y1 <= inside.y1, text


def _on_axis(text, ax):
    """Whether the text is a tick's that is shown: Matplotlib keeps some outside of the limits."""
    for axis in (ax.xaxis, ax.yaxis):
        low, high = sorted(axis.get_view_interval())
        for tick in axis.get_major_ticks():
            if text in (tick.label1, tick.label2):
                return low <= tick.get_loc() <= high
    return True


def test_the_landscape_draws_every_method_in_its_own_look():
    overview = Overview()
    ax = figure_landscape(overview).axes[0]
    assert len(ax.containers) == len(overview.methods())
    for container, name in zip(ax.containers, overview.methods(), strict=True):
        assert container[0].get_color() == look_of(name).colour
        assert container[0].get_marker() == look_of(name).marker
    for line in (line for line in ax.lines if line.get_label() == "chance"):
        assert list(line.get_xdata()) == [0.5, 0.5]
    assert not any("{" in text.get_text() for text in ax.get_yticklabels())


def test_a_notebook_takes_the_style_by_one_call():
    with matplotlib.rc_context():
        use()
        assert {name: matplotlib.rcParams[name] for name in STYLE} == STYLE
