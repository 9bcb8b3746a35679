"""Keras' callbacks: when they run, what they see, and what they do to a fit."""

import csv
import math

import numpy as np
import pytest

import mlpfast
from mlpfast.keras import UnsupportedError, callbacks, optimizers
from mlpfast.keras.layers import Dense, Input
from mlpfast.keras.models import Sequential, load_model

X = np.linspace(-1, 1, 12, dtype=np.float32)[:, None]
Y = 2 * X


def make(rate=0.1):
    model = Sequential([Input((1,)), Dense(1, kernel_initializer="zeros")])
    model.compile(optimizers.SGD(rate), "mse", metrics=["mae"])
    return model


def fit(model, *watchers, epochs=4, **options):
    return model.fit(
        X, Y, epochs=epochs, batch_size=12, verbose=0, callbacks=list(watchers), **options
    )


class Scripted(callbacks.Callback):
    """Gives out figures of its own, for those after it."""

    def __init__(self, values, name="val_loss"):
        self.values, self.name = values, name

    def on_epoch_end(self, epoch, logs=None):
        logs[self.name] = self.values[epoch]


def test_what_happens_when():
    seen = []

    class Spy(callbacks.Callback):
        def on_train_begin(self, logs=None):
            seen.append(("begin", dict(self.params), self.model is model))

        def on_epoch_begin(self, epoch, logs=None):
            seen.append(("epoch", epoch, self.model.optimizer.iterations))

        def on_epoch_end(self, epoch, logs=None):
            seen.append(("end", epoch, sorted(logs), self.model.optimizer.iterations))

        def on_train_end(self, logs=None):
            seen.append(("over",))

    model = make()
    fit(model, Spy(), epochs=4, initial_epoch=2, validation_data=(X, Y))
    names = ["loss", "mae", "val_loss", "val_mae"]
    assert seen == [
        ("begin", {"verbose": 0, "epochs": 4, "steps": 1}, True),
        ("epoch", 2, 0),
        ("end", 2, names, 1),
        ("epoch", 3, 1),
        ("end", 3, names, 2),
        ("over",),
    ]
    assert model.history.epoch == [2, 3]


def test_a_callback_ends_the_fit_and_may_change_the_weights():
    def stop(epoch, logs):
        model.stop_training = epoch == 1
        model.set_weights([[[5.0]], [0.0]])

    model = make(rate=0.0)
    history = fit(model, callbacks.LambdaCallback(on_epoch_end=stop), epochs=9)
    assert len(history.epoch) == 2
    assert history.history["loss"] == pytest.approx([np.mean(Y**2), np.mean((3 * X) ** 2)])
    assert len(fit(model, epochs=3).epoch) == 3  # the next fit begins anew


@pytest.mark.parametrize(
    ("options", "values", "epochs", "best"),
    [
        ({}, [3, 2, 2, 1], 3, 1),
        ({"patience": 2}, [3, 2, 2, 2, 1], 4, 1),
        ({"patience": 2}, [3, 2, 2, 1, 1, 1, 0], 6, 3),
        ({"min_delta": 0.5}, [3, 2, 1.7, 1], 3, 1),
        ({"mode": "max"}, [1, 2, 2, 3], 3, 1),
        ({"start_from_epoch": 2}, [3, 4, 5, 5, 6], 4, 2),
        ({"baseline": 1.5, "patience": 2}, [3, 2, 2.5, 2.5, 1], 3, 1),
        ({}, [3, math.nan, 1], 2, 0),
    ],
)
def test_early_stopping(options, values, epochs, best):
    stopping = callbacks.EarlyStopping(restore_best_weights=True, **options)
    weights = []
    keep = callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: weights.append(model.get_weights())
    )
    model = make()
    history = fit(model, Scripted(values), keep, stopping, epochs=len(values))
    assert len(history.epoch) == epochs
    assert stopping.stopped_epoch == epochs - 1
    assert stopping.best_epoch == best
    np.testing.assert_array_equal(model.get_weights()[0], weights[best][0])
    again = fit(model, Scripted(values), stopping, epochs=len(values))  # it can be used again
    assert len(again.epoch) == epochs


