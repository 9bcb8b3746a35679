"""The plain programs that the lessons of docs/lessons/ replace, as a student writes them.

Pure Python or NumPy, one function a lesson; each returns the figures that its lesson is known for.
"""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np

from benchmarks.jobs.data import Array

# ------------------------------------------------------------------ 1: perceptrons, pure Python


def perceptron(x: list[float], w: list[float], b: float) -> int:
    return 1 if sum(wi * xi for wi, xi in zip(w, x, strict=True)) + b > 0 else 0


def xor_of_perceptrons(rows: list[list[float]]) -> list[int]:
    answers = []
    for x in rows:
        hidden: list[float] = [perceptron(x, [-2, -2], 3), perceptron(x, [2, 2], -1)]
        answers.append(perceptron(hidden, [1, 1], -1))
    return answers


# ------------------------------------------------------------------ 2: the classic, pure Python


class ClassicNet:
    """Two inputs and a constant, two hidden units, one output, tanh; the rule of lesson 2."""

    def __init__(self, n_in: int, n_hidden: int, n_out: int, source: random.Random) -> None:
        self.n_in, self.n_hidden, self.n_out = n_in + 1, n_hidden, n_out
        self.inputs, self.hidden = [1.0] * self.n_in, [1.0] * n_hidden
        self.outputs = [1.0] * n_out
        self.w_in = [[source.random() for _ in range(n_hidden)] for _ in range(self.n_in)]
        self.w_out = [[source.random() for _ in range(n_out)] for _ in range(n_hidden)]
        self.g_in = [[0.0] * n_hidden for _ in range(self.n_in)]
        self.g_out = [[0.0] * n_out for _ in range(n_hidden)]

    def forward(self, row: tuple[float, ...]) -> list[float]:
        for i in range(self.n_in - 1):
            self.inputs[i] = row[i]
        for j in range(self.n_hidden):
            total = 0.0
            for i in range(self.n_in):
                total = total + self.inputs[i] * self.w_in[i][j]
            self.hidden[j] = math.tanh(total)
        for k in range(self.n_out):
            total = 0.0
            for j in range(self.n_hidden):
                total = total + self.hidden[j] * self.w_out[j][k]
            self.outputs[k] = math.tanh(total)
        return self.outputs[:]

    def backward(self, targets: tuple[float, ...], lr: float, momentum: float) -> float:
        out_deltas = [0.0] * self.n_out
        for k in range(self.n_out):
            error = targets[k] - self.outputs[k]
            out_deltas[k] = (1.0 - self.outputs[k] ** 2) * error
        hidden_deltas = [0.0] * self.n_hidden
        for j in range(self.n_hidden):
            error = 0.0
            for k in range(self.n_out):
                error = error + out_deltas[k] * self.w_out[j][k]
            hidden_deltas[j] = (1.0 - self.hidden[j] ** 2) * error
        for j in range(self.n_hidden):
            for k in range(self.n_out):
                g = out_deltas[k] * self.hidden[j]
                self.w_out[j][k] = self.w_out[j][k] + momentum * self.g_out[j][k] - lr * g
                self.g_out[j][k] = g
        for i in range(self.n_in):
            for j in range(self.n_hidden):
                g = hidden_deltas[j] * self.inputs[i]
                self.w_in[i][j] = self.w_in[i][j] + momentum * self.g_in[i][j] - lr * g
                self.g_in[i][j] = g
        error = 0.0
        for k in range(self.n_out):
            error = error + 0.5 * (targets[k] - self.outputs[k]) ** 2
        return error


def classic_program(passes: int = 5000) -> tuple[list[float], list[float]]:
    """Return the error of each pass and the final outputs."""
    rows = [((0, 0), (0,)), ((0, 1), (1,)), ((1, 0), (1,)), ((1, 1), (0,))]
    net = ClassicNet(2, 2, 1, random.Random(0))
    errors = []
    for _ in range(passes):
        error = 0.0
        for x, t in rows:
            net.forward(x)
            error = error + net.backward(t, 0.1, 0.4)
        errors.append(error)
    return errors, [net.forward(x)[0] for x, _ in rows]


# ------------------------------------------------------------------ 3 to 6: NumPy, pure Python


def sigmoid(z: Array) -> Array:
    return 1 / (1 + np.exp(-z))


def softmax(z: Array) -> Array:
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def infer(x: Array, weights: list[Array], biases: list[Array]) -> Array:
    """Sigmoid, sigmoid, softmax."""
    a = sigmoid(x @ weights[0] + biases[0])
    a = sigmoid(a @ weights[1] + biases[1])
    return softmax(a @ weights[2] + biases[2])


