"""Losses against figures worked out by hand, extreme logits, labels, and scikit-learn's metrics."""

import functools
import itertools
from math import log

import numpy as np
import pytest

import mlpfast

RTOL = {"float32": 2e-6, "float64": 1e-12}
EPSILON = 1e-7  # of the Poisson loss


def passes_through(n, output, loss, dtype, backend, reduction="mean"):
    """A net of one layer that multiplies by the identity matrix: its logits are its inputs."""
    return mlpfast.MLP(
        [n, n],
        output_activation=output,
        loss=loss,
        reduction=reduction,
        dtype=dtype,
        backend=backend,
        init=([np.eye(n)], [np.zeros(n)]),
    )


# Two rows. e = o - t is (0.5, 0, -2) and (-1, 0.25, 3) for the losses of an identity output.
OUT = np.array([[1.0, 2.0, -1.0], [0.0, 0.25, 3.0]])
TARGET = np.array([[0.5, 2.0, 1.0], [1.0, 0.0, 0.0]])
LOGITS = np.array([[0.0, log(3), -log(3)], [log(3), 0.0, log(3)]])  # sigmoid: 1/2, 3/4, 1/4, ...
SOFT = np.array([[log(1), log(2), log(5)], [log(4), log(3), log(1)]])  # softmax: eighths
COUNTS = np.array([[1.0, 0.0, 3.0], [2.0, 1.0, 0.0]])
RATES = np.array([[0.0, log(2), log(4)], [log(3), 0.0, -log(2)]])

