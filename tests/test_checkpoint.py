"""A run that is stopped at any moment, and goes on, ends with the bits of one that never was."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pysi
import strict_array
from pysi.backend import to_host
from pysi.experiments.cell import Cell
from pysi.experiments.protocols import SplitMNIST
from pysi.storage.checkpoint import Checkpoint
from pysi.storage.tables import SAVED
from strategies import Stopped, every_epoch, seeds, stops_after, toy_net, toy_run

RULES = {
    "si": lambda: pysi.SynapticIntelligence(1.0),
    "ewc": lambda: pysi.EWC(5.0),
    "online": lambda: pysi.OnlineEWC(5.0, gamma=0.5),
    "none": pysi.FineTuning,
}
OPTIMIZERS = {
    "adam": lambda: pysi.Adam(0.01),
    "momentum": lambda: pysi.Momentum(0.05),
    "sgd": lambda: pysi.SGD(0.1),
}


def run(folder, rule, optimizer, stop=None, seed=0, xp=np, **options):
    """Train with a checkpoint in the folder; stop after so many epochs, as if killed."""
    return toy_run(
        RULES[rule](),
        net=toy_net(seed, dropout=0.2, xp=xp),
        optimizer=OPTIMIZERS[optimizer](),
        listeners=[Checkpoint(Path(folder) / "run.npz", {"rule": rule}), stops_after(stop)],
        **options,
    )


def same(a, b):
    (net_a, history_a), (net_b, history_b) = a, b
    for row in SAVED:  # all but the gradient, which every step overwrites
        one, other = (to_host(getattr(net.synapses, row)) for net in (net_a, net_b))
        assert np.array_equal(one, other), row
    assert np.array_equal(history_a.test_accuracy, history_b.test_accuracy)
    assert np.array_equal(history_a.train_accuracy, history_b.train_accuracy)
    for one, other in zip(history_a.epochs, history_b.epochs, strict=True):
        assert one | {"seconds": 0} == other | {"seconds": 0}
    tasks = history_a.test_accuracy.shape[-2]
    assert len(history_a.consolidation) == len(history_b.consolidation) == tasks


@settings(max_examples=25)
@given(
    seeds,
    st.sampled_from(sorted(RULES)),
    st.sampled_from(sorted(OPTIMIZERS)),
    st.lists(st.integers(1, 3), max_size=4),
    st.booleans(),
)
def test_stopped_and_resumed_gives_the_same_bits(seed, rule, optimizer, stops, reset):
    import tempfile

    options = {"seed": seed, "reset_optimizer": reset}
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        whole = run(one, rule, optimizer, **options)
        for stop in stops:
            try:
                run(other, rule, optimizer, stop, **options)
            except Stopped:
                continue
        same(whole, run(other, rule, optimizer, **options))


def test_the_end_of_every_task_is_saved_however_soon_it_comes(tmp_path):
    checkpoint, loaded = Checkpoint(tmp_path / "run.npz", {}, interval=3600), []

    def on_epoch(task, epoch):
        found = checkpoint.load()
        loaded.append(found and (found[1]["task"] + 1, found[1]["epoch"]))

    toy_run(RULES["si"](), listeners=[checkpoint, every_epoch(on_epoch)], epochs=2)
    assert loaded == [None, (1, 2), (1, 2), (2, 2), (2, 2), (3, 2)]


@pytest.mark.parametrize("seed", [1, [1, 2]])
def test_devices_and_several_networks_resume_too(seed, tmp_path):
    whole = run(tmp_path / "a", "ewc", "adam", seed=seed, xp=strict_array)
    with pytest.raises(Stopped):
        run(tmp_path / "b", "ewc", "adam", 4, seed=seed, xp=strict_array)
    same(whole, run(tmp_path / "b", "ewc", "adam", seed=seed, xp=strict_array))


def written(path):
    """When a file was last written; 0 if it is not there, as for a moment between two renames."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


