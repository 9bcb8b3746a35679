"""Gradient checking: backpropagation against central differences, with a report."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from html import escape
from typing import Any

import numpy as np

from mlpfast.arrays import check_data
from mlpfast.backends.base import Array, Data
from mlpfast.inspection.printing import html_table, text_table
from mlpfast.model import MLP, check_net
from mlpfast.spec import check_int, check_real

#: One-sided slopes that differ by more than this, relatively, are those of a kink (relu, mae...):
#: of a smooth loss they differ by about epsilon.
_KINK = 1e-3
#: A central difference with a step epsilon is off by about so many units of rounding / epsilon.
_ROUNDING = 4 * float(np.finfo(np.float64).eps)

_HEADER = (
    *("parameters", "checked", "largest relative error", "at"),
    *("backpropagation", "difference", "kinks", ""),
)


@dataclass(frozen=True)
class ArrayCheck:
    """What the check found in one array of weights or biases.

    Attributes
    ----------
    name : str
        "layer 1 weights", "layer 1 biases" and so on, counted from the inputs.
    checked, size : int
        How many of the array's entries were looked at, and how many there are.
    error : float
        The largest relative error, kinks apart; infinite where one of the two is not a number.
    where : tuple of int
        The entry that has it, as an index into ``net.weights[i]`` or ``net.biases[i]``.
    gradient, difference : float
        By backpropagation and by central differences, of that entry; NaN if all are kinks.
    kinks : int
        Entries at which the loss has a kink within epsilon, as relu makes it where a weighted sum
        is 0. No difference can be compared there; the gradient lies between the slopes on both
        sides, as it should.
    passed : bool
    """

    name: str
    checked: int
    size: int
    error: float
    where: tuple[int, ...]
    gradient: float
    difference: float
    kinks: int
    passed: bool


@dataclass(frozen=True)
class GradientCheck:
    """The report of `check_gradients`; print it, or ask ``report.passed``.

    Attributes
    ----------
    layers : tuple of ArrayCheck
        For every layer its weights, then its biases.
    backend : str
    epsilon, tolerance : float
    """

    layers: tuple[ArrayCheck, ...]
    backend: str
    epsilon: float
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether every entry that was looked at is within the tolerance."""
        return all(layer.passed for layer in self.layers)

    @property
    def error(self) -> float:
        """The largest relative error of all."""
        return max(layer.error for layer in self.layers)

    def __bool__(self) -> bool:
        return self.passed

    def _rows(self) -> list[list[str]]:
        return [
            [
                layer.name,
                _fraction(layer.checked, layer.size),
                *_worst(layer),
                str(layer.kinks or ""),
                "ok" if layer.passed else "WRONG",
            ]
            for layer in self.layers
        ]

    def _opening(self) -> str:
        verdict = "passed" if self.passed else "FAILED"
        return (
            f"gradient check {verdict}: largest relative error {self.error:.1e}, "
            f"allowed {self.tolerance:.0e} (float64, central differences with epsilon "
            f"{self.epsilon:.0e}, backend {self.backend!r})"
        )

    def __str__(self) -> str:
        return "\n".join([self._opening(), *text_table(_HEADER, self._rows())])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"<p>{escape(self._opening())}</p>{html_table(_HEADER, self._rows())}"


def check_gradients(
    net: MLP,
    X: Any,
    Y: Any,
    sample_weight: Any = None,
    *,
    epsilon: float = 1e-6,
    tolerance: float = 1e-5,
    max_entries: int | None = 1000,
    input_scale: float = 1.0,
) -> GradientCheck:
    """Compare backpropagation with central differences of the loss; the net stays as it is.

    For an entry w of the parameters, ``(L(w + epsilon) - L(w - epsilon)) / (2 epsilon)`` is held
    against the gradient g that `MLP.loss_and_grad` returns. The relative error is
    ``abs(g - d) / max(abs(g), abs(d))``, where the denominator is at least what makes the rounding
    of d come out as a tenth of the tolerance.

    All is done in float64, in which alone differences are exact enough, on a copy of the net: same
    layers, backend and loss, the parameters widened if the net is float32. So the check is of the
    formulas and of the backend's double-precision code. Dropout is left out.

    Parameters
    ----------
    net : MLP
    X : (n, n_in) array
        A small number of rows is enough, and fast.
    Y : (n, n_out) array, (n,) if n_out is 1, or (n,) class labels
    sample_weight : (n,) array, optional
    epsilon : float > 0, default 1e-6
    tolerance : float > 0, default 1e-5
        The largest relative error that passes.
    max_entries : int or None, default 1000
        Of a larger array only so many entries are checked, evenly spread; None checks all. Each
        takes two passes over X.
    input_scale : float, default 1
        Factor on X, as in `MLP.fit`.

    Returns
    -------
    GradientCheck
        True in a condition if all is well. Printed, a row for the weights and biases of each layer.

    Raises
    ------
    ValueError, TypeError
        If an argument does not fit the net, or the net has a step activation.

    Examples
    --------
    >>> import mlpfast
    >>> X, Y = mlpfast.datasets.xor()
    >>> net = mlpfast.MLP([2, 3, 1], "tanh", "sigmoid", "binary_crossentropy", random_state=0)
    >>> mlpfast.check_gradients(net, X, Y).passed
    True
    """
    check_net(net)
    net.check_trainable()
    step = check_real("epsilon", epsilon, low=0.0, open_low=True)
    allowed = check_real("tolerance", tolerance, low=0.0, open_low=True)
    if max_entries is not None:
        check_int("max_entries", max_entries, 1)
    spec = replace(net.spec, dtype="float64")
    data = check_data(spec, X, Y, sample_weight, input_scale)
    if data.sample_weight is not None and not data.sample_weight.any():
        raise ValueError("sample_weight must not be all zeros")
    twin = type(net).from_spec(spec, net.params.astype(np.float64), backend=net.requested_backend)

    differences = _Differences(twin, data, step, allowed)
    layers = []
    for i, ((dw, db), (w, b)) in enumerate(
        zip(spec.unflatten(differences.gradient), spec.unflatten(twin.params), strict=True)
    ):
        layers.append(differences.check(f"layer {i + 1} weights", w, dw, max_entries))
        if b is not None and db is not None:
            layers.append(differences.check(f"layer {i + 1} biases", b, db, max_entries))
    return GradientCheck(tuple(layers), net.backend, step, allowed)


