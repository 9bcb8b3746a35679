"""Gradients against central differences: every activation, loss and reduction on every backend."""

import numpy as np
import pytest

import mlpfast
from mlpfast.backends import numpy as numpy_backend
from mlpfast.kernels import dense_backward, dense_forward
from mlpfast.spec import ACTIVATIONS, FORWARD_ONLY, FROM_PREACTIVATION, LOSSES, REQUIRED_OUTPUT
from reference import differences

RTOL = 1e-5
LEARNING = [name for name in ACTIVATIONS if name not in FORWARD_ONLY]
KINKED = ("relu", "leaky_relu")
POSITIVE = ("sigmoid", "softplus", "exp", "softmax")  # outputs whose logarithm exists

EVERY_LOSS = [*LOSSES, mlpfast.Huber(0.3), mlpfast.Quantile(0.9)]


def problem(hidden, output, loss, bias, reduction, backend):
    """A small net and data that lie away from every kink."""
    for seed in range(200):
        net = mlpfast.MLP(
            *([3, 4, 3, 3], hidden, output, loss),
            reduction=reduction,
            dtype="float64",
            bias=bias,
            random_state=seed,
            backend=backend,
        )
        rng = np.random.default_rng(seed)
        net.params += 0.3 * rng.standard_normal(net.n_params)
        x = rng.standard_normal((5, 3))
        y = rng.random((5, 3))
        if loss == "categorical_crossentropy":
            y /= y.sum(axis=1, keepdims=True)
        zs, outputs = numpy_backend.forward(net.spec, net.params, x)
        margins = [
            np.abs(z).min() for z, f in zip(zs, net.spec.activations, strict=True) if f in KINKED
        ]
        if net.spec.loss in ("mae", "huber", "quantile"):
            e = np.abs(outputs[-1] - y)
            margins += [e.min(), np.abs(e - (net.spec.loss_parameter or 1)).min()]
        if min(margins, default=1.0) > 1e-3:
            return net, x, y, rng.random(5) + 0.5
    raise AssertionError("no seed keeps its distance from the kinks")


# bias, reduction, weighted: every pair of two
VARIANTS = [
    (True, "mean", False),
    (False, "sum", False),
    (True, "sum", True),
    (False, "mean", True),
]


def check(hidden, output, loss, backend, variants=VARIANTS):
    for bias, reduction, weighted in variants:
        net, x, y, weight = problem(hidden, output, loss, bias, reduction, backend)
        weight = weight if weighted else None
        gradient = net.loss_and_grad(x, y, weight)[1]
        expected = differences(lambda: net.loss_and_grad(x, y, weight)[0], net.params)  # noqa: B023
        # A difference of two losses near 1 has about 1e-16 / eps of rounding in it.
        atol = 1e-9 * max(1.0, np.abs(expected).max())
        case = f"{output}, bias={bias}, {reduction}, weighted={weight is not None}"
        np.testing.assert_allclose(gradient, expected, rtol=RTOL, atol=atol, err_msg=case)
        assert np.abs(gradient).max() > 1e-6  # or nothing would have been compared


@pytest.mark.parametrize("hidden", LEARNING)
def test_hidden_activation(hidden, backend):
    check(hidden, "identity", "squared_error", backend)


@pytest.mark.parametrize("loss", EVERY_LOSS)
def test_loss_and_output_activation(loss, backend):
    """The outputs that a loss allows, each with another variant in turn."""
    if loss in REQUIRED_OUTPUT:
        check("tanh", REQUIRED_OUTPUT[loss], loss, backend)
        return
    for i, output in enumerate(POSITIVE if loss == "poisson" else LEARNING):
        check("tanh", output, loss, backend, [VARIANTS[i % 4]])


@pytest.mark.parametrize("loss", ["categorical_crossentropy", "mse"])
def test_labels(loss, backend):
    net, x, _, weight = problem("silu", "softmax", loss, True, "mean", backend)
    labels = np.array([0, 2, 1, 1, 0])
    gradient = net.loss_and_grad(x, labels, weight)[1]
    expected = differences(lambda: net.loss_and_grad(x, labels, weight)[0], net.params)
    np.testing.assert_allclose(gradient, expected, rtol=RTOL, atol=1e-9)


def test_mixed_activations(backend):
    hidden = ["gelu", "sigmoid", "elu", "softmax", "silu", "softplus"]
    net = mlpfast.MLP(
        *([2, 3, 5, 4, 3, 2, 3, 2], hidden, "tanh", "huber"),
        dtype="float64",
        random_state=4,
        backend=backend,
    )
    rng = np.random.default_rng(4)
    net.params += 0.3 * rng.standard_normal(net.n_params)
    x, y = rng.standard_normal((7, 2)), rng.random((7, 2))
    gradient = net.loss_and_grad(x, y)[1]
    expected = differences(lambda: net.loss_and_grad(x, y)[0], net.params)
    np.testing.assert_allclose(gradient, expected, rtol=RTOL, atol=1e-9)


@pytest.mark.parametrize("name", LEARNING)
def test_dense_backward(name, backend):
    for n, n_in, n_out in [(1, 1, 1), (4, 3, 5), (3, 7, 2)]:
        for seed in range(100):
            rng = np.random.default_rng(seed)
            x, w = rng.standard_normal((n, n_in)), rng.standard_normal((n_in, n_out))
            b, g = rng.standard_normal(n_out), rng.standard_normal((n, n_out))
            z = dense_forward(x, w, b, backend=backend)
            if name not in KINKED or np.abs(z).min() > 1e-3:
                break
        kept = z if name in FROM_PREACTIVATION else dense_forward(x, w, b, name, backend=backend)
        actual = dense_backward(x, w, kept, g, name, backend=backend)

        def total():
            a = dense_forward(x, w, b, name, backend=backend)  # noqa: B023 - called below
            return float((g * a).sum())  # noqa: B023

        for gradient, values in zip(actual, (x, w, b), strict=True):
            expected = differences(total, values)
            case = f"{n} rows of {n_in} to {n_out}"
            np.testing.assert_allclose(gradient, expected, rtol=RTOL, atol=1e-8, err_msg=case)
