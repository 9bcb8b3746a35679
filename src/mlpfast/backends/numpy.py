"""The readable specification: every number that mlpfast computes, in plain NumPy.

Shapes: n rows, x (n, n_in), w (n_in, n_out), b (n_out,), z = x @ w + b and a = f(z) (n, n_out).
The other backends must agree with this one to rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from mlpfast.backends import dropout
from mlpfast.backends.base import (
    TOTALS,
    Array,
    Data,
    Epochs,
    FastGradient,
    FastPredict,
    Gradient,
    PlanChoice,
    PlanRequest,
    Report,
    RunOptions,
    no_fast_gradient,
    no_fast_predict,
)
from mlpfast.spec import (
    ELU_ALPHA,
    FROM_PREACTIVATION,
    LEAKY_RELU_SLOPE,
    POISSON_EPSILON,
    SELU_ALPHA,
    SELU_SCALE,
    NetSpec,
    Optimizer,
)

_PENALTY = TOTALS.index("penalty")

# ---------------------------------------------------------------------------- activations

_erfc: Callable[[Array], Array] = np.frompyfunc(math.erfc, 1, 1)


def _sigmoid(z: Array) -> Array:
    e = np.exp(-np.abs(z))  # never overflows
    return np.where(z >= 0, 1, e) / (1 + e)


def _softplus(z: Array) -> Array:
    return np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))


def _softmax(z: Array) -> Array:
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def _normal_cdf(z: Array) -> Array:
    return (0.5 * _erfc(z * -math.sqrt(0.5)).astype(np.float64)).astype(z.dtype)


def _gelu_derivative(z: Array) -> Array:
    density = np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
    return _normal_cdf(z) + z * density


def _silu_derivative(z: Array) -> Array:
    s = _sigmoid(z)
    return s * (1 + z * (1 - s))


def _mish_derivative(z: Array) -> Array:
    t = np.tanh(_softplus(z))
    return t + z * _sigmoid(z) * (1 - t * t)


FORWARD: dict[str, Callable[[Array], Array]] = {
    "identity": lambda z: z,
    "step": lambda z: (z > 0).astype(z.dtype),
    "sigmoid": _sigmoid,
    "tanh": np.tanh,
    "relu": lambda z: np.maximum(z, 0),
    "leaky_relu": lambda z: np.where(z > 0, z, LEAKY_RELU_SLOPE * z),
    "elu": lambda z: np.where(z > 0, z, ELU_ALPHA * np.expm1(np.minimum(z, 0))),
    "selu": lambda z: SELU_SCALE * np.where(z > 0, z, SELU_ALPHA * np.expm1(np.minimum(z, 0))),
    "softplus": _softplus,
    "silu": lambda z: z * _sigmoid(z),
    "gelu": lambda z: z * _normal_cdf(z),
    "mish": lambda z: z * np.tanh(_softplus(z)),
    "exp": np.exp,
    "softmax": _softmax,
}

#: delta = dL/dz from g = dL/da and from what was kept: the output a, or z for silu and gelu.
BACKWARD: dict[str, Callable[[Array, Array], Array]] = {
    "identity": lambda _, g: g,
    "sigmoid": lambda a, g: g * a * (1 - a),
    "tanh": lambda a, g: g * (1 - a * a),
    "relu": lambda a, g: g * (a > 0),
    "leaky_relu": lambda a, g: g * np.where(a > 0, 1, LEAKY_RELU_SLOPE).astype(a.dtype),
    "elu": lambda a, g: g * np.where(a > 0, 1, a + ELU_ALPHA),
    "selu": lambda a, g: g * np.where(a > 0, SELU_SCALE, a + SELU_SCALE * SELU_ALPHA),
    "softplus": lambda a, g: g * -np.expm1(-a),
    "silu": lambda z, g: g * _silu_derivative(z),
    "gelu": lambda z, g: g * _gelu_derivative(z),
    "mish": lambda z, g: g * _mish_derivative(z),
    "exp": lambda a, g: g * a,
    "softmax": lambda a, g: a * (g - (g * a).sum(axis=1, keepdims=True)),
}

# ---------------------------------------------------------------------------- losses
# Each takes outputs o and targets t (n, n_out), and the parameter of a loss that has one, and
# returns the loss of every row (n,) and its gradient (n, n_out) with respect to o.


def _mse(o: Array, t: Array) -> tuple[Array, Array]:
    e = o - t
    return (e * e).mean(axis=1), 2 * e / o.shape[1]


def _squared_error(o: Array, t: Array) -> tuple[Array, Array]:
    e = o - t
    return 0.5 * (e * e).sum(axis=1), e


def _mae(o: Array, t: Array) -> tuple[Array, Array]:
    e = o - t
    return np.abs(e).mean(axis=1), np.sign(e) / o.shape[1]


def _huber(o: Array, t: Array, delta: float) -> tuple[Array, Array]:
    e = o - t
    inside = np.clip(e, -delta, delta)
    # 1/2 e^2 inside, delta |e| - 1/2 delta^2 outside, in one expression
    return (inside * (e - 0.5 * inside)).mean(axis=1), inside / o.shape[1]


def _log_cosh(o: Array, t: Array) -> tuple[Array, Array]:
    e = o - t
    size = np.abs(e)
    u = -np.expm1(-size)  # 1 - exp(-size)
    w = 1 - u
    far = size > 1
    # |e| + log(1 + w^2) - log(2); near 0, where that would cancel, log(1 + u^2 / (2 w))
    start = np.where(far, size - math.log(2), 0)
    value = start + np.log1p(np.where(far, w * w, u * u / (2 * np.where(far, 1, w))))
    return value.mean(axis=1), np.tanh(e) / o.shape[1]


def _quantile(o: Array, t: Array, quantile: float) -> tuple[Array, Array]:
    e = o - t
    above, below = o.dtype.type(1 - quantile), o.dtype.type(-quantile)
    slope = np.where(e > 0, above, np.where(e < 0, below, e))  # 0 at 0, as of the absolute error
    return (slope * e).mean(axis=1), slope / o.shape[1]


def _poisson(o: Array, t: Array) -> tuple[Array, Array]:
    o_safe = o + POISSON_EPSILON
    return (o - t * np.log(o_safe)).mean(axis=1), (1 - t / o_safe) / o.shape[1]


LOSS: dict[str, Callable[..., tuple[Array, Array]]] = {
    "mse": _mse,
    "squared_error": _squared_error,
    "mae": _mae,
    "huber": _huber,
    "log_cosh": _log_cosh,
    "quantile": _quantile,
    "poisson": _poisson,
}

# The same from the logits z, whose gradient is with respect to z: stable where outputs saturate.


def _binary_crossentropy_logits(z: Array, a: Array, t: Array) -> tuple[Array, Array]:
    row = np.maximum(z, 0) - z * t + np.log1p(np.exp(-np.abs(z)))
    return row.mean(axis=1), (a - t) / z.shape[1]


def _categorical_crossentropy_logits(z: Array, a: Array, t: Array) -> tuple[Array, Array]:
    shifted = z - z.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return -(t * log_p).sum(axis=1), a * t.sum(axis=1, keepdims=True) - t


def _poisson_logits(z: Array, a: Array, t: Array) -> tuple[Array, Array]:
    return (a - t * z).mean(axis=1), (a - t) / z.shape[1]


def _binary_log_loss_logits(z: Array, a: Array, t: Array) -> tuple[Array, Array]:
    # From the rounded p as in scikit-learn, though 1 - p has few digits where p is close to 1.
    epsilon = np.finfo(z.dtype).eps
    p = np.clip(1 / (1 + np.exp(-z)), epsilon, 1 - epsilon)
    return -(t * np.log(p) + (1 - t) * np.log(1 - p)).sum(axis=1), a - t


def _log_loss_logits(z: Array, a: Array, t: Array) -> tuple[Array, Array]:
    shifted = z - z.max(axis=1, keepdims=True)
    miss = np.log(np.exp(shifted).sum(axis=1, keepdims=True)) - shifted
    return (t * _clipped_log(miss)).sum(axis=1), a * t.sum(axis=1, keepdims=True) - t


def _clipped_log(miss: Array) -> Array:
    """-log p as if p were clipped to within epsilon of 0 and 1."""
    epsilon = np.finfo(miss.dtype).eps
    return np.clip(miss, epsilon, -np.log(epsilon))


def _poisson_deviance_logits(_: Array, a: Array, t: Array) -> tuple[Array, Array]:
    ratio = t / a
    part = np.where(t == 0, ratio, t * np.log(np.where(t == 0, 1, ratio)))  # 0 / 0 is NaN
    return (part - t + a).sum(axis=1), a - t


LOSS_FROM_LOGITS: dict[str, Callable[[Array, Array, Array], tuple[Array, Array]]] = {
    "binary_crossentropy": _binary_crossentropy_logits,
    "categorical_crossentropy": _categorical_crossentropy_logits,
    "poisson": _poisson_logits,
    "binary_log_loss": _binary_log_loss_logits,
    "log_loss": _log_loss_logits,
    "poisson_deviance": _poisson_deviance_logits,
}

# ---------------------------------------------------------------------------- the net


def dense(x: Array, w: Array, b: Array | None) -> Array:
    """Return z = x @ w + b."""
    return x @ w if b is None else x @ w + b


#: Factors on the inputs of every layer, or None where these stay as they are.
Masks: TypeAlias = Sequence[Array | None]


def masked(x: Array, masks: Masks, layer: int) -> Array:
    """Return inputs of a layer, or gradients with respect to them, times their factors."""
    mask = masks[layer] if masks else None
    return x if mask is None else x * mask


def forward(
    spec: NetSpec, params: Array, x: Array, masks: Masks = ()
) -> tuple[list[Array], list[Array]]:
    """Return the pre-activations z and the outputs a of every layer, not yet masked."""
    zs, activations = [], []
    layers = zip(spec.unflatten(params), spec.activations, strict=True)
    for i, ((w, b), name) in enumerate(layers):
        z = dense(masked(x, masks, i), w, b)
        x = FORWARD[name](z)
        zs.append(z)
        activations.append(x)
    return zs, activations


def backward(
    spec: NetSpec,
    params: Array,
    x: Array,
    zs: list[Array],
    activations: list[Array],
    delta: Array,
    masks: Masks = (),
) -> Array:
    """Return the flat gradient, given delta = dL/dz of the last layer (backpropagation)."""
    grad = np.empty_like(params)
    weights, grads = spec.unflatten(params), spec.unflatten(grad)
    for i in reversed(range(spec.n_layers)):
        below = activations[i - 1] if i else x
        dw, db = grads[i]
        dw[...] = masked(below, masks, i).T @ delta
        if db is not None:
            db[...] = delta.sum(axis=0)
        if i:
            name = spec.activations[i - 1]
            kept = zs[i - 1] if name in FROM_PREACTIVATION else below
            delta = BACKWARD[name](kept, masked(delta @ weights[i][0].T, masks, i))
    return grad


def _loss_arguments(spec: NetSpec) -> tuple[float, ...]:
    return () if spec.loss_parameter is None else (spec.loss_parameter,)


def loss_and_delta(spec: NetSpec, z: Array, a: Array, t: Array) -> tuple[Array, Array]:
    """Return the loss of every row and delta = dL/dz of the last layer, neither weighted."""
    if spec.loss_from_logits:
        return LOSS_FROM_LOGITS[spec.loss](z, a, t)
    row_loss, grad_a = LOSS[spec.loss](a, t, *_loss_arguments(spec))
    name = spec.activations[-1]
    return row_loss, BACKWARD[name](z if name in FROM_PREACTIVATION else a, grad_a)


def totals(spec: NetSpec, row_loss: Array, a: Array, t: Array, weight: Array) -> Array:
    """Return the sums of `TOTALS` over the rows of a batch, without penalty."""
    if a.shape[1] == 1:
        correct = (a[:, 0] > 0.5) == (t[:, 0] > 0.5)
    else:
        correct = a.argmax(axis=1) == t.argmax(axis=1)
    e = (a - t).astype(np.float64)
    columns = (np.ones_like(weight), correct, (e * e).mean(1), np.abs(e).mean(1))
    weight = weight.astype(np.float64)
    counted = np.ones_like(weight) if spec.reduction == "mean_over_rows" else weight
    loss = np.dot(weight, row_loss.astype(np.float64))
    return np.array([loss, *(np.dot(counted, c.astype(np.float64)) for c in columns), 0.0])


def batch_of(spec: NetSpec, data: Data, rows: Any) -> tuple[Array, Array, Array]:
    """Return x, targets and weights of some rows, as the net's dtype."""
    x = data.x[rows].astype(spec.dtype)
    if data.input_scale != 1.0:
        x *= x.dtype.type(data.input_scale)
    y = data.y[rows]
    if y.ndim == 1:
        y = (y[:, None] == np.arange(spec.n_out)).astype(spec.dtype)
    if data.sample_weight is None:
        return x, y, np.ones(len(x), spec.dtype)
    return x, y, data.sample_weight[rows]


