"""Where CIFAR's files are looked for, on tiny generated ones; and two data sets joined into one."""

import shutil
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from pysi.cli import main
from pysi.data import load_dataset, status
from pysi.data.catalogue import CATALOGUE, cifar_entry
from pysi.errors import DataError, install
from test_data import never
from test_data_cifar import ONE_LABEL, TWO_LABELS, check_content, write_archive, write_folder

WANTED = "tiny-binary.tar.gz, or tiny-bin/ with its .bin files"


def catalogued(monkeypatch, name, kind, *mirrors):
    monkeypatch.setitem(CATALOGUE, name, replace(cifar_entry(kind), mirrors=mirrors))


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    """A user's folder and a cache, neither of which exists yet, and no mirror."""
    catalogued(monkeypatch, "tiny", ONE_LABEL)
    monkeypatch.delenv("PYSI_DATA", raising=False)
    monkeypatch.setenv("PYSI_CACHE", str(tmp_path / "cache"))
    return SimpleNamespace(user=tmp_path / "user", cache=tmp_path / "cache")


def test_order_of_places(places, monkeypatch):
    monkeypatch.setattr("pysi.data.sources.fetch", never)

    def source(data=None):
        return load_dataset("tiny", data, never).source

    unpacked = write_folder(places.cache, ONE_LABEL)
    assert source() == str(unpacked)
    archive, kind = write_archive(places.cache, ONE_LABEL)
    catalogued(monkeypatch, "tiny", kind)
    assert source() == str(archive)
    own = write_folder(places.user, kind)
    assert source(places.user) == str(own)
    monkeypatch.setenv("PYSI_DATA", str(places.user))
    assert source() == str(own)
    own_archive, _ = write_archive(places.user, kind)
    assert source() == str(own_archive)
    shutil.rmtree(own)
    assert source() == str(own_archive)


@pytest.mark.parametrize("broken", ["nothing", "folder", "archive"])
def test_a_bad_folder_of_the_users_is_never_passed_over(places, monkeypatch, broken):
    write_folder(places.cache, ONE_LABEL)  # good, but must not be used
    monkeypatch.setattr("pysi.data.sources.fetch", never)
    if broken != "nothing":
        (write_folder(places.user, ONE_LABEL) / "test.bin").write_bytes(b"")
    if broken == "archive":
        (places.user / ONE_LABEL.archive).write_bytes(b"")
    with pytest.raises(DataError) as caught:
        load_dataset("tiny", places.user, never)
    first, *_, advice, _ = str(caught.value).splitlines()
    at = {"nothing": "tiny-bin/first.bin", "folder": "tiny-bin/test.bin"}
    assert first.startswith(f"{places.user / at.get(broken, ONE_LABEL.archive)}: expected")
    assert advice == f"--data or PYSI_DATA must name a folder that holds {WANTED}."


@pytest.mark.parametrize("name", [f"{ONE_LABEL.folder}/test.bin", ONE_LABEL.archive])
def test_a_bad_cache_says_how_to_repair_it(places, monkeypatch, name):
    write_folder(places.cache, ONE_LABEL)
    (places.cache / name).write_bytes(b"")
    monkeypatch.setattr("pysi.data.sources.fetch", never)
    with pytest.raises(DataError, match=f"{places.cache / name}: expected") as caught:
        load_dataset("tiny", announce=never)
    assert str(caught.value).endswith("\n`pysi data fetch tiny` repairs the cache.")


@pytest.mark.parametrize("with_pooch", [False, True])
def test_nothing_stands_in_where_there_is_none(monkeypatch, with_pooch):
    if with_pooch:
        pytest.importorskip("pooch")
    else:
        monkeypatch.setitem(sys.modules, "pooch", None)
    monkeypatch.setattr("pysi.data.sources.read_mnist_5k", never)
    with pytest.raises(DataError) as caught:
        load_dataset("tiny", announce=never)
    message = str(caught.value).replace("\n", " ")
    assert message.startswith("no Tiny anywhere: no folder is given, and the cache is empty. ")
    assert ("no mirror gave its files" if with_pooch else install("demo")) in message
    assert message.endswith(f"Or use --data or PYSI_DATA to name a folder that holds {WANTED}.")


