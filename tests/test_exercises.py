"""Exercises: a blank fails with a sentence, so does a wrong answer; the solution passes."""

import re
import sys
from pathlib import Path

import pytest

pytest.importorskip("jupytext", reason='the course needs pip install ".[notebooks]"')
plt = pytest.importorskip("matplotlib.pyplot")

FOLDER = Path(__file__).parents[1] / "notebooks"
sys.path.insert(0, str(FOLDER))
import copies  # noqa: E402

pytestmark = pytest.mark.slow
MAGIC = re.compile(r"^%.*$", re.MULTILINE)  # only a notebook understands it
SENTENCE = re.compile(r"\w.*\s\w.*\s\w")


def exercises(name):
    """Yield, for each exercise, the code before it, its own, its checks and wrong answers."""
    before, cells = [], copies.source(name).cells
    for i, cell in enumerate(cells):
        if "exercise" in copies.tags(cell):
            rest = cells[i + 1 :]
            end = next((k for k, c in enumerate(rest) if "exercise" in copies.tags(c)), len(rest))
            checks = [c.source for c in rest[:end] if "check" in copies.tags(c)]
            wrong = [answer for c in rest[:end] if "instructor" in copies.tags(c)
                     for answer in copies.wrong_answers(c)]  # fmt: skip
            yield list(before), cell.source, checks, wrong
        if cell.cell_type == "code":
            before.append(cell.source)


WITH = [name for name in copies.names() if list(exercises(name))]


def outcome(code, check, names):
    """What an exercise and its check raise, or None."""
    names = dict(names)
    try:
        exec(code, names)
        exec(check, names)
    except Exception as err:
        return err
    return None


@pytest.mark.parametrize("name", WITH)
def test_exercises(name, monkeypatch):
    plt.switch_backend("agg")
    plt.close("all")  # the notebook before left its figures open, and too many are a warning
    monkeypatch.chdir(FOLDER)
    names, done = {"__name__": "__main__", "display": print}, 0
    for before, code, checks, wrong in exercises(name):
        for cell in before[done:]:
            exec(MAGIC.sub("", cell), names)
        done = len(before)
        assert len(checks) == 1, f"an exercise has one check, found {len(checks)}: {code}"
        assert len(copies.BLANK.findall(code)) == 1, code
        assert wrong, f"an exercise has wrong answers for instructors: {code}"
        left = outcome(copies.blanked(code), checks[0], names)
        assert isinstance(left, NotImplementedError) and SENTENCE.search(str(left)), left
        for answer in wrong:
            found = outcome(copies.fill(code, answer), checks[0], names)
            assert isinstance(found, AssertionError), f"{answer}: {found!r}"
            assert SENTENCE.search(str(found)), f"{answer}: expected a sentence, found {found}"
        assert outcome(code, checks[0], names) is None


def test_copies(tmp_path):
    for kind in copies.KINDS:
        paths = copies.write(kind, tmp_path / kind)
        assert [path.stem for path in paths] == copies.names()
    for name in WITH:
        found = {kind: copies.nbformat.read(tmp_path / kind / f"{name}.ipynb", 4).cells
                 for kind in copies.KINDS}  # fmt: skip
        student = "\n".join(cell.source for cell in found["student"])
        assert "NotImplementedError" in student
        assert not any(cell.get("outputs") for cell in found["student"])
        for _, code, _, wrong in exercises(name):
            body = copies.BLANK.search(code)["body"].strip()
            assert body not in student, "a student's copy holds a solution"
            for kind in ("student", "solution"):
                assert not any(answer.strip() and "instructor" in copies.tags(cell)
                               for cell in found[kind] for answer in wrong)  # fmt: skip
        assert any("instructor" in copies.tags(cell) for cell in found["instructor"])