def loss_and_grad(
    spec: NetSpec, params: Array, x: Array, t: Array, weight: Array, masks: Masks = ()
) -> tuple[Array, Array]:
    """Return the `TOTALS` of a batch and the flat gradient of its reduced loss."""
    zs, activations = forward(spec, params, x, masks)
    row_loss, delta = loss_and_delta(spec, zs[-1], activations[-1], t)
    sums = totals(spec, row_loss, activations[-1], t, weight)
    scaled = weight * params.dtype.type(scale(spec, sums[1]))
    delta = delta * scaled[:, None]
    return sums, backward(spec, params, x, zs, activations, delta, masks)


def scale(spec: NetSpec, weight_sum: float) -> float:
    """Factor that makes the reduced loss of a summed one; 0 where all weights are 0.

    `weight_sum` is the second of `TOTALS`.
    """
    if spec.reduction == "sum":
        return 1.0
    return 1.0 / weight_sum if weight_sum != 0 else 0.0


def l2_term(spec: NetSpec, params: Array, l2: Sequence[float]) -> float:
    """Return ``1/2 sum l2_i sum(W_i^2)`` over the layers."""
    squares = [float((w.astype(np.float64) ** 2).sum()) for w, _ in spec.unflatten(params)]
    return 0.5 * sum(factor * square for factor, square in zip(l2, squares, strict=True))


