"""Specs and optimizers: every field's error names the field, what came and what was expected."""

import dataclasses
import pickle

import numpy as np
import pytest

import mlpfast
from mlpfast import spec as spec_module
from mlpfast.spec import NetSpec, check_choice, check_int, check_optimizer, check_real

BAD_NETS = [
    # arguments, error, words of the message
    ({"layer_sizes": 3}, TypeError, "layer_sizes must be a list of integers, got int"),
    ({"layer_sizes": "345"}, TypeError, "layer_sizes must be a list of integers, got str"),
    ({"layer_sizes": {3, 4}}, TypeError, "layer_sizes must be a list of integers, got set"),
    ({"layer_sizes": []}, ValueError, r"layer_sizes must name at least .* got \[\]"),
    ({"layer_sizes": [3]}, ValueError, r"layer_sizes must name at least .* got \[3\]"),
    ({"layer_sizes": [3, 0, 2]}, ValueError, r"layer_sizes\[1\] must be at least 1, got 0"),
    ({"layer_sizes": [-3, 2]}, ValueError, r"layer_sizes\[0\] must be at least 1, got -3"),
    ({"layer_sizes": [3, 2.0]}, TypeError, r"layer_sizes\[1\] must be an integer, got 2\.0"),
    ({"layer_sizes": [3, True]}, TypeError, r"layer_sizes\[1\] must be an integer, got True"),
    ({"layer_sizes": [3, None]}, TypeError, r"layer_sizes\[1\] must be an integer, got None"),
    ({"layer_sizes": [3, "2"]}, TypeError, r"layer_sizes\[1\] must be an integer, got '2'"),
    ({"activation": "rleu"}, ValueError, r"activation must be one of .*'relu'.*; got 'rleu'"),
    ({"activation": "RELU"}, ValueError, "activation must be one of"),
    ({"activation": None}, TypeError, "activation must be a name or a list of names, got NoneType"),
    ({"activation": 3}, TypeError, "activation must be a name or a list of names, got int"),
    ({"activation": ["relu", "tanh"]}, ValueError, r"one a hidden layer \(1\), got 2"),
    ({"activation": []}, ValueError, r"one a hidden layer \(1\), got 0"),
    ({"activation": [None]}, TypeError, "activation must be a string, got NoneType"),
    ({"output_activation": "linear"}, ValueError, "output_activation must be one of .*'linear'"),
    ({"output_activation": None}, TypeError, "output_activation must be a string, got NoneType"),
    ({"loss": "MSE"}, ValueError, "loss must be one of 'mse'.*got 'MSE'"),
    ({"loss": np.mean}, TypeError, "loss must be a string, got"),
    ({"reduction": "none"}, ValueError, "reduction must be one of 'mean', .*; got 'none'"),
    ({"reduction": 1}, TypeError, "reduction must be a string, got int"),
    ({"dtype": "float16"}, ValueError, "dtype must be one of 'float32', 'float64'; got 'float16'"),
    ({"dtype": int}, ValueError, "dtype must be one of 'float32', 'float64'; got 'int64'"),
    ({"dtype": "single-ish"}, ValueError, "dtype must be one of 'float32', 'float64'"),
    ({"dtype": 7}, TypeError, "dtype must be a string, got int"),
    ({"bias": 1}, TypeError, "bias must be True or False, got 1"),
    ({"bias": None}, TypeError, "bias must be True or False, got None"),
    (
        {"loss": "binary_crossentropy"},
        ValueError,
        "computed from the logits of a sigmoid output: set output_activation='sigmoid'",
    ),
    (
        {"loss": "categorical_crossentropy", "output_activation": "sigmoid"},
        ValueError,
        r"set output_activation='softmax' \(got 'sigmoid'\)",
    ),
    ({"init": "uniform"}, ValueError, "init must be one of 'glorot_uniform'.*got 'uniform'"),
    ({"init": 3}, TypeError, r"init must be one of .* or \(weights, biases\)"),
    ({"init": ([], [])}, ValueError, "weights must hold 2 arrays, got 0"),
    ({"random_state": "0"}, TypeError, "random_state must be None, an integer.*got str"),
    ({"random_state": True}, TypeError, "random_state must be None, an integer.*got bool"),
    ({"random_state": 1.0}, TypeError, "random_state must be None, an integer.*got float"),
    ({"random_state": -1}, ValueError, "random_state must not be negative, got -1"),
    ({"backend": "cuda"}, ValueError, "backend must be one of 'cpp', 'numba', 'numpy'.*'cuda'"),
    ({"backend": "numpy:avx2"}, ValueError, "backend must be one of .*'numpy:avx2'"),
    ({"backend": 3}, TypeError, "backend must be a string or None, got int"),
]


@pytest.mark.parametrize(("arguments", "error", "words"), BAD_NETS)
def test_bad_net(arguments, error, words):
    with pytest.raises(error, match=words):
        mlpfast.MLP(**{"layer_sizes": [3, 4, 2], "backend": "numpy", **arguments})


