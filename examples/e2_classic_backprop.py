"""The classic per-sample program, with an update rule of its own written over `loss_and_grad`.

Two inputs and a constant 1, two hidden units, one output, tanh in both layers. The constant input
stands for the hidden units' bias, so the net has none.

The rule adds "momentum times the previous g", where g is MINUS the gradient: G remembers the last
g, not the last step, and lr * g is subtracted. So this is neither SGD nor heavy-ball momentum: its
lr term alone would climb, and it learns only because the momentum is larger than lr. It is kept as
it was written.
"""

import random

import numpy as np

import mlpfast

LR, MOMENTUM, PASSES = 0.1, 0.4, 5000
ROWS = [((0, 0), 0), ((0, 1), 1), ((1, 0), 1), ((1, 1), 0)]


def main(backend=None):
    """Return the error of every pass, and the outputs after the last."""
    source = random.Random(0)
    w_in = [[source.random() for _ in range(2)] for _ in range(3)]  # input i, hidden j
    w_out = [[source.random()] for _ in range(2)]
    net = mlpfast.MLP(
        [3, 2, 1],
        "tanh",
        "tanh",
        loss="squared_error",
        bias=False,
        dtype="float64",
        init=([w_in, w_out], None),
        backend=backend,
    )
    X = np.array([(*x, 1) for x, _ in ROWS], float)
    Y = np.array([[t] for _, t in ROWS], float)

    # The rule, W += mo * G - lr * g with g = -gradient, is lr * gradient - mo * the last gradient.
    # The two alternate in the rows of one array, so that a single product makes the step.
    params = net.params  # a view: writing into it changes the net
    gradients = np.zeros((2, net.n_params))
    factors = np.array([LR, -MOMENTUM]), np.array([-MOMENTUM, LR])
    rows = [(X[r : r + 1], Y[r : r + 1], gradients[r % 2], factors[r % 2]) for r in range(4)]
    errors = []
    for _ in range(PASSES):
        error = 0.0
        for x, y, gradient, factor in rows:
            loss, _ = net.loss_and_grad(x, y, out=gradient)
            params += factor.dot(gradients)
            error += loss
        errors.append(error)
    outputs = net.predict(X)[:, 0]
    for number in (0, 500, 1000):
        print(f"pass {number:4}  error {errors[number]:.5f}")
    print("outputs", " ".join(f"{o:.13f}" for o in outputs))
    return {"errors": errors, "outputs": outputs}


if __name__ == "__main__":
    main()
