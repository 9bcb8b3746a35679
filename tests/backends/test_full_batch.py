"""A batch that every step has: what a plan keeps of it must never outlive the run it belongs to."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest

import mlpfast

SIZES = [5, 24, 16, 3]
ROWS = 700


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def make(backend, dtype="float32", sizes=SIZES):
    return mlpfast.MLP(sizes, "tanh", dtype=dtype, random_state=3, backend=backend)


def data(rng, dtype, n=ROWS):
    return rng.standard_normal((n, 5)).astype(dtype), rng.standard_normal((n, 3)).astype(dtype)


def fit(net, x, y, **options):
    options = {"epochs": 6, "batch_size": len(x), "optimizer": mlpfast.Adam(0.01), **options}
    return net.fit(x, y, **options)


def one_by_one(net, x, y, epochs=6, **options):
    """Train with a call for each epoch, so that nothing can be kept between the steps."""
    for _ in range(epochs):
        fit(net, x, y, epochs=1, **options)


@pytest.mark.parametrize("of_x", ["float32", "float64", "uint8"])
@pytest.mark.parametrize("weighted", [False, True])
def test_many_steps_in_one_run_are_as_many_runs(of_x, weighted, backend, dtype, rng):
    x, y = data(rng, dtype)
    x = (100 + 20 * x).clip(0, 255).astype(np.uint8) if of_x == "uint8" else x.astype(of_x)
    options = {"input_scale": 1 / 255} if of_x == "uint8" else {}
    if weighted:
        options["sample_weight"] = rng.random(ROWS)
    together, apart = make(backend, dtype), make(backend, dtype)
    fit(together, x, y, **options)
    one_by_one(apart, x, y, **options)
    np.testing.assert_array_equal(together.params, apart.params)


def test_labels_too(backend, rng):
    x, labels = data(rng, "float32")[0], rng.integers(0, 3, ROWS)
    nets = [
        mlpfast.MLP(
            *(SIZES, "tanh", "softmax", "categorical_crossentropy"),
            random_state=3,
            backend=backend,
        )
        for _ in range(2)
    ]
    fit(nets[0], x, labels)
    one_by_one(nets[1], x, labels)
    np.testing.assert_array_equal(nets[0].params, nets[1].params)


def test_the_next_run_sees_its_own_data(backend, rng):
    (x, y), (x_2, y_2) = data(rng, "float32"), data(rng, "float32")
    net, again = make(backend), make(backend)
    fit(net, x, y)
    fit(net, x_2, y_2)
    one_by_one(again, x, y)
    one_by_one(again, x_2, y_2)
    np.testing.assert_array_equal(net.params, again.params)
    x[...], y[...] = x_2, y_2  # the same arrays with other numbers
    fit(net, x, y)
    one_by_one(again, x_2, y_2)
    np.testing.assert_array_equal(net.params, again.params)


def test_mini_batches_after_and_before(backend, rng):
    x, y = data(rng, "float32")
    net, again = make(backend), make(backend)
    for batch in (ROWS, 64, ROWS, 33):
        fit(net, x, y, epochs=2, batch_size=batch, shuffle=False)
        one_by_one(again, x, y, epochs=2, batch_size=batch, shuffle=False)
    np.testing.assert_array_equal(net.params, again.params)


def test_divergence_restores_the_last_good_weights(backend, rng):
    x, y = data(rng, "float32")
    net, again = make(backend), make(backend)
    options = {"optimizer": mlpfast.SGD(1e30), "on_nonfinite": "stop"}
    history = fit(net, x, y, epochs=50, **options)
    assert history.stop_reason == "diverged"
    good = len(history.epoch)
    assert good < 50
    one_by_one(again, x, y, epochs=good, **options)
    np.testing.assert_array_equal(net.params, again.params)


# More parameters than are copied: these are written back after every epoch.
def test_divergence_of_a_large_net(backend, rng):
    x, y = data(rng, "float32", 60)
    sizes = [5, 150, 120, 3]
    net, again = make(backend, sizes=sizes), make(backend, sizes=sizes)
    options = {"optimizer": mlpfast.SGD(1e12), "on_nonfinite": "stop"}
    history = fit(net, x, y, epochs=50, **options)
    assert history.stop_reason == "diverged"
    good = len(history.epoch)
    assert good < 50
    one_by_one(again, x, y, epochs=good, **options)
    np.testing.assert_array_equal(net.params, again.params)
    assert np.isfinite(net.params).all()


# More threads than cores, so that one is late to hear the answer to the last batch.
LATE = """
    import sys
    import numpy as np
    import mlpfast

    mlpfast.set_num_threads(4)
    rng = np.random.default_rng(0)
    x, y = 1e4 * rng.standard_normal((2, 300, 150)).astype(np.float32)
    for _ in range(300):
        net = mlpfast.MLP([150, 150], random_state=0, backend=sys.argv[1])
        net.fit(x, y, epochs=5, batch_size=300, optimizer=mlpfast.SGD(3e38), on_nonfinite="stop")
        assert np.isfinite(net.params).all()
"""


def test_no_thread_waits_for_one_that_has_left(backend):
    """The weights diverge in an epoch's last update: one thread sees it before the others."""
    if "cpp" not in backend:
        pytest.skip("only the compiled trainer has threads that wait for each other")
    command = [sys.executable, "-c", textwrap.dedent(LATE), backend]
    subprocess.run(command, check=True, timeout=120)
