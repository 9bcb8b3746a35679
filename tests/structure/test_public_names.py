"""What `dir` shows of the modules that users import, and that every operation has its names."""

import importlib
import pkgutil
import types
from dataclasses import replace

import numpy as np
import pytest

import mlpfast
from mlpfast import keras
from mlpfast.spec import ACTIVATION_RECORDS, FORWARD_ONLY, LOSS_RECORDS


def is_for_users(name, is_package):
    """Packages, modules at the root, the whole of the Keras face, and three more."""
    parts = name.split(".")[1:]
    if any(part.startswith("_") for part in parts) or name == "mlpfast.backends.numba":
        return False
    more = ("spec.schedules", "training.callbacks", "training.history")
    return is_package or len(parts) == 1 or parts[0] == "keras" or ".".join(parts) in more


PUBLIC = [
    "mlpfast",
    *(
        module.name
        for module in pkgutil.walk_packages(mlpfast.__path__, "mlpfast.", onerror=lambda _: None)
        if is_for_users(module.name, module.ispkg)
    ),
]


@pytest.mark.parametrize("name", PUBLIC)
def test_dir_shows_public_names_alone(name):
    if name.startswith("mlpfast.sklearn"):
        pytest.importorskip("sklearn")
    module = importlib.import_module(name)
    shown = set(dir(module))
    if name == "mlpfast":
        lazy = {"MLPClassifier", "MLPRegressor", "patch_sklearn", "unpatch_sklearn"}
        assert shown == {*module.__all__, *lazy, "keras", "sklearn"}
    else:
        assert shown == set(module.__all__)
    for each in shown:
        value = getattr(module, each)
        assert each == "__version__" or not each.startswith("_")
        assert getattr(value, "__module__", "mlpfast").startswith("mlpfast") or each in shown_types
        if isinstance(value, types.ModuleType):
            assert value.__name__.startswith("mlpfast.")


#: Aliases of types, which belong to the module that made the type.
shown_types = {"RandomState", "Rule", "Loss", "LearningRate"}


def test_this_looks_at_the_modules_it_is_for():
    assert {"mlpfast.datasets", "mlpfast.kernels", "mlpfast.keras.losses", "mlpfast.sklearn"} <= {
        *PUBLIC
    }


# ---------------------------------------------------------------------------- operations
# A record in `mlpfast.spec` is all that the faces need of an activation or a loss.

KERAS_ACTIVATIONS = [(n, record) for record in ACTIVATION_RECORDS.values() for n in record.keras]
KERAS_LOSSES = [record for record in LOSS_RECORDS.values() if record.keras]
SKLEARN_LOSSES = [record for record in LOSS_RECORDS.values() if record.sklearn]


def in_range(record, n):
    low, high = max(record.low, -1.0), min(record.high, 1.0)
    return np.random.default_rng(0).uniform(low, high, (n, 1)).astype(np.float32)


@pytest.mark.parametrize(("name", "record"), KERAS_ACTIVATIONS, ids=lambda value: str(value)[:12])
def test_activation_of_keras(name, record):
    function = getattr(keras.activations, name)
    assert keras.activations.get(name).__name__ == function.__name__ == name
    for given in (name, function):
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, activation=given)])
        assert model.mlp.spec.activations == (record.name,)
    X = np.random.default_rng(0).normal(size=(4, 2)).astype(np.float32)
    out = mlpfast.kernels.dense_forward(X, np.eye(2, dtype="f4"), None, record.name)
    np.testing.assert_allclose(function(X), out, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("record", KERAS_LOSSES, ids=lambda record: record.name)
def test_loss_of_keras(record):
    kind = getattr(keras.losses, record.keras)
    snake = keras.losses.get(record.keras).name, keras.losses.get(kind()).engine_name
    assert snake == (record.name, record.name)
    by_snake = next(n for n in dir(keras.losses) if n.replace("_", "") == record.keras.lower())
    y = in_range(record, 8)
    X = np.random.default_rng(1).normal(size=(8, 3)).astype(np.float32)
    losses = []
    for given in (record.keras, kind, kind(), by_snake, getattr(keras.losses, by_snake)):
        keras.utils.set_random_seed(0)
        out = keras.layers.Dense(1, activation="softplus")
        model = keras.Sequential([keras.Input((3,)), out])
        model.compile("sgd", given)
        assert model.mlp.spec.loss == record.name
        losses.append(model.evaluate(X, y, verbose=0))
    net = mlpfast.MLP.from_spec(replace(model.mlp.spec, loss=record.name), model.mlp.params)
    np.testing.assert_allclose(losses, net.evaluate(X, y)["loss"], rtol=1e-6)


@pytest.mark.parametrize("name", sorted(set(ACTIVATION_RECORDS) - FORWARD_ONLY))
def test_activation_of_the_estimators(name):
    pytest.importorskip("sklearn")
    X, y = np.random.default_rng(0).normal(size=(20, 3)), np.arange(20.0)
    options = {"max_iter": 1, "random_state": 0, "hidden_layer_sizes": (4,), "alpha": 0.0}
    nets = []
    for given in {name, ACTIVATION_RECORDS[name].sklearn}:
        estimator = mlpfast.MLPRegressor(activation=given, **options)
        estimator.partial_fit(X, y)
        nets.append(estimator.predict(X))
    weights, biases = estimator.coefs_, estimator.intercepts_
    hidden = mlpfast.kernels.dense_forward(X, weights[0], biases[0], name)
    for predicted in nets:
        np.testing.assert_allclose(predicted, (hidden @ weights[1] + biases[1])[:, 0], rtol=1e-7)


@pytest.mark.parametrize("record", SKLEARN_LOSSES, ids=lambda record: record.name)
def test_loss_of_the_estimators(record):
    pytest.importorskip("sklearn")
    X = np.random.default_rng(0).normal(size=(20, 3))
    y = in_range(record, 20)[:, 0].astype(np.float64)
    seen = []
    options = {"max_iter": 1, "random_state": 0, "alpha": 0.0}
    estimator = mlpfast.MLPRegressor(
        record.sklearn, callbacks=[lambda net, *_: seen.append(net.spec)], **options
    )
    estimator.partial_fit(X, y)
    assert [spec.loss for spec in seen] == [record.name]
    assert seen[0].activations[-1] == (record.required_output or "identity")
