"""The plan for small nets on a few rows, and its shortcut for gradients, against NumPy."""

import warnings

import numpy as np
import pytest

import mlpfast
from mlpfast import SGD, Adam, AdamW, RMSprop
from mlpfast.spec import ACTIVATIONS, FORWARD_ONLY, LOSSES, REQUIRED_OUTPUT

LEARNERS = [name for name in ACTIVATIONS if name not in FORWARD_ONLY]
# Epsilons large enough that rounding is not what a step is made of.
OPTIMIZERS = [
    SGD(0.05),
    SGD(0.02, momentum=0.9),
    SGD(0.02, momentum=0.9, nesterov=True),
    Adam(0.01, epsilon=1e-3),
    AdamW(0.01, epsilon=1e-3, weight_decay=0.1),
    RMSprop(0.01, epsilon=1e-2),
    RMSprop(0.005, epsilon=1e-2, momentum=0.5),
]
# The largest net of the plan has 160 parameters; the last two lie on either side of the limit.
SIZES = [(2, 6, 1), (1, 1), (3, 5, 4, 2), (2, 2, 1), (4, 19, 3), (5, 17, 3)]


def make(backend, dtype, sizes=(3, 5, 2), hidden="tanh", output="identity", loss="mse", **kwargs):
    net = mlpfast.MLP(
        list(sizes), hidden, output, loss, dtype=dtype, random_state=3, backend=backend, **kwargs
    )
    rng = np.random.default_rng(4)
    for b in net.biases:
        b[...] = 0.3 * rng.standard_normal(len(b))
    return net


def rows(n, n_in=3, n_out=2, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.random((n, n_out))
    return rng.standard_normal((n, n_in)), y / y.sum(axis=1, keepdims=True), rng.random(n) + 0.2


def close(actual, expected, dtype, case=""):
    rtol = 1e-3 if dtype == "float32" else 1e-8
    atol = rtol * max(float(np.abs(expected).max()), 1e-2)
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=atol, err_msg=case)


def both(backend, dtype, x, y, *, net=None, case="", **fit):
    """Fit a net on this backend and on NumPy's, and compare what comes out."""
    nets = [make(name, dtype, **(net or {})) for name in (backend, "numpy")]
    fit = {"epochs": 10, "metrics": ("accuracy", "mse", "mae"), **fit}
    histories = [n.fit(x, y, **fit).history for n in nets]
    close(nets[0].params, nets[1].params, dtype, case)
    assert histories[0].keys() == histories[1].keys()
    for name, values in histories[1].items():
        if name != "accuracy" or dtype == "float64":  # outputs may be equal but for rounding
            close(histories[0][name], values, dtype, f"{name} {case}")
    return nets


@pytest.mark.parametrize("hidden", LEARNERS)
def test_activations(accelerated, dtype, hidden):
    for n in (1, 4, 7):
        x, y, weight = rows(n)
        options = {"sample_weight": weight, "batch_size": n, "case": f"{n} rows"}
        both(accelerated, dtype, x, y, net={"hidden": hidden}, **options)


# A logarithm wants positive outputs.
POSITIVE = ["sigmoid", "softmax", "exp", "softplus"]


@pytest.mark.parametrize("loss", [*LOSSES, mlpfast.Huber(0.3), mlpfast.Quantile(0.9)])
def test_losses(accelerated, dtype, loss):
    """With every output activation; 3 rows and 6 rows in turn."""
    outputs = POSITIVE if loss == "poisson" else LEARNERS
    if loss in REQUIRED_OUTPUT:
        outputs = 2 * [REQUIRED_OUTPUT[loss]]
    for i, output in enumerate(outputs):
        n = 6 if i % 2 else 3
        x, y, weight = rows(n)
        both(
            *(accelerated, dtype, x, y),
            net={"output": output, "loss": loss},
            sample_weight=weight,
            batch_size=n,
            optimizer=SGD(0.01),
            case=f"{output}, {n} rows",
        )


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda o: "-".join(map(str, o.rule)))
def test_optimizers(accelerated, dtype, optimizer):
    for l2 in (0.0, 0.1):
        options = {"optimizer": optimizer, "l2": l2, "batch_size": 4, "case": f"l2={l2}"}
        x, y, _ = rows(10)
        both(accelerated, dtype, x, y, **options)
        x, y, _ = rows(4)
        both(accelerated, dtype, x, y, epochs=150, **options)


