"""The command line: what it learns, prints, writes and returns."""

import csv
import io
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

import mlpfast
from mlpfast import datasets, files
from mlpfast.cli import main

BACKEND = ["--backend", "numpy"]


@pytest.fixture
def run(capsys):
    """Run the command line and return its exit code, standard output and standard error."""

    def call(*args):
        code = main([str(a) for a in args])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def learn(run):
    """Run `train --json` without the comparison and return the parsed result."""

    def call(*args):
        code, out, err = run("train", *args, "--json", "--quiet", "--no-compare", *BACKEND)
        assert (code, err) == (0, "")
        return json.loads(out)

    return call


def rows_of(text):
    return list(csv.reader(io.StringIO(text)))


def read_net(path):
    """Return the net of a file and the facts that were saved with it."""
    saved = files.read(path)
    return mlpfast.MLP.from_spec(saved.spec, saved.params, backend="numpy"), saved.extra


def flowers(path, names=True, n=90, seed=0):
    """Write a CSV of three well separated kinds, and return features and kinds."""
    rng = np.random.default_rng(seed)
    kinds = np.arange(n) % 3
    X = rng.normal(size=(n, 2)) * [1, 100] + np.array([[0, 500], [9, 500], [0, 2500]])[kinds]
    labels = np.array(["rose", "tulip", "lily"])[kinds]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        if names:
            writer.writerow(["width", "height", "kind"])
        writer.writerows([*x, k] for x, k in zip(X.tolist(), labels, strict=True))
    return X, labels


# ---------------------------------------------------------------------------- train


def test_train_digits(run, backend):
    code, out, err = run("train", "digits", "--json", "--backend", backend)
    result = json.loads(out)
    assert code == 0
    assert result["held_out"]["accuracy"] >= 0.97
    assert result["rows_train"] + result["rows_held_out"] == 1797
    assert result["classes"] == list("0123456789")
    assert "epoch" in err  # progress, away from the result
    if backend == "numpy":
        assert "reference" not in result
    else:
        # the same data, weights and order: the same net, to rounding
        reference = result["reference"]
        assert not reference["extrapolated"]
        assert reference["trained_rows"] == result["epochs"] * result["rows_train"]
        assert reference["held_out"]["loss"] == pytest.approx(result["held_out"]["loss"], rel=0.05)
        assert reference["held_out"]["accuracy"] == pytest.approx(
            result["held_out"]["accuracy"], abs=0.01
        )


def test_what_a_person_reads(run):
    code, out, err = run("train", "digits", "--epochs", 3, *BACKEND)
    assert code == 0
    assert "64 features, 10 classes; 1,438 rows to train on, 359 held out" in out
    assert "64 -> 100 relu -> 10 softmax; 7,510 parameters, float32" in out
    assert "trained  3 epochs in " in out
    assert "on 359 held-out rows" in out
    assert [line.split()[1] for line in err.splitlines()] == ["1/3", "2/3", "3/3"]
    assert "held out 0." in err


def test_the_comparison_is_in_the_report(run):
    names = [name for name in mlpfast.backends.available() if name != "numpy"]
    if not names:
        pytest.skip("there is no backend but numpy")
    code, out, _ = run("train", "digits", "--epochs", 2, "--quiet", "--backend", names[0])
    assert code == 0
    assert "for the same run in NumPy" in out
    assert "times as fast" in out


def test_a_long_reference_is_extrapolated(run, monkeypatch):
    names = [name for name in mlpfast.backends.available() if name != "numpy"]
    if not names:
        pytest.skip("there is no backend but numpy")
    monkeypatch.setattr("mlpfast.cli.job._REFERENCE_SECONDS", 0.0)
    args = ("train", "xor", "--epochs", 50, "--batch-size", 1, "--json", "--quiet")
    code, out, _ = run(*args, "--backend", names[0])
    reference = json.loads(out)["reference"]
    assert code == 0
    assert reference["extrapolated"]
    assert reference["trained_rows"] == 4
    assert reference["seconds"] > 0


