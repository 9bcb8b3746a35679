"""The benchmarks package: its definitions, its arithmetic, and a short run of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
if not (ROOT / "benchmarks" / "__main__.py").is_file():
    pytest.skip("the benchmarks are not part of this tree", allow_module_level=True)
sys.path.insert(0, str(ROOT))

from benchmarks import peers  # noqa: E402
from benchmarks.jobs import check, floors, limit, report, workloads  # noqa: E402
from benchmarks.jobs.contest import Result  # noqa: E402
from benchmarks.jobs.data import flatten, make_job  # noqa: E402
from benchmarks.jobs.worker import ContestantError, Worker  # noqa: E402
from benchmarks.machine import timing  # noqa: E402
from benchmarks.machine.ceilings import Ceilings, Rates, describe  # noqa: E402
from benchmarks.machine.timing import Timing  # noqa: E402
from benchmarks.studies import registry  # noqa: E402

import mlpfast  # noqa: E402

BY_NAME = {w.name: w for w in workloads.WORKLOADS}


def run_benchmarks(*arguments: str) -> subprocess.CompletedProcess[str]:
    package = str(Path(mlpfast.__file__).resolve().parents[1])
    path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def ceilings() -> Ceilings:
    """Round figures: 100 GFLOP/s a core, 2 GHz, 512-bit vectors, 1 MiB of L2."""
    sizes = [16 << 10, 256 << 10, 8 << 20, 256 << 20]
    one = Rates(100e9, 50e9, tuple(zip(sizes, (200e9, 100e9, 20e9, 10e9), strict=True)))
    both = Rates(200e9, 100e9, tuple(zip(sizes, (400e9, 200e9, 40e9, 20e9), strict=True)))
    return Ceilings(one, both, 2, 2e9, 64, 32 << 10, 1 << 20, "by hand")


# ------------------------------------------------------------------ workloads and data


def test_names_are_unique_and_groups_select():
    assert len(BY_NAME) == len(workloads.WORKLOADS)
    assert [w.name for w in workloads.select(["X"])] == ["X:float32", "X:float64"]
    assert [w.name for w in workloads.select(["P1:4-16-3", "P1"])] == ["P1:4-16-3", "P1:30-100-5"]
    with pytest.raises(ValueError, match="workload must be one of M, M-Adam, .*got 'Q'"):
        workloads.select(["Q"])


def test_studies_are_selected_beside_the_jobs():
    assert registry.select([]) == (list(workloads.WORKLOADS), list(registry.STUDIES))
    jobs, chosen = registry.select(["G", "X", "MEM"])
    assert [w.name for w in jobs] == ["X:float32", "X:float64"]
    assert [study.NAME for study in chosen] == ["G", "MEM"]
    assert registry.select(["TS"])[0] == []
    with pytest.raises(ValueError, match="PB, G, TS, A, F, MEM, SK; got 'Q'"):
        registry.select(["Q"])


@pytest.mark.parametrize("w", workloads.WORKLOADS, ids=lambda w: w.name)
def test_every_workload_is_a_net_that_mlpfast_accepts(w):
    spec = mlpfast.NetSpec(w.sizes, w.activations, w.loss, w.reduction, w.dtype)
    assert spec.n_params == w.n_params
    assert w.timed in ("epoch", "step", "predict")
    assert w.unit in floors.UNITS
    # A step is a full batch; in an epoch the order matters.
    assert (w.batch < w.rows) == (w.timed == "epoch")


@pytest.mark.slow
@pytest.mark.parametrize("w", workloads.WORKLOADS, ids=lambda w: w.name)
def test_shortened_jobs_have_the_stated_shapes_and_repeat(w):
    short = w.shortened()
    job, again = make_job(short), make_job(short)
    assert job.x.shape == (short.rows, w.sizes[0])
    assert job.y.shape == (short.rows, w.sizes[-1])
    assert job.params.shape == (w.n_params,)
    assert {job.x.dtype, job.y.dtype, job.params.dtype} == {np.dtype(w.dtype)}
    for name in ("x", "y", "params"):
        np.testing.assert_array_equal(getattr(job, name), getattr(again, name))
    if job.labels is not None:
        np.testing.assert_array_equal(job.y.argmax(axis=1), job.labels)
    np.testing.assert_array_equal(flatten(job.layers()), job.params)
    if w.timed == "epoch":
        assert short.rows % short.batch, "the smaller last batch must be checked too"


def test_e6_starts_from_the_weights_of_the_worked_example():
    """10,000 steps give the outputs of the plain program, computed here once more."""
    np_random = np.random.RandomState(5)
    w0, w1 = 2 * np_random.random_sample((3, 6)) - 1, 2 * np_random.random_sample((6, 1)) - 1
    job = make_job(BY_NAME["E6"])
    (inner, inner_bias), (outer, outer_bias) = job.layers()
    np.testing.assert_array_equal(np.vstack([inner, inner_bias]), w0[:, :5])
    np.testing.assert_array_equal(np.vstack([outer, outer_bias[None]]), w1)
    loop = peers.find("numpy-loop").make()
    loop.prepare(job, own_order=True)
    loop.start()
    loop.run(9_999)
    spec = mlpfast.NetSpec(job.workload.sizes, job.workload.activations, dtype="float64")
    net = mlpfast.MLP.from_spec(spec, loop.result(), backend="numpy")
    expected = [0.02391914, 0.9757925, 0.97343127, 0.03041428]
    np.testing.assert_allclose(net.predict(job.x).ravel(), expected, atol=5e-9)


# ------------------------------------------------------------------ the limit


def test_flops_leave_out_the_first_input_gradient():
    # 4-32-16-4: forward 4*32 + 32*16 + 16*4 = 704 products, as many for dW, 576 for dX.
    assert limit.flops_a_row(BY_NAME["S"]) == 2 * (704 + 704 + 576)
    assert limit.flops_a_row(BY_NAME["P1:4-16-3"]) == 2 * (4 * 16 + 16 * 3)


def test_limit_of_a_small_net_by_hand(ceilings):
    found = limit.limit(BY_NAME["S"], ceilings)
    assert found.arithmetic == pytest.approx(10_000 * 3968 / 200e9)
    assert found.activations == pytest.approx(10_000 * 48 * 0.15e-9 / 2)  # tanh units only
    # 756 parameters, 16 instructions for 16 of them, two a cycle, two cores, 2 GHz
    assert found.update == pytest.approx(756 * (16 / 2 / 16) / 2e9 / 2)
    assert found.memory == 0.0
    parts = found.arithmetic + found.activations + found.update
    assert found.total == pytest.approx(parts)


def test_limit_of_an_epoch_by_hand(ceilings):
    found = limit.limit(BY_NAME["M"], ceilings)
    products = 2 * (784 * 512 + 512 * 10) + 512 * 10
    assert found.arithmetic == pytest.approx(60_000 * 2 * products / 200e9)
    assert found.activations == pytest.approx(60_000 * 522 * 0.15e-9 / 2)
    # 469 updates of 407,050 parameters, one multiply-add for 16
    assert found.update == pytest.approx(469 * 407_050 / 16 / 2 / 2e9 / 2)
    # 95 MB a thread stream at the rate of the 8 MiB measurement; the parameters (1.6 MB) fit
    # into two caches of 1 MiB.
    assert found.memory == pytest.approx(60_000 * 794 * 4 / 40e9)


def test_parameters_beyond_the_caches_cross_in_every_step(ceilings):
    w = BY_NAME["M-Adam"]
    state = w.n_params * 4 * 3
    outside = 1 - (2 << 20) / state
    crossing = 469 * w.n_params * 4 * 7 * outside  # one read forward; w, m, v read and written
    # 2.4 MB a thread: the next smaller size measured is 256 KiB
    expected = 60_000 * 794 * 4 / 40e9 + crossing / 200e9
    assert limit.limit(w, ceilings).memory == pytest.approx(expected)


def test_work_is_the_numerator_of_the_limit(ceilings):
    w = BY_NAME["M"]
    flops, moved = limit.work(w, ceilings.l2, 2)
    found = limit.limit(w, ceilings)
    assert flops / ceilings.all.float32 == pytest.approx(found.arithmetic)
    assert moved == 60_000 * 794 * 4
    w = BY_NAME["M-Adam"]
    state = w.n_params * 4 * 3
    crossing = 469 * w.n_params * 4 * 7 * (1 - (2 << 20) / state)
    assert limit.work(w, ceilings.l2, 2)[1] == pytest.approx(60_000 * 794 * 4 + crossing)
    assert limit.work(BY_NAME["S"], ceilings.l2, 2)[1] == 0.0
    assert limit.work(BY_NAME["P1:4-16-3"], ceilings.l2, 2) == (224.0, 4 * 131)


def test_one_row_is_bound_by_reading_the_weights(ceilings):
    w = BY_NAME["P2:784-512-10"]
    found = limit.limit(w, ceilings)
    assert found.memory == pytest.approx(max(w.n_params * 4 / 100e9, 2 * w.n_weights / 100e9))
    assert found.arithmetic == found.update == 0.0


def test_bandwidth_takes_the_next_smaller_size(ceilings):
    assert ceilings.one.bandwidth(1) == 200e9
    assert ceilings.one.bandwidth((256 << 10) - 1) == 200e9
    assert ceilings.one.bandwidth(256 << 10) == 100e9
    assert ceilings.one.bandwidth(float("inf")) == 10e9
    assert list(ceilings.levels()) == ["L1", "L2", "L3", "DRAM"]


def test_ceilings_of_two_measurements_are_the_higher_ones(ceilings):
    slow = Rates(1e9, 60e9, tuple((size, 50e9) for size, _ in ceilings.one.read))
    best = ceilings.one.best_of(slow)
    assert (best.float32, best.float64) == (100e9, 60e9)
    assert [rate for _, rate in best.read] == [200e9, 100e9, 50e9, 50e9]
    assert slow.scaled(0.5).read[0][1] == 25e9
    busy = Ceilings(ceilings.one, ceilings.one, 2, 2e9, 64, 32 << 10, 1 << 20, "")
    assert "50 %" in describe(busy)[-1]
    assert len(describe(ceilings)) == len(describe(busy)) - 1


# ------------------------------------------------------------------ timing


def test_seconds_uses_the_clock_and_restores_the_collector():
    import gc

    ticks = iter([10.0, 12.5])
    seen = []
    assert timing.seconds(lambda: seen.append(gc.isenabled()), lambda: next(ticks)) == 2.5
    assert seen == [False]
    assert gc.isenabled()


def test_repeats_ignores_the_first_run_and_a_fixed_cost():
    calls: list[int] = []

    def run(k: int) -> float:
        calls.append(k)
        return 5.0 if len(calls) == 1 else 300e-6 + k * 1e-6  # the first call compiles

    k = timing.repeats(run, 0.1, 1_000_000)
    assert 80_000 <= k <= 120_000
    assert timing.repeats(run, 0.1, 1000) == 1000
    assert timing.repeats(lambda k: 3.0 * k, 0.1, 1000) == 1
    assert timing.repeats(lambda k: 3.0 * k, 0.1, 1) == 1


def test_rounds_are_interleaved_and_keep_best_and_median():
    order: list[str] = []
    figures = {"a": iter([3.0, 1.0, 2.0]), "b": iter([9.0, 9.0, 5.0])}

    def turn(name: str) -> float:
        order.append(name)
        return next(figures[name])

    turns = {name: (lambda name=name: turn(name)) for name in figures}
    found = timing.interleave(turns, 3, pause=lambda: order.append("-"))
    assert order == ["-", "a", "-", "b"] * 3
    assert (found["a"].best, found["a"].median) == (1.0, 2.0)
    assert (found["b"].best, found["b"].median) == (5.0, 9.0)


def test_impatience_ends_after_two_rounds():
    found = timing.interleave({"slow": lambda: 1.0}, 5, patience=-1.0)
    assert found["slow"].samples == (1.0, 1.0)


def test_a_turn_that_fails_is_dropped_and_the_others_go_on():
    samples = iter([1.0])

    def breaks_down() -> float:
        try:
            return next(samples)
        except StopIteration:
            raise ContestantError("gone") from None

    turns = {"frail": breaks_down, "sound": lambda: 2.0}
    dropped: list[tuple[str, str]] = []
    found = timing.interleave(turns, 3, dropped=lambda n, e: dropped.append((n, str(e))))
    assert dropped == [("frail", "gone")]
    assert {name: t.samples for name, t in found.items()} == {"sound": (2.0, 2.0, 2.0)}
    with pytest.raises(ContestantError, match="gone"):
        timing.interleave(turns, 3)


# ------------------------------------------------------------------ answers, tables, floors


@pytest.mark.parametrize("name", ["X:float64", "T", "P1:4-16-3"])
def test_wrong_answers_are_found(name):
    ref = check.reference(BY_NAME[name])
    assert check.fault(ref, ref.result) is None
    assert "shape" in check.fault(ref, ref.result[1:])
    assert "dtype" in check.fault(ref, ref.result.astype(np.float16))
    assert check.fault(ref, np.full_like(ref.result, np.nan)) == "result is not finite"
    assert check.fault(ref, ref.result * ref.result.dtype.type(1.1)) is not None
    if ref.job.workload.trains:
        assert "1 of the way" in check.fault(ref, ref.job.params)  # who does nothing is found out


def made_up(name: str, ceilings: Ceilings, ours: set[str], **best: float) -> Result:
    timings = {k.replace("_", "-"): Timing((v, v)) for k, v in best.items()}
    result = Result(BY_NAME[name], limit.limit(BY_NAME[name], ceilings), timings=timings, ours=ours)
    result.units = dict.fromkeys(timings, 1)
    return result


def test_table_and_ratios(ceilings):
    result = made_up("M", ceilings, {"cpp"}, cpp=0.5, torch=1.5, jax=1.0)
    result.excluded["sklearn"] = "no squared error on sigmoid outputs"
    lines = report.table(result)
    rows = [line.split() for line in lines]
    assert rows[3][:6] == ["mlpfast", "cpp", "500", "500", "ms", "2.00x"]
    assert rows[4][:5] == ["jax", "1,000", "1,000", "ms", "1.00x"]
    assert rows[5][:5] == ["torch", "1,500", "1,500", "ms", "0.67x"]
    assert lines[6].strip() == f"{'sklearn':<16}no squared error on sigmoid outputs"
    facts = result.as_dict()
    assert facts["best_peer"] == "jax"
    assert facts["results"]["cpp"]["times_best_peer"] == 2.0
    assert facts["results"]["cpp"]["fraction_of_limit"] == pytest.approx(result.limit.total / 0.5)
    json.dumps(facts)


def test_every_floor_is_of_a_job_that_exists():
    assert {job for job, _, _ in floors.DEMANDS} == set(BY_NAME)


def verdicts(results: dict[str, Result]) -> dict[str, bool | None]:
    return {floor.demand: floor.met for floor in floors.floors(results)}


def test_floors(ceilings):
    limit_of_s = limit.limit(BY_NAME["S"], ceilings).total
    p2 = limit.limit(BY_NAME["P2:784-512-10"], ceilings).total
    # Best of a job, for mlpfast and others; who is Numba or a hand-written loop does not count
    # where it should not.
    results = {
        "M": made_up("M", ceilings, {"cpp", "numba"}, cpp=0.3, numba=0.7, jax=0.6, torch=0.7),
        "S": made_up("S", ceilings, {"cpp"}, cpp=1.3 * limit_of_s, jax=10 * limit_of_s),
        "E6": made_up("E6", ceilings, {"cpp"}, cpp=1e-6, numpy_loop=19e-6),
        "X:float32": made_up("X:float32", ceilings, {"cpp"}, cpp=0.1e-6, numpy_loop=2e-7),
        "P1:30-100-5": made_up("P1:30-100-5", ceilings, {"cpp", "numpy"}, cpp=1e-6, numpy=2e-5),
        "P2:784-512-10": made_up("P2:784-512-10", ceilings, {"cpp"}, cpp=1.29 * p2 + 0.3e-6),
        "T": made_up("T", ceilings, {"cpp"}, cpp=0.01, torch=0.2, torch_compile=0.14),
    }
    found = verdicts(results)
    assert found["M: 2.0 x as fast as the best Python peer"] is True
    assert found["M: Numba no slower than JAX"] is False
    assert found["M: within 1.20 x the limit"] is (
        1.2 * limit.limit(BY_NAME["M"], ceilings).total >= 0.3
    )
    assert found["S: within 1.4 x the limit"] is True
    assert found["S: 8 x as fast as the best Python peer"] is False
    assert found["S: Numba 2 x as fast as JAX"] is None
    assert found["E6: 20 x as fast as the NumPy loop"] is False
    assert found["X:float32: a step within 0.15 us"] is True
    assert found["X:float64: a step within 0.15 us"] is None
    assert found["P1:30-100-5: within 0.6 us"] is False
    assert found["P2:784-512-10: 1.3 x the bandwidth limit + 0.3 us"] is True
    assert found["T: 15 x as fast as PyTorch"] is False, "the faster way of PyTorch counts"
    lines = "\n".join(floors.floor_lines(floors.floors(results)))
    assert "NO   E6: 20 x" in lines
    assert "mlpfast cpp 10.0 ms, torch-compile 140: 14.00 x as fast" in lines
    assert f"{sum(met is None for met in found.values())} not measured" in lines


def test_a_floor_says_when_the_limit_leaves_no_room_for_it(ceilings):
    at_most = limit.limit(BY_NAME["S"], ceilings).total
    results = {"S": made_up("S", ceilings, {"cpp"}, cpp=1.25 * at_most, jax=5 * at_most)}
    measured = {floor.demand: floor.measured for floor in floors.floors(results)}
    peer = measured["S: 8 x as fast as the best Python peer"]
    assert peer is not None
    assert peer.endswith("4.00 x as fast (5.00 x at the limit)")


def test_only_what_was_measured_decides_the_exit_code(ceilings):
    results = {"X:float32": made_up("X:float32", ceilings, {"cpp"}, cpp=0.1e-6)}
    assert floors.check_status(floors.floors(results)) == 0
    results["X:float64"] = made_up("X:float64", ceilings, {"cpp"}, cpp=0.2e-6)
    assert floors.check_status(floors.floors(results)) == 1
    assert floors.check_status(floors.floors({})) == 1


# ------------------------------------------------------------------ contestants and the command


def test_peers_are_selected_by_name():
    names = [entry.name for entry in peers.select("numpy,mlpfast")]
    assert names == ["numpy", "cpp", "numba"]
    assert peers.select(None) == peers.select("all") == list(peers.ENTRIES)
    assert peers.find("cpp:avx2").argument == "cpp:avx2"
    with pytest.raises(ValueError, match="peers must be .*got 'tensorflow'"):
        peers.select("tensorflow")


def test_a_worker_reports_errors_and_survives_them():
    worker = Worker(
        "numpy", [0] if not hasattr(os, "sched_getaffinity") else [min(os.sched_getaffinity(0))]
    )
    try:
        assert worker.versions["mlpfast"] == mlpfast.__version__
        with pytest.raises(ContestantError, match="AttributeError"):
            worker.seconds(1, fresh=False)  # nothing is prepared
        w = BY_NAME["X:float64"]
        assert worker.refuses(w) is None
        assert check.fault(check.reference(w), worker.short_result(w)) is None
        worker.prepare(w)
        assert worker.seconds(3, fresh=True) > 0
        worker.release()
    finally:
        worker.close()


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_worker_that_is_killed_says_by_what():
    worker = Worker(
        "numpy", [0] if not hasattr(os, "sched_getaffinity") else [min(os.sched_getaffinity(0))]
    )
    try:
        worker._process.kill()
        worker._process.wait()
        with pytest.raises(ContestantError, match=r"its process ended \(SIGKILL\)"):
            worker.refuses(BY_NAME["M"])
    finally:
        worker.close()


def test_a_worker_of_an_absent_backend_fails_clearly():
    with pytest.raises(ContestantError, match="cpp:none|not available"):
        Worker("cpp:none", [0])


def test_list_names_every_job_and_contestant():
    done = run_benchmarks("--list")
    assert done.returncode == 0, done.stderr
    named = [entry.name for entry in peers.ENTRIES] + [study.NAME for study in registry.STUDIES]
    for name in [*BY_NAME, *named]:
        assert name in done.stdout


def test_usage_errors_exit_with_2():
    for arguments in (["Q"], ["--peers", "none"], ["--rounds", "0"]):
        done = run_benchmarks(*arguments)
        assert done.returncode == 2
        assert "error:" in done.stderr


@pytest.mark.slow
def test_a_quick_run_gives_a_table_and_json(tmp_path):
    file = tmp_path / "figures.json"
    pytest.importorskip("numba")
    done = run_benchmarks(
        "X:float64", "--quick", "--rounds", "1", "--peers", "numpy,numba", "--json", str(file)
    )
    assert done.returncode == 0, done.stderr
    assert "X:float64" in done.stdout
    assert "mlpfast numpy" in done.stdout
    assert "mlpfast numba" in done.stdout
    facts = json.loads(file.read_text())
    (job,) = facts["workloads"]
    assert set(job["results"]) == {"numpy", "numba"}
    assert not job["excluded"]
    assert facts["ceilings"]["one"]["float32"] > 0
    verdicts = {floor["demand"]: floor["met"] for floor in facts["floor"]}
    assert verdicts.pop("X:float64: a step within 0.15 us") is not None
    assert set(verdicts.values()) == {None}
    assert facts["studies"] == facts["failed"] == {}
    pytest.importorskip("matplotlib")
    for plot in ("bars", "roofline"):
        assert (tmp_path / f"figures-{plot}.svg").read_text().rstrip().endswith("</svg>")
