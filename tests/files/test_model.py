"""Nets in files: what is saved comes back, and a bad file is one clear error."""

import json
import os
import pickle
import struct
import subprocess
import sys
import zipfile

import numpy as np
import pytest

import mlpfast
from mlpfast import files

SUFFIXES = [".npz", ".safetensors"]


@pytest.fixture(params=SUFFIXES)
def suffix(request):
    if request.param == ".safetensors":
        pytest.importorskip("safetensors")
    return request.param


def a_net(**options):
    given = {"loss": "categorical_crossentropy", "random_state": 3, "backend": "numpy"} | options
    return mlpfast.MLP([3, 5, 4, 2], ["tanh", "gelu"], "softmax", **given)


@pytest.mark.parametrize("bias", [True, False])
def test_round_trip(tmp_path, suffix, dtype, bias):
    net = a_net(dtype=dtype, bias=bias, reduction="sum")
    path = tmp_path / f"net{suffix}"
    net.save(path)
    back = mlpfast.MLP.load(path, backend="numpy")
    assert back.spec == net.spec
    assert back.params.dtype == net.params.dtype
    np.testing.assert_array_equal(back.params, net.params)
    X = np.random.default_rng(0).random((7, 3))
    np.testing.assert_array_equal(back.predict(X), net.predict(X))
    back.params[0] += 1  # writable, and its own
    assert back.params[0] != net.params[0]


@pytest.mark.parametrize("loss", [mlpfast.Huber(0.1), mlpfast.Quantile(1 / 3)])
def test_the_parameter_of_a_loss_comes_back(tmp_path, suffix, loss):
    net = mlpfast.MLP([3, 2], loss=loss, backend="numpy")
    net.save(tmp_path / f"net{suffix}")
    assert mlpfast.MLP.load(tmp_path / f"net{suffix}").spec == net.spec


def test_extra_facts_come_back(tmp_path, suffix):
    path = tmp_path / f"net{suffix}"
    extra = {"class_names": ["a", "ü"], "mean": [0.1, 1 / 3, -2e-300], "n": 3, "none": None}
    files.save(a_net(), path, extra=extra)
    assert files.read(path).extra == extra
    files.save(a_net(), path)
    assert files.read(path).extra == {}


def test_tensors_are_named_by_layer(tmp_path):
    net = a_net()
    net.save(tmp_path / "net.npz")
    with np.load(tmp_path / "net.npz") as arrays:
        names = set(arrays.files)
        np.testing.assert_array_equal(arrays["layer1.weight"], net.weights[1])
        np.testing.assert_array_equal(arrays["layer1.bias"], net.biases[1])
    assert names == {"mlpfast"} | {f"layer{i}.{k}" for i in range(3) for k in ("weight", "bias")}


def test_other_readers_understand_safetensors(tmp_path):
    numpy_reader = pytest.importorskip("safetensors.numpy")
    net = a_net()
    net.save(tmp_path / "net.safetensors")
    tensors = numpy_reader.load_file(tmp_path / "net.safetensors")
    np.testing.assert_array_equal(tensors["layer0.weight"], net.weights[0])
    assert len(tensors) == 6


