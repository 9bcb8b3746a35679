"""The two layer kernels, callable on their own: a dense layer forward and backward."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlpfast import backends
from mlpfast.arrays import as_array, check_out
from mlpfast.backends.base import Array
from mlpfast.spec import ACTIVATIONS, FORWARD_ONLY, check_choice

__all__ = [
    "dense_backward",
    "dense_forward",
]


def dense_forward(
    x: Any,
    w: Any,
    b: Any,
    activation: str = "identity",
    *,
    out: Array | None = None,
    backend: str | None = None,
) -> Array:
    """Return ``activation(x @ w + b)``.

    Parameters
    ----------
    x : (n, n_in) array
    w : (n_in, n_out) array
    b : (n_out,) array or None
        None means no bias.
    activation : str
        One of `mlpfast.spec.ACTIVATIONS`.
    out : (n, n_out) array, optional
        Where to write; of the result's dtype, C-contiguous, and apart from the inputs.
    backend : str, optional
        "cpp", "numba" or "numpy"; by default the fastest there is.

    Returns
    -------
    (n, n_out) array
        float32 if x and w are float32, else float64. It is `out` if that was given.

    Raises
    ------
    ValueError, TypeError
        If a shape, dtype or name does not fit; the message names the argument.
    """
    check_choice("activation", activation, ACTIVATIONS)
    dtype = _dtype(x, w)
    x, w = _matrix("x", x, dtype), _matrix("w", w, dtype)
    if w.shape[0] != x.shape[1]:
        raise ValueError(f"w must have {x.shape[1]} rows to fit x {x.shape}, got {w.shape}")
    shape = (x.shape[0], w.shape[1])
    if b is not None:
        b = np.ascontiguousarray(as_array("b", b), dtype)
        if b.shape != (w.shape[1],):
            raise ValueError(f"b must have shape ({w.shape[1]},), got {b.shape}")
    if out is None:
        out = np.empty(shape, dtype)
    else:
        check_out("out", out, shape, dtype)
        if any(v is not None and np.may_share_memory(out, v) for v in (x, w, b)):
            raise ValueError("out must not share memory with x, w or b")
    backends.resolve(backend).dense_forward(x, w, b, activation, out)
    return out


def dense_backward(
    x: Any,
    w: Any,
    a: Any,
    grad_a: Any,
    activation: str = "identity",
    *,
    need_dx: bool = True,
    backend: str | None = None,
) -> tuple[Array | None, Array, Array]:
    """Return the gradients with respect to the input, weights and bias of a dense layer.

    With delta = dL/dz = grad_a * activation'(z): ``dx = delta @ w.T``, ``dw = x.T @ delta``,
    ``db = delta.sum(axis=0)`` (Rumelhart, Hinton and Williams, 1986).

    Parameters
    ----------
    x : (n, n_in) array
    w : (n_in, n_out) array
    a : (n, n_out) array
        What `dense_forward` returned, from which the derivative is expressed. For "silu" and
        "gelu" that cannot be done: pass the pre-activation ``z = x @ w + b`` instead
        (``dense_forward(x, w, b, "identity")``).
    grad_a : (n, n_out) array
        Gradient of the loss with respect to the output of the layer.
    activation : str
        As in `dense_forward`; "step" has no derivative.
    need_dx : bool
        False leaves out dx, which the first layer has no use for; None is returned for it.
    backend : str, optional

    Returns
    -------
    dx : (n, n_in) array or None
    dw : (n_in, n_out) array
    db : (n_out,) array

    Raises
    ------
    ValueError, TypeError
        If a shape, dtype or name does not fit; the message names the argument.
    """
    check_choice("activation", activation, ACTIVATIONS)
    if activation in FORWARD_ONLY:
        raise ValueError(f"activation {activation!r} has no gradient: it can only run forward")
    dtype = _dtype(x, w)
    x, w = _matrix("x", x, dtype), _matrix("w", w, dtype)
    a, grad_a = _matrix("a", a, dtype), _matrix("grad_a", grad_a, dtype)
    if w.shape[0] != x.shape[1]:
        raise ValueError(f"w must have {x.shape[1]} rows to fit x {x.shape}, got {w.shape}")
    shape = (x.shape[0], w.shape[1])
    for name, value in (("a", a), ("grad_a", grad_a)):
        if value.shape != shape:
            raise ValueError(f"{name} must have shape {shape}, got {value.shape}")
    return backends.resolve(backend).dense_backward(x, w, a, grad_a, activation, bool(need_dx))


def _dtype(x: Any, w: Any) -> np.dtype[Any]:
    both_single = all(getattr(v, "dtype", None) == np.float32 for v in (x, w))
    return np.dtype("float32" if both_single else "float64")


def _matrix(name: str, value: Any, dtype: np.dtype[Any]) -> Array:
    array = np.ascontiguousarray(as_array(name, value), dtype)
    if array.ndim != 2:
        raise ValueError(f"{name} must have two axes, got shape {array.shape}")
    return array if array.flags.aligned else array.copy()
