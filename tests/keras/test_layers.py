"""Stacks of layers: models within models, copies, changes after compile, layers of one's own."""

import ast
import copy
import pickle
from graphlib import TopologicalSorter
from pathlib import Path

import numpy as np
import pytest

import mlpfast
from mlpfast import keras
from mlpfast.keras import UnsupportedError, layers, losses, optimizers
from mlpfast.keras.layers import Activation, Dense, Dropout, Flatten, Input, Softmax
from mlpfast.keras.models import Sequential

X = np.random.default_rng(0).standard_normal((12, 2, 2)).astype(np.float32)
LABELS = np.arange(12) % 3


@pytest.fixture(autouse=True)
def afresh():
    keras.backend.clear_session()
    keras.utils.set_random_seed(0)


def classifier():
    """A model of logits, as the lessons for beginners have it."""
    model = Sequential([Flatten(input_shape=(2, 2)), Dense(5, "relu"), Dropout(0.2), Dense(3)])
    loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer="adam", loss=loss, metrics=["accuracy"])
    return model


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


# ---------------------------------------------------------------------------- models in models


def test_a_model_within_a_model_shares_its_weights():
    model = classifier()
    answering = Sequential([model, Softmax()])
    np.testing.assert_allclose(answering.predict(X), softmax(model.predict(X)), rtol=1e-5)
    before = answering.predict(X)
    model.fit(X, LABELS, epochs=2, verbose=0)
    assert np.abs(answering.predict(X) - before).max() > 1e-4
    np.testing.assert_allclose(answering.predict(X), softmax(model.predict(X)), rtol=1e-5)
    assert answering.count_params() == model.count_params()
    assert [layer.name for layer in answering.layers] == [layer.name for layer in model.layers] + [
        "softmax"
    ]

    model.compile("sgd", losses.SparseCategoricalCrossentropy(from_logits=True))
    answering.compile(optimizers.SGD(0.1), "sparse_categorical_crossentropy")
    kernel = model.get_weights()[0]
    answering.fit(X, LABELS, verbose=0)
    assert np.abs(model.get_weights()[0] - kernel).max() > 0
    np.testing.assert_allclose(answering.predict(X), softmax(model.predict(X)), rtol=1e-5)


def test_a_model_within_a_model_may_be_built_later_and_anew():
    inner = Sequential([Dense(3)])
    outer = Sequential([inner, Activation("tanh")])
    assert outer.predict(X[:, 0]).shape == (12, 3)
    np.testing.assert_allclose(outer.predict(X[:, 0]), np.tanh(inner.predict(X[:, 0])), rtol=1e-5)
    inner.build((None, 2))
    inner.set_weights([np.ones((2, 3)), np.zeros(3)])
    total = X[:, 0].sum(axis=1, keepdims=True)
    np.testing.assert_allclose(outer.predict(X[:, 0])[:, :1], np.tanh(total), rtol=1e-5)


def test_a_model_has_its_place_in_another():
    model = classifier()
    with pytest.raises(UnsupportedError, match="only layers without weights can follow"):
        Sequential([model, Dense(2)])
    with pytest.raises(UnsupportedError, match="a model within a model comes first"):
        Sequential([Input((3,)), Dense(4), model])
    with pytest.raises(ValueError, match=r"takes samples of shape \(2, 2\), got \(4,\)"):
        Sequential([Input((4,)), model])
    outer = Sequential([model])
    outer.add(Softmax())
    with pytest.raises(UnsupportedError, match="only layers without weights can follow"):
        outer.add(Dense(2))
    assert len(outer.layers) == 5
    outer.pop()
    with pytest.raises(UnsupportedError, match="pop of a layer of model 'sequential'"):
        outer.pop()
    model.fit(X, LABELS, verbose=0)  # it belongs to itself as before


