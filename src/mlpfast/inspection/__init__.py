"""A net taken apart: a step number by number, gradients against differences, plans of training."""

from mlpfast.inspection.explain import explain_step
from mlpfast.inspection.gradient_check import check_gradients
from mlpfast.inspection.plan import explain_plan

__all__ = ["check_gradients", "explain_plan", "explain_step"]
