"""A stack of layers with its weights: the part of `Sequential` that knows of no data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from mlpfast.backends.base import Array
from mlpfast.keras import losses, optimizers
from mlpfast.keras._chain import Chain, translate
from mlpfast.keras._names import unique_name
from mlpfast.keras._random import generator
from mlpfast.keras._summary import summary
from mlpfast.keras._unsupported import check_none, refuse
from mlpfast.keras.layers import Dense, Dropout, InputLayer, Layer, assign, check_shape
from mlpfast.model import MLP
from mlpfast.spec import NetSpec


class Stack:
    """Base of `Sequential`."""

    def __init__(self, layers: Iterable[Layer] | None = None, name: str | None = None) -> None:
        self.name = name or unique_name("sequential")
        self.optimizer: optimizers.Optimizer | None = None
        self.loss: losses.Loss | None = None
        self._layers: list[Layer] = []
        self._chain: Chain | None = None
        self._net: MLP | None = None
        for layer in layers or ():
            self.add(layer)

    # ------------------------------------------------------------------ layers

    def add(self, layer: Layer) -> None:
        """Put a layer behind the others."""
        if not isinstance(layer, Layer):
            refuse(f"layer {layer!r}", "a model holds layers of mlpfast.keras.layers")
        if isinstance(layer, InputLayer) and self._layers:
            raise ValueError(f"{layer.name!r} says what comes in, and must be the first layer")
        if layer in self._layers or any(layer.name == other.name for other in self._layers):
            raise ValueError(f"the model has a layer called {layer.name!r} already")
        owner = getattr(layer, "_model", None)
        if owner is not None and owner is not self and isinstance(layer, Dense):
            refuse(f"layer {layer.name!r} in two models", "each has weights of its own")
        given = self._layers[0].input_shape_given if self._layers else None
        if given is not None and layer.input_shape_given is not None:
            layer.input_shape_given = None  # a later layer is told what comes in
        self._layers.append(layer)
        try:
            self._rebuild()
        except BaseException:
            self._layers.pop()
            self._rebuild()
            raise
        layer._model = self  # type: ignore[attr-defined]

    def pop(self) -> Layer:
        """Take the last layer away and return it."""
        if not self.layers:
            raise TypeError("there are no layers in the model")
        layer = self._layers.pop()
        layer._model, layer.shapes = None, None  # type: ignore[attr-defined]
        self._rebuild()
        return layer

    @property
    def layers(self) -> list[Layer]:
        """The layers but for the `Input`."""
        return [layer for layer in self._layers if not isinstance(layer, InputLayer)]

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """Return the layer of this name or number."""
        if index is not None:
            return self.layers[index]
        for layer in self.layers:
            if layer.name == name:
                return layer
        names = ", ".join(layer.name for layer in self.layers)
        raise ValueError(f"there is no layer called {name!r}; there are {names}")

    def build(self, input_shape: Sequence[int | None] | None = None) -> None:
        """Make the weights; `input_shape` begins with the number of samples, which may be None."""
        shape = self._layers[0].input_shape_given if self._layers else None
        if input_shape is not None:
            shape = check_shape("input_shape", tuple(input_shape)[1:])
        if shape is None:
            raise ValueError("build needs an input_shape, such as (None, 784)")
        self._build(shape)

    def _rebuild(self) -> None:
        """Build anew after a change of the layers, if the inputs are known."""
        shape = self._layers[0].input_shape_given if self._layers else None
        if shape is None and self._chain is not None:
            shape = self._chain.input_shape
        self._chain = self._net = None
        # What ends in a Dropout is not at its end yet.
        finished = bool(self._layers) and not isinstance(self._layers[-1], Dropout)
        if shape is not None and finished and any(isinstance(d, Dense) for d in self._layers):
            self._build(shape)

    def _build(self, shape: tuple[int, ...]) -> None:
        """Translate the layers and make the net, with the weights that there are."""
        chain = translate(self._layers, shape)
        arrays = [
            layer.arrays_for(n_in) for layer, n_in in zip(chain.dense, chain.sizes, strict=False)
        ]
        self._chain = chain
        self._make_net([array for pair in arrays for array in pair])

    def _make_net(self, arrays: Sequence[Array]) -> None:
        """Make the net for the layers and the loss, with these weights."""
        assert self._chain is not None
        spec = self._spec(self._chain, self.loss)
        params = np.concatenate([np.ravel(array) for array in arrays]).astype(np.float32)
        net = MLP.from_spec(spec, params, random_state=generator())
        for layer, pair in zip(self._chain.dense, spec.unflatten(net.params), strict=True):
            layer.hold([array for array in pair if array is not None])
        self._net = net
        if self.optimizer is not None:
            self.optimizer._steps = self._count_steps

    def _spec(self, chain: Chain, loss: losses.Loss | None) -> NetSpec:
        functions = list(chain.activations)
        if loss is not None and loss.output is not None:
            last = chain.dense[-1]
            if loss.from_logits:
                if functions[-1] != "identity":
                    refuse(
                        f"{type(loss).__name__}(from_logits=True) after {last.name!r} with "
                        f"activation {functions[-1]!r}",
                        "logits come from a layer without an activation",
                    )
                functions[-1] = loss.output
            elif functions[-1] != loss.output:
                refuse(
                    f"{type(loss).__name__} after {last.name!r} with activation "
                    f"{last.activation.__name__!r}",
                    f"it needs {loss.output!r}, or from_logits=True and no activation",
                )
        return NetSpec(
            chain.sizes,
            tuple(functions),
            loss.engine_name if loss else "mse",
            "mean_over_rows",
            bias=chain.bias,
            loss_parameter=loss.parameter if loss else None,
            dropout=chain.dropout,
        )

    @property
    def built(self) -> bool:
        """Whether the weights are there."""
        return self._net is not None

    def _built(self, x: Any = None) -> tuple[MLP, Chain]:
        """Return the net, built for the shape of x if need be."""
        if self._net is None and x is not None:
            shape = np.shape(x)
            self._build(tuple(int(n) for n in shape[1:]) if len(shape) > 1 else (1,))
        if self._net is None or self._chain is None:
            raise ValueError(
                "the model has no weights yet: its inputs are not known. Begin with "
                "Input(shape=...), or call build((None, n_in))"
            )
        return self._net, self._chain

    # ------------------------------------------------------------------ weights

    @property
    def weights(self) -> list[Array]:
        """Views: the kernel of each Dense, then its bias."""
        return [w for layer in self.layers for w in layer.weights]

    trainable_weights = weights

    def get_weights(self) -> list[Array]:
        """Return copies of the weights."""
        return [w.copy() for w in self.weights]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Set all weights, in the order of `get_weights`, or none."""
        self._built()
        assign(f"model {self.name!r}", self.weights, weights)

    def count_params(self) -> int:
        """Return the number of parameters."""
        return sum(w.size for w in self.weights)

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """Shape of the inputs, None being the number of samples."""
        return (None, *self._built()[1].input_shape)

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        """Shape of the outputs."""
        return (None, self._built()[1].sizes[-1])

    def optimizer_params(self) -> tuple[int, ...]:
        """Return how many numbers the optimizer keeps: of its own, and beside the parameters."""
        if self.optimizer is None or not self.optimizer.iterations:
            return (0, 0)
        rule: Any = self.optimizer.rule()
        copies = {"sgd": 0, "rmsprop": 1}.get(rule.name, 2)
        copies += bool(getattr(rule, "momentum", 0.0))
        return (2, copies * self.count_params())

    def _count_steps(self) -> int:
        trainer = None if self._net is None else self._net._trainer
        return 0 if trainer is None else trainer.steps

    def summary(
        self,
        line_length: int | None = None,
        positions: Any = None,
        print_fn: Callable[[str], Any] | None = None,
        **options: Any,
    ) -> None:
        """Print the layers, their shapes and parameters, as Keras does.

        Parameters
        ----------
        line_length : int, optional
            By default that of the terminal, 88 at most.
        print_fn : callable, optional
            Takes the text instead of `print`.
        """
        check_none("summary", positions=positions, **options)
        text = summary(self, line_length)
        if print_fn is None:
            print(text)
        else:
            print_fn(text + "\n")
