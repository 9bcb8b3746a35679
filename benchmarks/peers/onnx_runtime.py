"""ONNX Runtime, predictions only: a graph of Gemm nodes and activations."""

from __future__ import annotations

import os
from itertools import repeat
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from benchmarks.jobs.data import Array, Job
from benchmarks.jobs.workloads import Workload

_NODES = {"relu": "Relu", "tanh": "Tanh", "sigmoid": "Sigmoid", "softmax": "Softmax"}
# Old enough for every supported runtime.
_OPSET, _IR_VERSION = 17, 8


def graph(job: Job) -> Any:
    """Return the job's net with its first weights as an ONNX model from "x" to "y"."""
    w = job.workload
    element = {"float32": TensorProto.FLOAT, "float64": TensorProto.DOUBLE}[w.dtype]
    nodes, constants, value = [], [], "x"
    for i, ((weights, biases), name) in enumerate(zip(job.layers(), w.activations, strict=True)):
        constants.append(numpy_helper.from_array(weights, f"w{i}"))
        constants.append(numpy_helper.from_array(biases, f"b{i}"))
        nodes.append(helper.make_node("Gemm", [value, f"w{i}", f"b{i}"], [f"z{i}"]))
        value = f"z{i}"
        if name != "identity":
            options: dict[str, Any] = {"axis": 1} if name == "softmax" else {}
            nodes.append(helper.make_node(_NODES[name], [value], [f"a{i}"], **options))
            value = f"a{i}"
    x = helper.make_tensor_value_info("x", element, ["n", w.sizes[0]])
    y = helper.make_tensor_value_info(value, element, ["n", w.sizes[-1]])
    body = helper.make_graph(nodes, "mlp", [x], [y], constants)
    opset = [helper.make_opsetid("", _OPSET)]
    return helper.make_model(body, opset_imports=opset, ir_version=_IR_VERSION)


class OnnxRuntime:
    """`InferenceSession.run` on a NumPy array."""

    def versions(self) -> dict[str, str]:
        return {"onnxruntime": onnxruntime.__version__, "onnx": onnx.__version__}

    def refuses(self, workload: Workload) -> str | None:
        return "predicts only" if workload.trains else None

    def prepare(self, job: Job, *, own_order: bool) -> None:
        self.x: Array = job.x
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(os.environ["OMP_NUM_THREADS"])
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            graph(job).SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    def start(self) -> None:
        """Nothing changes in a prediction."""

    def run(self, units: int) -> None:
        run, feed = self.session.run, {"x": self.x}
        for _ in repeat(None, units):
            self.out = run(None, feed)[0]

    def result(self) -> Array:
        return np.asarray(self.out)


def make(_: str) -> OnnxRuntime:
    """Return the contestant."""
    return OnnxRuntime()
