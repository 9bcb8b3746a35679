"""The compiled backend takes the arrays of a record as they are: a wrong one is refused."""

import numpy as np
import pytest

import mlpfast
from mlpfast import backends
from mlpfast.backends.base import Data, Epochs, RunOptions

pytestmark = pytest.mark.skipif("cpp" not in backends.available(), reason="needs the extension")


def f32(*shape):
    return np.zeros(shape, np.float32)


def i64(*shape):
    return np.zeros(shape, np.int64)


GOOD = {
    "data": {"x": f32(6, 3), "y": f32(6, 2), "sample_weight": None, "input_scale": 1.0},
    "epochs": {"learning_rates": np.full(1, 0.1), "orders": None, "dropout_keys": None},
    "options": {"batch_size": 4, "l2": (0.0, 0.0), "stop": np.zeros(1, np.uint8)},
}


def run(**changed):
    fields = {kind: {**good, **changed.get(kind, {})} for kind, good in GOOD.items()}
    net = mlpfast.MLP([3, 5, 2], random_state=0, backend="cpp")
    trainer = net.engine.trainer(net.spec, net.params, mlpfast.SGD(0.1))
    data = Data(**fields["data"])
    return net, data, trainer.run(data, Epochs(**fields["epochs"]), RunOptions(**fields["options"]))


def test_right_arrays_are_taken():
    order = np.arange(6)[None].copy()
    assert run()[2].status == "ok"
    assert run(epochs={"orders": order})[2].status == "ok"
    assert run(data={"y": i64(6), "sample_weight": np.ones(6, np.float32)})[2].status == "ok"
    assert run(data={"x": np.zeros((6, 3), np.uint8)})[2].status == "ok"
    assert run(options={"batch_size": 10**30})[2].status == "ok"


WRONG = {
    "x as list": ("data", {"x": [[0.0] * 3] * 6}),
    "x of a third dtype": ("data", {"x": np.zeros((6, 3), np.int32)}),
    "y of another dtype": ("data", {"y": np.zeros((6, 2))}),
    "y of columns": ("data", {"y": np.asfortranarray(f32(6, 2))}),
    "y of every other row": ("data", {"y": f32(12, 2)[::2]}),
    "labels of another dtype": ("data", {"y": np.zeros(6, np.int32)}),
    "every other label": ("data", {"y": i64(12)[::2]}),
    "weights of another dtype": ("data", {"sample_weight": np.ones(6)}),
    "every other weight": ("data", {"sample_weight": np.ones(12, np.float32)[::2]}),
    "rates of another dtype": ("epochs", {"learning_rates": f32(1)}),
    "no rates": ("epochs", {"learning_rates": None}),
    "rates as list": ("epochs", {"learning_rates": [0.1]}),
    "orders of another dtype": ("epochs", {"orders": np.zeros((1, 6), np.int32)}),
    "orders as columns": ("epochs", {"orders": np.asfortranarray(i64(2, 6))}),
    "keys of another dtype": ("epochs", {"dropout_keys": i64(1)}),
    "stop of another dtype": ("options", {"stop": i64(1)}),
    "stop as list": ("options", {"stop": [0]}),
    "a fraction of a row": ("options", {"batch_size": 2.5}),
    "l2 of text": ("options", {"l2": ("a", "b")}),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arrays_are_refused(name):
    kind, changed = WRONG[name]
    with pytest.raises((TypeError, RuntimeError, ValueError)):
        run(**{kind: changed})


@pytest.mark.parametrize("name", [name for name, (kind, _) in WRONG.items() if kind == "data"])
def test_other_calls_refuse_them_too(name):
    net = mlpfast.MLP([3, 5, 2], random_state=0, backend="cpp")
    data = Data(**{**GOOD["data"], **WRONG[name][1]})
    grad = np.empty_like(net.params)
    for call in (
        lambda: net.engine.loss_and_grad(net.spec, net.params, data, grad),
        lambda: net.engine.gradient_of(net.spec, net.params, data)(grad),
        lambda: net.engine.evaluate(net.spec, net.params, data),
    ):
        with pytest.raises(TypeError):
            call()