@pytest.mark.parametrize("make", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_stand_on_their_own(make):
    model = classifier()
    model.fit(X, LABELS, verbose=0)
    for original in (model, Sequential([model, Softmax()])):
        twin = make(original)
        np.testing.assert_array_equal(twin.predict(X), original.predict(X))
        before = original.predict(X)
        twin.set_weights([np.zeros_like(w) for w in twin.get_weights()])
        assert np.ptp(twin.predict(X)) < 1e-6
        np.testing.assert_array_equal(original.predict(X), before)
    twin = make(model)
    assert twin.optimizer.iterations == model.optimizer.iterations == 1
    for either in (model, twin):
        keras.utils.set_random_seed(3)
        either.fit(X, LABELS, verbose=0)
    np.testing.assert_array_equal(twin.get_weights()[0], model.get_weights()[0])


# ---------------------------------------------------------------------------- changes


def test_layers_may_change_after_compile():
    model = Sequential([Input((4,)), Dense(5, "relu"), Dense(3, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    rows = X.reshape(12, 4)
    model.fit(rows, LABELS, verbose=0)
    hidden = model.get_weights()[0]
    model.pop()
    np.testing.assert_array_equal(model.get_weights()[0], hidden)
    with pytest.raises(UnsupportedError, match="after 'dense' with activation 'relu'"):
        model.fit(rows, LABELS, verbose=0)
    model.add(Dense(4, "softmax"))
    np.testing.assert_array_equal(model.get_weights()[0], hidden)
    assert model.evaluate(rows, LABELS, verbose=0) > 0
    model.fit(rows, LABELS, verbose=0)


def test_the_same_optimizer_keeps_its_moments():
    rows, targets = X.reshape(12, 4), np.sin(X.reshape(12, 4)[:, :1])
    weights = []
    for anew in (None, "same", "other"):
        keras.utils.set_random_seed(1)
        model = Sequential([Input((4,)), Dense(1)])
        rule = optimizers.Adam(0.1)
        model.compile(rule, "mse")
        model.fit(rows, targets, epochs=3, verbose=0, shuffle=False)
        if anew:
            model.compile(rule if anew == "same" else optimizers.Adam(0.1), "mse", metrics=["mae"])
            assert model.optimizer.iterations == (3 if anew == "same" else 0)
        model.fit(rows, targets, epochs=3, verbose=0, shuffle=False)
        weights.append(model.get_weights()[0])
    np.testing.assert_array_equal(weights[1], weights[0])
    assert np.abs(weights[2] - weights[0]).max() > 1e-3


def test_what_is_missing_at_the_end_is_named():
    model = Sequential([Input((4,)), Dense(3), Dropout(0.5)])
    with pytest.raises(UnsupportedError, match=r"layer 'dropout' \(Dropout\) in its place"):
        model.predict(X.reshape(12, 4))
    with pytest.raises(UnsupportedError, match="a model without a Dense layer"):
        Sequential([Input((2, 2)), Flatten()]).predict(X)
    with pytest.raises(ValueError, match="its inputs are not known"):
        Sequential([Dense(3)]).set_weights([])


# ---------------------------------------------------------------------------- what is refused


class Doubled(layers.Layer):
    def call(self, x):
        return 2 * x


class Halved(Dense):
    def call(self, x):
        return x / 2


class Cubed(losses.Loss):
    def call(self, y_true, y_pred):
        return (y_true - y_pred) ** 3


class Slow(optimizers.SGD):
    def update_step(self, *args):
        """Would never run."""


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: Dense(3, name="a")(X), r"layer 'a' \(Dense\) called like a function"),
        (lambda: Dense(3, name="a")(Input((4,))), "called like a function"),
        (lambda: Sequential([Doubled(name="d")]), r"layer 'd' \(Doubled\), of a class of one's"),
        (lambda: Sequential([Input((4,)), Halved(2)]), r"\(Halved\), of a class of one's own"),
        (lambda: Sequential([Dense]), "a model holds objects .* call the class"),
        (lambda: Sequential(["dense"]), "layer 'dense' is not supported: a model holds"),
        (Cubed, "loss Cubed, a class of one's own"),
        (Slow, "optimizer Slow, a class of one's own"),
        (lambda: losses.MeanSquaredError()(X, X), "MeanSquaredError of arrays"),
        (lambda: losses.mse(X, X), "MeanSquaredError of arrays .* compile a model with it"),
        (lambda: classifier()(X, training=True), "training=True"),
        (lambda: layers.ELU(alpha=0.5), "it must be 1"),
        (lambda: keras.regularizers.l1_l2(l2=0.1), "regularizer L1L2 is not .*: there is L2"),
        (lambda: keras.Variable(3), "class Variable"),
        (lambda: layers.Conv2D(3, 3, name="eye"), "layer Conv2D 'eye' is not .* chains of Dense"),
        (keras.metrics.AUC, "metric AUC is not supported: there are accuracy, Mean"),
        (lambda: optimizers.SGD(clipnorm=1.0), "there are global_clipnorm"),
        (optimizers.Adagrad, "optimizer Adagrad is not supported: there are SGD, Adam"),
    ],
)
def test_what_is_refused_by_name(call, match):
    with pytest.raises(UnsupportedError, match=match):
        call()


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: Sequential(3), "layers must be a list of layers, got 3"),
        (lambda: keras.initializers.RandomNormal("a"), "mean must be a number, got 'a'"),
        (lambda: keras.initializers.RandomUniform(0, "a"), "maxval must be a number, got 'a'"),
    ],
)
def test_what_makes_no_sense(call, match):
    with pytest.raises(TypeError, match=match):
        call()


def test_a_layer_is_in_one_place():
    layer = Dense(4)
    with pytest.raises(UnsupportedError, match="layer 'dense' twice in a model"):
        Sequential([Input((4,)), layer, layer])
    Sequential([Input((4,)), layer])
    with pytest.raises(UnsupportedError, match="layer 'dense' in two models"):
        Sequential([Input((4,)), layer])


# ---------------------------------------------------------------------------- small things


def test_a_model_is_called_like_a_function():
    model = classifier()
    for training in (None, False):
        np.testing.assert_array_equal(model(X, training=training), model.predict(X))


