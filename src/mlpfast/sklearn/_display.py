"""A picture of how a fit went."""

from __future__ import annotations

from typing import Any

from mlpfast.plotting.axes import axes_for


class LossCurveDisplay:
    """The loss after each epoch of a fit, and the score on rows held out where there were some.

    Make one by `from_estimator`.

    Parameters
    ----------
    loss_curve : list of float
        The loss after each epoch.
    validation_scores : list of float, optional
        The score after each epoch.
    estimator_name : str, optional
        For the legend.
    score_name : str, default "score"
        For the axis of the score.

    Attributes
    ----------
    ax_, figure_ : matplotlib axes and figure
        Those of the loss.
    line_ : matplotlib line
        The loss.
    score_ax_, score_line_ : matplotlib axes and line, or None
        Those of the score, if there is one.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from mlpfast.sklearn import LossCurveDisplay, MLPClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = MLPClassifier(early_stopping=True, random_state=0).fit(X, y)
    >>> display = LossCurveDisplay.from_estimator(clf)
    >>> len(display.line_.get_xdata()) == clf.n_iter_
    True
    """

    def __init__(
        self,
        loss_curve: list[float],
        validation_scores: list[float] | None = None,
        *,
        estimator_name: str | None = None,
        score_name: str = "score",
    ) -> None:
        self.loss_curve, self.validation_scores = loss_curve, validation_scores
        self.estimator_name, self.score_name = estimator_name, score_name

    @classmethod
    def from_estimator(
        cls, estimator: Any, *, ax: Any = None, name: str | None = None, **line_kwargs: Any
    ) -> LossCurveDisplay:
        """Draw the curve of a fitted estimator, be it mlpfast's or scikit-learn's.

        Parameters
        ----------
        estimator : MLPClassifier, MLPRegressor, or a Pipeline that ends in one
            Fitted.
        ax : matplotlib axes, optional
            By default those of a new figure that pyplot knows nothing of.
        name : str, optional
            For the legend, by default that of the class.
        **line_kwargs
            For matplotlib's ``plot`` of the loss.

        Returns
        -------
        LossCurveDisplay

        Raises
        ------
        NotFittedError
            If there has been no fit.
        ValueError
            If it was one of L-BFGS, which has no epochs.
        """
        from sklearn.base import is_classifier
        from sklearn.utils.validation import check_is_fitted

        estimator = estimator[-1] if hasattr(estimator, "steps") else estimator
        check_is_fitted(estimator)
        if not getattr(estimator, "loss_curve_", None):
            raise ValueError(
                f"estimator must have been fitted by 'sgd' or 'adam' to have a loss curve, got "
                f"solver={getattr(estimator, 'solver', None)!r}"
            )
        display = cls(
            estimator.loss_curve_,
            estimator.validation_scores_,
            estimator_name=name or type(estimator).__name__,
            score_name="accuracy" if is_classifier(estimator) else "R2",
        )
        return display.plot(ax=ax, **line_kwargs)

    def plot(
        self, ax: Any = None, *, name: str | None = None, **line_kwargs: Any
    ) -> LossCurveDisplay:
        """Draw the curve.

        Parameters
        ----------
        ax : matplotlib axes, optional
            By default those of a new figure that pyplot knows nothing of.
        name : str, optional
            For the legend, by default ``estimator_name``.
        **line_kwargs
            For matplotlib's ``plot`` of the loss.

        Returns
        -------
        LossCurveDisplay
            This one, with the attributes that end in an underscore.
        """
        ax = axes_for(ax)
        label = name or self.estimator_name
        epochs = range(1, len(self.loss_curve) + 1)
        marker = {"marker": "o"} if len(epochs) == 1 else {}
        style = {"color": "C0", "label": f"{label}: loss" if label else "loss", **marker}
        (self.line_,) = ax.plot(epochs, self.loss_curve, **{**style, **line_kwargs})
        ax.set_xlabel("epoch")
        ax.set_ylabel("loss")
        self.ax_, self.figure_ = ax, ax.figure
        self.score_ax_ = self.score_line_ = None
        lines = [self.line_]
        if self.validation_scores:
            self.score_ax_ = ax.twinx()
            self.score_ax_.set_ylabel(f"{self.score_name} on rows held out")
            scored = epochs[: len(self.validation_scores)]
            (self.score_line_,) = self.score_ax_.plot(
                *(scored, self.validation_scores, "--"),
                color="C1",
                label=f"{self.score_name}, held out",
                **marker,
            )
            lines.append(self.score_line_)
        ax.legend(handles=lines, loc="center right")
        return self
