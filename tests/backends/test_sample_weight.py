"""What sample weights mean in `fit`: rows that count more than once, or not at all."""

import numpy as np
import pytest

import mlpfast
from mlpfast import SGD, Adam, AdamW, RMSprop

# sizes, rows: a batch for each plan
SHAPES = [([2, 3, 1], 6), ([3, 9, 5, 2], 90), ([4, 32, 16, 4], 1500), ([20, 260, 3], 120)]
PROBLEMS = [
    ("mse", "identity"),
    ("categorical_crossentropy", "softmax"),
    (mlpfast.Quantile(0.7), "identity"),
]


def make(sizes, dtype, backend, loss="mse", output="identity", **options):
    return mlpfast.MLP(
        *(sizes, "tanh", output, loss), dtype=dtype, random_state=3, backend=backend, **options
    )


def rows(sizes, n):
    rng = np.random.default_rng(n)
    y = rng.random((n, sizes[-1]))
    return rng.standard_normal((n, sizes[0])), y / y.sum(axis=1, keepdims=True)


def close(actual, expected, dtype, case=""):
    rtol = 1e-3 if dtype == "float32" else 1e-8
    atol = rtol * np.abs(expected).max()
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=atol, err_msg=case)


@pytest.mark.parametrize("shape", range(len(SHAPES)))
def test_a_weight_counts_repetitions(shape, backend, dtype):
    """Every loss on every shape, with both reductions in turn, so that all pairs occur."""
    sizes, n = SHAPES[shape]
    x, y = rows(sizes, n)
    counts = np.arange(n) % 4  # 0 among them
    repeated_x, repeated_y = np.repeat(x, counts, axis=0), np.repeat(y, counts, axis=0)
    for i, (loss, output) in enumerate(PROBLEMS):
        reduction = ("mean", "sum")[(shape + i) % 2]
        case = f"{loss}, {reduction}"
        nets = [make(sizes, dtype, backend, loss, output, reduction=reduction) for _ in range(2)]
        options = {"epochs": 5, "metrics": ("accuracy", "mse", "mae")}
        options["optimizer"] = SGD(0.1 if reduction == "mean" else 0.1 / n)
        weighted = nets[0].fit(x, y, batch_size=n, sample_weight=counts, **options).history
        arguments = {"batch_size": len(repeated_x), **options}
        repeated = nets[1].fit(repeated_x, repeated_y, **arguments).history
        close(nets[0].params, nets[1].params, dtype, case)
        for name, values in repeated.items():
            if name != "accuracy" or dtype == "float64":
                close(np.array(weighted[name]), np.array(values), dtype, f"{name}, {case}")


@pytest.mark.parametrize(("sizes", "n"), SHAPES)
def test_only_the_proportions_count(sizes, n, backend, dtype):
    x, y = rows(sizes, n)
    weight = np.random.default_rng(1).random(n)
    results = []
    for factor in (1.0, 1e-20, 1e12):
        net = make(sizes, dtype, backend)
        history = net.fit(x, y, epochs=3, sample_weight=factor * weight, shuffle=False).history
        results.append((net.params, history["loss"]))
    for params, losses in results[1:]:
        close(params, results[0][0], dtype)
        close(np.array(losses), np.array(results[0][1]), dtype)


@pytest.mark.parametrize(("sizes", "n"), SHAPES)
def test_rows_without_weight_do_not_matter(sizes, n, backend, dtype):
    x, y = rows(sizes, n)
    weight = (np.arange(n) % 3 > 0).astype(float)
    results = []
    for shift in (0.0, 7.0):
        net = make(sizes, dtype, backend)
        ours, theirs = x + shift * (weight == 0)[:, None], y - shift * (weight == 0)[:, None]
        net.fit(ours, theirs, epochs=3, sample_weight=weight, batch_size=4, shuffle=False)
        results.append(net.params)
    close(results[1], results[0], dtype)


RULES = [
    SGD(0.1),
    SGD(0.1, momentum=0.9, nesterov=True),
    Adam(0.01),
    AdamW(0.01, weight_decay=0.1),
    RMSprop(0.01),
    SGD(0.1, clip_norm=0.5),
    Adam(0.01, clip_value=0.01),
]


@pytest.mark.parametrize("shape", range(len(SHAPES)))
def test_batches_without_weight(shape, accelerated, dtype):
    """The first batch and one in the middle: nothing is divided by 0, on any plan.

    Every rule on every shape, with and without dropout in turn.
    """
    sizes, n = SHAPES[shape]
    x, y = rows(sizes, n)
    batch_size = n // 3
    weight = np.ones(n)
    weight[: 2 * batch_size] = 0.0
    for i, rule in enumerate(RULES):
        dropout = (0.0, 0.3)[(shape + i) % 2]
        case = f"{rule!r}, dropout={dropout}"
        results = []
        for name in (accelerated, "numpy"):
            net = make(sizes, dtype, name, dropout=dropout)
            options = {"batch_size": batch_size, "shuffle": False, "optimizer": rule}
            history = net.fit(x, y, epochs=3, sample_weight=weight, metrics=("mae",), **options)
            assert history.stop_reason == "finished", case
            results.append((net.params, *history.history.values()))
        for actual, expected in zip(*results, strict=True):
            assert np.isfinite(actual).all(), case
            close(actual, expected, dtype, case)


@pytest.mark.parametrize(("sizes", "n"), SHAPES)
def test_a_batch_without_weight_changes_nothing_by_itself(sizes, n, backend, dtype):
    """Plain descent: an epoch of such batches and one other is the step of that one."""
    x, y = rows(sizes, n)
    batch_size = n // 3
    weight = np.zeros(n)
    weight[batch_size : 2 * batch_size] = np.arange(1, batch_size + 1)
    nets = [make(sizes, dtype, backend) for _ in range(2)]
    options = {"batch_size": batch_size, "shuffle": False, "optimizer": SGD(0.1)}
    all_rows = nets[0].fit(x, y, sample_weight=weight, **options).history
    part = slice(batch_size, 2 * batch_size)
    the_part = nets[1].fit(x[part], y[part], sample_weight=weight[part], **options).history
    np.testing.assert_array_equal(nets[0].params, nets[1].params)
    assert all_rows["loss"] == the_part["loss"]


def test_l2_and_momentum_continue_without_weight(backend, dtype):
    """By hand: a net of one weight; the second batch has no weight."""
    options = {"dtype": dtype, "backend": backend, "init": ([[[2.0]]], [])}
    net = mlpfast.MLP([1, 1], loss="squared_error", bias=False, **options)
    x, y, weight = [[1.0], [1.0]], [[1.0], [5.0]], [3.0, 0.0]
    rule = SGD(0.1, momentum=0.5)
    net.fit(x, y, sample_weight=weight, batch_size=1, shuffle=False, optimizer=rule, l2=0.25)
    first = 1.0 + 0.25 * 2.0  # the weighted mean of a row's gradient is that gradient
    w = 2.0 - 0.1 * first
    second = 0.5 * first + 0.25 * w
    assert net.params[0] == pytest.approx(w - 0.1 * second, rel=1e-6)
