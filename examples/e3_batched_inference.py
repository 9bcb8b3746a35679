"""One image or a hundred: the same net, the same answers."""

import numpy as np

import mlpfast

# The output activation depends on the task: sigmoid for two classes, softmax for more, identity for
# regression.


def main(backend=None):
    """Return the probabilities of a batch, and of its rows one by one."""
    net = mlpfast.MLP(
        [784, 50, 100, 10], "sigmoid", "softmax", random_state=0, dtype="float64", backend=backend
    )
    images = np.random.default_rng(1).random((100, 784))
    batch = net.predict(images)  # (100, 10)
    one = net.predict(images[0])  # (784,) -> (10,)
    one_row = net.predict(images[:1])  # (1, 784) -> (1, 10)
    singly = np.array([net.predict(image) for image in images])
    classes = batch.argmax(axis=1)
    print("shapes", batch.shape, one_row.shape, one.shape)
    print("largest difference between batch and single rows", np.abs(batch - singly).max())
    print("classes of the first ten images", classes[:10])
    return {"batch": batch, "one": one, "one_row": one_row, "singly": singly, "classes": classes}


if __name__ == "__main__":
    main()