def test_seed_and_python_give_the_same_net(learn, tmp_path):
    """A run of the command line can be had from Python, line by line."""
    path = tmp_path / "net.npz"
    options = ("--epochs", 2, "--seed", 5, "--validation-share", 0, "--hidden", "7", "--lr", "0.01")
    learn("digits", *options, "--save", path)
    net = mlpfast.MLP(
        [64, 7, 10], "relu", "softmax", "categorical_crossentropy", random_state=5, backend="numpy"
    )
    net.fit(*datasets.load_digits(), epochs=2, batch_size=32, optimizer=mlpfast.Adam(0.01))
    np.testing.assert_array_equal(mlpfast.MLP.load(path).params, net.params)


def test_train_xor(learn):
    result = learn("xor")
    assert result["train"]["accuracy"] == 1.0
    assert result["layers"] == [2, 8, 1]
    assert result["rows_held_out"] == 0


@pytest.mark.parametrize(
    ("options", "activations", "layers"),
    [
        (["--loss", "mse"], ["relu", "sigmoid"], [64, 100, 10]),
        (["--loss", "mse", "--output-activation", "softmax"], ["relu", "softmax"], [64, 100, 10]),
        (["--loss", "binary_crossentropy"], ["relu", "sigmoid"], [64, 100, 10]),
        (["--hidden", "0"], ["softmax"], [64, 10]),
        (
            ["--hidden", "6,5", "--activation", "tanh,elu"],
            ["tanh", "elu", "softmax"],
            [64, 6, 5, 10],
        ),
        (["--hidden", "6", "5"], ["relu", "relu", "softmax"], [64, 6, 5, 10]),
    ],
)
def test_options_shape_the_net(learn, options, activations, layers):
    result = learn("digits", "--epochs", 1, *options)
    assert result["activations"] == activations
    assert result["layers"] == layers


def test_options_shape_the_training(learn):
    options = "--optimizer sgd --lr 0.2 --momentum 0.9 --epochs 4 --batch-size 50 --dtype float64"
    options += " --dropout 0.1"
    result = learn("digits", *options.split(), "--seed", 3, "--validation-share", 0.5)
    assert result["dropout"] == [0.0, 0.1]
    assert result["optimizer"] == "sgd"
    assert result["learning_rate"] == 0.2
    assert result["epochs"] == 4
    assert result["batch_size"] == 50
    assert result["dtype"] == "float64"
    assert result["rows_held_out"] == 898
    assert result["held_out"]["accuracy"] > 0.9


def test_plot(learn, tmp_path):
    pytest.importorskip("matplotlib")
    learn("digits", "--epochs", 2, "--plot", tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert "matplotlib.pyplot" not in sys.modules


# ---------------------------------------------------------------------------- CSV, NPZ, IDX


def test_csv_classes_from_training_to_prediction(run, learn, tmp_path):
    X, labels = flowers(tmp_path / "t.csv")
    model = tmp_path / "net.npz"
    result = learn(tmp_path / "t.csv", "--hidden", 8, "--save", model)
    assert result["task"] == "classification"
    assert result["classes"] == ["lily", "rose", "tulip"]
    assert result["held_out"]["accuracy"] > 0.9

    # other columns, in another order, and no target: they are found by name
    with (tmp_path / "new.csv").open("w") as file:
        file.write("id,height,width\n")
        file.writelines(f"nr{i},{h},{w}\n" for i, (w, h) in enumerate(X.tolist()))
    code, out, err = run("predict", model, tmp_path / "new.csv", *BACKEND)
    rows = rows_of(out)
    assert (code, err) == (0, "")
    assert rows[0] == ["class", "p_lily", "p_rose", "p_tulip"]
    assert np.mean([row[0] for row in rows[1:]] == labels) > 0.95
    p = np.array([row[1:] for row in rows[1:]], float)
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=2e-6)

    # the saved scaling is that of the training rows, and predict applies it
    net, extra = read_net(model)
    standard = (X - extra["mean"]) / extra["scale"]
    np.testing.assert_allclose(p, net.predict(standard), atol=1e-6)
    assert np.abs(standard.mean(axis=0)).max() < 0.2

    code, out, _ = run("evaluate", model, tmp_path / "t.csv", "--json", *BACKEND)
    assert json.loads(out)["accuracy"] == pytest.approx(np.mean(labels == [r[0] for r in rows[1:]]))
    code, out, err = run("evaluate", model, tmp_path / "new.csv", *BACKEND)
    assert code == 1
    assert "no target column 'kind'" in err