@pytest.mark.parametrize(
    ("reduction", "bias", "batch_sizes"),
    [
        ("mean", True, range(1, 10)),
        ("mean", False, (4, 7)),
        ("sum", True, (4, 7)),
        ("sum", False, (1, 9)),
    ],
)
def test_batch_sizes(accelerated, dtype, reduction, bias, batch_sizes):
    x, y, weight = rows(19)
    weight[:9] = 0.0  # of whole batches too
    for batch_size in batch_sizes:
        both(
            *(accelerated, dtype, x, y),
            net={"reduction": reduction, "bias": bias},
            batch_size=batch_size,
            optimizer=SGD(0.01, momentum=0.5),
            sample_weight=weight,
            case=f"batches of {batch_size}",
        )


@pytest.mark.parametrize("sizes", SIZES)
def test_shapes(accelerated, dtype, sizes):
    for n in (1, 4, 8):
        x, y, _ = rows(n, sizes[0], sizes[-1])
        case = f"{n} rows"
        nets = both(accelerated, dtype, x, y, net={"sizes": sizes}, batch_size=8, case=case)
        actual, expected = (net.loss_and_grad(x, y) for net in nets)
        close(actual[0], expected[0], dtype, case)
        close(actual[1], expected[1], dtype, case)


def test_labels_bytes_and_scales(accelerated, dtype):
    x = np.random.default_rng(0).integers(0, 255, (9, 3)).astype(np.uint8)
    labels = np.array([0, 1, 1, 0, 1, 0, 0, 1, 1])
    net = {"output": "softmax", "loss": "categorical_crossentropy"}
    both(accelerated, dtype, x, labels, net=net, batch_size=4, input_scale=1 / 255)
    both(
        accelerated,
        dtype,
        x.astype("float32")[::-1],
        labels,
        net=net,
        batch_size=9,
        input_scale=0.01,
    )


def test_batch_sizes_may_change_between_fits(accelerated, dtype):
    """The moments go from plan to plan."""
    x, y, _ = rows(40)
    nets = [make(name, dtype) for name in (accelerated, "numpy")]
    for net in nets:
        for batch_size in (4, 40, 1, 8, 17, 3):
            net.fit(x, y, batch_size=batch_size, epochs=2, optimizer=Adam(0.01), shuffle=False)
    close(nets[0].params, nets[1].params, dtype)


