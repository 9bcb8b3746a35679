"""The pictures show what they should: figures of their parts, and colors of rendered pixels."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import mlpfast
from mlpfast import plotting

pytest.importorskip("matplotlib")

from matplotlib.colors import to_rgb

ROOT = Path(__file__).resolve().parents[2]
BLUE, RED = (to_rgb(color) for color in (plotting.axes.POSITIVE, plotting.axes.NEGATIVE))


def pixels(figure):
    """The picture as an array (height, width, 3) of 0..1."""
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[:, :, :3] / 255


def pixel_at(ax, x, y):
    """The color at a point in data coordinates."""
    picture = pixels(ax.figure)
    column, row = ax.transData.transform((x, y))
    return picture[picture.shape[0] - 1 - round(row), round(column)]


def is_bluish(color):
    return color[2] > color[0] + 0.2


def is_reddish(color):
    return color[0] > color[2] + 0.2


@pytest.fixture
def by_hand():
    return mlpfast.MLP(
        *([2, 2, 1], "sigmoid", "sigmoid", "squared_error"),
        init=([[[2, 1], [-2, 3]], [[3], [-2]]], [[0, -1], [-1]]),
    )


def texts(ax):
    return [text.get_text() for text in ax.texts]


# ------------------------------------------------------------------ the diagram of a net


def test_network_has_a_line_for_each_weight_and_a_circle_for_each_unit(by_hand):
    ax = plotting.plot_network(by_hand)
    lines, circles = ax.collections[:2], ax.collections[2:]
    assert [len(part.get_segments()) for part in lines] == [4, 2]
    assert [len(part.get_offsets()) for part in circles] == [2, 2, 1]
    # Weights x1-h1 2, x1-h2 1, x2-h1 -2, x2-h2 3: width by size, color by sign.
    np.testing.assert_allclose(lines[0].get_linewidths(), np.array([2, 1, 2, 3]) * 4 / 3)
    colors = [tuple(color[:3]) for color in lines[0].get_colors()]
    assert colors == [BLUE, BLUE, RED, BLUE]
    assert {"x1", "x2", "h1", "h2", "o1", "2.00", "-2.00", "+0.00", "-1.00"} <= set(texts(ax))
    assert texts(ax).count("sigmoid") == 2


def test_network_shows_the_outputs_of_a_row(by_hand):
    ax = plotting.plot_network(by_hand, [1, 0])
    assert {"1.00", "0.00", "0.88", "0.50", "0.66"} <= set(texts(ax))
    # Darker circles for larger outputs; on the page, beside the number.
    shades = [pixel_at(ax, x + 0.1, y).sum() for x, y in ((0, 0.5), (2, 0), (1, -0.5), (0, -0.5))]
    assert shades == sorted(shades)
    assert shades[0] < shades[-1] - 0.5


def test_network_lines_are_where_they_should_be(by_hand):
    ax = plotting.plot_network(by_hand, numbers=False)
    assert is_bluish(pixel_at(ax, 0.75, 0.5))  # x1-h1, 2
    assert is_bluish(pixel_at(ax, 0.75, -0.5))  # x2-h2, 3
    assert is_reddish(pixel_at(ax, 0.75, 0.25))  # x2-h1, -2
    assert "2.00" not in texts(ax)


def test_a_large_network_is_drawn_in_part():
    net = mlpfast.MLP([64, 32, 10], "relu", "softmax", random_state=0)
    ax = plotting.plot_network(net, np.ones(64), max_units=6)
    assert [len(part.get_offsets()) for part in ax.collections[2:]] == [6, 6, 6]
    assert {"... 58 more ...", "... 26 more ...", "... 4 more ..."} <= set(texts(ax))
    assert len(ax.collections[0].get_segments()) == 36


# ------------------------------------------------------------------ the decision boundary


def test_decision_boundary_of_a_known_line():
    """sigmoid(10 (x1 - 0.3)): a vertical line at 0.3, 1 to the right of it."""
    net = mlpfast.MLP([2, 1], "relu", "sigmoid", init=([[[10], [0]]], [[-3]]))
    ax = plotting.plot_decision_boundary(net, limits=((0, 1), (0, 2)))
    assert is_bluish(pixel_at(ax, 0.9, 1.5))
    assert is_reddish(pixel_at(ax, 0.05, 0.2))
    assert ax.get_xlim() == (0, 1)
    assert ax.get_ylim() == (0, 2)
    for height in (0.5, 1.5):
        assert pixel_at(ax, 0.3, height).max() < 0.35  # the black line
    points = ax.collections[0].get_paths()[0].vertices
    np.testing.assert_allclose(points[:, 0], 0.3, atol=0.01)


def test_decision_boundary_with_points():
    X, Y = mlpfast.datasets.xor()
    net = mlpfast.MLP([2, 1], "relu", "sigmoid", init=([[[1], [1]]], [[9]]))  # 1 everywhere
    ax = plotting.plot_decision_boundary(net, X, Y, resolution=5)
    (points,) = ax.collections  # and no line
    np.testing.assert_array_equal(points.get_offsets(), X)
    colors = points.get_facecolors()
    assert [is_bluish(color) for color in colors] == [False, True, True, False]
    assert [is_reddish(color) for color in colors] == [True, False, False, True]
    assert ax.get_xlim() == (-0.25, 1.25)


def test_decision_boundary_of_several_classes():
    """Outputs x1, x2, 0.5 - x1 - x2: the largest wins."""
    net = mlpfast.MLP([2, 3], init=([[[1, 0, -1], [0, 1, -1]]], [[0, 0, 0.5]]))
    X = np.array([[1, 0], [0, 1], [0, 0]], float)
    ax = plotting.plot_decision_boundary(net, X, [0, 1, 2], resolution=51)
    classes = ax.images[0].get_array()
    assert classes[0, 0] == 2
    assert classes[0, -1] == 0
    assert classes[-1, 0] == 1
    colors = [tuple(color) for color in ax.collections[0].get_facecolors()]
    assert len(set(colors)) == 3
    # A point has the color of the region in which it lies.
    for color, (x, y) in zip(colors, ((1, 0.1), (0.1, 1), (-0.1, -0.1)), strict=True):
        region = pixel_at(ax, x, y)
        assert np.argmax(region) == np.argmax(color[:3])


# ------------------------------------------------------------------ images


def test_weights_are_tiles():
    w = np.zeros((6, 3), "float32")
    w[:, 0] = [1, 0, 0, 0, 0, -2]  # blue at the top left, red at the bottom right
    w[:, 2] = 0.5
    net = mlpfast.MLP([6, 3], init=([w], [np.zeros(3)]))
    ax = plotting.plot_weights(net, shape=(2, 3), columns=3)
    sheet = np.ma.filled(ax.images[0].get_array(), np.nan)
    assert sheet.shape == (2, 11)
    np.testing.assert_array_equal(sheet[:, :3], w[:, 0].reshape(2, 3))
    np.testing.assert_array_equal(sheet[:, 8:], 0.5)
    assert np.isnan(sheet[:, [3, 7]]).all()
    assert ax.images[0].get_clim() == (-2, 2)
    assert is_bluish(pixel_at(ax, 0, 0))
    assert is_reddish(pixel_at(ax, 2, 1))
    np.testing.assert_allclose(pixel_at(ax, 5, 0), 1, atol=0.05)  # a weight of 0


def test_weights_of_some_units_and_layers():
    net = mlpfast.MLP([64, 30, 4], random_state=0)
    sheet = plotting.plot_weights(net, [29, 3]).images[0].get_array()
    np.testing.assert_array_equal(sheet[:, :8], net.weights[0][:, 29].reshape(8, 8))
    np.testing.assert_array_equal(sheet[:, 9:], net.weights[0][:, 3].reshape(8, 8))
    assert plotting.plot_weights(net).images[0].get_array().shape == (44, 44)
    ax = plotting.plot_weights(net, layer=-1, shape=(5, 6))
    assert ax.images[0].get_array().shape == (11, 13)


def test_confusion_matrix():
    true, predicted = [0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 1, 0]
    ax = plotting.plot_confusion_matrix(true, predicted, labels=["cat", "dog", "owl"])
    matrix = ax.images[0].get_array()
    assert matrix.tolist() == [[2, 1, 0], [0, 2, 0], [1, 0, 0]]
    assert texts(ax) == ["2", "1", "0", "0", "2", "0", "1", "0", "0"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["cat", "dog", "owl"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("predicted", "true")
    # Row 0, column 0 is at the top left: dark; row 1, column 0 below it: white.
    assert is_bluish(pixel_at(ax, 0.35, 0.35))
    np.testing.assert_allclose(pixel_at(ax, 0.35, 1.35), 1, atol=0.05)
    shares = plotting.plot_confusion_matrix(true, predicted, normalize=True)
    np.testing.assert_allclose(shares.images[0].get_array()[0], [2 / 3, 1 / 3, 0])


def test_confusion_matrix_of_outputs():
    one_hot = np.eye(3)[[0, 1, 2]]
    outputs = np.array([[0.6, 0.3, 0.1], [0.2, 0.1, 0.7], [0.1, 0.1, 0.8]])
    matrix = plotting.plot_confusion_matrix(one_hot, outputs).images[0].get_array()
    assert matrix.tolist() == [[1, 0, 0], [0, 0, 1], [0, 0, 1]]
    ax = plotting.plot_confusion_matrix([0, 1, 1], [[0.2], [0.9], [0.4]])
    assert ax.images[0].get_array().tolist() == [[1, 0], [1, 1]]


# ------------------------------------------------------------------ curves


def test_gradient_flow():
    net = mlpfast.MLP([2, 3, 1], "tanh", dtype="float64", random_state=0)
    X, Y = mlpfast.datasets.xor()
    ax = plotting.plot_gradient_flow(net, X, Y)
    (line,) = ax.lines
    _, grad = net.loss_and_grad(X, Y)
    expected = [np.sqrt((w**2).mean()) for w, _ in net.spec.unflatten(grad)]
    np.testing.assert_allclose(line.get_ydata(), expected)
    assert line.get_xdata().tolist() == [1, 2]
    assert ax.get_yscale() == "log"
    assert ax.get_legend() is None


def test_gradients_vanish_in_deep_sigmoid_nets():
    sizes = [2] + [16] * 10 + [1]
    X, Y = mlpfast.datasets.xor()
    nets = {
        "sigmoid": mlpfast.MLP(sizes, "sigmoid", random_state=0),
        "relu": mlpfast.MLP(sizes, "relu", init="he_normal", random_state=0),
    }
    ax = plotting.plot_gradient_flow(nets, X, Y)
    sigmoid, relu = (line.get_ydata() for line in ax.lines)
    assert sigmoid[0] < 1e-4 * sigmoid[-1]
    assert relu[0] > 1e-2 * relu[-1]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["sigmoid", "relu"]


def test_a_dead_layer_interrupts_the_line():
    net = mlpfast.MLP([2, 3, 1], "relu", init=([np.zeros((2, 3)), np.ones((3, 1))], None))
    net.biases[0][:] = -1
    ax = plotting.plot_gradient_flow(net, [[1.0, 1.0]], [1])
    assert np.isnan(ax.lines[0].get_ydata()).tolist() == [True, True]


def test_history_curves():
    history = {"loss": [0.5, 0.2], "val_loss": [0.6, 0.3], "accuracy": [0.5, 1.0]}
    ax = plotting.plot_history(history)
    assert [line.get_ydata().tolist() for line in ax.lines] == [[0.5, 0.2], [0.6, 0.3]]
    (right,) = (other for other in ax.figure.axes if other is not ax)
    assert right.lines[0].get_ydata().tolist() == [0.5, 1.0]
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names == ["loss", "loss, held out", "accuracy"]


# ------------------------------------------------------------------ axes, state, errors


def drawings():
    """Return one function of the axes for each kind of picture."""
    X, Y = mlpfast.datasets.xor()
    net = mlpfast.MLP([2, 4, 1], "tanh", "sigmoid", random_state=0)
    history = net.fit(X, Y, epochs=3)
    return [
        lambda ax: plotting.plot_network(net, X[0], ax),
        lambda ax: plotting.plot_decision_boundary(net, X, Y, ax, resolution=4),
        lambda ax: plotting.plot_weights(net, 3, ax, shape=(1, 2)),
        lambda ax: plotting.plot_confusion_matrix(Y, net.predict(X), ax),
        lambda ax: plotting.plot_gradient_flow(net, X, Y, ax),
        lambda ax: plotting.plot_history(history, ax),
    ]


def test_axes_in_and_out():
    figure = plotting.new_figure(9, 6)
    for ax, draw in zip(figure.subplots(2, 3).flat, drawings(), strict=True):
        assert draw(ax) is ax
        own = draw(None)
        assert own.figure is not figure
        assert len(own.figure.axes) <= 2
        for each in (ax, own):
            pixels(each.figure)  # nothing warns
            assert each.has_data()


@pytest.mark.slow
def test_no_global_state():
    """Nothing of pyplot's is loaded, and no setting of matplotlib changes."""
    code = (
        "import sys, matplotlib as mpl; sys.path.insert(0, 'tests/plotting')\n"
        "def settings(): return {k: str(mpl.rcParams[k]) for k in mpl.rcParams if k != 'backend'}\n"
        "before = settings()\n"
        "from test_plotting import drawings\n"
        "for draw in drawings(): draw(None).figure.canvas.draw()\n"
        "assert settings() == before and len(before) > 100\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_module_does_not_need_matplotlib_to_be_imported():
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "import mlpfast\n"
        "net = mlpfast.MLP([2, 1])\n"
        "try: mlpfast.plotting.plot_network(net)\n"
        "except ImportError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert 'plots need matplotlib: pip install "mlpfast[plot]"' in done.stdout, done.stderr


NET = mlpfast.MLP([2, 3, 1], random_state=0)
P = plotting
WRONG = {
    "ax must be matplotlib axes or None, got list": lambda: P.plot_network(NET, ax=[]),
    "net must be a mlpfast.MLP, got int": lambda: P.plot_network(3),
    "x must have shape (2,), got (3,)": lambda: P.plot_network(NET, [1, 2, 3]),
    "x must be finite": lambda: P.plot_network(NET, [1, np.nan]),
    "max_units must be at least 2": lambda: P.plot_network(NET, max_units=1),
    "net must have 2 inputs, got 4": lambda: P.plot_decision_boundary(mlpfast.MLP([4, 1])),
    "limits must be given": lambda: P.plot_decision_boundary(NET),
    "limits must be ((x1 from": lambda: P.plot_decision_boundary(NET, limits=(0, 1)),
    "from a lower to a higher": lambda: P.plot_decision_boundary(NET, limits=((0, 1), (2, 1))),
    "Y colors the points of X": lambda: P.plot_decision_boundary(NET, Y=[1], limits=((0, 1),) * 2),
    "X must have shape (n, 2)": lambda: P.plot_decision_boundary(NET, np.ones((3, 3))),
    "Y must have as many rows": lambda: P.plot_decision_boundary(NET, np.ones((3, 2)), [1]),
    "resolution must be at least 2": lambda: P.plot_decision_boundary(NET, resolution=1),
    "shape must be given: the layer's 2": lambda: P.plot_weights(NET),
    "(2), got 2 x 3 = 6": lambda: P.plot_weights(NET, shape=(2, 3)),
    "shape must be (height, width)": lambda: P.plot_weights(NET, shape=(2,)),
    "layer must be below 2, got 2": lambda: P.plot_weights(NET, layer=2),
    "units must be below the layer's 3, got 3": lambda: P.plot_weights(NET, [3], shape=(1, 2)),
    "units must name at least one": lambda: P.plot_weights(NET, [], shape=(1, 2)),
    "columns must be at least 1": lambda: P.plot_weights(NET, shape=(1, 2), columns=0),
    "must have the same length, got 2 and 1": lambda: P.plot_confusion_matrix([0, 1], [1]),
    "y_true must hold whole class labels": lambda: P.plot_confusion_matrix([0.5], [1]),
    "y_pred must hold whole class labels": lambda: P.plot_confusion_matrix([0], [-1]),
    "y_pred must be (n,) labels": lambda: P.plot_confusion_matrix([0], 1),
    "labels must name the 3 classes": lambda: P.plot_confusion_matrix([2], [0], labels=["a"]),
    "nets must be an MLP or a dict": lambda: P.plot_gradient_flow({}, [[1, 2]], [1]),
    "net must be a mlpfast.MLP, got str": lambda: P.plot_gradient_flow({"a": "b"}, [[1, 2]], [1]),
    "history must have at least one epoch": lambda: P.plot_history({}),
}


@pytest.mark.parametrize("message", WRONG)
def test_wrong_arguments(message):
    with pytest.raises((ValueError, TypeError)) as caught:
        WRONG[message]()
    assert message in str(caught.value)