def test_evaluate_matches_classes_by_name(run, learn, tmp_path):
    """A file with fewer classes, or in another order, is still evaluated correctly."""
    flowers(tmp_path / "t.csv")
    model = tmp_path / "net.npz"
    learn(tmp_path / "t.csv", "--hidden", 8, "--save", model)
    lines = (tmp_path / "t.csv").read_text().splitlines()
    some = [line for line in lines[1:] if "lily" not in line]
    (tmp_path / "some.csv").write_text("\n".join([lines[0], *some]))
    _, out, _ = run("evaluate", model, tmp_path / "some.csv", "--json", *BACKEND)
    assert json.loads(out)["rows"] == 60
    assert json.loads(out)["accuracy"] > 0.9
    (tmp_path / "odd.csv").write_text("\n".join([*lines[:5], "1,2,daisy"]))
    code, _, err = run("evaluate", model, tmp_path / "odd.csv", *BACKEND)
    assert code == 1
    assert "class 'daisy' is not one that the net knows" in err


def test_csv_without_names(run, learn, tmp_path):
    flowers(tmp_path / "t.csv", names=False)
    model = tmp_path / "net.npz"
    learn(tmp_path / "t.csv", "--hidden", 8, "--save", model)
    code, out, _ = run("evaluate", model, tmp_path / "t.csv", "--json", *BACKEND)
    assert json.loads(out)["accuracy"] > 0.9
    (tmp_path / "bare.csv").write_text("0,500\n9,500\n0,2500\n")
    code, out, _ = run("predict", model, tmp_path / "bare.csv", *BACKEND)
    assert code == 0
    assert [row[0] for row in rows_of(out)[1:]] == ["rose", "tulip", "lily"]


def test_csv_numbers_are_a_regression_in_their_own_units(run, learn, tmp_path):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 3)) * [1, 1000, 1e-3]
    price = 1e5 + 2e4 * X[:, 0] - 30 * X[:, 1] + 1e7 * X[:, 2]
    table = np.column_stack([X, price])
    np.savetxt(tmp_path / "t.csv", table, delimiter=",", header="a,b,c,price", comments="")
    model = tmp_path / "net.npz"
    result = learn(tmp_path / "t.csv", "--hidden", 0, "--lr", 0.01, "--save", model)
    assert result["task"] == "regression"
    assert result["held_out"]["r2"] > 0.999
    assert result["held_out"]["rmse"] < 1000
    _, out, _ = run("predict", model, tmp_path / "t.csv", *BACKEND)
    rows = rows_of(out)
    assert rows[0] == ["price"]
    np.testing.assert_allclose(np.array(rows[1:], float)[:, 0], price, rtol=0, atol=2000)
    _, out, _ = run("evaluate", model, tmp_path / "t.csv", "--json", *BACKEND)
    assert json.loads(out)["r2"] > 0.999


def test_the_parameter_of_a_loss(run, learn, tmp_path):
    """Of exponentially distributed numbers nine tenths are below log 10."""
    y = np.random.default_rng(0).exponential(size=500)
    np.savez(tmp_path / "t.npz", X=np.random.default_rng(1).normal(size=(500, 1)), y=y)
    model = tmp_path / "net.npz"
    options = ["--task", "regression", "--hidden", 0, "--loss", "quantile", "--lr", 0.01]
    result = learn(tmp_path / "t.npz", *options, "--loss-parameter", 0.9, "--save", model)
    assert (result["loss"], result["loss_parameter"]) == ("quantile", 0.9)
    _, out, _ = run("predict", model, tmp_path / "t.npz", *BACKEND)
    assert 0.8 < np.mean(y < np.array(rows_of(out)[1:], float)[:, 0]) < 0.97


