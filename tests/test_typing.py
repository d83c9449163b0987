"""Every public function and method of the package has type hints, for its parameters and result."""

import inspect
import pkgutil
from importlib import import_module

import pytest

import pysi

MODULES = [
    name
    for name in ("pysi", *(info.name for info in pkgutil.walk_packages(pysi.__path__, "pysi.")))
    if name != "pysi.__main__"  # which runs the command when it is imported
]


def public(name):
    """Whether a name is public; `Formula` objects, which elementwise makes, are no functions."""
    return not name.startswith("_") or name in ("__init__", "__call__")


def functions(module):
    """Pairs (name, function) of the public functions and methods that a module defines."""
    for name, member in vars(module).items():
        if not public(name) or getattr(member, "__module__", None) != module.__name__:
            continue
        if inspect.isfunction(member):
            yield name, member
        elif inspect.isclass(member):
            for attribute, value in vars(member).items():
                if isinstance(value, property):
                    value = value.fget
                function = getattr(value, "func", getattr(value, "__func__", value))
                if not public(attribute) or not inspect.isfunction(function):
                    continue
                # it is of the class itself, and no work of `dataclass`
                if function.__code__.co_filename == module.__file__:
                    yield f"{name}.{attribute}", function


def missing(function):
    """The parameters of a function without a hint, and "return" if its result has none."""
    signature = inspect.signature(function)
    names = list(signature.parameters)
    if "." in function.__qualname__ and names[:1] in (["self"], ["cls"]):
        names = names[1:]
    lacking = [n for n in names if signature.parameters[n].annotation is inspect.Parameter.empty]
    lambdas = function.__name__ == "<lambda>"  # such as those of properties, which take no hints
    if signature.return_annotation is inspect.Signature.empty and not lambdas:
        lacking.append("return")
    return lacking


def unhinted(module):
    return {name: missing(function) for name, function in functions(module) if missing(function)}


@pytest.mark.parametrize("name", MODULES)
def test_public_functions_have_type_hints(name):
    module = import_module(name)
    assert unhinted(module) == {}


class Sample:
    """What the check must see, and what it need not."""

    def __init__(self, x):
        self.x = x

    def bare(self, x, *more, y: int = 0):
        return x

    def hinted(self, x: int, *more: int, y: int = 0) -> int:
        return x

    def _private(self, x):
        return x

    @property
    def shape(self):
        return self.x

    @classmethod
    def made(cls, x):
        return cls(x)

    @staticmethod
    def plain(x) -> int:
        return x


def test_the_check_finds_what_has_no_hints():
    import sys

    seen = unhinted(sys.modules[__name__])
    assert {name.removeprefix("Sample."): seen[name] for name in seen if "Sample" in name} == {
        "__init__": ["x", "return"],
        "bare": ["x", "more", "return"],
        "shape": ["return"],
        "made": ["x", "return"],
        "plain": ["x"],
    }
    assert seen["unhinted"] == ["module", "return"]
