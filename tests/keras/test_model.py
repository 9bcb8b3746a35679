"""The face of Keras: both spellings, what is translated to what, and what is refused by name."""

import importlib
import io
import os
import re
import subprocess
import sys
from contextlib import redirect_stdout

import numpy as np
import pytest

import mlpfast
from mlpfast import keras
from mlpfast.keras import UnsupportedError, layers, losses, metrics, optimizers, utils
from mlpfast.keras.layers import Activation, Dense, Dropout, Flatten, Input, Rescaling
from mlpfast.keras.models import Sequential

X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
Y = np.array([[0], [1], [1], [0]])


@pytest.fixture(autouse=True)
def afresh():
    utils.clear_session()
    utils.set_random_seed(0)


def small(*extra, loss="mse", optimizer="sgd", **options):
    model = Sequential([Input((2,)), Dense(3, "tanh"), *extra, Dense(1, "sigmoid")])
    model.compile(optimizer, loss, **options)
    return model


def quiet(model, x=X, y=Y, **options):
    return model.fit(x, y, **{"verbose": 0, **options}).history


# ---------------------------------------------------------------------------- the lesson


def test_a_line():
    model = keras.Sequential()
    model.add(layers.Dense(1, input_dim=1))
    model.compile(loss="mean_squared_error", optimizer="sgd")
    x = np.linspace(-1, 1, 50)
    history = model.fit(x, 3 * x + 1, batch_size=10, epochs=300, verbose=0)
    assert history.history["loss"][-1] < 1e-6
    np.testing.assert_allclose(model.predict(x[:3], batch_size=1)[:, 0], 3 * x[:3] + 1, atol=0.01)
    assert model.evaluate(x, 3 * x + 1, verbose=0) < 1e-6  # a number where there are no metrics


def test_xor_in_the_old_spelling():
    models = keras.models
    model = models.Sequential()
    model.add(layers.Dense(2, activation="sigmoid", input_dim=2))
    model.add(layers.Dense(1, activation="sigmoid"))
    sgd = optimizers.SGD(lr=0.1)
    assert sgd.lr == sgd.learning_rate == 0.1
    model.compile(loss="mean_squared_error", optimizer=sgd, metrics=["accuracy"])
    model.set_weights([[[4.0, -4.0], [-4.0, 4.0]], [-2.0, -2.0], [[5.0], [5.0]], [-2.0]])
    model.fit(X, Y, batch_size=1, epochs=10_000, verbose=0)
    # The lesson's figures after 10,000 epochs of a run that is not stuck; here of a good start.
    np.testing.assert_allclose(model.predict(X)[:, 0], [0.027, 0.970, 0.970, 0.037], atol=0.012)
    loss, accuracy = model.evaluate(X, Y, verbose=0)
    assert loss < 0.002
    assert accuracy == 1.0


@pytest.mark.slow
def test_the_mnist_lesson_in_short(mnist_dir):
    (x, y), (x_test, y_test) = keras.datasets.mnist.load_data(mnist_dir)
    assert x.shape == (60000, 28, 28)
    assert (x.dtype, y.dtype) == (np.uint8, np.uint8)
    x, x_test = (v.reshape(-1, 784).astype("float32") / 255 for v in (x, x_test))
    y, y_test = utils.to_categorical(y, 10), utils.to_categorical(y_test, 10)
    model = keras.models.Sequential()
    model.add(layers.Dense(512, activation="sigmoid", input_shape=(784,)))
    model.add(layers.Dense(10, activation="sigmoid"))
    model.compile(loss="mse", optimizer="sgd", metrics=["accuracy"])
    history = model.fit(x[:20000], y[:20000], batch_size=128, epochs=2, verbose=0)
    assert history.history["loss"][1] < history.history["loss"][0]
    loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
    assert loss < 0.1
    assert accuracy > 0.1


