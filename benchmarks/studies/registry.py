"""The jobs that are no race against all peers: growth, scaling, activations, calls, and so on.

Each is a module with `NAME`, `TITLE` and three functions: ``run(cpus, quick)`` measures and returns
what goes into the JSON file, ``lines(facts)`` makes the table, ``floors(facts)`` judges.
"""

from __future__ import annotations

from typing import Any, Protocol

from benchmarks.jobs.floors import Floor
from benchmarks.jobs.workloads import WORKLOADS, Workload
from benchmarks.jobs.workloads import select as select_workloads
from benchmarks.studies import activations, calls, estimators, growth, memory, scaling


class Study(Protocol):
    """What such a module offers."""

    NAME: str
    TITLE: str

    def run(self, cpus: list[int], quick: bool, /) -> Any: ...
    def lines(self, facts: Any, /) -> list[str]: ...
    def floors(self, facts: Any, /) -> list[Floor]: ...


STUDIES: tuple[Study, ...] = (growth, scaling, activations, calls, memory, estimators)


def select(names: list[str]) -> tuple[list[Workload], list[Study]]:
    """Return the named jobs against the peers and the named studies; all for no names.

    Raises
    ------
    ValueError
        If a name is unknown.
    """
    if not names:
        return list(WORKLOADS), list(STUDIES)
    known = tuple(study.NAME for study in STUDIES)
    return (
        select_workloads([name for name in names if name not in known], known),
        [study for study in STUDIES if study.NAME in names],
    )