SCRIPT = """
import sys
sys.path.insert(0, sys.argv[2])
from test_checkpoint import run
net, history = run(sys.argv[1], "si", "adam", epochs=40, batch_size=2)
net.synapses.save(sys.argv[1] + "/final.npz")
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="sends SIGKILL")
def test_killed_at_random_moments(tmp_path):
    whole = run(tmp_path / "whole", "si", "adam", epochs=40, batch_size=2)[0].synapses
    folder, moments = tmp_path / "killed", random.Random(0)
    kills = 0
    while not (folder / "final.npz").exists():
        process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(folder), str(Path(__file__).parent)]
        )
        before = written(folder / "run.npz")
        while process.poll() is None and kills < 4:
            if written(folder / "run.npz") > before:
                time.sleep(moments.uniform(0, 0.3))  # in the middle of whatever it does
                process.send_signal(signal.SIGKILL)
                kills += 1
                break
        assert process.wait(timeout=120) in (0, -signal.SIGKILL)
    assert kills >= 2
    final = pysi.Synapses.load(folder / "final.npz")
    assert np.array_equal(final.theta, whole.theta)
    assert np.array_equal(final.Omega, whole.Omega)


@pytest.fixture
def saved(tmp_path):
    """A checkpoint with a newest state, 2, and the one before, 1."""
    checkpoint = Checkpoint(tmp_path / "run.npz", {"seed": 3}, announce=lambda text: None)
    for number in (1, 2):
        checkpoint.save({"a": np.full(50, float(number))}, {"epoch": number})
    return checkpoint


def spoil(path, how):
    content = path.read_bytes()
    if how == "truncated":
        path.write_bytes(content[:-200])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "flipped":
        at = content.index(np.full(2, float(2)).tobytes()) if b"\x00@" in content else 100
        path.write_bytes(content[:at] + b"\x01" + content[at + 1 :])
    elif how == "tampered":  # a consistent file with other content under the old checksum
        with np.load(path) as file:
            arrays = dict(file)
        np.savez(path, **arrays | {"a": arrays["a"] + 1})
    elif how == "pickle":
        np.savez(path, a=np.array([{}], dtype=object))


@pytest.mark.parametrize("how", ["truncated", "empty", "flipped", "tampered", "pickle"])
def test_a_broken_checkpoint_is_refused_and_the_one_before_is_used(saved, how):
    said = []
    saved.announce = said.append
    spoil(saved.path, how)
    arrays, progress = saved.load()
    assert (arrays["a"] == 1).all()
    assert progress == {"epoch": 1}
    assert str(saved.path) in said[0]
    spoil(saved.previous, "truncated")
    with pytest.raises(pysi.DataError, match="start this run anew"):
        saved.load()


def test_a_kill_between_the_two_renames_loses_nothing(saved):
    os.replace(saved.path, saved.previous)
    assert saved.load()[1] == {"epoch": 2}


def test_a_failed_save_keeps_both_states(saved, monkeypatch):
    def fail(file, **arrays):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez", fail)
    with pytest.raises(pysi.DataError, match="run.npz: .* disk full"):
        saved.save({"a": np.zeros(3)}, {"epoch": 3})
    assert saved.load()[1] == {"epoch": 2}


def test_other_settings_are_refused(saved):
    other = Checkpoint(saved.path, {"seed": 4})
    with pytest.raises(pysi.ConfigError, match="seed = 4, found 3"):
        other.load()
    cell = Cell(SplitMNIST(seeds=1), "si", 1.0, 0)
    one, two = (cell.checkpoint(saved.path.parent, n) for n in (1, 2))
    one.save({}, {}, due=True)
    with pytest.raises(pysi.ConfigError, match="blas_threads = 2, found 1"):
        two.load()


def test_what_comes_too_soon_is_not_saved_and_the_end_leaves_nothing(tmp_path):
    checkpoint = Checkpoint(tmp_path / "run.npz", {}, interval=3600)
    checkpoint.save({}, {"epoch": 1})
    assert checkpoint.load() is None
    checkpoint.save({}, {"epoch": 2}, due=True)
    checkpoint.save({}, {"epoch": 3})
    assert checkpoint.load()[1] == {"epoch": 2}
    checkpoint.interval = 0
    checkpoint.save({}, {"epoch": 4})
    assert checkpoint.load()[1] == {"epoch": 4}
    assert len(list(tmp_path.iterdir())) == 2
    checkpoint.remove()
    assert not list(tmp_path.iterdir())


def test_a_state_of_another_optimizer_is_refused(tmp_path):
    with pytest.raises(Stopped):
        run(tmp_path, "si", "sgd", 2)
    with pytest.raises(pysi.ConfigError, match="state of optimizer Adam .*found that of SGD"):
        run(tmp_path, "si", "adam")


@pytest.mark.parametrize("kind", ["optimizer", "rule"])
def test_a_state_that_lacks_something_is_refused(tmp_path, kind):
    rule = "ewc"
    with pytest.raises(Stopped):
        run(tmp_path, rule, "adam", 3)
    checkpoint = Checkpoint(tmp_path / "run.npz", {"rule": rule})
    arrays, progress = checkpoint.load()
    lacking = {n: a for n, a in arrays.items() if n not in ("optimizer.M", "rule.constant")}
    kept = {n: a for n, a in arrays.items() if n in lacking or not n.startswith(f"{kind}.")}
    checkpoint.save(kept, progress, due=True)
    with pytest.raises(pysi.ConfigError, match=f"state of {kind}"):
        run(tmp_path, rule, "adam")