def test_summary_is_the_table_of_keras(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    model = Sequential(name="lesson")
    model.add(Dense(512, activation="sigmoid", input_shape=(784,)))
    model.add(Dense(10, activation="sigmoid"))
    expected = """\
Model: "lesson"
┏━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━┓
┃ Layer (type)                    ┃ Output Shape           ┃       Param # ┃
┡━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━┩
│ dense (Dense)                   │ (None, 512)            │       401,920 │
├─────────────────────────────────┼────────────────────────┼───────────────┤
│ dense_1 (Dense)                 │ (None, 10)             │         5,130 │
└─────────────────────────────────┴────────────────────────┴───────────────┘
 Total params: 407,050 (1.55 MB)
 Trainable params: 407,050 (1.55 MB)
 Non-trainable params: 0 (0.00 B)
"""
    with redirect_stdout(io.StringIO()) as text:
        model.summary()
    assert text.getvalue() == expected
    given = []
    model.summary(print_fn=given.append)
    assert given == [expected]
    model.compile("adam", "mse")
    quiet(model, np.zeros((1, 784)), np.zeros((1, 10)))
    with redirect_stdout(io.StringIO()) as text:
        model.summary(line_length=60)
    assert " Total params: 1,221,152 (4.66 MB)" in text.getvalue()
    assert " Optimizer params: 814,102 (3.11 MB)" in text.getvalue()
    assert len(text.getvalue().splitlines()[1]) == 60


def test_summary_of_a_model_that_knows_no_inputs():
    model = Sequential([Dense(3), Activation("relu")])
    text = []
    model.summary(print_fn=text.append)
    assert "dense (Dense)" in text[0]
    assert "0 (unbuilt)" in text[0]
    assert "Total params: 0 (0.00 B)" in text[0]


# ---------------------------------------------------------------------------- layers


def test_layers_fold_into_a_chain():
    model = Sequential(
        [
            Input(shape=(4, 5)),
            Rescaling(1 / 4),
            Flatten(),
            Dense(6, kernel_regularizer="l2"),
            layers.ReLU(),
            Dense(5, layers.activations.tanh),
            Activation("linear"),
            Dense(3),
            layers.Softmax(),
        ]
    )
    chain = model._chain
    assert chain.sizes == (20, 6, 5, 3)
    assert chain.activations == ("relu", "tanh", "softmax")
    assert (chain.scale, chain.offset) == (0.25, 0.0)
    assert chain.l2 == (0.02, 0.0, 0.0)
    assert model.input_shape == (None, 4, 5)
    assert model.output_shape == (None, 3)
    assert [layer.output_shape for layer in model.layers[:3]] == [
        (None, 4, 5),
        (None, 20),
        (None, 6),
    ]
    x = np.random.default_rng(0).integers(9, size=(7, 4, 5)).astype(np.uint8)
    net = mlpfast.MLP([20, 6, 5, 3], ["relu", "tanh"], "softmax", "categorical_crossentropy")
    net.params = np.concatenate([np.ravel(w) for w in model.get_weights()])
    want = net.predict(x.reshape(7, 20).astype(np.float32) / 4)
    np.testing.assert_allclose(model.predict(x), want, rtol=1e-5)
    np.testing.assert_array_equal(model(x), model.predict_on_batch(x))


def test_rescaling_with_an_offset():
    model = Sequential([Input((3,)), Rescaling(2.0, 1.0), Rescaling(1 / 4, -1), Dense(3)])
    model.set_weights([np.eye(3), np.zeros(3)])
    x = np.array([[0, 4, 255]], np.uint8)
    np.testing.assert_allclose(model.predict(x), (x * 2.0 + 1) / 4 - 1)


def test_weights_survive_a_change_of_the_stack():
    model = Sequential([Input((2,)), Dense(3, "tanh"), Dense(1)])
    kernel = model.layers[0].get_weights()[0]
    last = model.pop()
    assert [layer.name for layer in model.layers] == ["dense"]
    np.testing.assert_array_equal(model.layers[0].kernel, kernel)
    model.add(Dense(4, name="new"))
    np.testing.assert_array_equal(model.get_layer("dense").kernel, kernel)
    assert model.get_layer(index=1).name == "new"
    assert model.output_shape == (None, 4)
    assert last.count_params() == 4
    assert not last.built
    before = model.get_weights()
    model.compile("adam", "mse")
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_weights_are_made_when_the_inputs_are_known():
    model = Sequential([Dense(3), Dense(1)])
    assert not model.built
    assert model.weights == []
    with pytest.raises(ValueError, match="no weights yet"):
        model.set_weights([])
    model.build((None, 5))
    assert [w.shape for w in model.weights] == [(5, 3), (3,), (3, 1), (1,)]
    late = Sequential([Dense(1)])
    late.compile("sgd", "mse")
    late.fit(np.zeros((4, 7)), np.zeros(4), verbose=0)
    assert late.input_shape == (None, 7)


def test_setting_weights_is_all_or_nothing():
    model = small()
    before = model.get_weights()
    wrong = [w + 1 for w in before[:-1]] + [np.zeros(2)]
    with pytest.raises(ValueError, match=r"weights\[3\] of model .* must have shape \(1,\)"):
        model.set_weights(wrong)
    with pytest.raises(ValueError, match="has 4 arrays of weights, got 3"):
        model.set_weights(wrong[:3])
    with pytest.raises(ValueError, match="must be finite"):
        model.set_weights([np.full_like(w, np.nan) for w in before])
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)
    model.layers[0].set_weights([np.ones((2, 3)), np.zeros(3)])
    assert model.layers[0].kernel.sum() == 6  # the model itself


