"""The jobs that are measured: which net, which data, which optimizer, and what is timed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise


@dataclass(frozen=True)
class Workload:
    """One job that every contestant does.

    A *unit* is what a contestant repeats: an epoch over shuffled mini-batches, a full-batch step
    or one call of predict, as `timed` says. The reported time is that of `per` units.

    Attributes
    ----------
    name, title : str
        Name on the command line and one line for people. ``group`` is the part of the name before
        a colon; it selects all jobs of that group.
    sizes : tuple of int
        Units of every layer, inputs first.
    activation, output_activation, loss, reduction : str
        In mlpfast's terms.
    optimizer : str
        "sgd" (plain) or "adam" (beta 0.9 and 0.999, epsilon 1e-8).
    rows, batch : int
        Rows of the data, and rows an update or a predict call takes in.
    timed : str
        "epoch", "step" or "predict".
    data : str
        "mnist", "classes", "regression" or "xor"; see `benchmarks.data`.
    unit : str
        Unit the time is printed in: "s", "ms" or "us".
    max_units : int
        Most units in one timed run; a contestant does fewer if they would take too long.
    check_units, check_rows : int
        The shortened job on which a contestant must be right before it is timed.
    """

    name: str
    title: str
    sizes: tuple[int, ...]
    activation: str
    output_activation: str
    rows: int
    batch: int
    timed: str
    data: str
    loss: str = "mse"
    reduction: str = "mean"
    optimizer: str = "sgd"
    learning_rate: float = 0.01
    dtype: str = "float32"
    unit: str = "us"
    per: int = 1
    max_units: int = 1
    check_units: int = 1
    check_rows: int = 0

    @property
    def group(self) -> str:
        return self.name.split(":")[0]

    @property
    def activations(self) -> tuple[str, ...]:
        """One a layer, the output layer's last."""
        return (self.activation,) * (len(self.sizes) - 2) + (self.output_activation,)

    @property
    def itemsize(self) -> int:
        return {"float32": 4, "float64": 8}[self.dtype]

    @property
    def trains(self) -> bool:
        return self.timed != "predict"

    @property
    def n_weights(self) -> int:
        """Entries of all weight matrices."""
        return sum(i * o for i, o in pairwise(self.sizes))

    @property
    def n_params(self) -> int:
        return self.n_weights + sum(self.sizes[1:])

    @property
    def steps(self) -> int:
        """Updates in a unit (for predict: calls, which is 1)."""
        return -(-self.rows // self.batch)

    def shortened(self) -> Workload:
        """Return the small version on which results are compared."""
        rows = self.check_rows or self.rows
        return replace(self, rows=rows, batch=min(self.batch, rows))


def _epoch(name: str, title: str, **fields: object) -> Workload:
    # Five and a half batches: the last, smaller batch is checked too.
    batch = int(fields["batch"])  # type: ignore[call-overload]
    fields = {"max_units": 20, "check_rows": 5 * batch + batch // 2, **fields}
    return Workload(name=name, title=title, timed="epoch", **fields)  # type: ignore[arg-type]


_MNIST = {
    "sizes": (784, 512, 10),
    "rows": 60_000,
    "batch": 128,
    "data": "mnist",
    "unit": "ms",
    "max_units": 1,
}
_XOR = {
    "activation": "sigmoid",
    "output_activation": "sigmoid",
    "rows": 4,
    "batch": 4,
    "timed": "step",
    "data": "xor",
    "loss": "squared_error",
    "reduction": "sum",
    "learning_rate": 0.2,
    "max_units": 10_000,
    "check_units": 200,
}


def _predict(name: str, sizes: tuple[int, ...], rows: int = 1) -> Workload:
    what = "one row" if rows == 1 else f"{rows:,} rows"
    return Workload(
        name=f"{name}:{'-'.join(map(str, sizes))}",
        title=f"predict {what} with out=, {'-'.join(map(str, sizes))}, relu",
        sizes=sizes,
        activation="relu",
        output_activation="sigmoid" if sizes[-1] == 1 else "softmax",
        rows=rows,
        batch=rows,
        timed="predict",
        data="classes",
        loss="binary_crossentropy" if sizes[-1] == 1 else "categorical_crossentropy",
        max_units=100_000,
        check_rows=min(rows, 333),
    )


WORKLOADS: tuple[Workload, ...] = (
    _epoch(
        "M",
        "MNIST epoch, 784-512-10 sigmoid, mse, SGD, batch 128, float32",
        activation="sigmoid",
        output_activation="sigmoid",
        **_MNIST,
    ),
    _epoch(
        "M-Adam",
        "MNIST epoch, 784-512-10 relu/softmax, cross-entropy, Adam, batch 128, float32",
        activation="relu",
        output_activation="softmax",
        loss="categorical_crossentropy",
        optimizer="adam",
        learning_rate=0.001,
        **_MNIST,
    ),
    _epoch(
        "M64",
        "MNIST epoch as M, in float64",
        activation="sigmoid",
        output_activation="sigmoid",
        dtype="float64",
        **_MNIST,
    ),
    Workload(
        name="W",
        title="one step of 1024-1024x4-10 relu, cross-entropy, Adam, batch 512, float32",
        sizes=(1024, 1024, 1024, 1024, 1024, 10),
        activation="relu",
        output_activation="softmax",
        rows=512,
        batch=512,
        timed="step",
        data="classes",
        loss="categorical_crossentropy",
        optimizer="adam",
        learning_rate=1e-4,
        unit="ms",
        max_units=8,
        check_units=3,
    ),
    _epoch(
        "T",
        "epoch of 20,000 rows, 30-128-64-1 relu, cross-entropy, Adam, batch 256, float32",
        sizes=(30, 128, 64, 1),
        activation="relu",
        output_activation="sigmoid",
        rows=20_000,
        batch=256,
        data="classes",
        loss="binary_crossentropy",
        optimizer="adam",
        learning_rate=0.001,
        unit="ms",
    ),
    Workload(
        name="S",
        title="one full-batch step of 4-32-16-4 tanh, 10,000 rows, mse, Adam, float32",
        sizes=(4, 32, 16, 4),
        activation="tanh",
        output_activation="identity",
        rows=10_000,
        batch=10_000,
        timed="step",
        data="regression",
        optimizer="adam",
        learning_rate=0.001,
        max_units=1000,
        check_units=10,
    ),
    Workload(
        name="X:float32",
        title="one step of XOR inside fit, 2-6-1 sigmoid, 4 rows, SGD, float32",
        sizes=(2, 6, 1),
        **_XOR,  # type: ignore[arg-type]
    ),
    Workload(
        name="X:float64",
        title="one step of XOR inside fit, 2-6-1 sigmoid, 4 rows, SGD, float64",
        sizes=(2, 6, 1),
        dtype="float64",
        **_XOR,  # type: ignore[arg-type]
    ),
    Workload(
        name="E6",
        title="10,000 full-batch steps of XOR, 2-5-1 sigmoid, SGD 0.2, float64",
        sizes=(2, 5, 1),
        dtype="float64",
        unit="ms",
        per=10_000,
        **_XOR,  # type: ignore[arg-type]
    ),
    _predict("P1", (4, 16, 3)),
    _predict("P1", (30, 100, 5)),
    _predict("P2", (784, 512, 10)),
    _predict("P2", (64, 256, 256, 256, 10)),
    _predict("PB", (784, 512, 10), rows=10_000),
    _predict("PB", (30, 128, 64, 1), rows=10_000),
)


def select(names: list[str], others: tuple[str, ...] = ()) -> list[Workload]:
    """Return the named jobs, or those of the named groups.

    Raises
    ------
    ValueError
        If a name is neither a job nor a group; the message names these and `others`.
    """
    chosen: list[Workload] = []
    for name in names:
        found = [w for w in WORKLOADS if name in (w.name, w.group)]
        if not found:
            known = ", ".join([*dict.fromkeys(w.group for w in WORKLOADS), *others])
            raise ValueError(f"workload must be one of {known}; got {name!r}")
        chosen += [w for w in found if w not in chosen]
    return chosen
