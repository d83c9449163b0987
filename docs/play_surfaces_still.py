"""The still picture of the page of the two loss surfaces: what it shows before Python is there.

    python docs/play_surfaces_still.py

It writes docs/_static/play/surfaces.svg. Lines of equal loss are ellipses, so the picture is small.
"""

import sys
from pathlib import Path

import numpy as np

from pysi.storage.files import atomic

PLAY = Path(__file__).parent / "_static" / "play"
PICTURE = PLAY / "surfaces.svg"
sys.path.insert(0, str(PLAY))
import surfaces  # noqa: E402

SCALE, GAP, TOP = 84, 30, 30
X0, X1, Y0, Y1 = surfaces.VIEW
WIDTH, HEIGHT = SCALE * (X1 - X0), SCALE * (Y1 - Y0)
LEVELS = np.arange(6.5, 0, -0.5)  # of √L, from the outermost to the floor


def at(theta):
    """Return where a point lies in its plane."""
    return SCALE * (theta[0] - X0), SCALE * (Y1 - theta[1])


def valley(task):
    """Return a task's lines of equal loss, filled with grey."""
    x, y = at(surfaces.BEST[task])
    angle = (0, surfaces.SECOND)[task]
    along, across = SCALE * np.sqrt(2 / np.array([surfaces.ALONG[task], surfaces.ACROSS]))
    rings = "".join(
        f'<ellipse rx="{level * along:.1f}" ry="{level * across:.1f}" '
        f'fill="hsl(0 0% {100 - 8 * level:g}%)" stroke="white"/>'
        for level in LEVELS
    )
    return f'<g transform="translate({x:.1f} {y:.1f}) rotate({-angle})">{rings}</g>'


def line(points, ink):
    """Return a path through these points, and its end as a dot."""
    places = [at(point) for point in points]
    shown = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    x, y = places[-1]
    return (
        f'<polyline points="{shown}" fill="none" stroke="{ink}" stroke-width="2.5"/>'
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="6" fill="{ink}" stroke="white"/>'
    )


def star(point):
    """Return a star."""
    angles = np.arange(10) * np.pi / 5
    radii = np.where(np.arange(10) % 2, 6, 14)
    (x, y), turned = at(point), np.stack([radii * np.sin(angles), -radii * np.cos(angles)], axis=-1)
    corners = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in turned)
    return f'<polygon points="{corners}" fill="white" stroke="black"/>'


def picture():
    """Return the SVG: both planes, and the paths of c = 0 and c = 1."""
    *parts, end = surfaces.learn()
    first, second = (
        np.concatenate([part["theta"] for part in parts if part["task"] == task], axis=1)
        for task in (0, 1)
    )
    one = int(abs(surfaces.STRENGTHS - 1).argmin())
    t1 = first[0, -1:]
    about = surfaces.describe()
    inks = {rule["name"]: rule["colour"] for rule in about["rules"]}
    drawn = (
        line([surfaces.START, *first[0]], about["colours"]["exact"])
        + line([*t1, *second[0]], inks["fine-tuning"])
        + star(end["joint"])
        + line([*t1, *second[one]], inks["si"])
    )
    planes = "".join(
        f'<g transform="translate({task * (WIDTH + GAP):g} {TOP})"><text y="-9">Loss of task '
        f'{task + 1}</text><svg width="{WIDTH:g}" height="{HEIGHT:g}">{valley(task)}{drawn}</svg>'
        f'<rect width="{WIDTH:g}" height="{HEIGHT:g}" fill="none" stroke="#999"/></g>'
        for task in (0, 1)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * WIDTH + GAP:g} '
        f'{HEIGHT + TOP:g}" font-family="sans-serif" font-size="18">{planes}</svg>\n'
    )


if __name__ == "__main__":
    with atomic(PICTURE, "w", encoding="utf-8") as file:
        file.write(picture())
    print(PICTURE)
