"""A gradient made ready for many calls: to the bit what one call after another gives."""

import threading

import numpy as np
import pytest

import mlpfast
from mlpfast import backends
from mlpfast.arrays import check_data
from mlpfast.backends.base import Data

# sizes, output, loss, rows: by the plan of the compiled backend, the first word of the name.
CASES = {
    "tiny": ([2, 5, 1], "sigmoid", "binary_log_loss", 4),
    "tiny, of classes": ([3, 4, 3], "softmax", "categorical_crossentropy", 7),
    "narrow": ([4, 32, 16, 4], "identity", "mse", 333),
    "narrow, in blocks": ([5, 20, 12, 1], "sigmoid", "binary_log_loss", 9973),
    "narrow, large for threads": ([30, 128, 64, 1], "identity", "huber", 700),
    "sliced": ([40, 100, 1], "identity", "squared_error", 200),
    "sliced, of classes": ([80, 150, 5], "softmax", "categorical_crossentropy", 250),
    "wide": ([300, 260, 130, 10], "softmax", "categorical_crossentropy", 128),
    "wide, more rows than a block": ([90, 400, 7], "identity", "mse", 1500),
}


def problem(case, weighted, dtype):
    sizes, output, loss, n = CASES[case]
    rng = np.random.default_rng(n)
    x, y = rng.standard_normal((n, sizes[0])).astype(dtype), rng.random((n, sizes[-1]))
    if loss == "categorical_crossentropy":
        y = rng.integers(0, sizes[-1], n)
    return (sizes, "tanh", output, loss), x, y, rng.random(n) if weighted else None


def calls(net, data, prepared, count=4):
    """Losses and gradients along a way through the parameters; every second step leads back."""
    result, start = [], net.params.copy()
    rng = np.random.default_rng(5)
    for i in range(count):
        net.params[...] = start
        if i % 2:
            net.params += 0.1 * rng.standard_normal(net.n_params)
        grad = np.full_like(net.params, np.nan)
        if prepared is None:
            loss = net.engine.loss_and_grad(net.spec, net.params, data, grad)
        else:
            loss = prepared(grad)
        assert type(loss) is float
        result.append((loss, grad))
    net.params[...] = start
    return result


def gradient_of(net, data):
    return net.engine.gradient_of(net.spec, net.params, data)


def same(got, want):
    for (loss, grad), (other_loss, other_grad) in zip(got, want, strict=True):
        np.testing.assert_array_equal(loss, other_loss)
        np.testing.assert_array_equal(grad, other_grad)


@pytest.mark.parametrize("case", CASES)
def test_the_cases_run_the_plans_that_they_name(case, compiled, dtype):
    (sizes, hidden, output, loss), _, _, _ = problem(case, False, dtype)
    net = mlpfast.MLP(sizes, hidden, output, loss, dtype=dtype, random_state=1, backend=compiled)
    assert mlpfast.explain_plan(net, CASES[case][3]).plan == case.split(",")[0]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_equals_separate_calls(case, weighted, accelerated, dtype, restore_threads):
    arguments, x, y, weight = problem(case, weighted, dtype)
    for count in (1, 2, 3):
        mlpfast.set_num_threads(count)
        net = mlpfast.MLP(*arguments, dtype=dtype, random_state=1, backend=accelerated)
        data = check_data(net.spec, x, y, weight, 1.0)
        want = calls(net, data, None)
        assert not np.array_equal(want[0][1], want[1][1])
        same(calls(net, data, gradient_of(net, data)), want)


def test_teams_that_change_from_call_to_call(
    accelerated, dtype, restore_threads, assume_near_cores
):
    """Who has not been in the team so far has not read the rows."""
    arguments, x, y, _ = problem("sliced", False, dtype)
    mlpfast.set_num_threads(4)
    net = mlpfast.MLP(*arguments, dtype=dtype, random_state=1, backend=accelerated)
    data = check_data(net.spec, x, y, None, 1.0)
    want = calls(net, data, None, 1)
    prepared = gradient_of(net, data)
    for near in (False, True, False, True):
        assume_near_cores(near)
        same(calls(net, data, prepared, 1), want)


