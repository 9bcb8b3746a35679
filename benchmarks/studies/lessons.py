"""The times of docs/lessons/: each lesson's example beside the plain program it replaces.

``python -m benchmarks.lessons`` measures all nine, ``python -m benchmarks.lessons 2 4 6`` some. The
programs take turns, the best round counts, and nobody is timed whose figures are wrong. Lesson 7
needs MNIST in the folder that MLPFAST_DATA names, and takes in Keras where it is installed.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib.util
import io
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import mlpfast
from benchmarks.machine import host
from benchmarks.studies import plain
from benchmarks.studies.drawing import readable
from mlpfast.kernels import dense_backward, dense_forward

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
#: A turn lasts about so many seconds: quicker programs are repeated.
_TURN = 0.1
#: Between turns, so that the threads of the one before have stopped looking for work.
_PAUSE = 0.15


@dataclass
class Lesson:
    """What is timed in one lesson.

    Attributes
    ----------
    number : int
    title : str
    contestants : dict of str to function
        "mlpfast" and the programs it replaces, each doing the same job.
    per : int
        The time shown is that of a job divided by this.
    aim : float
        Seconds that mlpfast may take at most, 0 for no aim.
    ratio : float
        How many times as fast as the first other it should be at least, 0 for no aim.
    rounds : int or None
        Fewer rounds, for long jobs.
    """

    number: int
    title: str
    contestants: dict[str, Callable[[], Any]]
    per: int = 1
    aim: float = 0.0
    ratio: float = 0.0
    rounds: int | None = None
    best: dict[str, float] = field(default_factory=dict)

    def measure(self, rounds: int) -> None:
        """Time all contestants in turns and keep each one's best time of a job."""
        counts = {name: _repeats(run) for name, run in self.contestants.items()}
        self.best = dict.fromkeys(counts, float("inf"))
        for _ in range(min(rounds, self.rounds or rounds)):
            for name, run in self.contestants.items():
                time.sleep(_PAUSE)
                seconds = _time(run, counts[name]) / counts[name] / self.per
                self.best[name] = min(self.best[name], seconds)

    def row(self) -> str:
        """Return the line of the table."""
        ours = self.best["mlpfast"]
        others = {name: t for name, t in self.best.items() if name != "mlpfast"}
        figures = "; ".join(f"{name} {readable(t)}" for name, t in others.items())
        ratios = "; ".join(f"{t / ours:.3g}" for t in others.values())
        aims = [f"at most {readable(self.aim)}"] if self.aim else []
        aims += [f"{self.ratio:g} times as fast"] if self.ratio else []
        met = (not self.aim or ours <= self.aim) and (
            not self.ratio or next(iter(others.values())) >= self.ratio * ours
        )
        verdict = f"{', '.join(aims)}: {'met' if met else 'NOT met'}" if aims else ""
        cells = (str(self.number), self.title, readable(ours), figures, ratios, verdict)
        return f"| {' | '.join(cells)} |"


def _time(run: Callable[[], Any], repeats: int) -> float:
    gc.collect()
    gc.disable()
    try:
        start = time.perf_counter()
        for _ in range(repeats):
            run()
        return time.perf_counter() - start
    finally:
        gc.enable()


def _repeats(run: Callable[[], Any]) -> int:
    run()  # warm
    count = 1
    while (seconds := _time(run, count)) < _TURN / 4:
        count *= 4
    return max(1, round(count * _TURN / seconds))


def _quiet(run: Callable[[], Any]) -> Any:
    with contextlib.redirect_stdout(io.StringIO()):
        return run()


