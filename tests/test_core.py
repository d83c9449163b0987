"""The core can be read in an hour: few lines, in an order in which nothing is used before it."""

import ast
import pkgutil
import re
from importlib import import_module
from pathlib import Path

import pytest

import pysi

PACKAGE = Path(pysi.__file__).parent
PAGE = Path(__file__).parent.parent / "docs" / "reading.md"
MODULES = {module.name for module in pkgutil.walk_packages(pysi.__path__, "pysi.")}

OPEN = {"elementwise", "matmul", "namespace", "stream", "to_device", "to_host"}
"""What the core may take from `pysi.backend`: names that do what plain NumPy would do."""
PLAIN = {"pysi.errors", "pysi.typing", "pysi.arguments", "pysi.inputs"}
"""What the core may take anything from: errors, names for type hints, checks of arguments."""
DOORS = {
    "pysi.synapses": {
        "pysi.backend.arrays": {"Ranges"},
        "pysi.backend.recording": {"Recording"},
        "pysi.storage.tables": {"load_table", "save_table"},
    },
    "pysi.network": {
        "pysi.architecture": {"describe"},
        "pysi.backend.uses": {"Uses"},
        "pysi.storage.networks": {"load_network", "save_network"},
    },
    "pysi.training": {
        "pysi.evaluation": {"score"},
        "pysi.guards": {"check_arguments", "check_finite", "check_listeners", "check_options"},
        "pysi.history": {"Epoch", "Event", "History", "Step", "TaskEnded", "TaskLearned"},
        "pysi.resets": {"reset", "reset_mode"},
        "pysi.rules.pulls": {"pulled"},
        "pysi.threads": {"computing"},
    },
    "pysi.metrics": {
        "pysi.transfer": {
            "backward_transfer",
            "forward_transfer",
            "intransigence",
            "mean_over_tasks",
        },
    },
}
"""All else that the core takes from outside. What is behind these names, an hour does not need."""


def order(lines):
    """Return the modules of lines such as "rules: rule quadratic"; a package follows its own."""
    found = []
    for line in lines:
        package, _, names = line.rpartition(":")
        prefix = f"pysi.{package}" if package else "pysi"
        names = [f"{prefix}.{name}" for name in names.split()]
        found += names if prefix in ("pysi", *found) else [*names, prefix]
    return found


def read(title):
    """Return a reading order from the docstring of the package."""
    block = re.search(rf"\*{title}\* .*::\n\n((?:    .+\n)+)", pysi.__doc__, re.MULTILINE)[1]
    return order(line.strip() for line in block.splitlines())


HOUR = [name for name in read("An hour") if name != "pysi.rules"]
ALL = read("All")


def path(module):
    file = PACKAGE.joinpath(*module.split(".")[1:])
    return file / "__init__.py" if file.is_dir() else file.with_suffix(".py")


def imports(module):
    """Yield pairs (module of the package, name) that are imported anywhere in the file."""
    for node in ast.walk(ast.parse(path(module).read_text())):
        if isinstance(node, ast.Import):
            pairs = [(alias.name, None) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: a relative import"
            pairs = [(node.module, alias.name) for alias in node.names]
        else:
            continue
        for source, name in pairs:
            if source.split(".")[0] != "pysi":
                continue
            # "from pysi.experiments import machine"; but pysi.backend gives a function `matmul`
            offered = getattr(import_module(source), "__all__", ())
            whole = f"{source}.{name}" in MODULES and name not in offered
            yield (f"{source}.{name}", None) if whole else (source, name)


def misplaced(sequence):
    """Return imports of the same or a later place of a sequence, as (module, imported)."""
    place = {module: i for i, module in enumerate(sequence)}
    return [
        (module, source)
        for module in sequence
        for source, _ in imports(module)
        if place.get(source, -1) >= place[module]
    ]


def test_the_core_has_at_most_1400_lines():
    lines = {module: len(path(module).read_text().splitlines()) for module in HOUR}
    assert sum(lines.values()) <= 1400, lines
    assert max(lines.values()) <= 250, lines


def test_the_core_is_read_in_an_order_in_which_imports_run_back():
    assert len(HOUR) == len(set(HOUR)) == 11
    assert not misplaced(HOUR)
    assert misplaced(HOUR[::-1])  # what this test can find


@pytest.mark.parametrize("module", HOUR)
def test_the_core_takes_only_these_names_from_outside(module):
    taken = {}
    for source, name in imports(module):
        if source == "pysi.backend":
            assert name in OPEN
        elif source not in (*HOUR, *PLAIN):
            taken.setdefault(source, set()).add(name)
    assert taken == DOORS.get(module, {})


def test_all_is_every_module_once():
    assert sorted(ALL) == sorted(MODULES)


def test_all_is_an_order_in_which_imports_run_back():
    assert not misplaced(ALL)
    assert misplaced(ALL[::-1])


def test_few_modules_import_the_package_itself():
    upward = {module for module in ALL for source, _ in imports(module) if source == "pysi"}
    # for its version alone
    assert upward <= {"pysi.cli.options", "pysi.experiments.machine", "pysi.experiments.parallel"}


@pytest.mark.parametrize(("section", "expected"), [("An hour", HOUR), ("All", ALL)])
def test_the_page_has_the_same_orders(section, expected):
    text = re.search(rf"^## {section}\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.M | re.S)[1]
    rows = re.findall(r"^\| \[?((?:`[\w.: ]+`[, ]*)+)", text, re.MULTILINE)
    lines = [line for row in rows for line in re.findall(r"`([\w.: ]+)`", row)]
    shown = order(lines) if section == "All" else [f"pysi.{name}" for name in lines]
    assert shown == expected
