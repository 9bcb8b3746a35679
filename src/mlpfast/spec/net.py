"""What a net is: a frozen description, checked when it is made.

Everything in `mlpfast.spec` is plain data. A backend receives a `NetSpec` and an optimizer and may
rely on every field being valid, so that no backend checks anything twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from mlpfast.spec.activations import ACTIVATIONS, FORWARD_ONLY
from mlpfast.spec.checks import check_choice, check_int, check_real
from mlpfast.spec.losses import (
    LOSS_RECORDS,
    LOSSES,
    PARAMETRIC_LOSSES,
    REDUCTIONS,
    Loss,
    split_loss,
)


class LayerSlices(NamedTuple):
    """Where one layer lies in the flat parameter buffer."""

    w: slice
    b: slice
    shape: tuple[int, int]


@dataclass(frozen=True)
class NetSpec:
    """A chain of dense layers and the loss that trains it.

    Parameters
    ----------
    sizes : tuple of int
        Units of every layer, inputs first: ``(n_in, hidden..., n_out)``.
    activations : tuple of str
        One a layer, the output layer's last; ``len(sizes) - 1`` names of `ACTIVATIONS`.
    loss, reduction : str
        A name of `LOSSES` and one of `REDUCTIONS`.
    dtype : str
        ``"float32"`` or ``"float64"``.
    bias : bool
        Whether the layers have biases.
    loss_parameter : float, optional
        The delta of "huber", the quantile of "quantile"; None stands for the default of `Huber`
        and `Quantile`. Other losses have none.
    dropout : tuple of float in [0, 1)
        Shares of the inputs of every layer that training drops: of the net's inputs first, then
        of each hidden layer's outputs. Empty for none.
    """

    sizes: tuple[int, ...]
    activations: tuple[str, ...]
    loss: str = "mse"
    reduction: str = "mean"
    dtype: str = "float32"
    bias: bool = True
    loss_parameter: float | None = None
    dropout: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if len(self.sizes) < 2:
            raise ValueError(
                f"layer_sizes must name at least the inputs and the outputs, got {list(self.sizes)}"
            )
        for i, size in enumerate(self.sizes):
            check_int(f"layer_sizes[{i}]", size, 1)
        if len(self.activations) != len(self.sizes) - 1:
            raise ValueError(
                f"activation must be one name or one a hidden layer ({len(self.sizes) - 2}), "
                f"got {len(self.activations) - 1}"
            )
        for name in self.activations[:-1]:
            check_choice("activation", name, ACTIVATIONS)
        check_choice("output_activation", self.activations[-1], ACTIVATIONS)
        check_choice("loss", self.loss, LOSSES)
        self._set_loss_parameter()
        check_choice("reduction", self.reduction, REDUCTIONS)
        check_choice("dtype", self.dtype, ("float32", "float64"))
        if not isinstance(self.bias, bool):
            raise TypeError(f"bias must be True or False, got {self.bias!r}")
        self._set_dropout()
        required = LOSS_RECORDS[self.loss].required_output
        if required and self.activations[-1] != required:
            raise ValueError(
                f"loss={self.loss!r} is computed from the logits of a {required} output: set "
                f"output_activation={required!r} (got {self.activations[-1]!r})"
            )

    def _set_loss_parameter(self) -> None:
        kind, given = PARAMETRIC_LOSSES.get(self.loss), self.loss_parameter
        if kind is not None:
            loss = kind() if given is None else kind(given)
            object.__setattr__(self, "loss_parameter", loss.parameter)  # frozen but for this
        elif given is not None:
            raise ValueError(
                f"loss_parameter is for {' and '.join(PARAMETRIC_LOSSES)}, got {given!r} with "
                f"loss={self.loss!r}"
            )

    def _set_dropout(self) -> None:
        if not isinstance(self.dropout, tuple) or len(self.dropout) not in (0, self.n_layers):
            raise ValueError(
                f"dropout must be empty or a tuple of one rate a layer ({self.n_layers}), got "
                f"{self.dropout!r}"
            )
        rates = tuple(_check_rate("dropout", rate) for rate in self.dropout)
        # One way to say that nothing is dropped.
        object.__setattr__(self, "dropout", rates if any(rates) else ())

    @classmethod
    def create(
        cls,
        layer_sizes: Sequence[int],
        activation: str | Sequence[str] = "relu",
        output_activation: str = "identity",
        loss: Loss = "mse",
        reduction: str = "mean",
        dtype: Any = "float32",
        bias: bool = True,
        dropout: float | Sequence[float] = 0.0,
        input_dropout: float = 0.0,
    ) -> NetSpec:
        """Make a spec from what a user writes.

        Activation and dropout are one for all hidden layers or a list.
        """
        if isinstance(layer_sizes, str) or not isinstance(layer_sizes, Sequence | np.ndarray):
            raise TypeError(
                f"layer_sizes must be a list of integers, got {type(layer_sizes).__name__}"
            )
        sizes = tuple(check_int(f"layer_sizes[{i}]", s, 1) for i, s in enumerate(layer_sizes))
        if isinstance(activation, str):
            hidden = (activation,) * max(len(sizes) - 2, 0)
            if not hidden:  # a single layer has no use for it, but a typo is still a typo
                check_choice("activation", activation, ACTIVATIONS)
        elif isinstance(activation, Sequence):
            hidden = tuple(activation)
        else:
            raise TypeError(
                f"activation must be a name or a list of names, got {type(activation).__name__}"
            )
        try:
            dtype_name = np.dtype(dtype).name
        except TypeError:
            dtype_name = dtype
        name, parameter = split_loss(loss)
        return cls(
            sizes,
            (*hidden, output_activation),
            name,
            reduction,
            dtype_name,
            bias,
            parameter,
            _rates(sizes, dropout, input_dropout),
        )

    @property
    def n_in(self) -> int:
        """Number of inputs."""
        return self.sizes[0]

    @property
    def n_out(self) -> int:
        """Number of outputs."""
        return self.sizes[-1]

    @property
    def n_layers(self) -> int:
        """Number of dense layers (weight matrices)."""
        return len(self.sizes) - 1

    @cached_property
    def n_params(self) -> int:
        """Number of parameters, weights and biases."""
        return sum((i + self.bias) * o for i, o in zip(self.sizes, self.sizes[1:], strict=False))

    @property
    def loss_from_logits(self) -> bool:
        """Whether loss and output activation form a pair that is computed from the logits."""
        return self.activations[-1] == LOSS_RECORDS[self.loss].logits_output

    @property
    def loss_label(self) -> str:
        """The loss as a person reads it, with its parameter."""
        return self.loss if self.loss_parameter is None else f"{self.loss}({self.loss_parameter:g})"

    @cached_property
    def without_dropout(self) -> NetSpec:
        """The net as it predicts."""
        return replace(self, dropout=()) if self.dropout else self

    @cached_property
    def trainable(self) -> bool:
        """Whether every activation has a derivative."""
        return not FORWARD_ONLY.intersection(self.activations)

    def layers(self) -> Iterator[LayerSlices]:
        """Yield where each layer's W (n_in, n_out), row-major, and b lie in the flat buffer."""
        start = 0
        for n_in, n_out in zip(self.sizes, self.sizes[1:], strict=False):
            middle = start + n_in * n_out
            stop = middle + (n_out if self.bias else 0)
            yield LayerSlices(slice(start, middle), slice(middle, stop), (n_in, n_out))
            start = stop

    def unflatten(self, flat: np.ndarray) -> list[tuple[np.ndarray, np.ndarray | None]]:
        """Return ``[(W, b), ...]``, views into a flat (n_params,) array; b is None without bias."""
        return [
            (flat[s.w].reshape(s.shape), flat[s.b] if self.bias else None) for s in self.layers()
        ]


def _check_rate(name: str, value: object) -> float:
    return check_real(name, value, low=0.0, high=1.0, open_high=True)


def _rates(
    sizes: Sequence[int], dropout: float | Sequence[float], input_dropout: float
) -> tuple[float, ...]:
    """Return the rate of each layer's inputs."""
    n_hidden = max(len(sizes) - 2, 0)
    first = _check_rate("input_dropout", input_dropout)
    if isinstance(dropout, Sequence | np.ndarray) and not isinstance(dropout, str):
        if len(dropout) != n_hidden:
            raise ValueError(
                f"dropout must be one rate or one a hidden layer ({n_hidden}), got {len(dropout)}"
            )
        rates = [_check_rate(f"dropout[{i}]", rate) for i, rate in enumerate(dropout)]
    else:
        rates = [_check_rate("dropout", dropout)] * n_hidden
    return (first, *rates) if len(sizes) > 1 else ()
