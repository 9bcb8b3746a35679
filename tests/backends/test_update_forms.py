"""What Keras and scikit-learn do otherwise: a rate for each step, an l2 factor for each layer, and
means over rows instead of weights. Their forms of the optimizers are in test_optimizers.py."""

import numpy as np
import pytest

import mlpfast
from mlpfast import SGD, Adam, AdamW, PerStep, RMSprop

# sizes, rows, batch: a step for each plan, with columns that do not fill vectors
SHAPES = [
    ([2, 3, 1], 7, 3),
    ([5, 17, 3], 150, 64),
    pytest.param([37, 260, 130, 10], 100, 50, marks=pytest.mark.slow),
]


def make(sizes, dtype, backend, **options):
    options = {"loss": "squared_error", "random_state": 2, **options}
    return mlpfast.MLP(sizes, "tanh", dtype=dtype, backend=backend, **options)


def data(sizes, n):
    rng = np.random.default_rng(n)
    return rng.standard_normal((n, sizes[0])), rng.standard_normal((n, sizes[-1]))


def batches(n, size, epochs):
    for _ in range(epochs):
        for first in range(0, n, size):
            yield slice(first, first + size)


def close(actual, expected, dtype, case=""):
    rtol = 1e-3 if dtype == "float32" else 1e-8
    atol = rtol * np.abs(expected).max()
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=atol, err_msg=case)


def test_forms_are_distinct_rules():
    assert Adam(epsilon_hat=True).rule != Adam().rule
    for kind, name in (
        *((SGD, "scaled_velocity"), (Adam, "epsilon_hat"), (AdamW, "epsilon_hat")),
        *((RMSprop, "scaled_velocity"), (RMSprop, "epsilon_in_root")),
    ):
        with pytest.raises(TypeError, match=f"{name} must be True or False, got 1"):
            kind(**{name: 1})


# ---------------------------------------------------------------------------- rates of steps


@pytest.mark.parametrize("callbacks", [(), (lambda *_: None,)], ids=["one call", "a call an epoch"])
def test_steps_are_counted_over_epochs_and_fits(callbacks, backend):
    asked = []
    schedule = PerStep(lambda step: asked.append(step) or 0.1 / (1 + step))
    x, y = data([3, 2], 10)
    net = make([3, 4, 2], "float64", backend)
    options = {"optimizer": Adam(schedule), "callbacks": callbacks}
    net.fit(x, y, batch_size=4, epochs=2, shuffle=False, **options)
    net.fit(x, y, batch_size=10, epochs=1, **options)
    assert asked == list(range(7))
    net.reset_optimizer()
    net.fit(x, y, batch_size=10, epochs=1, **options)
    assert asked[7:] == [0]


def test_learning_rate_of_a_step_is_checked():
    net = make([3, 2], "float64", "numpy")
    with pytest.raises(ValueError, match=r"learning_rate\(1\) must be in \[0, inf\], got -1"):
        net.fit(*data([3, 2], 10), batch_size=5, optimizer=SGD(PerStep(lambda step: -step)))
    with pytest.raises(TypeError, match="function must be callable, got float"):
        PerStep(0.1)
    with pytest.raises(TypeError, match="PerStep"):
        net.fit(*data([3, 2], 10), callbacks=[PerStep(lambda step: 0.1)])


# ---------------------------------------------------------------------------- l2 by layer


