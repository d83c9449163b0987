"""The palette: what a colour stands for, the same in every figure, notebook and page.

Where the paper names colours, they are followed, unless it contradicts itself. Figure 6 draws
training without consolidation in blue, consolidation in green and training from scratch in grey,
and Figure 2 the surrogate loss in green and the Hessian's in dashed purple. Figure 4 exchanges the
two (SI is blue and SGD green, though the text calls the line that forgets blue), so here it has the
colours of Figure 6. Its red dropout, the black arrow of joint training, the dotted line of a single
task and the black loss of Figure 2 are kept. Its grey EWC is orange here, since grey is training
from scratch. The text names no colours of Figure 3. All other colours are free choices.

The colours also differ for readers who see no red (protanopia) or no green (deuteranopia), and
markers and lines tell the curves apart without any colour.
"""

from typing import NamedTuple

from pysi.errors import ConfigError


class Look(NamedTuple):
    """How Matplotlib draws what has a role: colour, marker and style of the line."""

    colour: str
    marker: str = "o"
    line: str = "-"


PALETTE = {
    "si": Look("#00805a", "o"),
    "fine-tuning": Look("#1f5fd0", "^"),
    "ewc": Look("#fa9600", "s", "--"),
    "online-ewc": Look("#b3ad68", "D", "--"),
    "lwf": Look("#54300c", "p"),
    "replay": Look("#5fabe3", "d"),
    "dropout": Look("#d42f06", "v"),
    "scratch": Look("#b0b0b0", "X"),
    "single": Look("#000000", "P", ":"),
    "joint": Look("#000000", "*"),
    "chance": Look("#666666", "", "--"),
    "exact": Look("#000000", "", "-"),
    "surrogate": Look("#00805a", "o", "-"),
    "fisher": Look("#fa9600", "s", "--"),
    "hessian": Look("#6a2580", "h", "--"),
}
"""The look of every role, by name.

Methods have the names of `METHODS`. `surrogate` is what SI estimates (Ω, and the surrogate loss)
and has its colour; `fisher` is what EWC estimates and has its colour; `hessian` is the curvature.
`exact` is what is known without an estimate: a true loss, a formula, a prediction.
"""

SPARE = ("#d4569b", "#17a2b8", "#7a8b1f", "#0d3b66", "#c9a0dc")
"""Colours of methods that have no role."""
MARKERS = "h<>pdH8"
"""Their markers: together with the colours they tell 35 such methods apart."""


def colour(role: str) -> str:
    """Return the colour of a role; raise a ConfigError for a role that the palette lacks."""
    if role not in PALETTE:
        raise ConfigError(f"role: expected one of {', '.join(PALETTE)}, found {role!r}")
    return PALETTE[role].colour