def test_initializers():
    rules = keras.initializers
    shape = (300, 200)
    for name, deviation in {
        "glorot_uniform": np.sqrt(2 / 500),
        "glorot_normal": np.sqrt(2 / 500),
        "he_normal": np.sqrt(2 / 300),
        "he_uniform": np.sqrt(2 / 300),
        "lecun_normal": np.sqrt(1 / 300),
        "lecun_uniform": np.sqrt(1 / 300),
        "random_normal": 0.05,
        "truncated_normal": 0.05 * 0.8796256610342398,
        "random_uniform": 0.05 / np.sqrt(3),
        "zeros": 0.0,
    }.items():
        values = rules.get(name)(shape)
        assert values.dtype == np.float32
        assert values.std() == pytest.approx(deviation, rel=0.02)
        assert values.mean() == pytest.approx(0.0, abs=1e-3)
    assert np.abs(rules.TruncatedNormal(0.0, 1.0)(shape)).max() <= 2
    layer = Dense(2, kernel_initializer=rules.Constant(0.5), bias_initializer="ones")
    Sequential([Input((3,)), layer])
    assert layer.kernel.tolist() == [[0.5, 0.5]] * 3
    assert layer.bias.tolist() == [1, 1]
    np.testing.assert_array_equal(rules.HeNormal(seed=3)((4, 5)), rules.HeNormal(seed=3)((4, 5)))
    drawn = rules.VarianceScaling(2.0, "fan_out", "untruncated_normal")(shape)
    assert drawn.std() == pytest.approx(np.sqrt(2 / 200), rel=0.02)


def test_one_seed_for_weights_and_orders():
    runs = []
    for seed in (5, 5, 6):
        utils.set_random_seed(seed)
        model = small(optimizer="adam")
        quiet(model, epochs=5, batch_size=1)
        runs.append(np.concatenate([w.ravel() for w in model.get_weights()]))
    np.testing.assert_array_equal(runs[0], runs[1])
    assert np.abs(runs[2] - runs[0]).max() > 1e-3


# ---------------------------------------------------------------------------- data


def test_accuracy_has_three_meanings():
    x = np.eye(3)
    one = Sequential([Input((3,)), Dense(1, "sigmoid", use_bias=False)])
    one.set_weights([[[-1.0], [1.0], [2.0]]])
    one.compile("sgd", "mse", metrics=["accuracy"])
    assert one.evaluate(x, [0, 0, 1], verbose=0)[1] == pytest.approx(2 / 3)
    many = Sequential([Input((3,)), Dense(3, "softmax", use_bias=False)])
    many.set_weights([np.eye(3)])
    many.compile("sgd", "categorical_crossentropy", metrics=["acc"])
    assert many.evaluate(x, np.eye(3)[[0, 0, 2]], verbose=0)[1] == pytest.approx(2 / 3)
    many.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    assert many.evaluate(x, [0, 1, 1], verbose=0)[1] == pytest.approx(2 / 3)
    kinds = [type(m) for model in (one, many) for m in model.resolved_metrics]
    assert kinds == [metrics.BinaryAccuracy, metrics.SparseCategoricalAccuracy]


