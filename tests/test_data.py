"""The order in which places are tried, and what is said when one is bad or none is left."""

import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest

from pysi.data import download, load_dataset, mnist, status
from pysi.data.catalogue import CATALOGUE
from pysi.errors import ConfigError, DataError
from test_data_mnist import BAD, FILES, TEST_LABELS, write_mnist


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    """A user's folder and a cache, neither of which exists yet, and no mirror."""
    monkeypatch.setattr(mnist, "FILES", FILES)
    monkeypatch.setitem(CATALOGUE, "mnist", replace(CATALOGUE["mnist"], mirrors=()))
    monkeypatch.delenv("PYSI_DATA", raising=False)
    monkeypatch.setenv("PYSI_CACHE", str(tmp_path / "cache"))
    return SimpleNamespace(user=tmp_path / "user", cache=tmp_path / "cache")


@pytest.fixture
def subset(monkeypatch):
    """Stands for the subset that comes with the package."""
    subset = SimpleNamespace(name="mnist-5k")
    monkeypatch.setattr("pysi.data.sources.read_mnist_5k", lambda: subset)
    return subset


def never(*_):
    raise AssertionError("must not be called")


def test_order_of_places(places, monkeypatch):
    other = write_mnist(places.user.with_name("other") / "mnist")
    cached = write_mnist(places.cache / "mnist")
    own = write_mnist(places.user / "mnist")
    monkeypatch.setattr("pysi.data.sources.fetch", never)
    assert load_dataset().source == str(cached)
    monkeypatch.setenv("PYSI_DATA", "")
    assert load_dataset().source == str(cached)
    monkeypatch.setenv("PYSI_DATA", str(other.parent))
    assert load_dataset().source == str(other)
    assert load_dataset(data=places.user).source == str(own)
    monkeypatch.setenv("HOME", str(places.user.parent))
    monkeypatch.setenv("USERPROFILE", str(places.user.parent))
    assert load_dataset(data="~/user").source == str(own)


@pytest.mark.parametrize("case", BAD)
def test_a_bad_folder_of_the_users_is_never_passed_over(places, monkeypatch, case):
    write_mnist(places.cache / "mnist")  # a good cache, which must not be used
    spoil, message = BAD[case]
    spoil(write_mnist(places.user / "mnist"))
    for name in ("fetch", "read_mnist_5k"):
        monkeypatch.setattr(f"pysi.data.sources.{name}", never)
    with pytest.raises(DataError, match=message) as caught:
        load_dataset("mnist", places.user, never)
    assert "\n--data or PYSI_DATA must name a folder that holds mnist/" in str(caught.value)
    monkeypatch.setenv("PYSI_DATA", str(places.user))
    with pytest.raises(DataError, match=message):
        load_dataset(announce=never)


@pytest.mark.parametrize("case", [case for case in BAD if case != "no folder"])
def test_a_bad_cache_says_how_to_repair_it(places, monkeypatch, case):
    spoil, message = BAD[case]
    spoil(write_mnist(places.cache / "mnist"))
    for name in ("fetch", "read_mnist_5k"):
        monkeypatch.setattr(f"pysi.data.sources.{name}", never)
    with pytest.raises(DataError, match=message) as caught:
        load_dataset(announce=never)
    assert str(caught.value).endswith("\n`pysi data fetch mnist` repairs the cache.")


def test_the_subset_takes_its_place_and_says_so(subset):
    pytest.importorskip("pooch")
    messages = []
    assert load_dataset(announce=messages.append) is subset
    (message,) = messages
    assert "no mirror gave its files" in message
    assert "mnist-5k" in message and "not comparable with the paper" in message
    assert "pysi data fetch mnist" in message and "PYSI_DATA" in message


def test_the_subset_by_name_asks_no_other_place(places, subset, monkeypatch):
    monkeypatch.setattr("pysi.data.sources.fetch", never)
    monkeypatch.setattr("pysi.data.mnist.read_mnist", never)
    assert load_dataset("mnist-5k", places.user, never) is subset


def test_without_pooch(places, subset, monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    messages = []
    assert load_dataset(announce=messages.append) is subset
    assert "needs the package pooch" in messages[0]
    write_mnist(places.cache / "mnist")
    assert load_dataset(announce=never).name == "mnist"  # reading a cache needs no pooch
    monkeypatch.delenv("PYSI_CACHE")
    assert download.cache_dir() is None
    assert load_dataset(announce=messages.append) is subset


def test_cache_follows_the_platform(tmp_path, monkeypatch):
    pytest.importorskip("pooch")
    platforms = tmp_path / "platform"
    monkeypatch.setattr("pooch.os_cache", lambda project: platforms / project)
    assert download.cache_dir() != platforms / "pysi"
    monkeypatch.delenv("PYSI_CACHE")
    assert download.cache_dir() == platforms / "pysi"


def test_without_any_source_every_way_is_listed(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    monkeypatch.setattr("pysi.data.mnist_5k.folder", lambda: tmp_path)
    with pytest.raises(DataError) as caught:
        load_dataset(announce=never)
    for way in ("--data FOLDER", "PYSI_DATA", "pysi data fetch mnist", "Replace it"):
        assert way in str(caught.value)


@pytest.mark.smoke
def test_unknown_name():
    with pytest.raises(ConfigError, match="'mnis': expected one of mnist, .*, mnist-5k"):
        load_dataset("mnis")


def test_status(places, subset, monkeypatch):
    monkeypatch.setattr("socket.socket", never)
    monkeypatch.setattr("pysi.data.sources.CATALOGUE", {"mnist": CATALOGUE["mnist"]})
    assert [row.dataset for row in status()] == ["mnist", "mnist", "mnist-5k"]
    assert [row.state for row in status()] == ["absent", "absent", "ok"]
    write_mnist(places.cache / "mnist")
    user, cache, _ = status(places.user)
    assert (user.place, user.path) == ("--data or PYSI_DATA", str(places.user))
    assert "No such file or directory" in user.state
    assert (cache.path, cache.state) == (str(places.cache / "mnist"), "ok")
    write_mnist(places.user / "mnist")
    (places.cache / "mnist" / f"{TEST_LABELS}.gz").unlink()
    user, cache, _ = status(places.user)
    assert user.state == "ok" and "repairs the cache" in cache.state
    monkeypatch.setenv("PYSI_DATA", str(places.cache))
    assert "expected the file" in status()[0].state