@pytest.mark.slow
def test_npz_of_bytes_is_scaled_by_the_largest(run, learn, tmp_path):
    X, y = datasets.load_digits()
    pixels = (X * 16).astype(np.uint8)
    np.savez(tmp_path / "t.npz", X=pixels, y=y)
    model = tmp_path / "net.npz"
    assert learn(tmp_path / "t.npz", "--save", model)["held_out"]["accuracy"] > 0.95
    net, extra = read_net(model)
    assert extra["input_scale"] == 1 / 16
    _, out, _ = run("predict", model, tmp_path / "t.npz", *BACKEND)
    expected = net.predict(pixels, input_scale=1 / 16).argmax(axis=1)
    assert [int(row[0]) for row in rows_of(out)[1:]] == expected.tolist()


def test_npz_with_its_own_test_rows(learn, tmp_path):
    X, y = datasets.load_digits()
    parts = {"x_train": X[:1000], "y_train": y[:1000], "x_test": X[1000:], "y_test": y[1000:]}
    np.savez(tmp_path / "t.npz", **parts)
    result = learn(tmp_path / "t.npz", "--epochs", 2)
    assert (result["rows_train"], result["rows_held_out"]) == (1000, 797)
    result = learn(tmp_path / "t.npz", "--epochs", 2, "--validation-share", 0.1)
    assert (result["rows_train"], result["rows_held_out"]) == (900, 100)


@pytest.mark.slow
def test_a_folder_of_idx_files(run, learn, tmp_path):
    X, y = datasets.load_digits()
    pixels = (X * 255).astype(np.uint8).reshape(-1, 8, 8)
    for name, rows in (("train", slice(0, 1500)), ("t10k", slice(1500, None))):
        for kind, array in (("images-idx3", pixels[rows]), ("labels-idx1", y[rows])):
            head = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
            (tmp_path / f"{name}-{kind}-ubyte").write_bytes(head + array.astype(np.uint8).tobytes())
    model = tmp_path / "net.npz"
    result = learn(tmp_path, "--save", model)
    assert (result["rows_train"], result["rows_held_out"]) == (1500, 297)
    assert result["held_out"]["accuracy"] > 0.9
    assert files.read(model).extra["input_scale"] == 1 / 255
    _, out, _ = run("evaluate", model, tmp_path, "--json", *BACKEND)
    assert json.loads(out)["rows"] == 297  # the test files
    assert json.loads(out)["accuracy"] == pytest.approx(result["held_out"]["accuracy"])
    out_file = tmp_path / "answers.csv"
    images = tmp_path / "t10k-images-idx3-ubyte"
    code, out, _ = run("predict", model, images, "--out", out_file, *BACKEND)
    assert (code, out) == (0, "")
    answers = np.array([row[0] for row in rows_of(out_file.read_text())[1:]], int)
    assert np.mean(answers == y[1500:]) == pytest.approx(result["held_out"]["accuracy"])


# ---------------------------------------------------------------------------- other nets


def test_a_net_saved_from_python(run, tmp_path):
    net = mlpfast.MLP([64, 10], output_activation="softmax", random_state=0, backend="numpy")
    net.save(tmp_path / "net.npz")
    _, out, _ = run("predict", tmp_path / "net.npz", "digits", *BACKEND)
    expected = net.predict(datasets.load_digits()[0]).argmax(axis=1)
    assert [int(row[0]) for row in rows_of(out)[1:]] == expected.tolist()
    _, out, _ = run("info", tmp_path / "net.npz", *BACKEND)
    assert "650 parameters" in out
    assert "saved from Python" in out
    code, _, err = run("predict", tmp_path / "net.npz", "xor", *BACKEND)
    assert code == 1
    assert "must have 64 features as the net has inputs, got 2" in err


