"""How a net would be trained on batches of some rows: the plan, and why it is that one."""

from __future__ import annotations

from mlpfast.backends.base import PlanChoice, PlanRequest
from mlpfast.model import MLP, check_net
from mlpfast.spec import Optimizer, check_int, check_optimizer


def explain_plan(
    net: MLP,
    batch_size: int = 32,
    n_rows: int | None = None,
    *,
    optimizer: str | Optimizer = "adam",
    shuffle: bool = True,
) -> PlanChoice:
    """Say how `MLP.fit` would train a net: the plan that its backend chooses, and why.

    The compiled backend has several ways to make a step. Which one is right depends on the net and
    on the rows of a batch, never on the number of threads; the backend makes the same choice here
    as when it trains. The gradient of `n` rows, of `MLP.loss_and_grad` and of estimators with the
    solver "lbfgs", has the plan of batches of `n` rows.

    Parameters
    ----------
    net : MLP
        Is not changed.
    batch_size : int, default 32
        As in `MLP.fit`.
    n_rows : int, optional
        Rows of the training data; None for one full batch.
    optimizer : str or Optimizer, default "adam"
        As in `MLP.fit`. Only whether it clips gradients matters.
    shuffle : bool, default True
        As in `MLP.fit`.

    Returns
    -------
    PlanChoice
        A record whose attributes are `plan`, `why`, `team`, `rows`, `last_rows`, `block_rows`,
        `parts`, `backend` and `isa`; ``print`` shows it as text.

    Raises
    ------
    TypeError, ValueError
        If an argument is not what it should be, or the net cannot be trained.

    Examples
    --------
    >>> import mlpfast
    >>> net = mlpfast.MLP([30, 128, 64, 1], output_activation="sigmoid", backend="numpy")
    >>> print(mlpfast.explain_plan(net, batch_size=256, n_rows=1000))
    plan     numpy: the whole batch goes through layer after layer, in NumPy's products
    batch    256 rows, the last of an epoch 232
    block    256 rows together
    team     1 thread
    backend  numpy
    """
    check_net(net)
    net.check_trainable()
    check_int("batch_size", batch_size, 1)
    n_rows = batch_size if n_rows is None else check_int("n_rows", n_rows, 1)
    rule = check_optimizer(optimizer)
    if not isinstance(shuffle, bool):
        raise TypeError(f"shuffle must be True or False, got {shuffle!r}")
    # The order within one batch is left alone: see the training loop.
    shuffled = shuffle and batch_size < n_rows
    return net.engine.plan_for(net.spec, PlanRequest(n_rows, batch_size, shuffled, rule.clips))