def test_schedule(accelerated, dtype):
    x, y, _ = rows(4)
    optimizer = SGD(lambda epoch: 0.05 / (1 + epoch // 100))
    both(accelerated, dtype, x, y, optimizer=optimizer, epochs=300)


def test_more_epochs_than_one_call_takes(compiled, dtype):
    x, y, _ = rows(4)
    net = make(compiled, dtype)
    history = net.fit(x, y, optimizer=SGD(0.01), epochs=5000, metrics=())
    assert history.epoch == list(range(5000))
    assert len(history.history["loss"]) == 5000
    parts = make(compiled, dtype)
    losses = []
    for epochs in (1, 62, 64, 65, 4808):
        losses += parts.fit(x, y, optimizer=SGD(0.01), epochs=epochs, metrics=()).history["loss"]
    assert parts.params.tobytes() == net.params.tobytes()
    assert losses == history.history["loss"]


def test_adam_continues_over_fits(backend, dtype):
    x, y, _ = rows(4)
    nets = [make(backend, dtype) for _ in range(2)]
    nets[0].fit(x, y, epochs=200, optimizer=Adam(0.01))
    for epochs in (1, 70, 128, 1):
        nets[1].fit(x, y, epochs=epochs, optimizer=Adam(0.01))
    assert nets[0].params.tobytes() == nets[1].params.tobytes()


def test_bad_rows_are_found_within_an_epoch(backend, dtype):
    x, y, _ = rows(300)
    x[203, 1] = np.nan
    net = make(backend, dtype)
    before = net.params.tobytes()
    with pytest.raises(ValueError, match=r"X must be finite, got nan in row 203, column 1"):
        net.fit(x, y, batch_size=2, epochs=3, optimizer=SGD(0.01))
    assert net.params.tobytes() == before


@pytest.mark.parametrize("batch_size", [2, 4])
def test_divergence_restores_the_epoch_before(backend, dtype, batch_size):
    x, y, _ = rows(4)
    huge = float(np.finfo(dtype).max)

    def rate(epoch):
        return huge if epoch == 80 else 0.01

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net = make(backend, dtype)
        options = {"batch_size": batch_size, "shuffle": False}
        h = net.fit(x, y, epochs=100, optimizer=SGD(rate), on_nonfinite="stop", **options)
        good = make(backend, dtype)
        good.fit(x, y, epochs=len(h.epoch), optimizer=SGD(rate), **options)
    # One huge step may leave finite weights, whose loss is not.
    assert h.stop_reason == "diverged"
    assert len(h.epoch) == (80 if batch_size == 2 else 81)
    assert len(h.history["loss"]) == len(h.epoch)
    np.testing.assert_array_equal(net.params, good.params)


# ------------------------------------------------------------------ the gradient's shortcut


def test_gradient_of_a_few_rows(accelerated, dtype):
    x, y, weight = (a.astype(dtype) for a in rows(6))
    net, reference = make(accelerated, dtype), make("numpy", dtype)
    for n in (1, 2, 5, 6, 1):
        for w in (None, weight[:n]):
            loss, grad = net.loss_and_grad(x[:n], y[:n], w)
            want, want_grad = reference.loss_and_grad(x[:n], y[:n], w)
            close(loss, want, dtype)
            close(grad, want_grad, dtype)
            assert type(loss) is float
    x *= 2  # what is written into the arrays is seen
    net.params[...] += 0.25
    reference.params[...] += 0.25
    close(net.loss_and_grad(x, y)[1], reference.loss_and_grad(x, y)[1], dtype)


@pytest.mark.parametrize("sizes", [(3, 5, 2), (3, 60, 2)])
def test_gradient_into_an_array(backend, dtype, sizes):
    x, y, _ = (a.astype(dtype) for a in rows(3))
    net = make(backend, dtype, sizes)
    want = net.loss_and_grad(x, y)
    out = np.full(net.n_params, np.nan, dtype)
    loss, grad = net.loss_and_grad(x, y, out=out)
    assert grad is out
    assert loss == want[0]
    np.testing.assert_array_equal(out, want[1])
    loss, grad = net.loss_and_grad(x.tolist(), y.tolist(), out=out)
    assert grad is out
    close(out, want[1], dtype)
    with pytest.raises(ValueError, match="out must have shape"):
        net.loss_and_grad(x, y, out=out[:-1])
    with pytest.raises(TypeError, match="out must be a NumPy array, got list"):
        net.loss_and_grad(x, y, out=out.tolist())
    with pytest.raises(ValueError, match="out must be C-contiguous, aligned and writable"):
        net.loss_and_grad(x, y, out=np.repeat(out, 2)[::2])
    with pytest.raises(ValueError, match="out must not share memory"):
        net.loss_and_grad(x, y, out=net.params)


@pytest.mark.parametrize(
    ("loss", "output", "wrong"),
    [
        ("mse", "identity", np.inf),
        ("mse", "identity", np.nan),
        ("binary_crossentropy", "sigmoid", 1.5),
        ("categorical_crossentropy", "softmax", -1.0),
        ("poisson", "exp", -0.5),
    ],
)
def test_bad_values_are_rejected(backend, dtype, loss, output, wrong):
    x, y, _ = (a.astype(dtype) for a in rows(2))
    net = make(backend, dtype, output=output, loss=loss)
    net.loss_and_grad(x, y)
    y[1, 0] = wrong
    with pytest.raises(ValueError, match="Y must be"):
        net.loss_and_grad(x, y)
    x[1, 2] = np.nan
    with pytest.raises(ValueError, match="must be finite"):
        net.loss_and_grad(x, np.zeros_like(y))


def test_no_gradient_without_a_derivative(backend, dtype):
    x, y, _ = (a.astype(dtype) for a in rows(2))
    with pytest.raises(ValueError, match="activation 'step' has no gradient"):
        make(backend, dtype, hidden="step").loss_and_grad(x, y)
