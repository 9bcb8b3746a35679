"""Targets of a classifier's first fit: what scikit-learn's LabelBinarizer makes of the classes."""

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.preprocessing import LabelBinarizer

from mlpfast.sklearn import MLPClassifier

NUMBERS = np.random.default_rng(0).integers(0, 60, 50)
KINDS = {
    "two": NUMBERS % 2,
    "five": NUMBERS % 5 - 1,
    "bool": NUMBERS % 2 == 0,
    "float": NUMBERS % 3 * 1.0,
    "letters": np.array(list("abc"))[NUMBERS % 3],
    "objects": np.array(["x", "yy"], object)[NUMBERS % 2],
    "one": NUMBERS * 0,
    "labels": (NUMBERS[:, None] % [2, 3, 5] == 0).astype(int),
    "column": NUMBERS[:, None] % 4,
}


@pytest.mark.filterwarnings("ignore:A column-vector y")
@pytest.mark.parametrize("kind", KINDS)
def test_targets_are_those_of_the_binarizer(kind):
    y = KINDS[kind]
    targets, weight = MLPClassifier()._validate_targets(y, False)
    flat = y.ravel() if kind == "column" else y
    wanted = LabelBinarizer().fit_transform(flat).astype(bool)
    assert weight is None
    assert targets.dtype == bool
    assert targets.flags.c_contiguous
    np.testing.assert_array_equal(targets, wanted, strict=True)
