"""The rule about what is left once in a process, which no comparison of two rounds shows."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nspkit.testing._first import Given, answer
from nspkit.testing._forking import in_a_child
from nspkit.testing._fresh import reached
from nspkit.testing._own import own_modules
from nspkit.testing._probe import environment, wanted_of
from nspkit.testing._rule import require, rule, rules_in

if TYPE_CHECKING:
    from nspkit.testing._case import Case

_LONGEST = 60.0
_INSIDE = "NSPKIT_KIT_FIRST_USE"
_PROGRAM = "from nspkit.testing._first import main; main()"


@rule("leaks")
def nothing_once_per_process(case: Case) -> None:
    """The first use in a process leaves nothing behind either, not even once and for all.

    Looked at in a fresh interpreter, which imports the provider and is given the settings, the
    query and the service, pickled: it starts, asks, registers, watches and stops. Where they
    cannot be pickled, or the provider cannot be started there, a forked child does so, in which
    only the provider's own modules are imported anew. Threads, open files and sockets, child
    processes and instances are failures, in a global of a module too. What a package of others
    makes as it is imported is allowed, and so is what the standard library keeps.
    """
    if _INSIDE in os.environ:
        return  # a script that is its own provider's module would have itself looked at for ever
    given = Given(case.settings, case.query, case.service, case.patience)
    said = _in_a_fresh_interpreter(case, given)
    if said["failure"]:
        case.go_on()
        said = _in_a_forked_child(case, given)
    require(
        said["failure"] or not said["left"],  # what fails, or hangs, is another rule's affair
        f"the first use in a process leaves {'; '.join(said['left'])}, once and for all; "
        "have each start make its own, and put it into resources",
    )


def _in_a_fresh_interpreter(case: Case, given: Given) -> dict[str, Any]:
    try:
        asked = pickle.dumps((wanted_of(case.provider), pickle.dumps(tuple(given))))
    except Exception as error:  # whatever an object says that is not made for it
        return {"left": [], "failure": f"{type(error).__name__}: {error}"}
    with tempfile.TemporaryDirectory(prefix="nspkit-kit-") as folder:
        question, answered = Path(folder, "question"), Path(folder, "answer")
        question.write_bytes(asked)
        with contextlib.suppress(subprocess.TimeoutExpired):
            # Its output leads nowhere: a process that it leaves would keep a pipe open.
            subprocess.run(
                [sys.executable, "-P", "-c", _PROGRAM, str(question), str(answered)],
                env=environment() | {_INSIDE: "1"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=max(_LONGEST, 6 * case.patience),
                check=False,
            )
        return _read(answered.read_bytes() if answered.exists() else b"")


def _in_a_forked_child(case: Case, given: Given) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="nspkit-kit-") as folder:
        answered = Path(folder, "answer")

        def look() -> None:
            os.environ[_INSIDE] = "1"
            wanted = wanted_of(case.provider)
            for name in own_modules(case.provider):
                del sys.modules[name]
            answered.write_bytes(answer(reached(wanted), given))

        in_a_child(look, max(_LONGEST, 6 * case.patience))
        return _read(answered.read_bytes() if answered.exists() else b"")


def _read(said: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(said or b'{"left": [], "failure": "it did not answer"}')
    return found


RULES = rules_in(globals())
