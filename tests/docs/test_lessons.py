"""The lessons are true: their code runs and prints what they say, commands work, pictures exist.

The code of docs/scikit-learn.md and docs/keras.md is run in the same way.
"""

import contextlib
import importlib.util
import io
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import mlpfast
from mlpfast import backends

ROOT = Path(__file__).resolve().parents[2]
LESSONS = ROOT / "docs" / "lessons"
if not LESSONS.is_dir():
    pytest.skip("the lessons are not part of this tree", allow_module_level=True)
PAGES = sorted(LESSONS.glob("*.md"))
WITH_CODE = [*PAGES, *(ROOT / "docs" / f"{name}.md" for name in ("scikit-learn", "keras"))]
NUMBER = re.compile(r"[-+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?")
BLOCK = re.compile(r"^```python\n(.*?)^```(?:\n\n```text\n(.*?)^```)?", re.MULTILINE | re.DOTALL)
SHELL = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
NEEDS_MNIST = "load_data()"


def named(page):
    return page.stem


def blocks():
    """Every page with Python code; the blocks of a page share their names, as they read."""
    for page in WITH_CODE:
        found = BLOCK.findall(page.read_text(encoding="utf-8"))
        if found:
            yield pytest.param(found, id=page.stem)


def same_text(actual, expected):
    """Compare words exactly, numbers to a unit or so of the last digit that is shown."""
    assert NUMBER.sub("#", actual) == NUMBER.sub("#", expected)
    for one, other in zip(NUMBER.findall(actual), NUMBER.findall(expected), strict=True):
        mantissa, _, exponent = other.partition("e")
        decimals = len(mantissa.partition(".")[2])
        unit = 10.0 ** (int(exponent or 0) - decimals) if "." in other else 0.0
        a, b = (float(text.replace(",", "")) for text in (one, other))
        assert abs(a - b) <= 1.5 * unit, f"{one} for {other}"


@pytest.mark.parametrize("found", list(blocks()))
def test_code_prints_what_the_page_says(found, tmp_path, monkeypatch):
    if any("sklearn" in code for code, _ in found):
        pytest.importorskip("sklearn", minversion="1.7")
    if any('.keras"' in code for code, _ in found):
        pytest.importorskip("h5py")
    monkeypatch.chdir(tmp_path)  # for what a page saves
    names = {}
    for code, expected in found:
        assert expected, "a block of code without what it prints"
        if NEEDS_MNIST in code:
            continue
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, "lesson", "exec"), names)
        same_text(printed.getvalue().strip(), expected.strip())


@pytest.mark.slow
def test_code_that_needs_mnist(mnist_dir, monkeypatch):
    if "cpp" not in backends.available():
        pytest.skip("the compiled backend is not installed, and others take minutes")
    monkeypatch.setenv("MLPFAST_DATA", str(mnist_dir))
    found = BLOCK.findall((LESSONS / "7-mnist.md").read_text(encoding="utf-8"))
    assert sum(NEEDS_MNIST in code for code, _ in found) == 1
    names, printed = {}, io.StringIO()
    for code, _ in found:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, "lesson", "exec"), names)
    assert NUMBER.sub("#", printed.getvalue().strip()) == NUMBER.sub("#", found[-1][1].strip())
    parameters, loss, accuracy = NUMBER.findall(printed.getvalue())
    assert parameters.rstrip(",") == "407,050"
    assert float(loss) == pytest.approx(0.0315, abs=0.003)
    assert float(accuracy) == pytest.approx(0.8628, abs=0.01)


def commands():
    found = {}
    for page in PAGES:
        for block in SHELL.findall(page.read_text(encoding="utf-8")):
            for line in block.splitlines():
                found.setdefault(line, page.stem)
    return list(found)


#: What makes a command short enough for a test; the rest are run as they stand.
SHORTER = {
    "python examples/e7_keras_lesson.py": ["1"],  # epoch
    "python -m benchmarks.lessons": ["1", "5", "8", "--rounds", "1"],
    "python docs/lessons/make_pictures.py": ["--without-mnist", "--folder"],
}
NEED_MNIST = {"python examples/e7_keras_lesson.py"}


@pytest.mark.slow
@pytest.mark.parametrize("command", commands())
def test_command_works(command, tmp_path, request):
    environment = dict(os.environ)
    if command in NEED_MNIST:
        environment["MLPFAST_DATA"] = str(request.getfixturevalue("mnist_dir"))
        if "cpp" not in backends.available():
            pytest.skip("the compiled backend is not installed, and others take minutes")
    if "make_pictures" in command:
        pytest.importorskip("matplotlib")
    package = str(Path(mlpfast.__file__).resolve().parents[1])
    environment["PYTHONPATH"] = os.pathsep.join([package, environment.get("PYTHONPATH", "")])
    program, *arguments = shlex.split(command)
    assert program == "python"
    arguments += SHORTER.get(command, [])
    if arguments[-1] == "--folder":
        arguments.append(str(tmp_path))
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout
    if "make_pictures" in command:
        drawn = {path.name for path in tmp_path.glob("*.png")}
        assert drawn == {p.name for p in LESSONS.glob("*.png") if not p.name.startswith("7-")}
        assert all(path.stat().st_size < 60_000 for path in tmp_path.glob("*.png"))


