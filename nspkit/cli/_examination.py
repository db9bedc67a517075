"""Examining a provider in a process of its own, which it may crash, leave or hold up.

The process writes into files, not into pipes: a pipe that a child of the provider still holds
open would never end. See `_examining` for what runs over there.
"""

from __future__ import annotations

import ast
import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

import click

from nspkit import EntryState
from nspkit.cli import _examining
from nspkit.cli._status import Status

_PATIENCE = 5.0
"""How many seconds an interpreter may take to start and to end, beside what it is asked."""

_MOST_WRITTEN = 1 << 26
"""How many bytes a provider may write, 64 MiB, before it is ended: a disk has an end too."""

_GLANCE = 0.1
"""How many seconds apart one looks how much that is."""

_MOST_READ, _MOST_LINES, _LONGEST_LINE = 1 << 22, 40, 400
"""What is read of it, in bytes, and how much of its end is shown."""

_IMPORT = re.compile(r"import time: +(\d+) \| +\d+ \| +([\w.]+)")

_STEPS = {
    "import": (EntryState.BROKEN_IMPORT, "importing it"),
    "start": (EntryState.FAILED_START, "nsp_startup"),
    "cleanup": (EntryState.QUARANTINED, "nsp_cleanup"),
}
"""What a provider is that ends its process in a step, and what that is called."""


class ExaminationError(click.ClickException):
    """Nothing can be said of a provider, because it could not be examined."""

    exit_code = Status.FAILED


class Weight(NamedTuple):
    """What one package costs at import.

    Attributes:
        name: Its name, or that of the only module.
        seconds: The time in all of its modules, without what they import from elsewhere.
        modules: How many of them were imported.
    """

    name: str
    seconds: float
    modules: int


class Examination:
    """What was found out in a process about one provider.

    Attributes:
        known: The answers by name; what is not there could not be found out.
    """

    def __init__(self, known: dict[str, Any], output: str, stacks: str, ended: str | None) -> None:
        """Take over what the process wrote, on its output too, and how it ended."""
        self.known = known
        before, *parts = output.split(f"\n{_examining.MARK}\n")
        self._imports = parts[0] if parts else ""
        if ended is None:
            return
        state, what = _STEPS[known["step"]]
        rest = "\n".join(parts or [before])
        lines = [line for line in rest.splitlines() if not line.startswith("import time:")]
        last = [line[-_LONGEST_LINE:] for line in lines[-_MOST_LINES:]]
        trace = "\n".join([*last, stacks]).strip()
        way_out = "--verbose shows where" if trace else "mend, reinstall or uninstall it"
        error = f"{what} {ended}; {way_out}"
        problems = (error,) if known["step"] == "import" else ()
        known.update(state=state.value, error=error, problems=problems, traceback=trace or None)

    @property
    def import_seconds(self) -> float | None:
        """How long the import takes, or None where it does not succeed."""
        has_failed = self.known["state"] == EntryState.BROKEN_IMPORT.value
        return None if has_failed else self.known["import_seconds"]

    def weights(self, module: str) -> list[Weight]:
        """Return the packages that were imported, the heaviest first.

        Python does not tell the time of the module that the entry point names, since that is not
        imported by a statement: it is what is left.
        """
        seconds: dict[str, float] = {}
        modules: dict[str, int] = {}
        there = set(self.known.get("modules", ()))
        for microseconds, name in _IMPORT.findall(self._imports):
            if there and name not in there:
                continue  # it was looked for, and is not there
            package = name.partition(".")[0]
            seconds[package] = seconds.get(package, 0.0) + int(microseconds) / 1e6
            modules[package] = modules.get(package, 0) + 1
        total, own = self.import_seconds, module.partition(".")[0]
        if total is not None:
            rest = max(total - sum(seconds.values()), 0.0)
            seconds[own] = seconds.get(own, 0.0) + rest
            modules[own] = modules.get(own, 0) + 1
        weights = [Weight(name, round(seconds[name], 6), modules[name]) for name in seconds]
        return sorted(weights, key=lambda weight: weight.seconds, reverse=True)


def examine(
    number: int, *, seconds: float, starting: bool = False, file: str | None = None
) -> Examination:
    """Examine a provider in a fresh interpreter.

    Args:
        number: Its place in a catalog that was just discovered.
        seconds: How long each step may take: the import, the start, the cleanup.
        starting: Whether to start it too, once, and clean it up.
        file: The file of settings for that.

    Raises:
        ExaminationError: The interpreter did not come as far as the provider.
    """
    try:
        return _examined(number, seconds, file or "", "start" if starting else "")
    except OSError as error:
        raise ExaminationError(f"nothing can be examined: {error}") from None


def _examined(number: int, seconds: float, file: str, starting: str) -> Examination:
    with tempfile.TemporaryDirectory(prefix="nspkit-doctor-") as folder:
        answers, output, stacks = (Path(folder, name) for name in ("answers", "output", "stacks"))
        with output.open("wb") as stream:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-X", "importtime", _examining.__file__),
                    *(str(answers), str(stacks), str(seconds), str(number), starting, file),
                    *sys.path,
                ],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                # So that what it has started can be ended with it.
                start_new_session=True,
            )
        limit = _PATIENCE + seconds * (3 if starting else 1)
        late = f"did not end within {seconds:g} s"
        ended = _end_of(process, limit, late, output)
        known = _answers(answers)
        text, stacks_then = _read(output), _read(stacks)
    if not known.get("step"):
        last = text.rstrip().rpartition("\n")[2]
        raise ExaminationError(
            f"nothing can be examined: {sys.executable} {ended or 'ended'} before it began"
            f"{last and f': {last}'}"
        )
    if known["step"] == "end":
        ended = None
    elif stacks_then.startswith("Timeout ("):
        ended = late
    else:
        ended = ended or "ended the process with exit status 0"
    return Examination(known, text, stacks_then, ended)


def _end_of(process: subprocess.Popen[bytes], limit: float, late: str, output: Path) -> str | None:
    """Wait for a process, and say how it ended; None for exit status 0.

    Past the limit, or when the waiting is interrupted, it is killed, and so is one that writes
    without end; what it has started is in any case.
    """
    until, status = monotonic() + limit, None
    try:
        while status is None:
            if monotonic() > until:
                return late
            if output.stat().st_size > _MOST_WRITTEN:
                return f"wrote more than {_MOST_WRITTEN >> 20} MiB of output"
            with contextlib.suppress(subprocess.TimeoutExpired):
                status = process.wait(_GLANCE)
    finally:
        _kill(process)
    if status < 0:
        with contextlib.suppress(ValueError):
            return f"crashed the process with {signal.Signals(-status).name}"
    return f"ended the process with exit status {status}" if status else None


def _kill(process: subprocess.Popen[bytes]) -> None:
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()


def _read(file: Path) -> str:
    """Return what is in a file that the process has written; of a long one the two ends."""
    if not file.exists():
        return ""
    with file.open("rb") as stream:
        text = stream.read(_MOST_READ)
        rest = file.stat().st_size - len(text)
        if rest > 0:
            stream.seek(-min(rest, _MOST_LINES * _LONGEST_LINE), os.SEEK_END)
            text += b"\n" + stream.read()
    return text.decode("utf-8", "replace")


def _answers(file: Path) -> dict[str, Any]:
    known: dict[str, Any] = {}
    if file.exists():
        for line in file.read_text(encoding="utf-8").splitlines():
            # The last one may not be whole.
            with contextlib.suppress(ValueError, SyntaxError):
                known.update(ast.literal_eval(line))
    return known
