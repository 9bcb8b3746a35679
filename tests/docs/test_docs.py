"""The documentation is true: README's code runs, examples in docstrings give what they say."""

import doctest
import importlib
import inspect
import os
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import mlpfast

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TEXTS = [
    path
    for folder in ("", "src", "tests", "docs", "examples", "benchmarks", ".ci")
    for path in sorted((ROOT / folder).glob("**/*" if folder else "*"))
    if path.is_file()
    and path.suffix in {"", ".py", ".pyi", ".md", ".toml", ".yaml", ".txt", ".cpp", ".hpp"}
    and "__pycache__" not in path.parts
    and "results" not in path.parts
    and not path.name.startswith(".git")
    and path.name != ".coverage"
]


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(re.findall(r"^```python\n", README, re.MULTILINE))))
def test_readme_code_runs(number, tmp_path):
    code = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)[number]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_readme_has_the_code_it_should():
    code = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    assert len(code) >= 1
    assert len([line for line in code[0].splitlines() if line.strip()]) <= 12


def test_first_screen_of_the_readme_says_how_to_begin():
    screen = "\n".join(README.splitlines()[:40])
    assert "(docs/overview.svg)" in screen
    for command in ("mlpfast[sklearn]", "mlpfast train digits", "-m pytest"):
        assert command in screen


def test_chart_of_the_readme_has_the_figures_of_its_tables():
    if not (ROOT / "benchmarks").is_dir():
        pytest.skip("the benchmarks are not part of this tree")
    sys.path.insert(0, str(ROOT))
    try:
        overview = importlib.import_module("benchmarks.studies.overview")
    finally:
        sys.path.remove(str(ROOT))
    chart = (ROOT / "docs" / "overview.svg").read_text(encoding="utf-8")
    assert chart == overview.draw(README), "run python -m benchmarks.studies.overview"


def test_every_variable_in_the_readme_exists():
    named = set(re.findall(r"MLPFAST_[A-Z_]+", README))
    assert {"MLPFAST_BACKEND", "MLPFAST_ISA", "MLPFAST_NUM_THREADS", "MLPFAST_REQUIRE_CPP"} <= named
    used = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    used += "".join(p.read_text(encoding="utf-8") for p in (ROOT / "src").rglob("*.py"))
    assert not [name for name in named if name not in used]


