"""Who imports whom: no circles, the direction of the layers, no private names of other folders.

Read from the source, so that imports within functions and for type checkers count as well.
"""

import ast
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

import mlpfast

ROOT = Path(mlpfast.__file__).parent

#: The folders and modules of the package, those that know least first. Each may import from its own
#: and from those before it. What stands in one line knows nothing of its neighbours.
LAYERS = (
    ("_version", "_core", "_public"),
    ("spec",),
    ("backends",),
    ("arrays",),
    ("config", "initializers", "kernels"),
    ("net",),
    ("files",),
    ("training",),
    ("model", "export"),
    ("datasets", "inspection", "plotting", "interop", "ensemble", "distributed"),
    ("keras", "sklearn", "tabular"),
    ("_moved", "accel", "cli"),
    ("__init__", "__main__"),
)
RANKS = {room: rank for rank, rooms in enumerate(LAYERS) for room in rooms}

#: Optional packages, with the folder that cannot be imported without them.
OPTIONAL = {
    "numba": "backends.numba",
    "sklearn": "sklearn",
    **dict.fromkeys(
        ("dask", "h5py", "matplotlib", "onnx", "onnxruntime", "pandas", "polars"), "nowhere"
    ),
    **dict.fromkeys(("pooch", "safetensors", "scipy", "torch", "tqdm"), "nowhere"),
}


class Import(NamedTuple):
    """One imported module: the full name of a module of the package, or of another package."""

    target: str
    name: str | None
    line: int
    at_import: bool

    def __str__(self):
        return f"line {self.line}: {self.target}" + (f" ({self.name})" if self.name else "")


def read_sources(root=ROOT):
    """Return the source of each module of the package, {"mlpfast.spec.net": text}."""
    sources = {}
    for path in sorted(root.rglob("*.py")):
        parts = ["mlpfast", *path.relative_to(root).with_suffix("").parts]
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        sources[name] = path.read_text("utf-8")
    return sources


def imports_of(module, tree, known, is_package):
    """Yield the imports of a module, wherever in it they stand."""
    lazy = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        at_import = id(node) not in lazy
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, None, node.lineno, at_import)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = module.split(".")
                parts = parts[: len(parts) - node.level + is_package]
                base = ".".join([*parts, *filter(None, [node.module])])
            for alias in node.names:
                full = f"{base}.{alias.name}"
                if full in known or full == "mlpfast._core":
                    yield Import(full, None, node.lineno, at_import)
                else:
                    yield Import(base, alias.name, node.lineno, at_import)


def is_ours(name):
    return name == "mlpfast" or name.startswith("mlpfast.")


def room_of(module):
    """Return the first folder or module below the package: "spec", "net", "__init__"."""
    return module.split(".")[1] if "." in module else "__init__"


def folder_of(module, packages):
    return module if module in packages else module.rpartition(".")[0]


def within(folder, outer):
    return folder == outer or folder.startswith(outer + ".")


def violations(sources):
    """Return what is wrong with the imports of a package, a line for each."""
    packages = {m for m in sources if any(other.startswith(m + ".") for other in sources)}
    trees = {module: ast.parse(text) for module, text in sources.items()}
    found = {m: list(imports_of(m, trees[m], sources, m in packages)) for m in sources}
    wrong = []
    for module, imports in found.items():
        for each in imports:
            wrong += _wrong_with(module, each, packages)
    wrong += _circles(found)
    wrong += _private_attributes(trees, packages)
    return wrong


def _wrong_with(module, each, packages):
    where = f"{module}, {each}"
    if not is_ours(each.target):
        top = each.target.partition(".")[0]
        home = f"mlpfast.{OPTIONAL.get(top, '')}"
        if top in OPTIONAL and each.at_import and not within(module, home):
            yield f"{where}: an optional package must be imported where it is used"
        return
    folder = folder_of(module, packages)
    private = [part for part in each.target.split(".") if part.startswith("_")]
    if private and not private[0].startswith("__"):
        owner = each.target.partition("." + private[0])[0]
        if not within(folder, owner):
            yield f"{where}: a private module of another folder"
    name = each.name or ""
    is_private = name.startswith("_") and not name.startswith("__")
    if is_private and not within(folder, folder_of(each.target, packages)):
        yield f"{where}: a private name of another folder"
    ours, theirs = room_of(module), room_of(each.target)
    for room in (ours, theirs):
        if room not in RANKS:
            yield f"{where}: {room!r} has no place in LAYERS"
            return
    if ours != theirs and RANKS[theirs] >= RANKS[ours]:
        yield f"{where}: {theirs!r} does not come before {ours!r} in LAYERS"


