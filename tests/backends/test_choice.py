"""Which backend runs: forced switches, each in a process of its own, and the fallback."""

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import mlpfast
from mlpfast import backends

SWITCHES = ("MLPFAST_BACKEND", "MLPFAST_ISA", "MLPFAST_NUM_THREADS", "OMP_NUM_THREADS")
HAVE = backends.available()
ISAS = [name.partition(":")[2] for name in HAVE if ":" in name]

needs_cpp = pytest.mark.skipif("cpp" not in HAVE, reason="the C++ extension is not installed")
needs_numba = pytest.mark.skipif("numba" not in HAVE, reason="Numba is not installed")


def run(script, **switches):
    """Run a script with only the given switches set; return the finished process."""
    env = {name: value for name, value in os.environ.items() if name not in SWITCHES}
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env={**env, **switches},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


SHOW = """
    import mlpfast, numpy as np
    from mlpfast import backends, config

    net = mlpfast.MLP([3, 4, 2], random_state=0)
    assert np.isfinite(net.predict(np.ones((2, 3)))).all()
    facts = config.config()
    chosen = backends.default()[0].describe()
    print(net.backend, facts["backend"], facts["isa"], chosen.get("isa", "-"), sep="|")
"""


def shown(**switches):
    done = run(SHOW, **switches)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().split("|")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow) if name == "numba" else name
        for name in HAVE
        if ":" not in name
    ],
)
def test_forced_backend_is_the_one_that_runs(name):
    got = shown(MLPFAST_BACKEND=name)
    assert got[:2] == [name, f"{name} (MLPFAST_BACKEND={name})"]


@pytest.mark.slow
@pytest.mark.parametrize("isa", ISAS)
def test_forced_instruction_set_is_the_one_that_runs(isa):
    assert shown(MLPFAST_BACKEND=f"cpp:{isa}")[2:] == [isa, isa]
    assert shown(MLPFAST_ISA=isa)[2:] == [isa, isa]
    assert shown(MLPFAST_BACKEND="cpp", MLPFAST_ISA=isa)[2:] == [isa, isa]


@needs_cpp
def test_a_named_instruction_set_goes_before_the_variable():
    first, last = ISAS[0], ISAS[-1]
    assert shown(MLPFAST_BACKEND=f"cpp:{last}", MLPFAST_ISA=first)[2:] == [last, last]


@needs_cpp
def test_the_best_instruction_set_runs_by_default():
    backend, _, isa, _ = shown()
    assert (backend, isa) == ("cpp", ISAS[0])


@pytest.mark.parametrize(
    ("switches", "words"),
    [
        ({"MLPFAST_BACKEND": "cuda"}, ["MLPFAST_BACKEND=cuda", "must be one of 'cpp'", "'cuda'"]),
        ({"MLPFAST_BACKEND": "numpy:avx2"}, ["must be one of 'cpp'", "'numpy:avx2'"]),
        ({"MLPFAST_BACKEND": "CPP"}, ["must be one of 'cpp'", "'CPP'"]),
        ({"MLPFAST_BACKEND": "cpp:mmx"}, ["MLPFAST_BACKEND=cpp:mmx", "not available"]),
        ({"MLPFAST_ISA": "mmx"}, ["MLPFAST_ISA=mmx"]),
        ({"MLPFAST_BACKEND": "cpp", "MLPFAST_ISA": "mmx"}, ["not available"]),
    ],
    ids=str,
)
def test_a_forced_choice_that_cannot_be_met_raises(switches, words):
    done = run(SHOW, **switches)
    assert done.returncode != 0
    assert done.stdout == ""
    last = done.stderr.strip().splitlines()[-1]
    for word in words:
        assert word in last


def test_forced_number_of_threads():
    script = "import mlpfast; print(mlpfast.get_num_threads(), mlpfast.config.config()['threads'])"
    assert run(script, MLPFAST_NUM_THREADS="5").stdout == "5 5\n"
    done = run(script, MLPFAST_NUM_THREADS="many")
    assert done.returncode != 0
    assert "MLPFAST_NUM_THREADS must be an integer from 1 to 4096, got 'many'" in done.stderr


# A module set to None cannot be imported, as if it were not installed.
MISSING = """
    import sys, warnings
    missing = {missing!r}
    sys.modules.update(dict.fromkeys(missing))
    import mlpfast
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        nets = [mlpfast.MLP([3, 2]) for _ in range(3)]
        mlpfast.kernels.dense_forward([[1.0]], [[1.0]], None)
        facts = mlpfast.config.config()
    ours = [w for w in caught if issubclass(w.category, mlpfast.FallbackWarning)]
    print(nets[0].backend, len(ours), facts["backend"], facts["available"], sep="|")
    print(*[w.message for w in ours], sep="|")
"""


