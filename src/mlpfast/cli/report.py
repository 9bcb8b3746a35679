"""What ``mlpfast train`` says before and after the training."""

from __future__ import annotations

import argparse
from typing import Any

from mlpfast.cli import source
from mlpfast.cli.job import Job
from mlpfast.datasets.tables import Table
from mlpfast.model import MLP


def introduction(args: argparse.Namespace, table: Table, job: Job, net: MLP, own_test: bool) -> str:
    """Return the lines that say what is about to happen."""
    spec = net.spec
    goal = f"{len(job.model.class_names)} classes"
    if job.model.task == "regression":
        goal = "1 number to predict" if spec.n_out == 1 else f"{spec.n_out} numbers to predict"
    if table.target_names:
        goal += f" ({table.target_names[0]})"
    rows = f"{len(job.X):,} rows to train on"
    if job.held_out:
        rows += f", {len(job.held_out[0]):,} held out" + (" (the test files)" if own_test else "")
    layers = "".join(
        f" -> {size} {name}" for size, name in zip(spec.sizes[1:], spec.activations, strict=True)
    )
    return (
        f"data     {args.data}: {spec.n_in} features, {goal}; {rows}\n"
        f"net      {spec.n_in}{layers}; {spec.n_params:,} parameters, {spec.dtype}\n"
        f"training {spec.loss_label}, "
        f"{job.optimizer.name} at {job.optimizer.learning_rate_at(0):g}, "
        f"batches of {job.batch_size}, {job.epochs} epochs, seed {args.seed}, "
        f"backend {net.backend}"
    )


def report(result: dict[str, Any], job: Job, net: MLP, *, show: bool) -> list[str]:
    """Return the lines that say what came of it."""
    lines = [""] if show else []
    if result["stop_reason"] == "interrupted":
        lines.append(
            f"stopped  by Ctrl-C in epoch {result['epochs']} of {job.epochs}, "
            f"after {result['seconds']:.2f} s; the net keeps what it had learned"
        )
    else:
        lines.append(
            f"trained  {result['epochs']} epochs in {result['seconds']:.2f} s, "
            f"{result['microseconds_per_sample']:.2f} us a sample"
        )
    part, rows = ("held_out", "held-out") if "held_out" in result else ("train", "training")
    count = result["rows_held_out"] or result["rows_train"]
    lines.append(f"result   {source.in_words(result[part])} on {count:,} {rows} rows")
    reference = result.get("reference")
    if reference:
        how = "the same run in NumPy"
        if reference["extrapolated"]:
            how = f"NumPy, extrapolated from {reference['trained_rows']:,} of the rows"
        lines.append(
            f"compare  {reference['seconds']:.2f} s for {how}: {net.backend} is "
            f"{reference['speedup']:.1f} times as fast"
        )
        if part in reference:
            lines.append(f"         there {source.in_words(reference[part])}")
    lines += [f"{key:<8} {result[key]}" for key in ("saved", "plot") if key in result]
    return lines
