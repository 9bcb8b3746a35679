"""Gradient descent down a parabola, as the smallest net there is.

y = (x - 3)^2 + 10 is the squared error of a net with one weight x, the input 1 and the target 3,
plus a constant that has no slope. So 100 steps of the net's training are 100 steps down the curve.
"""

import numpy as np

import mlpfast


def main(backend=None):
    """Return where x = 10 has come to after 100 steps of lr 0.01."""
    net = mlpfast.MLP(
        [1, 1], loss="mse", bias=False, dtype="float64", init=([[[10.0]]], None), backend=backend
    )
    one, three = np.array([[1.0]]), np.array([[3.0]])
    net.fit(one, three, epochs=100, batch_size=1, optimizer=mlpfast.SGD(0.01), metrics=())
    x = float(net.params[0])
    y = (x - 3) ** 2 + 10
    print(f"x = {x!r}, y = {y!r}")
    return {"x": x, "y": y}


if __name__ == "__main__":
    main()
