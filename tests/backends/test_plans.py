"""Which plan a backend makes for a net and a batch, and that training takes the plan it names."""

from itertools import groupby

import numpy as np
import pytest

import mlpfast
from mlpfast import backends
from mlpfast.backends.base import Data
from runs import run

# sizes, rows of a batch, the plan for every instruction set and dtype.
TABLE = [
    ([2, 5, 1], 4, "tiny"),
    ([2, 5, 1], 8, "tiny"),
    ([2, 5, 1], 9, "narrow"),
    ([4, 19, 3], 8, "tiny"),
    ([5, 32, 3], 1, "wide"),
    ([300, 1], 64, "narrow"),
    ([4, 32, 16, 4], 32, "narrow"),
    ([4, 32, 16, 4], 333, "narrow"),
    ([4, 32, 16, 4], 10_000, "narrow"),
    ([5, 20, 12, 1], 9973, "narrow"),
    ([30, 128, 64, 1], 16, None),
    ([30, 128, 64, 1], 256, "narrow"),
    ([30, 128, 64, 1], 257, "narrow"),
    ([64, 64, 64, 64], 200, "narrow"),
    ([20, 100, 2], 200, "sliced"),
    ([20, 100, 2], 256, "sliced"),
    ([20, 100, 2], 257, "narrow"),
    ([64, 100, 10], 200, "sliced"),
    ([784, 512, 10], 128, "wide"),
    ([90, 400, 7], 1500, "wide"),
]


def make(sizes, backend, dtype="float32", **kwargs):
    return mlpfast.MLP(sizes, "tanh", "identity", "mse", dtype=dtype, backend=backend, **kwargs)


@pytest.mark.parametrize(("sizes", "rows", "plan"), TABLE)
def test_table(sizes, rows, plan, compiled, dtype):
    choice = mlpfast.explain_plan(make(sizes, compiled, dtype), rows)
    assert choice.plan in ("tiny", "narrow", "sliced", "wide")
    if plan:
        assert choice.plan == plan
    assert choice.why
    assert choice.backend == "cpp"
    assert choice.isa == backends.load(compiled).describe()["isa"]
    assert 1 <= choice.team <= mlpfast.get_num_threads()


@pytest.mark.parametrize(
    "sizes",
    [
        *([2, 5, 1], [3, 7, 1], [4, 19, 3], [300, 1], [4, 32, 16, 4], [10, 10, 10, 10]),
        *([30, 128, 64, 1], [64, 64, 64, 64], [100, 100, 100, 10], [784, 32, 10]),
        *([20, 100, 2], [64, 100, 10], [16, 48, 10], [784, 512, 10]),
    ],
)
def test_no_remainder_of_rows_changes_the_plan(sizes, compiled, dtype):
    """As the rows grow, each limit is passed once."""
    net = make(sizes, compiled, dtype)
    plans = [mlpfast.explain_plan(net, rows).plan for rows in range(1, 1100)]
    order = iter(["tiny", "wide", "narrow", "sliced", "narrow"])
    assert all(plan in order for plan, _ in groupby(plans)), [
        (plan, len(list(rows))) for plan, rows in groupby(plans)
    ]
    assert len(set(plans[400:])) == 1


@pytest.mark.parametrize(("sizes", "rows", "plan"), TABLE)
def test_neither_threads_nor_the_last_batch_change_it(
    sizes, rows, plan, compiled, dtype, restore_threads
):
    net = make(sizes, compiled, dtype)
    plans = set()
    for count in (1, 2, 8):
        mlpfast.set_num_threads(count)
        for n in (rows, rows + 1, 3 * rows - 1):
            plans.add(mlpfast.explain_plan(net, rows, n).plan)
    assert len(plans) == 1


@pytest.mark.parametrize(
    ("kwargs", "optimizer", "rows", "plan"),
    [
        ({}, mlpfast.SGD(0.1), 1, "tiny"),
        ({}, mlpfast.SGD(0.1, clip_norm=1.0), 1, "wide"),
        ({"dropout": 0.5}, mlpfast.SGD(0.1), 1, "wide"),
        ({"dropout": 0.5}, mlpfast.SGD(0.1), 200, "narrow"),
    ],
)
def test_what_else_decides(kwargs, optimizer, rows, plan, compiled):
    net = make([3, 16, 5], compiled, "float64", **kwargs)
    assert mlpfast.explain_plan(net, rows, optimizer=optimizer).plan == plan


@pytest.mark.parametrize("clips", [False, True])
@pytest.mark.parametrize(("sizes", "rows", "_"), TABLE)
def test_training_takes_the_plan(sizes, rows, _, clips, compiled):
    net = make(sizes, compiled)
    optimizer = mlpfast.Adam(0.001, clip_norm=1.0 if clips else None)
    rng = np.random.default_rng(0)
    for n, orders in ((rows, None), (rows + 3, rng.permutation(rows + 3)[None])):
        x = rng.standard_normal((n, sizes[0])).astype("float32")
        y = rng.standard_normal((n, sizes[-1])).astype("float32")
        trainer = net.engine.trainer(net.spec, net.params, optimizer)
        assert trainer.plan is None
        run(trainer, Data(x, y), [0.001], rows, [0.0] * net.spec.n_layers, orders=orders)
        choice = mlpfast.explain_plan(net, rows, n, optimizer=optimizer)
        assert trainer.plan == {name: getattr(choice, name) for name in trainer.plan}


def test_other_backends_name_their_one_plan(backend):
    if "cpp" in backend:
        pytest.skip("has several")
    choice = mlpfast.explain_plan(make([3, 5, 2], backend), 32, 100)
    assert choice.plan == choice.backend == backend
    assert choice.isa == ""
    assert (choice.rows, choice.last_rows) == (32, 4)


def test_prints_itself(restore_threads):
    mlpfast.set_num_threads(1)
    text = str(mlpfast.explain_plan(make([30, 128, 64, 1], "numpy"), 256, 1000)).splitlines()
    assert [line.split()[0] for line in text] == ["plan", "batch", "block", "team", "backend"]
    assert "256 rows, the last of an epoch 232" in text[1]
    assert text[3].endswith("1 thread")
    assert "1 row together" in str(mlpfast.explain_plan(make([3, 2], "numpy"), 1))


@pytest.mark.parametrize(
    ("arguments", "kwargs", "message"),
    [
        ((0,), {}, "batch_size must be at least 1"),
        ((32, 0), {}, "n_rows must be at least 1"),
        ((32, 1.5), {}, "n_rows must be an integer"),
        ((), {"optimizer": "adagrad"}, "optimizer must be one of"),
        ((), {"shuffle": 1}, "shuffle must be True or False"),
    ],
)
def test_wrong_arguments(arguments, kwargs, message):
    with pytest.raises((TypeError, ValueError), match=message):
        mlpfast.explain_plan(make([3, 2], "numpy"), *arguments, **kwargs)


def test_nets_that_cannot_be_explained():
    with pytest.raises(TypeError, match=r"net must be a mlpfast\.MLP"):
        mlpfast.explain_plan([3, 2])
    with pytest.raises(ValueError, match="no gradient"):
        mlpfast.explain_plan(mlpfast.MLP([3, 2, 1], "step"))
