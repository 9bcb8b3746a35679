"""Gradient checking: right nets pass, a wrong gradient is found and named, kinks are excused."""

import numpy as np
import pytest

import mlpfast
from mlpfast.spec import ACTIVATIONS, FORWARD_ONLY, LOSSES, REQUIRED_OUTPUT


def problem(sizes, hidden="tanh", output="identity", loss="mse", **options):
    net = mlpfast.MLP(sizes, hidden, output, loss, random_state=1, **options)
    rng = np.random.default_rng(1)
    net.params += 0.3 * rng.standard_normal(net.n_params)
    Y = rng.random((5, sizes[-1]))
    if loss == "categorical_crossentropy":
        Y /= Y.sum(axis=1, keepdims=True)
    return net, rng.standard_normal((5, sizes[0])), Y


@pytest.mark.parametrize("hidden", [name for name in ACTIVATIONS if name not in FORWARD_ONLY])
def test_every_activation_passes(hidden):
    net, X, Y = problem([3, 4, 2], hidden)
    report = mlpfast.check_gradients(net, X, Y)
    assert report.passed, report
    assert 0 < report.error < 1e-5


def test_every_backend_passes_and_the_net_stays(backend, dtype):
    net, X, Y = problem([3, 4, 2], dtype=dtype, backend=backend)
    before = net.params.copy()
    report = mlpfast.check_gradients(net, X, Y)
    assert report
    assert len(report.layers) == 4
    np.testing.assert_array_equal(net.params, before)
    assert net.params.dtype == dtype
    assert report.backend == net.backend


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_passes(loss, reduction):
    output = REQUIRED_OUTPUT.get(loss, "softplus")
    net, X, Y = problem([3, 4, 2], "silu", output, loss, reduction=reduction)
    report = mlpfast.check_gradients(net, X, Y, [1, 2, 0.5, 1, 0])
    assert report.passed, report
    assert [layer.kinks for layer in report.layers] == [0] * 4


@pytest.mark.parametrize("wrong", [(0, 1, 2), (1, 3, 0), (0, "b", 1)])
def test_a_wrong_gradient_is_found_and_named(wrong, monkeypatch):
    """An error of 1 % in a single entry."""
    net, X, Y = problem([3, 4, 2], dtype="float64")
    right = mlpfast.MLP.loss_and_grad

    def spoiled(self, *args, **kwargs):
        loss, grad = right(self, *args, **kwargs)
        layer, row, column = wrong
        w, b = self.spec.unflatten(grad)[layer]
        if row == "b":
            b[column] *= 1.01
        else:
            w[row, column] *= 1.01
        return loss, grad

    monkeypatch.setattr(mlpfast.MLP, "loss_and_grad", spoiled)
    report = mlpfast.check_gradients(net, X, Y)
    assert not report
    layer, row, column = wrong
    kind, where = ("biases", (column,)) if row == "b" else ("weights", (row, column))
    failed = [entry for entry in report.layers if not entry.passed]
    assert [(entry.name, entry.where) for entry in failed] == [(f"layer {layer + 1} {kind}", where)]
    assert failed[0].error == pytest.approx(0.01 / 1.01, rel=1e-3)
    assert failed[0].gradient == pytest.approx(1.01 * failed[0].difference, rel=1e-4)
    text = str(report)
    assert "gradient check FAILED: largest relative error 9.9e-03, allowed 1e-05" in text
    assert text.count("WRONG") == 1
    assert text.count(" ok") == 3
    assert "<td" in report._repr_html_()


def test_kinks_are_excused_but_not_hidden():
    """XOR's row 00 puts every relu of a new net, whose biases are 0, on its kink."""
    X, Y = mlpfast.datasets.xor()
    net = mlpfast.MLP([2, 3, 1], "relu", "sigmoid", "squared_error", random_state=0)
    report = mlpfast.check_gradients(net, X, Y)
    assert report.passed
    biases = report.layers[1]
    assert (biases.name, biases.kinks, biases.checked) == ("layer 1 biases", 3, 3)
    assert np.isnan(biases.gradient)
    line = next(line for line in str(report).splitlines() if line.startswith("layer 1 biases"))
    assert line.split() == ["layer", "1", "biases", "3", "3", "ok"]