def test_history_has_the_names_of_compile():
    model = small(metrics=["acc", "mse", metrics.MeanAbsoluteError()])
    history = quiet(model, epochs=3, validation_data=(X, Y))
    names = ["acc", "loss", "mean_absolute_error", "mse"]
    assert list(history) == [*names, *("val_" + name for name in names)]
    assert {len(values) for values in history.values()} == {3}
    assert model.metrics_names == ["loss", "acc", "mse", "mean_absolute_error"]
    assert model.history.epoch == [0, 1, 2]
    figures = model.evaluate(X, Y, verbose=0, return_dict=True)
    assert list(figures) == model.metrics_names
    assert figures["mse"] == pytest.approx(figures["loss"])
    assert history["val_mse"][-1] == pytest.approx(figures["mse"])


def test_a_split_takes_the_last_rows():
    x = np.arange(10.0)[:, None]
    model = Sequential([Input((1,)), Dense(1, use_bias=False, kernel_initializer="ones")])
    model.compile(optimizers.SGD(0.0), "mse")
    history = quiet(model, x, np.zeros(10), validation_split=0.25)
    assert history["loss"] == [pytest.approx(np.mean(x[:7] ** 2))]
    assert history["val_loss"] == [pytest.approx(np.mean(x[7:] ** 2))]
    with pytest.raises(ValueError, match="leaves 0 of 1 rows"):
        quiet(model, x[:1], [0.0], validation_split=0.5)


def test_batches_one_by_one():
    model, other = small(metrics=["accuracy"]), small(metrics=["accuracy"])
    other.set_weights(model.get_weights())
    want = model.test_on_batch(X, Y)
    assert model.train_on_batch(X, Y) == pytest.approx(want)
    assert model.optimizer.iterations == 1
    assert model.history is None
    quiet(other, batch_size=4, shuffle=False)
    for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    figures = model.train_on_batch(X, Y, class_weight={0: 2.0}, return_dict=True)
    assert list(figures) == ["loss", "accuracy"]


def test_moments_last_until_compile():
    whole, parts, again = (small(optimizer=optimizers.Adam(0.1)) for _ in range(3))
    for model in (parts, again):
        model.set_weights(whole.get_weights())
    quiet(whole, epochs=4, batch_size=4)
    for model in (parts, again):
        quiet(model, epochs=2, batch_size=4)
    again.compile(optimizers.Adam(0.1), "mse")
    for model in (parts, again):
        quiet(model, epochs=2, batch_size=4)
    np.testing.assert_array_equal(parts.get_weights()[0], whole.get_weights()[0])
    assert np.abs(again.get_weights()[0] - whole.get_weights()[0]).max() > 1e-4
    assert (parts.optimizer.iterations, again.optimizer.iterations) == (4, 2)


def test_logits_are_predicted_and_probabilities_learned():
    model = Sequential([Input((2,)), Dense(3)])
    model.compile("sgd", losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["acc"])
    quiet(model, X, [0, 1, 2, 0], epochs=3)
    kernel, bias = model.get_weights()
    np.testing.assert_allclose(model.predict(X), X @ kernel + bias, rtol=1e-5, atol=1e-6)


def test_old_decay_is_a_schedule():
    sgd = optimizers.SGD(lr=0.1, decay=0.5, momentum=0.9, nesterov=True)
    model = small(optimizer=sgd)
    quiet(model, epochs=2, batch_size=2)
    assert sgd.iterations == 4
    assert sgd.learning_rate == pytest.approx(0.1 / 3)
    with pytest.raises(TypeError, match="follows a schedule"):
        sgd.learning_rate = 0.2


def test_the_rate_may_be_set_between_fits():
    model = small(optimizer="sgd")
    model.optimizer.learning_rate = 0.0
    before = model.get_weights()
    quiet(model, epochs=2)
    np.testing.assert_array_equal(model.get_weights()[0], before[0])
    model.optimizer.lr = 0.5
    quiet(model, epochs=2)
    assert np.abs(model.get_weights()[0] - before[0]).max() > 1e-4


