"""A net taken apart: a step explained number by number, gradients checked against differences."""

from mlpfast.inspection.explain import explain_step
from mlpfast.inspection.gradient_check import check_gradients

__all__ = ["check_gradients", "explain_step"]