def test_a_wrong_gradient_at_a_kink_is_found(monkeypatch):
    X, Y = mlpfast.datasets.xor()
    net = mlpfast.MLP([2, 3, 1], "relu", "sigmoid", "squared_error", random_state=0)
    right = mlpfast.MLP.loss_and_grad

    def spoiled(self, *args, **kwargs):
        loss, grad = right(self, *args, **kwargs)
        grad[6:9] += 0.1  # the hidden biases
        return loss, grad

    monkeypatch.setattr(mlpfast.MLP, "loss_and_grad", spoiled)
    report = mlpfast.check_gradients(net, X, Y)
    assert [layer.passed for layer in report.layers] == [True, False, True, True]


def test_a_gradient_that_is_not_a_number_fails(monkeypatch):
    net, X, Y = problem([3, 4, 2], dtype="float64")
    right = mlpfast.MLP.loss_and_grad

    def spoiled(self, *args, **kwargs):
        loss, grad = right(self, *args, **kwargs)
        grad[0] = np.nan
        return loss, grad

    monkeypatch.setattr(mlpfast.MLP, "loss_and_grad", spoiled)
    report = mlpfast.check_gradients(net, X, Y)
    assert not report.layers[0].passed
    assert report.error == np.inf
    assert report.layers[0].where == (0, 0)


def test_large_layers_are_sampled():
    net, X, Y = problem([30, 20, 2])
    report = mlpfast.check_gradients(net, X, Y, max_entries=50)
    assert [(e.checked, e.size) for e in report.layers] == [(50, 600), (20, 20), (40, 40), (2, 2)]
    assert "50 of 600" in str(report)
    whole = mlpfast.check_gradients(net, X, Y, max_entries=None)
    assert (whole.layers[0].checked, whole.layers[0].size) == (600, 600)
    assert whole.layers[0].error >= report.layers[0].error > 0


def test_labels_and_scaled_bytes():
    net = mlpfast.MLP([4, 3], output_activation="softmax", loss="categorical_crossentropy")
    X = np.arange(20, dtype=np.uint8).reshape(5, 4)
    report = mlpfast.check_gradients(net, X, [0, 1, 2, 1, 0], input_scale=1 / 255)
    assert report.passed, report
    _, grad = net.loss_and_grad(X, [0, 1, 2, 1, 0], input_scale=1 / 255)
    worst = report.layers[0]
    where = net.spec.unflatten(grad)[0][0][worst.where]
    assert worst.gradient == pytest.approx(float(where), rel=1e-3)


def test_a_net_without_biases():
    net, X, Y = problem([3, 4, 2], bias=False)
    report = mlpfast.check_gradients(net, X, Y)
    assert [layer.name for layer in report.layers] == ["layer 1 weights", "layer 2 weights"]
    assert report.passed


def test_the_optimizer_keeps_its_moments():
    net, X, Y = problem([3, 4, 2], dtype="float64")
    net.fit(X, Y, epochs=2)
    twin = net.copy()
    mlpfast.check_gradients(net, X, Y)
    for each in (net, twin):
        each.fit(X, Y, epochs=2)
    np.testing.assert_array_equal(net.params, twin.params)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"X": np.ones((5, 4))}, ValueError, r"X must have shape \(n, 3\)"),
        ({"Y": np.ones((4, 2))}, ValueError, "Y must have as many rows as X"),
        ({"epsilon": 0}, ValueError, r"epsilon must be in \(0"),
        ({"tolerance": "small"}, TypeError, "tolerance must be a number"),
        ({"max_entries": 0}, ValueError, "max_entries must be at least 1, got 0"),
        ({"sample_weight": np.zeros(5)}, ValueError, "sample_weight must not be all zeros"),
        ({"net": None}, TypeError, r"net must be a mlpfast\.MLP, got NoneType"),
    ],
)
def test_wrong_arguments(change, error, message):
    net, X, Y = problem([3, 4, 2])
    arguments = {"net": net, "X": X, "Y": Y} | change
    with pytest.raises(error, match=message):
        mlpfast.check_gradients(**arguments)


def test_a_step_activation_has_no_gradient():
    net = mlpfast.MLP([2, 1], output_activation="step")
    with pytest.raises(ValueError, match="'step' has no gradient"):
        mlpfast.check_gradients(net, np.ones((1, 2)), [1])


def test_dropout_is_left_out():
    net, X, Y = problem([3, 4, 2], dropout=0.5)
    assert mlpfast.check_gradients(net, X, Y).passed
