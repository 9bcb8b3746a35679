"""The formulas behind a net's steps, as text (of activations and losses: in `mlpfast.spec`).

z is a unit's weighted sum, a its output, g the gradient with respect to a, o and t an output and
its target, n the number of outputs, L the loss of a row.
"""

from __future__ import annotations

from mlpfast.spec import ACTIVATION_RECORDS, LOSS_RECORDS, NetSpec


def loss_text(spec: NetSpec) -> str:
    """Return the formula of the net's loss on a row, with the value of its parameter."""
    record = LOSS_RECORDS[spec.loss]
    text = (spec.loss_from_logits and record.logits_value) or record.value
    if record.symbol:
        text += f", {record.symbol} = {spec.loss_parameter:g}"
    return text


def output_delta_text(spec: NetSpec) -> str:
    """Return the formula of delta in the output layer."""
    record = LOSS_RECORDS[spec.loss]
    if spec.loss_from_logits:
        return record.logits_delta
    return f"{ACTIVATION_RECORDS[spec.activations[-1]].delta}, g = dL/do = {record.gradient}"


def hidden_delta_text(name: str) -> str:
    """Return the formula of delta in a hidden layer: backpropagation."""
    return f"{ACTIVATION_RECORDS[name].delta}, g = sum(weight above * delta above)"
