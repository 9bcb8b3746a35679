"""What was importable, and what was pickled, before the package got its present folders."""

import importlib
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest

import mlpfast
from mlpfast import _moved

PICKLES = Path(__file__).parent / "pickles"

#: The public names of version 0.1.0, module by module.
OLD = {
    "mlpfast": (
        "Adam AdamW BackendError CSVLogger Callback CosineDecay EarlyStopping "
        "ExponentialDecay FallbackWarning History Huber LambdaCallback MLP ModelCheckpoint "
        "NetSpec Optimizer PerStep Quantile RMSprop ReduceOnPlateau SGD StepDecay "
        "TrainingDiverged check_gradients datasets explain_step get_num_threads kernels "
        "plotting set_num_threads show_config"
    ),
    "mlpfast.accel": ("main"),
    "mlpfast.backends": ("BackendError FallbackWarning NAMES available default load resolve"),
    "mlpfast.callbacks": (
        "CSVLogger Callback EarlyStopping LambdaCallback ModelCheckpoint as_callback asks_to_stop"
    ),
    "mlpfast.cli": ("main"),
    "mlpfast.config": ("config get_num_threads set_num_threads show_config"),
    "mlpfast.datasets": (
        "Part Table load_csv load_digits load_fashion_mnist load_idx_folder load_mnist "
        "load_npz read_idx xor"
    ),
    "mlpfast.explain": ("LayerStep MOST_PRINTED StepExplanation explain_step"),
    "mlpfast.formulas": (
        "ACTIVATION_FORMULAS ActivationFormula DELTA_FROM_LOGITS LOSS_FORMULAS LossFormula "
        "PARAMETER_NAMES hidden_delta_text loss_text output_delta_text"
    ),
    "mlpfast.gradient_check": ("ArrayCheck GradientCheck check_gradients"),
    "mlpfast.history": ("History METRICS check_metrics summarize"),
    "mlpfast.initializers": ("RULES RandomState Rule assign initialize random_source"),
    "mlpfast.io": (
        "FORMAT_VERSION PREPROCESSING SUFFIXES check_path load load_with_extra replace_file save"
    ),
    "mlpfast.keras": (
        "Input Model Sequential UnsupportedError activations backend callbacks datasets "
        "initializers layers losses metrics models optimizers regularizers saving utils"
    ),
    "mlpfast.keras.activations": (
        "Activation NAMES elu exponential gelu get linear relu sigmoid silu softmax softplus "
        "swish tanh"
    ),
    "mlpfast.keras.backend": ("clear_session epsilon floatx"),
    "mlpfast.keras.callbacks": (
        "CSVLogger Callback EarlyStopping History LambdaCallback LearningRateScheduler "
        "ModelCheckpoint ReduceLROnPlateau TerminateOnNaN"
    ),
    "mlpfast.keras.datasets": ("fashion_mnist mnist"),
    "mlpfast.keras.datasets.fashion_mnist": ("load_data"),
    "mlpfast.keras.datasets.mnist": ("load_data"),
    "mlpfast.keras.initializers": (
        "CLASSES Constant FromFunction GlorotNormal GlorotUniform HeNormal HeUniform Identity "
        "Initializer LecunNormal LecunUniform Ones Orthogonal RandomNormal RandomUniform "
        "TruncatedNormal VarianceScaling Zeros constant get glorot_normal glorot_uniform "
        "he_normal he_uniform identity lecun_normal lecun_uniform ones orthogonal "
        "random_normal random_uniform truncated_normal variance_scaling zeros"
    ),
    "mlpfast.keras.layers": (
        "Activation CLASSES Dense Dropout ELU Flatten Input InputLayer Layer ReLU Rescaling "
        "Softmax assign check_shape"
    ),
    "mlpfast.keras.losses": (
        "BY_NAME BinaryCrossentropy CLASSES CategoricalCrossentropy Huber Loss MAE MSE "
        "MeanAbsoluteError MeanSquaredError Poisson SparseCategoricalCrossentropy "
        "binary_crossentropy categorical_crossentropy get huber mae mean_absolute_error "
        "mean_squared_error mse poisson sparse_categorical_crossentropy"
    ),
    "mlpfast.keras.metrics": (
        "BinaryAccuracy CLASSES CategoricalAccuracy MeanAbsoluteError MeanSquaredError Metric "
        "SparseCategoricalAccuracy binary_accuracy categorical_accuracy check_list get "
        "mean_absolute_error mean_squared_error resolve sparse_categorical_accuracy"
    ),
    "mlpfast.keras.models": ("Model Sequential clone_model load_model model_from_json save_model"),
    "mlpfast.keras.optimizers": ("Adam AdamW CLASSES Optimizer RMSprop SGD get schedules"),
    "mlpfast.keras.optimizers.schedules": (
        "CLASSES CosineDecay CosineDecayRestarts ExponentialDecay InverseTimeDecay "
        "LearningRateSchedule PiecewiseConstantDecay PolynomialDecay"
    ),
    "mlpfast.keras.regularizers": ("L1 L1L2 L2 get l1 l1_l2 l2"),
    "mlpfast.keras.saving": ("clone_model load_model model_from_json save_model"),
    "mlpfast.keras.utils": ("clear_session set_random_seed to_categorical"),
    "mlpfast.kernels": ("check_out dense_backward dense_forward"),
    "mlpfast.model": ("MLP"),
    "mlpfast.plotting": (
        "new_figure plot_confusion_matrix plot_decision_boundary plot_gradient_flow "
        "plot_history plot_network plot_weights require_matplotlib"
    ),
    "mlpfast.plotting.axes": ("DIVERGING NEGATIVE POSITIVE axes_for new_figure require_matplotlib"),
    "mlpfast.plotting.boundary": ("classes_of plot_decision_boundary"),
    "mlpfast.plotting.curves": ("plot_gradient_flow plot_history"),
    "mlpfast.plotting.images": ("plot_confusion_matrix plot_weights"),
    "mlpfast.plotting.network": ("plot_network"),
    "mlpfast.printing": ("html_table number text_table"),
    "mlpfast.progress": ("ProgressBar ProgressLines progress_of"),
    "mlpfast.schedules": (
        "CosineDecay ExponentialDecay PerStep ReduceOnPlateau StepDecay more_is_better"
    ),
    "mlpfast.sklearn": (
        "LossCurveDisplay MLPClassifier MLPRegressor patch_sklearn unpatch_sklearn"
    ),
    "mlpfast.spec": (
        "ACTIVATIONS Adam AdamW ELU_ALPHA FORWARD_ONLY FROM_LOGITS FROM_PREACTIVATION Huber "
        "LEAKY_RELU_SLOPE LOSSES LayerSlices LearningRate Loss NetSpec OPTIMIZERS Optimizer "
        "PARAMETRIC_LOSSES POISSON_EPSILON Quantile REDUCTIONS REQUIRED_OUTPUT RMSprop SGD "
        "check_choice check_int check_l2 check_optimizer check_real split_loss"
    ),
    "mlpfast.tables": (
        "MAX_CLASSES TASKS Table classes_or_numbers csv_columns load_csv load_npz number_name "
        "read_npz"
    ),
    "mlpfast.threads": ("MAX_THREADS limited_to num_threads set_num_threads"),
    "mlpfast.training": ("TrainingDiverged fit interruptible"),
    "mlpfast.validation": (
        "as_array as_finite check_data check_finite check_net check_sample_weight check_x "
        "check_y not_finite"
    ),
}