# ---------------------------------------------------------------------------- optimizers


def clip(optimizer: Optimizer, grad: Array) -> None:
    """Clip the flat gradient in place as the optimizer asks for."""
    if optimizer.clip_value is not None:
        np.clip(grad, -optimizer.clip_value, optimizer.clip_value, out=grad)
    if optimizer.clip_norm is not None:
        norm = np.linalg.norm(grad.astype(np.float64))
        grad *= grad.dtype.type(optimizer.clip_norm / np.maximum(norm, optimizer.clip_norm))


def _gain(optimizer: Any, lr: float) -> tuple[float, float]:
    """Return the factor on what a velocity gathers, and on the step that it makes."""
    return (-lr, 1.0) if optimizer.scaled_velocity else (1.0, -lr)


def update(
    optimizer: Optimizer, step: int, lr: float, w: Array, g: Array, m: Array, v: Array
) -> None:
    """Move w by gradient g in place; m and v are the moments, `step` counts from 1."""
    o: Any = optimizer
    if o.name == "sgd":
        if o.momentum == 0.0:
            w -= lr * g
            return
        gain, size = _gain(o, lr)
        m *= o.momentum
        m += gain * g
        w += size * (gain * g + o.momentum * m) if o.nesterov else size * m
    elif o.name in ("adam", "adamw"):
        if o.name == "adamw":
            w *= 1 - lr * o.weight_decay
        m *= o.beta_1
        m += (1 - o.beta_1) * g
        v *= o.beta_2
        v += (1 - o.beta_2) * (g * g)
        # The bias corrections of m and v, folded into two scalars.
        root = math.sqrt(1 - o.beta_2**step)
        epsilon = o.epsilon if o.epsilon_hat else o.epsilon * root
        w -= (lr * root / (1 - o.beta_1**step)) * (m / (np.sqrt(v) + epsilon))
    else:  # rmsprop
        v *= o.rho
        v += (1 - o.rho) * (g * g)
        u = g / (np.sqrt(v + o.epsilon) if o.epsilon_in_root else np.sqrt(v) + o.epsilon)
        gain, size = _gain(o, lr)
        u *= g.dtype.type(gain)
        if o.momentum:
            m *= o.momentum
            m += u
            u = m
        w += size * u


