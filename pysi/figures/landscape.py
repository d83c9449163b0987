"""The landscape: every method in every scenario, as dots with error bars."""

from typing import TYPE_CHECKING, Any

from pysi.experiments.course import FAMILIES
from pysi.experiments.machine import require
from pysi.experiments.methods import METHODS
from pysi.figures.style import PALETTE, averaged, look_of, styled
from pysi.metrics import sem

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def without_strength(label: str) -> str:
    """Return a method's label without the part that says its strength."""
    return ", ".join(part for part in label.split(", ") if "{" not in part)


@styled
def figure_landscape(overview: Any) -> "Figure":
    """Draw the average accuracy of every method, a panel per scenario.

    Parameters
    ----------
    overview : Overview
        What `pysi landscape` has found.

    Returns
    -------
    matplotlib.figure.Figure
        Small dots are seeds, large ones their mean with SEM bars. Methods are grouped by family.
        The dashed line is chance, the dotted one the mean of learning all tasks at once. All panels
        together are 7 inches wide.
    """
    names, methods = list(overview.scenarios), overview.methods()
    families = [METHODS[name].family for name in methods]
    places, y = [], 0.0
    for i, family in enumerate(families):
        y += 1.6 if i and family != families[i - 1] else 1.0
        places.append(y)
    size = (min(7, 3.2 * len(names) + 2.2), 0.25 * y + 1.2)
    fig = require("matplotlib.figure").Figure(figsize=size, layout="constrained")
    axes = fig.subplots(1, len(names), sharey=True, squeeze=False)[0]
    shown, counts = list(dict.fromkeys(families)), []
    for ax, scenario in zip(axes, names, strict=True):
        rows, chance = overview.rows(scenario), overview.scenarios[scenario]["chance"]
        look = PALETTE["chance"]
        ax.axvline(chance, color=look.colour, ls=look.line, lw=1, label="chance")
        if "joint" in rows:
            best = overview.accuracy(scenario, "joint").mean()
            ax.axvline(best, color=PALETTE["joint"].colour, ls=":", lw=1, label="all tasks at once")
        for name, place in zip(methods, places, strict=True):
            if name not in rows:
                ax.text(chance, place, "  does not fit", va="center", fontsize=8, color="0.4")
                continue
            values, look = overview.accuracy(scenario, name), look_of(name)
            counts.append(len(values))
            ax.plot(values, [place] * len(values), ".", ms=3, color=look.colour, alpha=0.35)
            error = sem(values) if len(values) > 1 else None
            ax.errorbar(values.mean(), place, xerr=error, color=look.colour, marker=look.marker,
                        ms=5, capsize=2, zorder=3)  # fmt: skip
        ax.set(title=f"{scenario}-incremental", xlim=(max(0.0, chance - 0.06), 1.02))
        ax.grid(axis="x", lw=0.4, color="0.85")
        ax.spines[["top", "right"]].set_visible(False)
    labels = [without_strength(METHODS[name].label) for name in methods]
    axes[0].set(yticks=places, yticklabels=labels, ylim=(y + 0.7, 0.3))
    for family in shown:
        axes[-1].annotate(
            FAMILIES[family], (1.03, places[families.index(family)]), va="center", fontsize=9,
            xycoords=("axes fraction", "data"), color="0.3",
        )  # fmt: skip
    measure = "Test accuracy over all tasks, after the last one"
    fig.supxlabel(averaged(measure, counts, "SEM"), fontsize=10)
    fig.legend(
        *axes[0].get_legend_handles_labels(), loc="outside upper right", ncols=2, frameon=False
    )
    return fig
