"""One forward pass and one step of backpropagation, to be checked by hand.

2-2-1, sigmoid; each unit's weights are (w_x1, w_x2, w_bias): g1 = (2, -2, 0), g2 = (1, 3, -1), and
the output f = (3, -2, -1) of (g1, g2, bias). The loss is (y - f)^2 with the factor 2 absorbed into
the step c = 1, which is half the squared error.
"""

import numpy as np

import mlpfast

G1, G2, F = (2.0, -2.0, 0.0), (1.0, 3.0, -1.0), (3.0, -2.0, -1.0)


def main(backend=None):
    """Return the forward pass of all four rows, and deltas and weights of one step."""
    net = mlpfast.MLP(
        [2, 2, 1],
        "sigmoid",
        "sigmoid",
        loss="squared_error",
        dtype="float64",
        init=(
            [np.column_stack([G1[:2], G2[:2]]), np.reshape(F[:2], (2, 1))],
            [np.array([G1[2], G2[2]]), np.array([F[2]])],
        ),
        backend=backend,
    )
    X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], float)
    hidden, output = net.activations(X)
    forward = np.hstack([hidden, output])  # (4, 3): s1, s2, f
    for x, row in zip(X, forward, strict=True):
        print(f"({x[0]:.0f},{x[1]:.0f})  s1 {row[0]:.3f}  s2 {row[1]:.3f}  f {row[2]:.3f}")

    # The step for x = (1, 0), y = 0. Delta is dL/dz; the hand calculation's has the other sign.
    x, y = X[2], 0
    step = mlpfast.explain_step(net, x, y, lr=1.0)
    print(step)
    below, above = step.layers
    deltas = -np.concatenate([above.deltas, below.deltas])  # f, g1, g2

    # The same step, made: the net now has the weights of the last column.
    net.fit(x[None], [y], epochs=1, batch_size=1, optimizer=mlpfast.SGD(1.0))
    (w0, w1), (b0, b1) = net.weights, net.biases
    new = {
        "g1": np.append(w0[:, 0], b0[0]),
        "g2": np.append(w0[:, 1], b0[1]),
        "f": np.append(w1[:, 0], b1),
    }
    return {"forward": forward, "deltas": deltas, "step": step, **new}


if __name__ == "__main__":
    main()
