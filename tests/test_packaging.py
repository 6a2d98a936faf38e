"""What is shipped: the wheel's files, entry points that resolve, and packages that are ours."""

from __future__ import annotations

import ast
import configparser
import email
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import evaluators
import hwnas
import predictors

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("hwnas", "evaluators", "predictors")
HEAVY = (
    "torch",
    "onnx",
    "xgboost",
    "optuna",
    "pymoo",
    "plotly",
    "pandas",
    "sklearn",
    "scipy",
    "moocore",
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel built from this checkout, opened."""
    pytest.importorskip("hatchling", reason="the build back end is not installed here")
    if not (ROOT / "pyproject.toml").is_file():
        pytest.skip("this is no checkout")
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (file,) = folder.glob("*.whl")
    with zipfile.ZipFile(file) as opened:
        yield opened


def source_files(package):
    """The files of a package that git would ship."""
    return {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.mark.parametrize("package", PACKAGES)
def test_every_file_of_a_package_is_shipped(wheel, package):
    names = set(wheel.namelist())
    assert f"{package}/__init__.py" in names
    assert f"{package}/py.typed" in names
    assert source_files(package) - names == set()


def test_nothing_else_is_shipped(wheel):
    tops = {name.partition("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(PACKAGES)


def test_the_metadata_are_ours(wheel):
    (name,) = (n for n in wheel.namelist() if n.endswith(".dist-info/METADATA"))
    metadata = email.message_from_bytes(wheel.read(name))
    assert metadata["Name"] == "hwnas"
    assert metadata["Version"] == hwnas.__version__
    assert metadata["License-Expression"] == "Apache-2.0"


def test_every_entry_point_names_something_that_is_shipped(wheel):
    (name,) = (n for n in wheel.namelist() if n.endswith("entry_points.txt"))
    parser = configparser.ConfigParser(delimiters=("=",))
    parser.optionxform = str
    parser.read_string(wheel.read(name).decode())
    assert {"console_scripts", "hwnas.spaces", "hwnas.searchers"} <= set(parser.sections())
    for section in parser.sections():
        for plugin, target in parser[section].items():
            module, _, attribute = target.partition(":")
            assert attribute in defined_in(wheel, module), f"{section}: {plugin} = {target}"


def defined_in(wheel, module):
    """The names at the top of a shipped module, without importing it."""
    file = module.replace(".", "/")
    names = set(wheel.namelist())
    path = f"{file}.py" if f"{file}.py" in names else f"{file}/__init__.py"
    if path not in names:
        return set()
    found = set()
    for node in ast.parse(wheel.read(path)).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found.update(t.id for t in node.targets if isinstance(t, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
        elif isinstance(node, ast.ImportFrom):
            found.update(alias.asname or alias.name for alias in node.names)
    return found


@pytest.mark.parametrize("package", [evaluators, predictors])
def test_the_folders_imported_are_ours(package):
    """Their names are common: another distribution's package would be imported silently."""
    beside = Path(hwnas.__file__).resolve().parent.parent / package.__name__
    assert Path(package.__file__).resolve().parent == beside


def test_importing_the_package_imports_nothing_heavy():
    program = (
        "import sys, hwnas; from hwnas import Gene, Space;"
        f"print([m for m in {HEAVY!r} if m in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, cwd=ROOT
    )
    assert found.stdout.strip() == "[]"


def test_the_core_imports_no_plugin_and_no_plugin_imports_another_kind():
    forbidden = {
        "hwnas": {"evaluators", "predictors", "studies", "tests"},
        "evaluators": {"predictors", "studies", "tests"},
        "predictors": {"evaluators", "studies", "tests"},
    }
    for package, others in forbidden.items():
        for path in (ROOT / package).rglob("*.py"):
            assert not imported_by(path) & others, path


def imported_by(path):
    """The top-level packages that a file imports anywhere."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add((node.module or "").partition(".")[0])
    return found


MODULES_OF = {
    "scikit-learn": ("sklearn",),
    "pillow": ("PIL",),
    "ruamel.yaml": ("ruamel",),
    "pydantic": ("pydantic", "pydantic_core"),  # which pydantic pins to the one version that fits
    "zigzag-dse": ("zigzag",),
    "pyyaml": ("yaml",),
}
ELSEWHERE = {"scalesim"}
"""It needs numpy < 2, so it runs in an environment of its own and can be in no extra."""


def test_what_is_imported_is_declared():
    """Every third-party package that the shipped code imports is a dependency or in an extra."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = [*project["dependencies"]]
    for requirements in project["optional-dependencies"].values():
        declared += requirements
    known = set()
    for requirement in declared:
        name = re.match(r"[A-Za-z0-9._-]+", requirement)[0].lower()
        known.update(MODULES_OF.get(name, (name.replace("-", "_"),)))
    used = set()
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            used |= imported_by(path)
    ours = {*PACKAGES, *sys.stdlib_module_names}
    assert sorted(used - ours - known - ELSEWHERE) == []