def test_a_failed_save_leaves_the_old_file_and_nothing_else(tmp_path, suffix, monkeypatch):
    path = tmp_path / f"net{suffix}"
    a_net(random_state=1).save(path)
    before = path.read_bytes()

    def fail(*_):
        raise OSError("the disk is full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk is full"):
        a_net(random_state=2).save(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_link_keeps_pointing_to_its_file(tmp_path, suffix):
    real, link = tmp_path / f"real{suffix}", tmp_path / f"link{suffix}"
    a_net(random_state=1).save(real)
    try:
        link.symlink_to(real)
    except OSError:
        pytest.skip("no symbolic links here")
    net = a_net(random_state=2)
    net.save(link)
    assert link.is_symlink()
    np.testing.assert_array_equal(mlpfast.MLP.load(real).params, net.params)


def test_save_refuses(tmp_path, suffix):
    net = a_net()
    with pytest.raises(ValueError, match=r"must end in .safetensors or .npz, got .*net.h5"):
        net.save(tmp_path / "net.h5")
    path = tmp_path / f"net{suffix}"
    with pytest.raises(TypeError, match="extra must hold only what JSON knows"):
        files.save(net, path, extra={"a": {1, 2}})
    with pytest.raises(ValueError, match="extra must hold only what JSON knows"):
        files.save(net, path, extra={"a": float("nan")})
    with pytest.raises(TypeError, match="extra must be a dict, got list"):
        files.save(net, path, extra=[1])
    net.params[3] = np.inf
    with pytest.raises(ValueError, match="params must be finite"):
        net.save(path)
    assert not path.exists()


def test_a_missing_file_is_missing(tmp_path, suffix):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        mlpfast.MLP.load(tmp_path / f"nowhere{suffix}")


def test_every_truncation_is_one_value_error(tmp_path, suffix):
    path = tmp_path / f"net{suffix}"
    a_net().save(path)
    content = path.read_bytes()
    for length in [0, 1, 7, 8, 9, *range(10, len(content), 37), len(content) - 1]:
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match=f"net{suffix}: "):
            mlpfast.MLP.load(path)


def test_any_flipped_byte_is_a_net_or_one_value_error(tmp_path, suffix):
    """Damage may go unnoticed where it hits a number, but never ends in another error."""
    path = tmp_path / f"net{suffix}"
    a_net().save(path)
    content = path.read_bytes()
    refused = 0
    for place in range(0, len(content), 11):
        for flip in (0xFF, 0x01, 0x80):
            damaged = bytearray(content)
            damaged[place] ^= flip
            path.write_bytes(damaged)
            try:
                net = mlpfast.MLP.load(path, backend="numpy")
            except ValueError as error:
                assert str(path) in str(error)  # noqa: PT017
                refused += 1
            else:
                assert np.isfinite(net.params).all()
    assert refused > 0


@pytest.mark.parametrize(
    "content",
    [b"", b"hello", b"\x80\x04K\x01.", b"PK\x05\x06" + bytes(18), b"\x93NUMPY\x01\0", bytes(100)],
)
def test_foreign_files(tmp_path, suffix, content):
    path = tmp_path / f"net{suffix}"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"net{suffix}: "):
        mlpfast.MLP.load(path)


def test_an_npz_of_somebody_else(tmp_path):
    np.savez(tmp_path / "net.npz", X=np.zeros(3))
    with pytest.raises(ValueError, match="not a net saved by mlpfast"):
        mlpfast.MLP.load(tmp_path / "net.npz")


def test_a_safetensors_file_of_somebody_else(tmp_path):
    writer = pytest.importorskip("safetensors.numpy")
    writer.save_file({"x": np.zeros(3)}, tmp_path / "net.safetensors")
    with pytest.raises(ValueError, match="not a net saved by mlpfast"):
        mlpfast.MLP.load(tmp_path / "net.safetensors")


