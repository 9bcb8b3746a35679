"""The number of threads: how it is chosen, that it changes nothing, forks and threads at once."""

import os
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest

import mlpfast
from mlpfast import backends
from mlpfast.backends import threads

# ------------------------------------------------------------------ cgroup limits


@pytest.fixture
def cgroup(tmp_path):
    """Build a tree of files and return what `_cgroup_limit` makes of it."""

    def limit(self_file, files):
        (tmp_path / "self").write_text(self_file)
        for name, text in files.items():
            path = tmp_path / "fs" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return threads._cgroup_limit(str(tmp_path / "fs"), str(tmp_path / "self"))

    return limit


V1 = "12:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n1:name=systemd:/docker/abc\n"
QUOTA, PERIOD = "cpu.cfs_quota_us", "cpu.cfs_period_us"


@pytest.mark.parametrize(
    ("self_file", "files", "want"),
    [
        # version 2
        ("0::/\n", {"cpu.max": "200000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 2),  # one and a half: rounded up
        ("0::/\n", {"cpu.max": "50000 100000\n"}, 1),
        ("0::/\n", {"cpu.max": "1000 100000\n"}, 1),
        ("0::/\n", {"cpu.max": "max 100000\n"}, None),
        ("0::/\n", {}, None),
        ("0::/a/b\n", {"a/b/cpu.max": "300000 100000"}, 3),
        ("0::/a/b\n", {"a/cpu.max": "300000 100000", "a/b/cpu.max": "max 100000"}, 3),
        ("0::/a/b\n", {"a/cpu.max": "100000 100000", "a/b/cpu.max": "400000 100000"}, 1),
        ("0::/a/b\n", {"a/cpu.max": "max 100000", "a/b/cpu.max": "400000 100000"}, 4),
        ("0::/a/b\n", {"other/cpu.max": "100000 100000"}, None),
        # The path is that of the host, the tree that of the container.
        ("0::/docker/abc\n", {"cpu.max": "200000 100000"}, 2),
        ("0::/../..\n", {"cpu.max": "200000 100000"}, 2),
        # version 1
        (V1, {f"cpu/docker/abc/{QUOTA}": "250000\n", f"cpu/docker/abc/{PERIOD}": "100000\n"}, 3),
        (V1, {f"cpu,cpuacct/{QUOTA}": "250000", f"cpu,cpuacct/{PERIOD}": "50000"}, 5),
        (V1, {f"cpu/{QUOTA}": "-1", f"cpu/{PERIOD}": "100000"}, None),
        (V1, {f"memory/{QUOTA}": "100000", f"memory/{PERIOD}": "100000"}, None),
        # nonsense limits nothing
        ("0::/\n", {"cpu.max": ""}, None),
        ("0::/\n", {"cpu.max": "some words"}, None),
        ("0::/\n", {"cpu.max": "100000 0"}, None),
        ("0::/\n", {"cpu.max": "100000"}, None),
        (V1, {f"cpu/{QUOTA}": "100000"}, None),
        ("what is this", {"cpu.max": "100000 100000"}, None),
        ("", {"cpu.max": "100000 100000"}, None),
    ],
)
def test_cgroup_limit(cgroup, self_file, files, want):
    assert cgroup(self_file, files) == want


def test_no_cgroups_at_all(tmp_path):
    assert threads._cgroup_limit(str(tmp_path), str(tmp_path / "self")) is None


# ------------------------------------------------------------------ the choice


@pytest.fixture
def choose(monkeypatch):
    """Return the number chosen for given surroundings, and forget it afterwards."""

    def chosen(*, env=None, affinity=64, cgroup=None):
        for name in ("MLPFAST_NUM_THREADS", "OMP_NUM_THREADS"):
            monkeypatch.delenv(name, raising=False)
        for name, value in (env or {}).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(threads, "_chosen", None)
        monkeypatch.setattr(threads, "_cgroup_limit", lambda: cgroup)
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(affinity), raising=False)
        return mlpfast.get_num_threads()

    return chosen


@pytest.mark.parametrize(
    ("omp", "affinity", "cgroup", "want"),
    [
        (None, 6, None, 6),
        (None, 6, 3, 3),
        (None, 2, 3, 2),
        ("4", 6, None, 4),
        ("4", 6, 3, 3),
        ("8", 6, None, 6),
        ("4,2", 6, None, 4),  # a list is for nested regions: the first counts
        (" 5 ", 6, None, 5),
        ("", 6, None, 6),
        ("0", 6, None, 6),  # nonsense in another library's variable is not our business
        ("many", 6, None, 6),
        ("-2", 6, None, 6),
    ],
)
def test_the_least_limit_counts(choose, omp, affinity, cgroup, want):
    env = {} if omp is None else {"OMP_NUM_THREADS": omp}
    assert choose(env=env, affinity=affinity, cgroup=cgroup) == want


def test_our_own_variable_overrides_every_limit(choose):
    env = {"MLPFAST_NUM_THREADS": "7", "OMP_NUM_THREADS": "1"}
    assert choose(env=env, affinity=2, cgroup=1) == 7


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5", "1,2", "\u00b2", " "])
def test_our_own_variable_must_be_a_number(choose, value):
    with pytest.raises(
        ValueError, match="MLPFAST_NUM_THREADS must be an integer from 1 to 4096, got"
    ):
        choose(env={"MLPFAST_NUM_THREADS": value})


def test_the_number_of_cpus_where_there_is_no_affinity(choose, monkeypatch):
    choose()
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 5)
    monkeypatch.setattr(threads, "_chosen", None)
    assert mlpfast.get_num_threads() == 5
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    monkeypatch.setattr(threads, "_chosen", None)
    assert mlpfast.get_num_threads() == 1


