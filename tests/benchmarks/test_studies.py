"""The benchmarks beside the races: studies, plots, and the jobs on any number of threads."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
if not (ROOT / "benchmarks" / "__main__.py").is_file():
    pytest.skip("the benchmarks are not part of this tree", allow_module_level=True)
sys.path.insert(0, str(ROOT))

from benchmarks.jobs.data import make_job  # noqa: E402
from benchmarks.jobs.workloads import WORKLOADS  # noqa: E402
from benchmarks.machine import probe  # noqa: E402
from benchmarks.peers.ours import Mlpfast  # noqa: E402
from benchmarks.studies import activations, calls, curves, growth, plot, roofline, scaling  # noqa: E402
from benchmarks.studies.registry import STUDIES  # noqa: E402

import mlpfast  # noqa: E402
from mlpfast import backends  # noqa: E402

NEEDS_CPP = pytest.mark.skipif("cpp" not in backends.available(), reason="needs the extension")
CPUS = sorted(os.sched_getaffinity(0))[:2] if hasattr(os, "sched_getaffinity") else [0]


@pytest.fixture
def this_package(monkeypatch):
    """Let the processes that a study starts import the package under test."""
    package = str(Path(mlpfast.__file__).resolve().parents[1])
    path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
    monkeypatch.setenv("PYTHONPATH", path)


def point(size: int, one: float, two: float, *, sweep: str = "width", flops: float = 100.0):
    return growth.Point("step", sweep, size, flops, {1: one, 2: two})


# ------------------------------------------------------------------ growth


def test_flops_of_growth_leave_out_the_first_input_gradient():
    assert growth.flops_a_row((64, 128, 10), "predict") == 2 * (64 * 128 + 1280)
    assert growth.flops_a_row((64, 128, 10), "step") == 6 * (64 * 128 + 1280) - 2 * 64 * 128


def test_every_sweep_grows_by_neighbours():
    found: dict[str, list[int]] = {}
    for sweep, size, _, _ in growth.cases():
        found.setdefault(sweep, []).append(size)
    assert (found["width"][0], found["width"][-1]) == (16, 4096)
    for sweep, sizes in found.items():
        assert sizes == sorted(set(sizes)), sweep
        assert sizes[-1] == 4096
    assert found["64-128-10"][0] == 1


def test_a_cliff_is_seen_at_the_larger_neighbour():
    level = [point(16, 1.0, 1.0), point(32, 4.0, 2.0, flops=400.0)]
    assert growth.cliffs(level) == []
    drop = [*level, point(64, 25.0, 8.0, flops=1600.0)]  # 1.56 times as long for an operation
    assert growth.cliffs(drop) == ["step, width 32 to 64, 1 thread: 1.56 x worse an operation"]
    # What was slow at the smaller size is no cliff of the larger one.
    assert growth.cliffs([point(1, 9.0, 9.0), point(2, 1.0, 1.0)]) == []
    # Sizes of different sweeps are no neighbours.
    assert growth.cliffs([point(1, 1.0, 1.0), point(2, 9.0, 9.0, sweep="64-128-10")]) == []


def test_slower_than_one_thread_allows_for_noise():
    assert growth.slower_than_one([point(16, 1.0, 1.05)]) == []
    (line,) = growth.slower_than_one([point(16, 1.0, 1.2, sweep="64-128-10")])
    assert line == "step, 64-128-10 batch 16: 2 threads take 1.20 x as long as one"


def test_floors_of_growth_name_the_exceptions():
    facts = json.loads(json.dumps([growth.asdict(point(16, 1.0, 2.0))]))
    cliff, slower = growth.floors(facts)
    assert (cliff.met, cliff.measured) == (True, "none")
    assert slower.met is False
    assert "width 16: 2 threads take 2.00 x" in slower.measured


@pytest.mark.slow
@NEEDS_CPP
def test_growth_measures_every_point(this_package):
    facts = growth.run(CPUS, True)
    found = growth.points(facts)
    assert [(p.sweep, p.size) for p in found[::2]] == [c[:2] for c in growth.cases(True)]
    assert {p.kind for p in found} == {"step", "predict"}
    assert {tuple(p.seconds) for p in found} == {tuple(sorted({1, len(CPUS)}))}
    assert all(s > 0 for p in found for s in p.seconds.values())
    lines = growth.lines(facts)
    assert sum(line.split()[:1] == ["16"] for line in lines) == 6  # once in each sweep and kind


# ------------------------------------------------------------------ scaling, activations, calls


def test_counts_go_up_to_all_processors():
    assert scaling.counts(1) == [1]
    assert scaling.counts(2) == [1, 2]
    assert scaling.counts(8) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert scaling.counts(20) == [1, 2, 3, 4, 5, 6, 7, 8, 12, 18, 20]


def test_floors_of_scaling():
    facts = {
        "M": {"title": "m", "seconds": {"1": 1.0, "2": 0.5}},
        "W": {"title": "w", "seconds": {"1": 1.0, "2": 0.6}},
    }
    assert [floor.met for floor in scaling.floors(facts)] == [True, False]
    assert [floor.measured for floor in scaling.floors(facts)] == ["2.00 x", "1.67 x"]
    assert "1.67x" in scaling.lines(facts)[-1]
    alone = {"M": {"title": "m", "seconds": {"1": 1.0}}}
    assert scaling.floors(alone) == []


def test_activations_are_compiled_as_the_package_is():
    recipe = (ROOT / "CMakeLists.txt").read_text()
    for isa, flags in activations.ISA_FLAGS.items():
        assert f"mlpfast_add_isa({isa}" in recipe
        for flag in (*activations.FLAGS, *flags):
            assert flag in recipe


@NEEDS_CPP
@pytest.mark.slow
@pytest.mark.skipif(shutil.which("c++") is None, reason="needs a compiler")
def test_activations_of_both_dtypes_are_timed():
    facts = activations.run(CPUS, True)
    assert facts["isa"] in activations.ISA_FLAGS
    for name in activations.JUDGED:
        assert facts["seconds"][f"{name} float32"] > 0
        assert facts["seconds"][f"{name} float64"] > 0
    assert len(activations.lines(facts)) == 3 + len(facts["seconds"]) // 2


def test_floors_of_activations_take_the_slowest():
    seconds = {f"{name} {d}": 0.1e-9 for name in activations.JUDGED for d in ("float32", "float64")}
    seconds["tanh float32"] = 0.2e-9
    first, second = activations.floors({"isa": "avx2", "seconds": seconds})
    assert (first.met, second.met) == (False, True)
    assert first.measured == "tanh 0.200 ns"


@NEEDS_CPP
def test_calls_do_what_they_say(this_package):
    work = calls.calls("float64")
    assert work[calls.FIT]().epoch == [0]
    loss, grad = work[calls.GRAD]()
    assert loss >= 0
    assert grad.shape == (3 * 2 + 2 + 2 * 1 + 1,)
    facts = calls.run(CPUS[:1], True)
    assert len(facts) == 6
    assert min(facts.values()) > 0


def test_floors_of_calls():
    facts = {f"{calls.FIT}, float32": 29e-6, f"{calls.PLAIN}, float32": 1.0}
    (floor,) = calls.floors(facts)
    assert floor.met
    facts[f"{calls.GRAD}, float64"] = 2e-6
    assert [floor.met for floor in calls.floors(facts)] == [True, False]


def test_a_probe_that_fails_says_why(this_package):
    with pytest.raises(probe.ProbeError, match="ValueError"):
        probe.ask("studies.memory", CPUS)


# ------------------------------------------------------------------ plots


def job(name: str, moved: float, **best: float):
    return {
        "workload": {"name": name, "title": f"the job {name}", "per": 1, "rows": 2},
        "limit": {"total": 0.5},
        "flops": 1e9,
        "bytes": moved,
        "best_peer": "torch",
        "results": {who: {"best": seconds} for who, seconds in best.items()},
    }


RUN = {
    "workloads": [job("M", 1e7, cpp=1.0, torch=2.0), job("S", 0.0, cpp=1e-3, torch=2e-3)],
    "ceilings": {
        "threads": 2,
        "all": {"float32": 400e9, "float64": 200e9},
        "levels_all": {"L1": 500e9, "L2": 300e9, "L3": 60e9, "DRAM": 20e9},
    },
    "studies": {
        "G": [
            growth.asdict(growth.Point(kind, sweep, size, 10.0, {1: 1e-6 * size, 2: 1e-6}))
            for kind in ("step", "predict")
            for sweep in ("width", "64-128-10")
            for size in (16, 32)
        ],
        "TS": {"M": {"title": "m", "seconds": {"1": 1.0, "2": 0.5}}},
    },
}


def test_roofline_points_are_operations_a_byte_and_a_second():
    assert roofline.points(RUN["workloads"], "cpp") == [
        ("M", 100.0, 1e9, 2),
        ("S", None, 1e12, 2),
    ]
    assert roofline.points(RUN["workloads"], "jax") == []


@pytest.mark.slow
def test_all_plots_are_drawn_from_a_saved_run(tmp_path):
    pytest.importorskip("matplotlib")
    facts = json.loads(json.dumps(RUN))
    written = plot.draw_all(facts, tmp_path / "new", "today-")
    names = ["today-bars.svg", "today-roofline.svg", "today-growth.svg", "today-scaling.svg"]
    assert [path.name for path in written] == names
    texts = [path.read_text() for path in written]
    for text, words in zip(texts, ("mlpfast C++", "GFLOP/s", "64-128-10", "threads"), strict=True):
        assert words in text
    again = plot.draw_all(facts, tmp_path)
    assert [path.read_text() for path in again] == texts, "equal runs give equal pictures"
    assert plot.draw_all({"workloads": [], "studies": {}}, tmp_path) == []
    assert curves.scaling(facts["studies"]["TS"], tmp_path / "s.svg").exists()


def test_studies_have_names_of_their_own():
    assert [study.NAME for study in STUDIES] == ["G", "TS", "A", "F", "MEM", "SK"]


# ------------------------------------------------------------------ the jobs and the threads


@pytest.mark.slow
@NEEDS_CPP
@pytest.mark.parametrize("w", WORKLOADS, ids=lambda w: w.name)
def test_every_job_is_bitwise_the_same_for_any_number_of_threads(w, restore_threads):
    short = w.shortened()
    made = make_job(short)
    results = []
    for n in (1, 2, 3):
        mlpfast.set_num_threads(n)
        runner = Mlpfast("cpp")
        runner.prepare(made, own_order=False)
        runner.start()
        runner.run(short.check_units)
        results.append(np.array(runner.result()))
    assert not np.array_equal(results[0], made.params), "nothing was done"
    for n, result in zip((2, 3), results[1:], strict=True):
        assert result.tobytes() == results[0].tobytes(), f"{n} threads differ from one"
