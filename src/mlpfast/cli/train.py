"""``mlpfast train``: from data to a trained net, with the NumPy reference run beside it."""

from __future__ import annotations

import argparse
import copy
import json
import math
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from mlpfast import files
from mlpfast.backends.base import Array
from mlpfast.cli import source
from mlpfast.cli.errors import UsageError
from mlpfast.cli.job import Job, compare, train
from mlpfast.cli.report import introduction, report
from mlpfast.cli.source import Model
from mlpfast.datasets.tables import Table
from mlpfast.model import MLP
from mlpfast.plotting import plot_history, require_matplotlib
from mlpfast.spec import (
    LOSS_RECORDS,
    OPTIMIZERS,
    PARAMETRIC_LOSSES,
    REQUIRED_OUTPUT,
    Optimizer,
    split_loss,
)
from mlpfast.training import TrainingDiverged
from mlpfast.training.history import History

#: Updates that make a fair number of epochs by default, and the limits to that number.
_UPDATES, _FEWEST, _MOST = 2000, 10, 500
_LARGE = 10_000

#: What suits the exclusive or, which has four rows.
_XOR = {
    "hidden": [[8]],
    "activation": ["tanh"],
    "loss": "binary_crossentropy",
    "lr": 0.05,
    "epochs": 500,
}

#: Losses whose targets may be any numbers, so that they can be brought to one scale.
_ANY_TARGET = tuple(name for name, record in LOSS_RECORDS.items() if record.low == -math.inf)


