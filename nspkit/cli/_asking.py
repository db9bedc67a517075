"""What is asked for: the options of a query, the same wherever one is put together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from nspkit import Namespace, NspError, Query
from nspkit.cli import _options
from nspkit.errors import InvalidArgumentError, ServiceNotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

_NAMES = {
    "Query.name": "NAME",
    "Query.provider": "--provider",
    "Query.service_class": "--class",
}
"""What the fields of a query are called here."""

_PARTS = (
    click.argument("name", required=False),
    click.option("-p", "--provider", metavar="PROVIDER", help="Ask this one only: name or GUID."),
    click.option(
        "-n",
        "--namespace",
        metavar="NAMESPACE",
        callback=_options.namespace,
        help="Ask those of this namespace only: name or number.",
    ),
    click.option(
        "-c",
        "--class",
        "service_class",
        metavar="CLASS",
        callback=_options.service_class,
        help="Only this class: a type as _http._tcp, a port as 80/tcp, or a GUID.",
    ),
    click.option("--context", metavar="PATH", default="", help="Where in a hierarchy to look."),
)


def asked(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the argument NAME and the options that narrow a query; see `query_of`."""
    return _options.together(_PARTS, command)


def query_of(
    name: str | None,
    *,
    provider: str | None,
    namespace: Namespace | None,
    service_class: UUID | str | None,
    context: str,
) -> Query:
    """Return the query that the options say.

    Raises:
        click.UsageError: It asks for nothing, or a value of it is none.
    """
    if name is None and provider is None and namespace is None and service_class is None:
        raise click.UsageError("missing argument 'NAME'", click.get_current_context())
    try:
        return Query(
            name,
            provider=provider,
            namespace=Namespace.ALL if namespace is None else namespace,
            service_class=service_class,
            context=context,
        )
    except InvalidArgumentError as error:
        raise _options.wrong_use(error, _NAMES) from None


def nobody(error: NspError, query: Query) -> NspError:
    """Return the error for a query that there was nobody for; it names the namespace, if any."""
    if query.namespace is Namespace.ALL or not isinstance(error, ServiceNotFoundError):
        return error
    return ServiceNotFoundError(
        f"no provider that is installed can look anything up in the namespace "
        f"{query.namespace.name}; nspkit providers lists them all"
    )
