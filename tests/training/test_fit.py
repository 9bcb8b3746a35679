"""What `fit` and the class around it promise, on every backend."""

import copy
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import tracemalloc
import warnings

import numpy as np
import pytest

import mlpfast
from mlpfast import SGD, Adam, AdamW, RMSprop

OPTIMIZERS = [
    SGD(0.05),
    SGD(0.05, momentum=0.9),
    SGD(0.05, momentum=0.9, nesterov=True),
    Adam(0.01),
    AdamW(0.01),
    RMSprop(0.01),
    RMSprop(0.01, momentum=0.5),
]
CLOSE = {"rtol": 1e-9, "atol": 1e-12}


def data(n=50, n_in=4, n_out=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, n_in)), rng.normal(size=(n, n_out))


def make_net(backend=None, sizes=(4, 8, 3), *, dtype="float64", random_state=1, **kwargs):
    kwargs.setdefault("activation", "tanh")
    return mlpfast.MLP(
        list(sizes), dtype=dtype, random_state=random_state, backend=backend, **kwargs
    )


# ------------------------------------------------------------------ history


def test_history_has_an_entry_for_each_epoch(backend):
    x, y = data()
    h = make_net(backend).fit(
        x, y, epochs=4, batch_size=7, metrics=("accuracy", "mse", "mae"), validation_data=(x, y)
    )
    names = ["loss", "accuracy", "mse", "mae"]
    assert set(h.history) == {*names, *("val_" + name for name in names)}
    assert all(len(v) == 4 and np.isfinite(v).all() for v in h.history.values())
    assert all(type(v) is float for values in h.history.values() for v in values)
    assert h.epoch == [0, 1, 2, 3]
    assert h.stop_reason == "finished"
    assert repr(h).startswith("<History of 4 epochs, finished: loss=")


def test_no_epochs_do_nothing(backend):
    x, y = data()
    net = make_net(backend)
    before = net.params.tobytes()
    h = net.fit(x, y, epochs=0)
    assert (h.history, h.epoch, h.stop_reason) == ({}, [], "finished")
    assert net.params.tobytes() == before


def test_metrics_may_be_one_name_or_none_at_all(backend):
    x, y = data()
    assert set(make_net(backend).fit(x, y, metrics=()).history) == {"loss"}
    assert set(make_net(backend).fit(x, y, metrics="mae").history) == {"loss", "mae"}


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_loss_of_an_epoch_is_the_loss_before_each_update(backend, reduction):
    x, y = data(n=10)
    net = make_net(backend, reduction=reduction)
    want = net.evaluate(x, y, metrics=("mse", "mae"))
    # With rate 0 every batch is evaluated with the same weights.
    h = net.fit(x, y, batch_size=3, optimizer=SGD(0.0), metrics=("mse", "mae"))
    for name, value in want.items():
        assert h.history[name] == [pytest.approx(value, rel=1e-12)]
    # With all rows in a batch it is the loss before the only update.
    before = net.loss_and_grad(x, y)[0]
    h = net.fit(x, y, batch_size=99, optimizer=SGD(0.01))
    assert h.history["loss"] == [pytest.approx(before, rel=1e-12)]


def test_validation_is_evaluated_after_the_epoch(backend):
    x, y = data()
    x_val, y_val = data(20, seed=9)
    weight = np.linspace(0, 1, 20)
    net = make_net(backend)
    h = net.fit(x, y, validation_data=(x_val, y_val, weight), metrics=("mse",))
    want = net.evaluate(x_val, y_val, weight, metrics=("mse",))
    assert h.history["val_loss"] == [pytest.approx(want["loss"], rel=1e-12)]
    assert h.history["val_mse"] == [pytest.approx(want["mse"], rel=1e-12)]


def test_validation_does_not_disturb_training(backend):
    x, y = data()
    nets = [make_net(backend) for _ in range(2)]
    nets[0].fit(x, y, epochs=3)
    nets[1].fit(x, y, epochs=3, validation_data=[x, y], callbacks=[lambda *_: None])
    np.testing.assert_allclose(nets[0].params, nets[1].params, **CLOSE)