HAND = {
    # name: (loss, output, x, t, loss of each row, gradient of each row with respect to the logits)
    "mse": (
        *("mse", "identity", OUT, TARGET, [4.25 / 3, 10.0625 / 3]),
        [[1 / 3, 0, -4 / 3], [-2 / 3, 0.5 / 3, 2]],
    ),
    "squared_error": (
        *("squared_error", "identity", OUT, TARGET, [2.125, 5.03125]),
        [[0.5, 0, -2], [-1, 0.25, 3]],
    ),
    "mae": (
        *("mae", "identity", OUT, TARGET, [2.5 / 3, 4.25 / 3]),
        [[1 / 3, 0, -1 / 3], [-1 / 3, 1 / 3, 1 / 3]],
    ),
    "huber": (  # 1/2 e^2 up to 1, |e| - 1/2 beyond
        *("huber", "identity", OUT, TARGET, [(0.125 + 0 + 1.5) / 3, (0.5 + 0.03125 + 2.5) / 3]),
        [[0.5 / 3, 0, -1 / 3], [-1 / 3, 0.25 / 3, 1 / 3]],
    ),
    "huber of 0.25": (
        *(mlpfast.Huber(0.25), "identity", OUT, TARGET),
        [0.25 * (0.375 + 0 + 1.875) / 3, (0.25 * 0.875 + 0.03125 + 0.25 * 2.875) / 3],
        [[0.25 / 3, 0, -0.25 / 3], [-0.25 / 3, 0.25 / 3, 0.25 / 3]],
    ),
    "quantile": (  # 0.5: half the absolute error
        *("quantile", "identity", OUT, TARGET, [1.25 / 3, 2.125 / 3]),
        [[0.5 / 3, 0, -0.5 / 3], [-0.5 / 3, 0.5 / 3, 0.5 / 3]],
    ),
    "quantile of 0.9": (  # nine times as bad to be below as above
        *(mlpfast.Quantile(0.9), "identity", OUT, TARGET, [1.85 / 3, 1.225 / 3]),
        [[0.1 / 3, 0, -0.9 / 3], [-0.9 / 3, 0.1 / 3, 0.1 / 3]],
    ),
    "binary_crossentropy": (
        *("binary_crossentropy", "sigmoid", LOGITS, [[1, 1, 0], [0, 0.5, 1]]),
        [-(log(1 / 2) + 2 * log(3 / 4)) / 3, -(log(1 / 4) + log(1 / 2) + log(3 / 4)) / 3],
        [[-1 / 6, -1 / 12, 1 / 12], [1 / 4, 0, -1 / 12]],
    ),
    "categorical_crossentropy": (
        *("categorical_crossentropy", "softmax", SOFT, [[0, 1, 0], [0.5, 0.5, 0]]),
        [log(4), 0.5 * log(2) + 0.5 * log(8 / 3)],
        [[1 / 8, -3 / 4, 5 / 8], [0, -1 / 8, 1 / 8]],
    ),
    "poisson of exp": (
        *("poisson", "exp", RATES, COUNTS),
        [(1 + 2 + 4 - 3 * log(4)) / 3, (3 - 2 * log(3) + 1 + 0.5) / 3],
        [[0, 2 / 3, 1 / 3], [1 / 3, 0, 0.5 / 3]],
    ),
    "binary_log_loss": (  # three times the binary_crossentropy
        *("binary_log_loss", "sigmoid", LOGITS, [[1, 1, 0], [0, 0.5, 1]]),
        [-(log(1 / 2) + 2 * log(3 / 4)), -(log(1 / 4) + log(1 / 2) + log(3 / 4))],
        [[-1 / 2, -1 / 4, 1 / 4], [3 / 4, 0, -1 / 4]],
    ),
    "log_loss": (
        *("log_loss", "softmax", SOFT, [[0, 1, 0], [0.5, 0.5, 0]]),
        [log(4), 0.5 * log(2) + 0.5 * log(8 / 3)],
        [[1 / 8, -3 / 4, 5 / 8], [0, -1 / 8, 1 / 8]],
    ),
    "poisson_deviance": (  # t log(t / o) - t + o, with o = 1, 2, 4 and 3, 1, 1/2
        *("poisson_deviance", "exp", RATES, COUNTS),
        [2 + 3 * log(3 / 4) + 1, 2 * log(2 / 3) + 1 + 0.5],
        [[0, 2, 1], [1, 0, 0.5]],
    ),
    "poisson of identity": (
        *("poisson", "identity", np.exp(RATES), COUNTS),
        [
            (1 - log(1 + EPSILON) + 2 + 4 - 3 * log(4 + EPSILON)) / 3,
            (3 - 2 * log(3 + EPSILON) + 1 - log(1 + EPSILON) + 0.5) / 3,
        ],
        [
            [(1 - 1 / (1 + EPSILON)) / 3, 1 / 3, (1 - 3 / (4 + EPSILON)) / 3],
            [(1 - 2 / (3 + EPSILON)) / 3, (1 - 1 / (1 + EPSILON)) / 3, 1 / 3],
        ],
    ),
}


@pytest.mark.parametrize("name", HAND)
def test_by_hand(name, backend, dtype):
    loss, output, x, t, row_losses, row_gradients = HAND[name]
    rtol, atol = RTOL[dtype], 3 * RTOL[dtype]
    every_weight = [None, (1.0, 3.0), (2.0, 0.0), (0.0, 0.0)]
    for reduction, weights in itertools.product(("mean", "sum"), every_weight):
        close = functools.partial(
            np.testing.assert_allclose, rtol=rtol, atol=atol, err_msg=f"{reduction}, {weights}"
        )
        w = np.ones(2) if weights is None else np.array(weights)
        net = passes_through(3, output, loss, dtype, backend, reduction)
        scale = 1.0 if reduction == "sum" else (1 / w.sum() if w.sum() else 0.0)
        value, gradient = net.loss_and_grad(x, t, weights)
        close(value, scale * w @ row_losses)
        # The bias adds to the logits: its gradient is that of the loss with respect to the logits.
        close(gradient[9:], scale * w @ np.array(row_gradients))
        close(net.evaluate(x, t, weights)["loss"], value)


