"""Contestants in processes of their own that take turns, so that they do not disturb each other.

Two libraries with spinning thread pools in one process slow each other down, and two runs one
after the other see different machines. Here every contestant waits in its own process, with its
own environment, until it is its turn; ratios are taken within a round.
"""

import json
import os
import select
import statistics
import subprocess
import sys
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path


class Absent(Exception):
    """A contestant that is not installed, that failed, or that was too slow."""


@contextmanager
def bound(core):
    """Let processes that start within this context use one core only, where Linux allows it."""
    if core is None or not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {sorted(before)[core % len(before)]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Contestant:
    """A process that runs `python SCRIPT --serve NAME …` and answers each line with seconds.

    An answer that takes longer than `limit` seconds is `Absent`. A process with a `core` has that
    core alone: not every library can be told to use one thread, but all of them hold to this.
    `variables` are added to its environment.
    """

    def __init__(self, script, name, threads, *words, limit=None, core=None, variables=None):
        self.limit = limit
        names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
        self.threads = threads
        with bound(core):
            self.process = subprocess.Popen(
                [sys.executable, script, "--serve", name, *words],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=os.environ | dict.fromkeys(names, str(threads)) | (variables or {}),
            )
        self.about = json.loads(self.answer())
        if "absent" in self.about:
            self.close()
            raise Absent(self.about["absent"])

    def begin(self):
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def answer(self):
        """Return the next line of its output."""
        ready, _, _ = select.select([self.process.stdout], [], [], self.limit)
        line = self.process.stdout.readline() if ready else ""
        if not line:
            found = f"it ended with status {self.process.wait()}" if ready else "it was too slow"
            self.process.kill()
            raise Absent(found)
        return line

    def end(self):
        return json.loads(self.answer())

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def serve(turn, about):
    """Be a contestant: report what it is, then take a turn for every line that comes."""
    print(json.dumps(about), flush=True)
    for _ in sys.stdin:
        print(json.dumps(turn()), flush=True)


def attend(make):
    """Be the contestant that make() returns as (turn, about), or report why there is none."""
    try:
        turn, about = make()
    except Exception as err:  # whatever a library raises: not installed, no compiler, no memory
        reason = next(iter(str(err).strip().splitlines()), "")
        print(json.dumps({"absent": f"{type(err).__name__}: {reason}"}), flush=True)
        return
    serve(turn, about)


def gather(plan, absent):
    """Return the teams of a plan, {name: functions that make its contestants}.

    A team that cannot start is entered in the dict `absent`, with the reason, and left out.
    """
    teams = {}
    for name, makers in plan.items():
        team = []
        try:
            for make in makers:
                team.append(make())
            teams[name] = team
        except Absent as err:
            absent[name] = f"at its start: {err}"
            for contestant in team:
                contestant.close()
    return teams


def compete(teams, rounds, absent=None, after=lambda seconds: None):
    """Return the seconds of each team in each round; a team is contestants that run at once.

    A team that fails is entered in the dict `absent`, with the reason, and left out; without the
    dict its failure is an error. After each round that counts, after(seconds) is called.
    """
    seconds = {name: [] for name in teams}
    for number in range(rounds + 1):
        for name in list(seconds):
            team = teams[name]
            time.sleep(0.1)  # let the last team's threads fall asleep
            try:
                for contestant in team:
                    contestant.begin()
                took = [contestant.end() for contestant in team]
            except (Absent, BrokenPipeError) as err:
                if absent is None:
                    raise
                absent[name] = f"round {number}: {err}"
                del seconds[name]
                continue
            if number:  # the first round warms up
                seconds[name].append(statistics.mean(took) / len(team))
        if number:
            after(seconds)
    return seconds


def spread(values):
    """Return the median and the quartiles."""
    values = [*values, *values] if len(values) == 1 else values
    q1, q2, q3 = statistics.quantiles(values, n=4, method="inclusive")
    return {"median": q2, "quartiles": [q1, q3]}


def spreads(seconds, unit=1):
    """Return the spread of each team's seconds, times `unit`."""
    return {name: spread([unit * s for s in values]) for name, values in seconds.items()}


def ratios(seconds, a, b):
    """Return the median and quartiles of a over b, round by round."""
    return spread([x / y for x, y in zip(seconds[a], seconds[b], strict=True)])


def quotients(seconds, pairs):
    """Return the ratios of all pairs (a, b) of which both are there, by the name "a / b"."""
    found = [(a, b) for a, b in dict.fromkeys(pairs) if {a, b} <= {*seconds} and a != b]
    return {f"{a} / {b}": ratios(seconds, a, b) for a, b in found}


def table(spreads):
    """Print medians and quartiles, one line each."""
    for name, value in spreads.items():
        low, high = value["quartiles"]
        print(f"  {name:<75} {value['median']:.3f}  [{low:.3f}, {high:.3f}]")


def write(path, content, quiet=False):
    """Write a benchmark's JSON, complete or not at all."""
    path = Path(path)
    partial = path.with_name(path.name + ".partial")
    content = {"measured": datetime.now(UTC).isoformat(timespec="seconds")} | content
    partial.write_text(json.dumps(content, indent=1) + "\n")
    os.replace(partial, path)
    if not quiet:
        print(path)


def report(content, path=None):
    """Print a benchmark's result, and write it if there is a path."""
    for name, value in content.items():
        print(f"{name}: {value}")
    if path:
        write(path, content)
