"""Clipped gradients: by hand, against NumPy and PyTorch, on every plan."""

import dataclasses

import numpy as np
import pytest

import mlpfast
from mlpfast import SGD, Adam, AdamW, RMSprop
from reference import clipped
from torch_peer import TorchPeer

# sizes, rows, batch: a step for each plan, with columns that do not fill vectors
SHAPES = [
    ([2, 3, 1], 4, 4),
    ([3, 7, 5, 2], 6, 3),
    ([5, 17, 3], 150, 64),
    ([4, 32, 16, 4], 3000, 3000),
    ([37, 260, 130, 10], 100, 50),
    ([20, 300, 3], 1500, 1500),
]
CLIPS = [{"clip_norm": 0.05}, {"clip_value": 0.002}]
# Epsilons large enough that rounding is not what a step is made of.
OPTIMIZERS = [
    SGD(0.1),
    SGD(0.05, momentum=0.9, nesterov=True),
    Adam(0.01, epsilon=1e-3),
    AdamW(0.01, epsilon=1e-3, weight_decay=0.1),
    RMSprop(0.01, epsilon=1e-2, momentum=0.5),
]


def make(sizes, dtype, backend, **options):
    options = {"loss": "squared_error", "random_state": 2, **options}
    net = mlpfast.MLP(sizes, "tanh", dtype=dtype, backend=backend, **options)
    rng = np.random.default_rng(1)
    for b in net.biases:
        b[...] = 0.1 * rng.standard_normal(len(b))
    return net


def data(sizes, n):
    rng = np.random.default_rng(n)
    return rng.standard_normal((n, sizes[0])), rng.standard_normal((n, sizes[-1]))


def close(actual, expected, dtype, case=""):
    rtol = 1e-3 if dtype == "float32" else 1e-8
    atol = rtol * np.abs(expected).max()
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=atol, err_msg=case)


def with_l2(net, gradient, l2):
    gradient = gradient.astype(float)
    for part in net.spec.layers():
        gradient[part.w] += l2 * net.params[part.w]
    return gradient


@pytest.mark.parametrize("clip", CLIPS)
@pytest.mark.parametrize(("sizes", "n", "_batch"), SHAPES)
def test_a_step_by_hand(sizes, n, _batch, clip, backend, dtype):
    """The l2 term belongs to the gradient of the batch's loss."""
    x, y = data(sizes, n)
    for bias, l2 in ((True, 0.0), (True, 0.1), (False, 0.1)):
        case = f"bias={bias}, l2={l2}"
        net = make(sizes, dtype, backend, bias=bias)
        before = net.params.astype(float)
        gradient = with_l2(net, net.loss_and_grad(x, y)[1], l2)
        expected = clipped(gradient, **clip)
        assert np.abs(expected - gradient).max() > 1e-3, case  # or nothing was clipped
        net.fit(x, y, batch_size=n, optimizer=SGD(1.0, **clip), l2=l2)
        step = before - net.params
        rtol, atol = (1e-4, 1e-6) if dtype == "float32" else (1e-9, 1e-12)
        np.testing.assert_allclose(step, expected, rtol=rtol, atol=atol, err_msg=case)
        if "clip_norm" in clip:
            assert np.linalg.norm(step) == pytest.approx(0.05, rel=1e-3), case


@pytest.mark.parametrize(("sizes", "n", "batch_size"), SHAPES)
def test_gradients_within_the_limit_are_left_alone(sizes, n, batch_size, backend, dtype):
    x, y = data(sizes, n)
    params = []
    for clip in ({}, {"clip_norm": 1e6}, {"clip_value": 1e6}):
        net = make(sizes, dtype, backend)
        rule = Adam(0.01, epsilon=1e-3, **clip)
        net.fit(x, y, batch_size=batch_size, epochs=3, optimizer=rule, l2=0.01)
        params.append(net.params)
    close(params[1], params[0], dtype, "clip_norm")
    close(params[2], params[0], dtype, "clip_value")


@pytest.mark.parametrize(
    "shape",
    [i if i < 4 else pytest.param(i, marks=pytest.mark.slow) for i in range(len(SHAPES))],
)
def test_training_agrees_with_numpy(shape, accelerated, dtype):
    """Every optimizer on every shape, with either limit in turn, so that all pairs occur."""
    sizes, n, batch_size = SHAPES[shape]
    x, y = data(sizes, n)
    weight = np.random.default_rng(0).random(n)
    for i, optimizer in enumerate(OPTIMIZERS):
        optimizer = dataclasses.replace(optimizer, **CLIPS[(shape + i) % 2])
        histories, nets = [], [make(sizes, dtype, name) for name in (accelerated, "numpy")]
        for net in nets:
            history = net.fit(
                *(x, y),
                epochs=3,
                batch_size=batch_size,
                sample_weight=weight,
                optimizer=optimizer,
                l2=0.01,
            )
            histories.append(history.history["loss"])
        close(nets[0].params, nets[1].params, dtype, repr(optimizer))
        close(np.array(histories[0]), np.array(histories[1]), dtype, repr(optimizer))


