"""What Keras makes of small nets in 50 steps; ``python tests/keras/golden/make_keras.py`` does it.

The same cases run on `mlpfast.keras` in tests/keras/test_golden.py, which needs no Keras then. The
file was made by Keras 3.15 on JAX; its version is kept in it.
"""

import os
from pathlib import Path

import numpy as np

FILE = Path(__file__).with_name("keras.npz")
ROWS, BATCH, EPOCHS = 72, 16, 10  # 5 steps an epoch, the last of 8 rows


def dense(units, activation=None, **options):
    return ("Dense", {"units": units, "activation": activation, **options})


def l2(factor):
    return ("regularizers", "L2", {"l2": factor})


def rule(name, rate=0.05, **options):
    return ("optimizers", name, {"learning_rate": rate, **options})


def schedule(name, *arguments, **options):
    return ("schedules", name, arguments, options)


def loss(name, **options):
    return ("losses", name, options)


NET = [dense(7, "tanh"), dense(3)]
BINARY = [dense(7, "tanh"), dense(1, "sigmoid")]
CLASSES = [dense(7, "tanh"), dense(3, "softmax")]
LOGITS = [dense(7, "tanh"), dense(3)]

# layers, loss, optimizer, kind of targets, metrics, options of fit
CASES = {}


def case(name, layers, loss, optimizer, targets="values", metrics=(), callbacks=(), **fit):
    CASES[name] = (layers, loss, optimizer, targets, list(metrics), list(callbacks), fit)


OPTIMIZERS = {
    "sgd": rule("SGD"),
    "momentum": rule("SGD", momentum=0.9),
    "nesterov": rule("SGD", momentum=0.8, nesterov=True),
    "nesterov without momentum": rule("SGD", nesterov=True),
    "adam": rule("Adam", 0.01),
    "adam with other betas": rule("Adam", 0.02, beta_1=0.5, beta_2=0.9, epsilon=1e-3),
    "adam with decay": rule("Adam", 0.01, weight_decay=0.1),
    "adamw": rule("AdamW", 0.01),
    "adamw with decay": rule("AdamW", 0.01, weight_decay=0.5, epsilon=1e-4),
    "rmsprop": rule("RMSprop", 0.005),
    "rmsprop with momentum": rule("RMSprop", 0.002, rho=0.8, momentum=0.7, epsilon=1e-3),
    "clipvalue": rule("SGD", 0.1, clipvalue=0.05),
    "global clipnorm": rule("Adam", 0.01, global_clipnorm=0.1, epsilon=1e-2),
}
SCHEDULES = {
    "exponential": schedule("ExponentialDecay", 0.1, 10, 0.5),
    "staircase": schedule("ExponentialDecay", 0.1, 7, 0.5, staircase=True),
    "inverse time": schedule("InverseTimeDecay", 0.1, 10, 0.5),
    "piecewise": schedule("PiecewiseConstantDecay", [4, 11, 30], [0.1, 0.02, 0.0, 0.05]),
    "polynomial": schedule("PolynomialDecay", 0.1, 30, 0.01, power=2.0),
    "cycling": schedule("PolynomialDecay", 0.1, 12, 0.01, cycle=True),
    "cosine": schedule("CosineDecay", 0.1, 40, 0.1),
    "warm-up": schedule("CosineDecay", 0.01, 30, warmup_target=0.1, warmup_steps=8),
    "restarts": schedule("CosineDecayRestarts", 0.1, 9, 1.5, 0.8, 0.05),
}
for _name, _rule in OPTIMIZERS.items():
    case(_name, NET, "mse", _rule)
for _name, _schedule in SCHEDULES.items():
    case(_name, NET, "mse", rule("SGD", _schedule, momentum=0.7))
case("adam on a schedule", NET, "mse", rule("Adam", SCHEDULES["exponential"]))
case("rmsprop on a schedule", NET, "mse", rule("RMSprop", SCHEDULES["cosine"], momentum=0.5))