def test_an_axis_of_one_may_be_left_out():
    with_axis = Sequential([Input((2, 2, 1)), Flatten(), Dense(3)])
    np.testing.assert_array_equal(with_axis.predict(X), with_axis.predict(X[..., None]))
    without = classifier()
    np.testing.assert_array_equal(without.predict(X), without.predict(X[..., None]))
    with pytest.raises(ValueError, match=r"x must have shape \(n, 2, 2, 1\), got \(12, 4\)"):
        with_axis.predict(X.reshape(12, 4))


def test_initializers_of_ones_own():
    values = np.arange(6.0).reshape(2, 3)

    def ramp(shape, dtype=None):
        return np.arange(np.prod(shape), dtype=dtype).reshape(shape)

    for rule in (
        keras.initializers.Constant(values),
        keras.initializers.Constant(values.tolist()),
        ramp,
        lambda shape: values,
    ):
        model = Sequential([Input((2,)), Dense(3, kernel_initializer=rule)])
        np.testing.assert_array_equal(model.get_weights()[0], values)
        again = Sequential.from_config(model.get_config())
        assert again.get_weights()[0].shape == (2, 3)
    with pytest.raises(ValueError, match=r"value must have shape \(4, 3\), got \(2, 3\)"):
        Sequential([Input((4,)), Dense(3, kernel_initializer=keras.initializers.Constant(values))])
    with pytest.raises(ValueError, match=r"must return shape \(4, 3\), got \(2, 3\)"):
        Sequential([Input((4,)), Dense(3, kernel_initializer=lambda shape: values)])


@pytest.mark.parametrize("shape", [(7, 4), (4, 7), (5, 5)])
def test_orthogonal_and_identity(shape):
    q = keras.initializers.Orthogonal(gain=2.0, seed=1)(shape, dtype="float32")
    assert q.dtype == np.float32
    gram = q.T @ q if shape[0] >= shape[1] else q @ q.T
    np.testing.assert_allclose(gram, 4 * np.eye(min(shape)), atol=1e-5)
    np.testing.assert_array_equal(keras.initializers.get("identity")(shape), np.eye(*shape))


def test_descriptions_make_the_model_again():
    model = classifier()
    for again in (
        Sequential.from_config(model.get_config()),
        keras.models.clone_model(model),
        keras.models.model_from_json(model.to_json(indent=2)),
    ):
        assert again.name == model.name
        assert [type(x) for x in again.layers] == [type(x) for x in model.layers]
        assert again.output_shape == (None, 3)
        assert not again.compiled
        again.set_weights(model.get_weights())
        np.testing.assert_array_equal(again.predict(X), model.predict(X))
    with pytest.raises(ValueError, match="json_string: not JSON"):
        keras.models.model_from_json("{")
    with pytest.raises(UnsupportedError, match="a model of class 'Functional'"):
        keras.models.model_from_json('{"class_name": "Functional", "config": {}}')


def test_the_net_beneath():
    model = classifier()
    rows = X.reshape(12, 4)
    loss, _ = model.mlp.loss_and_grad(rows, LABELS)
    assert loss == pytest.approx(model.evaluate(X, LABELS, verbose=0)[0], rel=1e-5)
    model.mlp.params = 0 * model.mlp.params
    assert np.ptp(model.predict(X)) == 0
    step = mlpfast.explain_step(model.mlp, rows[0], LABELS[0])
    assert step.loss == pytest.approx(np.log(3))


def test_names_of_keras():
    model = classifier()
    assert model.non_trainable_weights == model.non_trainable_variables == []
    assert len(model.trainable_variables) == len(model.variables) == 4
    assert keras.backend.floatx() == "float32"
    assert keras.__version__
    assert keras.regularizers.L2(0.1)([[1.0, 2.0]]) == pytest.approx(0.5)
    assert layers.ELU().activation.__name__ == "elu"
    named = Sequential([Input((4,)), Dense(2, "softmax")])
    named.compile("sgd", "mse", metrics=[keras.metrics.categorical_accuracy])
    assert named.metrics_names == ["loss", "categorical_accuracy"]


def test_modules_import_each_other_in_one_direction():
    """Also where an import waits for a call, or is for types alone."""
    folder = Path(keras.__file__).parent
    names = {
        ".".join(["mlpfast.keras", *path.relative_to(folder).with_suffix("").parts]): path
        for path in folder.rglob("*.py")
    }
    names = {name.removesuffix(".__init__"): path for name, path in names.items()}
    graph = {}
    for name, path in names.items():
        found = [node for node in ast.walk(ast.parse(path.read_text())) if hasattr(node, "names")]
        imported = {
            f"{getattr(node, 'module', None) or ''}.{alias.name}".lstrip(".")
            for node in found
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
        }
        # a name in a module stands for the module
        imported = {x if x in names else x.rpartition(".")[0] for x in imported}
        graph[name] = (imported & set(names)) - {name}
    assert graph["mlpfast.keras.models"] >= {"mlpfast.keras._sequential", "mlpfast.keras.saving"}
    list(TopologicalSorter(graph).static_order())  # raises CycleError
