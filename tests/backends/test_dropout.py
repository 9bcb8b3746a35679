"""Dropout: the same masks everywhere, gradients through them, no effect outside of `fit`."""

import dataclasses
import pickle

import numpy as np
import pytest

import mlpfast
import runs
from mlpfast import SGD, backends
from mlpfast.backends import dropout
from mlpfast.backends import numpy as reference
from mlpfast.backends.base import Data
from mlpfast.spec import ACTIVATIONS, FORWARD_ONLY, NetSpec

LEARNING = [name for name in ACTIVATIONS if name not in FORWARD_ONLY]
KEY = 0x0123456789ABCDEF

# ---------------------------------------------------------------------------- the numbers


def lowbias32(x):
    """As published, in C's arithmetic."""
    x ^= x >> 16
    x = x * 0x7FEB352D % 2**32
    x ^= x >> 15
    x = x * 0x846CA68B % 2**32
    return x ^ x >> 16


def number(key, batch, layer, row, unit):
    h = lowbias32((key % 2**32 + batch) % 2**32) ^ key >> 32
    for more in (layer, row, unit):
        h = (lowbias32(h) + more) % 2**32
    return lowbias32(h)


def test_mask_by_hand():
    spec = NetSpec.create([3, 5, 4, 2], dropout=[0.0, 0.3], input_dropout=0.6, dtype="float64")
    masks = dropout.masks(spec, KEY, 7, 6)
    assert masks[1] is None
    for layer, rate in ((0, 0.6), (2, 0.3)):
        mask = masks[layer]
        assert mask.shape == (6, spec.sizes[layer])
        for row, unit in np.ndindex(mask.shape):
            dropped = number(KEY, 7, layer, row, unit) < rate * 2**32
            assert mask[row, unit] == (0.0 if dropped else 1 / (1 - rate))


def test_sums_wrap_around():
    """A key of ones: every addition in the formula is one modulo 2^32."""
    spec = NetSpec.create([64, 1], input_dropout=0.5)
    key = 2**64 - 1
    mask = dropout.masks(spec, key, 3, 9)[0]
    expected = [[number(key, 3, 0, r, u) >= 2**31 for u in range(64)] for r in range(9)]
    np.testing.assert_array_equal(mask != 0, expected)


@pytest.mark.parametrize("rate", [0.01, 0.2, 0.5, 0.9])
def test_moments_and_independence_of_the_numbers(rate):
    """Standard scores of means, and of products of any two rows, units, batches, layers or keys."""
    spec = NetSpec.create([512, 512, 1], dropout=rate, input_dropout=rate, dtype="float64")
    first, second = dropout.masks(spec, KEY, 0, 256)
    others = [
        second,
        dropout.masks(spec, KEY, 1, 256)[0],
        dropout.masks(spec, KEY + 1, 0, 256)[0],
        dropout.masks(spec, KEY + 2**32, 0, 256)[0],
    ]
    deviation = np.sqrt(rate / (1 - rate))  # of a factor: 0 or 1 / (1 - rate)
    a = (first - 1) / deviation
    assert abs(a.mean()) * np.sqrt(a.size) < 4
    assert abs((a**2).mean() - 1) * np.sqrt(a.size) < 4 * np.sqrt((a**4).mean())
    for axis in (0, 1):  # the means of the units, then of the rows
        means = a.mean(axis=axis) * np.sqrt(a.shape[axis])
        assert np.abs(means).max() < 5.5
        assert abs((means**2).mean() - 1) < 5 * np.sqrt(2 / len(means)) + 0.1 / (rate * 256)
    for shift in (1, 2, 16, 255):
        for axis in (0, 1):
            product = a * np.roll(a, shift, axis)
            assert abs(product.mean()) * np.sqrt(a.size) < 4.5
    for other in others:
        product = a * (other - 1) / deviation
        assert abs(product.mean()) * np.sqrt(a.size) < 4.5
    rows = np.unique(first, axis=0)
    assert len(rows) > 200  # none comes twice but by chance


# ---------------------------------------------------------------------------- the same masks


def run(net, x, y, weight=None, *, lr=1.0, keys=(KEY,), batch_size=None, orders=None):
    """Train with given keys by plain steps of gradient descent; return what the trainer reports."""
    rule = SGD(lr)
    trainer = backends.load(net.requested_backend).trainer(net.spec, net.params, rule)
    dtype = net.spec.dtype
    data = Data(*(None if a is None else np.asarray(a, dtype) for a in (x, y, weight)))
    return runs.run(
        *(trainer, data, [lr] * len(keys), batch_size or len(x), [0.0] * net.spec.n_layers),
        orders=orders,
        dropout_keys=np.array(keys, np.uint64),
    )