def test_to_categorical():
    assert utils.to_categorical([0, 2, 1]).tolist() == [[1, 0, 0], [0, 0, 1], [0, 1, 0]]
    assert utils.to_categorical(np.array([[1], [0]]), 3).tolist() == [[0, 1, 0], [1, 0, 0]]
    for wrong in ([3], [-1]):
        with pytest.raises(ValueError, match=r"x must hold labels 0..2"):
            utils.to_categorical(wrong, 3)


def test_progress(capsys):
    model = small(metrics=["accuracy"])
    model.fit(X, Y, epochs=2, verbose=2, initial_epoch=1)
    first, second = capsys.readouterr().out.splitlines()
    figures = r"[0-9]+(ms|us)/step - accuracy: [01]\.[0-9]{4} - loss: 0\.[0-9]{4}"
    assert first == "Epoch 2/2"
    assert re.fullmatch(rf"1/1 - 0s - {figures}", second)
    model.evaluate(X, Y, batch_size=3)
    assert re.fullmatch(rf"2/2 - 0s - {figures}\n", capsys.readouterr().out)
    model.fit(X, Y, epochs=1, verbose=0)
    model.predict(X)
    assert capsys.readouterr().out == ""


def test_fashion_mnist_from_a_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MLPFAST_DATA", str(tmp_path))
    (tmp_path / "fashion_mnist").mkdir()
    with pytest.raises(FileNotFoundError, match="fashion_mnist has no file train-images"):
        keras.datasets.fashion_mnist.load_data()


