"""Callbacks: when they are called, what they see, and what the ready-made ones do."""

import csv

import numpy as np
import pytest

import mlpfast
from mlpfast import SGD, Callback, CSVLogger, EarlyStopping, LambdaCallback, ModelCheckpoint

X = np.random.default_rng(0).normal(size=(20, 3))
Y = np.random.default_rng(1).normal(size=(20, 2))


def make_net(backend="numpy"):
    return mlpfast.MLP([3, 5, 2], "tanh", dtype="float64", random_state=0, backend=backend)


class Recorder(Callback):
    def __init__(self, stop_at=None, fail_at=None):
        self.events, self.params = [], []
        self.stop_at, self.fail_at = stop_at, fail_at

    def on_train_begin(self, net):
        self.events.append("begin")

    def on_epoch_end(self, net, epoch, logs):
        self.events.append((epoch, dict(logs)))
        self.params.append(net.params.copy())
        if epoch == self.fail_at:
            raise LookupError("on purpose")
        return epoch == self.stop_at

    def on_train_end(self, net, history):
        self.events.append(("end", history.stop_reason))


class Script(Callback):
    """Plays given figures into the logs, ahead of the callback under test."""

    def __init__(self, figures, name="val_loss"):
        self.figures, self.name = figures, name

    def on_epoch_end(self, net, epoch, logs):
        logs[self.name] = self.figures[epoch]


def test_order_of_calls_and_contents_of_logs(backend):
    recorder = Recorder()
    net = make_net(backend)
    h = net.fit(X, Y, epochs=3, callbacks=[recorder], validation_data=(X, Y), metrics=("mae",))
    begin, *epochs, end = recorder.events
    assert (begin, end) == ("begin", ("end", "finished"))
    assert [epoch for epoch, _ in epochs] == [0, 1, 2]
    for epoch, logs in epochs:
        assert logs == {name: values[epoch] for name, values in h.history.items()}
        assert set(logs) == {"loss", "mae", "val_loss", "val_mae"}
    np.testing.assert_array_equal(recorder.params[-1], net.params)


