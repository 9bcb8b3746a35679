"""Pictures of nets and of their training, drawn with matplotlib if it is installed.

Every function draws on the axes that it is given, or on those of a new figure that pyplot knows
nothing of, and returns them: ``ax.figure.savefig(path)`` writes the picture. In a notebook pass
axes of pyplot's, or show ``ax.figure``. No setting of matplotlib is touched.
"""

from mlpfast.plotting.axes import new_figure, require_matplotlib
from mlpfast.plotting.boundary import plot_decision_boundary
from mlpfast.plotting.curves import plot_gradient_flow, plot_history
from mlpfast.plotting.images import plot_confusion_matrix, plot_weights
from mlpfast.plotting.network import plot_network

__all__ = [
    "new_figure",
    "plot_confusion_matrix",
    "plot_decision_boundary",
    "plot_gradient_flow",
    "plot_history",
    "plot_network",
    "plot_weights",
    "require_matplotlib",
]
