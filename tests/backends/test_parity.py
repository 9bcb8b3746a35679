"""Every backend against the NumPy one, over shapes, layouts and options that hypothesis draws."""

import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mlpfast
from mlpfast import backends
from mlpfast.backends.base import TOTALS, Data
from mlpfast.spec import LOSSES, REQUIRED_OUTPUT
from runs import run as run_trainer

SIZES = st.sampled_from([1, 2, 3, 4, 5, 7, 8, 11, 13, 16, 17, 23, 31, 32, 33, 47, 64, 67])
ROWS = st.sampled_from([1, 2, 3, 4, 5, 6, 7, 8, 13, 15, 16, 17, 29, 33, 61, 130, 397])
HIDDEN = ["identity", "sigmoid", "tanh", "relu", "leaky_relu", "elu", "softplus", "silu", "gelu"]
HIDDEN += ["softmax", "exp"]
POSITIVE = ["sigmoid", "softplus", "exp", "softmax"]
LAYOUTS = ["plain", "float32", "float64", "uint8", "reversed", "every other row", "part of a row"]
LAYOUTS += ["read-only", "fortran"]
KINDS_OF_LOSS = [*LOSSES, mlpfast.Huber(0.3), mlpfast.Quantile(0.8)]


@dataclasses.dataclass
class Case:
    """A net's arguments and data, as drawn."""

    sizes: list[int]
    hidden: list[str]
    output: str
    loss: Any
    reduction: str
    bias: bool
    x: Any
    y: Any
    weight: Any
    input_scale: float
    seed: int

    def net(self, dtype: str, backend: str) -> mlpfast.MLP:
        net = mlpfast.MLP(
            *(self.sizes, self.hidden, self.output, self.loss),
            reduction=self.reduction,
            dtype=dtype,
            bias=self.bias,
            random_state=self.seed,
            backend=backend,
        )
        rng = np.random.default_rng(self.seed)
        for b in net.biases:
            b[...] = 0.2 * rng.standard_normal(len(b))
        return net


def lay_out(values, layout):
    """The same rows in another dtype or with other distances in memory."""
    n, columns = values.shape
    if layout in ("float32", "float64"):
        return values.astype(layout)
    if layout == "uint8":
        return np.clip(128 + 60 * values, 0, 255).astype(np.uint8)
    values = values.astype("float32" if n % 2 else "float64")
    if layout == "reversed":
        return values[::-1]
    if layout == "every other row":
        return np.repeat(values, 2, axis=0)[::2]
    if layout == "part of a row":
        return np.pad(values, ((0, 0), (3, 2)), constant_values=1e30)[:, 3 : 3 + columns]
    if layout == "fortran":
        return np.asfortranarray(values)
    if layout == "read-only":
        values.flags.writeable = False
    return values


@st.composite
def cases(draw):
    sizes = draw(st.lists(SIZES, min_size=2, max_size=5))
    hidden = draw(
        st.lists(st.sampled_from(HIDDEN), min_size=len(sizes) - 2, max_size=len(sizes) - 2)
    )
    loss = draw(st.sampled_from(KINDS_OF_LOSS))
    if loss in REQUIRED_OUTPUT:
        output = REQUIRED_OUTPUT[loss]
    else:
        output = draw(st.sampled_from(POSITIVE if loss == "poisson" else HIDDEN))
    if [*hidden, output].count("exp") > 1:  # the exponential of one overflows
        hidden = ["tanh" if name == "exp" else name for name in hidden]
    n = draw(ROWS)
    seed = draw(st.integers(0, 1000))
    layout = draw(st.sampled_from(LAYOUTS))
    rng = np.random.default_rng(seed)
    x = lay_out(rng.standard_normal((n, sizes[0])), layout)
    if sizes[-1] > 1 and draw(st.booleans()):
        y = rng.integers(0, sizes[-1], n)
    else:
        y = rng.random((n, sizes[-1]))
        if loss in ("categorical_crossentropy", "log_loss"):
            y /= y.sum(axis=1, keepdims=True)
    return Case(
        sizes,
        hidden,
        output,
        loss,
        draw(st.sampled_from(["mean", "sum", "mean_over_rows"])),
        draw(st.booleans()),
        x,
        y,
        rng.random(n) + 0.1 if draw(st.booleans()) else None,
        1 / 255 if layout == "uint8" else draw(st.sampled_from([1.0, 0.5])),
        seed,
    )


