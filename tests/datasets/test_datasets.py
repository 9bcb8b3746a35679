"""The embedded data, the readers, and what they say of damaged files."""

import gzip
import struct
import subprocess
import sys

import numpy as np
import pytest

from mlpfast import datasets
from mlpfast.datasets import csv_files, images, tables


def test_digits():
    X, y = datasets.load_digits()
    assert (X.shape, X.dtype, y.shape, y.dtype) == ((1797, 64), np.float32, (1797,), np.int64)
    assert (X.min(), X.max()) == (0.0, 1.0)
    assert np.array_equal(X * 16, np.round(X * 16))
    # counted in the data set's own description
    assert np.bincount(y).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_digits_are_those_of_scikit_learn():
    sklearn_datasets = pytest.importorskip("sklearn.datasets")
    theirs = sklearn_datasets.load_digits()
    X, y = datasets.load_digits()
    np.testing.assert_array_equal(X * 16, theirs.data)
    np.testing.assert_array_equal(y, theirs.target)


def test_xor():
    X, Y = datasets.xor()
    assert X.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert Y.tolist() == [[0], [1], [1], [0]]
    assert X.dtype == Y.dtype == np.float64


# ---------------------------------------------------------------------------- IDX


def idx(array, code=0x08):
    big = np.asarray(array).astype(np.asarray(array).dtype.newbyteorder(">"))
    return bytes([0, 0, code, big.ndim]) + struct.pack(f">{big.ndim}I", *big.shape) + big.tobytes()


@pytest.mark.parametrize(
    ("code", "dtype"),
    [(8, "u1"), (9, "i1"), (0x0B, "i2"), (0x0C, "i4"), (0x0D, "f4"), (0x0E, "f8")],
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_idx_of_every_type(tmp_path, code, dtype, pack):
    array = (np.arange(24).reshape(2, 3, 4) * 5).astype(dtype)
    path = tmp_path / "file"
    path.write_bytes(pack(idx(array, code)))
    result = datasets.read_idx(path)
    np.testing.assert_array_equal(result, array)
    assert result.dtype == np.dtype(dtype)
    assert result.dtype.isnative
    assert result.flags.writeable


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an IDX file"),
        (b"\0\0\x08", "not an IDX file"),
        (b"\0\x01\x08\x01\0\0\0\0", "not an IDX file"),
        (b"\0\0\x07\x01\0\0\0\0", "not an IDX file"),
        (b"\0\0\x08\0", "not an IDX file"),
        (b"\0\0\x08\x02\0\0\0\x05", "truncated: its header announces 2 axes"),
        (idx(np.zeros((3, 4), np.uint8))[:-1], "truncated: .* 12 bytes of data, got 11"),
        (idx(np.zeros((3, 4), np.uint8)) + b"x", "too long: .* 12 bytes of data, got more"),
        (b"\0\0\x08\x04" + b"\xff" * 16 + b"abc", "truncated: .* got 3"),
    ],
)
def test_bad_idx(tmp_path, pack, content, message):
    path = tmp_path / "bad-idx"
    path.write_bytes(pack(content))
    with pytest.raises(ValueError, match=f"bad-idx: {message}"):
        datasets.read_idx(path)


def test_damaged_gzip(tmp_path):
    path = tmp_path / "bad-idx.gz"
    content = bytearray(gzip.compress(idx(np.arange(200, dtype=np.uint8))))
    for damaged in (content[:-9], content[:-1], content[:-8] + b"12345678", content[:15]):
        path.write_bytes(bytes(damaged))
        with pytest.raises(ValueError, match=r"bad-idx.gz: "):
            datasets.read_idx(path)


