"""What `fit` takes at its peak, measured in processes of their own, beside what it may take."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
if not (ROOT / "benchmarks" / "__main__.py").is_file():
    pytest.skip("the benchmarks are not part of this tree", allow_module_level=True)
sys.path.insert(0, str(ROOT))

from benchmarks.studies import memory  # noqa: E402

import mlpfast  # noqa: E402
from mlpfast import backends  # noqa: E402

if "cpp" not in backends.available():
    pytest.skip("needs the extension", allow_module_level=True)
REASON = memory.possible()
BY_NAME = {w.name: w for w in memory.CASES}
MIB = 1 << 20


@pytest.fixture(autouse=True)
def this_package(monkeypatch):
    package = str(Path(mlpfast.__file__).resolve().parents[1])
    path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
    monkeypatch.setenv("PYTHONPATH", path)


def test_budget_by_hand():
    # 784-512-10: 407,050 parameters; one copy for plain SGD, two moments more for Adam.
    plain, adam = memory.budget(BY_NAME["M"]), memory.budget(BY_NAME["M-Adam"])
    assert plain["state"] == 4 * 407_050
    assert adam["state"] == 3 * 4 * 407_050
    assert plain["rows"] == 2 * 128 * 794 * 4
    assert plain["passes"] == 2 * 128 * 1306 * 4
    assert memory.budget(BY_NAME["M64"])["state"] == 8 * 407_050


@pytest.mark.skipif(REASON is not None, reason=str(REASON))
@pytest.mark.parametrize(
    "name",
    [name if name == "M" else pytest.param(name, marks=pytest.mark.slow) for name in BY_NAME],
)
def test_fit_takes_no_more_than_it_may(name):
    cpus = sorted(os.sched_getaffinity(0))[:2]
    use = memory.measure(cpus, BY_NAME[name], rows=4 * BY_NAME[name].batch)
    assert use.taken <= use.allowed, (
        f"{use.title}: {use.taken / MIB:.2f} MiB at the peak, allowed {use.allowed / MIB:.2f}"
    )


@pytest.mark.slow
@pytest.mark.skipif(REASON is not None, reason=str(REASON))
def test_the_measurement_sees_the_state():
    """Adam's moments of 2 times 33 MB cannot hide: a blind measurement would let all pass."""
    cpus = sorted(os.sched_getaffinity(0))[:2]
    use = memory.measure(cpus, BY_NAME["wide"], rows=256)
    assert use.taken >= use.state