for _name in (
    *("linear", "sigmoid", "tanh", "relu", "elu", "softplus", "silu", "gelu", "exponential"),
    *("softmax", "selu", "mish"),
):
    case(f"hidden {_name}", [dense(6, _name), dense(3)], "mse", rule("SGD", 0.02))

SGD = rule("SGD", 0.1, momentum=0.5)
ERRORS = ["mse", "mae"]
case("mean_squared_error", NET, "mean_squared_error", SGD, metrics=ERRORS)
case("mean_absolute_error", NET, "mae", SGD, metrics=ERRORS)
case("huber", NET, "huber", SGD, metrics=ERRORS)
case("huber with delta", NET, loss("Huber", delta=0.3), SGD, metrics=ERRORS)
case("log_cosh", NET, "log_cosh", SGD, metrics=ERRORS)
case("poisson", [dense(7, "tanh"), dense(3, "softplus")], "poisson", SGD, "counts", ERRORS)
case("poisson of exp", [dense(7, "tanh"), dense(3, "exponential")], "poisson", SGD, "counts")
case("binary", BINARY, "binary_crossentropy", SGD, "binary", ["accuracy", *ERRORS])
case("binary, many", [dense(7, "tanh"), dense(3, "sigmoid")], "bce", SGD, "one-hot", ["acc"])
case("binary smoothed", BINARY, loss("BinaryCrossentropy", label_smoothing=0.2), SGD, "binary",
     ["accuracy"])  # fmt: skip
case("binary logits", [dense(7, "tanh"), dense(1)], loss("BinaryCrossentropy", from_logits=True),
     SGD, "binary", [("metrics", "BinaryAccuracy", {"threshold": 0.0})])  # fmt: skip
case("categorical", CLASSES, "categorical_crossentropy", SGD, "one-hot", ["accuracy", *ERRORS])
case("categorical smoothed", CLASSES, loss("CategoricalCrossentropy", label_smoothing=0.1), SGD,
     "one-hot", ["accuracy"])  # fmt: skip
case("categorical logits", LOGITS, loss("CategoricalCrossentropy", from_logits=True), SGD,
     "one-hot", ["accuracy"])  # fmt: skip
case("sparse", CLASSES, "sparse_categorical_crossentropy", SGD, "labels", ["accuracy"])
case("sparse logits", LOGITS, loss("SparseCategoricalCrossentropy", from_logits=True), SGD,
     "label column", ["acc", "sparse_categorical_accuracy"])  # fmt: skip
case("errors of classes", [dense(7, "sigmoid"), dense(3, "sigmoid")], "mse", SGD, "one-hot",
     ["accuracy", "categorical_accuracy"])  # fmt: skip
case("accuracy of one output", BINARY, "mse", SGD, "binary", ["accuracy", "binary_accuracy"])

case("no biases", [dense(7, "tanh", use_bias=False), dense(3, use_bias=False)], "mse", SGD)
case("one layer", [dense(3)], "mse", SGD)
case("three hidden layers", [*(dense(n, "relu") for n in (9, 8, 5)), dense(3)], "mse", SGD)
case("l2", [dense(7, "tanh", kernel_regularizer=l2(0.05)), dense(3)], "mse", SGD,
     metrics=["mse"], validation_split=0.25)  # fmt: skip
case("l2 of both", [dense(7, "tanh", kernel_regularizer=l2(0.02)),
                    dense(3, "softmax", kernel_regularizer="l2")],
     "categorical_crossentropy", rule("Adam", 0.01), "one-hot")  # fmt: skip
case("sample weights", CLASSES, "categorical_crossentropy", SGD, "one-hot", ["accuracy"],
     sample_weight=True)  # fmt: skip
case("sample weights of errors", NET, "mae", SGD, metrics=ERRORS, sample_weight=True,
     validation_split=0.25)  # fmt: skip
case("class weights", CLASSES, "sparse_categorical_crossentropy", SGD, "labels", ["accuracy"],
     class_weight={0: 3.0, 2: 0.25}, validation_split=0.25)  # fmt: skip
