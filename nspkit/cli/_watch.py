"""``nspkit watch``: what is there and how it changes, as it happens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from nspkit import ChangeKind, NspError, WatchState
from nspkit.cli import _options
from nspkit.cli._asking import asked, nobody, query_of
from nspkit.cli._ending import end
from nspkit.cli._output import Cell, Columns, moment, standard_output, write_indented
from nspkit.cli._report import Report, is_minor, parts_of
from nspkit.cli._result import details, record, rows
from nspkit.cli._signals import Stop
from nspkit.cli._status import Status
from nspkit.errors import InvalidProviderError, ServiceNotFoundError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from nspkit import Change, Namespace, Watch

PAUSE = 0.1
"""How long it takes at most, in seconds, until a change of the watch's own state is told."""

SHORTEST = 0.01
"""The shortest pause between two polls, in seconds, that a host makes."""

_INDENT = 4
_WIDTH_OF_ADDRESS = len("255.255.255.255")

_STYLES = {
    ChangeKind.ADDED.value: "green",
    ChangeKind.CHANGED.value: "yellow",
    ChangeKind.REMOVED.value: "red",
    WatchState.LIVE: "green",
    WatchState.STALE: "yellow",
    WatchState.FAILED: "red",
}


@click.command()
@asked
@click.option(
    "-i",
    "--interval",
    metavar="SECONDS",
    default="1",
    callback=_options.seconds_from(SHORTEST),
    help="How often those are asked that do not tell by themselves; 1 by default.",
)
@_options.config
@click.option("--json", "as_lines", is_flag=True, help="Write one JSON object a line.")
@click.option("-v", "--verbose", is_flag=True, help="Say of every provider what is wrong with it.")
def watch(
    *,
    name: str | None,
    provider: str | None,
    namespace: Namespace | None,
    service_class: UUID | str | None,
    context: str,
    interval: float,
    file: str | None,
    as_lines: bool,
    verbose: bool,
) -> Status:
    """Watch NAME at the installed providers until Ctrl-C.

    First comes what is there, as added, and then a line that says live; from there on what is
    added, changed and removed, as it happens. When a provider fails, a line says stale: something
    may have changed unseen, until live comes again. NAME may be
    left out as for lookup.

    Exit status: 0 ended by SIGTERM, 130 by Ctrl-C, 2 wrong usage, 3 nobody can be watched any
    more.
    """
    query = query_of(
        name,
        provider=provider,
        namespace=namespace,
        service_class=service_class,
        context=context,
    )
    host = _options.host_of(file)
    report = Report(host, verbose=verbose)
    screen = _Lines(report) if as_lines else _Rows(report, name or "", verbose=verbose)
    stop = Stop(interrupts=True)
    status = Status.FAILED
    with stop:
        try:
            with host.watch(query, interval=interval) as watching:
                _follow(watching, screen, stop)
        except KeyboardInterrupt:
            status = stop.status
        except InvalidProviderError as error:
            raise click.UsageError(error.message) from None
        except NspError as error:
            missing = isinstance(error, ServiceNotFoundError) and error.guid is None
            error = nobody(error, query) if missing else error
            screen.failed(parts_of(error))
            report.fail("be watched", error)
        finally:
            late = end(host)
    report.tell_late(late)
    return status


def _follow(watching: Watch, screen: _Lines | _Rows, stop: Stop) -> None:
    """Show what changes, until it is interrupted or nothing can change any more.

    Raises:
        KeyboardInterrupt: An end was asked for.
        NspError: Nobody is watched any more.
    """
    told: object = None
    pause = 0.0
    while True:
        stop.heed()
        # The state first: what belongs to it is there by then, and is shown before it.
        state, errors, waiting = watching.state, watching.errors, watching.generation
        change = watching.wait(pause)
        while change is not None:
            screen.change(change)
            # No more than what was waiting: a flood of changes would hold back a stale state.
            waiting -= 1
            change = watching.wait(0) if waiting > 0 else None
        news = (state, [str(error) for error in errors])
        if state != WatchState.STARTING and news != told:
            screen.state(state, errors)
            told = news
        pause = PAUSE


class _Lines:
    """Writes what happens for a program."""

    def __init__(self, report: Report) -> None:
        """Write to the standard output."""
        self._report = report
        self._page = standard_output()

    def change(self, change: Change) -> None:
        """Write a change of a service."""
        service = change.service
        name = self._report.name_of(service.provider)
        self._write(change.kind.value, service=record(service, name))

    def state(self, state: str, errors: Sequence[NspError]) -> None:
        """Write how far what was told can be relied upon."""
        self._write(state, errors=[self._report.record(error) for error in errors])

    def failed(self, errors: Sequence[NspError]) -> None:
        """Write that nothing will come any more."""
        self.state(WatchState.FAILED, errors)

    def _write(self, event: str, *, service: object = None, errors: Sequence[object] = ()) -> None:
        line: dict[str, Any] = {"time": moment(), "event": event}
        self._page.record({**line, "service": service, "errors": errors})


class _Rows:
    """Writes what happens for a person."""

    def __init__(self, report: Report, name: str, *, verbose: bool) -> None:
        """Write to the standard output; ``name`` is what is looked for."""
        self._report = report
        self._verbose = verbose
        self._page = standard_output()
        self._columns = Columns(max(map(len, _STYLES)), Cell(name).width, _WIDTH_OF_ADDRESS)
        self._told: object = None

    def change(self, change: Change) -> None:
        """Write a change of a service: a row for each address, and below what else is known."""
        kind, service = change.kind.value, change.service
        if change.kind is ChangeKind.REMOVED:
            service = service.replace(ttl=None)  # how long it would have held is of no use
        mark = Cell(kind, _STYLES[kind])
        name = self._report.name_of(service.provider)
        shown = [[mark, *row] for row in rows(service, name)]
        for row in shown:
            self._columns.fit(row)
        for row in shown:
            self._page.line(*self._columns.padded(row))
        if change.kind is not ChangeKind.REMOVED:
            for line in details(service):
                self._page.line(Cell(" " * _INDENT), *line)

    def failed(self, errors: Sequence[NspError]) -> None:
        """Leave it to the errors, which are told at the end."""

    def state(self, state: str, errors: Sequence[NspError]) -> None:
        """Write how far what was told can be relied upon, and why no further."""
        lines = [
            " ".join(self._report.shown(error).split())
            for error in errors
            if self._verbose or not is_minor(error)
        ]
        if (state, lines) != self._told:
            self._told = (state, lines)
            self._page.line(Cell(state, _STYLES[state]))
            for line in lines:
                write_indented(self._page, Cell(line, _STYLES[state]), _INDENT)