class Bomb:
    """Leaves a trace if it is ever unpickled."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return (open, (str(self.trace), "w"))


def test_no_code_is_run_from_a_file(tmp_path):
    net, trace = a_net(), tmp_path / "ran"
    net.save(tmp_path / "good.npz")
    with np.load(tmp_path / "good.npz") as arrays:
        tensors = dict(arrays)
    tensors["layer0.bias"] = np.array([Bomb(trace)] * 5, object)
    np.savez(tmp_path / "net.npz", **tensors)
    (tmp_path / "plain.npz").write_bytes(pickle.dumps(Bomb(trace)))
    for name in ("net.npz", "plain.npz"):
        with pytest.raises(ValueError, match=name):
            mlpfast.MLP.load(tmp_path / name)
    assert not trace.exists()


def rewritten(tmp_path, change):
    """Return the path of a .npz net whose head and tensors `change` was let loose on."""
    path = tmp_path / "net.npz"
    a_net().save(path)
    with np.load(path) as arrays:
        tensors = dict(arrays)
    head = json.loads(str(tensors.pop("mlpfast")))
    result = change(head, tensors)
    text = result if isinstance(result, str) else json.dumps(head)
    np.savez(path, **tensors, mlpfast=np.array(text))
    return path


def put(key, value):
    return lambda head, tensors: tensors.__setitem__(key, value)


BAD = {
    "format_version must be 1, got 2": lambda h, t: h.update(format_version=2),
    "no format_version": lambda h, t: h.pop("format_version"),
    "is not JSON": lambda h, t: "{",
    "is not JSON.": lambda h, t: "[" * 100_000,
    "must hold the dicts spec and extra": lambda h, t: h.update(spec=[1]),
    "loss must be one of": lambda h, t: h["spec"].update(loss="lost"),
    "loss_parameter is for huber and quantile": lambda h, t: h["spec"].update(loss_parameter=2.0),
    "delta must be in": lambda h, t: h["spec"].update(loss="huber", loss_parameter=-1.0),
    "layer_sizes.1. must be at least 1": lambda h, t: h["spec"]["sizes"].__setitem__(1, -5),
    "does not describe a net": lambda h, t: h["spec"].update(surprise=1),
    "'layer2.bias' is missing": lambda h, t: t.pop("layer2.bias"),
    "'odd' does not belong": put("odd", np.zeros(2)),
    r"layer0.weight must have shape \(3, 5\) and dtype float32, got \(5, 3\)": put(
        "layer0.weight", np.zeros((5, 3), np.float32)
    ),
    "got .* and float64": put("layer0.weight", np.zeros((3, 5))),
    "layer1.bias must be finite, got nan": put("layer1.bias", np.full(4, np.nan, np.float32)),
}


@pytest.mark.parametrize("message", BAD)
def test_a_file_that_does_not_add_up(tmp_path, message):
    path = rewritten(tmp_path, BAD[message])
    with pytest.raises(ValueError, match=f"net.npz: .*{message.rstrip('.')}"):
        mlpfast.MLP.load(path)


def test_a_rewritten_file_that_adds_up_loads(tmp_path):
    assert mlpfast.MLP.load(rewritten(tmp_path, lambda h, t: None)).spec == a_net().spec


def test_a_file_from_before_losses_had_parameters(tmp_path):
    path = rewritten(tmp_path, lambda h, t: h["spec"].pop("loss_parameter"))
    assert mlpfast.MLP.load(path).spec == a_net().spec


def test_a_header_that_lies_about_its_size_takes_no_memory(tmp_path):
    path = tmp_path / "net.npz"
    a_net().save(path)
    with zipfile.ZipFile(path, "a") as archive:
        header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (9999999999999999,), }"
        npy = b"\x93NUMPY\x01\0" + struct.pack("<H", len(header)) + header
        archive.writestr("huge.npy", npy)
    with pytest.raises(ValueError, match=r"net.npz: "):
        mlpfast.MLP.load(path)


def test_without_safetensors_the_extra_is_named(tmp_path):
    code = (
        "import sys; sys.modules['safetensors'] = None\n"
        "import mlpfast\n"
        "try: mlpfast.MLP([2, 1], backend='numpy').save(sys.argv[1])\n"
        "except ImportError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "net.safetensors")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "mlpfast[io]" in done.stdout


def test_load_warns_of_a_scaling_it_does_not_apply(tmp_path):
    net = mlpfast.MLP([2, 1], random_state=0, backend="numpy")
    files.save(net, tmp_path / "net.npz", extra={"mean": [0.0, 1.0], "scale": [1.0, 2.0]})
    with pytest.warns(UserWarning, match="does not apply itself; mlpfast.files.read"):
        loaded = mlpfast.MLP.load(tmp_path / "net.npz", backend="numpy")
    np.testing.assert_array_equal(loaded.params, net.params)