def close(actual, expected, dtype, single, double, case=""):
    """Relative to each entry or to the largest: sums of mixed signs cancel."""
    rtol = single if dtype == "float32" else double
    scale = float(np.abs(expected).max(initial=0.0))
    atol = rtol * max(scale, 1e-2)
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=atol, err_msg=case)


def pair(case, dtype, backend):
    return case.net(dtype, backend), case.net(dtype, "numpy")


@given(case=cases())
def test_forward(accelerated, dtype, case):
    net, oracle = pair(case, dtype, accelerated)
    scale = case.input_scale
    expected = oracle.predict(case.x, input_scale=scale)
    actual = net.predict(case.x, input_scale=scale)
    assert actual.dtype == dtype
    close(actual, expected, dtype, 2e-5, 1e-12)
    close(net.forward(case.x[0], input_scale=scale), expected[0], dtype, 2e-5, 1e-12)
    assert net.predict(case.x[:0]).shape == (0, case.sizes[-1])
    close(net.activations(case.x, input_scale=scale)[-1], expected, dtype, 2e-5, 1e-12)


@given(case=cases())
def test_loss_and_gradient(accelerated, dtype, case):
    net, oracle = pair(case, dtype, accelerated)
    arguments = case.x, case.y, case.weight
    loss, gradient = net.loss_and_grad(*arguments, input_scale=case.input_scale)
    expected, expected_gradient = oracle.loss_and_grad(*arguments, input_scale=case.input_scale)
    close(loss, expected, dtype, 1e-4, 1e-10)
    close(gradient, expected_gradient, dtype, 1e-4, 1e-10)
    # Each layer by itself as well, lest a large gradient hide a small one.
    for ours, theirs in zip(
        net.spec.unflatten(gradient), net.spec.unflatten(expected_gradient), strict=True
    ):
        close(ours[0], theirs[0], dtype, 1e-3, 1e-9)


@given(case=cases())
def test_evaluate(accelerated, dtype, case):
    net, oracle = pair(case, dtype, accelerated)
    arguments = case.x, case.y, case.weight
    options = {"metrics": ("accuracy", "mse", "mae"), "input_scale": case.input_scale}
    actual, expected = net.evaluate(*arguments, **options), oracle.evaluate(*arguments, **options)
    for name in ("loss", "mse", "mae"):
        close(actual[name], expected[name], dtype, 1e-4, 1e-10)
    # In float32, outputs that are equal but for rounding may be ranked otherwise, in two rows say.
    counted = case.weight is None or case.reduction == "mean_over_rows"
    weight = np.ones(len(case.x)) if counted else case.weight
    slack = 2 * weight.max() / weight.sum() if dtype == "float32" else 0.0
    assert abs(actual["accuracy"] - expected["accuracy"]) <= slack + 1e-6


# Rates small enough that no net blows up, and rounding with it; epsilons large enough that an entry
# whose gradient is nothing but rounding does not.
OPTIMIZERS = [
    mlpfast.SGD(0.005),
    mlpfast.SGD(0.002, momentum=0.9),
    mlpfast.SGD(0.003, momentum=0.5, nesterov=True),
    mlpfast.Adam(0.01, epsilon=1e-2),
    mlpfast.AdamW(0.01, epsilon=1e-2, weight_decay=0.1),
    mlpfast.RMSprop(0.005, epsilon=1e-2),
    mlpfast.RMSprop(0.002, epsilon=1e-2, momentum=0.8),
    mlpfast.SGD(0.003, momentum=0.5, nesterov=True, scaled_velocity=True),
    mlpfast.Adam(0.001, epsilon=1e-2, epsilon_hat=True),
    mlpfast.RMSprop(0.002, epsilon=1e-2, momentum=0.8, epsilon_in_root=True, scaled_velocity=True),
]


