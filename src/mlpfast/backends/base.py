"""The protocol that every backend fulfils, and the plain records that cross it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy.typing as npt

from mlpfast.spec import NetSpec, Optimizer

Array: TypeAlias = npt.NDArray[Any]

#: Columns of the totals that a pass over data returns, each a sum over rows, weighted by the
#: sample weights: the loss, the weights themselves, right answers, and the squared and absolute
#: errors (these two averaged over a row's outputs); and the l2 term of each batch, where
#: `Trainer.run` is asked for it. For the reduction "mean_over_rows" only the loss is weighted, and
#: the weights are counted as ones.
TOTALS = ("loss", "weight", "correct", "squared_error", "absolute_error", "penalty")


@dataclass(frozen=True)
class Data:
    """Rows to learn from or to judge by, already checked.

    Attributes
    ----------
    x : (n, n_in) float32, float64 or uint8
        Each row contiguous; the rows may be any distance apart. Need not be of the net's dtype: it
        is converted a batch at a time and multiplied by `input_scale`.
    y : (n, n_out) of the net's dtype, or (n,) int64
        Targets, or class labels that stand for one-hot rows; C-contiguous.
    sample_weight : (n,) of the net's dtype, or None
    input_scale : float
    """

    x: Array
    y: Array
    sample_weight: Array | None = None
    input_scale: float = 1.0

    def __len__(self) -> int:
        return len(self.x)


class Report(NamedTuple):
    """What a run of epochs did.

    Attributes
    ----------
    totals : (epochs, 6) float64
        A row for each epoch that was finished, plus one for an epoch that was interrupted after
        at least one batch; columns as in `TOTALS`.
    status : str
        ``"ok"``; ``"interrupted"``: stopped at a batch, whose weights are kept; ``"diverged"``:
        the loss or a weight of epoch ``len(totals)`` is not finite; ``"bad_input"``: row `row` of
        x is not finite. After the last two the parameters are those before the call's failing
        epoch.
    row : int
        The offending row, else -1.
    """

    totals: Array
    status: str = "ok"
    row: int = -1


class Epochs(NamedTuple):
    """The epochs of a run.

    Attributes
    ----------
    learning_rates : (epochs,) or (epochs, steps) float64
        One for each epoch, or for each update.
    orders : (epochs, n) int64, optional
        Row order of each epoch; None for the natural one.
    dropout_keys : (epochs,) uint64, optional
        For a net with dropout, what is dropped; see ``backends/dropout.py``.
    """

    learning_rates: Array
    orders: Array | None = None
    dropout_keys: Array | None = None


class RunOptions(NamedTuple):
    """What a run of epochs is asked for.

    Attributes
    ----------
    batch_size : int
    l2 : tuple of float
        A factor for each layer.
    stop : (1,) uint8
        Anybody may set it to 1 to end the run at the next batch.
    want_metrics : bool
        Whether the totals have more than the loss and the weights.
    want_penalty : bool
        Whether the totals have the l2 term of each batch, times its weight unless the reduction is
        a sum; else their penalty is 0.
    l2_per_row : bool
        Whether the l2 term is added to the sum over a batch's rows that a mean then divides by
        their weights: it is smaller the larger the batch is. Each batch then counts in the totals
        by the number of its rows, as if the weights of each batch were scaled to a mean of 1.
    check_finite : bool
        If not, a run goes on whatever becomes of the loss and the parameters, and never reports
        ``"diverged"``.
    """

    batch_size: int
    l2: tuple[float, ...]
    stop: Array
    want_metrics: bool = False
    want_penalty: bool = False
    l2_per_row: bool = False
    check_finite: bool = True


@dataclass(frozen=True)
class PlanChoice:
    """How a backend trains a net on batches of so many rows, and why; print it to read it.

    Attributes
    ----------
    plan : str
        Of the C++ backend "tiny", "narrow", "sliced" or "wide"; else "numba" or "numpy", whose code
        it is that runs.
    why : str
        The reason, in a few words.
    team : int
        Threads worth waking for a step, of those that may be used.
    rows, last_rows : int
        Of a batch, and of the last one of an epoch, which runs in the same plan.
    block_rows : int
        Most rows that go through the net together.
    parts : int
        What the threads share, where its number is fixed: groups of rows ("narrow") or slices of
        the hidden layer ("sliced"); else 1.
    backend, isa : str
        The engine, and its instruction set where there is a choice, else "".
    """

    plan: str
    why: str
    team: int
    rows: int
    last_rows: int
    block_rows: int
    parts: int
    backend: str
    isa: str = ""

    def __str__(self) -> str:
        batch = f"{self.rows:,} {_rows(self.rows)}"
        if self.last_rows != self.rows:
            batch += f", the last of an epoch {self.last_rows:,}"
        block = f"{self.block_rows:,} {_rows(self.block_rows)} together"
        if self.plan in _PARTS and self.parts > 1:
            block += f", {self.parts} {_PARTS[self.plan]}"
        facts = {
            "plan": f"{self.plan}: {self.why}",
            "batch": batch,
            "block": block,
            "team": "1 thread" if self.team == 1 else f"up to {self.team} threads",
            "backend": self.backend + (f" ({self.isa})" if self.isa else ""),
        }
        return "\n".join(f"{name:<8} {fact}" for name, fact in facts.items())


_PARTS = {"narrow": "groups of rows", "sliced": "slices of the hidden layer"}


def _rows(count: int) -> str:
    return "row" if count == 1 else "rows"


class PlanRequest(NamedTuple):
    """What training a plan is asked for.

    Attributes
    ----------
    n_rows, batch_size : int
        Rows of the data and of a batch.
    shuffled : bool
        Whether each epoch has its own order of the rows.
    clips : bool
        Whether the gradient is clipped.
    """

    n_rows: int
    batch_size: int
    shuffled: bool = True
    clips: bool = False

    @property
    def rows(self) -> int:
        """Rows of a batch."""
        return min(self.batch_size, self.n_rows)

    @property
    def last_rows(self) -> int:
        """Rows of the last batch of an epoch."""
        return (self.n_rows - 1) % self.batch_size + 1


class Trainer(Protocol):
    """Optimizer state tied to one net's flat parameter buffer."""

    @property
    def checks_input(self) -> bool:
        """Whether the next `run` reports non-finite rows of x before anything is lost by them.

        If not, the caller looks beforehand.
        """

    @property
    def saves_each_epoch(self) -> bool:
        """Whether a run of several epochs of a large net needs no copy of its state.

        If not, the caller asks for one epoch at a time.
        """

    @property
    def steps(self) -> int:
        """Updates made since the state was last empty."""

    def run(self, data: Data, epochs: Epochs, options: RunOptions) -> Report:
        """Train some epochs and update the parameters in place."""

    def state(self) -> dict[str, Any]:
        """Return a copy of the state, with the moments as they are used.

        It is ``{"steps": int, "m": (n_params,), "v": (n_params,)}``.
        """

    def load_state(self, state: dict[str, Any]) -> None:
        """Take over what `state` returned."""