class _Differences:
    """Central differences of a float64 net's loss, beside its gradient."""

    def __init__(self, net: MLP, data: Data, step: float, tolerance: float) -> None:
        self.net, self.data, self.step, self.tolerance = net, data, step, tolerance
        self.gradient = np.empty_like(net.params)
        self.scratch = np.empty_like(net.params)
        self.middle = self._loss(self.gradient)
        rounding = _ROUNDING * max(1.0, abs(self.middle)) / step
        self.floor = 10 * rounding / tolerance

    def _loss(self, grad: Array | None = None) -> float:
        data = self.data
        return self.net.loss_and_grad(
            *(data.x, data.y, data.sample_weight),
            input_scale=data.input_scale,
            out=self.scratch if grad is None else grad,
        )[0]

    def check(self, name: str, values: Array, gradient: Array, most: int | None) -> ArrayCheck:
        """Check some entries of `values`, a view into the net's parameters."""
        chosen = np.arange(values.size)
        if most is not None and values.size > most:
            chosen = np.linspace(0, values.size - 1, most).round().astype(np.int64)
        # (error, entry, gradient, difference) of the worst; of an array of kinks alone, of none
        worst, kinks = (-1.0, int(chosen[0]), math.nan, math.nan), 0
        for entry in chosen.tolist():
            where = np.unravel_index(entry, values.shape)
            g = float(gradient[where])
            below, above = self._slopes(values, where)
            d = (below + above) / 2
            error = self._error(g, d)
            if error > self.tolerance and self._is_kink(g, below, above):
                kinks += 1
            elif error > worst[0]:
                worst = (error, entry, g, d)
        error, entry, g, d = worst
        return ArrayCheck(
            name=name,
            checked=len(chosen),
            size=values.size,
            error=max(error, 0.0),
            where=tuple(int(i) for i in np.unravel_index(entry, values.shape)),
            gradient=g,
            difference=d,
            kinks=kinks,
            passed=error <= self.tolerance,
        )

    def _slopes(self, values: Array, where: Any) -> tuple[float, float]:
        """Return the slope of the loss on either side of an entry."""
        kept = values[where]
        losses = []
        for shifted in (kept - self.step, kept + self.step):
            values[where] = shifted
            losses.append(self._loss())
        values[where] = kept
        return (self.middle - losses[0]) / self.step, (losses[1] - self.middle) / self.step

    def _error(self, gradient: float, difference: float) -> float:
        error = abs(gradient - difference) / max(abs(gradient), abs(difference), self.floor)
        return math.inf if math.isnan(error) else error

    def _is_kink(self, gradient: float, below: float, above: float) -> bool:
        low, high = sorted((below, above))
        slack = max(abs(low), abs(high), self.floor)
        between = low - self.tolerance * slack <= gradient <= high + self.tolerance * slack
        return between and high - low > _KINK * slack


def _worst(layer: ArrayCheck) -> list[str]:
    if layer.kinks == layer.checked:
        return ["", "", "", ""]
    where = str(list(layer.where))
    return [f"{layer.error:.1e}", where, f"{layer.gradient:.6g}", f"{layer.difference:.6g}"]


def _fraction(checked: int, size: int) -> str:
    return f"{size:,}" if checked == size else f"{checked:,} of {size:,}"