@pytest.mark.parametrize(
    ("kind", "value", "error", "words"),
    [
        (mlpfast.Huber, 0, ValueError, r"delta must be in \(0, inf\], got 0"),
        (mlpfast.Huber, -1.0, ValueError, "delta must be in"),
        (mlpfast.Huber, np.nan, ValueError, "delta must be in .*got nan"),
        (mlpfast.Huber, "1", TypeError, "delta must be a number, got '1'"),
        (mlpfast.Quantile, 0.0, ValueError, r"quantile must be in \(0, 1\), got 0"),
        (mlpfast.Quantile, 1, ValueError, r"quantile must be in \(0, 1\), got 1"),
        (mlpfast.Quantile, None, TypeError, "quantile must be a number, got None"),
    ],
)
def test_bad_parameter_of_a_loss(kind, value, error, words):
    with pytest.raises(error, match=words):
        kind(value)
    if value is not None:  # which stands for the default
        with pytest.raises(error, match=words):
            NetSpec((2, 1), ("identity",), kind.__name__.lower(), loss_parameter=value)


def test_parameter_of_a_loss():
    assert NetSpec.create([2, 1], loss=mlpfast.Huber(2)).loss_parameter == 2.0
    assert NetSpec.create([2, 1], loss="quantile").loss_parameter == 0.5
    assert NetSpec.create([2, 1]).loss_parameter is None
    spec = NetSpec.create([2, 1], loss=mlpfast.Quantile(np.float32(0.25)))
    assert dataclasses.asdict(spec)["loss_parameter"] == 0.25
    assert type(spec.loss_parameter) is float
    assert spec.loss_label == "quantile(0.25)"
    assert dataclasses.replace(spec, loss_parameter=None).loss_parameter == 0.5
    with pytest.raises(ValueError, match=r"loss_parameter is for huber and quantile, got 1\.0"):
        NetSpec((2, 1), ("identity",), "mae", loss_parameter=1.0)


def test_a_single_layer_still_checks_its_unused_activation():
    assert NetSpec.create([3, 2], "relu").activations == ("identity",)
    with pytest.raises(ValueError, match="activation must be one of"):
        NetSpec.create([3, 2], "rleu")


def test_create_accepts_what_users_write():
    want = NetSpec((3, 4, 2), ("tanh", "identity"), "mse", "mean", "float64", True)
    for sizes in ([3, 4, 2], (3, 4, 2), np.array([3, 4, 2]), [np.int32(3), 4, 2]):
        for dtype in ("float64", np.float64, np.dtype("float64"), float, "d"):
            for activation in ("tanh", ["tanh"], ("tanh",)):
                assert NetSpec.create(sizes, activation, dtype=dtype) == want
    assert all(type(size) is int for size in NetSpec.create(np.array([3, 4]), "relu").sizes)


def test_spec_is_frozen_hashable_and_picklable():
    spec = NetSpec.create([3, 4, 2])
    with pytest.raises(dataclasses.FrozenInstanceError):
        spec.loss = "mae"
    assert {spec: 1}[NetSpec.create([3, 4, 2])] == 1
    assert pickle.loads(pickle.dumps(spec)) == spec


@pytest.mark.parametrize("bias", [True, False])
def test_layout(bias):
    spec = NetSpec.create([3, 5, 2], bias=bias)
    assert (spec.n_in, spec.n_out, spec.n_layers) == (3, 2, 2)
    assert spec.n_params == 15 + 10 + bias * 7
    flat = np.arange(float(spec.n_params))
    (w0, b0), (w1, b1) = spec.unflatten(flat)
    assert (w0.shape, w1.shape) == ((3, 5), (5, 2))
    assert all(np.shares_memory(v, flat) for v in (w0, w1))
    pieces = [w0, b0, w1, b1] if bias else [w0, w1]
    np.testing.assert_array_equal(np.concatenate([p.ravel() for p in pieces]), flat)
    assert bias or (b0 is None and b1 is None)


@pytest.mark.parametrize("name", spec_module.ACTIVATIONS)
def test_trainable_unless_an_activation_has_no_derivative(name):
    assert NetSpec.create([2, 3, 1], name).trainable is (name != "step")
    assert NetSpec.create([2, 3, 1], "relu", name).trainable is (name != "step")


@pytest.mark.parametrize(
    ("loss", "output", "from_logits"),
    [
        ("binary_crossentropy", "sigmoid", True),
        ("categorical_crossentropy", "softmax", True),
        ("poisson", "exp", True),
        ("poisson", "softplus", False),
        ("mse", "softmax", False),
    ],
)
def test_loss_from_logits(loss, output, from_logits):
    assert NetSpec.create([2, 2], "relu", output, loss).loss_from_logits is from_logits


