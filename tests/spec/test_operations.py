"""The facts of the compiled kernels' operations against the records of the specification."""

import dataclasses
import math

import pytest

import mlpfast
from mlpfast.spec import activations, losses

if "cpp" not in mlpfast.backends.available():
    pytest.skip("needs the extension", allow_module_level=True)

from mlpfast import _core

OPERATIONS = _core.operations()
OPS = "src/cpp/kernels/ops.hpp"


def names(kind):
    return [facts["name"] for facts in OPERATIONS[kind]]


def pairs(kind, records):
    """Return the record of every operation beside its facts, with the name as the test's id."""
    return [
        pytest.param(records[facts["name"]], facts, id=facts["name"])
        for facts in OPERATIONS[kind]
        if facts["name"] in records
    ]


def is_by_sign(record):
    """Whether the formula of the slope depends on the signs of z and a alone."""
    if not record.has_gradient or record.whole_rows:
        return False

    def slope(z, a):
        return eval(record.slope, {**vars(math), "z": z, "a": a})

    return slope(0.25, 0.5) == slope(3.0, 2.0) and slope(-0.25, -0.5) == slope(-3.0, -2.0)


def compare(facts, expected, record_place):
    different = {
        key: f"{value!r} in {record_place}, {facts[key]!r} in {OPS}"
        for key, value in expected.items()
        if facts[key] != value
    }
    assert not different, f"{facts['name']}: {different}"
    assert set(facts) - set(expected) == {"name"}


@pytest.mark.parametrize(
    ("kind", "records", "place"),
    [
        ("activations", activations.ACTIVATION_RECORDS, "spec/activations.py"),
        ("losses", losses.LOSS_RECORDS, "spec/losses.py"),
    ],
)
def test_the_same_names_in_the_same_order(kind, records, place):
    assert names(kind) == list(records), f"{kind} of {OPS} on the left, of {place} on the right"


@pytest.mark.parametrize(("record", "facts"), pairs("activations", activations.ACTIVATION_RECORDS))
def test_facts_of_an_activation(record, facts):
    expected = {
        "keeps_z": record.keeps_z,
        "has_gradient": record.has_gradient,
        "whole_rows": record.whole_rows,
        "derives_by_sign": is_by_sign(record),
    }
    compare(facts, expected, "spec/activations.py")


@pytest.mark.parametrize(("record", "facts"), pairs("losses", losses.LOSS_RECORDS))
def test_facts_of_a_loss(record, facts):
    output = activations.ACTIVATION_RECORDS.get(record.logits_output)
    expected = {
        "mean": record.value.endswith("/ n"),
        "whole_rows": record.needs_output and output.whole_rows,
        "logits_output": record.logits_output,
        "needs_output": record.needs_output,
        "low": record.low,
        "high": record.high,
        "parameter": dataclasses.fields(record.parameter)[0].name if record.parameter else None,
    }
    compare(facts, expected, "spec/losses.py")


def test_facts_of_the_updates():
    moments = {facts["name"]: (facts["has_m"], facts["has_v"]) for facts in OPERATIONS["updates"]}
    assert moments == {
        "scaled_sum": (False, False),
        "momentum": (True, False),
        "adam": (True, True),
        "rmsprop": (True, True),
    }
    assert [facts["name"] for facts in OPERATIONS["updates"] if facts["decays"]] == ["adam"]
