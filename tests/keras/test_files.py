"""Models and weights in files: there and back, to and from Keras, and files that mean harm."""

import io
import json
import os
import warnings
import zipfile

import numpy as np
import pytest

from mlpfast import MLP
from mlpfast.keras import (
    UnsupportedError,
    initializers,
    layers,
    losses,
    optimizers,
    regularizers,
)
from mlpfast.keras.layers import Dense, Dropout, Input
from mlpfast.keras.models import Sequential, load_model

h5py = pytest.importorskip("h5py")
X = np.random.default_rng(0).standard_normal((9, 4, 5)).astype(np.float32)
Y = np.eye(3)[np.arange(9) % 3]


def make(face=None, name="net"):
    """A model with every layer there is; of Keras if that is given."""
    if face is None:
        import mlpfast.keras as face
    of = face.layers
    model = face.Sequential(
        [
            face.Input((4, 5)),
            of.Rescaling(0.5, 0.25),
            of.Flatten(),
            of.Dense(7, kernel_regularizer=face.regularizers.L2(0.03), name="first"),
            of.ReLU(),
            of.Dense(6, "tanh", kernel_initializer="he_normal"),
            of.Dense(3),
            of.Activation("softmax"),
        ],
        name=name,
    )
    schedule = face.optimizers.schedules.ExponentialDecay(0.01, 10, 0.5)
    model.compile(
        optimizer=face.optimizers.Adam(schedule, epsilon=1e-5),
        loss=face.losses.CategoricalCrossentropy(label_smoothing=0.1),
        metrics=["accuracy"],
    )
    return model