@pytest.mark.parametrize("size", [10.0, 50.0, 200.0, 1e4, 1e30])
def test_extreme_logits_binary(size, backend, dtype):
    """log(1 + exp(z)) is z where exp(z) overflows, and exp(-z) where 1 + exp(-z) is 1."""
    net = passes_through(1, "sigmoid", "binary_crossentropy", dtype, backend)
    x = np.array([[size], [-size]])
    right, wrong = np.array([[1.0], [0.0]]), np.array([[0.0], [1.0]])
    value, gradient = net.loss_and_grad(x, wrong)
    np.testing.assert_allclose(value, size + np.log1p(np.exp(-size)), rtol=RTOL[dtype])
    assert np.isfinite(gradient).all()
    value, gradient = net.loss_and_grad(x, right)
    np.testing.assert_allclose(
        value, np.log1p(np.exp(-size)), rtol=RTOL[dtype], atol=np.finfo(dtype).tiny
    )
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("size", [10.0, 50.0, 200.0, 1e4, 1e30])
def test_extreme_logits_categorical(size, backend, dtype):
    net = passes_through(3, "softmax", "categorical_crossentropy", dtype, backend)
    x = np.array([[size, 0.0, -size]])
    for label, expected in enumerate((0.0, size, 2 * size)):
        value, gradient = net.loss_and_grad(x, np.array([label]))
        np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-4)
        assert np.isfinite(gradient).all()


@pytest.mark.parametrize("n", [2, 20])
@pytest.mark.parametrize("size", [10.0, 50.0, 200.0])
def test_clipped_probabilities(size, n, backend, dtype):
    """No answer costs more than -log(epsilon), or less than epsilon; the gradient is as it was."""
    epsilon = float(np.finfo(dtype).eps)
    most = min(size, -np.log(epsilon))
    net = passes_through(2, "sigmoid", "binary_log_loss", dtype, backend)
    x = np.tile([[size, -size]], (n, 1))
    for target, expected in (([0, 1], 2 * most), ([0.5, 0.5], most), ([1, 0], 2 * epsilon)):
        value, gradient = net.loss_and_grad(x, np.tile(target, (n, 1)))
        np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-4)  # 1 - p is rounded
        assert value >= expected * (1 - 1e-4)
        np.testing.assert_allclose(gradient[4:], np.array([1, 0]) - target, atol=1e-4)
    net = passes_through(3, "softmax", "log_loss", dtype, backend)
    x = np.tile([[size, 0.0, 0.0]], (n, 1))
    for target, expected in (([0, 1, 0], most), ([0.5, 0, 0.5], most / 2), ([1, 0, 0], epsilon)):
        value, gradient = net.loss_and_grad(x, np.tile(target, (n, 1)))
        np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-4)
        assert value >= expected * (1 - 1e-5)
        np.testing.assert_allclose(gradient[9:], np.array([1, 0, 0]) - target, atol=1e-4)