@pytest.mark.parametrize("clip", CLIPS)
@pytest.mark.parametrize("case", ["SGD", "Adam", "AdamW", "RMSprop"])
def test_against_torch(case, clip, backend):
    x, y = data([3, 5, 2], 7)
    net = make([3, 5, 2], "float64", backend)
    peer = TorchPeer(net, "Tanh")
    weights = [linear.weight for linear in peer.linears]
    stepper = getattr(peer.torch.optim, case)(peer.module.parameters(), lr=0.1)
    for _ in range(5):
        stepper.zero_grad()
        loss = peer.squared_error(x, y) + 0.05 * sum((w**2).sum() for w in weights)
        loss.backward()
        if "clip_norm" in clip:
            peer.torch.nn.utils.clip_grad_norm_(peer.module.parameters(), 0.05)
        else:
            peer.torch.nn.utils.clip_grad_value_(peer.module.parameters(), 0.002)
        stepper.step()
    rule = getattr(mlpfast, case)(0.1, **clip)
    net.fit(x, y, epochs=5, batch_size=7, optimizer=rule, l2=0.1)
    # PyTorch adds 1e-6 to the norm before it divides by it.
    np.testing.assert_allclose(net.params, peer.params, rtol=1e-5, atol=1e-5)


def test_squares_beyond_the_largest_float(backend, dtype):
    """Each element is a number, its square is not (in float32)."""
    size = 1e25 if dtype == "float32" else 1e100
    net = mlpfast.MLP([2, 1], dtype=dtype, backend=backend, init=([np.zeros((2, 1))], [[0.0]]))
    x, y = np.array([[3.0, 4.0]]) * size, np.array([[-1.0]])
    net.fit(x, y, optimizer=SGD(1.0, clip_norm=1.0), batch_size=1)
    np.testing.assert_allclose(net.params, [-0.6, -0.8, 0.0], rtol=1e-6, atol=1e-20)


@pytest.mark.parametrize("clip", CLIPS)
@pytest.mark.parametrize("hidden", [1, 60, 300])
def test_infinite_gradient(clip, hidden, backend, dtype):
    """Scaling by an infinite norm leaves no direction: divergence. An element keeps its sign."""
    size = float(np.finfo(dtype).max) ** 0.75
    net = make([2, hidden, 1], dtype, backend)
    net.weights[0][...], net.weights[1][...] = 0.0, size
    for b in net.biases:
        b[...] = 0.0
    before = net.params.copy()
    # The outputs are 0, the deltas of the hidden units -size, the inputs size.
    x, y = np.full((3, 2), size), np.ones((3, 1))
    rule = SGD(1.0, **clip)
    if "clip_norm" in clip:
        with pytest.raises(mlpfast.TrainingDiverged):
            net.fit(x, y, optimizer=rule, batch_size=3)
        np.testing.assert_array_equal(net.params, before)
    else:
        net.fit(x, y, optimizer=rule, batch_size=3)
        np.testing.assert_allclose(net.weights[0], 0.002, rtol=1e-6)


def test_moments_continue_only_with_the_same_clipping(backend):
    x, y = data([3, 4, 2], 20)
    whole, parts, other = (make([3, 4, 2], "float64", backend) for _ in range(3))
    rule = Adam(0.01, clip_norm=0.1)
    whole.fit(x, y, epochs=4, shuffle=False, optimizer=rule)
    parts.fit(x, y, epochs=3, shuffle=False, optimizer=rule)
    other = parts.copy()
    parts.fit(x, y, epochs=1, shuffle=False, optimizer=Adam(0.01, clip_norm=0.1))
    np.testing.assert_array_equal(parts.params, whole.params)
    other.fit(x, y, epochs=1, shuffle=False, optimizer=Adam(0.01, clip_norm=0.2))
    assert np.abs(other.params - whole.params).max() > 1e-6


def test_options_are_checked():
    for kind in (SGD, Adam, AdamW, RMSprop):
        for name in ("clip_norm", "clip_value"):
            with pytest.raises(ValueError, match=rf"{name} must be in \(0, inf\], got 0"):
                kind(**{name: 0.0})
            with pytest.raises(ValueError, match=f"{name} must be in .*got -1"):
                kind(**{name: -1})
            with pytest.raises(TypeError, match=f"{name} must be a number, got '1'"):
                kind(**{name: "1"})
        with pytest.raises(ValueError, match="only one of clip_norm and clip_value may be given"):
            kind(clip_norm=1.0, clip_value=1.0)
        assert not kind().clips
        assert kind(clip_norm=1).clips
    with pytest.raises(TypeError, match="positional"):
        SGD(0.1, 0.0, False, 1.0)
    assert SGD(0.1, clip_norm=1.0).rule != SGD(0.1).rule