def _example(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _same(ours: Any, theirs: Any, rtol: float = 1e-8, atol: float = 1e-10) -> None:
    np.testing.assert_allclose(np.asarray(ours).ravel(), np.asarray(theirs).ravel(), rtol, atol)


def _from_weights(sizes: list[int], activation: str, output: str, **options: Any) -> Any:
    return mlpfast.MLP(sizes, activation, output, dtype="float64", **options)


# ------------------------------------------------------------------ the nine


def perceptrons() -> Lesson:
    weights = [[[-2, 2], [-2, 2]], [[1], [1]]], [[3, -1], [-1]]
    net = _from_weights([2, 2, 1], "step", "step", init=weights)
    rows = [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]
    X = np.array(rows)
    _same(net.predict(X), plain.xor_of_perceptrons(rows))
    return Lesson(
        *(1, "the four rows of XOR through three perceptrons"),
        {"mlpfast": lambda: net.predict(X), "pure Python": lambda: plain.xor_of_perceptrons(rows)},
    )


def classic() -> Lesson:
    module = _example("e2_classic_backprop")
    ours, theirs = _quiet(module.main), plain.classic_program()
    _same(ours["errors"], theirs[0])
    return Lesson(
        *(2, "20,000 updates of single rows by a rule of one's own"),
        {"mlpfast": lambda: _quiet(module.main), "pure Python": plain.classic_program},
        ratio=2.0,
    )


def inference() -> Lesson:
    net = _from_weights([784, 50, 100, 10], "sigmoid", "softmax", random_state=0)
    images = np.random.default_rng(1).random((100, 784))
    weights, biases = net.weights, net.biases
    _same(net.predict(images), plain.infer(images, weights, biases))
    one = images[:1]
    return Lesson(
        *(3, "one image through 784-50-100-10, float64"),
        {"mlpfast": lambda: net.predict(one), "NumPy": lambda: plain.infer(one, weights, biases)},
    )


def crossentropy() -> Lesson:
    module = _example("e4_binary_crossentropy")
    _same(_quiet(module.main)["losses"], plain.two_layers()[0])
    return Lesson(
        *(4, "200,000 steps of 2-2-1, with the loss of each"),
        {"mlpfast": lambda: _quiet(module.main), "NumPy": plain.two_layers},
        aim=0.06,
        rounds=2,
    )


def parabola() -> Lesson:
    module = _example("e5_gradient_descent")
    _same(_quiet(module.main)["x"], plain.down_the_parabola())
    return Lesson(
        *(5, "100 steps down a parabola, the net included"),
        {"mlpfast": lambda: _quiet(module.main), "pure Python": plain.down_the_parabola},
    )


def bias_column() -> Lesson:
    module = _example("e6_bias_column")
    _same(_quiet(module.main)["outputs"], plain.bias_column())
    return Lesson(
        *(6, "10,000 steps of 2-5-1, the net included"),
        {"mlpfast": lambda: _quiet(module.main), "NumPy": plain.bias_column},
        aim=0.002,
    )


def mnist() -> Lesson | None:
    if not os.environ.get("MLPFAST_DATA"):
        return None
    (images, digits), _ = mlpfast.datasets.load_mnist()
    X = images.astype(np.float32) / np.float32(255)
    Y = np.eye(10, dtype=np.float32)[digits]
    net = mlpfast.MLP([784, 512, 10], "sigmoid", "sigmoid", loss="mse", random_state=0)
    lr, optimizer, rng = 0.1, mlpfast.SGD(0.1), np.random.default_rng(0)
    loop = plain.NumpyLesson(net.weights, net.biases)

    def ours() -> None:
        net.fit(X, Y, batch_size=128, optimizer=optimizer)

    contestants: dict[str, Callable[[], Any]] = {"mlpfast": ours}
    if importlib.util.find_spec("keras"):
        os.environ.setdefault("KERAS_BACKEND", "jax")
        model = plain.keras_lesson(net.weights, net.biases, lr)
        name = f"Keras on {os.environ['KERAS_BACKEND']}"
        contestants[name] = lambda: model.fit(X, Y, batch_size=128, epochs=1, verbose=0)
        part = slice(0, 1280)
        model.fit(X[part], Y[part], batch_size=128, shuffle=False, verbose=0)
    loop.epoch(X[:1280], Y[:1280], np.arange(1280), lr)
    net.fit(X[:1280], Y[:1280], batch_size=128, optimizer=optimizer, shuffle=False)
    _same(net.weights[1], loop.weights[1], rtol=1e-3, atol=1e-5)
    if len(contestants) > 1:
        _same(net.weights[1], model.get_weights()[2], rtol=1e-3, atol=1e-5)
    contestants["NumPy"] = lambda: loop.epoch(X, Y, rng.permutation(len(X)), lr)
    return Lesson(
        *(7, "MNIST, 784-512-10, batch 128: a sample of an epoch"),
        contestants,
        per=len(X),
        aim=6e-6,
        rounds=4,
    )


def by_hand() -> Lesson:
    net = _from_weights(
        *([2, 2, 1], "sigmoid", "sigmoid"),
        loss="squared_error",
        init=([[[2, 1], [-2, 3]], [[3], [-2]]], [[0, -1], [-1]]),
    )
    first, params, gradient = net.params.copy(), net.params, np.empty(net.n_params)
    x, y = np.array([[1.0, 0.0]]), np.array([[0.0]])

    def ours() -> None:
        params[:] = first
        net.loss_and_grad(x, y, out=gradient)
        np.subtract(params, gradient, out=params)

    ours()
    (w0, w1), (b0, b1) = net.weights, net.biases
    new = [[*w0[:, 0], b0[0]], [*w0[:, 1], b0[1]], [*w1[:, 0], b1[0]]]
    _same(new, plain.step_by_hand())
    return Lesson(
        *(8, "one step of 2-2-1 on one row"),
        {"mlpfast": ours, "pure Python": plain.step_by_hand},
    )


def pieces() -> Lesson:
    rng = np.random.default_rng(0)
    x, g = rng.standard_normal((1000, 256)), rng.standard_normal((1000, 256))
    w, b = rng.standard_normal((256, 256)) / 16, rng.standard_normal(256)

    def ours() -> Any:
        return dense_backward(x, w, dense_forward(x, w, b, "sigmoid"), g, "sigmoid")

    for mine, theirs in zip(ours(), plain.layer_there_and_back(x, w, b, g), strict=True):
        _same(mine, theirs)
    return Lesson(
        *(9, "a sigmoid layer of 256 there and back, 1000 rows, float64"),
        {"mlpfast": ours, "NumPy": lambda: plain.layer_there_and_back(x, w, b, g)},
    )


LESSONS: tuple[Callable[[], Lesson | None], ...] = (
    *(perceptrons, classic, inference, crossentropy, parabola),
    *(bias_column, mnist, by_hand, pieces),
)


def main(arguments: list[str] | None = None) -> int:
    """Measure the lessons asked for and print a table in Markdown."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lessons", description=__doc__)
    parser.add_argument("lessons", nargs="*", type=int, metavar="N", help="1 to 9; all by default")
    parser.add_argument("--rounds", type=int, default=9, help="turns of each program (9)")
    options = parser.parse_args(arguments)
    numbers = options.lessons or range(1, len(LESSONS) + 1)
    if any(not 1 <= n <= len(LESSONS) for n in numbers) or options.rounds < 1:
        parser.error(f"lessons are 1 to {len(LESSONS)}, rounds at least 1")
    facts = host.describe(mlpfast.get_num_threads())
    print(
        f"{facts['cpu']}, {facts['cpus']} processors, {facts['threads']} threads", file=sys.stderr
    )
    print("| lesson | job | mlpfast | replaced | times as fast | aim |\n|---|---|---|---|---|---|")
    for number in numbers:
        lesson = LESSONS[number - 1]()
        if lesson is None:
            print(f"lesson {number} needs MNIST: set MLPFAST_DATA", file=sys.stderr)
            continue
        lesson.measure(options.rounds)
        print(lesson.row(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
