"""Draw the pictures of the lessons: ``python docs/lessons/make_pictures.py``.

Those of lesson 7 need MNIST in the folder that MLPFAST_DATA names, and half a minute.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import os
from pathlib import Path

import numpy as np

import mlpfast
from mlpfast import plotting

HERE = Path(__file__).resolve().parent
EXAMPLES = HERE.parents[1] / "examples"
DPI = 80


def example(name):
    """Return the module of an example."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def quietly(function):
    """Return what a function returns that prints as well."""
    with contextlib.redirect_stdout(io.StringIO()):
        return function()


def write(figure, path):
    """Write a figure as a PNG of few colors, a half as large as one of all."""
    from PIL import Image

    figure.set_dpi(DPI)
    figure.canvas.draw()
    picture = Image.fromarray(np.asarray(figure.canvas.buffer_rgba())).convert("RGB")
    picture.quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)


def perceptron():
    """Draw the net of three perceptrons at work on (1, 0), and the plane as it divides it."""
    net = mlpfast.MLP(
        *([2, 2, 1], "step", "step"), init=([[[-2, 2], [-2, 2]], [[1], [1]]], [[3, -1], [-1]])
    )
    figure = plotting.new_figure(8, 3)
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    plotting.plot_network(net, [1, 0], left)
    plotting.plot_decision_boundary(net, *mlpfast.datasets.xor(), right)
    return figure


def classic():
    """Draw the error of every pass."""
    errors = quietly(example("e2_classic_backprop").main)["errors"]
    figure = plotting.new_figure(6.4, 3)
    ax = figure.add_subplot()
    ax.plot(range(len(errors)), errors)
    ax.set(yscale="log", xlabel="pass", ylabel="error")
    ax.grid(alpha=0.3)
    return figure


def inference():
    """Draw a part of the 784-50-100-10 net with one image in it."""
    net = mlpfast.MLP([784, 50, 100, 10], "sigmoid", "softmax", random_state=0)
    image = np.random.default_rng(1).random(784)
    figure = plotting.new_figure(7, 4.5)
    plotting.plot_network(net, image, figure.add_subplot(), max_units=5)
    return figure


def stuck():
    """Draw the loss of the net that gets stuck beside that of one which does not, and its plane."""
    module = example("e4_binary_crossentropy")
    X, Y = mlpfast.datasets.xor()
    figure = plotting.new_figure(8, 3)
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    for hidden, color in ((2, "C3"), (4, "C0")):
        net = module.start(hidden)
        losses = module.descend(net)
        left.plot(
            np.arange(len(losses)) * module.KEEP_EVERY,
            losses,
            color=color,
            label=f"{hidden} hidden units",
        )
        if hidden == 2:
            plotting.plot_decision_boundary(net, X, Y, right)
    left.set(xlabel="step", ylabel="loss", ylim=(0, None))
    left.set_xticks(range(0, 200_001, 50_000), ["0", "50,000", "100,000", "150,000", "200,000"])
    left.legend()
    right.set_title("2 hidden units", fontsize=10)
    return figure


def parabola():
    """Draw the way down, every tenth step a point."""
    figure = plotting.new_figure(6.4, 3)
    ax = figure.add_subplot()
    line = np.linspace(-1, 11, 200)
    ax.plot(line, (line - 3) ** 2 + 10, color="0.6")
    x = 3 + 7 * 0.98 ** np.arange(0, 101, 10)
    ax.plot(x, (x - 3) ** 2 + 10, "o-", color="C3", markersize=5)
    ax.set(xlabel="x", ylabel="y = (x - 3)^2 + 10")
    return figure


def learning_xor():
    """Draw the decision boundary of XOR after 0, 500, 1000, 2000 and 10,000 steps."""
    module = example("e6_bias_column")
    X, Y = mlpfast.datasets.xor()
    net = module.start()
    figure = plotting.new_figure(11, 2.6)
    done = 0
    for ax, steps in zip(figure.subplots(1, 5, sharey=True), STAGES, strict=True):
        if steps:
            module.descend(net, steps - done)
        done = steps
        plotting.plot_decision_boundary(net, X, Y, ax)
        ax.set_title(f"{steps:,} steps", fontsize=10)
        ax.label_outer()
    return figure


STAGES = (0, 500, 1_000, 2_000, 10_000)


