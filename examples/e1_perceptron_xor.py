"""XOR from three perceptrons with weights set by hand: AND(NAND(x), OR(x)), a 2-2-1 net."""

import numpy as np

import mlpfast

# A perceptron outputs 1 if sum(w * x) + b > 0, else 0: the step activation.
NAND = (-2.0, -2.0), 3.0
OR = (2.0, 2.0), -1.0
AND = (1.0, 1.0), -1.0


def main(backend=None):
    """Return the outputs for 00, 10, 01 and 11, and what asking for a gradient says."""
    weights = [np.column_stack([NAND[0], OR[0]]), np.reshape(AND[0], (2, 1))]
    biases = [np.array([NAND[1], OR[1]]), np.array([AND[1]])]
    net = mlpfast.MLP(
        [2, 2, 1], "step", "step", dtype="float64", init=(weights, biases), backend=backend
    )
    X = np.array([[0, 0], [1, 0], [0, 1], [1, 1]], float)
    outputs = net.forward(X)[:, 0]
    for x, output in zip(X, outputs, strict=True):
        print(f"{x[0]:.0f} xor {x[1]:.0f} = {output:.0f}")

    # A step has no slope to follow, so such a net can run but not learn.
    try:
        net.loss_and_grad(X, outputs)
    except ValueError as error:
        refusal = str(error)
    print(refusal)
    return {"outputs": outputs, "refusal": refusal}


if __name__ == "__main__":
    main()
