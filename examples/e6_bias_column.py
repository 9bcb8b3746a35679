"""Backpropagation written out in NumPy, with the bias as a column of ones, as a 2-5-1 net.

There the inputs carry a third column of ones, and after the hidden activation the last of six
hidden columns is set to 1 (its derivative o(1-o) is then 0, so that it never learns):

    W0 (3, 6)   rows 0, 1: weights of the inputs     row 2: biases of the hidden units
                columns 0..4: the hidden units       column 5: not used
    W1 (6, 1)   rows 0..4: weights of the hidden     row 5: bias of the output
"""

import numpy as np

import mlpfast

LR, STEPS = 0.2, 10_000


X = np.array([[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]], float)
Y = np.array([[0], [1], [1], [0]], float)


def start(backend=None):
    """Return the net with the weights of the legacy stream of np.random.seed(5)."""
    legacy = np.random.RandomState(5)
    W0 = 2 * legacy.random_sample((3, 6)) - 1
    W1 = 2 * legacy.random_sample((6, 1)) - 1
    return mlpfast.MLP(
        [2, 5, 1],
        "sigmoid",
        "sigmoid",
        loss="squared_error",  # its delta is (o - y) o (1 - o)
        reduction="sum",
        dtype="float64",
        init=([W0[:2, :5], W1[:5]], [W0[2, :5], W1[5]]),
        backend=backend,
    )


def descend(net, steps):
    """Make `steps` steps of plain gradient descent."""
    net.fit(
        X[:, :2],
        Y,
        epochs=steps,
        batch_size=4,
        optimizer=mlpfast.SGD(LR),
        shuffle=False,
        metrics=(),
    )


def main(backend=None):
    """Return the outputs of the last forward pass."""
    net = start(backend)
    descend(net, STEPS - 1)  # the loop's last forward pass comes before its last update
    outputs = net.predict(X[:, :2])[:, 0]
    print("outputs", " ".join(f"{o:.8f}" for o in outputs))
    return {"outputs": outputs}


if __name__ == "__main__":
    main()