def test_set_num_threads(choose):
    choose(affinity=4)
    assert mlpfast.set_num_threads(3) == 3
    assert mlpfast.get_num_threads() == 3
    assert mlpfast.set_num_threads(np.int64(1)) == 1
    for bad, error in ((0, ValueError), (-1, ValueError), (1.0, TypeError), (None, TypeError)):
        with pytest.raises(error, match="n must be"):
            mlpfast.set_num_threads(bad)
        assert mlpfast.get_num_threads() == 1


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs CPU affinity")
def test_affinity_of_a_real_process():
    script = (
        "import os, mlpfast; cpu = min(os.sched_getaffinity(0)); os.sched_setaffinity(0, {cpu});"
        "print(mlpfast.get_num_threads())"
    )
    env = {k: v for k, v in os.environ.items() if k != "MLPFAST_NUM_THREADS"}
    done = subprocess.run(
        [sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True
    )
    assert done.stdout == "1\n"


# ------------------------------------------------------------------ the number changes nothing


def train(backend, *, sizes=(20, 70, 33, 3), n=300, batch_size=64, dtype="float32"):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, sizes[0])).astype(dtype)
    y = rng.integers(0, sizes[-1], n)
    net = mlpfast.MLP(
        list(sizes),
        "relu",
        "softmax",
        "categorical_crossentropy",
        dtype=dtype,
        random_state=0,
        backend=backend,
    )
    h = net.fit(x, y, epochs=2, batch_size=batch_size)
    loss, grad = net.loss_and_grad(x, y)
    evaluated = net.evaluate(x, y, metrics=("accuracy", "mse", "mae"))
    return (
        net.params.tobytes(),
        net.predict(x).tobytes(),
        loss,
        grad.tobytes(),
        evaluated,
        h.history,
    )


JOBS = {
    "batches": {},
    "all rows in a batch": {"n": 5000, "sizes": (4, 32, 16, 4), "batch_size": 5000},
    "wide": {"sizes": (129, 515, 10), "n": 130, "batch_size": 128},
    "double": {"dtype": "float64", "sizes": (61, 127, 10)},
}


@pytest.mark.parametrize("job", JOBS)
def test_bitwise_the_same_for_any_number_of_threads(backend, restore_threads, job):
    results = []
    for n in (1, 2, 3, 8):
        mlpfast.set_num_threads(n)
        results.append(train(backend, **JOBS[job]))
    for n, result in zip((2, 3, 8), results[1:], strict=True):
        assert result == results[0], f"{n} threads differ from one"


