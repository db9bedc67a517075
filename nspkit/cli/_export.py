"""``nspkit registry export``: all that is registered at one provider, into a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from nspkit import LookupFlags, NspError, Query, ResultFlags, __version__
from nspkit.cli import _options
from nspkit.cli._archive import STANDARD
from nspkit.cli._ending import end
from nspkit.cli._output import Cell, complain, moment, standard_output
from nspkit.cli._progress import Progress, counted
from nspkit.cli._records import FORMAT, class_record, service_record
from nspkit.cli._report import Report
from nspkit.cli._signals import Stop
from nspkit.cli._status import Status
from nspkit.cli._target import Output, Part
from nspkit.errors import (
    InvalidArgumentError,
    InvalidProviderError,
    NoDataError,
    OperationNotSupportedError,
    ServiceNotFoundError,
    TypeNotFoundError,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from uuid import UUID

    from nspkit import Service, ServiceClass, Session
    from nspkit.cli._target import Target

_NAMES = {"Query.service_class": "--class", "Query.context": "--context"}
_FLAGS = LookupFlags.RETURN_ALL | LookupFlags.DEEP


def _classes(
    _context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]
) -> list[UUID]:
    """Return the ids of classes."""
    found = []
    for value in values:
        try:
            asked = Query(service_class=_options.service_class(_context, _parameter, value))
        except InvalidArgumentError as error:
            raise click.BadParameter(error.message.partition(" ")[2]) from None
        assert asked.service_class is not None
        found.append(asked.service_class)
    return found


@click.command("export")
@click.argument("file_name", metavar="FILE", callback=_options.file_name)
@click.option(
    "-p", "--provider", metavar="PROVIDER", required=True, help="The registry: name or GUID."
)
@click.option(
    "-c",
    "--class",
    "service_class",
    metavar="CLASS",
    callback=_options.service_class,
    help="Only services of this class: a type as _http._tcp, a port as 80/tcp, or a GUID.",
)
@click.option("--context", metavar="PATH", default="", help="Only what is in or below this.")
@click.option(
    "--with-class",
    "classes",
    metavar="CLASS",
    multiple=True,
    callback=_classes,
    help="This service class too, although no service is of it; once for each.",
)
@click.option("--leases", is_flag=True, help="Services too that lapse if nobody renews them.")
@click.option("--continue", "go_on", is_flag=True, help="Go on where an export was interrupted.")
@_options.config
@click.option("--json", "as_lines", is_flag=True, help="Write the summary as a JSON object.")
def export(
    *,
    file_name: str,
    provider: str,
    service_class: UUID | str | None,
    context: str,
    classes: list[UUID],
    leases: bool,
    go_on: bool,
    file: str | None,
    as_lines: bool,
) -> Status:
    """Write all that is registered at one provider into FILE.

    FILE is replaced when the export is whole; until then it is FILE.part, which an interrupted
    export leaves. A FILE of - is the standard output. The service classes of the services that
    are found are exported with them.

    Exit status: 0 done, 2 wrong usage, 3 it could not be done, 130 interrupted.
    """
    try:
        query = Query(service_class=service_class, context=context, flags=_FLAGS)
    except InvalidArgumentError as error:
        raise _options.wrong_use(error, _NAMES) from None
    is_output = file_name == STANDARD
    if is_output and (go_on or as_lines):
        raise click.UsageError(
            "--continue and --json need the name of a file; - is the standard output",
            click.get_current_context(),
        )
    host = _options.host_of(file)
    report = Report(host, verbose=False)
    exporting: _Export | None = None
    status = Status.INTERRUPTED
    with Stop(interrupts=True) as stop:
        try:
            # Started first: where there is no such provider, nothing is written.
            session = host.startup(provider)
            target = Output() if is_output else Part(file_name, go_on=go_on)
            exporting = _Export(session, target, stop, leases=leases)
            status = exporting.run(query, classes)
        except InvalidProviderError as error:
            raise click.UsageError(error.message) from None
        except NspError as error:
            status = report.fail(f"export {provider}", error)
        except KeyboardInterrupt:
            pass
        finally:
            if exporting is not None:
                exporting.target.close()
            late = end(host)
    report.tell_late(late)
    if exporting is not None:
        exporting.tell(file_name, as_lines=as_lines)
    return status


class _Export:
    """One export, from the first line to the summary."""

    def __init__(self, session: Session, target: Target, stop: Stop, *, leases: bool) -> None:
        """Write what a provider has."""
        self.target = target
        self._session = session
        self._stop = stop
        self._leases = leases
        self._seen: set[UUID] = set()
        self._left_out = 0
        self._counts: Mapping[str, int] | None = None

    def run(self, query: Query, classes: Iterable[UUID]) -> Status:
        """Write all of it.

        Raises:
            NspError: The provider fails.
            KeyboardInterrupt: An end was asked for.
            click.ClickException: It cannot be written.
        """
        self.target.begin(self._header(query))
        for class_id in classes:
            self._write_class(class_id, self._session.service_class(class_id))
        with Progress("exporting") as progress:
            try:
                with self._session.lookup(query) as found:
                    for service in found:
                        self._stop.heed()
                        self._take(service)
                        progress.count += 1
            except (ServiceNotFoundError, NoDataError):
                pass  # another way to say that there is nothing
        self._counts = self.target.finish()
        return Status.DONE

    def tell(self, file_name: str, *, as_lines: bool) -> None:
        """Say what is there now."""
        target, counts = self.target, self._counts
        if as_lines:
            standard_output().record(self._record(file_name))
        if counts is None:
            complain(self._half(), style="")
        elif not as_lines:
            told = (
                f"{counted(counts['services'], 'service')} and "
                f"{counted(counts['classes'], 'service class')}"
            )
            if target.kept or target.outdated:
                told += f"; {counted(target.kept, 'line')} of an earlier run kept"
                told += f", {target.outdated:,} out of date and taken out"
            if self._left_out:
                told += f"; left out: {counted(self._left_out, 'lease')}, which --leases takes too"
            if isinstance(target, Part):
                standard_output().line(Cell(f"{file_name}: {told}"))
            else:
                complain(told, style="")

    def _half(self) -> str:
        if isinstance(self.target, Part):
            return (
                f"{self.target.path} has {counted(self.target.services, 'service')} so far; the "
                "same command with --continue goes on"
            )
        return "what was written is not whole, and nspkit registry import refuses it"

    def _record(self, file_name: str) -> dict[str, Any]:
        counts = self._counts or {}
        info = self._session.info
        return {
            "file": file_name,
            "provider": info.name,
            "guid": str(info.guid),
            "services": counts.get("services"),
            "classes": counts.get("classes"),
            "leases_left_out": self._left_out,
            "kept": self.target.kept,
            "outdated": self.target.outdated,
        }

    def _header(self, query: Query) -> dict[str, Any]:
        info = self._session.info
        asked = query.service_class
        return {
            "format": FORMAT,
            "nspkit": __version__,
            "time": moment(),
            "provider": info.name,
            "guid": str(info.guid),
            "namespace": info.namespace.name,
            "class": query.service_type or (None if asked is None else str(asked)),
            "context": query.context,
            "leases": self._leases,
        }

    def _take(self, service: Service) -> None:
        if ResultFlags.IS_ALIAS in service.flags:
            return  # another name of what is there too
        if service.ttl is not None and not self._leases:
            self._left_out += 1
            return
        class_id = service.service_class
        if class_id is not None and class_id not in self._seen:
            self._write_class(class_id, self._class(class_id))
        self.target.write("service", service_record(service))

    def _class(self, class_id: UUID) -> ServiceClass | None:
        try:
            return self._session.service_class(class_id)
        except (TypeNotFoundError, NoDataError, OperationNotSupportedError):
            return None  # a service may be of a class that nobody has installed

    def _write_class(self, class_id: UUID, known: ServiceClass | None) -> None:
        if known is not None and class_id not in self._seen:
            self.target.write("class", class_record(known))
        self._seen.add(class_id)
