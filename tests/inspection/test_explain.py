"""One step taken apart: the figures of a hand calculation, and of every activation and loss."""

import itertools
import math
from html.parser import HTMLParser

import numpy as np
import pytest

import mlpfast
from mlpfast.backends import numpy as reference
from mlpfast.inspection import formulas
from mlpfast.spec import (
    ACTIVATION_RECORDS,
    ACTIVATIONS,
    FORWARD_ONLY,
    FROM_LOGITS,
    FROM_PREACTIVATION,
    LOSS_RECORDS,
    LOSSES,
    PARAMETRIC_LOSSES,
    REQUIRED_OUTPUT,
    NetSpec,
)

LEARNING = [name for name in ACTIVATIONS if name not in FORWARD_ONLY]
PAIRS = [
    (loss, output)
    for loss, output in itertools.product(LOSSES, LEARNING)
    if REQUIRED_OUTPUT.get(loss, output) == output
    and (loss != "poisson" or output in ("sigmoid", "softplus", "exp", "softmax"))
]


def by_hand(**options):
    """2-2-1, sigmoid; the weights of x1, x2 and the bias: g1 (2, -2, 0), g2 (1, 3, -1)..."""
    return mlpfast.MLP(
        *([2, 2, 1], "sigmoid", "sigmoid", "squared_error"),
        init=([[[2, 1], [-2, 3]], [[3], [-2]]], [[0, -1], [-1]]),
        **options,
    )


# ------------------------------------------------------------------ the hand calculation


@pytest.mark.parametrize(
    ("x", "s1", "s2", "f"),
    [
        ((0, 0), 0.5, 0.269, 0.491),
        ((0, 1), 0.119, 0.881, 0.083),
        ((1, 0), 0.881, 0.5, 0.655),
        ((1, 1), 0.5, 0.953, 0.197),
    ],
)
def test_forward_by_hand(x, s1, s2, f, dtype):
    hidden, output = mlpfast.explain_step(by_hand(dtype=dtype), x, 0, 1).layers
    np.testing.assert_allclose(hidden.outputs, [s1, s2], rtol=0, atol=0.003)
    np.testing.assert_allclose(output.outputs, [f], rtol=0, atol=0.003)
    expected = [2 * x[0] - 2 * x[1], x[0] + 3 * x[1] - 1]
    np.testing.assert_allclose(hidden.weighted_sums, expected, rtol=0, atol=1e-15)


def test_backward_by_hand(dtype):
    """The calculation's deltas are -dL/dz, and it adds c * delta * input with c = 1."""
    step = mlpfast.explain_step(by_hand(dtype=dtype), (1, 0), 0, 1)
    hidden, output = step.layers
    tolerance = {"rtol": 0, "atol": 6e-4}
    np.testing.assert_allclose(-output.deltas, [-0.148], **tolerance)
    np.testing.assert_allclose(-hidden.deltas, [-0.047, 0.074], **tolerance)
    np.testing.assert_allclose(output.new_weights[:, 0], [2.87, -2.074], **tolerance)
    np.testing.assert_allclose(output.new_biases, [-1.148], **tolerance)
    np.testing.assert_allclose(hidden.new_weights, [[1.953, 1.074], [-2, 3]], **tolerance)
    np.testing.assert_allclose(hidden.new_biases, [-0.047, -0.926], **tolerance)
    assert step.loss == pytest.approx(0.655**2 / 2, abs=1e-3)
    assert step.new_loss < step.loss


