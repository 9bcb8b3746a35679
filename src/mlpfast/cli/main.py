"""The command line's arguments, and how every error becomes one line and an exit code."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np

from mlpfast._version import __version__
from mlpfast.cli import train, use
from mlpfast.cli.errors import UsageError
from mlpfast.datasets.tables import TASKS
from mlpfast.spec import ACTIVATIONS, FORWARD_ONLY, LOSSES, OPTIMIZERS

OK, FAILED, USAGE = 0, 1, 2

_DATA = """\
data: "digits" (1,797 images that come with the package), "xor", a folder of MNIST's IDX files, a
.csv file or a .npz file"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see {self.prog} --help)")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0 done, 1 failed, 2 wrongly used."""
    # A net that diverges is told of in one line of its own, so NumPy need not warn of overflow.
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.showwarning = _show_warning
        try:
            args = _parser().parse_args(argv)
            return int(args.run(args))
        except UsageError as error:
            return _fail(str(error), USAGE)
        except KeyboardInterrupt:
            return _fail("interrupted", FAILED)
        except BrokenPipeError:
            # The reader of our output has left; keep the interpreter from flushing into the void.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return FAILED
        except (
            OSError,
            ValueError,
            TypeError,
            ArithmeticError,
            ImportError,
            RuntimeError,
        ) as error:
            return _fail(_message(error), FAILED)
        except MemoryError:
            return _fail("there is not enough memory for this", FAILED)


def _fail(message: str, code: int) -> int:
    print(f"mlpfast: error: {' '.join(message.split())}", file=sys.stderr)
    return code


def _message(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"
    return str(error) or type(error).__name__


def _show_warning(message: Warning | str, *_args: Any, **_kwargs: Any) -> None:
    # Of the training's own interruption the report speaks.
    if not str(message).startswith("training was interrupted"):
        print(f"mlpfast: warning: {message}", file=sys.stderr, flush=True)


# ---------------------------------------------------------------------------- arguments


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="mlpfast", description="Train and run multilayer perceptrons on a CPU.")
    parser.add_argument("--version", action="version", version=f"mlpfast {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_train(commands)
    for name, run, text in (
        ("predict", use.predict, "write the classes and probabilities of a file's rows as CSV"),
        ("evaluate", use.evaluate, "evaluate a saved net on a file's rows"),
    ):
        command = commands.add_parser(name, help=text, description=text, epilog=_DATA)
        command.set_defaults(run=run)
        command.add_argument("model", metavar="MODEL", help="a net saved by mlpfast")
        command.add_argument("data", metavar="DATA", help="see below")
        command.add_argument("--target", metavar="COLUMN", help="the target's column or array")
        _add_backend(command)
        if name == "predict":
            command.add_argument("--out", metavar="FILE", help="write there, not to the screen")
        else:
            _add_json(command)
    info = commands.add_parser("info", help="say what runs here, or what is in a saved net")
    info.set_defaults(run=use.info)
    info.add_argument("model", metavar="MODEL", nargs="?", help="a net saved by mlpfast")
    _add_backend(info)
    _add_json(info)
    return parser


def _add_train(commands: Any) -> None:
    text = "train a net, evaluate it on rows held out, and compare the time with NumPy's"
    command = commands.add_parser("train", help=text, description=text, epilog=_DATA)
    command.set_defaults(run=train.run)
    add = command.add_argument
    add("data", metavar="DATA", help="see below")
    add(
        "--target",
        metavar="COLUMN",
        help="CSV: the target's name or position (default the last); NPZ: its array",
    )
    add("--features", metavar="COLUMNS", help="CSV: the features, by comma (default all others)")
    add(
        "--task",
        choices=TASKS,
        default="auto",
        help="by default text and few distinct whole numbers are classes",
    )
    add(
        "--hidden",
        type=_sizes,
        nargs="+",
        metavar="UNITS",
        help='units of the hidden layers, "100,50" or 100 50; 0 for none (default 100)',
    )
    add(
        "--activation",
        type=_activations,
        metavar="NAME",
        help="of the hidden layers, one for all or one each by comma (default relu)",
    )
    add(
        "--output-activation",
        choices=_trainable(),
        metavar="NAME",
        help="by default what task and loss call for",
    )
    add(
        "--loss",
        choices=LOSSES,
        metavar="NAME",
        help=f"default categorical_crossentropy, mse for numbers; one of {', '.join(LOSSES)}",
    )
    add(
        "--loss-parameter",
        type=_positive_real,
        metavar="P",
        help="delta of huber (default 1), quantile of quantile (default 0.5)",
    )
    add(
        "--dropout",
        type=_share,
        default=0.0,
        metavar="S",
        help="share of the hidden units that each step leaves out, default 0",
    )
    add("--optimizer", choices=tuple(OPTIMIZERS), default="adam", help="default adam")
    add("--lr", type=_positive_real, metavar="RATE", help="learning rate; default the optimizer's")
    add("--momentum", type=_share, metavar="M", help="of sgd and rmsprop, default 0")
    add(
        "--epochs",
        type=_positive,
        metavar="N",
        help="default about 2,000 updates, 10 to 500 epochs",
    )
    add("--batch-size", type=_positive, metavar="N", help="default 32, 128 from 10,000 rows on")
    add(
        "--validation-share",
        type=_share,
        metavar="S",
        help="share of the rows to hold out (default 0.2, or the file's own test rows)",
    )
    add("--seed", type=_natural, default=0, metavar="N", help="default 0")
    add("--dtype", choices=("float32", "float64"), default="float32")
    _add_backend(command)
    add("--save", metavar="MODEL", help="write the net to a .safetensors or .npz file")
    add("--plot", metavar="FILE", help="draw loss and accuracy over the epochs, as curve.png")
    _add_json(command)
    add("--no-compare", action="store_true", help="leave out the run in NumPy")
    add(
        "--quiet",
        action="store_true",
        help="print the results alone, without progress",
    )


def _add_backend(command: argparse.ArgumentParser) -> None:
    command.add_argument("--backend", metavar="NAME", help="cpp, numba or numpy; also cpp:avx2 ...")


def _add_json(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="print one JSON object, nothing else")


def _trainable() -> tuple[str, ...]:
    return tuple(name for name in ACTIVATIONS if name not in FORWARD_ONLY)


def _sizes(text: str) -> list[int]:
    sizes = [_natural(part) for part in text.split(",")]
    if 0 in sizes and sizes != [0]:
        raise argparse.ArgumentTypeError(f"a layer must have at least 1 unit, got {text!r}")
    return sizes


def _activations(text: str) -> list[str]:
    names = text.split(",")
    for name in names:
        if name not in _trainable():
            raise argparse.ArgumentTypeError(f"{name!r} is not one of {', '.join(_trainable())}")
    return names


def _natural(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"must be a whole number of 0 or more, got {text!r}")
    return int(text)


def _positive(text: str) -> int:
    number = _natural(text)
    if number == 0:
        raise argparse.ArgumentTypeError("must be at least 1, got 0")
    return number


def _real(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number, got {text!r}") from None


def _positive_real(text: str) -> float:
    number = _real(text)
    if not 0.0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"must be above 0, got {text}")
    return number


def _share(text: str) -> float:
    number = _real(text)
    if not 0.0 <= number < 1.0:
        raise argparse.ArgumentTypeError(f"must be at least 0 and below 1, got {text}")
    return number
