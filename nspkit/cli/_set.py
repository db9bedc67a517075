"""``nspkit set``: register, deregister or delete a service, once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from nspkit import Namespace, NspError, ServiceOperation
from nspkit.cli import _options
from nspkit.cli._ending import end
from nspkit.cli._offering import offered, placed, service_of
from nspkit.cli._output import Cell, Columns, standard_output
from nspkit.cli._report import Report
from nspkit.cli._status import Status
from nspkit.errors import InvalidProviderError, ServiceNotFoundError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nspkit import Service

_DONE = {
    ServiceOperation.REGISTER: Cell("registered", "green"),
    ServiceOperation.DEREGISTER: Cell("deregistered", "yellow"),
    ServiceOperation.DELETE: Cell("deleted", "red"),
}


def _ttl(context: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    return None if value is None else _options.seconds(context, parameter, value)


@click.command("set")
@offered
@click.option(
    "-o",
    "--operation",
    type=click.Choice([one.name.lower() for one in ServiceOperation]),
    default="register",
    help="What to do with it: register, the default, deregister, or delete.",
)
@click.option(
    "--ttl",
    metavar="SECONDS",
    callback=_ttl,
    help="How long it is kept; for ever if this is left out.",
)
@placed
@_options.timeout("each provider may take")
@_options.config
@click.option("--json", "as_lines", is_flag=True, help="Write one JSON object.")
@click.option("-v", "--verbose", is_flag=True, help="Tell of those too that cannot do it.")
def set_service(
    *,
    name: str,
    operation: str,
    ttl: float | None,
    provider: str | None,
    namespace: Namespace | None,
    multiple: bool,
    timeout: float,
    file: str | None,
    as_lines: bool,
    verbose: bool,
    **described: Any,
) -> Status:
    """Register, deregister or delete a service, and end.

    What it registers stays until its time to live is over, if it has one, or until it is deleted,
    which needs the same NAME, class and context. A deregistered one is not found any more, and a
    provider may keep its name; a deleted one is gone. At least one provider has to do it.

    Exit status: 0 done, 1 there is no such service, 2 wrong usage, 3 it could not be done, 130
    interrupted.
    """
    service = service_of(name, ttl=ttl, **described)
    wanted = ServiceOperation[operation.upper()]
    host = _options.host_of(file)
    report = Report(host, verbose=verbose)
    try:
        failed = host.set_service(
            service,
            wanted,
            multiple=multiple,
            provider=provider,
            namespace=Namespace.ALL if namespace is None else namespace,
            timeout=timeout,
        )
        _show(service, wanted, report, failed, as_lines=as_lines)
        for error in failed:
            report.tell(error)
        if provider is None:
            report.tell_passed_over(host, namespace, failed)
        status = Status.DONE
    except InvalidProviderError as error:
        raise click.UsageError(error.message) from None
    except NspError as error:
        status = report.fail(f"{operation} '{name}'", error)
        # One that knows of no such service says so with its GUID; that there is nobody has none.
        if isinstance(error, ServiceNotFoundError) and error.guid is not None:
            status = Status.NOT_FOUND
    finally:
        late = end(host)
    report.tell_late(late)
    return status


def _show(
    service: Service,
    operation: ServiceOperation,
    report: Report,
    failed: Sequence[NspError],
    *,
    as_lines: bool,
) -> None:
    page = standard_output()
    done = report.succeeded(failed)
    if as_lines:
        page.record(
            {
                "name": service.name,
                "operation": operation.name.lower(),
                "providers": done,
                "errors": [report.record(error) for error in failed],
            }
        )
        return
    lines = [[_DONE[operation], Cell(service.name), Cell(one, "cyan")] for one in done]
    columns = Columns()
    for line in lines:
        columns.fit(line)
    for line in lines:
        page.line(*columns.padded(line))
