"""What all tests share: every backend of this machine, both dtypes, references, the data folder."""

import importlib
import math
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from mlpfast import backends, threads

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


@pytest.fixture(params=backends.available(), scope="session")
def backend(request):
    """Name of a backend; every test that asks for it runs on all there are."""
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


# ---------------------------------------------------------------------------- references
# Written from the textbook formulas for one number at a time, in double, with the math module
# alone, so that they share nothing with the package.


def _exp(z):
    return math.exp(z) if z < 709.7 else math.inf


def _sigmoid(z):
    return 1 / (1 + _exp(-z)) if z > -700 else _exp(z)


def _normal_cdf(z):
    return 0.5 * math.erfc(-z / math.sqrt(2))


_VALUE = {
    "identity": lambda z: z,
    "step": lambda z: 1.0 if z > 0 else 0.0,
    "sigmoid": _sigmoid,
    "tanh": math.tanh,
    "relu": lambda z: z if z > 0 else 0.0,
    "leaky_relu": lambda z: z if z > 0 else 0.01 * z,
    "elu": lambda z: z if z > 0 else math.expm1(z),
    "softplus": lambda z: z + math.log1p(_exp(-z)) if z > 0 else math.log1p(_exp(z)),
    "silu": lambda z: z * _sigmoid(z),
    "gelu": lambda z: z * _normal_cdf(z),
    "exp": _exp,
}

_DERIVATIVE = {
    "identity": lambda z: 1.0,
    "sigmoid": lambda z: _sigmoid(z) * _sigmoid(-z),
    "tanh": lambda z: 1 / math.cosh(z) ** 2,
    "relu": lambda z: 1.0 if z > 0 else 0.0,
    "leaky_relu": lambda z: 1.0 if z > 0 else 0.01,
    "elu": lambda z: 1.0 if z > 0 else _exp(z),
    "softplus": _sigmoid,
    "silu": lambda z: _sigmoid(z) + z * _sigmoid(z) * _sigmoid(-z),
    "gelu": lambda z: _normal_cdf(z) + z * math.exp(-z * z / 2) / math.sqrt(2 * math.pi),
    "exp": _exp,
}


def _softmax_row(z):
    e = [math.exp(v - max(z)) for v in z]
    return [v / math.fsum(e) for v in e]


@pytest.fixture(scope="session")
def reference_activation():
    """Return a function (name, z (n, m)) -> f(z) (n, m) in float64."""

    def value(name, z):
        z = np.asarray(z, np.float64)
        if name == "softmax":
            return np.array([_softmax_row(row) for row in z.tolist()]).reshape(z.shape)
        flat = [_VALUE[name](v) for v in z.ravel().tolist()]
        return np.array(flat, np.float64).reshape(z.shape)

    return value


@pytest.fixture(scope="session")
def reference_delta():
    """Return a function (name, z, g) -> dL/dz in float64, given g = dL/df(z), all (n, m)."""

    def delta(name, z, g):
        z, g = np.asarray(z, np.float64), np.asarray(g, np.float64)
        if name != "softmax":
            slope = [_DERIVATIVE[name](v) for v in z.ravel().tolist()]
            return g * np.array(slope, np.float64).reshape(z.shape)
        result = np.empty_like(g)
        for r, row in enumerate(z.tolist()):
            a = np.array(_softmax_row(row))
            result[r] = (np.diag(a) - np.outer(a, a)) @ g[r]  # the Jacobian is symmetric
        return result

    return delta