@pytest.mark.parametrize("module", OLD)
def test_every_name_is_where_it_was(module):
    if module.startswith("mlpfast.sklearn"):
        pytest.importorskip("sklearn")
    found = importlib.import_module(module)
    assert found.__name__ == module
    missing = [name for name in OLD[module].split() if not hasattr(found, name)]
    assert not missing


def test_every_moved_module_is_in_the_list():
    assert set(_moved.MOVED) <= set(OLD)
    for module, name in _moved.REPLACED:
        assert name in OLD[module].split()


def test_moved_modules_in_the_ways_to_import_them():
    import mlpfast.callbacks as by_name
    from mlpfast.callbacks import EarlyStopping

    from mlpfast import callbacks

    assert by_name is callbacks is mlpfast.callbacks is sys.modules["mlpfast.callbacks"]
    assert EarlyStopping is mlpfast.EarlyStopping
    assert "EarlyStopping" in dir(callbacks)
    assert "np" not in dir(callbacks)
    with pytest.raises(ImportError, match="cannot import name 'Nothing'"):
        from mlpfast.callbacks import Nothing  # noqa: F401
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("mlpfast.nothing")
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        mlpfast.nothing  # noqa: B018


def test_functions_that_have_become_others(tmp_path):
    from mlpfast.formulas import ACTIVATION_FORMULAS, DELTA_FROM_LOGITS, PARAMETER_NAMES

    from mlpfast import io

    net = mlpfast.MLP([2, 3, 1], random_state=0, backend="numpy")
    io.save(net, tmp_path / "net.npz", extra={"names": ["a", "b"]})
    np.testing.assert_array_equal(io.load(tmp_path / "net.npz").params, net.params)
    again, extra = io.load_with_extra(tmp_path / "net.npz", backend="numpy")
    np.testing.assert_array_equal(again.params, net.params)
    assert extra == {"names": ["a", "b"]}
    assert ACTIVATION_FORMULAS["tanh"].output == "tanh(z)"
    assert DELTA_FROM_LOGITS["log_loss"] == "o * sum(t) - t"
    assert PARAMETER_NAMES["quantile"] == "q"


