"""What importing a provider's module and making an instance do, seen in a fresh interpreter."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO, Any, NamedTuple

_SCRIPT = Path(__file__).with_name("_fresh.py")
_MARK = "nspkit-probe:"
LONGEST = 30.0
"""How many seconds a fresh interpreter is given at least: that includes its own beginning."""
_LISTS = ("importing", "making", "starting", "packages")


class Finding(NamedTuple):
    """What a fresh interpreter found out.

    Attributes:
        error: Why the class could not be reached or made; empty if it could.
        importing: What importing the module did beside importing, a sentence for each thing.
        making: What making an instance did.
        starting: What a start without settings did before it raised NotReadyError.
        packages: Packages that the import brought, which are neither the standard library's nor
            nspkit's nor the provider's own.
        guid: The GUID of the provider over there.
        printed: What was written to standard output.
        seconds: How long each module took to import, those it imports included.
    """

    error: str
    importing: tuple[str, ...]
    making: tuple[str, ...]
    starting: tuple[str, ...]
    packages: tuple[str, ...]
    guid: str
    printed: str
    seconds: dict[str, float]


def wanted_of(provider: Any) -> dict[str, Any]:
    """Return where a class is, for another interpreter."""
    module = sys.modules.get(provider.__module__)
    return {
        "module": provider.__module__,
        "file": getattr(module, "__file__", None),
        "name": provider.__qualname__,
    }


def environment() -> dict[str, str]:
    """Return the environment of another interpreter, which imports what this one can import."""
    path = os.pathsep.join(str(Path(entry).resolve()) for entry in sys.path if entry)
    found = {name: value for name, value in os.environ.items() if "COV" not in name}
    return found | {"PYTHONPATH": path}


def probe(provider: Any, seconds: float, *, start: bool = False) -> Finding:
    """Import a provider's module in a fresh interpreter, and make an instance there.

    What hangs there is ended after so many seconds, and the error shows where it was.

    Args:
        provider: The class.
        seconds: How long that may take.
        start: Whether to start the instance too, without settings.
    """
    wanted = json.dumps({**wanted_of(provider), "start": start, "seconds": seconds})
    # Files, no pipes: what it leaves would hold those open, and have it waited for.
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            [sys.executable, "-X", "importtime", str(_SCRIPT), wanted],
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            start_new_session=True,
        )
        try:
            # By then it has ended itself, and said where it was.
            process.wait(seconds + 10.0)
        except subprocess.TimeoutExpired:  # it does not even end itself
            return Finding("it does not come to an end", (), (), (), (), "", "", {})
        finally:
            _end(process)
        said, written = _read(output), _read(errors)
    printed, mark, found = said.rpartition(_MARK)
    told, seconds_of = _timed(written)
    if not mark:
        printed, found = said, json.dumps({"error": told.strip()[-2000:] or "it ended"})
    answer: dict[str, Any] = {"error": "", "guid": "", **dict.fromkeys(_LISTS, ())}
    # What it has left may have written behind that.
    answer |= json.JSONDecoder().raw_decode(found)[0]
    return Finding(**answer, printed=printed, seconds=seconds_of)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End an interpreter, and what it has started and left."""
    with contextlib.suppress(OSError, AttributeError):  # a system may have no groups of processes
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()


def _read(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace").replace(os.linesep, "\n")


def _timed(text: str) -> tuple[str, dict[str, float]]:
    """Part what -X importtime says from what else was written to standard error."""
    rest, found = [], {}
    for line in text.splitlines():
        if line.startswith("import time:"):
            cells = line.removeprefix("import time:").split("|")
            if len(cells) == 3 and cells[1].strip().isdecimal():
                found[cells[2].strip()] = int(cells[1]) / 1e6
        else:
            rest.append(line)
    return "\n".join(rest), found