@pytest.mark.parametrize(
    "name",
    [
        *("README.md", "CONTRIBUTING.md", "CHANGELOG.md"),
        *("docs/scikit-learn.md", "docs/keras.md", "docs/performance.md"),
    ],
)
def test_every_file_that_the_papers_name_exists(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
        assert ((ROOT / name).parent / target).exists(), target
    for target in re.findall(r"\b(?:src|tests|docs|examples|benchmarks)/[\w./-]*\w(?![\w<])", text):
        assert (ROOT / target).exists(), target


def rows(page):
    """Return the rows of the tables of a page of docs/: what each says, by its first cell."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    cells = re.findall(r"^\| (.+?) \| (.+) \|$", text, re.MULTILINE)
    return {name: set(re.findall(r"\w+", rest)) for name, rest in cells}


def test_page_on_keras_lists_all_there_is():
    keras, listed = mlpfast.keras, rows("keras.md")
    assert set(keras.activations.NAMES) <= listed["activations"]
    assert set(keras.losses.CLASSES) <= listed["losses"]
    assert set(keras.metrics.CLASSES) <= listed["metrics"]
    assert set(keras.optimizers.CLASSES) <= listed["optimizers"]
    assert set(keras.optimizers.schedules.CLASSES) <= listed["schedules"]
    assert set(keras.callbacks.__all__) <= listed["callbacks"]
    assert set(keras.layers.CLASSES) - {"InputLayer"} <= listed["layers"]


def test_page_on_scikit_learn_lists_all_activations():
    pytest.importorskip("sklearn", minversion="1.6")
    theirs = {"identity", "step", "sigmoid", "tanh", "relu"}  # or not for estimators
    assert set(mlpfast.spec.ACTIVATIONS) - theirs <= rows("scikit-learn.md")["`activation`"]


def public():
    """Yield every public name, and the public members of every public class."""
    for name in mlpfast.__all__:
        thing = getattr(mlpfast, name)
        if isinstance(thing, str):
            continue
        yield name, thing
        if inspect.ismodule(thing):
            for inner, value in vars(thing).items():
                ours = inspect.isfunction(value) and value.__module__ == thing.__name__
                if ours and not inner.startswith("_"):
                    yield f"{name}.{inner}", value
        if inspect.isclass(thing):
            for inner, value in vars(thing).items():
                if not inner.startswith("_") and (
                    inspect.isfunction(value) or isinstance(value, property)
                ):
                    yield f"{name}.{inner}", getattr(thing, inner)


PUBLIC = dict(public())


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_thing_has_a_docstring(name):
    assert (inspect.getdoc(PUBLIC[name]) or "").strip(), f"mlpfast.{name} has no docstring"


# ------------------------------------------------------------------ the estimators


def sections(doc):
    """Return the entries of each section of a numpydoc text: their names, and what follows them."""
    found, entries = {}, {}
    lines = inspect.cleandoc(doc).splitlines()
    for line, below in zip(lines, [*lines[1:], ""], strict=True):
        if re.fullmatch("-{3,}", below):
            entries = found.setdefault(line, {})
        elif match := re.match(r"([\w*]+(?:, [\w*]+)*) : (.*)", line):
            for name in match[1].split(", "):
                entries[name] = match[2]
    return found


@pytest.fixture(params=["MLPClassifier", "MLPRegressor"])
def estimator(request):
    pytest.importorskip("sklearn", minversion="1.6")
    return getattr(mlpfast, request.param)


def test_docstrings_of_estimators_have_every_parameter(estimator):
    described = sections(estimator.__doc__)["Parameters"]
    parameters = inspect.signature(estimator).parameters
    assert list(described) == list(parameters)
    for name, text in described.items():
        default = parameters[name].default
        given = text.partition("default ")[2]
        if " and " in given:  # of two parameters
            pair = [n for n, other in described.items() if other == text]
            given = given.split(" and ")[pair.index(name)]
        assert eval(given) == default, name
    for method in ("fit", "partial_fit", "predict", "from_sklearn"):
        function = getattr(estimator, method)
        names = [n for n in inspect.signature(function).parameters if n != "self"]
        assert list(sections(function.__doc__)["Parameters"]) == names, method
        assert "Returns\n" in function.__doc__


def test_docstrings_of_estimators_have_every_attribute(estimator):
    X = np.random.default_rng(0).standard_normal((60, 3))
    fitted = estimator(max_iter=20, tol=1.0, n_iter_no_change=1, early_stopping=True)
    fitted.fit(X, (X[:, 0] > 0).astype(int))
    there = {name for name in vars(fitted) if name.endswith("_") and not name.startswith("_")}
    described = set(sections(estimator.__doc__)["Attributes"])
    assert described == {*there, "feature_names_in_"}


def test_public_methods_of_estimators_have_docstrings(estimator):
    for name in dir(estimator):
        if not name.startswith("_"):
            assert (inspect.getdoc(getattr(estimator, name)) or "").strip(), name


def test_all_is_sorted_and_complete():
    assert len(set(mlpfast.__all__)) == len(mlpfast.__all__)
    for name in mlpfast.__all__:
        assert hasattr(mlpfast, name)


def modules():
    names = [m.name for m in pkgutil.walk_packages(mlpfast.__path__, "mlpfast.")]
    return [n for n in names if not n.endswith("__main__") and not n.endswith("._core")]


@pytest.mark.parametrize("name", ["mlpfast", *modules()])
def test_docstring_examples(name):
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        pytest.skip(f"{name} needs an optional package: {error}")
    failed, _ = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert failed == 0


@pytest.mark.parametrize("name", ["mlpfast", *modules()])
def test_every_module_opens_with_a_sentence_of_purpose(name):
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        pytest.skip(f"{name} needs an optional package: {error}")
    first = (module.__doc__ or "").strip().splitlines()[:1]
    assert first
    assert len(first[0]) > 10


def test_no_path_of_somebodys_machine_in_any_file():
    # Written so that this file does not find itself.
    folders = "|".join(name[::-1] for name in ("emoh", "sresU", "toor", "krow", "tnm", "tpo"))
    pattern = re.compile(rf"(?<![\w.$}}/:-])/(?:{folders})/\w")
    assert len(TEXTS) > 30
    found = []
    for path in TEXTS:
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{path.relative_to(ROOT)}: {m[0]}" for m in pattern.finditer(text)]
    assert found == []


@pytest.mark.skipif(os.name == "nt", reason="no executable bits")
def test_scripts_are_executable():
    script = ROOT / ".ci" / "run"
    if not script.exists():
        pytest.skip("a source archive without .ci")
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", script], check=True)
