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
from datetime import UTC, datetime
from pathlib import Path


class Absent(Exception):
    """A contestant that failed, or that was too slow."""


class Contestant:
    """A process that runs `python SCRIPT --serve NAME …` and answers each line with seconds.

    An answer that takes longer than `limit` seconds is `Absent`.
    """

    def __init__(self, script, name, threads, *words, limit=None):
        self.limit = limit
        names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
        self.threads = threads
        self.process = subprocess.Popen(
            [sys.executable, script, "--serve", name, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | dict.fromkeys(names, str(threads)),
        )
        self.about = json.loads(self.answer())

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
        return float(self.answer())

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def serve(turn, about):
    """Be a contestant: report what it is, then take a turn for every line that comes."""
    print(json.dumps(about), flush=True)
    for _ in sys.stdin:
        print(turn(), flush=True)


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


def ratios(seconds, a, b):
    """Return the median and quartiles of a over b, round by round."""
    return spread([x / y for x, y in zip(seconds[a], seconds[b], strict=True)])


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