@pytest.mark.parametrize("restore", [False, True])
def test_early_stopping_knows_the_best_epoch_either_way(restore):
    stopping = callbacks.EarlyStopping(patience=2, restore_best_weights=restore)
    fit(make(), Scripted([3, 1, 2, 2, 2]), stopping, epochs=5)
    assert (stopping.best_epoch, stopping.stopped_epoch, stopping.best) == (1, 3, 1)


def test_early_stopping_without_its_figure(capsys):
    with pytest.warns(UserWarning, match="watches 'val_loss', which is not there; there are loss"):
        assert len(fit(make(), callbacks.EarlyStopping()).epoch) == 4
    with pytest.raises(ValueError, match="cannot tell whether monitor='val_f1' is to rise"):
        fit(make(), Scripted([1] * 4, "val_f1"), callbacks.EarlyStopping("val_f1"))
    stopping = callbacks.EarlyStopping(verbose=1, restore_best_weights=True)
    fit(make(), Scripted([1, 2, 3, 4]), stopping)
    out = capsys.readouterr().out
    assert "Epoch 2: early stopping" in out
    assert "best epoch: 1." in out


@pytest.mark.parametrize(
    ("options", "values", "rates"),
    [
        ({"patience": 1}, [3, 3, 3, 2], [0.1, 0.1, 0.01, 0.001]),
        ({"patience": 2, "factor": 0.5}, [3, 3, 3, 3], [0.1, 0.1, 0.1, 0.05]),
        ({"patience": 1, "cooldown": 1, "factor": 0.5}, [3, 3, 3, 3], [0.1, 0.1, 0.05, 0.025]),
        ({"patience": 1, "min_lr": 0.06}, [3, 3, 3, 3], [0.1, 0.1, 0.06, 0.06]),
        ({"patience": 1, "mode": "max"}, [1, 2, 3, 4], [0.1] * 4),
    ],
)
def test_the_rate_falls_on_a_plateau(options, values, rates):
    model = make()
    history = fit(model, Scripted(values), callbacks.ReduceLROnPlateau(**options))
    assert history.history["learning_rate"] == pytest.approx(rates)
    want = [0.0]
    for rate in rates:
        want.append(want[-1] - rate * 2 * np.mean(X**2) * (want[-1] - 2))
    assert model.get_weights()[0][0, 0] == pytest.approx(want[-1], rel=1e-5)


def test_a_scheduler_sets_the_rate():
    model = make()
    rates = [0.0, 0.1, 0.0, 0.2]
    watcher = callbacks.LearningRateScheduler(lambda epoch, rate: rates[epoch])
    history = fit(model, watcher, callbacks.LearningRateScheduler(lambda epoch: rates[epoch]))
    losses = history.history["loss"]
    assert losses[0] == losses[1] > losses[2] == losses[3]
    assert history.history["learning_rate"] == rates


def test_checkpoints(tmp_path):
    path = tmp_path / "deep" / "m-{epoch:02d}-{val_loss:.1f}.npz"
    keeper = callbacks.ModelCheckpoint(path, save_best_only=True)
    model = make()
    fit(model, Scripted([3, 4, 2, 2]), keeper)
    names = sorted(p.name for p in (tmp_path / "deep").iterdir())
    assert names == ["m-01-3.0.npz", "m-03-2.0.npz"]
    assert load_model(tmp_path / "deep" / names[1]).get_weights()[0] < model.get_weights()[0]
    with pytest.raises(UnsupportedError, match="save_freq=100"):
        callbacks.ModelCheckpoint(path, save_freq=100)


def test_checkpoints_say_what_they_do(tmp_path, capsys):
    path = str(tmp_path / "best.npz")
    keeper = callbacks.ModelCheckpoint(path, save_best_only=True, verbose=1)
    fit(make(), Scripted([3, 4, 2]), keeper, epochs=3)
    assert capsys.readouterr().out.split("\n\n") == [
        f"\nEpoch 1: val_loss improved from None to 3.00000, saving model to {path}",
        "Epoch 2: val_loss did not improve from 3.00000",
        f"Epoch 3: val_loss improved from 3.00000 to 2.00000, saving model to {path}\n",
    ]


