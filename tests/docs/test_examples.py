"""The worked examples give the figures that they are known for, in double precision."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from mlpfast import backends

FOLDER = Path(__file__).resolve().parents[2] / "examples"


def load(name):
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(name, backend):
    return load(name).main(backend=backend)


def test_e1_perceptrons_compute_xor_and_refuse_to_learn(backend):
    result = run("e1_perceptron_xor", backend)
    assert result["outputs"].tolist() == [0, 1, 1, 0]
    assert "'step' has no gradient" in result["refusal"]


@pytest.mark.slow
def test_e2_the_classic_program(backend):
    result = run("e2_classic_backprop", backend)
    errors = [result["errors"][i] for i in (0, 500, 1000)]
    np.testing.assert_allclose(errors, [0.49470, 0.00233, 0.00084], rtol=0, atol=5e-6)
    expected = [0.0005947199999, 0.9890073292835, 0.9890330647181, 0.0021519094453]
    np.testing.assert_allclose(result["outputs"], expected, rtol=0, atol=1e-12)


def test_e3_a_batch_is_its_rows(backend):
    result = run("e3_batched_inference", backend)
    assert result["batch"].shape == (100, 10)
    assert result["one"].shape == (10,)
    assert result["one_row"].shape == (1, 10)
    np.testing.assert_allclose(result["singly"], result["batch"], rtol=1e-12)
    np.testing.assert_allclose(result["one"], result["batch"][0], rtol=1e-12)
    np.testing.assert_allclose(result["one_row"][0], result["batch"][0], rtol=1e-12)
    np.testing.assert_allclose(result["batch"].sum(axis=1), 1, rtol=1e-12)
    assert result["classes"].tolist() == result["singly"].argmax(axis=1).tolist()


@pytest.mark.slow
def test_e4_two_layers_with_binary_crossentropy(backend):
    result = run("e4_binary_crossentropy", backend)
    assert len(result["losses"]) == 2000
    assert result["losses"][0] == pytest.approx(0.7338731913136614, rel=1e-14)
    assert result["losses"][-1] == pytest.approx(0.3497979986394869, rel=1e-11)
    expected = [0.0030149187, 0.4989945142, 0.9959145057, 0.5018784036]
    np.testing.assert_allclose(result["outputs"], expected, rtol=0, atol=6e-11)


def test_e5_gradient_descent_on_a_line(backend):
    result = run("e5_gradient_descent", backend)
    assert result["x"] == pytest.approx(3.9283368912632715, rel=1e-14)
    assert result["y"] == pytest.approx((3.9283368912632715 - 3) ** 2 + 10, rel=1e-14)


@pytest.mark.slow
def test_e6_the_bias_as_a_column_of_ones(backend):
    result = run("e6_bias_column", backend)
    expected = [0.02391914, 0.9757925, 0.97343127, 0.03041428]
    np.testing.assert_allclose(result["outputs"], expected, rtol=0, atol=6e-9)


@pytest.mark.slow
def test_e6_equals_the_loop_with_the_column():
    """The mapping of the weights, checked against the form with the column itself."""
    X = np.array([[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]], float)
    y = np.array([[0], [1], [1], [0]], float)
    source = np.random.RandomState(5)
    W0, W1 = 2 * source.random_sample((3, 6)) - 1, 2 * source.random_sample((6, 1)) - 1
    for _ in range(10_000):
        hidden = 1 / (1 + np.exp(-(X @ W0)))
        hidden[:, 5] = 1
        output = 1 / (1 + np.exp(-(hidden @ W1)))
        delta = (output - y) * output * (1 - output)
        below = delta @ W1.T * hidden * (1 - hidden)
        W1 -= 0.2 * hidden.T @ delta
        W0 -= 0.2 * X.T @ below
    outputs = run("e6_bias_column", "numpy")["outputs"]
    np.testing.assert_allclose(outputs, output[:, 0], rtol=1e-10)


def test_e7_the_line_and_xor(backend, monkeypatch):
    monkeypatch.setenv("MLPFAST_BACKEND", backend)
    result = load("e7_keras_lesson").main()
    assert (result["slope"], result["height"]) == pytest.approx((2, -1), abs=1e-5)
    # Half-way nothing can be told apart; in the end it is about 0.027, 0.970, 0.970, 0.037.
    assert np.abs(result[1000] - 0.5).max() < 0.2
    np.testing.assert_allclose(result[10_000], [0.027, 0.970, 0.970, 0.037], rtol=0, atol=0.015)


@pytest.mark.slow
def test_e7_mnist(mnist_dir, monkeypatch):
    if "cpp" not in backends.available():
        pytest.skip("the compiled backend is not installed, and others take minutes")
    monkeypatch.setenv("MLPFAST_DATA", str(mnist_dir))
    model, history, (loss, accuracy) = load("e7_keras_lesson").mnist(verbose=0)
    assert [layer.count_params() for layer in model.layers] == [401_920, 5_130]
    assert model.count_params() == 407_050
    assert len(history.history["loss"]) == 20
    assert loss == pytest.approx(0.0315, abs=0.003)
    assert accuracy == pytest.approx(0.8628, abs=0.01)


def test_e8_one_step_by_hand(backend):
    result = run("e8_one_step_by_hand", backend)
    forward = [
        [0.5, 0.269, 0.491],
        [0.119, 0.881, 0.083],
        [0.881, 0.5, 0.655],
        [0.5, 0.953, 0.197],
    ]
    np.testing.assert_allclose(result["forward"], forward, rtol=0, atol=0.003)
    np.testing.assert_allclose(result["deltas"], [-0.148, -0.047, 0.074], rtol=0, atol=6e-4)
    np.testing.assert_allclose(result["step"].layers[1].new_biases, [-1.148], rtol=0, atol=6e-4)
    np.testing.assert_allclose(result["f"], [2.87, -2.074, -1.148], rtol=0, atol=6e-4)
    np.testing.assert_allclose(result["g1"], [1.953, -2, -0.047], rtol=0, atol=6e-4)
    np.testing.assert_allclose(result["g2"], [1.074, 3, -0.926], rtol=0, atol=6e-4)


def test_e9_the_pieces(backend):
    result = run("e9_pieces", backend)
    z = np.array([-2.0, -0.5, 0.0, 0.5, 2.0])
    y = 1 / (1 + np.exp(-z))
    np.testing.assert_allclose(result["outputs"]["sigmoid"], y, rtol=1e-12)
    np.testing.assert_allclose(result["slopes"]["sigmoid"], y * (1 - y), rtol=1e-12)
    assert result["outputs"]["step"].tolist() == [0, 0, 0, 1, 1]
    assert result["slopes"]["relu"].tolist() == [0, 0, 0, 1, 1]
    for name in ("tanh", "elu", "softplus", "silu", "gelu", "exp"):
        near = (e9_outputs(name, z + 1e-6) - e9_outputs(name, z - 1e-6)) / 2e-6
        np.testing.assert_allclose(result["slopes"][name], near, rtol=1e-6, atol=1e-9)
    # A gradient of 0.5 comes from above z = 3 * (-4) + 2.
    expected = [0.5, 0.5 * -4, 0.5 * 3, 0.5, 0, 0.5 * y[-1] * (1 - y[-1])]
    np.testing.assert_allclose(list(result["local"].values()), expected, rtol=1e-12)


def e9_outputs(name, z):
    return load("e9_pieces").outputs(name, z)


@pytest.mark.slow
def test_e10_breast_cancer_with_scikit_learn_and_with_mlpfast(backend):
    pytest.importorskip("sklearn", minversion="1.6")
    result = run("e10_breast_cancer", backend)
    assert result["accuracies"]["mlpfast"] == result["accuracies"]["scikit-learn"]
    assert len(result["accuracies"]["mlpfast"]) == 5
    assert min(result["accuracies"]["mlpfast"]) > 0.95
    theirs, ours = result["probabilities"]["scikit-learn"], result["probabilities"]["mlpfast"]
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-8)
    assert result["difference"] == np.abs(ours - theirs).max()
    assert set(result["seconds"]) == set(result["accuracies"])
