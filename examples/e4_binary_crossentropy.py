"""A 2-2-1 sigmoid net on XOR by gradient descent on the binary cross-entropy, 200,000 steps.

With this start the net gets stuck: two of the outputs end near 1/2. That is a local minimum, and
the figures are kept as they are; another seed, or more hidden units, finds the way out.
"""

import numpy as np

import mlpfast

HIDDEN, LR, STEPS, KEEP_EVERY = 2, 0.01, 200_000, 100


# Samples in columns, as many textbooks have them; mlpfast wants them in rows.
X = np.array([[0, 0, 1, 1], [0, 1, 0, 1]], float)  # (2, 4)
Y = np.array([[0, 1, 1, 0]], float)  # (1, 4)


def start(hidden=HIDDEN, backend=None):
    """Return the net with the weights of the legacy stream of np.random.seed(0)."""
    legacy = np.random.RandomState(0)
    weights = [legacy.randn(2, hidden), legacy.randn(hidden, 1)]
    return mlpfast.MLP(
        [2, hidden, 1],
        "sigmoid",
        "sigmoid",
        loss="binary_crossentropy",
        dtype="float64",
        init=(weights, [np.zeros(hidden), np.zeros(1)]),
        backend=backend,
    )


def descend(net):
    """Train and return the loss of every 100th step."""
    # A batch as large as the data: every epoch is one step of plain gradient descent.
    history = net.fit(
        X.T, Y.T, epochs=STEPS, batch_size=4, optimizer=mlpfast.SGD(LR), shuffle=False, metrics=()
    )
    return history.history["loss"][::KEEP_EVERY]


def main(backend=None):
    """Return the loss of every 100th step and the final outputs."""
    net = start(backend=backend)
    kept = descend(net)
    outputs = net.predict(X.T)[:, 0]
    print(f"first kept loss {kept[0]:.16f}, last {kept[-1]:.16f}")
    print("outputs", " ".join(f"{o:.10f}" for o in outputs))
    return {"losses": kept, "outputs": outputs}


if __name__ == "__main__":
    main()
