"""Contestants in processes of their own that take turns, so that neither disturbs the other.

Two libraries with spinning thread pools in one process slow each other down, and two runs one
after the other see different machines. Here every contestant waits in its own process, with its
own environment, until it is its turn; ratios are taken within a round.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path


class Contestant:
    """A process that runs `python SCRIPT --serve NAME …` and answers each line with seconds."""

    def __init__(self, script, name, threads, *words):
        names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
        self.threads = threads
        self.process = subprocess.Popen(
            [sys.executable, script, "--serve", name, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | dict.fromkeys(names, str(threads)),
        )
        self.about = json.loads(self.process.stdout.readline())

    def begin(self):
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def end(self):
        return float(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def serve(turn, about):
    """The contestant's side: report what it is, then take a turn for every line that comes."""
    print(json.dumps(about), flush=True)
    for _ in sys.stdin:
        print(turn(), flush=True)


def compete(teams, rounds):
    """Seconds of each team in each round; a team is a list of contestants that run at once."""
    seconds = {name: [] for name in teams}
    for number in range(rounds + 1):
        for name, team in teams.items():
            time.sleep(0.1)  # let the last team's threads fall asleep
            for contestant in team:
                contestant.begin()
            took = [contestant.end() for contestant in team]
            if number:  # the first round warms up
                seconds[name].append(statistics.mean(took) / len(team))
    return seconds


def spread(values):
    """Median and quartiles."""
    q1, q2, q3 = statistics.quantiles(values, n=4, method="inclusive")
    return {"median": q2, "quartiles": [q1, q3]}


def ratios(seconds, a, b):
    """a over b, round by round."""
    return spread([x / y for x, y in zip(seconds[a], seconds[b], strict=True)])


def write(path, content):
    """Write a benchmark's JSON, complete or not at all."""
    path = Path(path)
    partial = path.with_name(path.name + ".partial")
    content = {"measured": datetime.now(UTC).isoformat(timespec="seconds")} | content
    partial.write_text(json.dumps(content, indent=1) + "\n")
    os.replace(partial, path)
    print(path)


def report(content, path=None):
    """Print a benchmark's result, and write it if there is a path."""
    for name, value in content.items():
        print(f"{name}: {value}")
    if path:
        write(path, content)
