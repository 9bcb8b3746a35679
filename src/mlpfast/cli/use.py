"""``mlpfast predict``, ``evaluate`` and ``info``: what is done with a trained net."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from mlpfast import config, files
from mlpfast.backends.base import Array
from mlpfast.cli import source
from mlpfast.cli.source import Model
from mlpfast.model import MLP


def _load(args: argparse.Namespace) -> tuple[MLP, Model, dict[str, Any]]:
    saved = files.read(args.model)
    net = MLP.from_spec(saved.spec, saved.params, backend=args.backend)
    return net, Model.from_extra(net, saved.extra, args.model), saved.extra


def predict(args: argparse.Namespace) -> int:
    """Write a CSV line a row: the class and the probability of each, or the numbers."""
    net, model, _ = _load(args)
    table = model.read(net, args.data, args.target, need_target=False)
    out = model.predict(net, table.X)
    if args.out:
        with Path(args.out).open("w", newline="", encoding="utf-8") as file:
            _write(file, model, out)
    else:
        _write(sys.stdout, model, out)
    return 0


def _write(file: TextIO, model: Model, out: Array) -> None:
    writer = csv.writer(file, lineterminator="\n")
    if model.task == "regression":
        names = model.target_names or tuple(f"output{i}" for i in range(out.shape[1]))
        writer.writerow(names)
        writer.writerows([f"{value:.7g}" for value in row] for row in out.tolist())
        return
    if out.shape[1] == 1:
        out = np.hstack([1.0 - out, out])
        best = (out[:, 1] > 0.5).astype(np.int64)  # as accuracy counts it
    else:
        best = out.argmax(axis=1)
    writer.writerow(["class", *(f"p_{name}" for name in model.class_names)])
    for i, row in zip(best.tolist(), out.tolist(), strict=True):
        writer.writerow([model.class_names[i], *(f"{value:.6f}" for value in row)])


def evaluate(args: argparse.Namespace) -> int:
    """Print loss and accuracy, or the errors of a regression, on a file's rows."""
    net, model, _ = _load(args)
    table = model.read(net, args.data, args.target, need_target=True)
    assert table.y is not None
    figures: dict[str, Any] = net.evaluate(
        model.features(net, table.X),
        model.net_targets(net, table.y),
        metrics=("accuracy",) if model.task == "classification" else (),
        input_scale=model.input_scale,
    )
    if model.task == "regression":
        figures |= source.regression_figures(model, net, table.X, table.y)
    if args.json:
        print(json.dumps({"model": args.model, "data": args.data, "rows": len(table), **figures}))
        return 0
    print(f"{source.in_words(figures)} on {len(table):,} rows")
    if args.data in source.BUILT_IN:
        print("(these include the rows that `mlpfast train` trains on)")
    return 0


def info(args: argparse.Namespace) -> int:
    """Print what runs and why, or what is in a model's file."""
    if args.model is None:
        facts = config.config()
        if args.json:
            print(json.dumps(facts))
        else:
            config.show_config()
        return 0
    net, model, extra = _load(args)
    if args.json:
        spec = net.spec
        facts_of_net = {
            "model": args.model,
            "layers": list(spec.sizes),
            "activations": list(spec.activations),
            "parameters": spec.n_params,
            "loss": spec.loss,
            "loss_parameter": spec.loss_parameter,
            "dropout": list(spec.dropout),
            "dtype": spec.dtype,
            "bias": spec.bias,
            "extra": extra,
        }
        print(json.dumps(facts_of_net))
        return 0
    print(net)
    if "task" not in extra:
        print("saved from Python: nothing is known of classes and scaling")
        return 0
    lines = {
        "task": model.task,
        "classes": ", ".join(model.class_names),
        "features": ", ".join(model.feature_names),
        "target": ", ".join(model.target_names),
        "inputs": _scaling(model),
    }
    for name, text in lines.items():
        if text:
            print(f"{name:<9} {text}")
    return 0


def _scaling(model: Model) -> str:
    if model.mean is not None:
        return "brought to mean 0 and deviation 1 by the saved figures"
    return f"times {model.input_scale:g}" if model.input_scale != 1.0 else "as they are"