@pytest.mark.parametrize("clip", [{}, {"clip_norm": 0.5}, {"clip_value": 0.01}])
@pytest.mark.parametrize(("sizes", "n", "size"), SHAPES)
def test_each_layer_has_its_l2(sizes, n, size, clip, backend, dtype):
    x, y = data(sizes, n)
    factors = [0.3, 0.0, 0.1][: len(sizes) - 1]
    oracle = make(sizes, "float64", "numpy")
    rates, losses = iter([0.1, 0.05] * 3), []
    for rows in batches(n, size, 2):
        loss, gradient = oracle.loss_and_grad(x[rows], y[rows])
        for part, factor in zip(oracle.spec.layers(), factors, strict=True):
            w = oracle.params[part.w]
            gradient[part.w] += factor * w
            loss += 0.5 * factor * (w @ w)
        losses.append(loss * len(x[rows]))
        if "clip_norm" in clip:
            gradient *= min(1.0, 0.5 / np.linalg.norm(gradient))
        elif clip:
            gradient = np.clip(gradient, -0.01, 0.01)
        oracle.params = oracle.params - next(rates) * gradient
    for shown in (True, False):
        net = make(sizes, dtype, backend)
        rule = SGD(PerStep(lambda step: [0.1, 0.05][step % 2]), **clip)
        history = net.fit(
            *(x, y),
            batch_size=size,
            epochs=2,
            shuffle=False,
            optimizer=rule,
            l2=factors,
            l2_in_loss=shown,
            validation_data=(x, y) if shown else None,
        )
        close(net.params, oracle.params, dtype)
        if shown:
            sums = [
                sum(part) / n for part in (losses[: len(losses) // 2], losses[len(losses) // 2 :])
            ]
            close(history.history["loss"], sums, dtype)
            extra = sum(
                0.5 * factor * (w.astype(float) ** 2).sum()
                for factor, w in zip(factors, net.weights, strict=True)
            )
            own = net.evaluate(x, y)["loss"]
            assert history.history["val_loss"][-1] == pytest.approx(own + extra, rel=1e-6)
        else:
            assert history.history["loss"][0] < sum(losses[: len(losses) // 2]) / n - 0.01


def test_the_l2_term_of_a_sum(backend):
    x, y = data([3, 2], 6)
    net = make([3, 2], "float64", backend, reduction="sum")
    want = net.evaluate(x, y)["loss"] + 2 * 0.5 * 0.4 * (net.weights[0] ** 2).sum()
    options = {"batch_size": 3, "l2": 0.4, "l2_in_loss": True, "optimizer": SGD(0.0)}
    assert net.fit(x, y, **options).history["loss"] == [pytest.approx(want)]


def test_l2_is_checked():
    net = make([3, 4, 2], "float64", "numpy")
    x, y = data([3, 2], 5)
    with pytest.raises(ValueError, match=r"l2 must be one number or one a layer \(2\), got 3"):
        net.fit(x, y, l2=[0.1, 0.2, 0.3])
    with pytest.raises(ValueError, match=r"l2\[1\] must be in \[0, inf\], got -1"):
        net.fit(x, y, l2=[0.1, -1])
    with pytest.raises(TypeError, match="l2 must be a number, got '1'"):
        net.fit(x, y, l2="1")
    with pytest.raises(TypeError, match="l2_in_loss must be True or False, got 1"):
        net.fit(x, y, l2_in_loss=1)


# ---------------------------------------------------------------------------- means over rows


@pytest.mark.parametrize("loss", ["mse", "binary_crossentropy", "categorical_crossentropy"])
@pytest.mark.parametrize(("sizes", "n", "size"), SHAPES)
def test_weights_are_factors_of_the_loss_alone(sizes, n, size, loss, backend, dtype):
    """By hand: rows of one weight are a batch whose gradient is that of a plain mean."""
    output = {"mse": "identity", "binary_crossentropy": "sigmoid"}.get(loss, "softmax")
    if output == "softmax" and sizes[-1] == 1:
        sizes = [*sizes[:-1], 2]
    options = {"output_activation": output, "loss": loss}
    rng = np.random.default_rng(0)
    x, y = data(sizes, n)[0], np.eye(sizes[-1])[rng.integers(sizes[-1], size=n)]
    weight = rng.integers(3, size=n).astype(float)
    oracle = make(sizes, "float64", "numpy", **options)

    def by_hand(rows):
        total, gradient = 0.0, np.zeros(oracle.n_params)
        for value in (1.0, 2.0):
            chosen = np.flatnonzero(weight[rows] == value)
            if len(chosen):
                part = oracle.loss_and_grad(x[rows][chosen], y[rows][chosen])
                total += value * len(chosen) * part[0]
                gradient += value * len(chosen) * part[1]
        return total, gradient / len(x[rows])

    net = make(sizes, dtype, backend, reduction="mean_over_rows", **options)
    total, gradient = by_hand(slice(None))
    loss_value, got = net.loss_and_grad(x, y, weight)
    close(got, gradient, dtype)
    assert loss_value == pytest.approx(total / n, rel=1e-5)
    names = ("accuracy", "mse", "mae")
    figures = net.evaluate(x, y, weight, metrics=names)
    plain = net.evaluate(x, y, metrics=names)
    assert figures.pop("loss") == pytest.approx(total / n, rel=1e-5)
    assert figures == {name: plain[name] for name in names}

    totals, rate = 0.0, 0.1
    for rows in batches(n, size, 1):
        total, gradient = by_hand(rows)
        totals += total
        oracle.params = oracle.params - rate * gradient
    arguments = {"sample_weight": weight, "batch_size": size, "shuffle": False, "metrics": names}
    still = net.copy().fit(x, y, optimizer=SGD(0.0), **arguments).history
    history = net.fit(x, y, optimizer=SGD(rate), **arguments).history
    close(net.params, oracle.params, dtype)
    close(history["loss"], [totals / n], dtype)
    for name in names:
        assert still[name] == [pytest.approx(plain[name], rel=1e-5)]