def test_accuracy_by_largest_output_or_by_half(backend):
    net = make_net(backend, (2, 2), output_activation="identity", init=([np.eye(2)], [[0, 0]]))
    x = np.array([[1.0, 0], [0, 1], [2, 3], [5, 4]])
    assert net.evaluate(x, [0, 1, 1, 1])["accuracy"] == 0.75
    assert net.evaluate(x, np.eye(2)[[0, 1, 1, 1]])["accuracy"] == 0.75
    assert net.evaluate(x, [0, 1, 1, 1], [1, 1, 1, 5])["accuracy"] == pytest.approx(3 / 8)
    one = make_net(backend, (1, 1), output_activation="identity", init=([[[1.0]]], [[0.0]]))
    assert one.evaluate([[0.4], [0.6], [0.9]], [0, 1, 0])["accuracy"] == pytest.approx(2 / 3)


# ------------------------------------------------------------------ the steps


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_l2_against_a_hand_calculation(backend, bias, reduction):
    x, y = data(n=6)
    net = make_net(backend, bias=bias, reduction=reduction)
    l2, rate = 0.3, 0.1
    _, grad = net.loss_and_grad(x, y)
    decay = np.zeros(net.n_params)
    for part, w in zip(net.spec.layers(), net.weights, strict=True):
        decay[part.w] = w.ravel()  # of the weights, not of the biases
    want = net.params - rate * (grad + l2 * decay)
    loss = net.fit(x, y, batch_size=6, optimizer=SGD(rate), l2=l2).history["loss"][0]
    np.testing.assert_allclose(net.params, want, **CLOSE)
    assert loss == pytest.approx(
        make_net("numpy", bias=bias, reduction=reduction).evaluate(x, y)["loss"]
    )


def test_batches_follow_the_order_of_the_rows_without_shuffle(backend):
    x, y = data(n=10)
    net = make_net(backend)
    by_hand = make_net("numpy")
    for first in range(0, 10, 4):  # 4, 4 and the smaller last batch of 2
        _, grad = by_hand.loss_and_grad(x[first : first + 4], y[first : first + 4])
        by_hand.params -= 0.1 * grad
    net.fit(x, y, batch_size=4, optimizer=SGD(0.1), shuffle=False)
    np.testing.assert_allclose(net.params, by_hand.params, **CLOSE)


def test_shuffle_draws_a_permutation_an_epoch_from_the_nets_source(backend):
    x, y = data(n=10)
    net = make_net(backend, random_state=5)
    by_hand = make_net("numpy", random_state=5)
    source = copy.deepcopy(by_hand.generator)
    for _ in range(2):
        order = source.permutation(10)
        for first in range(0, 10, 4):
            rows = order[first : first + 4]
            by_hand.params -= 0.1 * by_hand.loss_and_grad(x[rows], y[rows])[1]
    net.fit(x, y, epochs=2, batch_size=4, optimizer=SGD(0.1))
    np.testing.assert_allclose(net.params, by_hand.params, **CLOSE)


def test_one_batch_an_epoch_leaves_the_order_alone(backend):
    x, y = data(n=10)
    nets = [make_net(backend) for _ in range(3)]
    nets[0].fit(x, y, epochs=3, batch_size=10)
    nets[1].fit(x, y, epochs=3, batch_size=1000)
    nets[2].fit(x, y, epochs=3, batch_size=10, shuffle=False)
    assert nets[0].params.tobytes() == nets[1].params.tobytes() == nets[2].params.tobytes()


def test_sample_weight_two_is_a_row_twice(backend):
    x, y = data(n=5)
    weight = np.array([1, 2, 1, 0, 1.0])
    rows = [0, 1, 1, 2, 4]
    a, b = make_net(backend), make_net(backend)
    h = a.fit(x, y, batch_size=5, sample_weight=weight, optimizer=SGD(0.1))
    g = b.fit(x[rows], y[rows], batch_size=5, optimizer=SGD(0.1))
    assert h.history["loss"] == [pytest.approx(g.history["loss"][0], rel=1e-12)]
    assert h.history["accuracy"] == pytest.approx(g.history["accuracy"])
    np.testing.assert_allclose(a.params, b.params, **CLOSE)


def test_learning_rate_schedule_is_asked_once_an_epoch(backend):
    x, y = data(n=10)
    asked = []

    def rate(epoch):
        asked.append(epoch)
        return 0.1 / (1 + epoch)

    net, by_hand = make_net(backend), make_net("numpy")
    net.fit(x, y, epochs=3, batch_size=5, optimizer=SGD(rate), shuffle=False)
    assert asked == [0, 1, 2]
    for epoch in range(3):
        by_hand.fit(x, y, batch_size=5, optimizer=SGD(rate(epoch)), shuffle=False)
    np.testing.assert_allclose(net.params, by_hand.params, **CLOSE)


