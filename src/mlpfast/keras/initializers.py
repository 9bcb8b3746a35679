"""Initial weights by Keras' rules; the numbers come from NumPy's generator."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from mlpfast.arrays import as_array, check_finite
from mlpfast.backends.base import Array
from mlpfast.keras._names import snake_case
from mlpfast.keras._random import generator
from mlpfast.keras._unsupported import lookup, refuse
from mlpfast.spec import check_choice, check_real

__all__ = [
    "Constant",
    "FromFunction",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "Identity",
    "Initializer",
    "LecunNormal",
    "LecunUniform",
    "Ones",
    "Orthogonal",
    "RandomNormal",
    "RandomUniform",
    "TruncatedNormal",
    "VarianceScaling",
    "Zeros",
    "constant",
    "get",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "identity",
    "lecun_normal",
    "lecun_uniform",
    "ones",
    "orthogonal",
    "random_normal",
    "random_uniform",
    "truncated_normal",
    "variance_scaling",
    "zeros",
]

# Standard deviation of a standard normal that is cut off at 2.
_TRUNCATED_DEVIATION = 0.87962566103423978


class Initializer:
    """Base of the rules; call one with a shape to get an array."""

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> Array:
        """Return an array of this shape, float32 whatever `dtype` says."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make it again."""
        return {k: v for k, v in vars(self).items() if not k.startswith("_")}


class Constant(Initializer):
    """One value everywhere, or an array of values."""

    def __init__(self, value: Any = 0.0) -> None:
        self._array = as_array("value", value)
        check_finite("value", np.atleast_1d(self._array))

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> Array:
        if self._array.ndim and self._array.shape != tuple(shape):
            raise ValueError(f"value must have shape {tuple(shape)}, got {self._array.shape}")
        return np.full(shape, self._array, np.float32)

    def get_config(self) -> dict[str, Any]:
        return {"value": self._array.tolist()}


class Zeros(Constant):
    """Zeros."""

    def __init__(self) -> None:
        super().__init__(0.0)

    def get_config(self) -> dict[str, Any]:
        return {}


class Ones(Constant):
    """Ones."""

    def __init__(self) -> None:
        super().__init__(1.0)

    def get_config(self) -> dict[str, Any]:
        return {}


class RandomNormal(Initializer):
    """A normal distribution."""

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None) -> None:
        self.mean, self.stddev = check_real("mean", mean), check_real("stddev", stddev, low=0.0)
        self.seed = seed

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> Array:
        return generator(self.seed).normal(self.mean, self.stddev, shape).astype(np.float32)


class TruncatedNormal(RandomNormal):
    """A normal distribution without what is more than two deviations from its mean."""

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> Array:
        rng = generator(self.seed)
        values = rng.standard_normal(shape)
        while (far := np.abs(values) > 2).any():
            values[far] = rng.standard_normal(int(far.sum()))
        return (self.mean + self.stddev * values).astype(np.float32)


class RandomUniform(Initializer):
    """A uniform distribution."""

    def __init__(
        self, minval: float = -0.05, maxval: float = 0.05, seed: int | None = None
    ) -> None:
        self.minval, self.maxval = check_real("minval", minval), check_real("maxval", maxval)
        self.seed = seed

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> Array:
        return generator(self.seed).uniform(self.minval, self.maxval, shape).astype(np.float32)


class Identity(Initializer):
    """`gain` on the diagonal, 0 elsewhere."""

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = check_real("gain", gain)

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> Array:
        _check_matrix(self, shape)
        return np.float32(self.gain) * np.eye(*shape, dtype=np.float32)


class Orthogonal(Initializer):
    """Orthonormal columns, or rows if those are fewer, times `gain` (Saxe et al., 2014)."""

    def __init__(self, gain: float = 1.0, seed: int | None = None) -> None:
        self.gain, self.seed = check_real("gain", gain), seed

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> Array:
        _check_matrix(self, shape)
        normal = generator(self.seed).standard_normal((max(shape), min(shape)))
        q, r = np.linalg.qr(normal)
        q *= np.sign(np.diag(r))  # without it the distribution is not uniform
        return (self.gain * (q if shape[0] >= shape[1] else q.T)).astype(np.float32)


def _check_matrix(rule: Initializer, shape: tuple[int, ...]) -> None:
    if len(shape) != 2:
        raise ValueError(f"{type(rule).__name__} makes matrices, no array of shape {shape}")