# ---------------------------------------------------------------------------- pickles
# Of version 0.1.0: nets of 2-3-1 units, trained on the exclusive or with the NumPy backend.


def unpickled(name):
    return pickle.loads((PICKLES / f"{name}.pkl").read_bytes())


def test_old_pickle_of_a_net():
    X, y = mlpfast.datasets.xor()
    net = unpickled("mlp")
    was = [0.5166168212890625, 0.5054231286048889, 0.5023784041404724, 0.44549089670181274]
    np.testing.assert_allclose(net.predict(X)[:, 0], was, rtol=1e-6)
    # It goes on with its moments and its generator.
    net.fit(X, y, epochs=2, optimizer=unpickled("optimizer"), batch_size=2)
    later = [0.5072932839393616, 0.5080355405807495, 0.489694207906723, 0.41769421100616455]
    np.testing.assert_allclose(net.predict(X)[:, 0], later, rtol=1e-5)


def test_old_pickles_of_records():
    assert unpickled("optimizer") == mlpfast.Adam(mlpfast.CosineDecay(0.1, 5), clip_norm=1.0)
    history = unpickled("history")
    assert type(history) is mlpfast.History
    assert history.n_epochs == 5
    early = unpickled("early_stopping")
    assert type(early) is mlpfast.EarlyStopping
    X, y = mlpfast.datasets.xor()
    mlpfast.MLP([2, 1], random_state=0).fit(X, y, epochs=2, callbacks=[early])
    assert early.best_epoch == 1


def test_old_pickle_of_an_estimator():
    pytest.importorskip("sklearn")
    X, y = mlpfast.datasets.xor()
    regressor = unpickled("regressor")
    was = [0.7104905919260258, 0.566929560939728, 0.9917918149089879, 0.8165003053899134]
    np.testing.assert_allclose(regressor.predict(X), was, rtol=1e-12)
    regressor.partial_fit(X, y[:, 0])
    later = [0.6774363016440671, 0.5204090529098334, 0.9394492211960926, 0.7527504337860375]
    np.testing.assert_allclose(regressor.predict(X), later, rtol=1e-9)


def test_old_pickle_of_a_sequential():
    X, y = mlpfast.datasets.xor()
    model = unpickled("sequential")
    was = [0.0029102503322064877, 0.022293424233794212, 0.16251084208488464, 0.03226172551512718]
    np.testing.assert_allclose(model.predict(X)[:, 0], was, rtol=1e-5)
    assert len(model.fit(X, y, epochs=1, verbose=0).history["loss"]) == 1