@pytest.mark.parametrize("reduction", ["mean", "sum", "mean_over_rows"])
@pytest.mark.parametrize("case", ["tiny", "narrow", "sliced", "wide"])
def test_reductions_and_inputs_of_other_types(case, reduction, accelerated):
    arguments, x, y, weight = problem(case, True, "float64")
    net = mlpfast.MLP(
        *arguments, reduction=reduction, dtype="float32", random_state=1, backend=accelerated
    )
    pixels = np.abs(100 * x).clip(0, 255).astype(np.uint8)
    for rows in (x[:, ::1], pixels):
        data = check_data(net.spec, rows, y, weight, 1 / 255)
        same(calls(net, data, gradient_of(net, data)), calls(net, data, None))


@pytest.mark.parametrize("case", ["tiny", "narrow", "sliced", "wide"])
def test_weights_of_zero_and_rows_that_are_not_finite(case, backend):
    arguments, x, y, weight = problem(case, True, "float64")
    net = mlpfast.MLP(*arguments, dtype="float64", random_state=1, backend=backend)
    data = check_data(net.spec, x, y, 0 * weight, 1.0)
    got = calls(net, data, gradient_of(net, data))
    assert [loss for loss, _ in got] == [0.0] * len(got)
    assert not any(grad.any() for _, grad in got)
    whole = check_data(net.spec, x, y, weight, 1.0)
    bad = x.copy()
    bad[1, 0] = np.nan
    data = Data(bad, whole.y, whole.sample_weight)
    got, want = calls(net, data, gradient_of(net, data)), calls(net, data, None)
    same(got, want)
    assert np.isnan(got[0][1]).any()


def test_keeps_its_arrays_alive(backend):
    arguments, x, y, _ = problem("sliced", False, "float64")
    net = mlpfast.MLP(*arguments, dtype="float64", random_state=1, backend=backend)
    want = net.loss_and_grad(x, y)
    prepared = gradient_of(net, check_data(net.spec, x.copy(), y.copy(), None, 1.0))
    grad, n = np.empty(net.n_params), net.n_params
    del net
    fillers = [np.full(x.shape, 7.0) for _ in range(8)] + [np.full(n, 7.0) for _ in range(8)]
    assert prepared(grad) == want[0]
    np.testing.assert_array_equal(grad, want[1])
    assert len(fillers) == 16


def test_a_second_thread_is_kept_out(compiled):
    """Each call gives the right gradient or a RuntimeError, and the next one is let in again."""
    arguments, x, y, _ = problem("narrow, in blocks", False, "float64")
    net = mlpfast.MLP(*arguments, dtype="float64", random_state=1, backend=compiled)
    data = check_data(net.spec, x, y, None, 1.0)
    want, prepared = calls(net, data, None, 1), gradient_of(net, data)
    outcomes, unexpected, enough = set(), [], threading.Event()

    def work():
        grad = np.empty(net.n_params)
        for _ in range(2000):
            if enough.is_set():
                return
            try:
                loss = prepared(grad)
            except RuntimeError as error:
                outcomes.add("refused")
                if "another thread" not in str(error):
                    unexpected.append(error)
            else:
                outcomes.add("done")
                if loss != want[0][0] or not np.array_equal(grad, want[0][1]):
                    unexpected.append(loss)
            if unexpected or len(outcomes) == 2:
                enough.set()

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not unexpected
    assert outcomes == {"done", "refused"}
    same([(prepared(grad := np.empty(net.n_params)), grad)], want)


def test_teams_of_changing_size(restore_threads):
    """A member that joins late has yet to read the rows: others had the pool before."""
    if "cpp" not in backends.available():
        pytest.skip("needs the extension")
    mlpfast.set_num_threads(3)
    arguments, x, y, _ = problem("sliced, of classes", False, "float64")
    net = mlpfast.MLP(*arguments, dtype="float64", random_state=1, backend="cpp")
    data = check_data(net.spec, x, y, None, 1.0)
    want = calls(net, data, None, 1)
    big = mlpfast.MLP([50, 400, 3], random_state=0, backend="cpp")
    rows = np.zeros((3000, 50), np.float32), np.zeros((3000, 3), np.float32)
    busy = threading.Event()

    def keep_the_pool():
        while not busy.is_set():
            big.loss_and_grad(*rows)

    other = threading.Thread(target=keep_the_pool)
    other.start()
    try:
        for _ in range(10):
            prepared = gradient_of(net, data)
            for _ in range(20):
                same([(prepared(grad := np.empty(net.n_params)), grad)], want)
    finally:
        busy.set()
        other.join()
    same([(prepared(grad := np.empty(net.n_params)), grad)], want)
