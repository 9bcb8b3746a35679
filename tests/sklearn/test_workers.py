"""Fits in joblib's workers: how many threads they take, by what is counted and never by time."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytest.importorskip("sklearn", minversion="1.6")

import joblib

from mlpfast import backends

pytestmark = pytest.mark.slow

# In a program of its own: workers learn functions of a program, but not those of a test module.
PROGRAM = """
    import json, os, sys, threading, warnings
    import joblib
    import numpy as np
    from sklearn.model_selection import cross_validate
    import mlpfast
    from mlpfast.sklearn import MLPClassifier

    kind, n_jobs, n_threads = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
    X = np.random.default_rng(0).normal(size=(600, 100))
    y = X[:, 0] > 0

    def own_threads():  # those that Python did not start
        tasks = "/proc/self/task"
        return len(os.listdir(tasks)) - threading.active_count() if os.path.isdir(tasks) else 0

    class Counter(mlpfast.Callback):
        def __init__(self):
            self.seen = []

        def on_epoch_end(self, net, epoch, logs):
            self.seen.append([os.getpid(), mlpfast.get_num_threads(), own_threads()])

    def classifier(n_threads):
        return MLPClassifier((200, 200), max_iter=3, n_threads=n_threads, callbacks=[Counter()])

    if __name__ == "__main__":
        warnings.simplefilter("ignore")
        os.environ["PYTHONWARNINGS"] = "ignore"  # for the workers
        classifier(1).fit(X, y)  # so that all is loaded
        before = own_threads()
        if kind == "threading":
            mlpfast.set_num_threads(3)
        with joblib.parallel_config(kind, n_jobs=n_jobs):
            done = cross_validate(classifier(n_threads), X, y, cv=4, return_estimator=True)
        seen = [clf.callbacks[0].seen for clf in done["estimator"]]
        print(json.dumps({"before": before, "parent": os.getpid(), "seen": sum(seen, [])}))
"""


def in_workers(kind, n_jobs, n_threads=None, **environment):
    """Return the numbers of threads that four fits have, and how many were started in a process."""
    names = ("MLPFAST_NUM_THREADS", "OMP_NUM_THREADS")
    kept = {k: v for k, v in os.environ.items() if k not in names}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), kind, str(n_jobs), json.dumps(n_threads)],
        env=kept | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    pids, numbers, threads = zip(*result["seen"], strict=True)
    assert len(pids) == 4 * 3  # epochs
    assert (result["parent"] in pids) == (kind == "threading")
    return set(numbers), max(threads) - result["before"]


def test_a_process_of_joblib_takes_its_share_of_the_processors():
    numbers, _ = in_workers("loky", 2)
    assert numbers == {max(1, joblib.cpu_count() // 2)}


def test_who_asks_for_a_number_gets_it_in_every_process():
    assert in_workers("loky", 2, n_threads=3)[0] == {3}
    assert in_workers("loky", 2, MLPFAST_NUM_THREADS="3")[0] == {3}


def test_threads_of_joblib_have_one_pool_between_them():
    """Every fit may use all three threads, but one at a time: there are two helpers in all."""
    if "cpp" not in backends.available():
        pytest.skip("the other backends have no pool")
    numbers, started = in_workers("threading", 4, MLPFAST_BACKEND="cpp")
    assert numbers == {3}
    if Path("/proc/self/task").is_dir():
        assert started == 2