def fall_back(*missing, **switches):
    done = run(MISSING.format(missing=missing), **switches)
    assert done.returncode == 0, done.stderr
    facts, message = done.stdout.splitlines()
    return (*facts.split("|"), message)


def test_without_extension_and_numba_numpy_runs_and_one_warning_says_how_to_mend_it():
    name, count, backend, available, message = fall_back("mlpfast._core", "numba")
    assert (name, count, available) == ("numpy", "1", "numpy")
    assert backend == "numpy (cpp and numba not installed)"
    assert "slower numpy backend" in message
    assert "install a C++17 compiler and reinstall mlpfast" in message


@pytest.mark.slow
@needs_numba
def test_without_extension_numba_runs():
    name, count, backend, available, message = fall_back("mlpfast._core")
    assert (name, count, available) == ("numba", "1", "numba, numpy")
    assert backend == "numba (cpp not installed)"
    assert "slower numba backend" in message


@needs_cpp
def test_nothing_missing_nothing_said():
    name, count, backend, _, message = fall_back()
    assert (name, count, message) == ("cpp", "0", "")
    assert backend == "cpp (the compiled extension is installed)"


def test_a_forced_backend_does_not_warn():
    name, count, *_ = fall_back("mlpfast._core", "numba", MLPFAST_BACKEND="numpy")
    assert (name, count) == ("numpy", "0")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("switches", "words"),
    [
        ({"MLPFAST_BACKEND": "cpp"}, "backend 'cpp' is not available"),
        ({"MLPFAST_BACKEND": "cpp:avx2"}, "backend 'cpp' is not available"),
        ({"MLPFAST_BACKEND": "numba"}, "backend 'numba' is not available"),
        ({"MLPFAST_ISA": "avx2"}, "MLPFAST_ISA=avx2 asks for the C++ backend"),
    ],
    ids=str,
)
def test_a_forced_backend_that_is_missing_raises_and_does_not_fall_back(switches, words):
    done = run(MISSING.format(missing=("mlpfast._core", "numba")), **switches)
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("mlpfast.backends.BackendError: ")
    assert words in last
    assert "pip install" in last or "reinstall" in last


def test_a_broken_extension_is_an_error_and_not_a_fallback():
    script = """
        import importlib.abc, importlib.machinery, sys

        class Broken(importlib.abc.MetaPathFinder, importlib.abc.Loader):
            def find_spec(self, name, path, target=None):
                if name == "mlpfast._core":
                    return importlib.machinery.ModuleSpec(name, self)
            def create_module(self, spec):
                raise ImportError("undefined symbol: on_purpose")
            def exec_module(self, module):
                pass

        sys.meta_path.insert(0, Broken())
        import mlpfast
        mlpfast.MLP([3, 2])
    """
    done = run(script)
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert "backend 'cpp' is not available (undefined symbol: on_purpose)" in last


def test_backend_argument():
    for name in HAVE:
        net = mlpfast.MLP([3, 2], backend=name, random_state=0)
        assert net.backend == name.partition(":")[0]
        assert net.predict(np.zeros(3)).shape == (2,)
    with pytest.raises(ValueError, match="backend must be one of 'cpp', 'numba', 'numpy'"):
        mlpfast.MLP([3, 2], backend="torch")
    with pytest.raises(backends.BackendError, match="'cpp:mmx' is not available|_core"):
        mlpfast.MLP([3, 2], backend="cpp:mmx")


def test_every_instruction_set_says_which_it_is():
    for isa in ISAS:
        assert backends.load(f"cpp:{isa}").describe()["isa"] == isa


def test_show_config_prints_what_runs(capsys):
    mlpfast.show_config()
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert lines["mlpfast"] == mlpfast.__version__
    assert lines["numpy"] == np.__version__
    assert lines["threads"] == str(mlpfast.get_num_threads())
    assert lines["available"] == ", ".join(HAVE)
    assert {"backend", "isa", "python", "numba"} <= set(lines)


def test_importing_the_package_loads_no_optional_package():
    optional = ("numba", "scipy", "sklearn", "matplotlib", "safetensors", "pooch", "tqdm")
    script = f"import sys, mlpfast; print([m for m in {optional} if m in sys.modules])"
    assert run(script).stdout == "[]\n"
