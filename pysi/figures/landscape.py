"""The landscape: every method in every scenario, as dots with error bars."""

from typing import TYPE_CHECKING, Any

from pysi.experiments.course import FAMILIES
from pysi.experiments.machine import require
from pysi.experiments.methods import METHODS
from pysi.figures.style import COLOURS
from pysi.metrics import sem

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
        The dashed line is chance, the dotted one the mean of learning all tasks at once.
    """
    names, methods = list(overview.scenarios), overview.methods()
    families = [METHODS[name].family for name in methods]
    places, y = [], 0.0
    for i, family in enumerate(families):
        y += 1.6 if i and family != families[i - 1] else 1.0
        places.append(y)
    size = (3.2 * len(names) + 2.2, 0.25 * y + 1.0)
    fig = require("matplotlib.figure").Figure(figsize=size, layout="constrained")
    axes = fig.subplots(1, len(names), sharey=True, squeeze=False)[0]
    shown = list(dict.fromkeys(families))
    for ax, scenario in zip(axes, names, strict=True):
        rows, chance = overview.rows(scenario), overview.scenarios[scenario]["chance"]
        ax.axvline(chance, color="0.4", ls="--", lw=1, label="chance")
        if "joint" in rows:
            best = overview.accuracy(scenario, "joint").mean()
            ax.axvline(best, color="0.4", ls=":", lw=1.2, label="all tasks at once")
        for name, place, family in zip(methods, places, families, strict=True):
            if name not in rows:
                ax.text(chance, place, "  does not fit", va="center", fontsize=7, color="0.5")
                continue
            values, colour = overview.accuracy(scenario, name), COLOURS[shown.index(family) % 6]
            ax.plot(values, [place] * len(values), ".", ms=3, color=colour, alpha=0.35)
            error = sem(values) if len(values) > 1 else None
            ax.errorbar(
                values.mean(), place, xerr=error, fmt="o", ms=5, color=colour, capsize=2, zorder=3
            )  # fmt: skip
        ax.set(title=f"{scenario}-incremental", xlim=(max(0.0, chance - 0.06), 1.02))
        ax.grid(axis="x", lw=0.4, color="0.85")
        ax.spines[["top", "right"]].set_visible(False)
    labels = [METHODS[name].label.partition(", c")[0] for name in methods]
    axes[0].set(yticks=places, yticklabels=labels, ylim=(y + 0.7, 0.3))
    for family in shown:
        first = places[families.index(family)]
        axes[-1].annotate(
            FAMILIES[family], (1.02, first), xycoords=("axes fraction", "data"), va="center",
            fontsize=8, color=COLOURS[shown.index(family) % 6],
        )  # fmt: skip
    fig.supxlabel("Average test accuracy over all tasks, after the last one", fontsize=10)
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower right", ncols=2,
               fontsize=8, frameon=False)  # fmt: skip
    return fig
