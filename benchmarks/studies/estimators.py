"""Job SK: mlpfast's estimators beside scikit-learn's: the same fits, the same results, in turns.

Both run in one process that is held to the given processors, with the same threads. Nobody is timed
before both have given the same answer.
"""

from __future__ import annotations

import json
import os
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from benchmarks.jobs.floors import Floor, figure
from benchmarks.machine import host, probe
from benchmarks.machine.timing import interleave, repeats, seconds
from benchmarks.studies.drawing import readable

NAME = "SK"
TITLE = "the estimators beside scikit-learn's, the same fits with the same results"


@dataclass(frozen=True)
class Job:
    """A piece of work for both estimators.

    Attributes
    ----------
    name, title : str
    make : function
        Of the estimator class; returns the work, which gives figures to compare.
    times : float
        How many times as fast mlpfast is to be.
    rtol : float
        How far the figures may be apart, relative to the largest.
    mine : dict
        Parameters of mlpfast's estimator alone.
    """

    name: str
    title: str
    make: Callable[[Any], Callable[[], Any]]
    times: float
    rtol: float = 1e-6
    mine: dict[str, Any] = field(default_factory=dict)


def _rows(n: int, width: int, dtype: str = "float64") -> tuple[Any, Any]:
    """Return n rows of two classes, of which a net has something to learn."""
    import numpy as np

    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, width)).astype(dtype)
    return X, (X[:, :5].prod(axis=1) + X[:, 5] > 0).astype(int)


def _weights(estimator: Any) -> Any:
    import numpy as np

    return np.concatenate([w.ravel() for w in (*estimator.coefs_, *estimator.intercepts_)])


def fit(
    kind: Any, *, n: int, width: int, dtype: str = "float64", figures: Any = _weights, **rest: Any
) -> Callable[[], Any]:
    """Return a fit of made-up rows with the `rest` of the parameters."""
    X, y = _rows(n, width, dtype)
    return lambda: figures(kind(random_state=0, **rest).fit(X, y))


def lbfgs(kind: Any) -> Callable[[], Any]:
    """Return a regression by L-BFGS, which converges to the same loss on the same path."""
    from sklearn.datasets import make_regression

    X, y = make_regression(200, 10, noise=10, random_state=0)
    return lambda: kind(solver="lbfgs", random_state=0).fit(X, y / 100).loss_


def _curve(estimator: Any) -> Any:
    return estimator.loss_curve_


def digits(kind: Any) -> Callable[[], Any]:
    """Return a fit of the digits to convergence."""
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    return lambda: _weights(kind(random_state=0).fit(X, y))


def one_row(kind: Any) -> Callable[[], Any]:
    """Return the probabilities of one row, 30-100-1."""
    X, y = _rows(2000, 30)
    predict, row = kind(max_iter=5, random_state=0).fit(X, y).predict_proba, X[:1]
    return lambda: predict(row)


def search(kind: Any) -> Callable[[], Any]:
    """Return a search over 12 configurations and 5 folds in two processes, with its scores."""
    from sklearn.datasets import load_breast_cancer
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    for name in host.THREAD_VARIABLES:  # joblib gives each process its share, if nobody else has
        os.environ.pop(name, None)
    X, y = load_breast_cancer(return_X_y=True)
    grid = {
        "hidden_layer_sizes": [(50,), (100,)],
        "alpha": [1e-5, 1e-4, 1e-3],
        "learning_rate_init": [1e-3, 1e-2],
    }
    pipeline = make_pipeline(StandardScaler(), kind(random_state=0))
    step = pipeline.steps[-1][0]
    searched = GridSearchCV(pipeline, {f"{step}__{k}": v for k, v in grid.items()}, cv=5, n_jobs=2)
    return lambda: searched.fit(X, y).cv_results_["mean_test_score"]


_NET: dict[str, Any] = {"n": 20_000, "width": 100, "hidden_layer_sizes": (512, 512), "max_iter": 3}

