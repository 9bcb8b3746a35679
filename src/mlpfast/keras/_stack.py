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
from mlpfast.keras.layers import (
    CLASSES,
    Dense,
    Dropout,
    InputLayer,
    Layer,
    assign,
    check_shape,
)
from mlpfast.model import MLP
from mlpfast.spec import NetSpec


class Stack:
    """Base of `Sequential`."""

    def __init__(
        self, layers: Iterable[Layer | Stack] | None = None, name: str | None = None
    ) -> None:
        self.name = name or unique_name("sequential")
        self.optimizer: optimizers.Optimizer | None = None
        self.loss: losses.Loss | None = None
        self._layers: list[Layer] = []
        self._chain: Chain | None = None
        self._net: MLP | None = None
        #: Whether the net is made for the loss; if not, it is before it is used with one.
        self._for_loss = False
        #: The net as it answers, which for a loss from logits is another than the one that learns.
        self._answering: MLP | None = None
        #: A model whose layers come first, and whose parameters are this one's.
        self._inner: Stack | None = None
        self._assemble(layers or ())

    def _assemble(
        self,
        layers: Iterable[Layer | Stack],
        build_input_shape: Sequence[int | None] | None = None,
        most_params: int | None = None,
    ) -> None:
        """Take all layers of a new model, and build it if its inputs are known.

        With more than `most_params` parameters it is not built: they are in no file.
        """
        if not isinstance(layers, Iterable):
            raise TypeError(f"layers must be a list of layers, got {layers!r}")
        for layer in layers:
            self._append(layer)
        if build_input_shape is None:
            self._rebuild(most_params)
        else:
            self._build(_sample_shape(build_input_shape), most_params)
        self._own()

    def __setstate__(self, state: dict[str, Any]) -> None:
        # In a copy no two arrays share their memory: make the layers' views of the net's again.
        self.__dict__.update(state)
        self._answering = None
        if self._inner is not None and self._chain is not None:
            self._share(self._inner, self._chain.input_shape)
        elif self._net is not None and self._chain is not None:
            _hold(self._chain, self._net)

    # ------------------------------------------------------------------ layers

    def add(self, layer: Layer | Stack) -> None:
        """Put a layer behind the others.

        A model can be the first part of another, which then has its layers and shares its weights.
        """
        before = {**vars(self), "_layers": list(self._layers)}
        self._append(layer)
        try:
            self._rebuild()
        except BaseException:
            vars(self).update(before)
            raise
        self._own()

    def _append(self, layer: Layer | Stack) -> None:
        """Take a layer without building anything."""
        if isinstance(layer, Stack):
            self._append_model(layer)
            return
        if not isinstance(layer, Layer):
            hint = ": call the class" if isinstance(layer, type) else ""
            refuse(f"layer {layer!r}", f"a model holds objects of mlpfast.keras.layers{hint}")
        if type(layer) not in CLASSES.values():
            refuse(f"layer {layer.name!r} ({type(layer).__name__}), of a class of one's own,")
        if isinstance(layer, InputLayer) and self._layers:
            raise ValueError(f"{layer.name!r} says what comes in, and must be the first layer")
        if layer in self._layers:
            refuse(f"layer {layer.name!r} twice in a model", "each layer has weights of its own")
        if any(layer.name == other.name for other in self._layers):
            raise ValueError(f"the model has a layer called {layer.name!r} already")
        owner = getattr(layer, "_model", None)
        if owner is not None and owner is not self and isinstance(layer, Dense):
            refuse(f"layer {layer.name!r} in two models", "each has weights of its own")
        given = self._layers[0].input_shape_given if self._layers else None
        if given is not None and layer.input_shape_given is not None:
            layer.input_shape_given = None  # a later layer is told what comes in
        self._layers.append(layer)

    def _append_model(self, model: Stack) -> None:
        if self.layers or model is self or not model.layers:
            refuse(
                f"model {model.name!r} in its place in model {self.name!r}",
                "a model within a model comes first, and has layers",
            )
        self._inner = model
        self._layers += model.layers if self._layers else model._layers

    def _own(self) -> None:
        for layer in self._layers:
            if self._inner is None or layer not in self._inner._layers:
                layer._model = self  # type: ignore[attr-defined]

    def pop(self) -> Layer:
        """Take the last layer away and return it."""
        if not self.layers:
            raise TypeError("there are no layers in the model")
        if self._inner is not None and self._layers[-1] in self._inner._layers:
            refuse(f"pop of a layer of model {self._inner.name!r}", "it belongs to that model")
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
        shape = self._given_shape() if input_shape is None else _sample_shape(input_shape)
        if shape is None:
            raise ValueError("build needs an input_shape, such as (None, 784)")
        self._build(shape)

    def _given_shape(self) -> tuple[int, ...] | None:
        """Return the shape of a sample as far as it is known."""
        if self._layers and self._layers[0].input_shape_given is not None:
            return self._layers[0].input_shape_given
        known = self._chain
        if known is None and self._inner is not None:
            known = self._inner._chain
        return None if known is None else known.input_shape

    def _rebuild(self, most_params: int | None = None) -> None:
        """Build anew after a change of the layers, if the inputs are known."""
        shape = self._given_shape()
        self._chain = self._net = self._answering = None
        # What ends in a Dropout is not at its end yet.
        finished = bool(self._layers) and not isinstance(self._layers[-1], Dropout)
        if shape is not None and finished and any(isinstance(d, Dense) for d in self._layers):
            self._build(shape, most_params)

    def _build(self, shape: tuple[int, ...], most_params: int | None = None) -> None:
        """Translate the layers and make the net, with the weights that there are."""
        if self._inner is not None:
            self._share(self._inner, shape)
            return
        chain = translate(self._layers, shape)
        if most_params is not None and chain.n_params > most_params:
            raise ValueError(
                f"its layers have {chain.n_params:,} parameters, more than the file can hold"
            )
        arrays = [
            layer.arrays_for(n_in) for layer, n_in in zip(chain.dense, chain.sizes, strict=False)
        ]
        spec = self._spec(chain, None)
        params = np.concatenate([np.ravel(array) for pair in arrays for array in pair])
        net = MLP.from_spec(spec, params.astype(np.float32), random_state=generator())
        _hold(chain, net)
        self._chain = chain
        self._take(net)

    def _share(self, inner: Stack, shape: tuple[int, ...]) -> None:
        """Make the net on the parameters of the model that comes first."""
        if not inner.built:
            inner._build(shape)
        net, known = inner._built()
        if shape != known.input_shape:
            raise ValueError(
                f"model {inner.name!r} takes samples of shape {known.input_shape}, got {shape}"
            )
        chain = translate(self._layers, shape)
        if chain.dense != known.dense:
            refuse(
                f"layer {chain.dense[-1].name!r} behind model {inner.name!r}",
                "only layers without weights can follow a model within a model",
            )
        twin = net.view(self._spec(chain, None))
        self._chain = chain
        self._take(twin)

    def _take(self, net: MLP) -> None:
        """Go on with another net."""
        self._net, self._answering, self._for_loss = net, None, False
        if self.optimizer is not None:
            self.optimizer._steps = self._count_steps

    def _make_for_loss(self) -> None:
        """Make the net, if there is one, fit the loss; the weights stay where they are."""
        if self._net is not None and self._chain is not None:
            self._take(self._net.view(self._spec(self._chain, self.loss)))
            self._for_loss = True

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
        if self._inner is not None and self._net is not None:
            net, _ = self._inner._built()
            if net.params is not self._net.params:  # it was built anew
                self._rebuild()
        if self._net is None:
            shape = self._given_shape()
            if shape is None and x is not None:
                size = np.shape(x)
                shape = tuple(int(n) for n in size[1:]) if len(size) > 1 else (1,)
            if shape is not None:
                self._build(shape)  # or say what is wrong with the layers
        if self._net is None or self._chain is None:
            raise ValueError(
                "the model has no weights yet: its inputs are not known. Begin with "
                "Input(shape=...), or call build((None, n_in))"
            )
        return self._net, self._chain

    def _learning(self, x: Any = None) -> tuple[MLP, Chain]:
        """Return the net with the loss, built for the shape of x if need be."""
        self._built(x)
        if not self._for_loss:
            self._make_for_loss()
        return self._built()

    def _answering_net(self) -> MLP:
        """Return the net with the activations that the layers have."""
        net, chain = self._built()
        if net.spec.activations == chain.activations:
            return net
        if self._answering is None:
            self._answering = net.view(self._spec(chain, None))
        return self._answering

    # ------------------------------------------------------------------ weights

    @property
    def weights(self) -> list[Array]:
        """Views: the kernel of each Dense, then its bias."""
        return [w for layer in self.layers for w in layer.weights]

    variables = trainable_weights = trainable_variables = weights

    @property
    def non_trainable_weights(self) -> list[Array]:
        """None: every layer learns."""
        return []

    non_trainable_variables = non_trainable_weights

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
        trainer = None if self._net is None else self._net.trainer
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
        text = summary(self.name, self.layers, self.optimizer_params(), line_length)
        if print_fn is None:
            print(text)
        else:
            print_fn(text + "\n")


def _hold(chain: Chain, net: MLP) -> None:
    """Give each Dense the views of its part of the net's parameters."""
    for layer, pair in zip(chain.dense, net.spec.unflatten(net.params), strict=True):
        layer.hold([array for array in pair if array is not None])


def _sample_shape(shape: Sequence[int | None]) -> tuple[int, ...]:
    """Return the shape of a sample, given that of many."""
    return check_shape("input_shape", tuple(shape)[1:])