def mnist_like(folder, n_train=6, n_test=4, suffix="", joint="-"):
    rng = np.random.default_rng(0)
    parts = {}
    for name, n in (("train", n_train), ("t10k", n_test)):
        X = rng.integers(0, 256, (n, 3, 2)).astype(np.uint8)
        y = rng.integers(0, 10, n).astype(np.uint8)
        pack = gzip.compress if suffix else bytes
        (folder / f"{name}-images{joint}idx3-ubyte{suffix}").write_bytes(pack(idx(X)))
        (folder / f"{name}-labels{joint}idx1-ubyte{suffix}").write_bytes(pack(idx(y)))
        parts[name] = X.reshape(n, 6), y
    return parts


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("joint", ["-", "."])
def test_a_folder_of_idx_files(tmp_path, suffix, joint):
    parts = mnist_like(tmp_path, suffix=suffix, joint=joint)
    train, test = datasets.load_idx_folder(tmp_path)
    for (X, y), name in ((train, "train"), (test, "t10k")):
        np.testing.assert_array_equal(X, parts[name][0])
        np.testing.assert_array_equal(y, parts[name][1])
        assert (X.dtype, y.dtype) == (np.uint8, np.int64)


def test_a_folder_without_test_files(tmp_path):
    mnist_like(tmp_path)
    for path in tmp_path.glob("t10k*"):
        path.unlink()
    assert datasets.load_idx_folder(tmp_path)[1] is None
    with pytest.raises(FileNotFoundError, match="t10k-images"):
        datasets.load_mnist(tmp_path)


def test_a_folder_that_lacks_something(tmp_path):
    with pytest.raises(FileNotFoundError, match="is not a folder"):
        datasets.load_idx_folder(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match="no file train-images-idx3-ubyte or"):
        datasets.load_idx_folder(tmp_path)
    mnist_like(tmp_path)
    (tmp_path / "t10k-images-idx3-ubyte").unlink()
    with pytest.raises(FileNotFoundError, match="no file t10k-images-idx3-ubyte or"):
        datasets.load_idx_folder(tmp_path)


def test_images_and_labels_must_match(tmp_path):
    mnist_like(tmp_path)
    path = tmp_path / "train-labels-idx1-ubyte"
    path.write_bytes(idx(np.zeros(5, np.uint8)))
    with pytest.raises(ValueError, match="train-images and train-labels .* got 6 and 5"):
        datasets.load_idx_folder(tmp_path)
    path.write_bytes(idx(np.zeros((6, 1), np.uint8)))
    with pytest.raises(ValueError, match="must hold unsigned bytes with 1 axes"):
        datasets.load_idx_folder(tmp_path)


def test_mnist_has_its_own_size(tmp_path):
    mnist_like(tmp_path)
    with pytest.raises(ValueError, match="must be 60000 images of 784 pixels, got 6 of 6"):
        datasets.load_mnist(tmp_path)


def test_mnist_by_path_and_by_environment(mnist_dir, monkeypatch, tmp_path):
    (X, y), (X_test, y_test) = datasets.load_mnist(mnist_dir)
    assert (X.shape, X.dtype, y.shape) == ((60000, 784), np.uint8, (60000,))
    assert (X_test.shape, y_test.dtype) == ((10000, 784), np.int64)
    assert y[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert y_test[:5].tolist() == [7, 2, 1, 0, 4]
    assert int(X.max()) == 255
    monkeypatch.setenv("MLPFAST_DATA", str(mnist_dir))
    np.testing.assert_array_equal(datasets.load_mnist()[1][1], y_test)
    monkeypatch.setenv("MLPFAST_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="train-images"):
        datasets.load_mnist()


def test_mnist_offline_says_what_to_do(monkeypatch, tmp_path):
    pooch = pytest.importorskip("pooch")
    monkeypatch.delenv("MLPFAST_DATA", raising=False)
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / name)

    def no_network(*_args, **_kwargs):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(pooch.HTTPDownloader, "__call__", no_network)
    with pytest.raises(OSError, match=r"could not be fetched .*no route to host.*MLPFAST_DATA"):
        datasets.load_mnist()


def test_mnist_from_the_cache(monkeypatch, tmp_path):
    """What pooch has fetched and found to be right is read from its cache."""
    pooch = pytest.importorskip("pooch")
    monkeypatch.delenv("MLPFAST_DATA", raising=False)
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / name)
    folder = tmp_path / "mlpfast" / "mnist"
    folder.mkdir(parents=True)
    mnist_like(folder, suffix=".gz")
    hashes = {p.name: pooch.file_hash(p) for p in folder.iterdir()}
    assert hashes.keys() == images._MNIST_SHA256.keys()
    monkeypatch.setattr(images, "_MNIST_SHA256", hashes)
    with pytest.raises(ValueError, match="mnist: MNIST's train-images must be 60000"):
        datasets.load_mnist()  # found and read, and no MNIST


