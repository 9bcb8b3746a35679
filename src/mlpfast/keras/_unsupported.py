"""What this face of Keras does not have: classes that say so as soon as one is made."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NoReturn

_SCOPE = "mlpfast.keras is for chains of Dense layers (Sequential) trained on the CPU"


class UnsupportedError(NotImplementedError):
    """The program asks for something of Keras that mlpfast does not do."""


def refuse(what: str, instead: str = "") -> NoReturn:
    """Raise an error that names what is missing and, perhaps, what there is instead."""
    raise UnsupportedError(f"{what} is not supported: {instead or _SCOPE}")


def there_are(choices: Iterable[str]) -> str:
    """Return what an error may offer instead."""
    return f"there are {', '.join(choices)}"


def check_none(where: str, **arguments: Any) -> None:
    """Raise an error for the first argument that is anything but None or False."""
    for name, value in arguments.items():
        if value is not None and value is not False:
            refuse(f"{where}: {name}={value!r}", "leave it out")


def placeholder(name: str, kind: str, instead: str = "") -> type:
    """Return a class called `name` that cannot be instantiated.

    So a program may import what it does not use, and the error comes where it is used.
    """

    def init(_self: Any, *_args: Any, **options: Any) -> None:
        called = f" {options['name']!r}" if options.get("name") else ""
        refuse(f"{kind} {name}{called}", instead)

    return type(name, (), {"__init__": init, "__doc__": f"Not supported: {_SCOPE}."})


def lookup(module: str, name: str, kind: str, choices: Iterable[str] = ()) -> type:
    """Stand in for the ``__getattr__`` of a module: names of classes give a placeholder.

    `choices` are what there is, for the error.
    """
    if name[:1].isupper():
        return placeholder(name, kind, there_are(choices) if choices else "")
    raise AttributeError(f"module {module!r} has no attribute {name!r}")
