"""The layers of a chain: Dense, and what can be folded into its neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np

from mlpfast.backends.base import Array
from mlpfast.keras import activations, initializers, regularizers
from mlpfast.keras._names import snake_case, unique_name
from mlpfast.keras._unsupported import check_none, lookup, refuse
from mlpfast.spec import check_int, check_real

__all__ = [
    "ELU",
    "Activation",
    "Dense",
    "Dropout",
    "Flatten",
    "Input",
    "InputLayer",
    "Layer",
    "ReLU",
    "Rescaling",
    "Softmax",
]


def check_shape(name: str, value: Any) -> tuple[int, ...]:
    """Return the shape of a sample, without the axis of the samples."""
    shape = (value,) if isinstance(value, int | np.integer) else value
    if not isinstance(shape, Sequence | np.ndarray) or isinstance(shape, str) or not len(shape):
        raise TypeError(f"{name} must be a tuple of integers, got {value!r}")
    return tuple(check_int(f"{name}[{i}]", size, 1) for i, size in enumerate(shape))


class Layer:
    """Base of the layers; not to be derived from.

    Parameters
    ----------
    name : str, optional
    input_shape, input_dim, batch_input_shape : optional
        Older ways to say what comes in, for the first layer of a model.
    """

    def __init__(self, **options: Any) -> None:
        kind = type(self).__name__
        name = options.pop("name", None)
        self.name = str(name) if name is not None else unique_name(snake_case(kind))
        self.input_shape_given: tuple[int, ...] | None = None
        shape, dim = options.pop("input_shape", None), options.pop("input_dim", None)
        batch = options.pop("batch_input_shape", None)
        if batch is not None:
            shape = tuple(batch)[1:]
        if dim is not None:
            shape = (dim,)
        if shape is not None:
            self.input_shape_given = check_shape("input_shape", shape)
        dtype = options.pop("dtype", None)
        if dtype not in (None, "float32"):
            refuse(f"{kind} {self.name!r}: dtype={dtype!r}", "the nets of this face are of float32")
        if options.pop("trainable", True) is not True:
            refuse(f"{kind} {self.name!r}: trainable=False", "every layer learns")
        for name, value in options.items():
            if name not in ("activity_regularizer", "autocast"):
                raise TypeError(f"{kind} got an unknown argument {name!r}")
            if name != "autocast":
                check_none(f"{kind} {self.name!r}", **{name: value})
        #: What comes in and goes out of a sample, once the model knows.
        self.shapes: tuple[tuple[int, ...], tuple[int, ...]] | None = None

    @property
    def trainable(self) -> bool:
        """True; another value cannot be set."""
        return True

    @trainable.setter
    def trainable(self, value: bool) -> None:
        if not value:
            refuse(f"{type(self).__name__} {self.name!r}: trainable=False", "every layer learns")

    @property
    def built(self) -> bool:
        """Whether the layer belongs to a model that knows its inputs."""
        return self.shapes is not None

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        """Shape of the outputs, None being the number of samples."""
        if self.shapes is None:
            raise AttributeError(f"layer {self.name!r} has no output_shape before it is built")
        return (None, *self.shapes[1])

    def shape_after(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of a sample behind this layer."""
        return shape

    def __call__(self, *inputs: Any, **options: Any) -> NoReturn:
        """Raise an error: there are no functional models."""
        refuse(
            f"layer {self.name!r} ({type(self).__name__}) called like a function",
            "put it into a Sequential, which is called instead",
        )

    @property
    def weights(self) -> list[Array]:
        """The layer's arrays, views into the model's parameters."""
        return []

    def count_params(self) -> int:
        """Return the number of parameters."""
        return sum(w.size for w in self.weights)

    def get_weights(self) -> list[Array]:
        """Return copies of the layer's arrays."""
        return [w.copy() for w in self.weights]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Set the layer's arrays, all or none."""
        assign(f"layer {self.name!r}", self.weights, weights)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make it again."""
        return {"name": self.name, "trainable": True, "dtype": "float32"}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}>"


def assign(where: str, views: Sequence[Array], weights: Sequence[Any]) -> None:
    """Copy `weights` into `views`, all or none."""
    if not isinstance(weights, Sequence | np.ndarray) or len(weights) != len(views):
        count = len(weights) if hasattr(weights, "__len__") else weights
        raise ValueError(f"{where} has {len(views)} arrays of weights, got {count}")
    arrays = []
    for i, (view, value) in enumerate(zip(views, weights, strict=True)):
        array = np.asarray(value, np.float32)
        if array.shape != view.shape:
            raise ValueError(
                f"weights[{i}] of {where} must have shape {view.shape}, got {array.shape}"
            )
        if not np.isfinite(array).all():
            raise ValueError(f"weights[{i}] of {where} must be finite")
        arrays.append(array)
    for view, array in zip(views, arrays, strict=True):
        view[...] = array


class InputLayer(Layer):
    """Says what comes in. Use `Input`."""

    def __init__(
        self,
        shape: Any = None,
        batch_size: int | None = None,
        dtype: Any = None,
        sparse: Any = None,
        batch_shape: Any = None,
        name: str | None = None,
        **options: Any,
    ) -> None:
        check_none("Input", sparse=sparse, ragged=options.pop("ragged", None))
        options.pop("optional", None)
        if batch_shape is None:
            batch_shape = options.pop("batch_input_shape", None)
        if batch_shape is not None:
            shape = tuple(batch_shape)[1:]
        if shape is None:
            shape = options.pop("input_shape", None)
        if shape is None:
            raise TypeError("Input needs a shape, such as Input(shape=(784,))")
        super().__init__(name=name or unique_name("input_layer"), input_shape=shape, **options)

    def get_config(self) -> dict[str, Any]:
        assert self.input_shape_given is not None
        shape = [None, *self.input_shape_given]
        return {"batch_shape": shape, "dtype": "float32", "sparse": False, "name": self.name}


def Input(shape: Any = None, **options: Any) -> InputLayer:  # noqa: N802 (Keras' name)
    """Return what says the shape of a sample, to be first in a `Sequential`."""
    return InputLayer(shape, **options)


class Dense(Layer):
    """``activation(x @ kernel + bias)``.

    Parameters
    ----------
    units : int
    activation : str, optional
        A name of `mlpfast.keras.activations`; None is linear.
    use_bias : bool, default True
        The same for all layers of a model.
    kernel_initializer, bias_initializer : default "glorot_uniform" and "zeros"
    kernel_regularizer : optional
        ``regularizers.L2(0.01)``, for each layer its own.
    """

    def __init__(
        self,
        units: int,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **options: Any,
    ) -> None:
        others = {
            name: options.pop(name, None)
            for name in ("lora_rank", "lora_alpha", "quantization_config")
        }
        super().__init__(**options)
        check_none(
            f"Dense {self.name!r}",
            bias_regularizer=bias_regularizer,
            activity_regularizer=activity_regularizer,
            kernel_constraint=kernel_constraint,
            bias_constraint=bias_constraint,
            **others,
        )
        self.units = check_int("units", units, 1)
        self.activation = activations.get(activation)
        self.use_bias = bool(use_bias)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self._arrays: list[Array] = []

    def shape_after(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        if len(shape) != 1:
            refuse(
                f"Dense {self.name!r} on samples of shape {shape}",
                "put a Flatten before it (Keras would go over the last axis alone)",
            )
        return (self.units,)

    @property
    def kernel(self) -> Array:
        """Weights (inputs, units)."""
        return self._built_arrays()[0]

    @property
    def bias(self) -> Array | None:
        """Biases (units,), or None."""
        return self._built_arrays()[1] if self.use_bias else None

    @property
    def weights(self) -> list[Array]:
        return list(self._arrays)

    def _built_arrays(self) -> list[Array]:
        if not self._arrays:
            raise ValueError(f"layer {self.name!r} has no weights yet: its input is not known")
        return self._arrays

    def arrays_for(self, n_in: int) -> list[Array]:
        """Return the weights that there are if they fit, else fresh ones."""
        if not self._arrays or self._arrays[0].shape != (n_in, self.units):
            new = [self.kernel_initializer((n_in, self.units))]
            return new + [self.bias_initializer((self.units,))] * self.use_bias
        return self._arrays

    def hold(self, arrays: list[Array]) -> None:
        """Take over the views into the model's parameters."""
        self._arrays = arrays

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "activation": self.activation.__name__,
            "use_bias": self.use_bias,
            "kernel_initializer": _serialized(self.kernel_initializer, "keras.initializers"),
            "bias_initializer": _serialized(self.bias_initializer, "keras.initializers"),
            "kernel_regularizer": _serialized(self.kernel_regularizer, "keras.regularizers"),
            "bias_regularizer": None,
            "kernel_constraint": None,
            "bias_constraint": None,
        }


