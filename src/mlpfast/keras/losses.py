"""Keras' losses: what each is called in a `NetSpec`, and how it wants outputs and targets.

The cross-entropies, and Poisson of an exponential output, are computed from what goes into the
output activation. Keras clips the outputs at 1e-7 or adds as much to them, so that its figures are
others once an output comes as near as that to 0 or 1 (Poisson: below about 1e-4).
"""

from __future__ import annotations

from typing import Any, NoReturn

from mlpfast.keras._names import snake_case
from mlpfast.keras._unsupported import check_none, lookup, refuse, there_are
from mlpfast.spec import LOSS_RECORDS, LossRecord, check_real

__all__ = [
    "BinaryCrossentropy",
    "CategoricalCrossentropy",
    "Huber",
    "Loss",
    "SparseCategoricalCrossentropy",
    "get",
]

_MEANS = ("sum_over_batch_size", "mean", "auto")
_IN_COMPILE = "compile a model with it; model.evaluate(x, y) returns it"


class Loss:
    """Base of the losses.

    Parameters
    ----------
    reduction : {"sum_over_batch_size", "mean"}
        The weighted sum over the rows of a batch, divided by their number. Both are that.
    name : str, optional

    Attributes
    ----------
    engine_name : str
        What `mlpfast.spec.LOSSES` calls it.
    parameter : float or None
    labels : bool
        Whether targets are class labels.
    from_logits : bool
        Whether the model gives what a sigmoid or softmax would be taken of.
    label_smoothing : float
    """

    engine_name: str
    parameter: float | None = None
    labels = False
    from_logits = False
    label_smoothing = 0.0
    #: The output activation that it needs, if any.
    output: str | None = None

    def __init__(
        self, reduction: str = "sum_over_batch_size", name: str | None = None, dtype: Any = None
    ) -> None:
        kind = type(self).__name__
        if type(self) not in CLASSES.values():
            refuse(f"loss {kind}, a class of one's own,", there_are(CLASSES))
        if not isinstance(reduction, str):
            refuse(f"{kind} of arrays", _IN_COMPILE)
        if reduction not in _MEANS:
            refuse(f"{kind}(reduction={reduction!r})", there_are(_MEANS))
        check_none(kind, dtype=dtype)
        self.reduction, self.name = reduction, name or self.engine_name

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> NoReturn:
        """Raise an error: a loss is for `Sequential.compile`."""
        refuse(f"{type(self).__name__} of arrays", _IN_COMPILE)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make it again."""
        return {"name": self.name, "reduction": self.reduction}


class Huber(Loss):
    """`mlpfast.spec.Huber`."""

    engine_name = "huber"

    def __init__(self, delta: float = 1.0, **options: Any) -> None:
        self.parameter = check_real("delta", delta, low=0.0, open_low=True)
        super().__init__(**options)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "delta": self.parameter}


class _Crossentropy(Loss):
    """What the cross-entropies have in common."""

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        **options: Any,
    ) -> None:
        if axis != -1:
            refuse(f"{type(self).__name__}(axis={axis})", "the classes are the last axis")
        self.from_logits = bool(from_logits)
        self.label_smoothing = check_real("label_smoothing", label_smoothing, low=0.0, high=1.0)
        super().__init__(**options)

    def get_config(self) -> dict[str, Any]:
        own = {"from_logits": self.from_logits, "label_smoothing": self.label_smoothing}
        return {**super().get_config(), **own}


class BinaryCrossentropy(_Crossentropy):
    """Of sigmoid outputs and targets 0..1, the mean over the outputs."""

    engine_name, output = "binary_crossentropy", "sigmoid"


class CategoricalCrossentropy(_Crossentropy):
    """Of softmax outputs and one-hot targets, or probabilities."""

    engine_name, output = "categorical_crossentropy", "softmax"


class SparseCategoricalCrossentropy(_Crossentropy):
    """Of softmax outputs and class labels."""

    engine_name, output, labels = "categorical_crossentropy", "softmax", True

    def __init__(
        self, from_logits: bool = False, ignore_class: Any = None, axis: int = -1, **options: Any
    ) -> None:
        check_none("SparseCategoricalCrossentropy", ignore_class=ignore_class)
        options.setdefault("name", "sparse_categorical_crossentropy")
        super().__init__(from_logits, 0.0, axis, **options)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["label_smoothing"]
        return {**config, "ignore_class": None}


def _simple(record: LossRecord) -> type[Loss]:
    """Return the class of a loss without options; see `mlpfast.spec.LOSS_RECORDS`."""
    text = f"Of a row with outputs o, targets t and n outputs, ``{record.value}``."
    return type(
        record.keras,
        (Loss,),
        {"engine_name": record.name, "__doc__": text, "__module__": __name__},
    )


CLASSES: dict[str, type[Loss]] = {
    **{record.keras: _simple(record) for record in LOSS_RECORDS.values() if record.keras},
    **{
        kind.__name__: kind
        for kind in (
            *(Huber, BinaryCrossentropy, CategoricalCrossentropy),
            SparseCategoricalCrossentropy,
        )
    },
}

# What are functions in Keras are here classes whose defaults are those of the functions.
_FUNCTIONS = {snake_case(name): kind for name, kind in CLASSES.items()}
_SHORT = {
    "mse": "mean_squared_error",
    "mae": "mean_absolute_error",
    "bce": "binary_crossentropy",
}

#: Keras' names, each with the class whose defaults it stands for.
BY_NAME: dict[str, type[Loss]] = {
    **CLASSES,
    **_FUNCTIONS,
    **{short: _FUNCTIONS[name] for short, name in _SHORT.items()},
    **{short.upper(): _FUNCTIONS[name] for short, name in _SHORT.items()},
}
globals().update(BY_NAME)
__all__ += [name for name in BY_NAME if name not in __all__]


def get(identifier: Any) -> Loss:
    """Return the loss that a name, a class or an instance stands for.

    Raises
    ------
    UnsupportedError
        For any other name, and for a function of one's own.
    """
    if isinstance(identifier, Loss):
        return identifier
    if isinstance(identifier, type) and issubclass(identifier, Loss):
        return identifier()
    choices = ", ".join(sorted(name for name in BY_NAME if name.islower()))
    if not isinstance(identifier, str) or identifier not in BY_NAME:
        refuse(f"loss {identifier!r}", f"there are {choices}")
    return BY_NAME[identifier]()


def __getattr__(name: str) -> Any:
    return lookup(__name__, name, "loss", CLASSES)