def test_mnist_from_a_file_and_from_keras_own_cache(tmp_path, monkeypatch):
    monkeypatch.delenv("MLPFAST_DATA", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    folder = tmp_path / "datasets"
    (folder / "fashion-mnist").mkdir(parents=True)
    rng = np.random.default_rng(0)
    images, labels = rng.integers(256, size=(5, 28, 28), dtype=np.uint8), np.arange(5, dtype="u1")
    parts = {"x_train": images, "y_train": labels, "x_test": images[:2], "y_test": labels[:2]}
    np.savez(folder / "mnist.npz", **parts)
    for path in (None, "mnist.npz", folder / "mnist.npz", "other.npz"):
        (x, y), (x_test, y_test) = keras.datasets.mnist.load_data(path)
        np.testing.assert_array_equal(x, images)
        np.testing.assert_array_equal(y, labels)
        assert len(x_test) == len(y_test) == 2
    np.savez(folder / "bad.npz", **{**parts, "y_test": labels.astype(float)})
    with pytest.raises(ValueError, match=r"bad\.npz: must hold .*; y_test is not so"):
        keras.datasets.mnist.load_data(folder / "bad.npz")
    with pytest.raises(FileNotFoundError, match="fashion-mnist has no file train-images"):
        keras.datasets.fashion_mnist.load_data()


# ---------------------------------------------------------------------------- what is refused

REFUSED = {
    "layer Conv2D": lambda: layers.Conv2D(32, 3),
    "layer BatchNormalization": layers.BatchNormalization,
    "functional or subclassed model Model": keras.Model,
    "optimizer Adagrad": lambda: optimizers.Adagrad(0.1),
    "optimizer 'nadam'": lambda: small(optimizer="nadam"),
    "loss Hinge": losses.Hinge,
    "loss 'hinge'": lambda: small(loss="hinge"),
    "metric AUC": metrics.AUC,
    "metric 'auc'": lambda: small(metrics=["auc"]),
    "activation 'hard_silu'": lambda: Dense(3, "hard_silu"),
    "regularizer L1": lambda: keras.regularizers.L1(0.1),
    "regularizer 'l1'": lambda: Dense(3, kernel_regularizer="l1"),
    "initializer 'dirac'": lambda: Dense(3, kernel_initializer="dirac"),
    "bias_regularizer='l2'": lambda: Dense(3, bias_regularizer="l2"),
    "trainable=False": lambda: Dense(3, trainable=False),
    "dtype='float16'": lambda: Dense(3, dtype="float16"),
    "SGD: clipnorm=1.0": lambda: optimizers.SGD(clipnorm=1.0),
    "Adam: amsgrad=True": lambda: optimizers.Adam(amsgrad=True),
    "SGD: weight_decay=0.1": lambda: optimizers.SGD(weight_decay=0.1),
    "RMSprop: centered=True": lambda: optimizers.RMSprop(centered=True),
    "Adam: use_ema=True": lambda: optimizers.Adam(use_ema=True),
    r"MeanSquaredError\(reduction='sum'\)": lambda: losses.MeanSquaredError(reduction="sum"),
    "compile: loss_weights": lambda: small(loss_weights=[1.0]),
    "compile: weighted_metrics": lambda: small(weighted_metrics=["accuracy"]),
    "fit: steps_per_epoch=3": lambda: quiet(small(), steps_per_epoch=3),
    "x: a generator": lambda: quiet(small(), x=(x for x in X)),
    r"CategoricalCrossentropy after 'dense_1' with activation 'sigmoid'": lambda: small(
        loss="categorical_crossentropy"
    ),
    r"from_logits=True\) after 'dense_1' with activation 'sigmoid'": lambda: small(
        loss=losses.BinaryCrossentropy(from_logits=True)
    ),
    "Dense 'dense' on samples of shape": lambda: Sequential([Input((4, 5)), Dense(3)]),
    "'activation' .* must follow a Dense without": lambda: Sequential(
        [Input((4,)), Dense(3, "relu"), Activation("tanh")]
    ),
    "'rescaling' .* before the first Dense": lambda: Sequential(
        [Input((4,)), Dense(3), Rescaling(2.0)]
    ),
    "use_bias=False beside 'dense'": lambda: Sequential(
        [Input((4,)), Dense(3), Dense(3, use_bias=False)]
    ),
    "'dense' in two models": lambda: Sequential(small().layers[:1]),
    "metric 'mse' with SparseCategorical": lambda: quiet(
        labelled("sparse_categorical_crossentropy", ["mse"]), y=[0, 1, 2, 0]
    ),
    "metric 'accuracy' with threshold=0.5": lambda: quiet(logits(["accuracy"])),
}


def labelled(loss, names):
    model = Sequential([Input((2,)), Dense(3, "softmax")])
    model.compile("sgd", loss, metrics=names)
    return model


def logits(names):
    model = Sequential([Input((2,)), Dense(1)])
    model.compile("sgd", losses.BinaryCrossentropy(from_logits=True), metrics=names)
    return model


@pytest.mark.parametrize("match", REFUSED)
def test_what_mlpfast_has_not_is_named(match):
    with pytest.raises(UnsupportedError, match=match):
        REFUSED[match]()


def test_refusals_leave_the_model_as_it_was():
    model = Sequential([Input((4,)), Dense(3, "relu")])
    kernel = model.layers[0].kernel.copy()
    for wrong in (Activation("tanh"), Dense(2, use_bias=False), Rescaling(2.0)):
        with pytest.raises(UnsupportedError):
            model.add(wrong)
    assert len(model.layers) == 1
    np.testing.assert_array_equal(model.layers[0].kernel, kernel)
    model.compile("sgd", "mse")
    with pytest.raises(UnsupportedError):
        model.compile("adam", "categorical_crossentropy")
    assert type(model.optimizer).__name__ == "SGD"


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda m: quiet(m, x=np.zeros((4, 3))), r"x must have shape \(n, 2\), got \(4, 3\)"),
        (lambda m: quiet(m, y=np.zeros((4, 2))), r"y must have shape \(n, 1\), got \(4, 2\)"),
        (lambda m: quiet(m, y=[1, 0, 1]), r"y must have as many rows as x \(4\), got 3"),
        (lambda m: quiet(m, sample_weight=[1, 2]), r"sample_weight must have shape \(4,\)"),
        (lambda m: quiet(m, sample_weight=np.ones(4), class_weight={0: 1}), "cannot both be given"),
        (lambda m: quiet(m, validation_data=3), "validation_data must be"),
        (lambda m: quiet(m, y=None), "y is missing"),
        (lambda m: quiet(m, verbose="much"), "verbose must be one of"),
        (lambda m: m.compile("sgd"), "compile needs a loss"),
        (lambda m: m.add(Input((3,))), "must be the first layer"),
        (lambda m: m.get_layer("other"), "no layer called 'other'; there are dense, dense_1"),
        (lambda _: Sequential().fit(X, Y), "must be compiled first"),
        (lambda _: labelled("categorical_crossentropy", []).fit(X, [0, 1, 2, 0]), "class labels"),
        (
            lambda _: labelled("sparse_categorical_crossentropy", []).fit(
                X, np.eye(3)[[0, 1, 2, 0]]
            ),
            "must hold class labels",
        ),
    ],
)
def test_bad_input_is_one_clear_error(call, match):
    with pytest.raises(ValueError, match=match):
        call(small())


