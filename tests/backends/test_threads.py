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


# sizes, hidden and output activation, loss, rows, batch, epochs. The first word of a name is the
# plan of the compiled backend, as long as neither clipping nor dropout rules out the tiny one.
NETS = {
    "wide": ([300, 260, 130, 10], "relu", "softmax", "categorical_crossentropy", 500, 128, 2),
    "wide, odd sizes": ([129, 515, 10], "relu", "softmax", "categorical_crossentropy", 130, 128, 2),
    # Layers with fewer inputs than there are threads.
    "wide, hourglass": ([784, 64, 3, 64, 784], "tanh", "identity", "mse", 150, 50, 2),
    "wide, two units": ([1200, 2, 32, 1200], "tanh", "identity", "mse", 150, 50, 2),
    "narrow": ([4, 32, 16, 4], "tanh", "identity", "mse", 9973, 9973, 5),
    "narrow, uneven": ([3, 7, 1], "gelu", "sigmoid", "binary_crossentropy", 3001, 1000, 3),
    "narrow, several groups": (
        *([30, 128, 64, 1], "relu", "sigmoid", "binary_crossentropy"),
        *(700, 330, 3),
    ),
    "tiny": ([2, 5, 1], "sigmoid", "sigmoid", "squared_error", 4, 4, 300),
    "narrow, quantile": ([12, 90, 2], "relu", "identity", mlpfast.Quantile(0.9), 900, 300, 2),
    # One hidden layer, whose units are shared out.
    "sliced": ([30, 150, 5], "relu", "softmax", "categorical_crossentropy", 450, 200, 3),
    "sliced, one batch": ([30, 130, 2], "silu", "sigmoid", "mse", 250, 250, 3),
    "sliced, uneven": ([150, 100, 1], "tanh", "identity", "huber", 400, 197, 3),
}

# What else a step may do, on one net for each way of sharing it: options of the net, and of `fit`.
OPTIONS = {
    "clip_norm": ({}, {"optimizer": mlpfast.Adam(0.01, clip_norm=0.05), "l2": 0.01}),
    "clip_value": ({}, {"optimizer": mlpfast.Adam(0.01, clip_value=0.002), "l2": 0.01}),
    "dropout": ({"dropout": 0.3}, {}),
    "input_dropout": ({"input_dropout": 0.4}, {}),
    "dropout of all layers": ({"dropout": 0.5, "input_dropout": 0.2}, {}),
    "means over rows": (
        {"reduction": "mean_over_rows"},
        {"optimizer": mlpfast.Adam(0.01, epsilon_hat=True), "l2_in_loss": True},
    ),
}
WITH_OPTIONS = [
    *("tiny", "sliced", "narrow"),
    *(pytest.param(name, marks=pytest.mark.slow) for name in ("narrow, several groups", "wide")),
]


def trained(name, dtype, backend, net_options=None, **fit_options):
    """Return the net, its history and what else it computes, on data of a fixed seed."""
    sizes, hidden, output, loss, n, batch_size, epochs = NETS[name]
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, sizes[0])).astype(dtype)
    y = rng.random((n, sizes[-1]))
    if loss == "categorical_crossentropy":
        y = rng.integers(0, sizes[-1], n)
    arguments = {"dtype": dtype, "random_state": 0, "backend": backend, **(net_options or {})}
    net = mlpfast.MLP(sizes, hidden, output, loss, **arguments)
    arguments = {"epochs": epochs, "batch_size": batch_size, "metrics": ("accuracy", "mae")}
    arguments = {"optimizer": mlpfast.Adam(0.01), **arguments, **fit_options}
    figures = net.fit(x, y, **arguments).history
    figures["predictions"] = net.predict(x).tolist()
    figures["evaluation"] = net.evaluate(x, y)
    figures["gradient"] = net.loss_and_grad(x, y)[1].tolist()
    return net, figures


@pytest.mark.parametrize("name", NETS)
def test_the_nets_run_the_plans_that_they_name(name, compiled, dtype):
    sizes, hidden, output, loss, n, batch_size, _ = NETS[name]
    net = mlpfast.MLP(sizes, hidden, output, loss, dtype=dtype, backend=compiled)
    assert mlpfast.explain_plan(net, batch_size, n).plan == name.split(",")[0]


# Not on NumPy's backend, whose products run in a BLAS that has threads of its own.
@pytest.mark.parametrize("name", NETS)
def test_threads_do_not_change_a_bit(name, accelerated, dtype, restore_threads, assume_near_cores):
    results = []
    for count, near in [(1, True), (2, True), (3, True), (4, True), (8, True), (4, False)]:
        mlpfast.set_num_threads(count)
        assume_near_cores(near)
        net, figures = trained(name, dtype, accelerated)
        results.append((net.params, figures, f"{count} threads, near={near}"))
    for params, figures, case in results[1:]:
        np.testing.assert_array_equal(params, results[0][0], err_msg=case)
        assert figures == results[0][1], case


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("name", WITH_OPTIONS)
def test_threads_do_not_change_a_bit_with(name, option, accelerated, dtype, restore_threads):
    net_options, fit_options = OPTIONS[option]
    if option == "means over rows":
        sizes, n = NETS[name][0], NETS[name][4]
        l2 = [0.01, 0.0, 0.1][: len(sizes) - 1]
        fit_options = {"l2": l2, "sample_weight": np.linspace(0, 2, n), **fit_options}
    results = []
    for count in (1, 2, 3):
        mlpfast.set_num_threads(count)
        net, figures = trained(name, dtype, accelerated, net_options, **fit_options)
        results.append((net.params.tobytes(), figures))
    assert results[1] == results[0], "2 threads"
    assert results[2] == results[0], "3 threads"


def test_the_same_run_twice_gives_the_same_bits(backend, dtype):
    nets = [trained("narrow, uneven", dtype, backend)[0] for _ in range(2)]
    np.testing.assert_array_equal(nets[0].params, nets[1].params)


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
    results, errors = [], []
    barrier = threading.Barrier(4)

    def train():
        net, figures = trained("narrow, several groups", "float32", backend)
        return net.params.tobytes(), figures

    def work():
        try:
            barrier.wait()
            results.append(train())
        except BaseException as error:  # noqa: BLE001 - shown below, in the thread of the test
            errors.append(error)

    want = train()
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
