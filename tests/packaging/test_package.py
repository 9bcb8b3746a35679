"""What is installed: metadata, files, the console script; and what the build promises."""

import email.parser
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata, resources
from pathlib import Path

import pytest

import mlpfast

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def pyproject():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def installed():
    try:
        return metadata.distribution("mlpfast")
    except metadata.PackageNotFoundError:
        pytest.skip("mlpfast is run from its source and not installed")


def test_version_is_said_once_and_is_in_the_changelog(installed):
    assert installed.version == mlpfast.__version__
    assert f"## {mlpfast.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_numpy_is_the_only_runtime_dependency(installed):
    required = [r for r in installed.requires if "extra ==" not in r]
    assert required == ["numpy>=2.0"]
    assert installed.metadata["Requires-Python"] == ">=3.11"


def test_extras(installed, pyproject):
    extras = set(installed.metadata.get_all("Provides-Extra"))
    assert extras == set(pyproject["project"]["optional-dependencies"])
    assert {"numba", "sklearn", "io", "data", "plot", "progress", "test", "bench", "dev"} <= extras


def test_extras_that_messages_tell_to_install_exist(pyproject):
    extras = set(pyproject["project"]["optional-dependencies"])
    named = {}
    for path in (ROOT / "src").rglob("*.py"):
        for extra in re.findall(r"mlpfast\[(\w+)\]", path.read_text(encoding="utf-8")):
            named.setdefault(extra, path.name)
    assert named
    assert set(named) <= extras, named


def test_licence(installed):
    assert installed.metadata["License-Expression"] == "BSD-3-Clause AND CC-BY-4.0"
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert text.startswith("BSD 3-Clause License")
    assert "mlpfast developers" in text


def test_console_script(installed):
    (script,) = installed.entry_points.select(group="console_scripts")
    assert (script.name, script.value) == ("mlpfast", "mlpfast.cli:main")
    assert callable(script.load())
    command = shutil.which("mlpfast", path=str(Path(sys.executable).parent))
    assert command, "the script does not lie beside the interpreter"
    done = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)
    assert mlpfast.__version__ in done.stdout


def test_python_m_runs_the_same_command_line():
    done = subprocess.run(
        [sys.executable, "-m", "mlpfast", "--version"], capture_output=True, text=True, check=True
    )
    assert mlpfast.__version__ in done.stdout


def test_the_package_is_typed():
    assert resources.files("mlpfast").joinpath("py.typed").is_file()


def test_stub_and_extension_name_the_same_things():
    core = pytest.importorskip("mlpfast._core", exc_type=ImportError)
    stub = resources.files("mlpfast").joinpath("_core.pyi")
    assert stub.is_file()
    named = set(re.findall(r"^(?:def|class) (\w+)", stub.read_text(encoding="utf-8"), re.MULTILINE))
    public = {name for name in dir(core) if not name.startswith("_")}
    classes = {name for name in named if isinstance(getattr(core, name, None), type)}
    assert named - {"Any"} <= public
    assert public - {"annotations"} <= named | set(
        re.findall(r"^(\w+)\s*[:=]", stub.read_text(encoding="utf-8"), re.MULTILINE)
    )
    assert classes


def test_a_failed_build_falls_back_unless_that_is_forbidden(pyproject):
    settings = pyproject["tool"]["scikit-build"]
    (override,) = settings["overrides"]
    assert override["if"] == {"failed": True, "env": {"MLPFAST_REQUIRE_CPP": False}}
    assert override["wheel"] == {"cmake": False}
    assert "WITHOUT its C++ extension" in override["messages"]["after-success"]
    assert "MLPFAST_REQUIRE_CPP" in settings["messages"]["after-failure"]


def test_tools_have_the_same_versions_everywhere(pyproject):
    wanted = dict(
        re.match(r"([\w-]+)(.*)", r).groups()
        for r in pyproject["project"]["optional-dependencies"]["dev"]
    )
    hooks = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    used = re.findall(r'"(ruff|clang-format|mypy|codespell)([=~>][^"]*)"', hooks)
    assert {name for name, _ in used} == {"ruff", "clang-format", "mypy", "codespell"}
    for name, version in used:
        assert wanted[name] == version


# ------------------------------------------------------------------ a wheel, where one was built


def find_wheels():
    if os.environ.get("MLPFAST_WHEEL"):
        return [Path(os.environ["MLPFAST_WHEEL"])]
    return sorted((ROOT / "dist").glob(f"mlpfast-{mlpfast.__version__}-*.whl"))


@pytest.fixture(params=find_wheels() or [None], ids=lambda p: p.name if p else "none")
def wheel(request):
    if request.param is None:
        pytest.skip("no wheel in dist/ and none named by MLPFAST_WHEEL")
    with zipfile.ZipFile(request.param) as archive:
        yield request.param, archive


def test_wheel_holds_the_package_and_nothing_else(wheel):
    path, archive = wheel
    names = archive.namelist()
    info = f"mlpfast-{mlpfast.__version__}.dist-info"
    assert {name.split("/")[0] for name in names} == {"mlpfast", info}
    assert "mlpfast/py.typed" in names
    assert f"{info}/licenses/LICENSE" in names
    assert not [n for n in names if n.endswith((".cpp", ".hpp", ".pyc", ".o", ".a"))]
    python = {n for n in names if n.startswith("mlpfast/") and n.endswith(".py")}
    source = {p.relative_to(ROOT / "src").as_posix() for p in (ROOT / "src").rglob("*.py")}
    assert python == source
    extensions = [n for n in names if n.endswith((".so", ".pyd"))]
    assert len(extensions) == ("none-any" not in path.name)


def test_wheel_is_small(wheel):
    path, _ = wheel
    assert path.stat().st_size < 3_000_000


def test_wheel_metadata(wheel):
    _, archive = wheel
    (name,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
    fields = email.parser.Parser().parsestr(archive.read(name).decode())
    assert fields["Name"] == "mlpfast"
    assert fields["Version"] == mlpfast.__version__
    assert fields["Description-Content-Type"] == "text/markdown"