def test_accuracy_of_other_targets_warns():
    model = small(metrics=["accuracy"])
    with pytest.warns(UserWarning, match="accuracy is for targets that are 0 or 1"):
        quiet(model, y=[0.1, 0.5, 0.2, 1.0])


def test_imports_of_what_is_not_used_do_no_harm():
    module = importlib.import_module("mlpfast.keras.layers")
    assert module.LSTM.__name__ == "LSTM"
    with pytest.raises(AttributeError, match="no attribute 'lstm'"):
        _ = module.lstm


def test_optimizers_and_losses_by_any_name():
    for name in ("SGD", "sgd", "Adam", "rmsprop", "RMSprop", "AdamW"):
        assert type(optimizers.get(name)).__name__.lower() == name.lower()
    assert isinstance(optimizers.get(optimizers.Adam), optimizers.Adam)
    for name in ("mse", "MeanSquaredError", "mean_squared_error", losses.mean_squared_error):
        assert isinstance(losses.get(name), losses.MeanSquaredError)
    with pytest.raises(TypeError, match="unknown argument 'rate'"):
        optimizers.SGD(rate=0.1)
    with pytest.raises(TypeError, match="metrics must be a list"):
        small(metrics="accuracy")


def test_keras_and_its_backend_are_left_alone():
    """The face needs neither Keras nor h5py to run."""
    code = "import sys, mlpfast; face = mlpfast.keras.Sequential; "
    code += "assert not {'keras', 'h5py'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ)


# ---------------------------------------------------------------------------- dropout


def test_dropout_goes_to_the_net_and_leaves_predictions_alone():
    chain = [Dropout(0.25), Dense(40, "relu"), Dropout(0.5, seed=1), Dense(20), Activation("tanh")]
    model = Sequential([Input((3,)), *chain, Dropout(0.0), Dense(1)])
    model.compile(optimizers.SGD(0.0), "mse")
    assert model._net.spec.dropout == (0.25, 0.5, 0.0)
    x = np.random.default_rng(0).standard_normal((500, 3)).astype(np.float32)
    y, before = model.predict(x), model.predict(x)
    thinned = quiet(model, x, y, epochs=2)["loss"]
    assert min(thinned) > 1e-3  # the nets that were trained are others
    assert abs(thinned[0] - thinned[1]) > 1e-9
    assert model.evaluate(x, y, verbose=0) < 1e-12
    np.testing.assert_array_equal(model.predict(x), before)
    assert model.count_params() == 160 + 820 + 21


def test_dropout_is_drawn_from_the_seed():
    results = []
    for seed in (1, 1, 2):
        utils.set_random_seed(seed)
        model = small(Dropout(0.4), optimizer="adam")
        model.set_weights([np.full(w.shape, 0.3) for w in model.get_weights()])
        quiet(model, epochs=3, batch_size=4)
        results.append(model.get_weights()[0])
    np.testing.assert_array_equal(results[0], results[1])
    assert np.abs(results[0] - results[2]).max() > 1e-5


def test_dropout_in_a_place_without_meaning():
    for stack, match in (
        ([Dense(3), Dropout(0.5)], "nothing but Dense layers can follow"),
        ([Dense(3), Dropout(0.5), Activation("relu"), Dense(2)], "before the Dropout"),
        ([Dense(3), Dropout(0.5), Dropout(0.5), Dense(2)], "follows another Dropout"),
    ):
        with pytest.raises(UnsupportedError, match=match):
            Sequential([Input((2,)), *stack]).build()