def test_there_is_a_page_a_lesson_and_a_command_an_example():
    assert [page.stem.split("-")[0] for page in PAGES] == [*"123456789", "README"]
    examples = {path.name for path in (ROOT / "examples").glob("e?_*.py")}
    assert {f"python examples/{name}" for name in examples} <= set(commands())
    assert len(examples) == 9


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_and_pictures(page):
    text = page.read_text(encoding="utf-8")
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", text)
    assert targets
    for target in targets:
        assert (page.parent / target).exists(), target
    if page.stem != "README":
        pictures = re.findall(r"!\[[^\]]+\]\(([^)]+\.png)\)", text)
        assert pictures, "a lesson without a picture"
        assert "**Time:**" in text
        assert "[All lessons](README.md)" in text


def test_no_picture_is_large_or_unused():
    used = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    pictures = sorted(LESSONS.glob("*.png"))
    assert pictures
    for path in pictures:
        assert path.stat().st_size < 60_000, path.name
        assert f"({path.name})" in used, path.name


def test_every_lesson_that_the_index_lists_has_its_time():
    index = (LESSONS / "README.md").read_text(encoding="utf-8")
    for page in PAGES[:9]:
        assert f"({page.name})" in index
        row = re.search(rf"^\| {page.name[0]} \| [^|]+ \| ([^|]+) \| [^|]+ \|", index, re.MULTILINE)
        assert row, page.name
        # The page gives the same figure.
        assert row[1].strip() in page.read_text(encoding="utf-8")


# ------------------------------------------------------------------ the programs that are replaced


@pytest.fixture(scope="module")
def plain():
    if not (ROOT / "benchmarks" / "studies" / "plain.py").is_file():
        pytest.skip("the benchmarks are not part of this tree")
    sys.path.insert(0, str(ROOT))
    try:
        return importlib.import_module("benchmarks.studies.plain")
    finally:
        sys.path.remove(str(ROOT))


def test_plain_programs_give_the_known_figures(plain):
    assert plain.xor_of_perceptrons([[0, 0], [1, 0], [0, 1], [1, 1]]) == [0, 1, 1, 0]
    errors, outputs = plain.classic_program()
    known = [0.49470, 0.00233, 0.00084]
    np.testing.assert_allclose([errors[i] for i in (0, 500, 1000)], known, rtol=0, atol=5e-6)
    known = [0.0005947199999, 0.9890073292835, 0.9890330647181, 0.0021519094453]
    np.testing.assert_allclose(outputs, known, rtol=0, atol=1e-12)
    assert plain.down_the_parabola() == pytest.approx(3.9283368912632715, rel=1e-14)
    known = [0.02391914, 0.9757925, 0.97343127, 0.03041428]
    np.testing.assert_allclose(plain.bias_column()[:, 0], known, rtol=0, atol=6e-9)
    g1, g2, f = plain.step_by_hand()
    np.testing.assert_allclose(f, [2.87, -2.074, -1.148], rtol=0, atol=6e-4)
    np.testing.assert_allclose(g1, [1.953, -2, -0.047], rtol=0, atol=6e-4)
    np.testing.assert_allclose(g2, [1.074, 3, -0.926], rtol=0, atol=6e-4)


@pytest.mark.slow
def test_plain_cross_entropy(plain):
    losses, outputs = plain.two_layers()
    assert (losses[0], losses[-1]) == pytest.approx((0.7338731913136614, 0.3497979986394869))
    known = [0.0030149187, 0.4989945142, 0.9959145057, 0.5018784036]
    np.testing.assert_allclose(outputs[0], known, rtol=0, atol=1e-9)


def test_plain_mnist_loop_is_mlpfast_s(plain):
    rng = np.random.default_rng(0)
    X, Y = rng.random((300, 784)), np.eye(10)[rng.integers(0, 10, 300)]
    net = mlpfast.MLP(
        *([784, 512, 10], "sigmoid", "sigmoid"), loss="mse", dtype="float64", random_state=0
    )
    loop = plain.NumpyLesson(net.weights, net.biases)
    loop.epoch(X, Y, np.arange(300), 0.1)
    net.fit(X, Y, batch_size=128, optimizer=mlpfast.SGD(0.1), shuffle=False)
    for mine, theirs in zip(net.weights + net.biases, loop.weights + loop.biases, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-12)
    dx, dw, db = plain.layer_there_and_back(X[:5, :4], X[:4, :3], X[0, :3], X[:5, :3])
    assert (dx.shape, dw.shape, db.shape) == ((5, 4), (4, 3), (3,))
