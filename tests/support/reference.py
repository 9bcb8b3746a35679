"""The textbook, written down once: what the tests hold every backend to.

Formulas for one number at a time, in double, with the math module alone, so that they share nothing
with the package.
"""

import math

import numpy as np

# ---------------------------------------------------------------------------- activations


def _exp(z):
    return math.exp(z) if z < 709.7 else math.inf


def _sigmoid(z):
    return 1 / (1 + _exp(-z)) if z > -700 else _exp(z)


def _normal_cdf(z):
    return 0.5 * math.erfc(-z / math.sqrt(2))


_SELU_SCALE, _SELU_ALPHA = 1.0507009873554805, 1.6732632423543772

_VALUE = {
    "identity": lambda z: z,
    "step": lambda z: 1.0 if z > 0 else 0.0,
    "sigmoid": _sigmoid,
    "tanh": math.tanh,
    "relu": lambda z: z if z > 0 else 0.0,
    "leaky_relu": lambda z: z if z > 0 else 0.01 * z,
    "elu": lambda z: z if z > 0 else math.expm1(z),
    "softplus": lambda z: z + math.log1p(_exp(-z)) if z > 0 else math.log1p(_exp(z)),
    "silu": lambda z: z * _sigmoid(z),
    "gelu": lambda z: z * _normal_cdf(z),
    "exp": _exp,
    "selu": lambda z: _SELU_SCALE * (z if z > 0 else _SELU_ALPHA * math.expm1(z)),
    "mish": lambda z: z * math.tanh(_VALUE["softplus"](z)),
}

_DERIVATIVE = {
    "identity": lambda z: 1.0,
    "sigmoid": lambda z: _sigmoid(z) * _sigmoid(-z),
    "tanh": lambda z: 1 / math.cosh(z) ** 2,
    "relu": lambda z: 1.0 if z > 0 else 0.0,
    "leaky_relu": lambda z: 1.0 if z > 0 else 0.01,
    "elu": lambda z: 1.0 if z > 0 else _exp(z),
    "softplus": _sigmoid,
    "silu": lambda z: _sigmoid(z) + z * _sigmoid(z) * _sigmoid(-z),
    "gelu": lambda z: _normal_cdf(z) + z * math.exp(-z * z / 2) / math.sqrt(2 * math.pi),
    "exp": _exp,
    "selu": lambda z: _SELU_SCALE * (1.0 if z > 0 else _SELU_ALPHA * _exp(z)),
    "mish": lambda z: (
        math.tanh(_VALUE["softplus"](z))
        + z * _sigmoid(z) / math.cosh(min(_VALUE["softplus"](z), 350)) ** 2
    ),
}


def _softmax_row(z):
    e = [math.exp(v - max(z)) for v in z]
    return [v / math.fsum(e) for v in e]


def activation(name, z):
    """Return f(z) (n, m) in float64 of z (n, m)."""
    z = np.asarray(z, np.float64)
    if name == "softmax":
        return np.array([_softmax_row(row) for row in z.tolist()]).reshape(z.shape)
    flat = [_VALUE[name](v) for v in z.ravel().tolist()]
    return np.array(flat, np.float64).reshape(z.shape)


def delta(name, z, g):
    """Return dL/dz in float64, given g = dL/df(z), all (n, m)."""
    z, g = np.asarray(z, np.float64), np.asarray(g, np.float64)
    if name != "softmax":
        slope = [_DERIVATIVE[name](v) for v in z.ravel().tolist()]
        return g * np.array(slope, np.float64).reshape(z.shape)
    result = np.empty_like(g)
    for r, row in enumerate(z.tolist()):
        a = np.array(_softmax_row(row))
        result[r] = (np.diag(a) - np.outer(a, a)) @ g[r]  # the Jacobian is symmetric
    return result


# ---------------------------------------------------------------------------- gradients


def differences(function, values, step=1e-6):
    """Return central differences of function() with respect to each entry of values.

    The values are changed in place, and put back.
    """
    gradient = np.empty_like(values)
    for i in np.ndindex(values.shape):
        kept = values[i]
        values[i] = kept + step
        above = function()
        values[i] = kept - step
        below = function()
        values[i] = kept
        gradient[i] = (above - below) / (2 * step)
    return gradient


def clipped(gradient, clip_norm=None, clip_value=None):
    """Return the gradient with its norm, or each of its elements, within the limit."""
    if clip_norm is not None:
        return gradient * min(1.0, clip_norm / np.sqrt(np.sum(gradient**2)))
    return np.clip(gradient, -clip_value, clip_value)


# ---------------------------------------------------------------------------- optimizers
# Generators that are sent a gradient and a learning rate and yield the new value of one parameter.


def sgd(w, momentum=0.0, nesterov=False):
    """Descent whose velocity is free of the rate, as in PyTorch."""
    v = 0.0
    while True:
        g, lr = yield w
        v = momentum * v + g
        w -= lr * (g + momentum * v if nesterov else v)


def sgd_with_scaled_velocity(w, momentum=0.0, nesterov=False):
    """Sutskever et al., 2013, equations 1 to 4, in Keras' form."""
    v = 0.0
    while True:
        g, lr = yield w
        v = momentum * v - lr * g
        w += momentum * v - lr * g if nesterov else v


def adam(w, beta_1=0.9, beta_2=0.999, epsilon=1e-8, weight_decay=0.0):
    """Kingma and Ba, 2015, algorithm 1; the decay is Loshchilov and Hutter's."""
    m = v = 0.0
    t = 0
    while True:
        g, lr = yield w
        t += 1
        w -= lr * weight_decay * w
        m = beta_1 * m + (1 - beta_1) * g
        v = beta_2 * v + (1 - beta_2) * g * g
        w -= lr * (m / (1 - beta_1**t)) / (math.sqrt(v / (1 - beta_2**t)) + epsilon)


def adam_with_epsilon_hat(w, beta_1=0.9, beta_2=0.999, epsilon=1e-8, weight_decay=0.0):
    """Kingma and Ba, 2015, the last lines of section 2."""
    m = v = 0.0
    t = 0
    while True:
        g, lr = yield w
        t += 1
        w -= lr * weight_decay * w
        m = beta_1 * m + (1 - beta_1) * g
        v = beta_2 * v + (1 - beta_2) * g * g
        rate = lr * math.sqrt(1 - beta_2**t) / (1 - beta_1**t)
        w -= rate * m / (math.sqrt(v) + epsilon)


def rmsprop(w, rho=0.99, epsilon=1e-8, momentum=0.0):
    """Hinton's, in PyTorch's form: epsilon beside the root, the rate outside of the velocity."""
    v = u = 0.0
    while True:
        g, lr = yield w
        v = rho * v + (1 - rho) * g * g
        u = momentum * u + g / (math.sqrt(v) + epsilon)
        w -= lr * u


def rmsprop_with_epsilon_in_root(w, rho=0.9, epsilon=1e-7, momentum=0.0):
    """Hinton's, in Keras' form: epsilon under the root, the rate inside of the velocity."""
    v = u = 0.0
    while True:
        g, lr = yield w
        v = rho * v + (1 - rho) * g * g
        u = momentum * u + lr * g / math.sqrt(v + epsilon)
        w -= u


class Rules:
    """One rule for each of many parameters."""

    def __init__(self, rule, params, **options):
        self._rules = [rule(w, **options) for w in params.tolist()]
        for one in self._rules:
            next(one)

    def step(self, gradient, rate):
        """Return the parameters after a step with this gradient at this rate."""
        pairs = zip(self._rules, gradient.tolist(), strict=True)
        return np.array([one.send((g, rate)) for one, g in pairs])
