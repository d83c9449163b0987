"""The still picture of the page of digits: what it shows once two pairs are learned.

    python docs/play_digits_still.py

It writes docs/_static/play/digits.svg.
"""

import sys
from pathlib import Path

import numpy as np

from pysi.storage.files import atomic

PLAY = Path(__file__).parent / "_static" / "play"
sys.path.insert(0, str(PLAY))
import digits  # noqa: E402

PICTURE = PLAY / "digits.svg"
WIDTH, HEIGHT = 400, 110  # of a diagram
LEFT, TOP, GAP = 50, 34, 50
SIDE = 280  # of the image
INKS = (digits.LOOK["free"], digits.RULES["si"].colour)


def curves(parts, task):
    """Return the diagram of a task: the accuracy of both networks, and their names at its end."""
    at = [(part["task"] + part["step"] / part["steps"]) * WIDTH / 2 for part in parts]
    drawn = [f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white" stroke="#999"/>']
    drawn.append(f'<path d="M{WIDTH / 2} 0v{HEIGHT}" stroke="#ccc"/>')
    names = zip(("c = 0", "SI"), INKS, ("5 3", "none"), strict=True)
    for k, (name, ink, dash) in enumerate(names):
        known = [(x, p["accuracy"][task][k]) for x, p in zip(at, parts, strict=True)
                 if task < len(p["accuracy"])]  # fmt: skip
        points = " ".join(f"{x:.1f},{HEIGHT * (1 - accuracy):.1f}" for x, accuracy in known)
        drawn.append(f'<polyline points="{points}" fill="none" stroke="{ink}" stroke-width="2.5" '
                     f'stroke-dasharray="{dash}"/>')  # fmt: skip
        if task == 0:
            y = HEIGHT * (1 - known[-1][1]) + (14 if k == 0 else 5)
            drawn.append(f'<text x="{WIDTH + 6}" y="{y:.1f}" fill="{ink}">{name}</text>')
    for share, name in ((1, "100 %"), (0.5, "50 %"), (0, "0 %")):
        y = HEIGHT * (1 - share) + 5
        drawn.append(f'<text x="-6" y="{y:.1f}" text-anchor="end" font-size="13">{name}</text>')
    title = f'<text y="-9">{digits.pairs()[task].name}: test accuracy</text>'
    y = TOP + task * (HEIGHT + GAP)
    return f'<g transform="translate({LEFT} {y})">{title}{"".join(drawn)}</g>'


def importance(values):
    """Return Ω as an image of squares in the colours of the page."""
    stops = [[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in digits.LOOK["importance"]]
    size, drawn = SIDE / len(values), []
    for (row, column), share in np.ndenumerate(values / values.max()):
        if share > 0.02:
            shade = [np.interp(share, (0, 0.5, 1), channel) for channel in zip(*stops, strict=True)]
            ink = "#" + "".join(f"{round(value):02x}" for value in shade)
            drawn.append(f'<path d="M{column} {row}h1v1h-1z" fill="{ink}"/>')
    return (
        f'<g transform="translate({LEFT + WIDTH + 70} {TOP})"><text y="-9">Ω of the first layer'
        f'</text><rect width="{SIDE}" height="{SIDE}" fill="white" stroke="#999"/>'
        f'<g transform="scale({size:g})" shape-rendering="crispEdges">{"".join(drawn)}</g></g>'
    )


def picture():
    """Return the SVG: the accuracies on two pairs while both are learned, and Ω after them."""
    parts = []
    digits.start(parts.append)
    for _ in range(2):
        summary = digits.learn(parts.append, 1.0)
    drawn = "".join(curves(parts, task) for task in (0, 1)) + importance(summary["Omega"])
    names = [digits.pairs()[task].name for task in (0, 1)]
    for i, name in enumerate(names):
        x, y = LEFT + (i + 0.5) * WIDTH / 2, TOP + 2 * HEIGHT + GAP + 20
        drawn += f'<text x="{x}" y="{y}" text-anchor="middle">learns {name}</text>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + WIDTH + 80 + SIDE} '
        f'{TOP + SIDE + 20}" font-family="sans-serif" font-size="16">{drawn}</svg>\n'
    )


if __name__ == "__main__":
    with atomic(PICTURE, "w", encoding="utf-8") as file:
        file.write(picture())
    print(PICTURE)