@pytest.mark.parametrize("n", [2, 40])
def test_losses_of_scikit_learn_at_any_logits(n, backend):
    """Digits that its formula loses are lost here too: its L-BFGS depends on them."""
    theirs = pytest.importorskip("sklearn.neural_network._base")
    wide = np.concatenate([np.linspace(-40, 40, 241), [-760.0, -720.0, 200.0, 700.0, 720.0]])
    cases = (
        ("binary_log_loss", "sigmoid", theirs.binary_log_loss, theirs.inplace_logistic, [0, 1]),
        ("poisson_deviance", "exp", theirs.poisson_loss, theirs.inplace_exp, [0, 3, 1e5]),
    )
    for loss, output, formula, activate, targets in cases:
        net = passes_through(1, output, loss, "float64", backend)
        for z in wide:
            for target in targets:
                x, t = np.full((n, 1), z), np.full((n, 1), float(target))
                outputs = x.copy()
                with np.errstate(all="ignore"):
                    activate(outputs)
                    expected = formula(t, outputs)
                value, _ = net.loss_and_grad(x, t)
                np.testing.assert_allclose(value, expected, rtol=1e-9, atol=1e-9 * target + 1e-15)
    net = passes_through(3, "softmax", "log_loss", "float64", backend)
    for z in wide:
        outputs = np.tile([z, 0.0, 1.0], (n, 1))
        x = outputs.copy()
        theirs.inplace_softmax(outputs)
        for t in np.eye(3):
            value, _ = net.loss_and_grad(x, np.tile(t, (n, 1)))
            expected = theirs.log_loss(np.tile(t, (n, 1)), outputs)
            np.testing.assert_allclose(value, expected, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize(
    ("loss", "output"),
    [
        ("log_loss", "softmax"),
        ("categorical_crossentropy", "softmax"),
        ("binary_crossentropy", "sigmoid"),
        ("mse", "softmax"),
        ("squared_error", "tanh"),
    ],
)
def test_labels_equal_one_hot_rows(loss, output, backend, dtype):
    rtol = 1e-4 if dtype == "float32" else 1e-10
    for n_out in (2, 3, 10, 17, 67):
        rng = np.random.default_rng(n_out)
        x = rng.standard_normal((23, 5))
        labels = rng.integers(0, n_out, 23)
        weight = rng.random(23)
        net = mlpfast.MLP(
            *([5, 7, n_out], "tanh", output, loss),
            dtype=dtype,
            random_state=0,
            backend=backend,
        )
        one_hot = np.eye(n_out)[labels]
        expected, expected_gradient = net.loss_and_grad(x, one_hot, weight)
        report = net.evaluate(x, one_hot, weight)
        for kind in (np.int64, np.uint8, np.float32, bool):
            if kind is bool and n_out > 2:
                continue
            case = f"{n_out} outputs, {kind.__name__}"
            value, gradient = net.loss_and_grad(x, labels.astype(kind), weight)
            np.testing.assert_allclose(value, expected, rtol=RTOL[dtype], err_msg=case)
            np.testing.assert_allclose(
                gradient, expected_gradient, rtol=rtol, atol=1e-6, err_msg=case
            )
            of_labels = net.evaluate(x, labels.astype(kind), weight)
            assert of_labels == pytest.approx(report, rel=RTOL[dtype]), case


def test_metrics_by_hand(backend, dtype):
    net = passes_through(3, "identity", "mse", dtype, backend)
    metrics = ("accuracy", "mse", "mae")
    report = net.evaluate(OUT, TARGET, metrics=metrics)
    # Largest outputs at 1 and 2, largest targets at 1 and 0.
    assert report == pytest.approx(
        {"loss": 14.3125 / 6, "accuracy": 0.5, "mse": 14.3125 / 6, "mae": 6.75 / 6}, rel=1e-6
    )
    report = net.evaluate(OUT, TARGET, [3.0, 1.0], metrics=metrics)
    assert report["accuracy"] == pytest.approx(0.75)
    assert report["mae"] == pytest.approx((3 * 2.5 / 3 + 4.25 / 3) / 4, rel=1e-6)
    one = passes_through(1, "identity", "mse", dtype, backend)
    outputs, targets = [[0.5], [0.75], [0.25], [2.0]], [[1], [1], [0], [0]]
    assert one.evaluate(outputs, targets)["accuracy"] == pytest.approx(0.5)  # 0.5 counts as 0


def test_ties_go_to_the_first(backend, dtype):
    net = passes_through(3, "identity", "mse", dtype, backend)
    x = np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0]])
    assert net.evaluate(x, np.array([0, 1]))["accuracy"] == 1
    assert net.evaluate(x, np.array([1, 2]))["accuracy"] == 0


def probabilities(net, x):
    p = net.predict(x).astype(float)
    return p / p.sum(axis=1, keepdims=True)  # scikit-learn insists on sums of 1 in double


