"""The training state of a net: taken over whole, or not at all."""

import numpy as np
import pytest

import mlpfast


def trained(seed, backend, epochs=3):
    x = np.random.default_rng(0).standard_normal((20, 3)).astype("float32")
    net = mlpfast.MLP([3, 4, 1], random_state=seed, backend=backend)
    net.fit(x, x.sum(axis=1), epochs=epochs, batch_size=8)
    return net, x


def test_a_loaded_state_goes_on_as_the_net_it_came_from(backend):
    net, x = trained(0, backend)
    other, _ = trained(1, backend)
    other.load_state(net.state())
    for each in (net, other):
        each.fit(x, x.sum(axis=1), epochs=2, batch_size=8)
    np.testing.assert_array_equal(other.params, net.params)
    assert other.trainer.steps == net.trainer.steps


@pytest.mark.parametrize("wrong", ["params", "m", "v"])
def test_a_state_that_does_not_fit_changes_nothing(wrong, backend):
    net, x = trained(0, backend)
    state = trained(1, backend)[0].state()
    if wrong == "params":
        state["params"] = state["params"][:-1]
    else:
        state["moments"][wrong] = state["moments"][wrong][:-1]
    before, twin = net.state(), net.copy()
    with pytest.raises(ValueError, match="must have shape"):
        net.load_state(state)
    np.testing.assert_array_equal(net.params, before["params"])
    for each in (net, twin):
        each.fit(x, x.sum(axis=1), batch_size=8)
    np.testing.assert_array_equal(net.params, twin.params)