def two_layers(steps: int = 200_000) -> tuple[list[float], Array]:
    """Return the loss of every 100th step and the outputs (1, 4); samples in columns."""
    X, Y = np.array([[0, 0, 1, 1], [0, 1, 0, 1]], float), np.array([[0, 1, 1, 0]], float)
    legacy = np.random.RandomState(0)
    W1, b1 = legacy.randn(2, 2), np.zeros((2, 1))
    W2, b2 = legacy.randn(2, 1), np.zeros((1, 1))
    m, lr = X.shape[1], 0.01
    losses = []
    for step in range(steps):
        A1 = 1 / (1 + np.exp(-(W1.T @ X + b1)))
        A2 = 1 / (1 + np.exp(-(W2.T @ A1 + b2)))
        if step % 100 == 0:
            losses.append(float(-np.sum(Y * np.log(A2) + (1 - Y) * np.log(1 - A2)) / m))
        dZ2 = (A2 - Y) / m
        dW2, db2 = A1 @ dZ2.T, dZ2.sum(axis=1, keepdims=True)
        dZ1 = (W2 @ dZ2) * A1 * (1 - A1)
        dW1, db1 = X @ dZ1.T, dZ1.sum(axis=1, keepdims=True)
        W1 -= lr * dW1
        b1 -= lr * db1
        W2 -= lr * dW2
        b2 -= lr * db2
    A1 = 1 / (1 + np.exp(-(W1.T @ X + b1)))
    return losses, 1 / (1 + np.exp(-(W2.T @ A1 + b2)))


def down_the_parabola() -> float:
    x = 10.0
    for _ in range(100):
        x -= 0.01 * 2 * (x - 3)
    return x


def bias_column(steps: int = 10_000) -> Array:
    """Return the outputs (4, 1) of the last forward pass."""
    X = np.array([[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]], float)
    y = np.array([[0], [1], [1], [0]], float)
    legacy = np.random.RandomState(5)
    W0, W1 = 2 * legacy.random_sample((3, 6)) - 1, 2 * legacy.random_sample((6, 1)) - 1
    for _ in range(steps):
        hidden = 1 / (1 + np.exp(-(X @ W0)))
        hidden[:, 5] = 1
        output = 1 / (1 + np.exp(-(hidden @ W1)))
        delta = (output - y) * output * (1 - output)
        below = delta @ W1.T * hidden * (1 - hidden)
        W1 -= 0.2 * hidden.T @ delta
        W0 -= 0.2 * X.T @ below
    return output


# ------------------------------------------------------------------ 7: NumPy and Keras


class NumpyLesson:
    """784-512-10, sigmoid, mean squared error, plain SGD, batch 128, float32."""

    def __init__(self, weights: list[Array], biases: list[Array]) -> None:
        self.weights, self.biases = [w.copy() for w in weights], [b.copy() for b in biases]

    def epoch(self, X: Array, Y: Array, order: Array, lr: float) -> None:
        (W1, W2), (b1, b2) = self.weights, self.biases
        for first in range(0, len(X), 128):
            rows = order[first : first + 128]
            x, y = X[rows], Y[rows]
            a1 = sigmoid(x @ W1 + b1)
            a2 = sigmoid(a1 @ W2 + b2)
            d2 = (a2 - y) * a2 * (1 - a2) * (2 / y.size)
            d1 = (d2 @ W2.T) * a1 * (1 - a1)
            W2 -= lr * (a1.T @ d2)
            b2 -= lr * d2.sum(axis=0)
            W1 -= lr * (x.T @ d1)
            b1 -= lr * d1.sum(axis=0)


def keras_lesson(weights: list[Array], biases: list[Array], lr: float) -> Any:
    """Return the lesson's compiled model of the Keras that is installed."""
    import keras

    model = keras.Sequential(
        [
            keras.Input((784,)),
            keras.layers.Dense(512, activation="sigmoid"),
            keras.layers.Dense(10, activation="sigmoid"),
        ]
    )
    model.compile(loss="mse", optimizer=keras.optimizers.SGD(lr), metrics=["accuracy"])
    model.set_weights([weights[0], biases[0], weights[1], biases[1]])
    return model


# ------------------------------------------------------------------ 8: by hand, pure Python


def step_by_hand() -> tuple[list[float], list[float], list[float]]:
    """Return the new weights of g1, g2 and f after one step for x = (1, 0), y = 0, c = 1."""
    g1, g2, f = [2.0, -2.0, 0.0], [1.0, 3.0, -1.0], [3.0, -2.0, -1.0]
    x, y = (1.0, 0.0, 1.0), 0.0
    s1 = 1 / (1 + math.exp(-sum(w * v for w, v in zip(g1, x, strict=True))))
    s2 = 1 / (1 + math.exp(-sum(w * v for w, v in zip(g2, x, strict=True))))
    hidden = (s1, s2, 1.0)
    out = 1 / (1 + math.exp(-sum(w * v for w, v in zip(f, hidden, strict=True))))
    delta = (y - out) * out * (1 - out)
    delta1, delta2 = s1 * (1 - s1) * delta * f[0], s2 * (1 - s2) * delta * f[1]
    f = [w + delta * v for w, v in zip(f, hidden, strict=True)]
    g1 = [w + delta1 * v for w, v in zip(g1, x, strict=True)]
    g2 = [w + delta2 * v for w, v in zip(g2, x, strict=True)]
    return g1, g2, f


# ------------------------------------------------------------------ 9: NumPy


def layer_there_and_back(x: Array, w: Array, b: Array, g: Array) -> tuple[Array, Array, Array]:
    """Return dx, dw and db of a sigmoid layer whose output's gradient is g."""
    a = sigmoid(x @ w + b)
    delta = g * a * (1 - a)
    return delta @ w.T, x.T @ delta, delta.sum(axis=0)