def test_callbacks_do_not_change_the_run(backend):
    a, b = make_net(backend), make_net(backend)
    ha = a.fit(X, Y, epochs=5, batch_size=6)
    hb = b.fit(X, Y, epochs=5, batch_size=6, callbacks=[Recorder()])
    np.testing.assert_allclose(a.params, b.params, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(ha.history["loss"], hb.history["loss"], rtol=1e-12)


def test_returning_true_stops_after_all_have_been_called(backend):
    first, second = Recorder(stop_at=1), Recorder()
    h = make_net(backend).fit(X, Y, epochs=9, callbacks=[first, second])
    assert h.stop_reason == "callback"
    assert len(h.epoch) == len(first.params) == len(second.params) == 2
    assert first.events[-1] == second.events[-1] == ("end", "callback")


def test_only_true_stops():
    for value in (None, False, 0, 1, "yes"):
        h = make_net().fit(X, Y, epochs=2, callbacks=[lambda *_, value=value: value])
        assert h.stop_reason == "finished"


def test_an_error_in_a_callback_reaches_the_user_and_the_others_are_closed(backend):
    first, failing, last = Recorder(), Recorder(fail_at=1), Recorder()
    net = make_net(backend)
    with pytest.raises(LookupError, match="on purpose"):
        net.fit(X, Y, epochs=9, callbacks=[first, failing, last])
    for recorder in (first, failing, last):
        assert recorder.events[-1][0] == "end"
    assert (len(first.params), len(last.params)) == (2, 1)
    assert np.isfinite(net.params).all()


def test_an_error_at_the_beginning_closes_only_those_begun():
    class Fails(Callback):
        def on_train_begin(self, net):
            raise LookupError("on purpose")

    first, last = Recorder(), Recorder()
    with pytest.raises(LookupError):
        make_net().fit(X, Y, callbacks=[first, Fails(), last])
    assert first.events == ["begin", ("end", "finished")]
    assert last.events == []


def test_end_is_told_of_divergence():
    recorder = Recorder()
    with pytest.raises(mlpfast.TrainingDiverged):
        make_net().fit(X, Y, epochs=9, optimizer=SGD(1e300), callbacks=[recorder])
    assert recorder.events[-1][0] == "end"


def test_plain_functions_and_lambda_callback():
    seen = []
    make_net().fit(
        X,
        Y,
        epochs=2,
        callbacks=[
            lambda net, epoch, logs: seen.append(epoch),
            LambdaCallback(
                on_train_begin=lambda net: seen.append("begin"),
                on_epoch_end=lambda net, epoch, logs: seen.append(-epoch),
                on_train_end=lambda net, history: seen.append(history.stop_reason),
            ),
        ],
    )
    assert seen == ["begin", 0, 0, 1, -1, "finished"]
    with pytest.raises(TypeError, match="on_train_end must be callable, got int"):
        LambdaCallback(on_train_end=3)


# ------------------------------------------------------------------ early stopping


def stop_on(figures, name="val_loss", **kwargs):
    """Fit with the figures played in; return the callback, the history and all parameters."""
    net, recorder = make_net(), Recorder()
    stopping = EarlyStopping(name, **kwargs)
    h = net.fit(X, Y, epochs=len(figures), callbacks=[Script(figures, name), recorder, stopping])
    return stopping, h, recorder.params, net


@pytest.mark.parametrize(
    ("figures", "patience", "min_delta", "epochs", "best"),
    [
        ([5, 4, 3, 2, 1], 1, 0.0, 5, 4),  # never stops
        ([5, 4, 6, 7, 8, 9], 1, 0.0, 3, 1),
        ([5, 4, 6, 7, 8, 9], 3, 0.0, 5, 1),
        ([5, 4, 6, 3, 7, 8, 9], 2, 0.0, 6, 3),  # an improvement begins the count anew
        ([5, 5, 5, 5], 2, 0.0, 3, 0),  # the same is no improvement
        ([5, 4.95, 4.9, 4.85, 1], 2, 0.1, 3, 0),  # nor is less than min_delta
        ([5, 6, 4], 0, 0.0, 2, 0),
        ([5, float("nan"), float("nan"), 1], 2, 0.0, 3, 0),
    ],
)
def test_early_stopping(figures, patience, min_delta, epochs, best):
    stopping, h, params, net = stop_on(figures, patience=patience, min_delta=min_delta)
    assert (len(h.epoch), stopping.best_epoch) == (epochs, best)
    assert stopping.stopped is (epochs < len(figures))
    assert h.stop_reason == ("callback" if stopping.stopped else "finished")
    np.testing.assert_array_equal(net.params, params[best])


def test_early_stopping_may_leave_the_last_weights():
    _, _, params, net = stop_on([1, 2, 3, 4], patience=2, restore_best_weights=False)
    np.testing.assert_array_equal(net.params, params[-1])


@pytest.mark.parametrize(
    ("name", "mode", "best"),
    [
        ("val_accuracy", "auto", 1),
        ("val_accuracy", "min", 0),
        ("val_mae", "auto", 0),
        ("val_r2", "auto", 1),
        ("val_mae", "max", 1),
    ],
)
def test_early_stopping_knows_which_way_is_better(name, mode, best):
    stopping, *_ = stop_on([0.5, 0.9, 0.7, 0.7], name, patience=9, mode=mode)
    assert stopping.best_epoch == best


def test_early_stopping_begins_afresh_with_each_fit():
    stopping = EarlyStopping("loss", patience=1)
    net = make_net()
    for _ in range(2):
        h = net.fit(X, Y, epochs=3, optimizer=SGD(0.0), callbacks=[stopping])
        assert (len(h.epoch), stopping.best_epoch, stopping.stopped) == (2, 0, True)


def test_early_stopping_on_real_validation_data(backend):
    net = make_net(backend)
    h = net.fit(
        X,
        Y,
        epochs=500,
        optimizer=mlpfast.Adam(0.05),
        validation_data=(X[::-1], Y),  # nothing to learn here: it soon gets worse
        callbacks=[EarlyStopping(patience=5)],
    )
    losses = h.history["val_loss"]
    assert h.stop_reason == "callback"
    assert len(losses) == int(np.argmin(losses)) + 6
    assert net.evaluate(X[::-1], Y)["loss"] == pytest.approx(min(losses), rel=1e-10)


def test_a_figure_that_is_not_there_is_an_error():
    for callback in (EarlyStopping(), ModelCheckpoint("x.npz", save_best_only=True)):
        with pytest.raises(ValueError, match="monitor='val_loss' needs validation_data"):
            make_net().fit(X, Y, callbacks=[callback])
    net = make_net()
    before = net.params.copy()
    for name in ("f1", "val_mae"):
        with pytest.raises(
            ValueError, match="monitor must be one of 'loss', 'accuracy', 'val_loss'"
        ):
            net.fit(X, Y, validation_data=(X, Y), callbacks=[EarlyStopping(name)])
    with pytest.raises(TypeError, match=r"mlpfast.Adam\(CosineDecay\(...\)\)"):
        net.fit(X, Y, callbacks=[mlpfast.CosineDecay(0.1, 3)])
    with pytest.raises(TypeError, match="callbacks must be a list, got EarlyStopping"):
        net.fit(X, Y, callbacks=EarlyStopping("loss"))
    np.testing.assert_array_equal(net.params, before)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"patience": -1}, ValueError, "patience must be at least 0, got -1"),
        ({"patience": 1.5}, TypeError, "patience must be an integer, got 1.5"),
        ({"min_delta": -1.0}, ValueError, "min_delta must be in"),
        ({"mode": "up"}, ValueError, "mode must be one of 'auto', 'min', 'max'; got 'up'"),
    ],
)
def test_bad_arguments_of_early_stopping(arguments, error, words):
    with pytest.raises(error, match=words):
        EarlyStopping(**arguments)


