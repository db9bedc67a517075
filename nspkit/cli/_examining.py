"""A program for a fresh interpreter: examines one provider and tells what it found.

It is run by its path, not imported, and imports little before the provider: what is there already
hides what the provider brings. Each answer is in the file before the next step begins, so that
what was found out is known, and in which step the process ended, however it ends.

Its arguments: the files for the answers and for the stacks, the seconds for each step, the number
of the provider in the catalog, whether to start it, the file of settings, and then the search path
for modules.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from nspkit import CatalogEntry, Host

MARK = "nspkit examines"
"""Stands on the error output, on a line of its own, before and after what the provider imports."""

GRACE = 2.0
"""How many seconds longer than the host's own limit a cleanup may take until the process ends."""


class Examination:
    """What is found out about one provider, written down step by step.

    Args:
        answers: The file for the answers.
        stacks: The file for the stacks of what crashes or hangs.
        seconds: How long each step may take.
    """

    def __init__(self, answers: str, stacks: str, seconds: float) -> None:
        import faulthandler
        import os

        self._answers = answers
        self._seconds = seconds
        # One of our own, because a provider may close or replace what programs write errors to.
        self._errors = os.dup(2)
        # Apart from all that a provider writes, where they could be neither told nor found.
        self._stacks = os.open(stacks, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        faulthandler.enable(self._stacks)

    def begin(self, step: str, extra: float = 0.0) -> None:
        """Begin a step; when its time is up the stacks are written down, and the process ends."""
        import faulthandler

        self.tell(step=step)
        # A thread of C watches: it needs nothing that a step which hangs may hold.
        faulthandler.dump_traceback_later(self._seconds + extra, exit=True, file=self._stacks)

    def end(self) -> None:
        """End a step: what comes between two of them is not on anybody's time."""
        import faulthandler

        faulthandler.cancel_dump_traceback_later()

    def mark(self) -> None:
        """Put a mark between what is imported by whom."""
        import os

        os.write(self._errors, f"\n{MARK}\n".encode())

    def tell(self, **answer: object) -> None:
        """Write an answer down, as a line of Python."""
        # Not json: a provider that imports it would seem to cost nothing.
        with open(self._answers, "a", encoding="utf-8") as file:  # noqa: PTH123  # as above
            file.write(f"{answer!a}\n")

    def examine(self, entry: CatalogEntry) -> bool:
        """Import the provider and tell what it is; return whether that came to an end."""
        from time import perf_counter

        self.begin("import")
        self.mark()
        began = perf_counter()
        try:
            info = entry.info
        except BaseException as error:  # a KeyboardInterrupt, which a catalog lets through
            self._tell_broken(error)
            return False
        seconds = perf_counter() - began
        self.end()
        self.mark()
        modules = tuple(sys.modules)
        known: dict[str, Any] = {}
        if info is not None:
            known = {
                "guid": str(info.guid),
                "namespace": int(info.namespace),
                "provider_version": str(info.version),
                "stores_service_classes": info.stores_service_classes,
                "spi_version": info.spi_version,
            }
        self.tell(
            **known,
            state=entry.state.value,
            error=entry.error,
            problems=entry.problems,
            import_seconds=seconds,
            modules=modules,
            hooks=None if entry.hooks is None else sorted(entry.hooks),
            traceback=entry.traceback,
        )
        return True

    def start(self, host: Host, guid: Any) -> None:
        """Start the provider once and clean it up; tell how long that takes, or what it raised."""
        from time import perf_counter

        began = perf_counter()
        self.begin("start")
        try:
            host.startup(guid)
        except BaseException as error:
            self._tell_failure(host, "nsp_startup", error)
            return
        started = perf_counter()
        self.tell(start_seconds=started - began)
        self.begin("cleanup", extra=GRACE)
        try:
            host.cleanup(guid, timeout=self._seconds)
        except BaseException as error:
            self._tell_failure(host, "nsp_cleanup", error)
        else:
            self.tell(cleanup_seconds=perf_counter() - started)
        self.end()

    def _tell_broken(self, error: BaseException) -> None:
        from traceback import format_exception

        from nspkit import EntryState

        self.mark()
        reason = f"importing it failed with {_told(error)}; mend, reinstall or uninstall it"
        self.tell(
            state=EntryState.BROKEN_IMPORT.value,
            error=reason,
            problems=(reason,),
            import_seconds=None,
            hooks=None,
            traceback="".join(format_exception(error)),
        )

    def _tell_failure(self, host: Host, hook: str, error: BaseException) -> None:
        from traceback import format_exception

        from nspkit import EntryState, NspError

        [entry] = (one for one in host.providers() if one.enabled)
        # A host that was interrupted says nothing of the start: the caller wanted to stop. Here
        # nobody but the provider can have raised that.
        state = EntryState.FAILED_START if hook == "nsp_startup" else entry.state
        self.tell(
            state=state.value,
            error=str(error) if isinstance(error, NspError) else f"{hook} let {_told(error)} out",
            traceback="".join(format_exception(error)),
        )


def _told(error: BaseException) -> str:
    return ": ".join(filter(None, (type(error).__name__, str(error))))


def settings_in(file: str, entry: CatalogEntry) -> dict[str, Any]:
    """Return the settings that a file has for a provider, under its name or its GUID."""
    import tomllib
    from uuid import UUID

    with open(file, encoding="utf-8-sig") as stream:  # noqa: PTH123  # as above
        tables: dict[str, dict[str, Any]] = tomllib.loads(stream.read()).get("providers", {})
    for key, settings in tables.items():
        try:
            is_meant = key == entry.name or UUID(key) == entry.guid
        except ValueError:
            is_meant = False
        if is_meant:
            return settings
    return {}


def main() -> None:
    """Do what the arguments say."""
    answers, stacks, seconds, number, starting, file, *path = sys.argv[1:]
    sys.path[:] = path
    examination = Examination(answers, stacks, float(seconds))
    examination.tell(step="")
    # What the host itself takes to say what is wrong, which is no provider's doing.
    import difflib  # noqa: F401
    import traceback  # noqa: F401

    from nspkit import Catalog, Host

    catalog = Catalog.discover()
    # Alone: otherwise the others would be imported, to see whether they have the same GUID.
    for place, one in enumerate(catalog):
        one.enabled = place == int(number)
    [entry] = (one for one in catalog if one.enabled)
    if examination.examine(entry) and starting:
        settings = {entry.guid: settings_in(file, entry)} if entry.guid and file else {}
        examination.start(Host(catalog=catalog, settings=settings), entry.guid)
    examination.tell(step="end")
    import os

    # Whatever a provider has left running by now must not keep the process.
    os._exit(0)


if __name__ == "__main__":
    main()