def test_one_output_stands_for_two_classes(run, learn, tmp_path):
    learn("xor", "--save", tmp_path / "net.npz")
    _, out, _ = run("predict", tmp_path / "net.npz", "xor", *BACKEND)
    rows = rows_of(out)
    assert rows[0] == ["class", "p_0", "p_1"]
    assert [row[0] for row in rows[1:]] == ["0", "1", "1", "0"]
    assert all(float(a) + float(b) == pytest.approx(1, abs=2e-6) for _, a, b in rows[1:])


def test_info(run, learn, tmp_path):
    code, out, _ = run("info")
    assert code == 0
    assert f"mlpfast    {mlpfast.__version__}" in out
    _, out, _ = run("info", "--json")
    assert json.loads(out)["mlpfast"] == mlpfast.__version__
    flowers(tmp_path / "t.csv")
    learn(tmp_path / "t.csv", "--epochs", 1, "--save", tmp_path / "net.npz")
    _, out, _ = run("info", tmp_path / "net.npz", *BACKEND)
    for text in ("lily, rose, tulip", "width, height", "kind", "603 parameters"):
        assert text in out
    _, out, _ = run("info", tmp_path / "net.npz", "--json", *BACKEND)
    assert json.loads(out)["extra"]["class_names"] == ["lily", "rose", "tulip"]


@pytest.mark.parametrize(
    "extra",
    [
        {"task": "divination"},
        {"task": "classification", "class_names": ["a"]},
        {"task": "regression", "mean": [0.0], "scale": [1.0]},
        {"task": "regression", "mean": ["a", "b"]},
        {"task": "classification", "class_names": 5},
        {"task": "regression", "input_scale": "big"},
    ],
)
def test_a_model_with_odd_facts(run, tmp_path, extra):
    net = mlpfast.MLP([2, 3], output_activation="softmax", backend="numpy")
    files.save(net, tmp_path / "net.npz", extra=extra)
    code, out, err = run("predict", tmp_path / "net.npz", "xor", *BACKEND)
    assert (code, out) == (1, "")
    assert "net.npz: its extra facts are not mlpfast's" in err


# ---------------------------------------------------------------------------- errors

USAGE = {
    "the following arguments are required: COMMAND": [],
    "invalid choice: 'fly'": ["fly"],
    "required: DATA": ["train"],
    "--epochs: must be at least 1": ["train", "digits", "--epochs", "0"],
    "--epochs: must be a whole number": ["train", "digits", "--epochs", "1.5"],
    "--lr: must be above 0": ["train", "digits", "--lr", "nan"],
    "--lr: must be a number": ["train", "digits", "--lr", "fast"],
    "--validation-share: must be at least 0": ["train", "digits", "--validation-share", "1"],
    "--activation: 'step' is not one of": ["train", "digits", "--activation", "step"],
    "one a hidden layer (1), got 2": ["train", "digits", "--activation", "relu,tanh"],
    "at least 1 unit": ["train", "digits", "--hidden", "5,0"],
    "at least 1 unit, got": ["train", "digits", "--hidden", "5", "0"],
    "--loss: invalid choice": ["train", "digits", "--loss", "hinge"],
    "--target is for CSV": ["train", "digits", "--target", "y"],
    "--features is for CSV": ["train", "digits", "--features", "y"],
    "--task regression is for CSV": ["train", "digits", "--task", "regression"],
    "--momentum is for sgd": ["train", "digits", "--momentum", "0.5"],
    "--loss-parameter is for huber and quantile": ["train", "digits", "--loss-parameter", "0.5"],
}


@pytest.mark.parametrize("message", USAGE)
def test_wrong_usage_is_one_line_and_2(run, message):
    code, out, err = run(*USAGE[message])
    assert (code, out) == (2, "")
    assert err.startswith("mlpfast: error: ")
    assert message in err
    assert err.count("\n") == 1