def test_status(places, monkeypatch, capsys):
    monkeypatch.setattr("socket.socket", never)
    catalogue = {"tiny": CATALOGUE["tiny"]}
    monkeypatch.setattr("pysi.data.sources.CATALOGUE", catalogue)
    monkeypatch.setattr("pysi.data.sources.read_mnist_5k", lambda: None)
    folder = write_folder(places.user, ONE_LABEL)
    catalogue["tiny"] = cifar_entry(replace(ONE_LABEL, n_test=6))
    user, cache, _ = status(places.user)
    assert (user.dataset, user.place, user.path) == (
        "tiny",
        "--data or PYSI_DATA",
        str(places.user),
    )
    assert user.state.startswith(f"ok\n{folder}: 12 training and 5 test images")
    assert (cache.place, cache.path, cache.state) == ("cache", None, "absent")
    write_folder(places.cache, ONE_LABEL)
    catalogue["tiny"] = cifar_entry(ONE_LABEL)
    (folder / "test.bin").unlink()
    user, cache, _ = status(places.user)
    assert f"must name a folder that holds {WANTED}" in user.state
    assert (cache.path, cache.state) == (str(places.cache / "tiny-bin"), "ok")
    assert capsys.readouterr().out == ""
    assert main(["data", "status", "--data", str(places.user)]) == 0
    shown = capsys.readouterr().out
    assert f"tiny      cache: {places.cache / 'tiny-bin'}\n          ok\n" in shown
    assert "\n          Put a fresh copy of" in shown


def test_both_as_one(places, monkeypatch):
    catalogued(monkeypatch, "cifar10", ONE_LABEL)
    catalogued(monkeypatch, "cifar100", replace(TWO_LABELS, n_test=6))
    write_folder(places.user, ONE_LABEL)
    with pytest.raises(DataError, match="tiny-2-bin/train.bin: expected"):
        load_dataset("cifar10-100", places.user, never)
    write_folder(places.user, TWO_LABELS)
    messages = []
    both = load_dataset("cifar10-100", places.user, messages.append)
    assert [message.splitlines()[0].partition(":")[0] for message in messages] == [
        str(places.user / "tiny-2-bin")
    ]
    parts = [load_dataset(name, places.user, str) for name in ("cifar10", "cifar100")]
    assert (both.name, both.n_classes) == ("cifar10-100", 4 + 7)
    assert both.source == f"{places.user / 'tiny-bin'}, {places.user / 'tiny-2-bin'}"
    assert both.checksums == parts[0].checksums | parts[1].checksums
    assert len(both.checksums) == 5
    first, second = (
        replace(
            both,
            x_train=both.x_train[train],
            y_train=both.y_train[train] - shift,
            x_test=both.x_test[test],
            y_test=both.y_test[test] - shift,
        )
        for train, test, shift in (
            (slice(12), slice(5), 0),
            (slice(12, None), slice(5, None), 4),
        )
    )
    check_content(first, ONE_LABEL)
    check_content(second, TWO_LABELS)
    assert both.x_train.flags.c_contiguous and both.y_train.dtype == np.int64
    assert not both.x_train.flags.writeable


def test_part_of_both_can_be_held_out(places, monkeypatch):
    catalogued(monkeypatch, "cifar10", ONE_LABEL)
    catalogued(monkeypatch, "cifar100", TWO_LABELS)
    for kind in (ONE_LABEL, TWO_LABELS):
        write_folder(places.user, kind)
    both = load_dataset("cifar10-100", places.user, never)
    held = both.hold_out()
    assert held.x_train.shape == (20, 32, 32, 3) and held.x_test.shape == (4, 32, 32, 3)
    label = {x.tobytes(): y for x, y in zip(both.x_train, both.y_train, strict=True)}
    x, y = np.concatenate([held.x_train, held.x_test]), np.r_[held.y_train, held.y_test]
    assert [label.pop(image.tobytes()) for image in x] == y.tolist()
    assert not label