class FromFunction(Initializer):
    """What a function of one's own makes of a shape; `get` wraps it."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> Array:
        try:
            inspect.signature(self._function).bind(shape, dtype="float32")
        except (TypeError, ValueError):  # ValueError: nobody knows
            made = self._function(shape)
        else:
            made = self._function(shape, dtype="float32")
        array = as_array("what the initializer returned", made)
        if array.shape != tuple(shape):
            raise ValueError(
                f"an initializer of one's own must return shape {tuple(shape)}, got {array.shape}"
            )
        return array.astype(np.float32)


class VarianceScaling(Initializer):
    """A variance of `scale` over the number of inputs, of outputs, or the mean of both.

    Parameters
    ----------
    scale : float > 0
    mode : {"fan_in", "fan_out", "fan_avg"}
    distribution : {"truncated_normal", "normal", "untruncated_normal", "uniform"}
        The first two are the same.
    seed : int, optional
    """

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: int | None = None,
    ) -> None:
        self.scale = check_real("scale", scale, low=0.0, open_low=True)
        self.mode = check_choice("mode", mode, ("fan_in", "fan_out", "fan_avg"))
        if distribution == "normal":
            distribution = "truncated_normal"
        self.distribution = check_choice(
            "distribution", distribution, ("truncated_normal", "untruncated_normal", "uniform")
        )
        self.seed = seed

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> Array:
        n_in, n_out = (shape[0], shape[-1])
        fan = {"fan_in": n_in, "fan_out": n_out, "fan_avg": (n_in + n_out) / 2}[self.mode]
        variance = self.scale / max(1.0, fan)
        if self.distribution == "uniform":
            limit = math.sqrt(3 * variance)
            return RandomUniform(-limit, limit, self.seed)(shape)
        deviation = math.sqrt(variance)
        if self.distribution == "untruncated_normal":
            return RandomNormal(0.0, deviation, self.seed)(shape)
        return TruncatedNormal(0.0, deviation / _TRUNCATED_DEVIATION, self.seed)(shape)


class _Scaled(VarianceScaling):
    """Base of the named rules, which have a seed alone."""

    _rule: tuple[float, str, str]

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(*self._rule, seed)

    def get_config(self) -> dict[str, Any]:
        return {"seed": self.seed}


class GlorotUniform(_Scaled):
    """Uniform of variance 2 / (n_in + n_out) (Glorot and Bengio, 2010)."""

    _rule = (1.0, "fan_avg", "uniform")


class GlorotNormal(_Scaled):
    """Normal, truncated, of variance 2 / (n_in + n_out)."""

    _rule = (1.0, "fan_avg", "truncated_normal")


class HeUniform(_Scaled):
    """Uniform of variance 2 / n_in (He et al., 2015)."""

    _rule = (2.0, "fan_in", "uniform")


class HeNormal(_Scaled):
    """Normal, truncated, of variance 2 / n_in."""

    _rule = (2.0, "fan_in", "truncated_normal")


class LecunUniform(_Scaled):
    """Uniform of variance 1 / n_in (LeCun et al., 1998)."""

    _rule = (1.0, "fan_in", "uniform")


class LecunNormal(_Scaled):
    """Normal, truncated, of variance 1 / n_in."""

    _rule = (1.0, "fan_in", "truncated_normal")


CLASSES: dict[str, type[Initializer]] = {
    kind.__name__: kind
    for kind in (
        *(Constant, Zeros, Ones, RandomNormal, TruncatedNormal, RandomUniform, VarianceScaling),
        *(Identity, Orthogonal),
        *(GlorotUniform, GlorotNormal, HeUniform, HeNormal, LecunUniform, LecunNormal),
    )
}

zeros, ones, constant, variance_scaling = Zeros, Ones, Constant, VarianceScaling
identity, orthogonal = Identity, Orthogonal
random_normal, random_uniform, truncated_normal = RandomNormal, RandomUniform, TruncatedNormal
glorot_uniform, glorot_normal = GlorotUniform, GlorotNormal
he_uniform, he_normal, lecun_uniform, lecun_normal = HeUniform, HeNormal, LecunUniform, LecunNormal

_BY_NAME: dict[str, type[Initializer]] = {
    **CLASSES,
    **{snake_case(name): kind for name, kind in CLASSES.items()},
    "normal": RandomNormal,  # of older versions
    "uniform": RandomUniform,
    "zero": Zeros,
    "one": Ones,
}


def get(identifier: Any) -> Initializer:
    """Return the initializer that a name, a class, an instance or a function stands for."""
    if isinstance(identifier, Initializer):
        return identifier
    if isinstance(identifier, type) and issubclass(identifier, Initializer):
        return identifier()
    if callable(identifier):
        return FromFunction(identifier)
    if not isinstance(identifier, str) or identifier not in _BY_NAME:
        refuse(f"initializer {identifier!r}", f"there are {', '.join(CLASSES)}")
    return _BY_NAME[identifier]()


def __getattr__(name: str) -> Any:
    return lookup(__name__, name, "initializer", CLASSES)
