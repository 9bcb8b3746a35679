"""Predictions of many rows: each way through the net gives a row the answer that it has alone."""

from __future__ import annotations

import numpy as np
import pytest

import mlpfast

# Layers of few outputs turn the rows over. The weights of the last three nets leave a second-level
# cache; one softmax is wider than a panel.
NETS = {
    "narrow": ([30, 70, 33, 1], "relu", "sigmoid"),
    "three outputs": ([7, 10, 3], "tanh", "identity"),
    "one layer": ([5, 2], "relu", "sigmoid"),
    "fewer inputs than a quad": ([3, 1], "relu", "identity"),
    "softmax within": ([20, 40, 5], "softmax", "identity"),
    "wide": ([300, 520, 410, 10], "relu", "softmax"),
    "wide softmax": ([400, 300, 700], "tanh", "softmax"),
    "wide softmax within": ([300, 700, 350, 3], ["softmax", "silu"], "identity"),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NETS)
def test_a_row_is_answered_as_if_alone(backend, restore_threads, name, dtype):
    sizes, *activations = NETS[name]
    net = mlpfast.MLP(sizes, *activations, dtype=dtype, random_state=0, backend=backend)
    # 17 and 50 rows read the weights where they are, 600 a packed copy; and blocks end unevenly.
    rows = {1, 2, 17, 50, 600} if "numpy" not in str(backend) else {1, 2, 17}
    x = np.random.default_rng(0).normal(size=(max(rows), sizes[0])).astype(dtype)
    alone = np.stack([net.predict(row) for row in x])
    for threads in (1, 2, 3):
        mlpfast.set_num_threads(threads)
        for n in rows:
            got = net.predict(x[:n])
            if "cpp" in str(backend):
                np.testing.assert_array_equal(got, alone[:n], err_msg=f"{n} rows, {threads}")
            else:
                rtol = 1e-4 if dtype == "float32" else 1e-10
                np.testing.assert_allclose(got, alone[:n], rtol=rtol, atol=rtol)


@pytest.mark.parametrize("n_out", [1, 2, 3, 4, 5])
def test_few_outputs_of_a_large_net_learn_as_in_numpy(backend, n_out):
    """Its layers are tiled on the way: 130 inputs of the last one end within a tile, and a quad."""
    x, y = np.random.default_rng(0).normal(size=(2, 50, 270))
    losses, grads = [], []
    for engine in (backend, "numpy"):
        net = mlpfast.MLP(
            [270, 130, n_out], "tanh", random_state=0, dtype="float64", backend=engine
        )
        loss, grad = net.loss_and_grad(x, y[:, :n_out])
        losses.append(loss)
        grads.append(grad)
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-10)
    np.testing.assert_allclose(grads[0], grads[1], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("n_out", [1, 2, 3])
def test_padding_beside_few_outputs_is_left_alone(backend, dtype, n_out):
    """An exponential of its own results, step after step, would be infinite after the fourth."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(64, 300)), rng.random((64, n_out))
    params = []
    for engine in (backend, "numpy"):
        net = mlpfast.MLP(
            [300, 128, n_out], "tanh", "exp", random_state=0, dtype=dtype, backend=engine
        )
        net.params *= 0.1
        net.fit(x, y, epochs=4, batch_size=32, optimizer=mlpfast.SGD(0.01), shuffle=False)
        params.append(net.params)
    rtol = 1e-3 if dtype == "float32" else 1e-8
    np.testing.assert_allclose(params[0], params[1], rtol=rtol, atol=1e-4 * rtol)


def test_inputs_of_other_dtypes(backend, restore_threads):
    """Rows of another dtype are copied first, by whichever thread."""
    net = mlpfast.MLP([300, 520, 410, 10], "relu", dtype="float32", random_state=0, backend=backend)
    x = np.random.default_rng(0).integers(0, 256, size=(530, 300)).astype(np.uint8)
    want = net.predict((x * np.float32(1 / 256)).astype(np.float32))
    for threads in (1, 2, 3):
        mlpfast.set_num_threads(threads)
        np.testing.assert_array_equal(net.predict(x, input_scale=1 / 256), want)
        assert net.predict(x[:1], input_scale=1 / 256).shape == (1, 10)
