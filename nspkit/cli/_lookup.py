"""``nspkit lookup``: ask the providers for a name, and show what they answer as it arrives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from nspkit import NspError
from nspkit.cli import _options
from nspkit.cli._asking import asked, nobody, query_of
from nspkit.cli._ending import end
from nspkit.cli._output import Cell, Columns, standard_output
from nspkit.cli._report import Report
from nspkit.cli._result import details, record, rows
from nspkit.cli._waiting import Waiting
from nspkit.errors import InvalidArgumentError, LookupFailedError, ServiceNotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    from nspkit import Host, Namespace, Query, Service
    from nspkit.cli._status import Status

_INDENT = Cell("    ")
_WIDTH_OF_ADDRESS = len("255.255.255.255")


@click.command()
@asked
@_options.timeout("each provider may take")
@click.option(
    "-o",
    "--order",
    type=click.Choice(["arrival", "catalog"]),
    default="arrival",
    help="Results as they arrive, the default, or provider by provider.",
)
@_options.config
@click.option("--json", "as_lines", is_flag=True, help="Write one JSON object a line.")
@click.option("-v", "--verbose", is_flag=True, help="Say what those without an answer said.")
def lookup(
    *,
    name: str | None,
    provider: str | None,
    namespace: Namespace | None,
    service_class: UUID | str | None,
    context: str,
    timeout: float,
    order: str,
    file: str | None,
    as_lines: bool,
    verbose: bool,
) -> Status:
    """Look NAME up at the installed providers.

    NAME is a host, a service, an address, whatever a provider knows. It may be left out with
    --provider, --namespace or --class, to list all that there is. Providers are asked side by
    side; one that fails does not keep the others from answering.

    Exit status: 0 found, 1 not found, 2 wrong usage, 3 no answer because of an error, 130
    interrupted.
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
    try:
        found, errors = _ask(host, query, report, timeout=timeout, order=order, as_lines=as_lines)
        status = report.conclude(f"'{name}'" if name else "this", errors, found=found)
    finally:
        late = end(host)
    report.tell_late(late)
    return status


def _ask(
    host: Host, query: Query, report: Report, *, timeout: float, order: str, as_lines: bool
) -> tuple[bool, Sequence[NspError]]:
    """Show what is found; return whether anything was, and what the others said."""
    try:
        results = host.lookup(query, timeout=timeout, order=order)
    except InvalidArgumentError as error:  # the provider is not there
        raise click.UsageError(error.message) from None
    except ServiceNotFoundError as error:
        raise nobody(error, query) from None
    found = False
    with results, Waiting() as waiting:
        # After the providers were asked: what it imports comes in while they work.
        show = _recording(report) if as_lines else _writing(report, query.name or "")
        try:
            for service in results:
                found = True
                waiting.came()
                show(service)
        except NspError as error:
            if query.provider is not None:
                # Its own error; what the closing of its iterator raised may be beside it.
                return found, [error, *(one for one in results.errors if str(one) != str(error))]
            if not isinstance(error, LookupFailedError):
                raise nobody(error, query) from None
        return found, results.errors


def _recording(report: Report) -> Callable[[Service], None]:
    page = standard_output()

    def show(service: Service) -> None:
        page.record(record(service, report.name_of(service.provider)))

    return show


def _writing(report: Report, name: str) -> Callable[[Service], None]:
    page = standard_output()
    columns = Columns(Cell(name).width, _WIDTH_OF_ADDRESS)

    def show(service: Service) -> None:
        shown = list(rows(service, report.name_of(service.provider)))
        for row in shown:
            columns.fit(row)
        for row in shown:
            page.line(*columns.padded(row))
        for line in details(service):
            page.line(_INDENT, *line)

    return show