def test_a_checkpoint_that_could_not_be_written_is_refused_at_once():
    with pytest.raises(UnsupportedError, match=r"a model in a \.h5 file"):
        callbacks.ModelCheckpoint("best.h5")
    with pytest.raises(ValueError, match=r"must end in \.weights\.h5, got 'w\.h5'"):
        callbacks.ModelCheckpoint("w.h5", save_weights_only=True)


def test_checkpoints_of_weights(tmp_path):
    pytest.importorskip("h5py")
    path = tmp_path / "best.weights.h5"
    model = make()
    fit(model, callbacks.ModelCheckpoint(path, save_weights_only=True))
    other = make()
    other.load_weights(path)
    np.testing.assert_array_equal(other.get_weights()[0], model.get_weights()[0])


def test_csv_logger(tmp_path):
    path = tmp_path / "log.csv"
    for append in (False, True):
        logger = callbacks.CSVLogger(path, separator=";", append=append)
        history = fit(make(), logger, epochs=2).history
    with path.open(newline="") as file:
        rows = list(csv.reader(file, delimiter=";"))
    assert rows[0] == ["epoch", "loss", "mae"]
    assert [row[0] for row in rows[1:]] == ["0", "1", "0", "1"]
    assert [float(row[1]) for row in rows[3:]] == history["loss"]


def test_batches_are_out_of_reach():
    class Greedy(callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            """Never runs."""

    with pytest.raises(UnsupportedError, match="Greedy.on_train_batch_end"):
        fit(make(), Greedy())
    with pytest.raises(UnsupportedError, match="LambdaCallback.on_batch_end"):
        callbacks.LambdaCallback(on_batch_end=print)
    with pytest.raises(UnsupportedError, match="callback TensorBoard"):
        callbacks.TensorBoard()
    for wrong in (print, mlpfast.EarlyStopping(), callbacks.History):
        with pytest.raises(TypeError, match="instances of mlpfast.keras.callbacks"):
            fit(make(), wrong)


def test_the_validation_and_the_end_are_told():
    seen = []

    class Spy(callbacks.Callback):
        def on_test_begin(self, logs=None):
            seen.append("test")

        def on_test_end(self, logs=None):
            seen.append(sorted(logs))

        def on_epoch_end(self, epoch, logs=None):
            seen.append(epoch)

        def on_train_end(self, logs=None):
            seen.append(sorted(logs))

    fit(make(), Spy(), epochs=1, validation_data=(X, Y))
    assert seen == ["test", ["loss", "mae"], 0, ["loss", "mae", "val_loss", "val_mae"]]
    seen.clear()
    fit(make(), Spy(), epochs=1)
    assert seen == [0, ["loss", "mae"]]


def test_divergence_is_an_error_and_callbacks_are_told():
    ended = []
    model = make(rate=1e30)
    watcher = callbacks.LambdaCallback(on_train_end=lambda logs: ended.append(True))
    with pytest.raises(mlpfast.TrainingDiverged, match=r"TerminateOnNaN\(\)") as caught:
        fit(model, watcher, epochs=9)
    assert "on_nonfinite" not in str(caught.value)
    assert ended == [True]
    assert np.isfinite(model.get_weights()[0]).all()


def test_a_fit_can_end_so_without_an_error(capsys):
    model = make(rate=1e30)
    history = fit(model, callbacks.TerminateOnNaN(), epochs=9)
    assert len(history.epoch) < 9
    assert "Invalid loss, terminating training" in capsys.readouterr().out
    assert np.isfinite(model.get_weights()[0]).all()


def test_the_history_is_there_during_the_fit():
    model, lengths = make(), []
    watch = callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: lengths.append(len(model.history.epoch))
    )
    assert fit(model, watch, epochs=3) is model.history
    assert lengths == [0, 1, 2]