def gradient(net, x, y, weight=None, **options):
    """Return the gradient of a step, which is the step itself at a rate of 1."""
    before = net.params.copy()
    run(net, x, y, weight, **options)
    step = before - net.params
    net.params[...] = before
    return step


@pytest.mark.parametrize(
    ("hidden", "outputs", "n"),
    [(3, 1, 5), (6, 4, 40), (19, 2, 700), (40, 400, 61), (300, 300, 130), (70, 600, 1100)],
)
def test_every_bit_of_a_mask(hidden, outputs, n, backend, dtype):
    """A linear net whose gradient counts the rows in binary digits.

    Row i of a window of rows has the input 2^i, which all hidden units pass on, and the loss has
    the slope 1; so the gradient of a weight behind a hidden unit is the sum of 2^i over the rows
    that keep it. A weight of 0 keeps all other rows out.
    """
    digits = 16
    for rate in (0.25, 0.5):
        options = {"loss": "mae", "reduction": "sum", "dtype": dtype, "backend": backend}
        net = mlpfast.MLP([1, hidden, outputs], "identity", dropout=rate, bias=False, **options)
        expected = dropout.masks(net.spec, KEY, 0, n)[1] != 0
        y = np.full((n, outputs), -1e30)
        for first in sorted({0, n // 2, max(n - digits, 0)}):
            rows = np.arange(n) - first
            weight = ((rows >= 0) & (rows < digits)).astype(float)
            x = np.where(weight > 0, 2.0 ** np.clip(rows, 0, digits), 0.0)[:, None]
            net.params[...] = 0
            net.weights[0][...] = 1
            w = net.spec.unflatten(gradient(net, x, y, weight))[1][0]
            found = np.rint(w[:, 0] * (outputs * (1 - rate))).astype(int)
            kept = found[None, :] >> np.clip(rows, 0, digits)[:, None] & 1
            case = f"rate {rate}, rows from {first}"
            inside = weight > 0
            np.testing.assert_array_equal(kept[inside], expected[inside], err_msg=case)


@pytest.mark.parametrize(("units", "outputs", "n"), [(3, 1, 5), (30, 3, 700), (90, 500, 1100)])
def test_every_bit_of_a_mask_of_the_inputs(units, outputs, n, backend, dtype):
    options = {"loss": "mae", "reduction": "sum", "dtype": dtype, "backend": backend}
    net = mlpfast.MLP([units, outputs], input_dropout=0.5, bias=False, **options)
    net.params[...] = 0
    expected = dropout.masks(net.spec, KEY, 0, n)[0] != 0
    y = np.full((n, outputs), -1e30)
    for first in {0, n // 2, max(n - 16, 0)}:
        rows = np.arange(n) - first
        inside = (rows >= 0) & (rows < 16)
        x = np.repeat(np.where(inside, 2.0 ** np.clip(rows, 0, 16), 0.0)[:, None], units, axis=1)
        for keys in ((KEY,), (KEY, KEY)):  # a second epoch reads the rows once more
            w = gradient(net, x, y, keys=keys).reshape(units, outputs)
            found = np.rint(w[:, 0] * outputs / 2 / len(keys)).astype(int)
            kept = found[None, :] >> np.clip(rows, 0, 16)[:, None] & 1
            np.testing.assert_array_equal(kept[inside], expected[inside])


# ---------------------------------------------------------------------------- gradients


def a_net(sizes, hidden, dropout, backend, dtype="float64", seed=0, **options):
    net = mlpfast.MLP(
        *(sizes, hidden),
        dropout=dropout,
        dtype=dtype,
        random_state=seed,
        backend=backend,
        **options,
    )
    net.params += 0.2 * np.random.default_rng(seed).standard_normal(net.n_params)
    return net


@pytest.mark.parametrize("hidden", LEARNING)
@pytest.mark.parametrize("input_dropout", [0.0, 0.3])
def test_against_central_differences(hidden, input_dropout, backend):
    """With a fixed key the loss is a function like any other."""
    sizes = [4, 6, 5, 2]
    rng = np.random.default_rng(3)
    x, y, weight = rng.standard_normal((7, 4)), rng.random((7, 2)), rng.random(7) + 0.5
    pair = [hidden, "tanh" if hidden == "exp" else hidden]  # exp of exp is beyond all bounds
    for seed in range(100):
        net = a_net(sizes, pair, [0.4, 0.2], backend, seed=seed, input_dropout=input_dropout)
        masks = dropout.masks(net.spec, KEY, 0, 7)
        zs = reference.forward(net.spec, net.params, x, masks)[0]
        if hidden not in ("relu", "leaky_relu") or min(np.abs(z).min() for z in zs[:2]) > 1e-3:
            break
    actual = gradient(net, x, y, weight)

    def loss():
        totals = run(net, x, y, weight, lr=0.0).totals[0]
        return totals[0] / totals[1]

    expected = np.empty_like(actual)
    for i in range(net.n_params):
        kept = net.params[i]
        sides = []
        for step in (1e-6, -1e-6):
            net.params[i] = kept + step
            sides.append(loss())
        net.params[i] = kept
        expected[i] = (sides[0] - sides[1]) / 2e-6
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-8)
    assert (np.abs(expected) > 1e-4).mean() > 0.4


def close(actual, expected, dtype, case=""):
    rtol = 1e-3 if dtype == "float32" else 1e-8
    atol = rtol * np.abs(expected).max()
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=atol, err_msg=case)


# sizes, rows, batch: steps of every plan, in blocks and groups, the last batch a small one
SHAPES = [
    ([2, 3, 1], 4, 4),
    ([5, 17, 9, 3], 150, 64),
    ([4, 32, 16, 4], 3000, 3000),
    ([37, 260, 130, 10], 100, 60),
    ([20, 300, 3], 1500, 1400),
]
RATES = [(0.3, 0.0), (0.5, 0.2), (0.0, 0.4)]


@pytest.mark.parametrize(
    "shape",
    [i if i < 3 else pytest.param(i, marks=pytest.mark.slow) for i in range(len(SHAPES))],
)
def test_training_agrees_with_numpy(shape, accelerated, dtype):
    """Every activation on every shape, with each of the rates in turn, so that all pairs occur."""
    sizes, n, batch_size = SHAPES[shape]
    rng = np.random.default_rng(n)
    x, y, weight = rng.standard_normal((n, sizes[0])), rng.random((n, sizes[-1])), rng.random(n)
    for i, hidden in enumerate(["relu", "tanh", "silu", "softmax"]):
        hidden_rate, input_rate = RATES[(shape + i) % 3]
        case = f"{hidden}, dropout={hidden_rate}, input_dropout={input_rate}"
        results = []
        for name in (accelerated, "numpy"):
            net = a_net(sizes, hidden, hidden_rate, name, dtype, input_dropout=input_rate)
            history = net.fit(
                *(x, y),
                epochs=3,
                batch_size=batch_size,
                sample_weight=weight,
                optimizer=mlpfast.Adam(0.005, epsilon=1e-2),
                l2=0.01,
                metrics=("mse", "mae"),
            ).history
            results.append((net.params, *history.values()))
        for actual, expected in zip(*results, strict=True):
            close(actual, expected, dtype, case)


def test_with_labels_bytes_and_clipping(backend, dtype):
    x, y = mlpfast.datasets.load_digits()
    x = (16 * x[:300]).astype(np.uint8)
    results = []
    for name in (backend, "numpy"):
        net = mlpfast.MLP(
            *([64, 40, 10], "relu", "softmax", "categorical_crossentropy"),
            dropout=0.5,
            input_dropout=0.1,
            dtype=dtype,
            random_state=0,
            backend=name,
        )
        rule = SGD(0.1, momentum=0.9, clip_norm=0.5)
        net.fit(x, y[:300], epochs=3, optimizer=rule, input_scale=1 / 16)
        results.append(net.params)
    close(*results, dtype)


# ---------------------------------------------------------------------------- in fit alone


def test_nothing_is_dropped_outside_of_fit(backend, dtype):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((50, 5)), rng.random((50, 3))
    for hidden in ("tanh", "softmax", "relu", "silu"):
        net = a_net([5, 20, 30, 3], hidden, 0.5, backend, dtype, input_dropout=0.5)
        plain = mlpfast.MLP.from_spec(net.spec.without_dropout, net.params, backend=backend)
        np.testing.assert_array_equal(net.predict(x), plain.predict(x))
        np.testing.assert_array_equal(net.predict(x[0]), plain.predict(x[0]))
        assert net.evaluate(x, y) == plain.evaluate(x, y)
        loss, grad = net.loss_and_grad(x, y)
        assert loss == plain.loss_and_grad(x, y)[0]
        np.testing.assert_array_equal(grad, plain.loss_and_grad(x, y)[1])


def test_a_rate_of_0_is_no_dropout(backend, dtype):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((50, 5)), rng.random((50, 3))
    nets = [
        mlpfast.MLP([5, 8, 3], dtype=dtype, random_state=4, backend=backend, **options)
        for options in ({}, {"dropout": 0.0, "input_dropout": 0}, {"dropout": [0.0]})
    ]
    for net in nets:
        assert net.spec == nets[0].spec
        net.fit(x, y, epochs=3)  # the row orders are the same as well
        np.testing.assert_array_equal(net.params, nets[0].params)


def test_each_step_drops_others(backend):
    """Two epochs of two batches, all four with a mask of their own, from the seed."""
    x, y = np.ones((8, 1)), np.zeros((8, 1))
    rounds = []
    for seed in (0, 0, 1):
        net = mlpfast.MLP(
            *([1, 64, 1], "identity"),
            dropout=0.5,
            dtype="float64",
            backend=backend,
            random_state=seed,
        )
        net.params[...] = 1
        losses = []
        for _ in range(2):
            losses.append(net.fit(x, y, optimizer=SGD(0.0), batch_size=4).history["loss"][0])
        rounds.append(losses)
    assert rounds[0] == rounds[1]
    assert rounds[0][0] != rounds[0][1]
    assert rounds[0] != rounds[2]
    net = mlpfast.MLP([1, 64, 1], "identity", dropout=0.5, dtype="float64", backend=backend)
    net.params[...] = 1
    spec = net.spec
    for batch in range(2):
        masks = dropout.masks(spec, KEY, batch, 4)
        outputs = 1 + (2 * masks[1]).sum(axis=1)
        report = run(net, np.ones((8, 1)), y, lr=0.0, batch_size=4)
        if batch == 0:
            total = (outputs**2).sum()
    np.testing.assert_allclose(report.totals[0, 0], total + (outputs**2).sum())


@pytest.mark.parametrize("shuffle", [True, False])
def test_the_numbers_of_epochs_in_a_call_do_not_matter(shuffle, backend):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((30, 3)), rng.random((30, 2))
    results = []
    for fits, callbacks in ((1, ()), (4, ()), (1, (lambda *_: None,))):
        net = a_net([3, 6, 2], "tanh", 0.4, backend, seed=5)
        for _ in range(fits):
            net.fit(x, y, epochs=4 // fits, shuffle=shuffle, callbacks=callbacks, batch_size=8)
        results.append(net.params)
    np.testing.assert_array_equal(results[1], results[0])
    np.testing.assert_array_equal(results[2], results[0])


def test_sources_of_either_kind(backend):
    x, y = np.random.default_rng(0).random((20, 3)), np.ones((20, 1))
    for source in (np.random.default_rng, np.random.RandomState):
        results = []
        for _ in range(2):
            net = mlpfast.MLP([3, 9, 1], dropout=0.5, random_state=source(3), backend=backend)
            net.fit(x, y, epochs=2)
            results.append(net.params)
        np.testing.assert_array_equal(*results)


def test_a_trainer_wants_keys(backend):
    net = mlpfast.MLP([3, 4, 1], dropout=0.5, backend=backend)
    trainer = backends.load(backend).trainer(net.spec, net.params, SGD())
    data = Data(np.ones((2, 3), np.float32), np.ones((2, 1), np.float32))
    with pytest.raises(ValueError, match="needs dropout_keys"):
        runs.run(trainer, data, [0.1], 2, [0.0, 0.0])


def test_divergence_restores_the_epoch_before(backend, dtype):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((64, 5)), rng.random((64, 3))
    net = a_net([5, 20, 3], "tanh", 0.5, backend, dtype)
    huge = float(np.finfo(dtype).max)
    rule = SGD(lambda epoch: huge if epoch == 3 else 0.01)
    good = net.copy()
    history = net.fit(x, y, epochs=8, optimizer=rule, batch_size=16, on_nonfinite="stop")
    assert history.stop_reason == "diverged"
    good.fit(x, y, epochs=history.n_epochs, optimizer=rule, batch_size=16)
    np.testing.assert_array_equal(net.params, good.params)


def test_dropout_learns_more_slowly_but_learns(backend):
    x, y = mlpfast.datasets.load_digits()
    net = mlpfast.MLP(
        *([64, 64, 10], "relu", "softmax", "categorical_crossentropy"),
        dropout=0.3,
        random_state=0,
        backend=backend,
    )
    history = net.fit(x[:1500], y[:1500], epochs=12, optimizer=mlpfast.Adam(0.003)).history
    evaluated = net.evaluate(x[:1500], y[:1500])
    assert evaluated["loss"] < history["loss"][-1]  # of the whole net, and of thinned ones
    assert evaluated["accuracy"] > 0.95


# ---------------------------------------------------------------------------- the description


def test_rates_as_users_write_them():
    assert NetSpec.create([3, 4, 5, 2]).dropout == ()
    assert NetSpec.create([3, 4, 5, 2], dropout=0.5).dropout == (0.0, 0.5, 0.5)
    assert NetSpec.create([3, 4, 5, 2], dropout=[0, 0.25]).dropout == (0.0, 0.0, 0.25)
    assert NetSpec.create([3, 4, 5, 2], dropout=np.array([0.5, 0])).dropout == (0.0, 0.5, 0.0)
    assert NetSpec.create([3, 4, 5, 2], input_dropout=0.1).dropout == (0.1, 0.0, 0.0)
    assert NetSpec.create([3, 2], dropout=0.5).dropout == ()  # there is no hidden layer
    assert NetSpec.create([3, 2], input_dropout=0.5).dropout == (0.5,)
    assert NetSpec((3, 4, 2), ("tanh", "tanh"), dropout=(0.0, 0.0)).dropout == ()
    spec = NetSpec.create([3, 4, 2], dropout=0.5)
    assert spec.without_dropout == NetSpec.create([3, 4, 2])
    assert dataclasses.replace(spec, dropout=()) == spec.without_dropout
    assert pickle.loads(pickle.dumps(spec)) == spec


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"dropout": 1.0}, ValueError, r"dropout must be in \[0, 1\), got 1\.0"),
        ({"dropout": -0.1}, ValueError, "dropout must be in"),
        ({"dropout": np.nan}, ValueError, "dropout must be in .*got nan"),
        ({"dropout": "0.5"}, TypeError, "dropout must be a number, got '0.5'"),
        ({"dropout": None}, TypeError, "dropout must be a number, got None"),
        ({"dropout": True}, TypeError, "dropout must be a number, got True"),
        ({"dropout": [0.5]}, ValueError, r"one a hidden layer \(2\), got 1"),
        ({"dropout": [0.5, 1.0]}, ValueError, r"dropout\[1\] must be in \[0, 1\), got 1\.0"),
        ({"dropout": [0.5, "a"]}, TypeError, r"dropout\[1\] must be a number, got 'a'"),
        ({"input_dropout": 1}, ValueError, r"input_dropout must be in \[0, 1\), got 1"),
        ({"input_dropout": [0.5]}, TypeError, "input_dropout must be a number"),
    ],
)
def test_bad_rates(arguments, error, words):
    with pytest.raises(error, match=words):
        mlpfast.MLP([3, 4, 5, 2], backend="numpy", **arguments)


def test_bad_rates_of_a_spec():
    for rates in ((0.5,), (0.1, 0.2, 0.3), [0.5, 0.5], 0.5):
        with pytest.raises(ValueError, match=r"dropout must be empty or .* one rate a layer \(2\)"):
            NetSpec((3, 4, 2), ("tanh", "tanh"), dropout=rates)
    with pytest.raises(ValueError, match=r"dropout must be in \[0, 1\)"):
        NetSpec((3, 4, 2), ("tanh", "tanh"), dropout=(0.0, 1.0))


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_a_file_keeps_the_rates(tmp_path, suffix):
    if suffix == ".safetensors":
        pytest.importorskip("safetensors")
    net = mlpfast.MLP([3, 4, 2], dropout=1 / 3, input_dropout=0.1, backend="numpy")
    net.save(tmp_path / f"net{suffix}")
    assert mlpfast.MLP.load(tmp_path / f"net{suffix}", backend="numpy").spec == net.spec


def test_repr_tells_what_is_dropped():
    text = repr(mlpfast.MLP([3, 4, 2], dropout=0.5, backend="numpy"))
    assert text.count("dropout") == 1
    assert "dropout 0.5 before" in text.splitlines()[2]
