"""Files that were damaged or changed: an error that names them, and never another content."""

import json
import os
import random
import sys
import zipfile
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest

import pysi
from pysi.experiments.cell import all_cells
from pysi.experiments.folder import resume
from pysi.experiments.omega import load_omega, save_omega
from pysi.experiments.result import Result
from pysi.experiments.sweep import Sweep
from pysi.storage.checkpoint import Checkpoint
from pysi.storage.files import atomic, open_regular
from pysi.storage.tables import SAVED
from test_experiments import PUBLISHED

resource = pytest.importorskip("resource", reason="limits what a process may use")

GONE = 2**22 + 1
"""No process has this number: it is too large."""
ROW = np.linspace(-1, 1, 9, dtype=np.float32)


def table(path):
    """Write a table. Returns how it is read, as plain values."""
    synapses = pysi.Synapses({"a": (4, 3), "b": (3,)}, lead=(2,), dtype=np.float64)
    synapses.table[...] = np.random.default_rng(0).standard_normal(synapses.table.shape)
    synapses.save(path)

    def read():
        found = pysi.Synapses.load(path)
        return found.shapes, found.dtype, [getattr(found, row).tolist() for row in SAVED]

    return read


def omega(path):
    save_omega(ROW, path)
    return lambda: load_omega(path, ROW).tolist()


def checkpoint(path):
    """Only the newest state, so that there is no other one to go on from."""
    saved = Checkpoint(path, {"seed": 3}, announce=pytest.fail)
    saved.save({"a": ROW, "of": np.array("Adam"), "n": np.array(3)}, {"epoch": 1})

    def read():
        arrays, progress = saved.load()
        return {name: (a.tolist(), a.dtype) for name, a in arrays.items()}, progress

    return read


def result(path):
    content = json.loads((PUBLISHED / "split-cifar-quick.json").read_text())
    content["runs"] = [run | {"epochs": run["epochs"][:1]} for run in content["runs"][:1]]
    Result(content).save(path.parent).rename(path)
    return lambda: Result.load(path).content


FILES = {"table.npz": table, "omega.npz": omega, "run.npz": checkpoint, "some.json": result}


