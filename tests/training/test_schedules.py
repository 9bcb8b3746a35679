"""Learning-rate schedules against their formulas, and how `fit` drives them."""

import math

import numpy as np
import pytest

import mlpfast
from mlpfast import SGD, CosineDecay, ExponentialDecay, ReduceOnPlateau, StepDecay

X = np.random.default_rng(0).normal(size=(20, 3))
Y = np.random.default_rng(1).normal(size=(20, 2))


def rates(schedule, n):
    return [schedule(epoch) for epoch in range(n)]


def test_step_decay():
    assert rates(StepDecay(0.8, 0.5, 2), 7) == [0.8, 0.8, 0.4, 0.4, 0.2, 0.2, 0.1]


def test_exponential_decay():
    assert rates(ExponentialDecay(1.0, 0.5), 4) == [1.0, 0.5, 0.25, 0.125]


def test_cosine_decay():
    got = rates(CosineDecay(1.0, 4, final=0.2), 7)
    half = math.sqrt(0.5)
    assert got == pytest.approx([1.0, 0.6 + 0.4 * half, 0.6, 0.6 - 0.4 * half, 0.2, 0.2, 0.2])


def observe(schedule, figures, name="loss"):
    """Return the rate before each figure and after the last."""
    got = [schedule(0)]
    for epoch, figure in enumerate(figures):
        schedule.observe({"loss": 0.0, name: figure})
        got.append(schedule(epoch + 1))
    return got


@pytest.mark.parametrize(
    ("arguments", "figures", "want"),
    [
        ({"patience": 0}, [3, 2, 1], [1, 1, 1, 1]),
        ({"patience": 0}, [3, 3, 3], [1, 1, 0.1, 0.01]),
        ({"patience": 1}, [3, 3, 3, 3, 3], [1, 1, 1, 0.1, 0.1, 0.01]),
        ({"patience": 1}, [3, 4, 2, 4, 1], [1, 1, 1, 1, 1, 1]),
        ({"patience": 0, "min_delta": 0.5}, [3, 2.8, 2.4], [1, 1, 0.1, 0.1]),
        ({"patience": 0, "minimum": 0.05}, [3, 3, 3, 3], [1, 1, 0.1, 0.05, 0.05]),
        ({"patience": 0, "factor": 0.5}, [3, 3, 3], [1, 1, 0.5, 0.25]),
        ({"patience": 0}, [3, float("nan")], [1, 1, 0.1]),
    ],
)
def test_reduce_on_plateau(arguments, figures, want):
    assert observe(ReduceOnPlateau(1.0, **arguments), figures) == pytest.approx(want)


@pytest.mark.parametrize("monitor", ["val_accuracy", "val_r2"])
def test_reduce_on_plateau_wants_more_accuracy(monitor):
    schedule = ReduceOnPlateau(1.0, patience=0, monitor=monitor)
    assert observe(schedule, [0.5, 0.6, 0.6, 0.7], monitor) == pytest.approx([1, 1, 1, 0.1, 0.1])


def spy(schedule):
    """Return an optimizer with the schedule and the list of the rates it gave out."""
    given = []

    class Spy(type(schedule)):
        def __call__(self, epoch):
            given.append(super().__call__(epoch))
            return given[-1]

    schedule.__class__ = Spy
    return SGD(schedule), given


def test_fit_tells_the_plateau_what_it_sees(backend):
    net = mlpfast.MLP([3, 4, 2], random_state=0, dtype="float64", backend=backend)
    # No difference is ever 1e9, so the rate falls each epoch after the first.
    optimizer, given = spy(ReduceOnPlateau(0.1, patience=0, min_delta=1e9, monitor="val_loss"))
    for _ in range(2):  # and a new fit begins at the top again
        given.clear()
        net.fit(X, Y, epochs=4, optimizer=optimizer, validation_data=(X, Y))
        assert given == pytest.approx([0.1, 0.1, 0.01, 0.001])


def test_plateau_on_a_figure_that_is_not_there():
    net = mlpfast.MLP([3, 4, 2], random_state=0, backend="numpy")
    with pytest.raises(ValueError, match="monitor='val_loss' needs validation_data"):
        net.fit(X, Y, optimizer=SGD(ReduceOnPlateau(0.1, monitor="val_loss")))


@pytest.mark.parametrize(
    "schedule",
    [StepDecay(0.1, 0.5, 1), ExponentialDecay(0.1, 0.8), CosineDecay(0.1, 3)],
    ids=repr,
)
def test_a_schedule_is_the_same_as_setting_the_rate_by_hand(backend, schedule):
    a, b = (
        mlpfast.MLP([3, 4, 2], random_state=0, dtype="float64", backend=backend) for _ in range(2)
    )
    a.fit(X, Y, epochs=4, batch_size=6, optimizer=SGD(schedule, momentum=0.9))
    for epoch in range(4):
        b.fit(X, Y, batch_size=6, optimizer=SGD(schedule(epoch), momentum=0.9))
    np.testing.assert_allclose(a.params, b.params, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: StepDecay(-1.0), ValueError, "initial must be in"),
        (lambda: StepDecay("1"), TypeError, "initial must be a number, got '1'"),
        (lambda: StepDecay(1.0, -0.5), ValueError, "factor must be in"),
        (lambda: StepDecay(1.0, 0.5, 0), ValueError, "every must be at least 1, got 0"),
        (lambda: ExponentialDecay(math.nan), ValueError, "initial must be in .*got nan"),
        (lambda: ExponentialDecay(1.0, -1.0), ValueError, "rate must be in"),
        (lambda: CosineDecay(1.0, 0), ValueError, "epochs must be at least 1, got 0"),
        (lambda: CosineDecay(1.0, 2.0), TypeError, "epochs must be an integer, got 2.0"),
        (lambda: CosineDecay(1.0, 2, final=-1), ValueError, "final must be in"),
        (lambda: ReduceOnPlateau(1.0, factor=1.0), ValueError, "factor must be in"),
        (lambda: ReduceOnPlateau(1.0, factor=0.0), ValueError, "factor must be in"),
        (lambda: ReduceOnPlateau(1.0, patience=-1), ValueError, "patience must be at least 0"),
        (lambda: ReduceOnPlateau(1.0, min_delta=-1), ValueError, "min_delta must be in"),
        (lambda: ReduceOnPlateau(1.0, minimum=-1), ValueError, "minimum must be in"),
    ],
)
def test_bad_arguments(make, error, words):
    with pytest.raises(error, match=words):
        make()
