"""An object file compiled for one instruction set exports its table and nothing else.

Were an inline function compiled there visible to the linker, it could become the one copy of the
whole program, and an older CPU would meet instructions it does not know.
"""

import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NM = shutil.which("nm")
CXX = shutil.which(os.environ.get("CXX") or "c++") or shutil.which("g++") or shutil.which("clang++")

X86 = platform.machine().lower() in ("x86_64", "amd64")
ISAS = ["avx2", "avx512"] if X86 else ["neon"]

pytestmark = [
    pytest.mark.skipif(NM is None, reason="nm is not installed"),
    pytest.mark.skipif(os.name == "nt", reason="reads ELF and Mach-O objects"),
]

# A pointer to the exception handler's personality: data of the ABI, the same in every object.
HARMLESS = {"DW.ref.__gxx_personality_v0"}


def flags_of(isa):
    """Return the options that CMakeLists.txt gives to one instruction set with GCC or Clang."""
    text = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    branch = text[text.index("string(TOLOWER") :]
    variables = dict(re.findall(r"set\((\w+) +([^)]*)\)", branch))
    calls = re.findall(rf"mlpfast_add_isa\({isa}(?: +([^)]*))?\)", branch)
    options = [c for c in calls if not c.startswith("/")][-1]
    options = re.sub(r"\$\{(\w+)\}", lambda m: variables[m[1]], options)
    return [option for option in options.split() if option.startswith("-m")]


@pytest.fixture(scope="module")
def object_files(tmp_path_factory):
    """Return a function from the instruction set to its object files, built or compiled here."""
    folders = [ROOT / "build"]
    if os.environ.get("MLPFAST_BUILD_DIR"):
        folders = [Path(os.environ["MLPFAST_BUILD_DIR"])]

    def find(isa):
        source = ROOT / "src" / "cpp" / "isa" / f"kernels_{isa}.cpp"
        built = [
            path
            for folder in folders
            for path in folder.rglob("*.o")
            if f"mlpfast_isa_{isa}.dir" in path.as_posix()
        ]
        newest = max(p.stat().st_mtime for p in (ROOT / "src" / "cpp").rglob("*pp"))
        built = [path for path in built if path.stat().st_mtime >= newest]
        if built:
            return built
        if CXX is None:
            pytest.skip("no build directory with current objects, and no C++ compiler")
        target = tmp_path_factory.mktemp("objects") / f"{isa}.o"
        common = ["-std=c++17", "-O2", "-fPIC", "-fvisibility=hidden", "-ffp-contract=off", "-w"]
        common += ["-fvisibility-inlines-hidden", "-DMLPFAST_X86" if X86 else "-DMLPFAST_NEON"]
        subprocess.run(
            [CXX, *common, *flags_of(isa), "-c", source, "-o", target], check=True, timeout=600
        )
        return [target]

    return find


def symbols(path):
    """Return (name, type) of the global symbols that an object file defines."""
    done = subprocess.run(
        [NM, "--defined-only", "--extern-only", "-P", path],
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [line.split() for line in done.stdout.splitlines() if " " in line]
    return [(line[0], line[1]) for line in lines if line[0] not in HARMLESS]


def offences(found, isa):
    """Return the symbols beyond the one table: any weak or unique one, any other strong one."""
    weak = [name for name, kind in found if kind in "WwVvu"]
    strong = [name for name, kind in found if kind not in "WwVvu"]
    tables = [name for name in strong if f"kernels_{isa}" in name]
    return weak + [name for name in strong if name not in tables[:1]]


@pytest.mark.slow  # compiles, unless the objects of a build are at hand
@pytest.mark.parametrize("isa", ISAS)
def test_one_table_is_all_that_is_exported(object_files, isa):
    for path in object_files(isa):
        found = symbols(path)
        assert len(found) >= 1, f"{path} exports no table"
        assert offences(found, isa) == []


@pytest.mark.skipif(CXX is None, reason="no C++ compiler")
def test_leaked_symbols_are_found(tmp_path):
    source = tmp_path / "leak.cpp"
    source.write_text(
        "#include <vector>\n"
        "namespace mlpfast { extern const int kernels_avx2; const int kernels_avx2 = 1;\n"
        "int helper(std::vector<int>& v) { v.push_back(1); return v[0]; } }\n"
        "template <class T> struct Once { static T value; };\n"
        "template <class T> T Once<T>::value{};\n"
        "int* use() { return &Once<int>::value; }\n"
    )
    target = tmp_path / "leak.o"
    subprocess.run([CXX, "-std=c++17", "-O0", "-c", source, "-o", target], check=True)
    found = offences(symbols(target), "avx2")
    assert any("helper" in name for name in found)
    assert any("push_back" in name or "vector" in name for name in found)  # weak
    assert any("Once" in name for name in found)  # unique or weak
    assert not any("kernels_avx2" in name for name in found)


@pytest.mark.skipif(not X86, reason="x86-64 only")
def test_the_flags_are_read_from_the_build_file():
    assert {"-mavx2", "-mfma"} <= set(flags_of("avx2"))
    assert "-mavx512f" in flags_of("avx512")


def test_the_extension_exports_its_entry_alone():
    core = pytest.importorskip("mlpfast._core", exc_type=ImportError)
    done = subprocess.run(
        [NM, "-D", "--defined-only", "--extern-only", "-P", core.__file__],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"nm cannot read {core.__file__}")
    names = {line.split()[0] for line in done.stdout.splitlines() if line.split()[1] in "TDBR"}
    assert "PyInit__core" in names
    assert not [name for name in names if "mlpfast" in name and name != "PyInit__core"]
