"""A program for a fresh interpreter: examines one provider and tells what it found.

It is run by its path, not imported, and imports little before the provider: what is there already
hides what the provider brings. Each answer is in the file before the next step begins, so that
what was found out is known, and in which step the process ended, however it ends.

Its arguments: the file for the answers, the seconds for each step, the number of the provider in
the catalog, whether to start it, the file of settings, and then the search path for modules.
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
        seconds: How long each step may take.
    """

    def __init__(self, answers: str, seconds: float) -> None:
        import faulthandler
        import os

        self._answers = answers
        self._seconds = seconds
        # One of our own, because a provider may close or replace what programs write errors to.
        self._errors = os.dup(2)
        faulthandler.enable(self._errors)

    def begin(self, step: str, extra: float = 0.0) -> None:
        """Begin a step; when its time is up the stacks are written down, and the process ends."""
        import faulthandler

        self.tell(step=step)
        # A thread of C watches: it needs nothing that a step which hangs may hold.
        faulthandler.dump_traceback_later(self._seconds + extra, exit=True, file=self._errors)

    def mark(self) -> None:
        """Put a mark between what is imported by whom."""
        import os

        os.write(self._errors, f"\n{MARK}\n".encode())

    def tell(self, **answer: object) -> None:
        """Write an answer down, as a line of Python."""
        # Not json: a provider that imports it would seem to cost nothing.
        with open(self._answers, "a", encoding="utf-8") as file:  # noqa: PTH123  # as above
            file.write(f"{answer!a}\n")

    def examine(self, entry: CatalogEntry) -> None:
        """Import the provider and tell what it is."""
        from time import perf_counter

        self.begin("import")
        self.mark()
        began = perf_counter()
        info = entry.info
        seconds = perf_counter() - began
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

    def start(self, host: Host, guid: Any) -> None:
        """Start the provider once and clean it up; tell how long that takes, or what it raised."""
        from time import perf_counter

        began = perf_counter()
        self.begin("start")
        try:
            host.startup(guid)
        except BaseException as error:
            self._tell_failure(host, error)
            return
        started = perf_counter()
        self.tell(start_seconds=started - began)
        self.begin("cleanup", extra=GRACE)
        try:
            host.cleanup(guid, timeout=self._seconds)
        except BaseException as error:
            self._tell_failure(host, error)
        else:
            self.tell(cleanup_seconds=perf_counter() - started)

    def _tell_failure(self, host: Host, error: BaseException) -> None:
        from traceback import format_exception

        [entry] = (one for one in host.providers() if one.enabled)
        is_told = hasattr(error, "code") and str(error)
        self.tell(
            state=entry.state.value,
            error=str(error) if is_told else f"it let {type(error).__name__} out: {error}",
            traceback="".join(format_exception(error)),
        )


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
    answers, seconds, number, starting, file, *path = sys.argv[1:]
    sys.path[:] = path
    examination = Examination(answers, float(seconds))
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
    examination.examine(entry)
    if starting:
        settings = {entry.guid: settings_in(file, entry)} if entry.guid and file else {}
        examination.start(Host(catalog=catalog, settings=settings), entry.guid)
    examination.tell(step="end")
    import os

    # Whatever a provider has left running by now must not keep the process.
    os._exit(0)


if __name__ == "__main__":
    main()
