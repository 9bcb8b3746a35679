"""The Numba backend as a fallback: what it has no kernel for, it takes from the NumPy backend."""

from pathlib import Path

import numpy as np
import pytest

import mlpfast
from mlpfast.spec import ACTIVATIONS, LOSS_RECORDS

pytest.importorskip("numba")

from mlpfast.backends.numba import activations, jit, losses, memory


def train(backend, **options):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((50, 7)), rng.random((50, 3))
    net = mlpfast.MLP([7, 9, 3], "tanh", random_state=0, backend=backend, dtype="float64")
    history = net.fit(x, y, epochs=2, batch_size=16, **options).history
    gradient = net.loss_and_grad(x, y)[1]
    return net.params, net.predict(x), net.predict(x[0]), gradient, history["loss"]


def assert_same(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.fixture(autouse=True)
def plans_of_each_test():
    """Plans are kept, with the kernels that there were."""
    yield
    memory.plan_of.cache_clear()


def test_every_kernel_is_of_a_record():
    assert set(activations.ACTIVATION_KERNELS) <= set(ACTIVATIONS)
    for name, from_logits in losses.LOSS_KERNELS:
        assert not from_logits or LOSS_RECORDS[name].logits_output


def test_an_activation_without_kernel_runs_on_numpy(monkeypatch):
    monkeypatch.delitem(activations.ACTIVATION_KERNELS, "tanh")
    assert_same(train("numba"), train("numpy"))


@pytest.mark.slow
def test_a_loss_without_kernel_is_trained_by_numpy(monkeypatch):
    monkeypatch.delitem(losses.LOSS_KERNELS, ("mse", False))
    ours, theirs = train("numba"), train("numpy")
    np.testing.assert_array_equal(ours[0], theirs[0])
    np.testing.assert_array_equal(ours[3], theirs[3])


@pytest.mark.slow
def test_clipping_is_left_to_numpy():
    options = {"optimizer": mlpfast.SGD(0.1, clip_norm=0.01)}
    np.testing.assert_array_equal(train("numba", **options)[0], train("numpy", **options)[0])


def test_the_cache_sees_an_edit_of_any_file():
    dates = jit.dates()
    assert {name for name, _ in dates} == {
        path.name for path in Path(jit.__file__).parent.glob("*.py")
    }
    kernel = activations.ACTIVATION_KERNELS["relu"][0]
    kernel.address("float32")
    file = kernel.compiled["float32", "float64"]._cache._cache_file
    assert file._source_stamp[1] == dates
