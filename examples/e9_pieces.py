"""The pieces that backpropagation is made of: activations, their slopes, and the chain rule."""

import numpy as np

from mlpfast.kernels import dense_backward, dense_forward
from mlpfast.spec import ACTIVATION_RECORDS, ACTIVATIONS, FORWARD_ONLY, FROM_PREACTIVATION

Z = np.array([-2.0, -0.5, 0.0, 0.5, 2.0])


def outputs(name, z, backend=None):
    """Return f(z) of every number: a layer of one input with weight 1 and bias 0."""
    if name == "softmax":  # of all numbers together
        return dense_forward(z[None], np.eye(len(z)), None, name, backend=backend)[0]
    return dense_forward(z[:, None], [[1.0]], None, name, backend=backend)[:, 0]


def slopes(name, z, backend=None):
    """Return f'(z): what the backward pass makes of a gradient of 1."""
    kept = z if name in FROM_PREACTIVATION else outputs(name, z, backend)
    one, ones = np.array([[1.0]]), np.ones((len(z), 1))
    return dense_backward(z[:, None], one, kept[:, None], ones, name, backend=backend)[0][:, 0]


def local_derivatives(backend=None):
    """Return what each operation does to a gradient of 0.5 that comes from above.

    z = x * w + b with x = 3, w = -4, b = 2: the sum passes the gradient on, the product gives each
    factor the other one times the gradient.
    """
    x, w, b, g = np.array([[3.0]]), np.array([[-4.0]]), np.array([2.0]), np.array([[0.5]])
    z = dense_forward(x, w, b, backend=backend)
    dx, dw, db = dense_backward(x, w, z, g, backend=backend)
    return {
        "sum, to the bias": db[0],
        "product, to x": dx[0, 0],
        "product, to w": dw[0, 0],
        "relu of 2": 0.5 * slopes("relu", np.array([2.0]), backend)[0],
        "relu of -2": 0.5 * slopes("relu", np.array([-2.0]), backend)[0],
        "sigmoid of 2": 0.5 * slopes("sigmoid", np.array([2.0]), backend)[0],
    }


def main(backend=None):
    """Return the outputs and slopes of every activation, and the local derivatives."""
    table = {name: outputs(name, Z, backend) for name in ACTIVATIONS}
    slope_table = {
        name: slopes(name, Z, backend)
        for name in ACTIVATIONS
        if name not in FORWARD_ONLY and name != "softmax"
    }
    print(f"{'z':<11}", " ".join(f"{z:8.3f}" for z in Z))
    for name, values in table.items():
        print(f"{name:<11}", " ".join(f"{v:8.3f}" for v in values), "", name_formula(name))
    local = local_derivatives(backend)
    for name, value in local.items():
        print(f"{name:<17} {value:6.3f}")
    return {"outputs": table, "slopes": slope_table, "local": local}


def name_formula(name):
    return f"a = {ACTIVATION_RECORDS[name].output}"


if __name__ == "__main__":
    main()
