"""scikit-learn's own tests of its multilayer perceptrons, on those of mlpfast.

The source of the installed test file is run as it is, but for the line that imports the estimators.
"""

from importlib.util import find_spec
from pathlib import Path

import pytest

pytest.importorskip("sklearn", minversion="1.6")

_IMPORT = "from sklearn.neural_network import MLPClassifier, MLPRegressor\n"
_OURS = "from mlpfast.sklearn import MLPClassifier, MLPRegressor\n"

_spec = find_spec("sklearn.neural_network.tests.test_mlp")
if _spec is None or _spec.origin is None:
    pytest.skip("scikit-learn is installed without its tests", allow_module_level=True)
_source = Path(_spec.origin).read_text(encoding="utf-8")
assert _source.count(_IMPORT) == 1, "scikit-learn's tests import something else now"
exec(compile(_source.replace(_IMPORT, _OURS), _spec.origin, "exec"), globals())

# It calls a private function that computes the loss and gradient of scikit-learn's own loops.
del globals()["test_gradient"]

# As scikit-learn runs them, fits may say that they have not converged.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]


@pytest.fixture
def global_random_seed():
    """The seed that scikit-learn's tests run with unless they are told otherwise."""
    return 42


def test_the_tests_are_on_our_estimators():
    import mlpfast.sklearn

    assert globals()["MLPClassifier"] is mlpfast.sklearn.MLPClassifier
    assert sum(name.startswith("test_") for name in globals()) > 30