@given(
    case=cases(),
    optimizer=st.sampled_from(OPTIMIZERS),
    batch_size=st.sampled_from([1, 2, 3, 5, 8, 16, 31, 32, 200]),
    shuffle=st.booleans(),
    l2=st.sampled_from([0.0, 0.1]),
)
def test_ten_steps(accelerated, dtype, case, optimizer, batch_size, shuffle, l2):
    """Uneven last batches, batches larger than the data, row orders, every optimizer."""
    if case.reduction == "sum":  # which would make the rates above too large
        case.reduction = "mean"
    rows = slice(10 * batch_size)
    case.x, case.y = case.x[rows], case.y[rows]
    case.weight = None if case.weight is None else case.weight[rows]
    epochs = 10 // -(-len(case.x) // batch_size)
    # exp's gradients grow without bound, but for the loss that is made for it.
    case.hidden = ["tanh" if name == "exp" else name for name in case.hidden]
    if case.output == "exp" and case.loss not in ("poisson", "poisson_deviance"):
        case.output = "softplus"
    results = []
    for net in pair(case, dtype, accelerated):
        history = net.fit(
            *(case.x, case.y),
            sample_weight=case.weight,
            input_scale=case.input_scale,
            epochs=epochs,
            batch_size=batch_size,
            optimizer=optimizer,
            shuffle=shuffle,
            l2=l2,
        )
        assert len(history.epoch) == epochs
        results.append((net.params, history.history["loss"]))
    (actual, losses), (expected, expected_losses) = results
    close(actual, expected, dtype, 1e-3, 1e-8)
    close(losses, expected_losses, dtype, 1e-3, 1e-8)


LARGE = [
    # sizes, rows, batch: where blocking, chunks of rows and splitting over threads set in
    ([300, 260, 130, 10], 300, 128),
    ([4, 32, 16, 4], 5003, 5003),
    ([2, 5, 1], 9001, 4000),
    ([784, 50, 10], 70, 64),
    ([5, 600, 3], 40, 33),
    ([1, 1, 1], 2049, 1024),
]


@pytest.mark.parametrize(("sizes", "n", "batch_size"), LARGE)
def test_large(sizes, n, batch_size, accelerated, dtype):
    rng = np.random.default_rng(n)
    x, y = rng.standard_normal((n, sizes[0])), rng.random((n, sizes[-1]))
    oracle = mlpfast.MLP(sizes, "tanh", "sigmoid", dtype=dtype, random_state=1, backend="numpy")
    net = mlpfast.MLP(sizes, "tanh", "sigmoid", dtype=dtype, random_state=1, backend=accelerated)
    close(net.predict(x), oracle.predict(x), dtype, 2e-5, 1e-12)
    report, expected = net.evaluate(x, y), oracle.evaluate(x, y)
    close(report["loss"], expected["loss"], dtype, 1e-4, 1e-10)
    gradient, expected = net.loss_and_grad(x, y)[1], oracle.loss_and_grad(x, y)[1]
    close(gradient, expected, dtype, 1e-4, 1e-10)
    for each in (net, oracle):
        each.fit(x, y, epochs=3, batch_size=batch_size, optimizer=mlpfast.SGD(0.1, momentum=0.9))
    close(net.params, oracle.params, dtype, 1e-3, 1e-8)


def test_step_runs_forward(backend, dtype):
    net = mlpfast.MLP(
        *([2, 2, 1], "step", "step"),
        dtype=dtype,
        backend=backend,
        init=([[[-2, 2], [-2, 2]], [[1], [1]]], [[3, -1], [-1]]),
    )
    x = np.array([[0, 0], [1, 0], [0, 1], [1, 1]], np.uint8)
    np.testing.assert_array_equal(net.predict(x), [[0], [1], [1], [0]])
    assert net.evaluate(x, [0, 1, 1, 0])["accuracy"] == 1