def same(a, b):
    for one, other in zip(a.get_weights(), b.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_allclose(
        a.predict(X, verbose=0), b.predict(X, verbose=0), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("suffix", [".keras", ".npz", ".safetensors"])
def test_there_and_back(suffix, tmp_path):
    if suffix == ".safetensors":
        pytest.importorskip("safetensors")
    model, path = make(), tmp_path / f"net{suffix}"
    model.save(path)
    found = load_model(path)
    same(found, model)
    assert found.name == "net"
    assert [layer.name for layer in found.layers] == [layer.name for layer in model.layers]
    assert (
        repr(found.optimizer) == repr(model.optimizer)
        or found.optimizer.get_config()["learning_rate"]
        == model.optimizer.get_config()["learning_rate"]
    )
    assert found.loss.label_smoothing == 0.1
    for each in (found, model):
        each.fit(X, Y, epochs=2, shuffle=False, verbose=0)
    same(found, model)
    assert load_model(path, compile=False).loss is None
    with pytest.raises(FileExistsError, match="overwrite is False"):
        model.save(path, overwrite=False)


def test_weights_there_and_back(tmp_path):
    model, other, path = make(), make(), tmp_path / "net.weights.h5"
    model.save_weights(path)
    other.load_weights(path)
    same(other, model)


def test_the_net_alone(tmp_path):
    model, path = make(), tmp_path / "net.npz"
    model.save(path)
    net = MLP.load(path)
    rows = X.reshape(9, 20) * 0.5 + 0.25
    np.testing.assert_allclose(net.predict(rows), model.predict(X), rtol=1e-5)
    bare = tmp_path / "bare.npz"
    net.save(bare)
    with pytest.raises(ValueError, match=r"bare\.npz: a net of mlpfast, not a model"):
        load_model(bare)


# ---------------------------------------------------------------------------- Keras itself


@pytest.fixture(scope="module")
def real():
    if "KERAS_BACKEND" not in os.environ:
        from importlib.util import find_spec

        os.environ["KERAS_BACKEND"] = "jax" if find_spec("jax") else "torch"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of its own imports
        return pytest.importorskip("keras")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Keras' own
def test_keras_reads_what_mlpfast_wrote(real, tmp_path):
    model = make()
    model.fit(X, Y, epochs=1, verbose=0)
    model.save(tmp_path / "net.keras")
    found = real.models.load_model(tmp_path / "net.keras")
    same(found, model)
    assert found.optimizer.epsilon == 1e-5
    model.save_weights(tmp_path / "net.weights.h5")
    other = make(real)
    other.load_weights(tmp_path / "net.weights.h5")
    same(other, model)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Keras' own
def test_mlpfast_reads_what_keras_wrote(real, tmp_path):
    model = make(real)
    model.fit(X, Y, epochs=1, verbose=0)
    model.save(tmp_path / "net.keras")
    found = load_model(tmp_path / "net.keras")
    same(found, model)
    assert found.optimizer.epsilon == 1e-5
    model.save_weights(tmp_path / "net.weights.h5")
    other = make()
    other.load_weights(tmp_path / "net.weights.h5")
    same(other, model)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Keras' own
def test_the_same_summary(real, monkeypatch):
    for columns in ("70", "80", "100"):
        monkeypatch.setenv("COLUMNS", columns)
        texts = []
        for face in (None, real):
            if face is not None:
                face.utils.clear_session()
            model = make(face, "a_name")
            names = ["rescaling", "flatten", "first", "re_lu", "dense", "dense_1", "activation"]
            for layer, name in zip(model.layers, names, strict=True):
                layer.name = name
            model.summary(print_fn=texts.append)
        assert texts[0] == texts[1]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Keras' own
@pytest.mark.parametrize(
    ("layer", "match"),
    [
        (("BatchNormalization", {}), r"layer 'batch_normalization.*' \(BatchNormalization\)"),
        (("Dense", {"units": 3, "activation": "hard_silu"}), "activation 'hard_silu'"),
        (("Dense", {"units": 3, "kernel_regularizer": "l1"}), "kernel_regularizer=.*L1"),
        (("Dense", {"units": 3, "trainable": False}), "trainable=False"),
        (("GaussianNoise", {"stddev": 0.1}), "GaussianNoise"),
    ],
)
def test_other_layers_of_keras_are_refused_by_name(real, layer, match, tmp_path):
    kind, options = layer
    last = getattr(real.layers, kind)(**options)
    model = real.Sequential([real.Input((5,)), real.layers.Dense(4), last])
    model.save(tmp_path / "net.keras")
    with pytest.raises(UnsupportedError, match=match):
        load_model(tmp_path / "net.keras")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Keras' own
def test_functions_of_keras_are_known_by_name(real, tmp_path):
    model = make(real)
    model.compile(
        "sgd", real.losses.mean_squared_error, metrics=[real.metrics.categorical_accuracy]
    )
    model.save(tmp_path / "keras.keras")
    ours = load_model(tmp_path / "keras.keras")
    assert type(ours.loss) is losses.MeanSquaredError
    np.testing.assert_allclose(
        ours.evaluate(X, Y, verbose=0), model.evaluate(X, Y, verbose=0), rtol=1e-5
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Keras' own
def test_other_models_of_keras_are_refused(real, tmp_path):
    x = real.Input((4,))
    real.Model(x, real.layers.Dense(3)(x)).save(tmp_path / "net.keras")
    with pytest.raises(UnsupportedError, match="a model of class 'Functional'"):
        load_model(tmp_path / "net.keras")
    model = make(real)
    model.compile("nadam", "mse")
    model.save(tmp_path / "net.keras")
    with pytest.raises(UnsupportedError, match=r"compile=False goes without\): optimizer=.*Nadam"):
        load_model(tmp_path / "net.keras")
    same(load_model(tmp_path / "net.keras", compile=False), model)


# ---------------------------------------------------------------------------- damage and malice


def parts_of(model, tmp_path):
    model.save(tmp_path / "good.keras")
    with zipfile.ZipFile(tmp_path / "good.keras") as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def pack(path, parts):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path


def test_damaged_archives(tmp_path):
    parts, path = parts_of(make(), tmp_path), tmp_path / "bad.keras"
    whole = (tmp_path / "good.keras").read_bytes()
    for size in (0, 10, len(whole) // 2):
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match=r"bad\.keras: damaged, or no \.keras file"):
            load_model(path)
    for name in ("config.json", "model.weights.h5"):
        with pytest.raises(ValueError, match=r"bad\.keras: damaged"):
            load_model(pack(path, {k: v for k, v in parts.items() if k != name}))
    for config in (b"[", b"[]", b"{}", b'{"class_name": "Sequential", "config": 3}', b"\xff"):
        with pytest.raises(ValueError, match=r"bad\.keras: "):
            load_model(pack(path, {**parts, "config.json": config}))
    with pytest.raises(ValueError, match=r"bad\.keras: damaged, or no HDF5 file"):
        load_model(pack(path, {**parts, "model.weights.h5": b"nothing"}))
    with pytest.raises(FileNotFoundError):
        load_model(tmp_path / "none.keras")
    for suffix in (".h5", ".pkl", ""):
        with pytest.raises(UnsupportedError, match="there are .keras and .safetensors"):
            load_model(tmp_path / f"net{suffix}")
        with pytest.raises(UnsupportedError, match="there are .keras and .safetensors"):
            make().save(tmp_path / f"net{suffix}")


def test_a_failing_load_leaves_the_weights(tmp_path):
    model, path = make(), tmp_path / "other.weights.h5"
    before = model.get_weights()
    other = Sequential([Input((4, 5)), layers.Flatten(), Dense(7), Dense(6), Dense(2)])
    other.save_weights(path)
    with pytest.raises(
        ValueError, match=r"layers/dense_2/vars/0 must be an array of floats of shape"
    ):
        model.load_weights(path)
    Sequential([Input((20,)), Dense(7)]).save_weights(path)
    with pytest.raises(ValueError, match="layers/dense_1/vars/0 is missing"):
        model.load_weights(path)
    larger = [Input((4, 5)), layers.Flatten(), Dense(7), Dense(6), Dense(3), Dense(3)]
    Sequential(larger).save_weights(path)
    with pytest.raises(ValueError, match="layer 'dense_3' does not belong to the model"):
        model.load_weights(path)
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(ValueError, match="must end in .weights.h5"):
        model.load_weights(tmp_path / "net.h5")


def change(content, edit):
    """Return an HDF5 file that `edit` has changed."""
    buffer = io.BytesIO(content)
    with h5py.File(buffer, "r+") as file:
        edit(file)
    return buffer.getvalue()


def test_links_to_other_files_are_not_followed(tmp_path):
    """A weights file that points to another would otherwise read whatever the user can read."""
    model = Sequential([Input((2,)), Dense(3)])
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["data"] = np.ones((2, 3), np.float32)
    raw = tmp_path / "raw"
    raw.write_bytes(np.ones(6, np.float32).tobytes())
    place = "layers/dense/vars/0"

    def external_link(file):
        del file[place]
        file[place] = h5py.ExternalLink(str(secret), "data")

    def soft_link(file):
        del file[place]
        file[place] = h5py.SoftLink("/other")
        file["other"] = np.ones((2, 3), np.float32)

    def linked_group(file):
        file.move("layers/dense", "moved")
        file["layers/dense"] = h5py.SoftLink("/moved")

    def external_storage(file):
        del file[place]
        file.create_dataset(place, (2, 3), "f4", external=[(str(raw), 0, 24)])

    def virtual(file):
        del file[place]
        layout = h5py.VirtualLayout((2, 3), "f4")
        layout[...] = h5py.VirtualSource(str(secret), "data", (2, 3))
        file.create_virtual_dataset(place, layout)

    def objects(file):
        del file[place]
        file.create_dataset(place, (2, 3), h5py.string_dtype())

    parts = parts_of(model, tmp_path)
    for edit, match in (
        (external_link, "is a link to elsewhere"),
        (soft_link, "is a link to elsewhere"),
        (linked_group, "is a link to elsewhere"),
        (external_storage, "kept in another file"),
        (virtual, "kept in another file"),
        (objects, "must be an array of floats"),
    ):
        content = change(parts["model.weights.h5"], edit)
        with pytest.raises(ValueError, match=match):
            load_model(pack(tmp_path / "bad.keras", {**parts, "model.weights.h5": content}))
        (tmp_path / "bad.weights.h5").write_bytes(content)
        before = model.get_weights()
        with pytest.raises(ValueError, match=match):
            model.load_weights(tmp_path / "bad.weights.h5")
        np.testing.assert_array_equal(model.get_weights()[0], before[0])


def test_nothing_in_a_file_is_run(tmp_path):
    """Entries that would import or call something in Keras' own loader are refused by name."""
    parts = parts_of(make(), tmp_path)
    config = json.loads(parts["config.json"])

    def load(edit):
        other = json.loads(json.dumps(config))
        edit(other["config"]["layers"], other)
        content = json.dumps(other).encode()
        return load_model(pack(tmp_path / "bad.keras", {**parts, "config.json": content}))

    def lambda_layer(found, _):
        found[4] = {"class_name": "Lambda", "config": {"function": "x", "name": "harm"}}

    def foreign(found, _):
        found[4]["module"] = "os"
        found[4]["registered_name"] = "os>system"

    def function(found, _):
        found[3]["config"]["activation"] = {
            "module": "builtins",
            "class_name": "function",
            "config": "system",
            "registered_name": None,
        }

    def initializer(found, _):
        found[3]["config"]["kernel_regularizer"] = {"module": "os", "class_name": "system"}

    def loss(_, whole):
        whole["compile_config"]["loss"] = {"module": "os", "class_name": "system", "config": {}}

    for edit, match in (
        (lambda_layer, r"layer 'harm' \(Lambda\)"),
        (foreign, r"layer '.*' \(ReLU\)"),
        (function, "activation 'system'"),
        (initializer, "kernel_regularizer=os.system"),
        (loss, "loss=os.system"),
    ):
        with pytest.raises(UnsupportedError, match=match):
            load(edit)
    with pytest.raises(UnsupportedError, match="custom_objects"):
        load_model(tmp_path / "good.keras", custom_objects={"Lambda": Dense})


def test_a_bomb_is_not_unpacked(tmp_path):
    parts, path = parts_of(make(), tmp_path), tmp_path / "bomb.keras"
    for name in ("config.json", "model.weights.h5"):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for other, content in parts.items():
                archive.writestr(other, content if other != name else b" " * (1 << 26))
        with pytest.raises(ValueError, match=rf"bomb\.keras: its {name} is of 67108864 bytes"):
            load_model(path)


@pytest.mark.parametrize("suffix", [".keras", ".npz"])
def test_room_is_made_for_what_is_in_the_file_alone(suffix, tmp_path):
    """A configuration of a few bytes cannot ask for all the memory."""
    model, path = Sequential([Input((4,)), Dense(3)]), tmp_path / f"net{suffix}"
    text = json.dumps(model._description()).replace('"units": 3', '"units": 3000000000')
    model._description = lambda: json.loads(text)
    model.save(path)
    with pytest.raises(ValueError, match=r"net\..*: its layers have 15,000,000,000 parameters"):
        load_model(path)


def test_a_failed_write_leaves_the_older_file(tmp_path, monkeypatch):
    model, path = make(), tmp_path / "net.keras"
    model.save(path)
    before = path.read_bytes()
    monkeypatch.setattr(os, "fsync", lambda *_: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        model.save(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["net.keras"]


def test_numbers_of_numpy_are_kept(tmp_path):
    one = np.float32(0.5)
    model = Sequential(
        [
            Input((np.int64(4),)),
            layers.Rescaling(one),
            Dense(np.int32(3), kernel_regularizer=regularizers.L2(one)),
            Dropout(one),
            Dense(1, kernel_initializer=initializers.Constant(np.ones((3, 1), np.float32))),
        ]
    )
    schedule = optimizers.schedules.ExponentialDecay(one, np.int64(10), one)
    for rule in (optimizers.SGD(schedule, momentum=one), optimizers.AdamW(one, weight_decay=one)):
        model.compile(rule, losses.Huber(delta=one))
        assert json.loads(model.to_json())
        for suffix in (".keras", ".npz"):
            model.save(tmp_path / f"net{suffix}")
            again = load_model(tmp_path / f"net{suffix}")
            assert again.optimizer.get_config() == rule.get_config()


def test_every_configuration_makes_the_object_again():
    for thing in (
        optimizers.SGD(0.1, momentum=0.9, nesterov=True, clipvalue=0.5),
        optimizers.RMSprop(0.1, rho=0.8, global_clipnorm=1.0),
        optimizers.AdamW(0.1, weight_decay=0.2),
        losses.Huber(delta=0.3),
        losses.SparseCategoricalCrossentropy(from_logits=True),
        losses.BinaryCrossentropy(label_smoothing=0.1),
    ):
        again = type(thing)(**thing.get_config())
        assert again.get_config() == thing.get_config()
    for layer in (*make().layers, Dropout(0.3)):
        config = {k: v for k, v in layer.get_config().items() if not isinstance(v, dict)}
        assert type(layer)(**config).get_config().keys() == layer.get_config().keys()