# ------------------------------------------------------------------ continuing


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
@pytest.mark.parametrize("sizes", [(4, 8, 3), (4, 200, 100, 3)], ids=["small", "larger"])
def test_a_continued_fit_equals_one_long_fit(backend, optimizer, sizes):
    x, y = data()
    long, parts = make_net(backend, sizes), make_net(backend, sizes)
    long.fit(x, y, epochs=4, batch_size=8, optimizer=optimizer)
    for _ in range(4):
        parts.fit(x, y, epochs=1, batch_size=8, optimizer=optimizer)
    np.testing.assert_allclose(parts.params, long.params, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("change", ["reset", "another rule"])
def test_moments_are_forgotten_on_demand_or_with_another_rule(backend, change):
    x, y = data()
    net = make_net(backend)
    net.fit(x, y, epochs=2, optimizer=Adam(0.01), shuffle=False)
    fresh = mlpfast.MLP.from_spec(net.spec, net.params, backend=backend)
    kept = net.copy()
    if change == "reset":
        net.reset_optimizer()
    else:
        net.fit(x, y, epochs=0, optimizer=SGD(0.01))
    for other in (net, fresh, kept):
        other.fit(x, y, optimizer=Adam(0.02), shuffle=False)
    np.testing.assert_allclose(net.params, fresh.params, **CLOSE)
    assert np.abs(net.params - kept.params).max() > 1e-4


def test_another_rate_keeps_the_moments(backend):
    x, y = data()
    a, b = make_net(backend), make_net(backend)
    for net in (a, b):
        net.fit(x, y, optimizer=SGD(0.05, momentum=0.9), shuffle=False)
    a.fit(x, y, optimizer=SGD(0.0, momentum=0.9), epochs=1, shuffle=False)
    b.reset_optimizer()
    for net in (a, b):
        net.fit(x, y, optimizer=SGD(0.05, momentum=0.9), shuffle=False)
    assert np.abs(a.params - b.params).max() > 1e-4


@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy, lambda n: n.copy(), "pickle"])
@pytest.mark.parametrize(
    "optimizer", [Adam(0.01), SGD(lambda _: 0.05, momentum=0.9)], ids=["Adam", "SGD"]
)
def test_copies_go_on_exactly_where_the_net_was(backend, how, optimizer):
    x, y = data()
    net = make_net(backend)
    net.fit(x, y, epochs=2, batch_size=8, optimizer=optimizer)
    twin = pickle.loads(pickle.dumps(net)) if how == "pickle" else how(net)
    assert twin.spec == net.spec
    assert twin.backend == net.backend
    assert twin.params.tobytes() == net.params.tobytes()
    assert not np.shares_memory(twin.params, net.params)
    for other in (net, twin):  # the same order of rows and the same moments
        other.fit(x, y, epochs=2, batch_size=8, optimizer=optimizer)
    np.testing.assert_array_equal(twin.params, net.params)
    before = net.params.copy()
    twin.fit(x, y)
    np.testing.assert_array_equal(net.params, before)


# ------------------------------------------------------------------ seeds and initial weights


def test_a_seed_reproduces_a_run_to_the_bit(backend):
    x, y = data()
    runs = []
    for _ in range(2):
        net = make_net(backend, random_state=11, dtype="float32")
        h = net.fit(x, y, epochs=3, batch_size=8)
        runs.append((net.params.tobytes(), h.history))
    assert runs[0] == runs[1]
    other = make_net(backend, random_state=12, dtype="float32")
    other.fit(x, y, epochs=3, batch_size=8)
    assert other.params.tobytes() != runs[0][0]


