"""Optimizers against the textbook, one number at a time, and against PyTorch where it is."""

import dataclasses

import numpy as np
import pytest

import mlpfast
from mlpfast import PerStep
from reference import (
    Rules,
    adam,
    adam_with_epsilon_hat,
    rmsprop,
    rmsprop_with_epsilon_in_root,
    sgd,
    sgd_with_scaled_velocity,
)
from torch_peer import TorchPeer

# optimizer, textbook rule and its options, name in torch.optim and its options, if it is there
CASES = {
    "sgd": (mlpfast.SGD(0.1), sgd, {}, "SGD", {}),
    "momentum": (
        mlpfast.SGD(0.1, momentum=0.9),
        *(sgd, {"momentum": 0.9}),
        *("SGD", {"momentum": 0.9}),
    ),
    "nesterov": (
        mlpfast.SGD(0.1, momentum=0.8, nesterov=True),
        *(sgd, {"momentum": 0.8, "nesterov": True}),
        *("SGD", {"momentum": 0.8, "nesterov": True}),
    ),
    "rate in the velocity": (
        mlpfast.SGD(0.1, momentum=0.9, scaled_velocity=True),
        *(sgd_with_scaled_velocity, {"momentum": 0.9}, None, {}),
    ),
    "rate in the velocity, nesterov": (
        mlpfast.SGD(0.1, momentum=0.8, nesterov=True, scaled_velocity=True),
        *(sgd_with_scaled_velocity, {"momentum": 0.8, "nesterov": True}, None, {}),
    ),
    "momentum of 1": (
        mlpfast.SGD(0.02, momentum=1.0, scaled_velocity=True),
        *(sgd_with_scaled_velocity, {"momentum": 1.0}, None, {}),
    ),
    "adam with epsilon hat": (
        mlpfast.Adam(0.1, epsilon=1e-2, epsilon_hat=True),
        *(adam_with_epsilon_hat, {"epsilon": 1e-2}, None, {}),
    ),
    "adamw with epsilon hat": (
        mlpfast.AdamW(0.1, epsilon=1e-2, weight_decay=0.5, epsilon_hat=True),
        *(adam_with_epsilon_hat, {"epsilon": 1e-2, "weight_decay": 0.5}, None, {}),
    ),
    "adam": (mlpfast.Adam(0.1), adam, {}, "Adam", {}),
    "adam with other betas": (
        mlpfast.Adam(0.05, beta_1=0.5, beta_2=0.9, epsilon=1e-3),
        *(adam, {"beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-3}),
        *("Adam", {"betas": (0.5, 0.9), "eps": 1e-3}),
    ),
    "adam without memory": (
        mlpfast.Adam(0.05, beta_1=0.0, beta_2=0.0, epsilon=1e-2),
        *(adam, {"beta_1": 0.0, "beta_2": 0.0, "epsilon": 1e-2}),
        *("Adam", {"betas": (0.0, 0.0), "eps": 1e-2}),
    ),
    "adamw": (mlpfast.AdamW(0.1), adam, {"weight_decay": 0.01}, "AdamW", {}),
    "adamw with decay": (
        mlpfast.AdamW(0.1, weight_decay=0.5),
        *(adam, {"weight_decay": 0.5}),
        *("AdamW", {"weight_decay": 0.5}),
    ),
    "rmsprop": (mlpfast.RMSprop(0.05), rmsprop, {}, "RMSprop", {}),
    "rmsprop with momentum": (
        mlpfast.RMSprop(0.02, rho=0.9, epsilon=1e-3, momentum=0.7),
        *(rmsprop, {"rho": 0.9, "epsilon": 1e-3, "momentum": 0.7}),
        *("RMSprop", {"alpha": 0.9, "eps": 1e-3, "momentum": 0.7}),
    ),
    "rmsprop with epsilon in the root": (
        mlpfast.RMSprop(0.05, rho=0.9, epsilon=1e-4, epsilon_in_root=True),
        *(rmsprop_with_epsilon_in_root, {"epsilon": 1e-4}, None, {}),
    ),
    "rmsprop with epsilon in the root and momentum": (
        mlpfast.RMSprop(
            *(0.02,),
            rho=0.9,
            epsilon=1e-4,
            momentum=0.7,
            epsilon_in_root=True,
            scaled_velocity=True,
        ),
        *(rmsprop_with_epsilon_in_root, {"epsilon": 1e-4, "momentum": 0.7}, None, {}),
    ),
}


def make_net(dtype, backend):
    return mlpfast.MLP(
        *([3, 5, 2], "tanh", "sigmoid", "squared_error"),
        dtype=dtype,
        random_state=3,
        backend=backend,
    )


def make_data(n=7):
    rng = np.random.default_rng(8)
    return rng.standard_normal((n, 3)), rng.random((n, 2)) + 0.5


def textbook(rule, options, rates, l2, backend):
    """Parameters after a step for each rate; gradients in double from the given backend."""
    net = make_net("float64", backend)
    x, y = make_data()
    rules = Rules(rule, net.params, **options)
    is_weight = np.zeros(net.n_params)
    for layer in net.spec.layers():
        is_weight[layer.w] = 1
    for rate in rates:
        gradient = net.loss_and_grad(x, y)[1] + l2 * is_weight * net.params
        net.params = rules.step(gradient, rate)
    return net.params


def assert_params(net, expected, case=""):
    # Adam divides by the root of small gradients, which float32 has to a few digits only.
    rtol, atol = (1e-3, 1e-4) if net.spec.dtype == "float32" else (1e-9, 1e-11)
    np.testing.assert_allclose(net.params, expected, rtol=rtol, atol=atol, err_msg=case)
    start = make_net("float64", "numpy").params
    assert np.abs(expected - start).max() > 1e-2  # or nothing would have been compared


@pytest.mark.parametrize("case", CASES)
def test_five_steps_of_the_textbook(case, backend, dtype):
    optimizer, rule, options, *_ = CASES[case]
    rates = [optimizer.learning_rate] * 5
    for l2 in (0.0, 0.3):
        net = make_net(dtype, backend)
        net.fit(*make_data(), epochs=5, batch_size=7, optimizer=optimizer, l2=l2)
        assert_params(net, textbook(rule, options, rates, l2, backend), f"l2={l2}")


@pytest.mark.parametrize("case", CASES)
def test_learning_rate_of_each_epoch(case, backend):
    """A schedule changes the rate between the epochs and leaves the moments alone."""
    optimizer, rule, options, *_ = CASES[case]
    rates = [0.1, 0.02, 0.0, 0.05]
    scheduled = dataclasses.replace(optimizer, learning_rate=lambda epoch: rates[epoch])
    net = make_net("float64", backend)
    net.fit(*make_data(), epochs=4, batch_size=7, optimizer=scheduled)
    assert_params(net, textbook(rule, options, rates, 0.0, backend))


# Their rate enters the moments, or the moments do not divide by numbers near 0.
STEPWISE = [
    *("rate in the velocity", "rate in the velocity, nesterov", "adam with epsilon hat"),
    *("adamw with epsilon hat", "rmsprop with epsilon in the root"),
    "rmsprop with epsilon in the root and momentum",
]


@pytest.mark.parametrize("case", STEPWISE)
def test_learning_rate_of_each_step(case, backend, dtype):
    """Batches of two plans; the rate is 0 at one step."""
    optimizer, rule, options, *_ = CASES[case]
    rates = [0.1, 0.02, 0.0, 0.05, 0.03, 0.2]
    scheduled = dataclasses.replace(optimizer, learning_rate=PerStep(lambda step: rates[step]))
    for sizes, n, size in (([2, 3, 1], 7, 3), ([5, 17, 3], 150, 64)):
        rng = np.random.default_rng(n)
        x, y = rng.standard_normal((n, sizes[0])), rng.standard_normal((n, sizes[-1]))
        net, oracle = (
            mlpfast.MLP(
                *(sizes, "tanh"), loss="squared_error", dtype=d, random_state=2, backend=name
            )
            for d, name in ((dtype, backend), ("float64", "numpy"))
        )
        start = net.params.copy()
        rules = Rules(rule, oracle.params, **options)
        batches = [slice(first, first + size) for first in range(0, n, size)]
        for rate, rows in zip(rates, 2 * batches, strict=True):
            oracle.params = rules.step(oracle.loss_and_grad(x[rows], y[rows])[1], rate)
        net.fit(x, y, batch_size=size, epochs=2, shuffle=False, optimizer=scheduled)
        rtol = 1e-3 if dtype == "float32" else 1e-8
        atol = rtol * np.abs(oracle.params).max()
        np.testing.assert_allclose(net.params, oracle.params, rtol=rtol, atol=atol)
        assert np.abs(oracle.params - start).max() > 1e-2  # or nothing would have been compared


@pytest.mark.parametrize("case", CASES)
def test_moments_continue_over_two_fits(case, backend, dtype):
    optimizer = CASES[case][0]
    x, y = make_data()
    whole, parts = make_net(dtype, backend), make_net(dtype, backend)
    whole.fit(x, y, epochs=5, batch_size=3, shuffle=False, optimizer=optimizer)
    for epochs in (2, 0, 1, 2):
        parts.fit(x, y, epochs=epochs, batch_size=3, shuffle=False, optimizer=optimizer)
    np.testing.assert_array_equal(parts.params, whole.params)


@pytest.mark.parametrize("case", [name for name in CASES if name != "sgd"])
def test_moments_reset_on_demand(case, backend, dtype):
    optimizer = CASES[case][0]
    x, y = make_data()
    net, kept, fresh = (make_net(dtype, backend) for _ in range(3))
    for each in (net, kept):
        each.fit(x, y, epochs=3, batch_size=3, shuffle=False, optimizer=optimizer)
    fresh.params = net.params
    net.reset_optimizer()
    for each in (net, kept, fresh):
        each.fit(x, y, epochs=1, batch_size=3, shuffle=False, optimizer=optimizer)
    np.testing.assert_array_equal(net.params, fresh.params)
    if case != "adam without memory":
        assert np.abs(kept.params - fresh.params).max() > 1e-6


def test_another_rule_starts_afresh(backend):
    x, y = make_data()
    net, fresh = make_net("float64", backend), make_net("float64", backend)
    net.fit(x, y, epochs=3, optimizer=mlpfast.SGD(0.1, momentum=0.9))
    fresh.params = net.params
    for each in (net, fresh):
        each.fit(x, y, epochs=3, optimizer=mlpfast.SGD(0.1, momentum=0.5))
    np.testing.assert_array_equal(net.params, fresh.params)


def test_copies_carry_the_moments(backend, dtype):
    x, y = make_data()
    net = make_net(dtype, backend)
    net.fit(x, y, epochs=3, optimizer=mlpfast.Adam(0.1))
    twin = net.copy()
    for each in (net, twin):
        each.fit(x, y, epochs=3, optimizer=mlpfast.Adam(0.1))
    np.testing.assert_array_equal(net.params, twin.params)


def test_l2_leaves_out_the_biases(backend, dtype):
    """With a zero gradient of the loss, l2 alone shrinks the weights and nothing else."""
    net = mlpfast.MLP([3, 2], loss="squared_error", dtype=dtype, random_state=0, backend=backend)
    net.biases = [np.array([0.5, -2.0])]
    before = net.copy()
    net.fit(np.zeros((4, 3)), np.tile([0.5, -2.0], (4, 1)), optimizer=mlpfast.SGD(0.1), l2=0.5)
    np.testing.assert_allclose(net.weights[0], 0.95 * before.weights[0], rtol=1e-6)
    np.testing.assert_array_equal(net.biases[0], before.biases[0])


@pytest.mark.parametrize("case", [case for case in CASES if CASES[case][3]])
def test_against_torch(case, backend):
    optimizer, _, _, name, options = CASES[case]
    x, y = make_data()
    net = make_net("float64", backend)
    peer = TorchPeer(net, "Tanh", "Sigmoid")
    kind = getattr(peer.torch.optim, name)
    stepper = kind(peer.module.parameters(), lr=optimizer.learning_rate, **options)
    for _ in range(5):
        stepper.zero_grad()
        peer.squared_error(x, y).backward()
        stepper.step()
    net.fit(x, y, epochs=5, batch_size=7, optimizer=optimizer)
    np.testing.assert_allclose(net.params, peer.params, rtol=1e-9, atol=1e-11)