def _serialized(thing: Any, module: str) -> dict[str, Any] | None:
    if thing is None:
        return None
    if isinstance(thing, initializers.Initializer) and (
        type(thing) not in initializers.CLASSES.values()
    ):  # of one's own, which nobody could find again; the weights themselves are kept
        thing = initializers.GlorotUniform()
    return {
        "module": module,
        "class_name": type(thing).__name__,
        "config": thing.get_config(),
        "registered_name": None,
    }


class Activation(Layer):
    """The activation of the Dense before it, if that is linear."""

    def __init__(self, activation: Any, **options: Any) -> None:
        super().__init__(**options)
        self.activation = activations.get(activation)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "activation": self.activation.__name__}


class ReLU(Activation):
    """``Activation("relu")``."""

    def __init__(
        self,
        max_value: float | None = None,
        negative_slope: float = 0.0,
        threshold: float = 0.0,
        **options: Any,
    ) -> None:
        if max_value is not None or negative_slope or threshold:
            refuse("ReLU with max_value, negative_slope or threshold")
        super().__init__("relu", **options)

    def get_config(self) -> dict[str, Any]:
        return Layer.get_config(self)


class ELU(Activation):
    """``Activation("elu")``."""

    def __init__(self, alpha: float = 1.0, **options: Any) -> None:
        if alpha != 1.0:
            refuse(f"ELU(alpha={alpha})", "it must be 1")
        super().__init__("elu", **options)

    def get_config(self) -> dict[str, Any]:
        return {**Layer.get_config(self), "alpha": 1.0}


