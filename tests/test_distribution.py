"""The package as others get it: its name, its files, its links, and what says how to install it."""

import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from configparser import ConfigParser
from pathlib import Path

import pytest

import pysi
from pysi.errors import DISTRIBUTION, install

ROOT = Path(__file__).parent.parent
SETTINGS = ConfigParser()
SETTINGS.read(ROOT / "setup.cfg", encoding="utf-8")

PLACES = ("pysi", "tests", "docs", "notebooks", "data_scripts", ".github")


def texts():
    """Every text of the repository, after its path; what is built from others is left out."""
    paths = [path for path in ROOT.iterdir() if path.is_file()]
    paths += [path for place in PLACES for path in (ROOT / place).rglob("*")]
    made = {ROOT / "docs" / name for name in ("notebooks", "core", "_downloads")}
    for path in paths:
        is_text = path.suffix in {".py", ".md", ".cfg", ".toml", ".cff", ".yml", ".ipynb"}
        if is_text and not made & set(path.parents) and ".ipynb_checkpoints" not in path.parts:
            yield path, path.read_text(encoding="utf-8")


@pytest.mark.smoke
def test_the_distribution_has_one_name():
    assert SETTINGS["metadata"]["name"] == DISTRIBUTION != "pysi"
    assert install("demo") == f'pip install "{DISTRIBUTION}[demo]"'


@pytest.mark.smoke
def test_no_text_says_how_to_install_another_package():
    # PyPI's `pysi` is somebody else's; on Windows single quotes are part of a name
    wrong = re.compile(r"""pysi\[[a-z]|pip install (-\S+ )*pysi\b|pip install [^\n`"]*'""")
    for text in ("pip install 'pysi[demo]'", "pip install -U pysi", "pip install '.[demo]'"):
        assert wrong.search(text)
    for text in (install("demo"), 'pip install ".[demo]" && pysi run', "pip install numpy"):
        assert not wrong.search(text)
    found = {
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path, text in texts()
        if path != Path(__file__)
        for line in text.splitlines()
        if wrong.search(line)
    }
    assert not found, "\n".join(sorted(found))


@pytest.mark.smoke
def test_every_extra_that_is_named_exists():
    extras = SETTINGS["options.extras_require"].keys()
    named = re.compile(rf'(?:{DISTRIBUTION}|"\.)\[([\w,-]+)\]|\binstall\("([\w-]+)"\)')
    found = [
        (path, extra)
        for path, text in texts()
        for match in named.finditer(text)
        for extra in (match[1] or match[2]).split(",")
    ]
    assert len(found) > 5
    assert not [f"{path}: {extra}" for path, extra in found if extra not in extras]


@pytest.mark.smoke
def test_the_version_and_the_citation_agree():
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(r"^version: (.*)$", citation, re.M)[1] == pysi.__version__
    changes = (ROOT / "docs" / "changelog.md").read_text(encoding="utf-8")
    assert re.search(r"^## ([\d.]+)", changes, re.M)[1] == pysi.__version__


@pytest.mark.smoke
def test_the_description_for_the_index_links_to_no_file_of_the_repository():
    description = ROOT / SETTINGS["metadata"]["long_description"].removeprefix("file:").strip()
    text = description.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)]*)\)", text)
    assert links and all(link.startswith("https://") for link in links)
    shown = re.search(r"```python\n(.*?)```", text, re.S)[1]
    assert shown in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.smoke
def test_pythons_are_the_same_everywhere():
    named = re.findall(r"Python :: (3\.\d+)$", SETTINGS["metadata"]["classifiers"], re.M)
    assert SETTINGS["options"]["python_requires"] == f">={named[0]}"
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    assert re.findall(r'"(3\.\d+)"', workflow) == named
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    assert tools["mypy"]["python_version"] == named[0]


@pytest.mark.slow
@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="this is no checkout of the repository")
def test_the_distributions_hold_the_repository_and_nothing_else(tmp_path):
    pytest.importorskip("setuptools", "77")
    listed = subprocess.run(["git", "-C", ROOT, "ls-files"], capture_output=True, text=True)
    tracked = {name for name in listed.stdout.splitlines() if (ROOT / name).exists()}
    assert {"setup.cfg", "pysi/__init__.py", ".ci/run", "docs/conf.py"} <= tracked
    for name in tracked:
        (tmp_path / "copy" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, tmp_path / "copy" / name)
    build = "from setuptools import build_meta as b; b.build_sdist('d'); b.build_wheel('d')"
    made = [sys.executable, "-W", "ignore", "-c", build]
    ended = subprocess.run(made, cwd=tmp_path / "copy", capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    (archive,), (wheel,) = ((tmp_path / "copy" / "d").glob(ending) for ending in ("*.gz", "*.whl"))
    with tarfile.open(archive) as opened:
        inside = {each.name.partition("/")[2] for each in opened.getmembers() if each.isfile()}
    inside = {name for name in inside if not re.match(r"PKG-INFO$|[^/]*\.egg-info/", name)}
    assert inside == tracked - {".gitignore"}
    with zipfile.ZipFile(wheel) as opened:
        inside = {name for name in opened.namelist() if ".dist-info/" not in name}
    assert inside == {name for name in tracked if name.startswith("pysi/")}


@pytest.mark.slow
def test_tests_run_in_a_checkout_that_cannot_be_written_to():
    one = f"{__file__}::{test_the_distribution_has_one_name.__name__}"
    options = ["-q", "-o", f"cache_dir={Path(__file__) / 'no folder'}", "--rootdir", str(ROOT)]
    command = [sys.executable, "-m", "pytest", *options, "-c", str(ROOT / "setup.cfg"), one]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert ended.returncode == 0, ended.stdout + ended.stderr
