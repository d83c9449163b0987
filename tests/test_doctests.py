"""The examples in docstrings do what they say, in the package that is installed."""

import doctest
import importlib
import pkgutil

import pytest

import pysi

MODULES = ["pysi", *(m.name for m in pkgutil.walk_packages(pysi.__path__, "pysi."))]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    module = importlib.import_module(name)
    assert doctest.testmod(module).failed == 0


def test_there_are_examples():
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = [
        test
        for name in MODULES
        for test in finder.find(importlib.import_module(name))
        if test.examples
    ]
    assert len(found) >= 5