class Softmax(Activation):
    """``Activation("softmax")``."""

    def __init__(self, axis: int = -1, **options: Any) -> None:
        if axis != -1:
            refuse(f"Softmax(axis={axis})", "it goes over the last axis")
        super().__init__("softmax", **options)

    def get_config(self) -> dict[str, Any]:
        return {**Layer.get_config(self), "axis": -1}


class Dropout(Layer):
    """In `fit`, sets a share of the inputs to 0 and divides the others by one minus it.

    The seed is not looked at: see `mlpfast.keras.utils.set_random_seed`.
    """

    def __init__(
        self, rate: float, noise_shape: Any = None, seed: int | None = None, **options: Any
    ) -> None:
        super().__init__(**options)
        check_none(f"Dropout {self.name!r}", noise_shape=noise_shape)
        self.rate = check_real("rate", rate, low=0.0, high=1.0, open_high=True)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate, "seed": None, "noise_shape": None}


class Flatten(Layer):
    """Makes one long row of each sample."""

    def __init__(self, data_format: str | None = None, **options: Any) -> None:
        super().__init__(**options)
        if data_format not in (None, "channels_last"):
            refuse(f"Flatten(data_format={data_format!r})")

    def shape_after(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return (int(np.prod(shape)),)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "data_format": "channels_last"}


class Rescaling(Layer):
    """``x * scale + offset`` of the inputs; before the first Dense."""

    def __init__(self, scale: float, offset: float = 0.0, **options: Any) -> None:
        super().__init__(**options)
        self.scale, self.offset = check_real("scale", scale), check_real("offset", offset)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "scale": self.scale, "offset": self.offset}


CLASSES: dict[str, type[Layer]] = {
    kind.__name__: kind
    for kind in (InputLayer, Dense, Activation, ReLU, ELU, Softmax, Dropout, Flatten, Rescaling)
}


def __getattr__(name: str) -> Any:
    return lookup(__name__, name, "layer")