def test_the_number_may_change_between_fits_of_a_net(backend, restore_threads):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(256, 40)), rng.normal(size=(256, 5))
    nets = [
        mlpfast.MLP([40, 150, 5], random_state=0, backend=backend, dtype="float64")
        for _ in range(2)
    ]
    for i, n in enumerate((1, 4, 2)):
        for net, count in zip(nets, (1, n), strict=True):
            mlpfast.set_num_threads(count)
            net.fit(x, y, epochs=1 + i, batch_size=64)
    assert nets[0].params.tobytes() == nets[1].params.tobytes()


# ------------------------------------------------------------------ many at once


def test_threads_that_fit_at_once_do_not_disturb_each_other(backend, restore_threads):
    mlpfast.set_num_threads(2)
    want = train(backend)
    results, errors = [], []
    barrier = threading.Barrier(4)

    def work():
        try:
            barrier.wait()
            results.append(train(backend))
        except BaseException as error:  # noqa: BLE001 - shown below, in the thread of the test
            errors.append(error)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not errors
    assert all(result == want for result in results)
    assert len(results) == 4


def test_threads_may_share_a_net_to_predict(backend, restore_threads):
    mlpfast.set_num_threads(2)
    net = mlpfast.MLP([30, 100, 5], random_state=0, backend=backend)
    x = np.random.default_rng(0).normal(size=(64, 30)).astype("f4")
    want, rows = net.predict(x), [net.predict(row) for row in x]
    wrong = []
    barrier = threading.Barrier(4)

    def work():
        barrier.wait()
        for _ in range(20):
            if not np.array_equal(net.predict(x), want):
                wrong.append("batch")
            wrong.extend(i for i in range(64) if not np.array_equal(net.predict(x[i]), rows[i]))

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


# A child that hangs is ended by its alarm, so that the parent sees a signal instead of waiting.
FORK = """
    import os, signal, sys, threading, warnings
    import numpy as np, mlpfast

    warnings.filterwarnings("ignore", category=DeprecationWarning)  # of fork with threads
    backend = sys.argv[1]
    mlpfast.set_num_threads(4)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(512, 100)), rng.normal(size=(512, 10))

    def fit(net):
        net.fit(x, y, epochs=2, batch_size=128)
        return net.params.tobytes()

    def in_child(work):
        pid = os.fork()
        if pid == 0:
            signal.alarm(120)
            code = 1
            try:
                code = 0 if work() else 2
            finally:
                os._exit(code)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    net = mlpfast.MLP([100, 300, 10], random_state=0, backend=backend)
    fit(net)
    twin = net.copy()
    want = fit(twin)
    # A net of the parent, and a new one, in a child; and in a child of the child.
    assert in_child(lambda: fit(net) == want) == 0
    assert in_child(lambda: in_child(lambda: fit(net) == want) == 0) == 0
    fresh = mlpfast.MLP([100, 300, 10], random_state=0, backend=backend)
    assert in_child(lambda: np.isfinite(fresh.predict(x)).all()) == 0
    if backend.startswith("cpp"):
        # Forks while another thread of the parent is training, which the BLAS libraries that
        # the other backends call do not promise to survive.
        stop = threading.Event()
        other = mlpfast.MLP([100, 300, 10], random_state=1, backend=backend)
        def train_on():
            while not stop.is_set():
                fit(other)
        thread = threading.Thread(target=train_on)
        thread.start()
        codes = [in_child(lambda: fit(net) == want) for _ in range(5)]
        stop.set()
        thread.join()
        assert codes == [0] * 5, codes
    # The parent is as it was.
    assert fit(net) == want
    print("done")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_fit_in_a_forked_child(backend):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FORK), backend],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert (done.stdout, done.returncode) == ("done\n", 0), done.stderr


def test_a_second_thread_cannot_train_the_same_net():
    if "cpp" not in backends.available():
        pytest.skip("only the compiled trainer runs without the interpreter's lock")
    net = mlpfast.MLP([20, 40, 2], "tanh", random_state=0, backend="cpp")
    x, y = np.ones((500, 20), np.float32), np.ones((500, 2), np.float32)
    refusals = []

    def train(batch_size):
        for _ in range(20):
            try:
                net.fit(x, y, epochs=3, batch_size=batch_size)
            except RuntimeError as error:
                refusals.append(str(error))

    workers = [threading.Thread(target=train, args=(size,)) for size in (16, 32, 64)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert set(refusals) <= {"this net is being trained by another thread"}
    assert np.isfinite(net.params).all()
