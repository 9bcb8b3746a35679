"""The same numbers as Keras: golden figures of 50 steps, and Keras itself where it is installed."""

import importlib.util
import os
import warnings
from pathlib import Path

import numpy as np
import pytest

import mlpfast.keras

_SCRIPT = Path(__file__).parent / "golden" / "make_keras.py"
_spec = importlib.util.spec_from_file_location("make_keras", _SCRIPT)
golden = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(golden)

#: One of each kind, for the comparison with Keras as it is installed.
LIVE = [
    *("nesterov", "adamw with decay", "rmsprop with momentum", "global clipnorm", "warm-up"),
    *("binary smoothed", "categorical logits", "class weights", "l2", "early stopping"),
]


@pytest.fixture(scope="module")
def figures():
    with np.load(golden.FILE, allow_pickle=False) as arrays:
        return dict(arrays)


def compare(ours, theirs):
    params, history, last = ours
    wanted, wanted_history, wanted_last = theirs
    np.testing.assert_allclose(params, wanted, rtol=1e-3, atol=1e-5)
    assert list(history) == list(wanted_history)
    for column, values in wanted_history.items():
        np.testing.assert_allclose(history[column], values, rtol=1e-3, atol=1e-5, err_msg=column)
    np.testing.assert_allclose(last, wanted_last, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", golden.CASES)
def test_fifty_steps(name, figures, monkeypatch, backend):
    monkeypatch.setenv("MLPFAST_BACKEND", backend)
    prefix = f"{name}/history/"
    history = {k.removeprefix(prefix): v for k, v in figures.items() if k.startswith(prefix)}
    theirs = figures[f"{name}/params"], history, figures[f"{name}/figures"]
    start = np.concatenate([np.ravel(w) for w in golden.build(mlpfast.keras, name).get_weights()])
    assert np.abs(theirs[0] - start).max() > 1e-2  # or nothing would have been compared
    compare(golden.run(mlpfast.keras, name), theirs)


def test_every_optimizer_loss_schedule_and_activation_is_compared():
    optimizers, losses, schedules, functions = set(), set(), set(), set()
    for layers, loss, optimizer, *_ in golden.CASES.values():
        optimizers.add(optimizer[1])
        rate = optimizer[2]["learning_rate"]
        schedules |= {rate[1]} if isinstance(rate, tuple) else set()
        found = mlpfast.keras.losses.get(golden.make(mlpfast.keras, loss))
        losses.add(type(found).__name__)
        functions |= {options.get("activation") for _, options in layers} - {None}
    face = mlpfast.keras
    assert optimizers == set(face.optimizers.CLASSES)
    assert losses == set(face.losses.CLASSES)
    assert schedules == set(face.optimizers.schedules.CLASSES)
    assert functions | {"swish"} == set(face.activations.NAMES)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Keras' own
@pytest.mark.parametrize("name", LIVE)
def test_beside_keras(name):
    keras = _keras()
    compare(golden.run(mlpfast.keras, name), golden.run(keras, name))


def _keras():
    if "KERAS_BACKEND" not in os.environ:
        for library in ("jax", "torch"):
            if importlib.util.find_spec(library):
                os.environ["KERAS_BACKEND"] = library
                break
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of its own imports
        return pytest.importorskip("keras")