def test_a_seed_gives_every_backend_the_same_run(backend):
    x, y = data()
    net, reference = make_net(backend), make_net("numpy")
    np.testing.assert_array_equal(net.params, reference.params)
    h = net.fit(x, y, epochs=3, batch_size=8)
    want = reference.fit(x, y, epochs=3, batch_size=8)
    np.testing.assert_allclose(net.params, reference.params, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(h.history["loss"], want.history["loss"], rtol=1e-8)


def test_random_state_may_be_a_generator_which_is_used_up():
    first, second = np.random.default_rng(3), np.random.default_rng(3)
    a, b = make_net("numpy", random_state=first), make_net("numpy", random_state=second)
    c = make_net("numpy", random_state=first)
    assert (
        a.params.tobytes()
        == b.params.tobytes()
        == make_net("numpy", random_state=3).params.tobytes()
    )
    assert c.params.tobytes() != a.params.tobytes()


@pytest.mark.parametrize(
    ("rule", "bound", "deviation"),
    [
        ("glorot_uniform", (6 / 500) ** 0.5, (2 / 500) ** 0.5),
        ("he_normal", None, (2 / 300) ** 0.5),
        ("lecun_normal", None, (1 / 300) ** 0.5),
    ],
)
def test_initial_weights_have_the_spread_of_their_rule(rule, bound, deviation):
    net = make_net("numpy", (300, 200), init=rule)
    w, b = net.weights[0], net.biases[0]
    assert not b.any()
    assert w.std() == pytest.approx(deviation, rel=0.02)  # 60,000 draws: 0.3 % standard error
    assert abs(w.mean()) < deviation * 0.02
    if bound:
        assert 0.99 * bound < np.abs(w).max() <= bound
    else:
        assert np.abs(w).max() > 3 * deviation


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [("relu", "relu"), ("tanh", "tanh"), ("sigmoid", "logistic"), ("identity", "identity")],
)
def test_sklearn_rule_draws_the_weights_that_sklearn_draws(ours, theirs):
    neural_network = pytest.importorskip("sklearn.neural_network")
    x, y = data(n=20)
    peer = neural_network.MLPRegressor(
        hidden_layer_sizes=(7, 5),
        activation=theirs,
        random_state=42,
        max_iter=1,
        learning_rate_init=1e-300,  # one step, which changes nothing
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer.fit(x, y)
    net = make_net("numpy", (4, 7, 5, 3), activation=ours, init="sklearn", random_state=42)
    for mine, other in zip(net.weights + net.biases, peer.coefs_ + peer.intercepts_, strict=True):
        np.testing.assert_array_equal(mine, other)


def test_initial_weights_may_be_the_users(backend):
    w = [np.arange(32.0).reshape(4, 8), np.ones((8, 3))]
    b = [np.arange(8.0), [1, 2, 3]]
    net = make_net(backend, init=(w, b))
    for mine, given in zip(net.weights + net.biases, w + b, strict=True):
        np.testing.assert_array_equal(mine, given)
    assert not np.shares_memory(net.weights[0], w[0])


# ------------------------------------------------------------------ parameters


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_params_are_aligned_and_weights_are_views(backend, dtype):
    net = make_net(backend, dtype=dtype)
    x, y = data()
    assert net.params.ctypes.data % 64 == 0
    assert net.params.shape == (net.n_params,) == (4 * 8 + 8 + 8 * 3 + 3,)
    assert net.params.dtype == dtype
    buffer = net.params
    net.fit(x, y)
    assert net.params is buffer  # training happens in place
    for view in net.weights + net.biases:
        assert np.shares_memory(view, buffer)
    flat = [v.ravel() for pair in zip(net.weights, net.biases, strict=True) for v in pair]
    np.testing.assert_array_equal(np.concatenate(flat), buffer)


def test_writing_into_a_view_changes_the_net(backend):
    net = make_net(backend)
    x, y = data()
    net.fit(x, y)  # a backend may by now hold packed copies
    net.predict(x)
    net.weights[1][...] = 0
    net.biases[1][...] = [1, 2, 3]
    np.testing.assert_array_equal(net.predict(x), np.tile([1.0, 2, 3], (50, 1)))
    net.params[:] = 0
    assert not net.predict(x).any()
    net.params = np.arange(net.n_params)
    assert net.weights[0][0, 1] == 1
    net.weights = [np.zeros((4, 8)), np.ones((8, 3))]
    assert net.weights[1].all()
    assert net.biases[1].any()
    net.biases = [np.zeros(8), [5, 6, 7]]
    np.testing.assert_array_equal(net.predict(x[0]), [5.0, 6, 7])


def test_writing_between_fits_is_seen_by_the_next(backend):
    x, y = data(n=10)
    net, by_hand = make_net(backend), make_net("numpy")
    for other in (net, by_hand):
        other.fit(x, y, batch_size=5, optimizer=SGD(0.1, momentum=0.5), shuffle=False)
        other.weights[0][...] *= 2
        other.fit(x, y, batch_size=5, optimizer=SGD(0.1, momentum=0.5), shuffle=False)
    np.testing.assert_allclose(net.params, by_hand.params, **CLOSE)


def test_net_without_biases(backend):
    net = make_net(backend, bias=False)
    assert net.biases == []
    assert net.n_params == 4 * 8 + 8 * 3
    assert not net.predict(np.zeros((2, 4))).any()


def test_activations_end_in_the_prediction(backend):
    net = make_net(backend, (4, 8, 6, 3), activation=["tanh", "relu"])
    x, _ = data()
    layers = net.activations(x)
    assert [a.shape for a in layers] == [(50, 8), (50, 6), (50, 3)]
    np.testing.assert_allclose(layers[0], np.tanh(x @ net.weights[0] + net.biases[0]), rtol=1e-10)
    np.testing.assert_allclose(layers[-1], net.predict(x), rtol=1e-10, atol=1e-12)
    assert [a.shape for a in net.activations(x[0])] == [(8,), (6,), (3,)]


def test_a_row_alone_gets_the_answer_it_gets_in_a_batch(backend):
    net = make_net(backend, (4, 8, 3), output_activation="softmax", dtype="float32")
    x = data(n=100)[0].astype("f4")
    batch = net.predict(x)
    assert batch.shape == (100, 3)
    alone = np.array([net.predict(row) for row in x])
    np.testing.assert_allclose(alone, batch, rtol=1e-6)
    np.testing.assert_allclose(net.forward(x[7:8]), batch[7:8], rtol=1e-6)
    np.testing.assert_allclose(net(x[7]), batch[7], rtol=1e-6)


def test_repr_shows_layers_and_counts():
    net = mlpfast.MLP([784, 512, 10], "sigmoid", "sigmoid", backend="numpy")
    text = repr(net)
    assert "MLP(float32, loss='mse', backend='numpy')" in text
    for words in ("784 -> 512", "sigmoid", "401,920", "5,130", "407,050 parameters in all"):
        assert words in text


# ------------------------------------------------------------------ divergence


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sizes", [(4, 8, 3), (4, 200, 100, 3)], ids=["small", "larger"])
def test_divergence_raises_and_keeps_the_last_good_weights(backend, dtype, sizes):
    x, y = data()
    net = make_net(backend, sizes, dtype=dtype, activation="relu")
    with pytest.raises(mlpfast.TrainingDiverged, match="in epoch 0; the net keeps"):
        net.fit(x, y, epochs=50, batch_size=5, optimizer=SGD(1e30))
    np.testing.assert_array_equal(net.params, make_net("numpy", sizes, dtype=dtype).params)


def test_divergence_in_a_later_epoch_stops_with_the_weights_before_it(backend):
    x, y = data()

    def rate(epoch):
        return 0.01 if epoch < 3 else 1e200

    net, good = make_net(backend, activation="relu"), make_net(backend, activation="relu")
    good.fit(x, y, epochs=3, batch_size=5, optimizer=SGD(0.01))
    h = net.fit(x, y, epochs=9, batch_size=5, optimizer=SGD(rate), on_nonfinite="stop")
    assert h.stop_reason == "diverged"
    assert h.epoch == [0, 1, 2]
    assert np.isfinite(h.history["loss"]).all()
    np.testing.assert_allclose(net.params, good.params, **CLOSE)
    # The net can still learn, and its moments are clean.
    h = net.fit(x, y, epochs=2, optimizer=SGD(0.01))
    assert h.stop_reason == "finished"
    assert np.isfinite(net.params).all()


def test_divergence_is_an_arithmetic_error():
    assert issubclass(mlpfast.TrainingDiverged, ArithmeticError)


# ------------------------------------------------------------------ Ctrl-C


def press_ctrl_c(*_):
    signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("validate", [False, True])
def test_ctrl_c_ends_at_the_epoch_of_a_callback(backend, validate):
    x, y = data()
    net, twin = make_net(backend), make_net(backend)
    handler = signal.getsignal(signal.SIGINT)

    def at_two(net, epoch, logs):
        if epoch == 2:
            press_ctrl_c()

    with pytest.warns(RuntimeWarning, match="training was interrupted in epoch 2"):
        h = net.fit(
            x, y, epochs=50, callbacks=[at_two], validation_data=(x, y) if validate else None
        )
    assert h.stop_reason == "interrupted"
    assert h.epoch == [0, 1, 2]
    assert signal.getsignal(signal.SIGINT) is handler
    twin.fit(x, y, epochs=3)
    np.testing.assert_allclose(net.params, twin.params, **CLOSE)
    assert net.fit(x, y, epochs=2).stop_reason == "finished"


def test_an_interrupt_in_the_last_epoch_is_not_lost(backend):
    net = mlpfast.MLP([2, 3, 1], random_state=0, backend=backend)
    X, Y = mlpfast.datasets.xor()
    with pytest.warns(RuntimeWarning, match="training was interrupted in epoch 0"):
        h = net.fit(X, Y, callbacks=[press_ctrl_c])
    assert h.stop_reason == "interrupted"
    assert h.epoch == [0]


def test_training_leaves_the_floating_point_mode_alone(backend):
    net = mlpfast.MLP([2, 3, 1], random_state=0, backend=backend)
    net.fit(*mlpfast.datasets.xor(), epochs=2)
    subnormal = np.array([1e-40], np.float32)
    assert (subnormal * np.float32(0.5))[0] > 0


# A fit that would never end, interrupted from outside: a small net has all its epochs in one call
# of the backend, which must look at the flag itself. The parent sends the signal when the fit has
# begun, which the child tells it by its first call to the schedule.
ENDLESS = """
    import os, signal, sys, threading, warnings
    import numpy as np, mlpfast

    size, backend = int(sys.argv[1]), sys.argv[2]
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(400, 4)), rng.normal(size=(400, 3))
    net = mlpfast.MLP([4, size, 3], "tanh", random_state=0, backend=backend)
    net.fit(x, y)  # compiles what there is to compile
    before = net.params.copy()

    def rate(epoch):
        if epoch == 0:
            # Later than this call, so that it arrives while the backend works.
            threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
        return 1e-4

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        h = net.fit(x, y, epochs=10**9, batch_size=16, optimizer=mlpfast.Adam(rate))
    assert h.stop_reason == "interrupted", h
    assert [w.category for w in caught] == [RuntimeWarning], caught
    assert "training was interrupted" in str(caught[0].message)
    assert np.isfinite(net.params).all() and (net.params != before).any()
    assert all(np.isfinite(v).all() for v in h.history.values())
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert net.fit(x, y).stop_reason == "finished"
    print("clean end")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="os.kill cannot send Ctrl-C on Windows")
@pytest.mark.parametrize("size", [8, 4000], ids=["small", "larger"])
def test_ctrl_c_ends_a_running_fit_cleanly(backend, size):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(ENDLESS), str(size), backend],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.stdout, done.returncode) == ("clean end\n", 0), done.stderr


def test_a_programs_own_sigint_handler_is_left_alone(backend):
    x, y = data()
    presses = []
    previous = signal.signal(signal.SIGINT, lambda *_: presses.append(1))
    try:
        h = make_net(backend).fit(x, y, epochs=3, callbacks=[press_ctrl_c])
    finally:
        signal.signal(signal.SIGINT, previous)
    assert h.stop_reason == "finished"
    assert len(presses) == 3


def test_fit_outside_the_main_thread_does_not_touch_the_handler(backend):
    x, y = data()
    handler = signal.getsignal(signal.SIGINT)
    seen = []
    net = make_net(backend)
    thread = threading.Thread(
        target=net.fit,
        args=(x, y),
        kwargs={"callbacks": [lambda *_: seen.append(signal.getsignal(signal.SIGINT))]},
    )
    thread.start()
    thread.join()
    assert seen == [handler]


def test_handler_is_restored_after_an_error(backend):
    x, y = data()
    handler = signal.getsignal(signal.SIGINT)

    def fail(*_):
        raise KeyError("on purpose")

    with pytest.raises(KeyError, match="on purpose"):
        make_net(backend).fit(x, y, callbacks=[fail])
    assert signal.getsignal(signal.SIGINT) is handler


# ------------------------------------------------------------------ large and small data


@pytest.fixture
def peak():
    """A function that runs a call and returns the most bytes it had allocated at once."""

    def measure(call):
        tracemalloc.start()
        try:
            call()
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    return measure


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_memory_mapped_rows_are_never_loaded_whole(backend, tmp_path, peak, dtype):
    # A sparse file: large in appearance, with nothing on the disk.
    n, n_in = 100_000, 200
    path = tmp_path / "x.dat"
    with path.open("wb") as file:
        file.truncate(n * n_in * np.dtype(dtype).itemsize)
    x = np.memmap(path, dtype, "r", shape=(n, n_in))
    y = np.zeros(n, np.float32)
    net = make_net(backend, (n_in, 4, 1), dtype="float32")
    warm_up = data(40, n_in, 1)
    net.fit(warm_up[0].astype(dtype), warm_up[1])
    net.evaluate(warm_up[0].astype(dtype), warm_up[1])
    whole = n * n_in * 4
    assert peak(lambda: net.fit(x, y, batch_size=1000, validation_data=(x, y))) < whole / 3
    assert peak(lambda: net.predict(x)) < whole / 3
    assert peak(lambda: net.evaluate(x, y)) < whole / 3
    # Every row is zeros, so every answer is the same.
    out = net.predict(x)
    np.testing.assert_allclose(out, np.broadcast_to(out[0], out.shape), rtol=1e-3)


def test_bytes_with_a_scale_equal_floats(backend):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (60, 4), np.uint8)
    y = rng.integers(0, 3, 60)
    floats = x.astype(np.float64) * (1 / 255)
    a = make_net(backend, output_activation="softmax", loss="categorical_crossentropy")
    b = a.copy()
    a.fit(x, y, epochs=3, batch_size=7, input_scale=1 / 255, validation_data=(x, y))
    b.fit(floats, y, epochs=3, batch_size=7)
    np.testing.assert_allclose(a.params, b.params, **CLOSE)
    np.testing.assert_allclose(a.predict(x, input_scale=1 / 255), b.predict(floats), **CLOSE)
    np.testing.assert_allclose(
        a.activations(x, input_scale=1 / 255)[0], b.activations(floats)[0], **CLOSE
    )
    assert a.evaluate(x, y, input_scale=1 / 255) == pytest.approx(b.evaluate(floats, y))
    assert a.loss_and_grad(x, y, input_scale=1 / 255)[0] == pytest.approx(
        b.loss_and_grad(floats, y)[0]
    )


@pytest.mark.parametrize("batch_size", [1, 3, 10, 11, 1000])
@pytest.mark.parametrize("n", [1, 2, 10])
def test_every_batch_size_trains_on_every_row_once(backend, n, batch_size):
    x, y = data(n)
    net, by_hand = make_net(backend), make_net("numpy")
    net.fit(x, y, batch_size=batch_size, shuffle=False, optimizer=SGD(0.01), metrics=())
    for first in range(0, n, batch_size):
        rows = slice(first, first + batch_size)
        by_hand.params -= 0.01 * by_hand.loss_and_grad(x[rows], y[rows])[1]
    np.testing.assert_allclose(net.params, by_hand.params, **CLOSE)


def test_it_learns_xor(backend):
    x, y = mlpfast.datasets.xor()
    net = mlpfast.MLP(
        [2, 8, 1], "tanh", "sigmoid", "binary_crossentropy", random_state=0, backend=backend
    )
    h = net.fit(x, y, epochs=500, optimizer=Adam(0.05))
    assert h.history["accuracy"][-1] == 1.0
    assert h.history["loss"][-1] < 0.05
    assert (net.predict(x) > 0.5).ravel().tolist() == [False, True, True, False]


# ------------------------------------------------------------------ progress


def test_verbose_2_prints_a_line_an_epoch(capsys):
    x, y = data()
    make_net("numpy").fit(x, y, epochs=3, verbose=2, validation_data=(x, y))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [["epoch", f"{i}/3"] for i in (1, 2, 3)]
    assert all("val_accuracy" in line for line in lines)


def test_verbose_1_shows_a_bar_or_lines(capsys, monkeypatch):
    x, y = data()
    try:
        import tqdm.auto  # noqa: F401
    except ImportError:
        pass
    else:
        make_net("numpy").fit(x, y, epochs=3, verbose=True)
        captured = capsys.readouterr()
        assert captured.out == ""
        assert "3/3" in captured.err
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    make_net("numpy").fit(x, y, epochs=3, verbose=1)
    assert capsys.readouterr().out.count("epoch") == 3


def test_silent_by_default(capsys):
    x, y = data()
    make_net("numpy").fit(x, y, epochs=3)
    assert capsys.readouterr() == ("", "")