@pytest.mark.parametrize("weighted", [False, True])
def test_against_scikit_learn(weighted, backend, dtype):
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(5)
    x = rng.standard_normal((57, 4))
    w = rng.random(57) if weighted else None
    labels = rng.permutation(np.arange(57) % 5)
    rtol = 1e-5 if dtype == "float32" else 1e-12

    def net_of(output, loss, n_out):
        return mlpfast.MLP(
            [4, 6, n_out], "tanh", output, loss, dtype=dtype, random_state=1, backend=backend
        )

    net = net_of("softmax", "categorical_crossentropy", 5)
    expected = metrics.log_loss(labels, probabilities(net, x), sample_weight=w)
    report = net.evaluate(x, labels, w)
    np.testing.assert_allclose(report["loss"], expected, rtol=rtol)
    guessed = net.predict(x).argmax(axis=1)
    expected = metrics.accuracy_score(labels, guessed, sample_weight=w)
    np.testing.assert_allclose(report["accuracy"], expected, rtol=rtol)

    net = net_of("sigmoid", "binary_crossentropy", 1)
    yes = (labels > 2).astype(float)
    p = net.predict(x).astype(float)[:, 0]
    expected = metrics.log_loss(yes, np.stack([1 - p, p], 1), sample_weight=w)
    np.testing.assert_allclose(net.evaluate(x, yes, w)["loss"], expected, rtol=rtol)

    target = rng.random((57, 3))
    for loss, function in (
        ("mse", metrics.mean_squared_error),
        ("mae", metrics.mean_absolute_error),
    ):
        net = net_of("identity", loss, 3)
        expected = function(target, net.predict(x), sample_weight=w)
        np.testing.assert_allclose(net.evaluate(x, target, w)["loss"], expected, rtol=rtol)

    for quantile in (0.05, 0.5, 0.999):
        net = net_of("identity", mlpfast.Quantile(quantile), 3)
        outputs = net.predict(x).astype(float)
        expected = metrics.mean_pinball_loss(target, outputs, sample_weight=w, alpha=quantile)
        np.testing.assert_allclose(net.evaluate(x, target, w)["loss"], expected, rtol=rtol)

    net = net_of("exp", "poisson", 1)
    counts = labels + 1.0
    deviance = metrics.mean_poisson_deviance(counts, net.predict(x)[:, 0], sample_weight=w)
    # The deviance is 2 (t log t - t log o - t + o): the loss but for what o does not enter.
    constant = np.average(counts * np.log(counts) - counts, weights=w)
    expected = deviance / 2 - constant
    np.testing.assert_allclose(net.evaluate(x, counts, w)["loss"], expected, rtol=10 * rtol)


@pytest.mark.parametrize("delta", [0.1, 1.0, 2.5, 100.0])
def test_huber_against_torch(delta, backend):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(7)
    x, t = 3 * rng.standard_normal((19, 4)), rng.standard_normal((19, 4))
    net = passes_through(4, "identity", mlpfast.Huber(delta), "float64", backend)
    outputs = torch.tensor(x, requires_grad=True)
    expected = torch.nn.functional.huber_loss(outputs, torch.tensor(t), delta=delta)
    expected.backward()
    value, gradient = net.loss_and_grad(x, t)
    np.testing.assert_allclose(value, expected.item(), rtol=1e-12)
    np.testing.assert_allclose(gradient[16:], outputs.grad.numpy().sum(axis=0), rtol=1e-10)


@pytest.mark.parametrize("quantile", [0.1, 0.5, 0.8])
def test_a_quantile_is_what_is_learned(quantile, backend, dtype):
    """The best constant under the loss is that quantile of the targets."""
    y = np.random.default_rng(3).exponential(size=401)
    loss = mlpfast.Quantile(quantile)
    net = mlpfast.MLP([1, 1], loss=loss, dtype=dtype, random_state=0, backend=backend)
    x = np.zeros((401, 1))
    net.fit(x, y, epochs=500, batch_size=401, optimizer=mlpfast.SGD(mlpfast.CosineDecay(0.3, 500)))
    assert net.predict(x[0])[0] == pytest.approx(np.quantile(y, quantile), abs=0.01)


def test_a_loss_by_name_has_the_default_parameter(backend):
    for name, kind in (("huber", mlpfast.Huber), ("quantile", mlpfast.Quantile)):
        assert mlpfast.MLP([2, 1], loss=name).spec == mlpfast.MLP([2, 1], loss=kind()).spec
