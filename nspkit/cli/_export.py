"""``nspkit registry export``: all that is registered at one provider, into a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from nspkit import LookupFlags, NspError, Query, ResultFlags, __version__
from nspkit.cli import _options
from nspkit.cli._archive import STANDARD
from nspkit.cli._ending import end
from nspkit.cli._output import Cell, complain, moment, standard_output
from nspkit.cli._progress import Progress
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

    from nspkit import Host, Service, ServiceClass, Session
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
    with Stop(interrupts=True) as stop:
        try:
            session = host.startup(provider)
            target = Output() if is_output else Part(file_name, go_on=go_on)
            exporting = _Export(session, query, target, stop, leases=leases)
            status = exporting.run(classes, report)
        except InvalidProviderError as error:
            raise click.UsageError(error.message) from None
        except NspError as error:
            status = report.fail("be exported", error)
            exporting = None
        except KeyboardInterrupt:
            status, exporting = Status.INTERRUPTED, None
        finally:
            late = end(host)
    report.tell_late(late)
    if exporting is not None:
        exporting.tell(file_name, as_lines=as_lines)
    return status