# ---------------------------------------------------------------------------- a row alone

ALONE = [
    ([13, 17, 5], 37),
    ([784, 50, 100, 10], 9),
    ([3, 1], 33),
    ([30, 100, 5], 67),
    ([1, 2, 1], 5),
]


@pytest.mark.parametrize(("sizes", "n"), ALONE)
def test_a_row_alone_gives_what_it_gives_in_a_batch(sizes, n, backend, dtype):
    x = np.random.default_rng(n).standard_normal((n, sizes[0])).astype(dtype)
    for output in ("sigmoid", "softmax", "identity"):
        net = mlpfast.MLP(sizes, "gelu", output, dtype=dtype, random_state=0, backend=backend)
        together = net.predict(x)
        alone = np.array([net.predict(row) for row in x])
        if backend.startswith("cpp"):
            np.testing.assert_array_equal(alone, together, err_msg=output)
            np.testing.assert_array_equal(net.predict(x[n // 2 :]), together[n // 2 :])
            np.testing.assert_array_equal(net.predict(x[::-1]), together[::-1])
        else:  # a BLAS adds up in another order for another number of rows
            close(alone, together, dtype, 1e-5, 1e-12, output)


# ---------------------------------------------------------------------------- figures of a step

MONITORED = [
    ([5, 8, 3], "softmax", "categorical_crossentropy", 333),
    ([5, 8, 1], "sigmoid", "binary_crossentropy", 150),
    ([7, 40, 33], "identity", "mse", 20),
    ([30, 64, 600], "softmax", "categorical_crossentropy", 65),
]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("sizes", "output", "loss", "n"), MONITORED)
def test_metrics_of_training(sizes, output, loss, n, weighted, accelerated, dtype):
    rng = np.random.default_rng(n)
    x, y = rng.standard_normal((n, sizes[0])), rng.random((n, sizes[-1]))
    if loss == "categorical_crossentropy":
        y = rng.integers(0, sizes[-1], n)
    weight = rng.random(n) if weighted else None
    reports = []
    for name in ("numpy", accelerated):
        net = mlpfast.MLP(sizes, "relu", output, loss, dtype=dtype, random_state=1, backend=name)
        history = net.fit(
            *(x, y),
            batch_size=n,
            sample_weight=weight,
            metrics=("accuracy", "mse", "mae"),
            optimizer=mlpfast.SGD(0.0001),
        ).history
        reports.append([history[k][0] for k in ("loss", "accuracy", "mse", "mae")])
    close(np.array(reports[1]), np.array(reports[0]), dtype, 1e-4, 1e-10)


@pytest.mark.parametrize(("n_out", "n"), [(3, 200), (3, 5), (40, 5), (40, 200)])
def test_the_first_of_equal_outputs_counts(n_out, n, backend, dtype):
    net = mlpfast.MLP(
        *([4, 6, n_out], "relu", "softmax", "categorical_crossentropy"),
        dtype=dtype,
        backend=backend,
    )
    for w in net.weights:
        w[...] = 0
    labels = np.arange(n) % n_out
    history = net.fit(np.ones((n, 4)), labels, batch_size=n).history
    assert history["accuracy"][0] == pytest.approx(np.mean(labels == 0))


@pytest.mark.parametrize(("sizes", "n", "row"), [([3, 5, 2], 300, 173), ([40, 300, 2], 30, 29)])
def test_the_first_row_that_is_not_finite_is_named(sizes, n, row, backend, dtype):
    x = np.ones((n, sizes[0]), dtype)
    for bad in (np.nan, np.inf, -np.inf):
        x[row, -1] = bad
        net = mlpfast.MLP(sizes, dtype=dtype, random_state=0, backend=backend)
        with pytest.raises(ValueError, match=rf"got {bad} in row {row}\b"):
            net.fit(x, np.ones((n, 2), dtype), batch_size=n)


SLICED = [(hidden, "sigmoid", "mse") for hidden in HIDDEN if hidden != "softmax"]
SLICED += [
    ("tanh", "identity", "squared_error"),
    ("relu", "softmax", "mae"),
    ("silu", "softmax", "categorical_crossentropy"),
    ("gelu", "sigmoid", "binary_log_loss"),
    ("elu", "gelu", "huber"),
]


@pytest.mark.parametrize(("hidden", "output", "loss"), SLICED)
def test_slices_of_a_hidden_layer(hidden, output, loss, accelerated, dtype):
    """Nets with one hidden layer of some panels, batches of up to 256 rows."""
    for seed, (sizes, n, bias) in enumerate(
        [([7, 40, 3], 150, True), ([30, 100, 1], 233, False), ([5, 67, 9], 256, True)]
    ):
        case = Case(
            *(sizes, [hidden], output, loss, "mean", bias),
            np.random.default_rng(seed).standard_normal((n, sizes[0])),
            np.random.default_rng(seed + 9).random((n, sizes[-1])),
            np.random.default_rng(seed + 5).random(n) + 0.1 if seed == 1 else None,
            1.0,
            seed,
        )
        results = []
        for net in pair(case, dtype, accelerated):
            value, gradient = net.loss_and_grad(case.x, case.y, case.weight)
            history = net.fit(
                *(case.x, case.y),
                sample_weight=case.weight,
                epochs=3,
                batch_size=n - 21,  # the last one an odd number of rows
                optimizer=mlpfast.SGD(0.01, momentum=0.5),
                l2=0.1,
                shuffle=False,
                metrics=("mae",),
            )
            results.append((net.params, value, gradient, history.history))
        got, expected = results
        close(got[0], expected[0], dtype, 1e-3, 1e-8, f"params of {sizes}")
        close(got[1], expected[1], dtype, 1e-4, 1e-10, f"loss of {sizes}")
        close(got[2], expected[2], dtype, 1e-4, 1e-10, f"gradient of {sizes}")
        for name in ("loss", "mae"):
            ours, theirs = np.array(got[3][name]), np.array(expected[3][name])
            close(ours, theirs, dtype, 1e-3, 1e-8, f"{name} of {sizes}")


# ---------------------------------------------------------------------------- what a run reports


def start_run(backend, dtype, learning_rates, n=10, batch_size=4, orders=None, stop=0, y_scale=1.0):
    """Run a small trainer; return the net, its first parameters, the report and the trainer."""
    net = mlpfast.MLP([3, 5, 2], "tanh", dtype=dtype, random_state=0, backend=backend)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((n, 3)).astype(dtype), rng.random((n, 2)).astype(dtype)
    y *= y.dtype.type(y_scale)
    engine = backends.load(backend)
    trainer = engine.trainer(net.spec, net.params, mlpfast.SGD(0.1))
    before = net.params.copy()
    with np.errstate(all="ignore"):
        report = run_trainer(
            *(trainer, Data(x, y), learning_rates, batch_size, [0.0, 0.0]),
            orders=orders,
            stop=np.array([stop], np.uint8),
        )
    return net, before, report, trainer


def test_report_of_a_whole_run(backend, dtype):
    _, _, report, trainer = start_run(backend, dtype, [0.1, 0.1, 0.1])
    assert report.status == "ok"
    assert report.row == -1
    assert report.totals.shape == (3, len(TOTALS))
    np.testing.assert_array_equal(report.totals[:, 1], 10)
    assert trainer.steps == 9
    assert (np.diff(report.totals[:, 0]) < 0).all()


def test_a_stop_ends_the_run_at_the_batch(backend, dtype):
    net, before, report, trainer = start_run(backend, dtype, [0.1] * 5, stop=1)
    assert report.status == "interrupted"
    assert report.totals.shape == (1, len(TOTALS))
    assert report.totals[0, 1] == 4  # the rows of one batch
    assert trainer.steps == 1
    assert (net.params != before).all()
    oracle = start_run("numpy", dtype, [0.1] * 5, stop=1)[0]
    close(net.params, oracle.params, dtype, 1e-4, 1e-10)


def test_divergence_keeps_the_weights_from_before_the_epoch(backend, dtype):
    """Epoch 2 of 5 diverges; the parameters are those that epochs 0 and 1 left."""
    huge = float(np.finfo(dtype).max) / 2
    net, _, report, _ = start_run(backend, dtype, [0.1, 0.05, huge, 0.1, 0.1])
    assert report.status == "diverged"
    assert report.totals.shape == (2, len(TOTALS))
    good = start_run(backend, dtype, [0.1, 0.05])[0]
    np.testing.assert_array_equal(net.params, good.params)


def test_divergence_in_the_last_update_is_seen(backend, dtype):
    """The loss before the update is finite, the weights after it are not."""
    huge = float(np.finfo(dtype).max) / 2
    net, before, report, _ = start_run(backend, dtype, [huge], batch_size=10, y_scale=1e3)
    assert report.status == "diverged"
    assert report.totals.shape == (0, len(TOTALS))
    np.testing.assert_array_equal(net.params, before)


def modes_run(backend, dtype, n, weights, sizes=(3, 5, 2), **modes):
    """Train two epochs of smaller and smaller batches with an l2 term of its own kind."""
    modes.setdefault("l2", [0.0] * (len(sizes) - 1))
    net = mlpfast.MLP(
        *(sizes, "tanh"),
        loss="squared_error",
        dtype=dtype,
        random_state=0,
        backend=backend,
        reduction=modes.pop("reduction", "mean"),
    )
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((n, sizes[0])), rng.random((n, sizes[-1]))
    w = rng.random(n) if weights else None
    data = Data(*(None if a is None else a.astype(dtype) for a in (x, y, w)))
    rates = np.array([0.1, 0.05]) / (n if net.spec.reduction == "sum" else 1)
    optimizer = mlpfast.SGD(0.1, momentum=0.5)
    trainer = backends.load(backend).trainer(net.spec, net.params, optimizer)
    with np.errstate(all="ignore"):
        report = run_trainer(trainer, data, rates, max(n // 3, 1), **modes)
    return net, data, report


@pytest.mark.parametrize(
    ("sizes", "n"), [((3, 5, 2), 5), ((3, 5, 2), 700), ((30, 70, 80, 3), 50), ((4, 150, 250, 2), 9)]
)
def test_l2_per_row(sizes, n, backend, dtype):
    for reduction, weights in itertools.product(("mean", "sum", "mean_over_rows"), (False, True)):
        check_l2_per_row(sizes, n, reduction, weights, backend, dtype)


def check_l2_per_row(sizes, n, reduction, weights, backend, dtype):
    """Check every step and every figure against the objective written out with `loss_and_grad`."""
    case = f"{reduction}, weights={weights}"
    factors = [0.7, 0.0, 0.2] if len(sizes) > 3 else [0.7, 0.3]
    _, data, report = run = modes_run(
        *(backend, dtype, n, weights, sizes),
        l2=factors,
        l2_per_row=True,
        want_penalty=True,
        reduction=reduction,
    )
    net = modes_run("numpy", "float64", n, weights, sizes, reduction=reduction)[0]
    net.params = mlpfast.MLP(sizes, dtype=dtype, random_state=0).params
    velocity, expected = np.zeros(net.n_params), []
    for lr in np.array([0.1, 0.05]) / (n if reduction == "sum" else 1):
        loss = penalty = 0.0
        for first in range(0, n, max(n // 3, 1)):
            rows = slice(first, first + max(n // 3, 1))
            x, y = data.x[rows], data.y[rows]
            w = None if data.sample_weight is None else data.sample_weight[rows]
            counts = w is None or reduction == "mean_over_rows"
            weight = len(x) if counts else w.sum(dtype=np.float64)
            value, gradient = net.loss_and_grad(x, y, w)
            share, by = (1.0, 1.0) if reduction == "sum" else (1 / weight, len(x))
            loss += by * value
            layers = zip(net.spec.unflatten(gradient), net.weights, factors, strict=True)
            for new, old, factor in layers:
                penalty += by * share * 0.5 * factor * (old**2).sum()
                new[0][...] += factor * share * old
            velocity = 0.5 * velocity + gradient
            net.params = net.params - lr * velocity
        expected.append([loss, penalty])
    close(run[0].params, net.params, dtype, 1e-3, 1e-8, case)
    figures = report.totals[:, [TOTALS.index("loss"), TOTALS.index("penalty")]]
    rtol = 1e-4 if dtype == "float32" else 1e-10
    np.testing.assert_allclose(figures, expected, rtol=rtol, err_msg=case)
    if reduction != "sum":
        np.testing.assert_allclose(report.totals[:, TOTALS.index("weight")], n, rtol=1e-6)


@pytest.mark.parametrize("l2_per_row", [False, True])
def test_no_penalty_unless_wanted(l2_per_row, backend, dtype):
    for l2, wanted in (([0.7, 0.7], False), ([0.0, 0.0], True)):
        modes = {"l2": l2, "l2_per_row": l2_per_row, "want_penalty": wanted}
        report = modes_run(backend, dtype, 20, True, **modes)[2]
        assert not report.totals[:, TOTALS.index("penalty")].any()


@pytest.mark.parametrize("sizes", [(3, 5, 2), (30, 200, 200, 2)])
def test_a_run_may_continue_through_divergence(sizes, backend, dtype):
    """The state is what the steps made of it, and the run is as long as was asked for."""
    optimizer = mlpfast.SGD(1e30, momentum=0.9)
    for kept in (True, False):
        net = mlpfast.MLP(sizes, loss="squared_error", dtype=dtype, random_state=0, backend=backend)
        trainer = backends.load(backend).trainer(net.spec, net.params, optimizer)
        rng = np.random.default_rng(1)
        data = Data(*(rng.standard_normal((12, n)).astype(dtype) for n in (sizes[0], 2)))
        with np.errstate(all="ignore"):
            report = run_trainer(
                *(trainer, data, [1e30] * 20, 4, [0.0] * net.spec.n_layers),
                want_metrics=False,
                check_finite=not kept,
            )
        assert report.status == ("ok" if kept else "diverged")
        if kept:
            assert len(report.totals) == 20
            assert trainer.steps == 60
            assert not np.isfinite(net.params).all()
            assert not np.isfinite(report.totals[-1, 0])


def test_natural_order_is_the_order_of_a_range(backend, dtype):
    orders = np.tile(np.arange(10), (3, 1))
    natural = start_run(backend, dtype, [0.1] * 3)
    explicit = start_run(backend, dtype, [0.1] * 3, orders=orders)
    np.testing.assert_array_equal(natural[0].params, explicit[0].params)
    np.testing.assert_array_equal(natural[2].totals, explicit[2].totals)


def test_each_epoch_has_its_order(backend, dtype):
    rng = np.random.default_rng(5)
    orders = np.stack([rng.permutation(10) for _ in range(3)])
    together = start_run(backend, dtype, [0.1, 0.2, 0.3], orders=orders)[0]
    oracle = start_run("numpy", dtype, [0.1, 0.2, 0.3], orders=orders)[0]
    close(together.params, oracle.params, dtype, 1e-3, 1e-8)
    natural = start_run(backend, dtype, [0.1, 0.2, 0.3])[0]
    assert np.abs(natural.params - together.params).max() > 1e-4


def test_batches_of_another_size_later(accelerated, dtype):
    """A trainer's scratch memory follows the batch size, both up and down."""
    results = []
    for name in (accelerated, "numpy"):
        net = mlpfast.MLP([3, 5, 2], "tanh", dtype=dtype, random_state=0, backend=name)
        rng = np.random.default_rng(0)
        x, y = rng.standard_normal((50, 3)), rng.random((50, 2))
        for batch_size in (4, 50, 1, 17):
            net.fit(x, y, batch_size=batch_size, epochs=2, shuffle=False)
        results.append(net.params)
    close(*results, dtype, 1e-3, 1e-8)