#: ``fast_predict(x, out)`` returns the predictions, or NotImplemented for arguments that it does
#: not take at once; then the long way decides what is wrong with them, if anything.
FastPredict: TypeAlias = Callable[[Any, Any], Any]


def no_fast_predict(_x: Any, _out: Any) -> Any:
    """Take no shortcut."""
    return NotImplemented


#: ``fast_gradient(x, y, sample_weight, out)`` returns the loss and the gradient of the net on a few
#: rows, or NotImplemented, likewise.
FastGradient: TypeAlias = Callable[[Any, Any, Any, Any], Any]


def no_fast_gradient(_x: Any, _y: Any, _sample_weight: Any, _out: Any) -> Any:
    """Take no shortcut."""
    return NotImplemented


#: ``gradient(grad)`` writes the gradient (n_params,) of the reduced loss to grad and returns the
#: loss, for the parameters as they are at that time.
Gradient: TypeAlias = Callable[[Array], float]


class Backend(Protocol):
    """One engine: the same arithmetic, to rounding, as ``backends/numpy.py``.

    Dropout is for its trainers alone.
    """

    name: str

    def describe(self) -> dict[str, Any]:
        """Facts for `show_config`: isa, version of the engine, ..."""

    def dense_forward(
        self, x: Array, w: Array, b: Array | None, activation: str, out: Array
    ) -> None:
        """Write ``activation(x @ w + b)`` to out (n, n_out)."""

    def dense_backward(
        self, x: Array, w: Array, kept: Array, grad_a: Array, activation: str, need_dx: bool
    ) -> tuple[Array | None, Array, Array]:
        """Return (dx or None, dw, db); `kept` is the output (z if `FROM_PREACTIVATION`)."""

    def forward(
        self, spec: NetSpec, params: Array, x: Array, input_scale: float, out: Array
    ) -> None:
        """Write the net's output for x (n, n_in) to out (n, n_out)."""

    def fast_predict(self, spec: NetSpec, params: Array) -> FastPredict:
        """Return a shortcut past the checks for a few rows that are just as they should be."""

    def fast_gradient(self, spec: NetSpec, params: Array) -> FastGradient:
        """Return such a shortcut for `loss_and_grad`; only asked for if the net is trainable."""

    def loss_and_grad(self, spec: NetSpec, params: Array, data: Data, grad: Array) -> float:
        """Write the gradient (n_params,) of the reduced loss to grad and return the loss."""

    def gradient_of(self, spec: NetSpec, params: Array, data: Data) -> Gradient:
        """Return `loss_and_grad` made ready for many calls, between which `params` may change.

        The data must stay as they are, and the threads are those in force now. It is for one
        thread at a time: a second one may get a RuntimeError.
        """

    def evaluate(self, spec: NetSpec, params: Array, data: Data) -> Array:
        """Return the (6,) float64 `TOTALS` of the net on data."""

    def plan_for(self, spec: NetSpec, request: PlanRequest) -> PlanChoice:
        """Return how a trainer would train the net, by the very choice that it makes."""

    def trainer(self, spec: NetSpec, params: Array, optimizer: Optimizer) -> Trainer:
        """Make a trainer with empty state that updates `params` in place."""