# ------------------------------------------------------------------ files


def test_checkpoint_saves_each_epoch(tmp_path):
    recorder = Recorder()
    make_net().fit(
        X,
        Y,
        epochs=3,
        callbacks=[recorder, ModelCheckpoint(tmp_path / "net-{epoch:03d}.npz")],
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"net-00{i}.npz" for i in range(3)]
    for epoch, params in enumerate(recorder.params):
        loaded = mlpfast.MLP.load(tmp_path / f"net-00{epoch}.npz", backend="numpy")
        np.testing.assert_array_equal(loaded.params, params)


def test_checkpoint_may_keep_the_best_only(tmp_path):
    recorder = Recorder()
    path = tmp_path / "best.npz"
    make_net().fit(
        X,
        Y,
        epochs=4,
        callbacks=[
            recorder,
            Script([3, 1, 2, 5]),
            ModelCheckpoint(str(path), save_best_only=True),
        ],
    )
    loaded = mlpfast.MLP.load(path, backend="numpy")
    np.testing.assert_array_equal(loaded.params, recorder.params[1])


def test_checkpoint_name_may_hold_figures(tmp_path):
    h = make_net().fit(X, Y, callbacks=[ModelCheckpoint(f"{tmp_path}/{{loss:.4f}}.npz")])
    assert [p.name for p in tmp_path.iterdir()] == [f"{h.history['loss'][0]:.4f}.npz"]


def read_csv(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_csv_log(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("old")
    net = make_net()
    h = net.fit(X, Y, epochs=3, callbacks=[CSVLogger(path)], validation_data=(X, Y))
    rows = read_csv(path)
    assert list(rows[0]) == ["epoch", "loss", "accuracy", "val_loss", "val_accuracy"]
    assert [row["epoch"] for row in rows] == ["0", "1", "2"]
    for name, values in h.history.items():
        assert [float(row[name]) for row in rows] == values
    net.fit(X, Y, epochs=2, callbacks=[CSVLogger(str(path), append=True)], validation_data=(X, Y))
    assert [row["epoch"] for row in read_csv(path)] == ["0", "1", "2", "0", "1"]


def test_csv_log_holds_what_was_reached_before_an_error(tmp_path):
    path = tmp_path / "log.csv"
    with pytest.raises(LookupError):
        make_net().fit(X, Y, epochs=5, callbacks=[CSVLogger(path), Recorder(fail_at=2)])
    assert len(read_csv(path)) == 3


def test_csv_log_to_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        make_net().fit(X, Y, callbacks=[CSVLogger(tmp_path / "no" / "log.csv")])