def damaged(content, rng, count):
    """Truncated contents, and contents with a flipped bit: all, or so many at random."""
    bits, ends = range(8 * len(content)), range(len(content))
    if count:
        bits, ends = rng.sample(bits, count), rng.sample(ends, count // 10)
    for end in ends:
        yield content[:end]
    for bit in bits:
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        yield bytes(changed)


@pytest.mark.parametrize("count", [300, pytest.param(None, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_or_lost_end_gives_an_error_or_the_right_content(tmp_path, name, count):
    path = tmp_path / name
    read = FILES[name](path)
    expected, content = read(), path.read_bytes()
    refused = right = 0
    for bad in damaged(content, random.Random(0), count):
        path.write_bytes(bad)
        try:
            assert read() == expected
            right += 1
        except pysi.DataError as err:
            assert name in str(err)
            refused += 1
    assert refused > right  # some bits, such as those of dates, say nothing


def test_after_a_flipped_bit_the_checkpoint_before_is_used(tmp_path):
    said, states = [], [np.full(9, n, np.float32) for n in (1, 2)]
    saved = Checkpoint(tmp_path / "run.npz", {"seed": 3}, announce=said.append)
    for n in (0, 1):
        saved.save({"a": states[n]}, {"epoch": n})
    content, older = saved.path.read_bytes(), 0
    for bad in damaged(content, random.Random(1), 300):
        saved.path.write_bytes(bad)
        arrays, progress = saved.load()
        assert np.array_equal(arrays["a"], states[progress["epoch"]])
        older += progress["epoch"] == 0
    assert older == len(said) > 250


# Well-formed files with a wrong content


def archive(path, compress=False, **arrays):
    (np.savez_compressed if compress else np.savez)(path, **arrays)


def old_table(shapes='{"a": [3]}', size=3, **rows):
    """What version 0.1 wrote, which had no checksum."""
    return {"shapes": np.array(shapes)} | dict.fromkeys(SAVED, np.zeros(size, np.float32)) | rows


def test_a_table_of_version_0_1_is_read(tmp_path):
    rows = {row: np.arange(3, dtype=np.float32) + i for i, row in enumerate(SAVED)}
    archive(tmp_path / "t.npz", True, **old_table(**rows))
    found = pysi.Synapses.load(tmp_path / "t.npz")
    assert found.shapes == {"a": (3,)}
    assert all(np.array_equal(getattr(found, row), rows[row]) for row in SAVED)


@pytest.mark.parametrize(
    "arrays",
    [
        old_table(size=()),
        old_table(size=(2, 2)),
        old_table(size=(0, 3)),
        old_table(theta=np.zeros(3)),
        old_table(theta=np.zeros((2, 3), np.float32)),
        old_table(theta=np.array(["a", "b", "c"])),
        dict.fromkeys(SAVED, np.zeros(3, np.int64)) | {"shapes": np.array('{"a": [3]}')},
        dict.fromkeys(SAVED, np.zeros(3, complex)) | {"shapes": np.array('{"a": [3]}')},
        old_table(shapes='{"a": [-3], "b": [6]}'),
        old_table(shapes='{"a": [-3, -1]}'),
        old_table(shapes='{"a": [3.0]}'),
        old_table(shapes='{"a": [true, 3]}'),
        old_table(shapes='{"a": 3}'),
        old_table(shapes='{"a": "3"}'),
        old_table(shapes="[3]"),
        old_table(shapes="3"),
        old_table(shapes="{}"),
        old_table(shapes="null"),
        old_table(shapes='{"a": [1' + "0" * 5000 + "]}"),
        old_table(shapes="[" * 100_000),
        old_table(more=np.zeros(3)),
        {name: a for name, a in old_table().items() if name != "omega"},
        {name: a for name, a in old_table().items() if name != "shapes"},
        old_table() | {"shapes": np.array([1, 2])},
        old_table() | {"shapes": np.array(['{"a": [3]}'])},
        old_table() | {"sha256": np.array("0" * 64)},
        old_table() | {"about": np.array('{"shapes": {"a": [3]}}')},
    ],
    ids=lambda arrays: str(arrays.get("shapes"))[:20],
)
def test_malformed_tables_are_refused(tmp_path, arrays):
    path = tmp_path / "t.npz"
    archive(path, **arrays)
    with pytest.raises(pysi.DataError, match="t.npz: expected a table of synapses"):
        pysi.Synapses.load(path)


@pytest.fixture
def little_memory():
    """A limit of what this process may allocate: far less than the bombs below hold."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (32 << 20), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def bomb(path):
    """A small file that claims, and holds, 128 MB of zeros."""
    zeros = b"\0" * (1 << 20)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, array in old_table(f'{{"a": [{1 << 23}]}}').items():
            with file.open(f"{name}.npy", "w") as member:
                if name == "shapes":
                    np.lib.format.write_array(member, array)
                    continue
                about = {"descr": "<f4", "fortran_order": False, "shape": (1 << 23,)}
                np.lib.format.write_array_header_1_0(member, about)
                for _ in range(32):
                    member.write(zeros)


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory")
def test_a_bomb_is_refused_before_it_takes_memory(tmp_path, little_memory):
    path = tmp_path / "bomb.npz"
    bomb(path)
    assert path.stat().st_size < 1 << 20
    for load in (
        pysi.Synapses.load,
        lambda path: load_omega(path, ROW),
        lambda path: Checkpoint(path, {}, announce=pytest.fail).load(),
    ):
        with pytest.raises(pysi.DataError, match="bomb.npz: .* bytes in a file of"):
            load(path)


def test_a_table_of_zeros_is_no_bomb(tmp_path):
    path = tmp_path / "t.npz"
    pysi.Synapses({"a": (6_000_000,)}).save(path)
    assert len(pysi.Synapses.load(path)) == 6_000_000


def test_omega_of_another_task_or_size_is_refused(tmp_path):
    one, other = tmp_path / "a-task1.npz", tmp_path / "a-task2.npz"
    save_omega(ROW, one)
    assert np.array_equal(load_omega(one, ROW), ROW)
    for row in (ROW[:8], ROW.astype(float)):
        with pytest.raises(pysi.DataError, match="a-task1"):
            load_omega(one, row)
    os.replace(one, other)
    with pytest.raises(pysi.DataError, match="a-task2.npz: .* found that of .*a-task1"):
        load_omega(other, ROW)


# Results

VALUES = [
    None, {}, [], "", "x", -1, 1.5, 10**9 + 1, 10**30, True, float("nan"), float("inf"), [[]],
    {"a": 1}, [[1, 2], [3]], "DELETE",
]  # fmt: skip


def places(value, path=()):
    """The path to every value in plain values; of long lists, to the first two."""
    yield path
    items = value.items() if isinstance(value, dict) else ()
    items = enumerate(value[:2]) if isinstance(value, list) else items
    for name, inner in items:
        yield from places(inner, (*path, name))


def changed(content, path, value):
    content = deepcopy(content)
    *way, last = path
    place = content
    for name in way:
        place = place[name]
    if value == "DELETE":
        del place[last]
    else:
        place[last] = value
    return content


@pytest.mark.parametrize("count", [150, pytest.param(None, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", ["split-cifar-quick", "sweep-cifar-quick"])
def test_an_edited_result_is_refused_in_a_sentence_or_still_makes_sense(tmp_path, name, count):
    """These files are older than the checksum, so that only their entries can be looked at."""
    kind = Sweep if name.startswith("sweep") else Result
    content = json.loads((PUBLISHED / f"{name}.json").read_text())
    path, refused = tmp_path / kind.file, 0
    edits = [(p, v) for p in places(content) if p for v in VALUES]
    for place, value in random.Random(0).sample(edits, count) if count else edits:
        path.write_text(json.dumps(changed(content, place, value)))
        try:
            found = kind.load(path)
            found.table(), found.rows()
            again, config = resume(tmp_path, kind=kind)
            again.lock.release()
            all_cells(config)
        except pysi.PysiError as err:
            assert kind.file in str(err) or str(tmp_path) in str(err)
            refused += 1
    assert refused > 0.5 * (count or len(edits))


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"format": ' + "[" * 100_000,
        '{"format": 1' + "0" * 5000 + "}",
        '{"format": {"a": [1, 2]}}',
        '{"format": "pysi-result-4"}',
        '{"format": "pysi-result-3", "sha256": 3}',
        "NaN",
        "null",
    ],
    ids=lambda text: text[:20],
)
def test_strange_json_is_refused_in_a_sentence(tmp_path, text):
    (tmp_path / "result.json").write_text(text)
    with pytest.raises(pysi.DataError, match="result.json") as caught:
        Result.load(tmp_path)
    assert len(str(caught.value)) < 400


def test_an_edited_number_of_a_new_result_is_noticed(tmp_path):
    content = json.loads((PUBLISHED / "split-cifar-quick.json").read_text())
    path = Result(content).save(tmp_path)
    text = path.read_text()
    accuracy = str(content["runs"][0]["test_accuracy"][0][0])
    path.write_text(text.replace(accuracy, "0.9999", 1))
    with pytest.raises(pysi.DataError, match="result.json: .*checksum"):
        Result.load(path)
    path.write_text(text)
    assert Result.load(path).content == content


# Other kinds of files


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="makes a pipe")
@pytest.mark.parametrize("place", ["fifo", "/dev/zero", "folder"])
def test_only_regular_files_are_opened(tmp_path, place):
    path = Path(place) if place[0] == "/" else tmp_path / f"{place}.npz"
    if place == "fifo":
        os.mkfifo(path)
    elif place == "folder":
        path.mkdir()
    found = "a folder" if place == "folder" else "a pipe or device"
    for load in (pysi.Synapses.load, lambda path: load_omega(path, ROW), open_regular):
        with pytest.raises(pysi.DataError, match=f"{path}: .* found {found}"):
            load(path, "a file") if load is open_regular else load(path)
    if place != "folder":
        with pytest.raises(pysi.DataError, match=f"{path}: .* found {found}"):
            Result.load(path)


def test_there_may_be_no_such_file(tmp_path):
    for path in (tmp_path / "none", tmp_path / "none\0", tmp_path / ("n" * 300)):
        with pytest.raises(pysi.DataError, match="expected a thing, found"):
            open_regular(path, "a thing")


# Writing


@contextmanager
def full_disk():
    """Let no file grow beyond 2,000 bytes, which is an error as on a full disk.

    It must not hold when pytest itself writes, because its output may be a longer file.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.skipif(os.name == "nt", reason="limits the size of files")
def test_a_full_disk_gives_a_sentence_and_keeps_the_old_file(tmp_path):
    big = {"a": np.zeros(3000)}
    for n, write in enumerate([
        lambda path: pysi.Synapses({"a": (3000,)}).save(path),
        lambda path: save_omega(big["a"], path),
        lambda path: Checkpoint(path, {}).save(big, {}, due=True),
        lambda path: Result({"runs": [], "text": "x" * 3000}).save(path.parent),
    ]):  # fmt: skip
        path = tmp_path / str(n) / "result.json"
        path.parent.mkdir()
        path.write_text("old")
        named = r"result.json: .*too large. .*ulimit"
        with full_disk(), pytest.raises(pysi.DataError, match=named):
            write(path)
        assert [p.name for p in path.parent.iterdir()] == ["result.json"]
        assert path.read_text() == "old"


def test_a_folder_that_is_gone_gives_a_sentence(tmp_path):
    gone = tmp_path / "gone"
    for write in (
        lambda: pysi.Synapses({"a": (3,)}).save(gone / "t.npz"),
        lambda: Result({"runs": []}).save(gone),
        lambda: Checkpoint(gone / "checkpoints" / "c.npz", {}).save({}, {}, due=True),
        lambda: save_omega(ROW, gone / "omega" / "a-task1.npz"),
    ):
        with pytest.raises(pysi.DataError, match="gone"):
            write()
    assert not gone.exists()  # a run whose folder was removed does not bring it back


def partial_files(folder):
    return sorted(path.name for path in folder.glob("*.partial"))


def test_leftovers_of_killed_writers_are_removed_and_those_of_live_ones_stay(tmp_path):
    path, other = tmp_path / "a.json", tmp_path / "b.json"
    with atomic(path, "w") as one:
        (live,) = partial_files(tmp_path)
        host, _, pid = live.split(".")[2].partition("-")
        dead = [f"{name}.{host}-{GONE}-0.partial" for name in ("a.json", "b.json")]
        elsewhere = [f"a.json.{host[::-1]}-{GONE}-{n}.partial" for n in "01"]
        for name in (*dead, *elsewhere):
            (tmp_path / name).touch()
        os.utime(tmp_path / elsewhere[1], (0, 0))  # of another machine, and long ago
        with atomic(path, "w") as two:
            two.write("two")
            assert live in partial_files(tmp_path)
        one.write("one")
        assert partial_files(tmp_path) == sorted([live, dead[1], elsewhere[0]])
    assert path.read_text() == "one"
    with atomic(other, "w"):
        pass
    assert partial_files(tmp_path) == [elsewhere[0]]