SGD, Adam, AdamW, RMSprop = mlpfast.SGD, mlpfast.Adam, mlpfast.AdamW, mlpfast.RMSprop

BAD_OPTIMIZERS = [
    (SGD, {"learning_rate": -0.1}, ValueError, r"learning_rate must be in \[0, inf\], got -0\.1"),
    (SGD, {"learning_rate": np.nan}, ValueError, "learning_rate must be in .*got nan"),
    (SGD, {"learning_rate": np.inf}, ValueError, "learning_rate must be in .*got inf"),
    (SGD, {"learning_rate": "0.1"}, TypeError, "learning_rate must be a number, got '0.1'"),
    (SGD, {"learning_rate": None}, TypeError, "learning_rate must be a number, got None"),
    (SGD, {"learning_rate": True}, TypeError, "learning_rate must be a number, got True"),
    (SGD, {"momentum": 1.0}, ValueError, r"momentum must be in \[0, 1\), got 1\.0"),
    (SGD, {"momentum": -0.1}, ValueError, r"momentum must be in \[0, 1\), got -0\.1"),
    (SGD, {"momentum": "high"}, TypeError, "momentum must be a number, got 'high'"),
    (SGD, {"nesterov": 1, "momentum": 0.9}, TypeError, "nesterov must be True or False, got 1"),
    (SGD, {"nesterov": True}, ValueError, "nesterov=True needs momentum > 0"),
    (SGD, {"scaled_velocity": 1}, TypeError, "scaled_velocity must be True or False, got 1"),
    (SGD, {"scaled_velocity": True, "momentum": 1.1}, ValueError, "momentum must be in"),
    (Adam, {"epsilon_hat": 0}, TypeError, "epsilon_hat must be True or False, got 0"),
    (Adam, {"beta_1": 1.0}, ValueError, "beta_1 must be in"),
    (Adam, {"beta_2": -1}, ValueError, "beta_2 must be in"),
    (Adam, {"epsilon": 0.0}, ValueError, r"epsilon must be in \(0, inf\], got 0\.0"),
    (Adam, {"epsilon": 1j}, TypeError, "epsilon must be a number, got 1j"),
    (AdamW, {"weight_decay": -1.0}, ValueError, "weight_decay must be in"),
    (RMSprop, {"rho": 1.5}, ValueError, "rho must be in"),
    (RMSprop, {"momentum": 2}, ValueError, "momentum must be in"),
    (RMSprop, {"epsilon": -1e-8}, ValueError, "epsilon must be in"),
]


@pytest.mark.parametrize(("kind", "arguments", "error", "words"), BAD_OPTIMIZERS)
def test_bad_optimizer(kind, arguments, error, words):
    with pytest.raises(error, match=words):
        kind(**arguments)


def test_optimizer_by_name_or_instance():
    assert check_optimizer("sgd") == SGD()
    assert check_optimizer("Adam") == Adam()
    assert check_optimizer("adamw") == AdamW()
    assert check_optimizer("rmsprop") == RMSprop()
    adam = Adam(0.1)
    assert check_optimizer(adam) is adam
    with pytest.raises(ValueError, match="optimizer must be one of .*got 'lbfgs'"):
        check_optimizer("lbfgs")
    with pytest.raises(TypeError, match="optimizer must be a name or an instance.*got type"):
        check_optimizer(Adam)
    with pytest.raises(TypeError, match="optimizer must be a name or an instance.*got float"):
        check_optimizer(0.1)


def test_rule_leaves_out_the_learning_rate_only():
    assert Adam(0.1).rule == Adam(0.2).rule
    assert Adam().rule != Adam(beta_1=0.8).rule
    assert Adam().rule != AdamW(weight_decay=0.0).rule
    assert SGD(momentum=0.5).rule != SGD(momentum=0.5, nesterov=True).rule


def test_learning_rate_function_is_checked_when_it_is_called():
    assert SGD(lambda epoch: 0.5**epoch).learning_rate_at(2) == 0.25
    assert SGD(0.1).learning_rate_at(99) == 0.1
    with pytest.raises(ValueError, match=r"learning_rate\(3\) must be in .*got -3"):
        SGD(lambda epoch: -epoch).learning_rate_at(3)
    with pytest.raises(TypeError, match=r"learning_rate\(0\) must be a number, got None"):
        SGD(lambda epoch: None).learning_rate_at(0)


def test_numpy_scalars_are_numbers():
    assert SGD(np.float32(0.5)).learning_rate_at(0) == 0.5
    assert check_int("n", np.int16(3), 1) == 3
    assert type(check_int("n", np.int16(3), 1)) is int
    assert check_real("r", np.int64(3)) == 3.0


def test_check_choice_lists_the_choices():
    with pytest.raises(ValueError, match="colour must be one of 'red', 'blue'; got 'green'"):
        check_choice("colour", "green", ("red", "blue"))
