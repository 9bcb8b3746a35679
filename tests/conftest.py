"""What all tests share: every backend of this machine, both dtypes, the data folder."""

import functools
import importlib
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from mlpfast import backends
from mlpfast.backends import threads

settings.register_profile(
    "mlpfast",
    derandomize=True,  # the same examples in every run
    database=None,
    deadline=None,
    max_examples=25,
    print_blob=False,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("mlpfast")


def pytest_configure(config):
    """Fail where the extension is demanded and missing, rather than test less in silence."""
    # Else scikit-learn skips one of its checks of estimators. SciPy reads it when it is imported.
    os.environ.setdefault("SCIPY_ARRAY_API", "1")
    if os.environ.get("MLPFAST_REQUIRE_CPP") == "1":
        try:
            backends.load("cpp")
        except backends.BackendError as error:
            raise pytest.UsageError(f"MLPFAST_REQUIRE_CPP=1, but {error}") from error


def pytest_report_header(config):
    return f"mlpfast backends: {', '.join(backends.available())}"


BACKENDS_FOLDER = Path(__file__).parent / "backends"


@functools.cache
def _backends(every_isa):
    """Backends, and instruction sets if they are asked for: "cpp" stands for the best of those.

    The short round runs that one and NumPy's. Other instruction sets run the same templates on
    other vectors, and Numba would spend most of the time compiling.
    """
    names = backends.available()
    if "cpp" in names:
        names.remove(f"cpp:{backends.load('cpp').describe()['isa']}")
    return [
        name if name in ("cpp", "numpy") else pytest.param(name, marks=pytest.mark.slow)
        for name in names
        if every_isa or ":" not in name
    ]


#: Which of the backends each of these fixtures takes.
CHOICES = {
    "backend": lambda name: True,
    "accelerated": lambda name: name != "numpy",
    "compiled": lambda name: name.startswith("cpp"),
}


def pytest_generate_tests(metafunc):
    """Give the fixtures their backends; only tests/backends tells instruction sets apart."""
    every_isa = BACKENDS_FOLDER in metafunc.definition.path.parents
    marks = metafunc.definition.iter_markers("parametrize")
    taken = {name for mark in marks for name in str(mark.args[0]).split(",")}
    for fixture in sorted(CHOICES.keys() & set(metafunc.fixturenames) - taken):
        chosen = [
            name
            for name in _backends(every_isa)
            if CHOICES[fixture](name if isinstance(name, str) else name.values[0])
        ]
        metafunc.parametrize(fixture, chosen, indirect=True, scope="session")


@pytest.fixture(scope="session")
def backend(request):
    """Name of a backend, of every one in turn."""
    return request.param


@pytest.fixture(scope="session")
def accelerated(request):
    """Name of a backend other than NumPy's, for tests that hold it to that one."""
    return request.param


@pytest.fixture(scope="session")
def compiled(request):
    """Name of the C++ backend with one of its instruction sets."""
    return request.param


@pytest.fixture(params=["float32", "float64"], scope="session")
def dtype(request):
    return request.param


@pytest.fixture
def restore_threads():
    """Put the number of threads back after a test that changes it."""
    before = threads.num_threads()
    yield
    threads.set_num_threads(before)


@pytest.fixture
def assume_near_cores():
    """Return a function (near) that answers for the cores whether they are near each other.

    Only the compiled backend asks. It leaves small steps to one thread if they are not.
    """
    if "cpp" not in backends.available():
        yield lambda near: None
        return
    core = importlib.import_module("mlpfast._core")
    yield core.assume_near_cores
    core.assume_near_cores(None)


@pytest.fixture(scope="session")
def mnist_dir():
    """Folder of the MNIST IDX files that MLPFAST_DATA names."""
    folder = Path(os.environ.get("MLPFAST_DATA") or ".")
    if any(folder.glob("train-images-idx3-ubyte*")):
        return folder
    reason = "MNIST not found: set MLPFAST_DATA to the folder of its four IDX files"
    if os.environ.get("MLPFAST_REQUIRE_MNIST") == "1":
        pytest.fail(f"MLPFAST_REQUIRE_MNIST=1, but {reason}")
    pytest.skip(reason)
