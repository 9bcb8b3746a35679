"""One contestant in a process of its own: threads set before its imports, its data, its timing.

The parent holds a `Worker`; the child runs `main` and answers one pickled message at a time.
Processes keep the libraries' thread pools, settings and memory apart, and those whose turn it is
not sleep on a pipe.
"""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

from benchmarks.jobs.workloads import Workload
from benchmarks.machine import host, timing

_ROOT = Path(__file__).resolve().parents[2]


class ContestantError(RuntimeError):
    """A contestant could not start or do its job."""


class Worker:
    """The parent's end.

    Parameters
    ----------
    name : str
        Name of a contestant; see `benchmarks.peers`.
    cpus : list of int
        Processors it may use; as many threads.

    Raises
    ------
    ContestantError
        From every call, if the contestant fails; the message is the child's error.
    """

    def __init__(self, name: str, cpus: list[int]) -> None:
        self.name = name
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (closed by close)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.jobs.worker", name, ",".join(map(str, cpus))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=host.environment(len(cpus)),
            cwd=_ROOT,
        )
        try:
            self.versions: dict[str, str] = self._answer()
        except ContestantError:
            self.close()
            raise

    def refuses(self, workload: Workload) -> str | None:
        """Return why the contestant cannot do this job, None if it can."""
        return self._call("refuses", workload)  # type: ignore[no-any-return]

    def short_result(self, workload: Workload) -> Any:
        """Return the result of the shortened job."""
        return self._call("short_result", workload)

    def prepare(self, workload: Workload) -> None:
        """Make the whole job ready."""
        self._call("prepare", workload)

    def seconds(self, units: int, *, fresh: bool, warm: int = 0) -> float:
        """Return the time of `units` units, from the start if `fresh`, after `warm` others."""
        return self._call("seconds", units, fresh, warm)  # type: ignore[no-any-return]

    def release(self) -> None:
        """Let go of the job's memory."""
        self._call("release")

    def close(self) -> None:
        """End the process."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def _call(self, command: str, *arguments: Any) -> Any:
        assert self._process.stdin is not None
        try:
            pickle.dump((command, arguments), self._process.stdin)
            self._process.stdin.flush()
        except OSError:
            raise ContestantError(self._last_words()) from None
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        try:
            status, value = pickle.load(self._process.stdout)
        except (EOFError, pickle.UnpicklingError):
            raise ContestantError(self._last_words()) from None
        if status == "error":
            raise ContestantError(value)
        return value

    def _last_words(self) -> str:
        try:
            code = self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            return "its process closed its pipe and hangs"
        how = f"exit code {code}"
        if code < 0:
            try:
                how = signal.Signals(-code).name
            except ValueError:
                how = f"signal {-code}"
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        return f"its process ended ({how}): {lines[-1] if lines else 'no message'}"


class _Child:
    """What the messages call."""

    def __init__(self, name: str) -> None:
        from benchmarks.peers import find

        self.entry = find(name)
        self.contestant = self.entry.make()
        self.lasting = set(vars(self.contestant))  # all else belongs to a job

    def refuses(self, workload: Workload) -> str | None:
        return self.contestant.refuses(workload)

    def short_result(self, workload: Workload) -> Any:
        from benchmarks.jobs.data import make_job

        short = workload.shortened()
        self.contestant.prepare(make_job(short), own_order=False)
        self.contestant.start()
        self.contestant.run(short.check_units)
        return self.contestant.result()

    def prepare(self, workload: Workload) -> None:
        from benchmarks.jobs.data import make_job

        self.contestant.prepare(make_job(workload), own_order=True)
        self.contestant.start()

    def seconds(self, units: int, fresh: bool, warm: int) -> float:
        if fresh:
            self.contestant.start()
        if warm:
            self.contestant.run(warm)
        return timing.seconds(lambda: self.contestant.run(units))

    def release(self) -> None:
        state = vars(self.contestant)
        for name in state.keys() - self.lasting:
            del state[name]
        gc.collect()


def main() -> None:
    """Answer messages from standard input until it ends."""
    name, cpus = sys.argv[1], [int(cpu) for cpu in sys.argv[2].split(",")]
    host.pin(cpus)
    # Libraries may print: only the answers go to the pipe.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    warnings.simplefilter("ignore")

    def answer(status: str, value: Any) -> None:
        pickle.dump((status, value), answers, protocol=pickle.HIGHEST_PROTOCOL)
        answers.flush()

    try:
        child = _Child(name)
        answer("ok", child.contestant.versions())
    except Exception as error:  # noqa: BLE001 (whatever it is, the parent hears of it)
        answer("error", f"{type(error).__name__}: {_first_line(error)}")
        return
    while True:
        try:
            command, arguments = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            answer("ok", getattr(child, command)(*arguments))
        except Exception as error:  # noqa: BLE001
            answer("error", f"{type(error).__name__}: {_first_line(error)}")


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else ""


if __name__ == "__main__":
    main()
