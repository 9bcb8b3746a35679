"""Initial weights: random by a named rule, or the user's own."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from mlpfast.arrays import as_array, as_finite
from mlpfast.backends.base import Array
from mlpfast.spec import NetSpec, check_choice

__all__ = [
    "RULES",
    "RandomState",
    "Rule",
    "assign",
    "initialize",
    "random_source",
]

RandomState: TypeAlias = np.random.Generator | np.random.RandomState
Rule: TypeAlias = Callable[[RandomState, int, int, str], tuple[Array, Array]]


def _glorot_uniform(rng: RandomState, n_in: int, n_out: int, _: str) -> tuple[Array, Array]:
    """Glorot and Bengio, 2010: uniform within sqrt(6 / (n_in + n_out)); biases 0."""
    bound = math.sqrt(6.0 / (n_in + n_out))
    return rng.uniform(-bound, bound, (n_in, n_out)), np.zeros(n_out)


def _he_normal(rng: RandomState, n_in: int, n_out: int, _: str) -> tuple[Array, Array]:
    """He et al., 2015: normal with variance 2 / n_in; biases 0."""
    return rng.normal(0.0, math.sqrt(2.0 / n_in), (n_in, n_out)), np.zeros(n_out)


def _lecun_normal(rng: RandomState, n_in: int, n_out: int, _: str) -> tuple[Array, Array]:
    """LeCun et al., 1998: normal with variance 1 / n_in; biases 0."""
    return rng.normal(0.0, math.sqrt(1.0 / n_in), (n_in, n_out)), np.zeros(n_out)


def _sklearn(rng: RandomState, n_in: int, n_out: int, hidden: str) -> tuple[Array, Array]:
    """scikit-learn's rule: Glorot's, a smaller one for sigmoid nets, for weights and biases."""
    factor = 2.0 if hidden == "sigmoid" else 6.0
    bound = math.sqrt(factor / (n_in + n_out))
    return rng.uniform(-bound, bound, (n_in, n_out)), rng.uniform(-bound, bound, n_out)


RULES: dict[str, Rule] = {
    "glorot_uniform": _glorot_uniform,
    "he_normal": _he_normal,
    "lecun_normal": _lecun_normal,
    "sklearn": _sklearn,
}


def random_source(random_state: Any, init: Any) -> RandomState:
    """Return the generator a seed stands for; the "sklearn" rule draws from a RandomState."""
    if isinstance(random_state, np.random.Generator | np.random.RandomState):
        return random_state
    if random_state is not None and (
        isinstance(random_state, bool) or not isinstance(random_state, int | np.integer)
    ):
        raise TypeError(
            "random_state must be None, an integer, a numpy Generator or a RandomState, got "
            f"{type(random_state).__name__}"
        )
    if random_state is not None and random_state < 0:
        raise ValueError(f"random_state must not be negative, got {random_state}")
    if isinstance(init, str) and init == "sklearn":
        return np.random.RandomState(random_state)
    return np.random.default_rng(random_state)


def initialize(spec: NetSpec, params: Array, init: Any, rng: RandomState) -> None:
    """Fill the flat `params` by the rule named `init` or from ``(weights, biases)``."""
    if not isinstance(init, str):
        try:
            weights, biases = init
        except (TypeError, ValueError):
            raise TypeError(
                f"init must be one of {', '.join(map(repr, RULES))} or (weights, biases)"
            ) from None
        assign(spec, params, weights, biases)
        return
    rule = RULES[check_choice("init", init, tuple(RULES))]
    hidden = spec.activations[0] if spec.n_layers > 1 else "identity"
    for w, b in spec.unflatten(params):
        new_w, new_b = rule(rng, w.shape[0], w.shape[1], hidden)
        w[...] = new_w
        if b is not None:
            b[...] = new_b


def assign(
    spec: NetSpec, params: Array, weights: Sequence[Any] | None, biases: Sequence[Any] | None
) -> None:
    """Copy lists of weights and biases (None: leave them) into `params`, all or nothing."""
    targets = spec.unflatten(params)
    copies: list[tuple[Array, Array]] = []
    for name, given, column in (("weights", weights, 0), ("biases", biases, 1)):
        if given is None:
            continue
        if column == 1 and not spec.bias:
            if len(given):
                raise ValueError("biases must be None or empty for a net with bias=False")
            continue
        if len(given) != spec.n_layers:
            raise ValueError(f"{name} must hold {spec.n_layers} arrays, got {len(given)}")
        for i, (value, target) in enumerate(zip(given, targets, strict=True)):
            array = as_array(f"{name}[{i}]", value)
            view = target[column]
            assert view is not None
            if array.shape != view.shape:
                raise ValueError(f"{name}[{i}] must have shape {view.shape}, got {array.shape}")
            copies.append((view, as_finite(f"{name}[{i}]", array, spec.dtype)))
    for view, array in copies:
        view[...] = array