JOBS: tuple[Job, ...] = (
    Job(
        *("default", "20,000 x 30, (100,), float64, 10 epochs"),
        partial(fit, n=20_000, width=30, max_iter=10),
        times=6,
    ),
    Job("two layers", "20,000 x 100, (512, 512), float64, 3 epochs", partial(fit, **_NET), 3.5),
    Job(
        *("two layers, float32", "the same on float32 rows"),
        partial(fit, dtype="float32", figures=_curve, **_NET),
        times=4.5,
        rtol=1e-3,
    ),
    Job(
        *("two layers, dtype", 'the same on float64 rows with dtype="float32"'),
        partial(fit, figures=_curve, **_NET),
        times=4.5,
        rtol=1e-3,
        mine={"dtype": "float32"},
    ),
    Job("digits", "digits, default, to convergence", digits, times=5),
    Job("one row", "predict_proba of one row, 30-100-1", one_row, times=20),
    Job(
        *("grid search", "GridSearchCV, breast cancer, 12 configurations x 5 folds"),
        search,
        times=5,
        rtol=1e-3,
    ),
    Job("L-BFGS", "MLPRegressor, 200 x 10, (100,), lbfgs, to convergence", lbfgs, 3, 1e-4),
)


def kinds(job: Job) -> dict[str, Any]:
    """Return both estimator classes."""
    import sklearn.neural_network

    import mlpfast.sklearn

    name = "MLPRegressor" if job.make is lbfgs else "MLPClassifier"
    ours = partial(getattr(mlpfast.sklearn, name), **job.mine)
    return {"mlpfast": ours, "scikit-learn": getattr(sklearn.neural_network, name)}


def measure(names: list[str], quick: bool) -> dict[str, dict[str, list[float]]]:
    """Return the seconds of every round by job and contestant, in this process."""
    import numpy as np

    warnings.simplefilter("ignore")  # that so few epochs do not converge
    found = {}
    for job in JOBS:
        if names and job.name not in names:
            continue
        work = {name: job.make(kind) for name, kind in kinds(job).items()}
        ours, theirs = (np.asarray(run()) for run in work.values())
        apart = float(np.abs(ours - theirs).max() / np.abs(theirs).max())
        if not apart <= job.rtol:
            raise SystemExit(f"{job.name}: the results are {apart:.1e} apart, relative")
        turns = {}
        for name, run in work.items():
            again = partial(_again, run)
            k = 1 if quick else repeats(again, 0.1, 10_000)
            turns[name] = lambda again=again, k=k: again(k) / k
        # Threads that idle look for work a while: so long the other waits.
        timings = interleave(turns, 1 if quick else 5, pause=partial(time.sleep, 0.2))
        found[job.name] = {name: list(timing.samples) for name, timing in timings.items()}
    return found


def _again(run: Callable[[], Any], k: int) -> float:
    def work() -> None:
        for _ in range(k):
            run()

    return seconds(work)


def run(cpus: list[int], quick: bool) -> dict[str, Any]:
    """Measure in a process of its own."""
    answer: dict[str, Any] = probe.ask("studies.estimators", cpus, *["quick"] * quick)
    return answer


def ratio(samples: dict[str, list[float]]) -> float:
    """Return how many times as fast mlpfast is, best round against best round."""
    return min(samples["scikit-learn"]) / min(samples["mlpfast"])


def lines(facts: dict[str, Any]) -> list[str]:
    """Return the table."""
    table = [f"{NAME}  {TITLE}", f"  {'':<62}{'mlpfast':>10}{'scikit-learn':>14}{'lead':>9}"]
    for job in JOBS:
        if samples := facts.get(job.name):
            ours, theirs = (readable(min(samples[name])) for name in ("mlpfast", "scikit-learn"))
            table.append(f"  {job.title:<62}{ours:>10}{theirs:>14}{ratio(samples):>8.1f}x")
    return table


def floors(facts: dict[str, Any]) -> list[Floor]:
    """Judge every job."""
    return [
        Floor(
            f"{NAME}, {job.name}: {figure(job.times)} x as fast as scikit-learn",
            f"{ratio(facts[job.name]):.2f} x",
            ratio(facts[job.name]) >= job.times,
        )
        for job in JOBS
        if job.name in facts
    ]


if __name__ == "__main__":
    _, arguments = probe.begin()
    quick = arguments[:1] == ["quick"]
    print(json.dumps(measure(arguments[quick:], quick)))