def test_the_printed_table():
    text = str(mlpfast.explain_step(by_hand(), (1, 0), 0, 1))
    lines = [line.split() for line in text.splitlines()]
    for row in (
        "h1 2.0000 0.8808 0.0466 x1 1.0000 2.0000 0.0466 1.9534",
        "x2 0 -2.0000 0 -2.0000",
        "bias 1.0000 0 0.0466 -0.0466",
        "h2 0 0.5000 -0.0740 x1 1.0000 1.0000 -0.0740 1.0740",
        "o1 0.6424 0.6553 0.1480 h1 0.8808 3.0000 0.1304 2.8696",
        "h2 0.5000 -2.0000 0.0740 -2.0740",
        "bias 1.0000 -1.0000 0.1480 -1.1480",
    ):
        assert lines.count(row.split()) == 1, row
    heading = "unit  weighted sum  output    delta  from   input   weight  gradient  new weight"
    assert f"  {heading}" in text.splitlines()
    assert "loss squared_error: L = sum((o - t)**2) / 2" in text
    assert "L = 0.2147 before the step, 0.1562 after it" in text
    assert "a = 1 / (1 + exp(-z))" in text
    assert "dL/dz = g * a * (1 - a), g = sum(weight above * delta above)" in text
    assert "dL/dz = g * a * (1 - a), g = dL/do = o - t" in text
    assert "weight - learning rate * gradient" in text
    # Columns of numbers end where their heading ends.
    first = next(i for i, line in enumerate(text.splitlines()) if line.endswith("new weight"))
    table = text.splitlines()[first : first + 7]
    assert {len(line) for line in table} == {len(table[0])}


