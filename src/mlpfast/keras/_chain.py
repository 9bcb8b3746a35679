"""From a list of layers to the parts of a `NetSpec`; the one place where layers are translated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from mlpfast.keras._unsupported import refuse
from mlpfast.keras.activations import NAMES
from mlpfast.keras.layers import (
    Activation,
    Dense,
    Dropout,
    Flatten,
    InputLayer,
    Layer,
    Rescaling,
)


@dataclass(frozen=True)
class Chain:
    """What a list of layers amounts to.

    Attributes
    ----------
    input_shape : tuple of int
        Of a sample.
    scale, offset : float
        What is done to the inputs first: ``x * scale + offset``.
    dense : tuple of Dense
    sizes : tuple of int
        Inputs of the first Dense, then the units of all.
    activations : tuple of str
        mlpfast's names, one a Dense.
    dropout : tuple of float
        Shares of each Dense's inputs that are dropped in training.
    l2 : tuple of float
        mlpfast's factor of each Dense, twice Keras'.
    bias : bool
    """

    input_shape: tuple[int, ...]
    scale: float
    offset: float
    dense: tuple[Dense, ...]
    sizes: tuple[int, ...]
    activations: tuple[str, ...]
    dropout: tuple[float, ...]
    l2: tuple[float, ...]
    bias: bool

    @property
    def n_params(self) -> int:
        """Number of weights and biases."""
        return sum((a + self.bias) * b for a, b in pairwise(self.sizes))


def translate(layers: Sequence[Layer], input_shape: tuple[int, ...]) -> Chain:
    """Return what `layers` amount to, and tell each its shapes.

    Raises
    ------
    UnsupportedError
        If they are not a chain of dense layers; names the layer that is in the way.
    """
    shape, shapes = input_shape, []
    scale, offset = 1.0, 0.0
    dense: list[Dense] = []
    functions: list[str] = []
    dropped = [0.0]  # of what goes into the next Dense
    sizes: list[int] = []
    for layer in layers:
        after = layer.shape_after(shape)
        if isinstance(layer, Dense):
            sizes += [*shape, *after] if not dense else after
            dense.append(layer)
            functions.append(NAMES[layer.activation.__name__])
            dropped.append(0.0)
        elif isinstance(layer, Activation):
            _set_activation(layer, functions, dropped)
        elif isinstance(layer, Dropout):
            dropped[-1] = _dropout(layer, dropped[-1])
        elif isinstance(layer, Rescaling):
            if dense or (dropped[0] and layer.offset):
                _misplaced(layer, "it belongs before the first Dense and Dropout")
            scale, offset = scale * layer.scale, offset * layer.scale + layer.offset
        elif not isinstance(layer, Flatten | InputLayer):
            refuse(f"layer {layer.name!r} ({type(layer).__name__})")
        shapes.append((shape, after))
        shape = after
    if not dense:
        refuse("a model without a Dense layer")
    if dropped[-1]:
        last = next(layer for layer in reversed(layers) if isinstance(layer, Dropout))
        _misplaced(last, "nothing but Dense layers can follow, and none does")
    _check_biases(dense)
    for layer, pair in zip(layers, shapes, strict=True):
        layer.shapes = pair
    return Chain(
        input_shape,
        scale,
        offset,
        tuple(dense),
        tuple(sizes),
        tuple(functions),
        tuple(dropped[:-1]),
        tuple(2 * d.kernel_regularizer.l2 if d.kernel_regularizer else 0.0 for d in dense),
        dense[0].use_bias,
    )


def _misplaced(layer: Layer, why: str) -> None:
    refuse(f"layer {layer.name!r} ({type(layer).__name__}) in its place", why)


def _set_activation(layer: Activation, functions: list[str], dropped: list[float]) -> None:
    """Make the activation that of the Dense before it."""
    name = NAMES[layer.activation.__name__]
    if name == "identity":
        return
    if not functions or functions[-1] != "identity":
        _misplaced(layer, "it must follow a Dense without an activation of its own")
    if dropped[-1]:
        _misplaced(layer, "it must stand before the Dropout")
    functions[-1] = name


def _dropout(layer: Dropout, before: float) -> float:
    """Return the share that goes into the next Dense as 0."""
    if before and layer.rate:
        _misplaced(layer, "it follows another Dropout")
    return before or layer.rate


def _check_biases(dense: Sequence[Dense]) -> None:
    for layer in dense:
        if layer.use_bias != dense[0].use_bias:
            refuse(
                f"Dense {layer.name!r}: use_bias={layer.use_bias} beside "
                f"{dense[0].name!r}: use_bias={dense[0].use_bias}",
                "the layers of a net have biases all or none",
            )