def test_without_pooch_the_extra_is_named():
    code = (
        "import sys; sys.modules['pooch'] = None\n"
        "import os; os.environ.pop('MLPFAST_DATA', None)\n"
        "from mlpfast import datasets\n"
        "try: datasets.load_mnist()\n"
        "except ImportError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "mlpfast[data]" in done.stdout


# ---------------------------------------------------------------------------- CSV


def csv_file(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "t.csv"
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv_with_names_and_string_classes(tmp_path, delimiter, newline):
    lines = ["\ufeffa,b,kind", "1,2.5,cat", ' 3 ,-4e2,"dog"', "", "5,6,cat"]
    text = newline.join(lines).replace(",", delimiter)
    table = datasets.load_csv(csv_file(tmp_path, text))
    assert table.X.tolist() == [[1, 2.5], [3, -400], [5, 6]]
    assert table.y.tolist() == [0, 1, 0]
    assert table.class_names == ("cat", "dog")
    assert table.feature_names == ("a", "b")
    assert table.target_names == ("kind",)
    assert len(table) == 3


@pytest.mark.parametrize("target", ["kind", "0", 0, "-3", -3])
def test_csv_target_by_name_or_position(tmp_path, target):
    table = datasets.load_csv(csv_file(tmp_path, "kind,b,c\nx,2,3\ny,5,6\n"), target)
    assert table.X.tolist() == [[2, 3], [5, 6]]
    assert table.class_names == ("x", "y")


def test_csv_without_names(tmp_path):
    table = datasets.load_csv(csv_file(tmp_path, "1,2,a\n3,4,b\n"))
    assert table.X.tolist() == [[1, 2], [3, 4]]
    assert table.feature_names == table.target_names == ()
    assert csv_files.csv_columns(tmp_path / "t.csv") == ([], 3)


def test_csv_without_target(tmp_path):
    table = datasets.load_csv(csv_file(tmp_path, "a,b\n1,2\n"), None)
    assert table.X.tolist() == [[1, 2]]
    assert table.y is None


def test_csv_features_in_their_order_and_nothing_else(tmp_path):
    path = csv_file(tmp_path, "id,b,a,y\nu7,2,1,p\nu8,4,3,q\n")
    table = datasets.load_csv(path, "y", features=["a", "b"])
    assert table.X.tolist() == [[1, 2], [3, 4]]
    assert table.feature_names == ("a", "b")
    with pytest.raises(ValueError, match="column 'id' must be a number, got 'u7' in line 2"):
        datasets.load_csv(path, "y")
    with pytest.raises(ValueError, match="the target must not be among the features"):
        datasets.load_csv(path, "y", features=["a", "y"])


@pytest.mark.parametrize(
    ("text", "target", "message"),
    [
        ("", -1, "the file is empty"),
        ("a,b\n", -1, "there are no rows"),
        ("a,b\n1,2\n3,x\n", 0, "column 'b' must be a number, got 'x' in line 3"),
        ("a,b\n1,2\n,4\n", 1, "column 'a' must be a number, got '' in line 3"),
        ("1,2\n3,4\n5,x\n", 0, "column 1 must be a number, got 'x' in line 3"),
        ("a,b\n1,2\n3,4,5\n", 0, "line 3 has 3 columns, the first has 2"),
        ("a,b\n1,2\n3\n", 0, "line 3 has 1 columns, the first has 2"),
        ("a,b,c\n1,2\n3,4\n", 0, "line 2 has 2 columns, the first has 3|the first line has 3"),
        ("a,b\n1,2\nnan,4\n", 1, "column 'a' must be finite, got nan in data row 2"),
        ("a,b\n1,2\n3,\n", 1, "column 'b' is empty in data row 2"),
        ("a,b\n1,2\n3,inf\n", 1, "column 'b' must be finite"),
        ("a,b\n1,2\n", "c", "there is no column 'c'; the columns are a, b"),
        ("1,2\n", "c", "there is no column 'c'; the columns have no names"),
        ("a,b\n1,2\n", 2, "a column must be in 0..1, got 2"),
        ("a,a\n1,2\n", "a", "'a' names 2 columns"),
        ("a\n1\n", -1, "there is no column besides the target"),
    ],
)
def test_bad_csv(tmp_path, text, target, message):
    with pytest.raises(ValueError, match=message) as caught:
        datasets.load_csv(csv_file(tmp_path, text), target)
    assert "t.csv" in str(caught.value)


def test_csv_that_is_not_text(tmp_path):
    with pytest.raises(ValueError, match=r"t.csv: not UTF-8 text"):
        datasets.load_csv(csv_file(tmp_path, "a,é\n1,2\n", "latin-1"))
    path = tmp_path / "late.csv"
    path.write_bytes(b"a,b\n" + b"1,2\n" * 5000 + b"1,\xe9\n")
    with pytest.raises(ValueError, match=r"late.csv: not UTF-8 text"):
        datasets.load_csv(path)


# ---------------------------------------------------------------------------- classes or numbers


@pytest.mark.parametrize(
    ("targets", "task", "y", "names"),
    [
        (["b", "a", "b"], "auto", [1, 0, 1], ("a", "b")),
        (["10", "9", "10", "9"], "auto", [1, 0, 1, 0], ("9", "10")),
        ([3, 3, -1, -1], "auto", [1, 1, 0, 0], ("-1", "3")),
        ([0.0, 1.0, 1.0, 0.0], "auto", [0, 1, 1, 0], ("0", "1")),
        ([True, False, True, True], "auto", [1, 0, 1, 1], ("0", "1")),
        ([[0, 1], [1, 0], [0, 1]], "auto", [1, 0, 1], ("0", "1")),
        ([[5], [5], [7], [7]], "auto", [0, 0, 1, 1], ("5", "7")),
        ([1, 2, 3, 4], "auto", [[1], [2], [3], [4]], None),
        ([0.5, 0.5, 1, 1], "auto", [[0.5], [0.5], [1], [1]], None),
        ([1, 1, 2, 2], "regression", [[1], [1], [2], [2]], None),
        ([1, 2, 3, 4], "classification", [0, 1, 2, 3], ("1", "2", "3", "4")),
        ([0.5, 0.25], "classification", [1, 0], ("0.25", "0.5")),
        ([[1, 2], [3, 4]], "auto", [[1, 2], [3, 4]], None),
        ([[1, 0], [0, 1]], "regression", [[1, 0], [0, 1]], None),
        ([b"x", b"y"], "auto", [0, 1], ("x", "y")),
    ],
)
def test_classes_or_numbers(targets, task, y, names):
    result, class_names = tables.classes_or_numbers(np.array(targets), task)
    assert result.tolist() == y
    assert class_names == names
    assert result.dtype == (np.float64 if names is None else np.int64)


@pytest.mark.parametrize(
    ("targets", "task", "message"),
    [
        (["a", "b"], "regression", "must hold numbers for a regression"),
        ([[1, 2], [3, 4]], "classification", "must be one-hot"),
        ([1.0, np.nan], "auto", "must be finite, got nan in row 1"),
        (np.zeros((2, 2, 2)), "auto", r"must have shape \(n,\) or \(n, k\)"),
        ([1j], "auto", "must hold numbers or strings"),
        ([1], "guess", "task must be one of"),
    ],
)
def test_targets_that_are_neither(targets, task, message):
    with pytest.raises(ValueError, match=message):
        tables.classes_or_numbers(np.array(targets), task)


# ---------------------------------------------------------------------------- NPZ


@pytest.mark.parametrize(
    "names", [("X", "y"), ("X", "Y"), ("x", "y"), ("data", "target"), ("features", "labels")]
)
def test_npz_names(tmp_path, names):
    X, y = np.arange(8.0).reshape(4, 2), np.array([0, 1, 0, 1])
    np.savez(tmp_path / "t.npz", **dict(zip(names, (X, y), strict=True)), other=np.zeros(3))
    table = datasets.load_npz(tmp_path / "t.npz")
    np.testing.assert_array_equal(table.X, X)
    assert table.y.tolist() == [0, 1, 0, 1]
    assert table.class_names == ("0", "1")


def test_npz_with_images_and_test_rows(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {
        "x_train": rng.integers(0, 256, (6, 3, 2), np.uint8),
        "y_train": np.array([0, 1, 0, 1, 0, 1]),
        "x_test": rng.integers(0, 256, (2, 3, 2), np.uint8),
        "y_test": np.array([2, 2]),  # a class that the other rows do not have
    }
    np.savez(tmp_path / "t.npz", **arrays)
    table = datasets.load_npz(tmp_path / "t.npz")
    assert (table.X.shape, table.X.dtype) == ((6, 6), np.uint8)
    assert table.class_names == ("0", "1", "2")
    assert table.test[1].tolist() == [2, 2]
    np.testing.assert_array_equal(table.test[0], arrays["x_test"].reshape(2, 6))


def test_npz_other_target_and_none(tmp_path):
    np.savez(tmp_path / "t.npz", X=np.zeros((2, 3), np.int32), price=np.array([0.5, 1.5]))
    table = datasets.load_npz(tmp_path / "t.npz", "price")
    assert table.X.dtype == np.float64
    assert table.y.tolist() == [[0.5], [1.5]]
    assert datasets.load_npz(tmp_path / "t.npz").y is None


@pytest.mark.parametrize(
    ("arrays", "target", "message"),
    [
        ({"a": np.zeros(2)}, None, "there is no array X, x or data; it holds a"),
        ({"X": np.zeros((2, 2))}, "y", "there is no array 'y'; it holds X"),
        ({"X": np.zeros((2, 2)), "y": np.zeros(3)}, None, "equally many rows, got 2 and 3"),
        ({"X": np.zeros(2), "y": np.zeros(2)}, None, r"X must be numbers of shape \(n, ...\)"),
        ({"X": np.full((2, 1), np.inf), "y": np.zeros(2)}, None, "X must be finite"),
        ({"X": np.array([["a"]]), "y": np.zeros(1)}, None, "X must be numbers"),
        ({"X": np.array([[None]]), "y": np.zeros(1)}, None, "damaged or foreign"),
        (
            {
                "x_train": np.zeros((2, 2)),
                "y_train": np.zeros(2),
                "x_test": np.zeros((2, 3)),
                "y_test": np.zeros(2),
            },
            None,
            "x_test must have rows of shape",
        ),
    ],
)
def test_bad_npz(tmp_path, arrays, target, message):
    np.savez(tmp_path / "t.npz", **arrays)
    with pytest.raises(ValueError, match=message) as caught:
        datasets.load_npz(tmp_path / "t.npz", target)
    assert "t.npz" in str(caught.value)


def test_npz_truncated(tmp_path):
    path = tmp_path / "t.npz"
    np.savez_compressed(path, X=np.random.default_rng(0).random((50, 4)), y=np.arange(50))
    content = path.read_bytes()
    for length in (0, 3, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match=r"t.npz: "):
            datasets.load_npz(path)
