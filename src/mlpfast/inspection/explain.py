"""One step of gradient descent on one row, with every number on the way: backpropagation seen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from html import escape
from itertools import chain
from typing import Any

import numpy as np

from mlpfast.arrays import as_array, check_finite, check_x, check_y
from mlpfast.backends import numpy as reference
from mlpfast.backends.base import Array, Data
from mlpfast.inspection.formulas import (
    hidden_delta_text,
    loss_text,
    output_delta_text,
)
from mlpfast.inspection.printing import html_table, number, text_table
from mlpfast.model import MLP, check_net
from mlpfast.spec import ACTIVATION_RECORDS, FROM_PREACTIVATION, NetSpec, check_real

#: Of a larger layer only so many units, and so many inputs of each, are printed.
MOST_PRINTED = 8

_HEADER = (
    *("unit", "weighted sum", "output", "delta"),
    *("from", "input", "weight", "gradient", "new weight"),
)


@dataclass(frozen=True, eq=False)
class LayerStep:
    """What happened in one layer, all float64.

    Attributes
    ----------
    name, activation : str
        "hidden layer", "hidden layer 2", "output layer" and the like.
    unit_names, input_names : tuple of str
        "h1", "h2" (with several hidden layers "h2.1": layer 2, unit 1), "o1", "x1".
    inputs : (n_in,) array
    weights, weight_gradients, new_weights : (n_in, n_out) arrays
        Before the step, dL/dW and after it.
    biases, bias_gradients, new_biases : (n_out,) arrays or None
    weighted_sums, outputs, deltas : (n_out,) arrays
        z, a = f(z) and dL/dz of every unit.
    formulas : dict of str to str
        How each of these was computed, by the name of the formula.
    """

    name: str
    activation: str
    unit_names: tuple[str, ...]
    input_names: tuple[str, ...]
    inputs: Array
    weights: Array
    biases: Array | None
    weighted_sums: Array
    outputs: Array
    deltas: Array
    weight_gradients: Array
    bias_gradients: Array | None
    new_weights: Array
    new_biases: Array | None
    formulas: dict[str, str]

    def rows(self) -> list[list[str]]:
        """Return the printed table, a row for each weight, without its header."""
        table: list[list[str]] = []
        for j in _shown(len(self.unit_names)):
            if j is None:
                table.append(["..."] * len(_HEADER))
                continue
            unit = (self.weighted_sums[j], self.outputs[j], self.deltas[j])
            cells = [self.unit_names[j], *map(number, unit)]
            for weight in self._weights_of(j):
                table.append([*cells, *weight])
                cells = [""] * len(cells)
        return table

    def _weights_of(self, j: int) -> Iterator[list[str]]:
        for i in _shown(len(self.input_names)):
            if i is None:
                yield ["..."] * 5
                continue
            values = (
                *(self.inputs[i], self.weights[i, j]),
                *(self.weight_gradients[i, j], self.new_weights[i, j]),
            )
            yield [self.input_names[i], *map(number, values)]
        if self.biases is not None:
            assert self.bias_gradients is not None
            assert self.new_biases is not None
            values = (1.0, self.biases[j], self.bias_gradients[j], self.new_biases[j])
            yield ["bias", *map(number, values)]


@dataclass(frozen=True, eq=False)
class StepExplanation:
    """One step of gradient descent, as `explain_step` returns it; print it to read it.

    ``print(step)`` gives a table as plain text, a notebook shows it as HTML. Layers of many units
    are printed in part; the attributes have everything.

    Attributes
    ----------
    layers : tuple of LayerStep
        In the order of the forward pass.
    x, target : (n_in,) and (n_out,) arrays
    learning_rate : float
    loss, new_loss : float
        On this row, before and after the step.
    loss_name, loss_formula : str
    params, gradient, new_params : (n_params,) arrays
        In the layout of ``net.params``: ``net.params = step.new_params`` makes the step.
    """

    layers: tuple[LayerStep, ...]
    x: Array
    target: Array
    learning_rate: float
    loss: float
    new_loss: float
    loss_name: str
    loss_formula: str
    params: Array
    gradient: Array
    new_params: Array

    @property
    def output(self) -> Array:
        """What the net answers before the step, (n_out,)."""
        return self.layers[-1].outputs

    def _opening(self) -> list[str]:
        return [
            f"One step of gradient descent with learning rate {self.learning_rate:g}",
            f"input {_row(self.x)}, output {_row(self.output)}, target {_row(self.target)}",
            f"loss {self.loss_name}: L = {self.loss_formula}",
            f"L = {number(self.loss)} before the step, {number(self.new_loss)} after it",
        ]

    def __str__(self) -> str:
        lines = self._opening()
        for layer in self.layers:
            lines += ["", f"{layer.name}, {layer.activation}"]
            width = max(map(len, layer.formulas))
            lines += [f"  {name:<{width}}  {text}" for name, text in layer.formulas.items()]
            lines += ["", *(f"  {line}" for line in text_table(_HEADER, layer.rows()))]
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        parts = ["<p>" + "<br>".join(map(escape, self._opening())) + "</p>"]
        for layer in self.layers:
            parts.append(f"<h4>{escape(layer.name)}, {escape(layer.activation)}</h4>")
            formulas = "".join(
                f"<li>{escape(name)}: <code>{escape(text)}</code></li>"
                for name, text in layer.formulas.items()
            )
            parts += [f"<ul>{formulas}</ul>", html_table(_HEADER, layer.rows())]
        return "\n".join(parts)


def explain_step(net: MLP, x: Any, y: Any, lr: float = 0.01) -> StepExplanation:
    """Take one step of gradient descent apart; the net itself does not move.

    Forward, every unit's weighted sum z and output a = f(z); backward, its delta = dL/dz, which
    in a hidden layer is ``f'(z) * sum(weight above * delta above)`` (Rumelhart, Hinton and
    Williams, 1986), the gradient delta * input of each weight, and the weight after the step,
    ``weight - lr * gradient``.

    Parameters
    ----------
    net : MLP
        Of any activations and loss that have a derivative.
    x : (n_in,) or (1, n_in) array
        A single row.
    y : float, int, (n_out,) or (1, n_out) array
        Its target, or its class label if there are several outputs.
    lr : float, default 0.01
        The learning rate: the step is that of ``fit`` with ``SGD(lr)``.

    Returns
    -------
    StepExplanation
        Computed in float64 by the formulas of the NumPy backend, whatever the net's dtype.

    Raises
    ------
    ValueError, TypeError
        If x or y is not a single row that fits, lr not a number, or the net has a step activation.

    Notes
    -----
    Dropout is left out, as in `MLP.loss_and_grad`.

    Some books call -dL/dz the delta and add ``lr * delta * input``: the same step, with the sign of
    delta turned.

    Examples
    --------
    >>> import mlpfast
    >>> weights = [[[2, 1], [-2, 3]], [[3], [-2]]]
    >>> biases = [[0, -1], [-1]]
    >>> net = mlpfast.MLP([2, 2, 1], "sigmoid", "sigmoid", "squared_error", init=(weights, biases))
    >>> step = mlpfast.explain_step(net, [1, 0], 0, lr=1)
    >>> step.layers[0].deltas.round(3).tolist(), step.layers[1].deltas.round(3).tolist()
    ([0.047, -0.074], [0.148])
    """
    check_net(net)
    net.check_trainable()
    spec = replace(net.spec, dtype="float64")
    row, target = _single_row(spec, x, y)
    rate = check_real("lr", lr, low=0.0)
    params = net.params.astype(np.float64)

    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        zs, outputs = reference.forward(spec, params, row)
        row_loss, delta = reference.loss_and_delta(spec, zs[-1], outputs[-1], target)
        deltas = _all_deltas(spec, params, zs, outputs, delta)
        gradient = reference.backward(spec, params, row, zs, outputs, delta)
        new_params = params - rate * gradient
        new_zs, new_outputs = reference.forward(spec, new_params, row)
        new_loss = reference.loss_and_delta(spec, new_zs[-1], new_outputs[-1], target)[0]

    names = _unit_names(spec)
    layers = []
    for i, ((w, b), (dw, db), (new_w, new_b)) in enumerate(
        zip(*(spec.unflatten(flat) for flat in (params, gradient, new_params)), strict=True)
    ):
        layers.append(
            LayerStep(
                name=_layer_name(spec, i),
                activation=spec.activations[i],
                unit_names=names[i + 1],
                input_names=names[i],
                inputs=(outputs[i - 1] if i else row)[0],
                weights=w,
                biases=b,
                weighted_sums=zs[i][0],
                outputs=outputs[i][0],
                deltas=deltas[i][0],
                weight_gradients=dw,
                bias_gradients=db,
                new_weights=new_w,
                new_biases=new_b,
                formulas=_formulas(spec, i),
            )
        )
    return StepExplanation(
        layers=tuple(layers),
        x=row[0],
        target=target[0],
        learning_rate=rate,
        loss=float(row_loss[0]),
        new_loss=float(new_loss[0]),
        loss_name=spec.loss,
        loss_formula=loss_text(spec),
        params=params,
        gradient=gradient,
        new_params=new_params,
    )


def _single_row(spec: NetSpec, x: Any, y: Any) -> tuple[Array, Array]:
    """Return x (1, n_in) and its target (1, n_out) in float64."""
    x = as_array("x", x)
    if x.shape not in ((spec.n_in,), (1, spec.n_in)):
        raise ValueError(
            f"x must be a single row of shape ({spec.n_in},) or (1, {spec.n_in}), got {x.shape}"
        )
    x = check_x(spec, x.reshape(1, -1), name="x")
    check_finite("x", x)
    y = as_array("y", y)
    if y.shape not in ((), (1,), (spec.n_out,), (1, spec.n_out)):
        what = "a number" if spec.n_out == 1 else f"of shape ({spec.n_out},) or a class label"
        raise ValueError(f"y must be a single target, {what}; got shape {y.shape}")
    # One number is the class of a net with several outputs.
    shape = (1, spec.n_out) if y.size == spec.n_out else (1,)
    y = check_y(spec, y.reshape(shape), 1, name="y")
    x, target, _ = reference.batch_of(spec, Data(x, y), slice(None))
    return x, target


def _all_deltas(
    spec: NetSpec, params: Array, zs: list[Array], outputs: list[Array], delta: Array
) -> list[Array]:
    """Return dL/dz of every layer, given that of the last."""
    deltas, weights = [delta], spec.unflatten(params)
    for i in reversed(range(spec.n_layers - 1)):
        name = spec.activations[i]
        kept = zs[i] if name in FROM_PREACTIVATION else outputs[i]
        delta = reference.BACKWARD[name](kept, delta @ weights[i + 1][0].T)
        deltas.insert(0, delta)
    return deltas


def _formulas(spec: NetSpec, layer: int) -> dict[str, str]:
    name = spec.activations[layer]
    bias = " + bias" if spec.bias else ""
    is_output = layer == spec.n_layers - 1
    letter = "o = a" if is_output else "a"
    if is_output:
        delta = {"delta, from the loss": f"dL/dz = {output_delta_text(spec)}"}
        if not spec.loss_from_logits:
            delta = {"delta, by the chain rule": f"dL/dz = {output_delta_text(spec)}"}
    else:
        delta = {"delta, by backpropagation": f"dL/dz = {hidden_delta_text(name)}"}
    return {
        "weighted sum": f"z = sum(weight * input){bias}",
        f"output, {name}": f"{letter} = {ACTIVATION_RECORDS[name].output}",
        **delta,
        "gradient": "dL/dweight = delta * input",
        "new weight, by gradient descent": "weight - learning rate * gradient",
    }


def _layer_name(spec: NetSpec, layer: int) -> str:
    if layer == spec.n_layers - 1:
        return "output layer"
    return "hidden layer" if spec.n_layers == 2 else f"hidden layer {layer + 1}"


def _unit_names(spec: NetSpec) -> list[tuple[str, ...]]:
    """Return the names of the inputs and of every layer's units."""
    last = spec.n_layers
    prefixes = ["x"]
    prefixes += ["h" if last == 2 else f"h{i}." for i in range(1, last)]
    prefixes.append("o")
    return [
        tuple(f"{prefix}{j}" for j in range(1, size + 1))
        for prefix, size in zip(prefixes, spec.sizes, strict=True)
    ]


def _shown(count: int) -> Sequence[int | None]:
    """Return which of `count` things are printed; None stands for those left out."""
    if count <= MOST_PRINTED:
        return range(count)
    return [*range(MOST_PRINTED - 2), None, count - 1]


def _row(values: Array) -> str:
    shown = (("..." if i is None else number(values[i])) for i in _shown(len(values)))
    return "(" + ", ".join(chain(shown)) + ")"