case("binary class weights", BINARY, "bce", SGD, "binary", ["accuracy"], class_weight={1: 4.0})
_plateau = {"monitor": "loss", "patience": 1, "min_delta": 0.3}
case("plateau", NET, "mse", rule("SGD", 0.2, momentum=0.9),
     callbacks=[("ReduceLROnPlateau", _plateau)])  # fmt: skip
case("early stopping", NET, "mse", rule("SGD", 0.4, momentum=0.9), validation_split=0.25,
     callbacks=[("EarlyStopping", {"patience": 1, "restore_best_weights": True})])  # fmt: skip
case("later epochs", NET, "mse", SGD, initial_epoch=4, metrics=["mae"])
case("layers apart",
     [("Rescaling", {"scale": 0.5, "offset": 0.25}), ("Flatten", {}), dense(7),
      ("Activation", {"activation": "sigmoid"}), dense(3)],
     "mse", SGD)  # fmt: skip


def make(keras, value):
    """Return what a description stands for."""
    if not isinstance(value, tuple):
        return value
    if value[0] == "schedules":
        return getattr(keras.optimizers.schedules, value[1])(*value[2], **value[3])
    module, name, options = value
    return getattr(getattr(keras, module), name)(**{k: make(keras, v) for k, v in options.items()})


def data(targets):
    """Return x, y and sample weights, float32."""
    rng = np.random.default_rng(7)
    x = rng.standard_normal((ROWS, 4)).astype(np.float32)
    scores = x @ rng.standard_normal((4, 3)) + 0.3 * rng.standard_normal((ROWS, 3))
    labels = scores.argmax(axis=1)
    y = {
        "values": np.sin(scores),
        "counts": rng.poisson(np.exp(0.3 * scores)),
        "binary": (scores[:, :1] > 0),
        "one-hot": np.eye(3)[labels],
        "labels": labels,
        "label column": labels[:, None],
    }[targets]
    y = y if "label" in targets else y.astype(np.float32)
    return x, y, rng.integers(4, size=ROWS) / np.float32(2)


def build(keras, name):
    """Return the compiled model of a case, with weights that depend on its shapes alone."""
    layers, loss, optimizer, _, metrics, _, _ = CASES[name]
    model = keras.Sequential([keras.Input((4,))])
    for kind, options in layers:
        options = {k: make(keras, v) for k, v in options.items()}
        model.add(getattr(keras.layers, kind)(**options))
    rng = np.random.default_rng(3)
    model.set_weights([0.5 * rng.standard_normal(w.shape) for w in model.get_weights()])
    model.compile(
        optimizer=make(keras, optimizer),
        loss=make(keras, loss),
        metrics=[make(keras, m) for m in metrics],
    )
    return model


def run(keras, name):
    """Return the weights after a fit, one behind the other, the history and the last figures."""
    *_, targets, _, callbacks, fit = CASES[name]
    x, y, weight = data(targets)
    fit = dict(fit)
    if fit.get("sample_weight"):
        fit["sample_weight"] = weight
    model = build(keras, name)
    history = model.fit(
        *(x, y),
        batch_size=BATCH,
        epochs=EPOCHS,
        shuffle=False,
        verbose=0,
        callbacks=[getattr(keras.callbacks, kind)(**options) for kind, options in callbacks],
        **fit,
    )
    figures = model.evaluate(x, y, verbose=0, sample_weight=fit.get("sample_weight"))
    params = np.concatenate([np.ravel(w) for w in model.get_weights()])
    return params.astype(np.float32), history.history, np.atleast_1d(figures)


def main():
    os.environ.setdefault("KERAS_BACKEND", "jax")
    import keras

    arrays = {"version": np.array(f"{keras.__version__} on {keras.backend.backend()}")}
    for name in CASES:
        params, history, figures = run(keras, name)
        arrays |= {f"{name}/params": params, f"{name}/figures": figures.astype(np.float32)}
        for column, values in history.items():
            arrays[f"{name}/history/{column}"] = np.array(values, np.float32)
    np.savez_compressed(FILE, **arrays)
    print(f"{FILE}: {len(CASES)} cases by Keras {arrays['version']}, {FILE.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