def _circles(found):
    """Yield each circle of imports, its steps with their lines."""
    edges = defaultdict(dict)
    for module, imports in found.items():
        for each in imports:
            if each.target in found and each.target != module:
                edges[module].setdefault(each.target, each)
    done, path = set(), []

    def visit(module):
        if module in path:
            circle = [*path[path.index(module) :], module]
            steps = [f"{a}, {edges[a][b]}" for a, b in pairwise(circle)]
            yield "circle of imports: " + "; ".join(steps)
            return
        if module in done:
            return
        path.append(module)
        for target in edges[module]:
            yield from visit(target)
        path.pop()
        done.add(module)

    for module in found:
        yield from visit(module)


def _private_attributes(trees, packages):
    """Yield each use of a private attribute that another folder defines, and not this one."""
    defined, used = defaultdict(set), []
    for module, tree in trees.items():
        folder = folder_of(module, packages)
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                name, is_use = node.name, False
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                name, is_use = node.id, False
            elif isinstance(node, ast.Attribute):
                name, is_use = node.attr, not _is_own(node.value)
                if not is_use and not isinstance(node.ctx, ast.Store):
                    continue
            else:
                continue
            if name.startswith("_") and not name.startswith("__"):
                if is_use:
                    used.append((module, folder, name, node.lineno))
                else:
                    defined[name].add(folder)
    for module, folder, name, line in used:
        homes = defined[name]
        if homes and folder not in homes:
            yield f"{module}, line {line}: .{name} is private to {', '.join(sorted(homes))}"


def _is_own(node):
    return isinstance(node, ast.Name) and node.id in ("self", "cls")


def test_imports_of_the_package():
    sources = read_sources()
    assert len(sources) > 50
    wrong = violations(sources)
    assert not wrong, "\n" + "\n".join(wrong)


# ---------------------------------------------------------------------------- the check itself

_GOOD = {
    "mlpfast": "from mlpfast.model import MLP",
    "mlpfast.spec": "from mlpfast.spec.net import NetSpec",
    "mlpfast.spec.net": "import numpy\n_HIDDEN = 1",
    "mlpfast.net": "from mlpfast import spec\nclass Net:\n    def __init__(self): self._params = 1",
    "mlpfast.model": "from mlpfast.net import Net\nfrom mlpfast._version import __version__",
    "mlpfast._version": "__version__ = '1'",
    "mlpfast.sklearn": "import sklearn",
    "mlpfast.sklearn._base": "from mlpfast.model import MLP\nimport sklearn.base",
    "mlpfast.plotting": "def axes():\n    import matplotlib",
}
_IF = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    "


@pytest.mark.parametrize(
    ("module", "text", "message"),
    [
        ("spec.net", "from mlpfast.net import Net", "line 1: mlpfast.net (Net): 'net' does not"),
        ("spec.net", "import mlpfast.net", "line 1: mlpfast.net: 'net' does not come before"),
        ("spec.net", "\nfrom .. import net", "line 2: mlpfast.net: 'net' does not come before"),
        ("net", "def f():\n    from mlpfast.model import MLP", "line 2: mlpfast.model (MLP)"),
        ("net", _IF + "from mlpfast.model import MLP", "line 3: mlpfast.model (MLP)"),
        ("spec.net", "from mlpfast.spec import NetSpec", "circle of imports: mlpfast.spec, line 1"),
        ("plotting", "from mlpfast.sklearn import _base", "a private module of another folder"),
        ("model", "from mlpfast.spec.net import _HIDDEN", "a private name of another folder"),
        ("sklearn._base", "def f(net):\n    return net._params", "line 2: ._params is private to"),
        ("plotting", "import matplotlib.figure", "line 1: matplotlib.figure: an optional package"),
        ("model", "from sklearn import base", "line 1: sklearn (base): an optional package"),
        ("model", "try:\n    import tqdm\nexcept ImportError: pass", "line 2: tqdm: an optional"),
        ("model", _IF + "import numba", "line 3: numba: an optional package"),
        ("odd", "from mlpfast import spec", "'odd' has no place in LAYERS"),
    ],
)
def test_a_planted_violation_is_named(module, text, message):
    assert violations(_GOOD) == []
    wrong = violations({**_GOOD, f"mlpfast.{module}": text})
    assert any(f"mlpfast.{module}" in line and message in line for line in wrong), wrong