def by_hand():
    """Draw the net of the hand calculation before and after its step."""
    step = quietly(example("e8_one_step_by_hand").main)["step"]
    net = mlpfast.MLP([2, 2, 1], "sigmoid", "sigmoid", "squared_error")
    figure = plotting.new_figure(9, 2.8)
    for ax, params, title in zip(
        figure.subplots(1, 2), (step.params, step.new_params), ("before", "after"), strict=True
    ):
        net.params = params
        plotting.plot_network(net, [1, 0], ax)
        ax.set_title(f"{title} the step", fontsize=10)
    return figure


def pieces():
    """Draw four activations and their slopes."""
    module = example("e9_pieces")
    z = np.linspace(-4, 4, 201)
    figure = plotting.new_figure(8, 3)
    left, right = figure.subplots(1, 2)
    for name in ("sigmoid", "tanh", "relu", "gelu"):
        left.plot(z, module.outputs(name, z), label=name)
        right.plot(z, module.slopes(name, z), label=name)
    left.set(xlabel="z", title="output f(z)", ylim=(-1.5, 3))
    right.set(xlabel="z", title="slope f'(z)")
    for ax in (left, right):
        ax.grid(alpha=0.3)
    left.legend()
    return figure


def vanishing():
    """Draw the gradient in every layer of nets of ten layers."""
    X, y = mlpfast.datasets.load_digits()
    sizes = [64] + [32] * 9 + [10]
    nets = {
        name: mlpfast.MLP(
            *(sizes, name, "softmax", "categorical_crossentropy"), init=rule, random_state=0
        )
        for name, rule in (("sigmoid", "glorot_uniform"), ("relu", "he_normal"))
    }
    figure = plotting.new_figure(6.4, 3)
    plotting.plot_gradient_flow(nets, X, y, figure.add_subplot())
    return figure


def mnist():
    """Return the three pictures of one training run: curves, weights, confusion matrix."""
    model, history, _ = quietly(lambda: example("e7_keras_lesson").mnist(verbose=0))
    curves = plotting.new_figure(6.4, 3)
    plotting.plot_history(history.history, curves.add_subplot())
    _, (X, y) = mlpfast.datasets.load_mnist()
    outputs = model.predict(X.astype(np.float32) / np.float32(255), verbose=0)
    weights = plotting.new_figure(9, 2.9)
    for ax, (title, net) in zip(
        weights.subplots(2, 1),
        (("the lesson's net", model.mlp), ("relu, cross-entropy, Adam, l2", decayed())),
        strict=True,
    ):
        # Those units whose weights have moved furthest from the noise they began as.
        units = np.argsort(-np.abs(net.weights[0]).max(axis=0))[:9]
        plotting.plot_weights(net, units.tolist(), ax, columns=9)
        ax.set_title(title, fontsize=10)
    confusion = plotting.new_figure(5.4, 5)
    plotting.plot_confusion_matrix(y, outputs, confusion.add_subplot())
    return {"7-curves": curves, "7-weights": weights, "7-confusion": confusion}


def decayed():
    """Return a net for MNIST whose noise has faded, by a weight decay."""
    (X, y), _ = mlpfast.datasets.load_mnist()
    net = mlpfast.MLP([784, 64, 10], "relu", "softmax", "categorical_crossentropy", random_state=0)
    net.fit(X, y, epochs=10, batch_size=128, input_scale=1 / 255, l2=3e-4, metrics=())
    return net


PICTURES = {
    "1-perceptron": perceptron,
    "2-classic": classic,
    "3-inference": inference,
    "4-stuck": stuck,
    "5-parabola": parabola,
    "6-learning-xor": learning_xor,
    "8-by-hand": by_hand,
    "9-pieces": pieces,
    "9-vanishing": vanishing,
}


def main(arguments=None):
    """Draw all, or all but lesson 7's without MNIST; return the paths."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=HERE, help="where to write them")
    parser.add_argument("--without-mnist", action="store_true", help="leave out lesson 7")
    options = parser.parse_args(arguments)
    figures = {name: draw() for name, draw in PICTURES.items()}
    if os.environ.get("MLPFAST_DATA") and not options.without_mnist:
        figures |= mnist()
    paths = []
    for name, figure in figures.items():
        paths.append(options.folder / f"{name}.png")
        write(figure, paths[-1])
    return paths


if __name__ == "__main__":
    for written in main():
        print(written)