FAILURES = {
    "there is no file or folder 'none.csv'": ["train", "none.csv"],
    "(built in are digits and xor)": ["train", "digit"],
    "none.npz: No such file": ["info", "none.npz"],
    "must end in .safetensors or .npz": ["train", "digits", "--save", "net.h5"],
    "--save: there is no folder 'nowhere'": ["train", "digits", "--save", "nowhere/net.npz"],
    "--plot: there is no folder 'nowhere'": ["train", "digits", "--plot", "nowhere/c.png"],
    "backend must be one of": ["train", "digits", "--backend", "abacus"],
    "leaves no rows to train on": ["train", "xor", "--validation-share", "0.9"],
    "try a smaller --lr": ["train", "digits", "--optimizer", "sgd", "--lr", "1e30", "--quiet"],
    "set output_activation='softmax'": ["train", "digits", "--output-activation", "relu", "--loss",
                                        "categorical_crossentropy"],
}  # fmt: skip


@pytest.mark.parametrize("message", FAILURES)
def test_a_failure_is_one_line_and_1(run, message, tmp_path, monkeypatch):
    if "--plot" in FAILURES[message]:
        pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLPFAST_BACKEND", "numpy")
    extra = [] if "--backend" in FAILURES[message] else BACKEND
    code, out, err = run(*FAILURES[message], *extra)
    assert (code, out) == (1, "")
    assert err.startswith("mlpfast: error: ")
    assert message in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_bad_files_are_one_line_and_1(run, tmp_path):
    cases = {
        "one.csv": ("a,b\n1,x\n2,x\n", "there must be at least 2 classes, got 1"),
        "text.csv": ("a,b\n1,x\nq,y\n", "column 'a' must be a number, got 'q' in line 3"),
        "net.npz": ("nonsense", "not an NPZ file"),
        "what.xyz": ("1,2", "must be a folder of IDX files, or a file in"),
    }
    for name, (text, message) in cases.items():
        (tmp_path / name).write_text(text)
        code, out, err = run("train", tmp_path / name, *BACKEND)
        assert (code, out) == (1, ""), name
        assert message in err
        assert err.count("\n") == 1
    code, _, err = run("predict", tmp_path / "net.npz", "digits", *BACKEND)
    assert code == 1
    assert "net.npz: not an NPZ file" in err


def test_help_and_version(capsys):
    for args in (["--help"], ["train", "--help"], ["--version"]):
        with pytest.raises(SystemExit) as ended:
            main(args)
        assert ended.value.code == 0
        assert "mlpfast" in capsys.readouterr().out


# ---------------------------------------------------------------------------- as a process


def process(*args, **options):
    environment = os.environ | {"MLPFAST_BACKEND": "numpy"}
    return subprocess.Popen(
        [sys.executable, "-m", "mlpfast", *map(str, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        **options,
    )


def test_python_dash_m():
    done = process("train", "xor", "--quiet")
    out, err = done.communicate(timeout=120)
    assert (done.returncode, err) == (0, "")
    assert "accuracy 1.0000" in out
    failed = process("train", "nothing.csv")
    _, err = failed.communicate(timeout=120)
    assert failed.returncode == 1
    assert "Traceback" not in err


@pytest.mark.skipif(os.name == "nt", reason="signals are sent otherwise there")
def test_ctrl_c_keeps_what_was_trained(tmp_path):
    model = tmp_path / "net.npz"
    running = process("train", "digits", "--epochs", 1_000_000, "--save", model)
    assert running.stderr.readline().startswith("epoch ")
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=120)
    assert running.returncode == 0, err
    assert "stopped  by Ctrl-C in epoch " in out
    assert "Traceback" not in err
    assert "Warning" not in err
    assert mlpfast.MLP.load(model, backend="numpy").evaluate(*datasets.load_digits())["loss"] < 2.5


def test_a_reader_that_leaves_is_no_traceback(tmp_path):
    net = mlpfast.MLP([64, 10], output_activation="softmax", backend="numpy")
    net.save(tmp_path / "net.npz")
    running = process("predict", tmp_path / "net.npz", "digits")
    running.stdout.readline()
    running.stdout.close()
    err = running.stderr.read()
    running.stderr.close()
    assert running.wait(timeout=120) in (0, 1)
    assert "Traceback" not in err
    assert "BrokenPipe" not in err