# Overflow and NaN are part of the answer, as on the other backends: training looks for them itself.
_QUIET: dict[str, Any] = {"over": "ignore", "invalid": "ignore", "divide": "ignore"}


class NumpyTrainer:
    """Mini-batch training as a plain loop."""

    checks_input = False
    saves_each_epoch = False

    def __init__(self, spec: NetSpec, params: Array, optimizer: Optimizer) -> None:
        self.spec, self.params, self.optimizer = spec, params, optimizer
        self.m, self.v, self.steps = np.zeros_like(params), np.zeros_like(params), 0

    def step(
        self,
        x: Array,
        t: Array,
        weight: Array,
        lr: float,
        options: RunOptions,
        masks: Masks = (),
    ) -> Array:
        """Make one update and return the batch's `TOTALS` (before the update)."""
        spec = self.spec
        sums, grad = loss_and_grad(spec, self.params, x, t, weight, masks)
        if options.check_finite and not np.isfinite(sums[0]):
            return sums
        share = scale(spec, sums[1]) if options.l2_per_row else 1.0
        if options.want_penalty:
            counted = 1.0 if spec.reduction == "sum" else sums[1]
            sums[_PENALTY] = l2_term(spec, self.params, options.l2) * share * counted
        if options.l2_per_row and spec.reduction != "sum":
            sums *= len(x) * share
        layers = zip(spec.unflatten(grad), spec.unflatten(self.params), options.l2, strict=True)
        for (dw, _), (w, _), factor in layers:
            if factor:
                np.add(dw, factor * share * w, out=dw)
        clip(self.optimizer, grad)
        self.steps += 1
        update(self.optimizer, self.steps, lr, self.params, grad, self.m, self.v)
        return sums

    @np.errstate(**_QUIET)
    def run(self, data: Data, epochs: Epochs, options: RunOptions) -> Report:
        dropout.check_keys(self.spec, epochs.dropout_keys)
        batch_size = options.batch_size
        history: list[Array] = []
        for epoch, rates in enumerate(epochs.learning_rates):
            before = self.params.copy(), self.m.copy(), self.v.copy(), self.steps
            sums = np.zeros(len(TOTALS))
            for first in range(0, len(data), batch_size):
                rows: Any = slice(first, first + batch_size)
                if epochs.orders is not None:
                    rows = epochs.orders[epoch, rows]
                x, t, weight = batch_of(self.spec, data, rows)
                masks: Masks = ()
                if epochs.dropout_keys is not None:
                    key = epochs.dropout_keys[epoch]
                    masks = dropout.masks(self.spec, key, first // batch_size, len(x))
                lr = float(rates[first // batch_size] if rates.ndim else rates)
                sums += self.step(x, t, weight, lr, options, masks)
                if options.check_finite and not np.isfinite(sums[0]):
                    break
                if options.stop[0]:
                    return Report(np.array([*history, sums]), "interrupted")
            finite = np.isfinite(sums[0]) and np.isfinite(self.params).all()
            if options.check_finite and not finite:
                self.params[...], self.m, self.v, self.steps = before
                return Report(_table(history), "diverged")
            history.append(sums)
        return Report(_table(history))

    def state(self) -> dict[str, Any]:
        return {"steps": self.steps, "m": self.m.copy(), "v": self.v.copy()}

    def load_state(self, state: dict[str, Any]) -> None:
        self.steps = state["steps"]
        self.m[...], self.v[...] = state["m"], state["v"]


class NumpyBackend:
    """The backend protocol in terms of the functions above."""

    name = "numpy"

    def describe(self) -> dict[str, Any]:
        return {"numpy": np.__version__}

    @np.errstate(**_QUIET)
    def dense_forward(
        self, x: Array, w: Array, b: Array | None, activation: str, out: Array
    ) -> None:
        out[...] = FORWARD[activation](dense(x, w, b))

    @np.errstate(**_QUIET)
    def dense_backward(
        self, x: Array, w: Array, kept: Array, grad_a: Array, activation: str, need_dx: bool
    ) -> tuple[Array | None, Array, Array]:
        delta = BACKWARD[activation](kept, grad_a)
        return (delta @ w.T if need_dx else None), x.T @ delta, delta.sum(axis=0)

    @np.errstate(**_QUIET)
    def forward(
        self, spec: NetSpec, params: Array, x: Array, input_scale: float, out: Array
    ) -> None:
        for rows in _chunks(len(x)):
            part = batch_of(spec, Data(x, np.empty((len(x), 0)), None, input_scale), rows)[0]
            out[rows] = forward(spec, params, part)[1][-1]

    @np.errstate(**_QUIET)
    def fast_predict(self, spec: NetSpec, params: Array) -> FastPredict:
        return no_fast_predict

    def fast_gradient(self, spec: NetSpec, params: Array) -> FastGradient:
        return no_fast_gradient

    @np.errstate(**_QUIET)
    def loss_and_grad(self, spec: NetSpec, params: Array, data: Data, grad: Array) -> float:
        sums, grad[...] = loss_and_grad(spec, params, *batch_of(spec, data, slice(None)))
        return float(sums[0] * scale(spec, sums[1]))

    def gradient_of(self, spec: NetSpec, params: Array, data: Data) -> Gradient:
        return partial(self.loss_and_grad, spec, params, data)

    @np.errstate(**_QUIET)
    def evaluate(self, spec: NetSpec, params: Array, data: Data) -> Array:
        result = np.zeros(len(TOTALS))
        for rows in _chunks(len(data)):
            x, t, weight = batch_of(spec, data, rows)
            z, a = self.last_layer(spec, params, x)
            result += totals(spec, _row_loss(spec, z, a, t), a, t, weight)
        return result

    def last_layer(self, spec: NetSpec, params: Array, x: Array) -> tuple[Array, Array]:
        """Return the pre-activations and the outputs of the last layer."""
        zs, activations = forward(spec, params, x)
        return zs[-1], activations[-1]

    def plan_for(self, spec: NetSpec, request: PlanRequest) -> PlanChoice:
        why = "the whole batch goes through layer after layer, in NumPy's products"
        rows, last = request.rows, request.last_rows
        return PlanChoice(self.name, why, 1, rows, last, rows, 1, self.name)

    def trainer(self, spec: NetSpec, params: Array, optimizer: Optimizer) -> NumpyTrainer:
        return NumpyTrainer(spec, params, optimizer)


def _table(history: list[Array]) -> Array:
    """Return the `TOTALS` of some epochs, or none, as rows."""
    return np.array(history).reshape(-1, len(TOTALS))


def _row_loss(spec: NetSpec, z: Array, a: Array, t: Array) -> Array:
    if spec.loss_from_logits:
        return LOSS_FROM_LOGITS[spec.loss](z, a, t)[0]
    return LOSS[spec.loss](a, t, *_loss_arguments(spec))[0]


def _chunks(n: int, size: int = 4096) -> list[slice]:
    """Rows in pieces, so that a large or memory-mapped x is never converted whole."""
    return [slice(first, min(first + size, n)) for first in range(0, n, size)]


def make(_: str = "") -> NumpyBackend:
    """Return the backend."""
    return NumpyBackend()
