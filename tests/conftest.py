import json
import os

import pytest

import browser
import strategies  # noqa: F401 - registers the hypothesis profile
from pysi import threads
from pysi.backend.compiled import SWITCH, VARIABLE

for name in threads.VARIABLES:
    os.environ.pop(name, None)  # what the user says about threads
if VARIABLE not in os.environ:  # or it would depend on a test's predecessors whether it has loops
    os.environ[VARIABLE], SWITCH.chosen = "0", False


@pytest.fixture(scope="session")
def mnist_5k():
    from pysi.data import load_dataset

    return load_dataset("mnist-5k")


@pytest.fixture(scope="session")
def small_cifar(tmp_path_factory):
    """Random images in CIFAR's official files: 20 of CIFAR-10, 40 of CIFAR-100, classes 0 to 39."""
    from pysi.data import load_dataset
    from pysi.data.cifar import CIFAR10, CIFAR100
    from test_data_cifar import images, records

    root = tmp_path_factory.mktemp("cifar")
    for files, n_train, n_test in ((CIFAR10, 4, 10), (CIFAR100, 40, 40)):
        (root / files.folder).mkdir()
        sizes = dict.fromkeys(files.train, n_train) | {files.test: n_test}
        for seed, (name, n) in enumerate(sizes.items()):
            (root / files.folder / name).write_bytes(records(*images(n, files, seed)))
    return load_dataset("cifar10-100", root, announce=lambda text: None)


@pytest.fixture(scope="module")
def chromium():
    with browser.browser() as found:
        yield found


@pytest.fixture(scope="module")
def site():
    """The address of the site, if it has Pyodide in it."""
    places = browser.SITE / "_static" / "play" / "python.json"
    if not places.exists():
        pytest.skip(f"there is no site with Python in {browser.SITE}: docs/build_site.py builds it")
    if "://" in json.loads(places.read_text())["runtime"]:
        pytest.skip("the site loads Python from elsewhere")
    with browser.served(browser.SITE) as address:
        yield address


@pytest.fixture(autouse=True)
def no_network_and_no_user_cache(monkeypatch, tmp_path_factory):
    """No test may depend on what the user has in the cache."""
    monkeypatch.setenv("PYSI_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache and no other data; mirrors on this machine have seconds to answer."""
    from pysi.data import download

    monkeypatch.setattr(download, "TIMEOUT", (5, 3))
    monkeypatch.setattr(download, "RETRIES", 0)
    monkeypatch.delenv("PYSI_DATA", raising=False)
    monkeypatch.setenv("PYSI_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path / "cache"


@pytest.fixture
def real_data():
    if "PYSI_DATA" not in os.environ:
        pytest.skip("set PYSI_DATA to a folder that holds the real MNIST")
    return os.environ["PYSI_DATA"]
