"""Training above the backends: epochs, history, callbacks, progress, interruption."""

from mlpfast.training.interrupt import interruptible
from mlpfast.training.loop import TrainingDiverged, fit

__all__ = ["TrainingDiverged", "fit", "interruptible"]