def run(args: argparse.Namespace) -> int:
    """Train as the arguments say; print the result and save what is asked for."""
    _check_outputs(args)
    if args.data == "xor":
        for name, value in _XOR.items():
            if getattr(args, name) is None:
                setattr(args, name, value)
    features = args.features.split(",") if args.features else None
    table = source.read(args.data, target=args.target, features=features, task=args.task)
    rows, held_out, own_test = split(table, args)
    kind = source.kind_of(args.data)

    net_args = _net_arguments(args, table)
    model = _model(args, table, *rows, kind, split_loss(net_args["loss"])[0])
    rng = np.random.default_rng(args.seed)
    net = MLP(**net_args, dtype=args.dtype, random_state=rng, backend=args.backend)
    n = len(rows[0])
    batch_size = min(args.batch_size or (32 if n < _LARGE else 128), n)
    epochs = args.epochs or min(max(-(-_UPDATES * batch_size // n), _FEWEST), _MOST)
    job = Job(
        model.features(net, rows[0]),
        model.net_targets(net, rows[1]),
        held_out and (model.features(net, held_out[0]), model.net_targets(net, held_out[1])),
        model,
        _optimizer(args),
        batch_size,
        epochs,
        ("accuracy",) if model.task == "classification" else (),
    )

    show = not args.quiet
    out = sys.stderr if args.json else sys.stdout
    if show:
        print(introduction(args, table, job, net, own_test), file=out, flush=True)
    # The twin begins with the same weights and will draw the same row orders.
    twin_rng = copy.deepcopy(rng)
    twin = MLP.from_spec(net.spec, net.params, random_state=twin_rng, backend="numpy")
    history, seconds = train(net, job, show=show)
    result = _result(args, job, net, history, seconds, held_out)
    if not args.no_compare and history.stop_reason == "finished" and net.backend != "numpy":
        with suppress(KeyboardInterrupt, TrainingDiverged):  # the result stands without it
            result["reference"] = compare(twin, twin_rng, job, seconds, in_full=kind == "digits")
    if args.save:
        files.save(net, args.save, extra=model.to_extra())
        result["saved"] = args.save
    if args.plot:
        _plot(args.plot, history)
        result["plot"] = args.plot
    if args.json:
        print(json.dumps(result))
    else:
        print("\n".join(report(result, job, net, show=show)), flush=True)
    return 0


# ---------------------------------------------------------------------------- before


def _check_outputs(args: argparse.Namespace) -> None:
    """Find out before the training what would fail after it."""
    if args.momentum is not None and args.optimizer not in ("sgd", "rmsprop"):
        raise UsageError(f"--momentum is for sgd and rmsprop, got --optimizer {args.optimizer}")
    if args.loss_parameter is not None and args.loss not in PARAMETRIC_LOSSES:
        raise UsageError(
            f"--loss-parameter is for {' and '.join(PARAMETRIC_LOSSES)}, got --loss {args.loss}"
        )
    if args.save:
        files.check_path(args.save)
    if args.plot:
        require_matplotlib()
    for option in ("save", "plot"):
        path = getattr(args, option)
        if path and not Path(path).parent.is_dir():
            raise FileNotFoundError(f"--{option}: there is no folder {str(Path(path).parent)!r}")


def split(
    table: Table, args: argparse.Namespace
) -> tuple[tuple[Array, Array], tuple[Array, Array] | None, bool]:
    """Return rows to train on, rows to evaluate on, and whether the data set these apart."""
    if table.y is None:
        raise ValueError(f"{args.data}: there are no targets to learn")
    if len(table) == 0:
        raise ValueError(f"{args.data}: there are no rows")
    share = args.validation_share
    if table.test is not None and share is None and len(table.test[0]):
        return (table.X, table.y), table.test, True
    if share is None:
        share = 0.0 if args.data == "xor" else 0.2
    held = round(share * len(table))
    if held >= len(table):
        raise ValueError(f"{args.data}: --validation-share {share} leaves no rows to train on")
    if held == 0:
        return (table.X, table.y), None, False
    order = np.random.default_rng(args.seed).permutation(len(table))
    kept, rest = np.sort(order[held:]), np.sort(order[:held])
    return (table.X[kept], table.y[kept]), (table.X[rest], table.y[rest]), False


def _net_arguments(args: argparse.Namespace, table: Table) -> dict[str, Any]:
    """Return layers, activations and loss: the task's own unless an option says otherwise."""
    assert table.y is not None
    # Several values come as lists of lists; a lone 0 means no hidden layer.
    hidden = [100] if args.hidden is None else [n for part in args.hidden for n in part]
    if hidden == [0]:
        hidden = []
    if 0 in hidden:
        raise UsageError(f"--hidden: a layer must have at least 1 unit, got {hidden}")
    activation = args.activation or ["relu"]
    if len(activation) == 1:
        activation *= len(hidden)
    if len(activation) != len(hidden):
        raise UsageError(
            f"--activation must be one name or one a hidden layer ({len(hidden)}), got "
            f"{len(activation)}"
        )
    if table.class_names is not None:
        classes = len(table.class_names)
        if classes < 2:
            raise ValueError(f"{args.data}: there must be at least 2 classes, got {classes}")
        loss = args.loss or "categorical_crossentropy"
        output = args.output_activation or REQUIRED_OUTPUT.get(loss, "sigmoid")
        n_out = 1 if classes == 2 and output != "softmax" else classes
    else:
        loss = args.loss or "mse"
        # The output that is computed together with the loss, needed or not.
        output = args.output_activation or LOSS_RECORDS[loss].logits_output or "identity"
        n_out = table.y.shape[1]
    return {
        "layer_sizes": [table.X.shape[1], *hidden, n_out],
        "activation": activation,
        "output_activation": output,
        "loss": loss
        if args.loss_parameter is None
        else PARAMETRIC_LOSSES[loss](args.loss_parameter),
        "dropout": args.dropout,
    }


def _model(
    args: argparse.Namespace, table: Table, X: Array, y: Array, kind: str, loss: str
) -> Model:
    """Return what a user of the net must know; scalings come from the training rows alone."""
    regression = table.class_names is None
    scaling: dict[str, Any] = {}
    if kind == "folder":
        scaling["input_scale"] = 1.0 / 255.0
    elif kind in ("csv", "npz"):
        scale_y = (
            regression and loss in _ANY_TARGET and args.output_activation in (None, "identity")
        )
        scaling = source.standardise(X, y if scale_y else None)
    target = None
    if kind == "csv" and not table.target_names:
        target = -1 if args.target is None else int(args.target)
    return Model(
        "regression" if regression else "classification",
        table.class_names or (),
        table.feature_names,
        table.target_names,
        target,
        **scaling,
    )


def _optimizer(args: argparse.Namespace) -> Optimizer:
    given = {"learning_rate": args.lr, "momentum": args.momentum}
    return OPTIMIZERS[args.optimizer](**{k: v for k, v in given.items() if v is not None})


# ---------------------------------------------------------------------------- after


def _result(
    args: argparse.Namespace,
    job: Job,
    net: MLP,
    history: History,
    seconds: float,
    held_out: tuple[Array, Array] | None,
) -> dict[str, Any]:
    """Return all that the run says of itself, as JSON will have it."""
    spec, epochs = net.spec, history.n_epochs
    trained = net.evaluate(job.X, job.y, metrics=job.metrics, input_scale=job.model.input_scale)
    result: dict[str, Any] = {
        "data": args.data,
        "task": job.model.task,
        "rows_train": len(job.X),
        "rows_held_out": len(held_out[0]) if held_out else 0,
        "classes": list(job.model.class_names),
        "layers": list(spec.sizes),
        "activations": list(spec.activations),
        "parameters": spec.n_params,
        "loss": spec.loss,
        "loss_parameter": spec.loss_parameter,
        "dropout": list(spec.dropout),
        "dtype": spec.dtype,
        "backend": net.backend,
        "optimizer": job.optimizer.name,
        "learning_rate": job.optimizer.learning_rate_at(0),
        "batch_size": job.batch_size,
        "epochs": epochs,
        "seed": args.seed,
        "stop_reason": history.stop_reason,
        "seconds": seconds,
        "microseconds_per_sample": 1e6 * seconds / (max(epochs, 1) * len(job.X)),
        "train": trained,
    }
    if held_out and job.held_out:
        result["held_out"] = net.evaluate(
            *job.held_out, metrics=job.metrics, input_scale=job.model.input_scale
        )
        if job.model.task == "regression":
            result["held_out"] |= source.regression_figures(job.model, net, *held_out)
    return result


def _plot(path: str, history: History) -> None:
    figure = plot_history(history).figure
    try:
        figure.savefig(path, dpi=150)
    except ValueError as error:  # a suffix that matplotlib does not know
        raise ValueError(f"--plot {path}: {error}") from None