class Cells(HTMLParser):
    """The text of every table row; fails on tags that are not closed in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.rows, self.text = [], [], ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        if tag == "br":
            return
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data


def test_html_has_the_same_cells():
    step = mlpfast.explain_step(by_hand(), (1, 0), 0, 1)
    page = Cells(step._repr_html_())
    assert [row for row in page.rows if row[0] != "unit"] == [
        row for layer in step.layers for row in layer.rows()
    ]
    assert "0.2147 before the step" in page.text


def test_html_escapes_the_formulas():
    net = mlpfast.MLP([1, 1], loss="huber", random_state=0)
    page = mlpfast.explain_step(net, [1], 0)._repr_html_()
    assert "&lt;=" in page
    assert "<=" in Cells(page).text


# ------------------------------------------------------------------ every activation and loss


def problem(sizes, hidden, output, loss, **options):
    net = mlpfast.MLP(sizes, hidden, output, loss, random_state=3, dtype="float64", **options)
    rng = np.random.default_rng(3)
    net.params += 0.3 * rng.standard_normal(net.n_params)
    y = rng.random(sizes[-1])
    if loss == "categorical_crossentropy":
        y /= y.sum()
    return net, rng.standard_normal(sizes[0]), y


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("loss", "output"), PAIRS)
def test_output_layer(loss, output, bias):
    check_against_fit(*problem([3, 4, 3], "tanh", output, loss, bias=bias))


@pytest.mark.parametrize("hidden", LEARNING)
def test_hidden_layers(hidden):
    check_against_fit(*problem([3, 4, 3, 2], hidden, "identity", "mse"))


def check_against_fit(net, x, y):
    """What is explained is what the net does, found without the code that explains."""
    before = net.params.copy()
    step = mlpfast.explain_step(net, x, y, 0.3)
    np.testing.assert_array_equal(net.params, before)
    loss, grad = net.loss_and_grad(x[None], y[None])
    assert step.loss == pytest.approx(loss, rel=1e-10)
    np.testing.assert_allclose(step.gradient, grad, rtol=1e-10, atol=1e-14)
    for layer, outputs in zip(step.layers, net.activations(x), strict=True):
        np.testing.assert_allclose(layer.outputs, outputs, rtol=1e-11)
        expected = np.outer(layer.inputs, layer.deltas)
        np.testing.assert_allclose(layer.weight_gradients, expected, rtol=1e-12)
        if layer.biases is not None:
            np.testing.assert_allclose(layer.bias_gradients, layer.deltas, rtol=1e-12)
        z = layer.inputs @ layer.weights + (0 if layer.biases is None else layer.biases)
        np.testing.assert_allclose(layer.weighted_sums, z, rtol=1e-12, atol=1e-15)
    net.fit(x[None], y[None], batch_size=1, optimizer=mlpfast.SGD(0.3))
    np.testing.assert_allclose(step.new_params, net.params, rtol=1e-9, atol=1e-13)
    assert step.new_loss == pytest.approx(net.loss_and_grad(x[None], y[None])[0], rel=1e-8)
    assert str(step)
    assert Cells(step._repr_html_()).rows


def test_a_class_label_is_its_one_hot_row():
    net, x, _ = problem([3, 4, 3], "relu", "softmax", "categorical_crossentropy")
    one = mlpfast.explain_step(net, x, 2)
    for y in ([0, 0, 1], [[0.0, 0.0, 1.0]], np.int64(2), [2]):
        other = mlpfast.explain_step(net, x[None], y)
        np.testing.assert_array_equal(one.gradient, other.gradient)
    assert one.target.tolist() == [0, 0, 1]


def test_names_of_units():
    net = mlpfast.MLP([2, 3, 2, 1], random_state=0)
    layers = mlpfast.explain_step(net, [1, 2], 3).layers
    assert [layer.name for layer in layers] == ["hidden layer 1", "hidden layer 2", "output layer"]
    assert layers[0].unit_names == ("h1.1", "h1.2", "h1.3") == layers[1].input_names
    assert layers[2].unit_names == ("o1",)


def test_a_large_net_is_printed_in_part():
    net = mlpfast.MLP([784, 512, 10], "relu", "softmax", "categorical_crossentropy", random_state=0)
    text = str(mlpfast.explain_step(net, np.ones(784), 3))
    assert len(text.splitlines()) < 180
    assert "x784" in text
    assert "h512" in text
    assert "x300" not in text


# ------------------------------------------------------------------ the formulas are true

SCALARS = {"exp": math.exp, "log": math.log, "tanh": math.tanh, "erf": math.erf}
SCALARS |= {"sqrt": math.sqrt, "pi": math.pi, "max": max}
VECTORS = {"exp": np.exp, "log": np.log, "sum": np.sum, "abs": np.abs, "sign": np.sign}
VECTORS |= {"where": np.where, "clip": np.clip, "tanh": np.tanh, "cosh": np.cosh}


def evaluate(text, names):
    return eval(text, {"__builtins__": {}}, names)


def test_every_activation_and_loss_has_its_formula():
    assert tuple(ACTIVATION_RECORDS) == ACTIVATIONS
    assert tuple(LOSS_RECORDS) == LOSSES
    records = LOSS_RECORDS.values()
    assert {r.name for r in records if r.logits_delta} == {loss for loss, _ in FROM_LOGITS}
    assert {r.name for r in records if r.symbol} == set(PARAMETRIC_LOSSES)


@pytest.mark.parametrize("name", [name for name in ACTIVATIONS if name != "softmax"])
def test_formula_of_an_activation(name):
    formula = ACTIVATION_RECORDS[name]
    for z in (-2.5, -0.3, 0.2, 3.0):
        a = evaluate(formula.output, {**SCALARS, "z": z})
        column = np.array([[z]])
        assert a == pytest.approx(reference.FORWARD[name](column)[0, 0], rel=1e-12)
        if name in FORWARD_ONLY:
            continue
        kept = column if name in FROM_PREACTIVATION else np.array([[a]])
        slope = evaluate(formula.slope, {**SCALARS, "z": z, "a": a})
        delta = evaluate(formula.delta, {**SCALARS, "z": z, "a": a, "g": 0.7})
        actual = reference.BACKWARD[name](kept, np.array([[0.7]]))[0, 0]
        assert slope * 0.7 == pytest.approx(actual, rel=1e-12)
        assert delta == pytest.approx(actual, rel=1e-12)


def test_formula_of_softmax():
    formula = ACTIVATION_RECORDS["softmax"]
    z, g = np.array([0.3, -1.2, 2.0]), np.array([0.5, -0.1, 0.2])
    a = evaluate(formula.output, {**VECTORS, "z": z})
    np.testing.assert_allclose(a, reference.FORWARD["softmax"](z[None])[0], rtol=1e-14)
    delta = evaluate(formula.delta, {**VECTORS, "a": a, "g": g})
    np.testing.assert_allclose(delta, reference.BACKWARD["softmax"](a[None], g[None])[0])


@pytest.mark.parametrize("loss", LOSSES)
def test_formula_of_a_loss(loss):
    formula = LOSS_RECORDS[loss]
    output = REQUIRED_OUTPUT.get(loss, "softplus")
    spec = NetSpec((3, 3), (output,), loss, dtype="float64")
    z = np.array([[0.3, -1.2, 2.0]])
    o, t = reference.FORWARD[output](z), np.array([[0.2, 0.5, 0.3]])
    parameters = dict.fromkeys("cq", spec.loss_parameter)
    names = {**VECTORS, **parameters, "o": o, "t": t, "n": 3}
    row, delta = reference.loss_and_delta(spec, z, o, t)
    assert evaluate(formula.value, names) == pytest.approx(row[0], rel=1e-12)
    g = evaluate(formula.gradient, names)
    through = reference.BACKWARD[output](o, np.asarray(g))
    np.testing.assert_allclose(through, delta, rtol=1e-10)


@pytest.mark.parametrize(("loss", "output"), sorted(FROM_LOGITS))
def test_formula_of_a_delta_from_the_logits(loss, output):
    spec = NetSpec((3, 3), (output,), loss, dtype="float64")
    z = np.array([[0.3, -1.2, 2.0]])
    o, t = reference.FORWARD[output](z), np.array([[0.2, 0.5, 0.1]])
    row, delta = reference.loss_and_delta(spec, z, o, t)
    names = {**VECTORS, "o": o, "t": t, "n": 3}
    actual = evaluate(formulas.output_delta_text(spec), names)
    np.testing.assert_allclose(actual, delta, rtol=1e-12)
    value = evaluate(formulas.loss_text(spec), names)
    assert value == pytest.approx(row[0], rel=1e-12)


def test_a_parameter_of_the_loss_is_printed():
    net = mlpfast.MLP([2, 1], loss=mlpfast.spec.Huber(0.25), random_state=0)
    assert "c = 0.25" in str(mlpfast.explain_step(net, [1, 1], 3))


# ------------------------------------------------------------------ wrong arguments


@pytest.mark.parametrize(
    ("x", "y", "lr", "error", "message"),
    [
        ([1, 2, 3], 0, 1, ValueError, r"x must be a single row of shape \(2,\).*got \(3,\)"),
        ([[1, 2], [3, 4]], 0, 1, ValueError, r"x must be a single row.*got \(2, 2\)"),
        ([1, np.nan], 0, 1, ValueError, "x must be finite, got nan"),
        (["a", "b"], 0, 1, TypeError, "x must be numeric"),
        ([1, 2], [0, 1], 1, ValueError, r"y must be a single target, a number; got shape \(2,\)"),
        ([1, 2], np.inf, 1, ValueError, "y must be finite"),
        ([1, 2], 0, -1, ValueError, r"lr must be in \[0"),
        ([1, 2], 0, "fast", TypeError, "lr must be a number, got 'fast'"),
    ],
)
def test_wrong_arguments(x, y, lr, error, message):
    with pytest.raises(error, match=message):
        mlpfast.explain_step(by_hand(), x, y, lr)


def test_wrong_labels_and_nets():
    net = mlpfast.MLP([2, 3], output_activation="softmax", random_state=0)
    with pytest.raises(ValueError, match=r"y must hold class labels 0\.\.2, got 3"):
        mlpfast.explain_step(net, [1, 2], 3)
    with pytest.raises(ValueError, match=r"y must be a single target, of shape \(3,\) or a class"):
        mlpfast.explain_step(net, [1, 2], [0, 1])
    with pytest.raises(TypeError, match=r"net must be a mlpfast\.MLP, got str"):
        mlpfast.explain_step("net", [1, 2], 0)
    with pytest.raises(ValueError, match="'step' has no gradient"):
        mlpfast.explain_step(mlpfast.MLP([2, 1], output_activation="step"), [1, 2], 0)


def test_dropout_is_left_out():
    net = mlpfast.MLP([2, 3, 1], "tanh", dropout=0.5, dtype="float64", random_state=0)
    step = mlpfast.explain_step(net, [1, 2], 1)
    np.testing.assert_allclose(step.gradient, net.loss_and_grad([[1, 2]], [1])[1], rtol=1e-12)
    assert step.output == pytest.approx(net.predict([1.0, 2.0]), rel=1e-12)
