"""``nspkit check``: holds a provider against the rules of the conformance kit."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

from nspkit import Catalog, NspError, Query
from nspkit.cli import _options
from nspkit.cli._examining import settings_in
from nspkit.cli._output import Cell, complain, standard_output, write_indented
from nspkit.cli._status import Status
from nspkit.errors import InvalidArgumentError

if TYPE_CHECKING:
    from nspkit import CatalogEntry
    from nspkit.cli._output import Page
    from nspkit.testing import Report

_INDENT = 2
_STYLES = {"passed": "green", "failed": "red", "skipped": "dim"}

_FINDS = "lookup.finds"
_REASON = re.compile(r" raised (.+); mend nsp_lookup_service", re.DOTALL)
"""What that rule says of a lookup that failed."""


@click.command()
@click.argument("provider")
@click.option("-q", "--query", metavar="NAME", help="A name that is found; else it looks for all.")
@_options.timeout("each step of the provider may take", name="seconds")
@_options.config
@click.option("--json", "as_lines", is_flag=True, help="Write one JSON object.")
@click.option("-v", "--verbose", is_flag=True, help="Tell of the rules that are kept too.")
def check(
    *,
    provider: str,
    query: str | None,
    seconds: float,
    file: str | None,
    as_lines: bool,
    verbose: bool,
) -> Status:
    """Hold one PROVIDER against the rules of the contract.

    These are the rules of nspkit.testing, each looked at by itself. The provider is started many
    times, and faults are put in; what it can register is registered and taken back. One that
    crashes takes this program with it: ask nspkit doctor first.

    Exit status: 0 no rule is broken, 1 one is, or it cannot be loaded, 2 wrong usage.
    """
    catalog = Catalog.discover()
    with _options.host_of(file, catalog=catalog):
        pass  # the file is right, then
    try:
        asked = None if query is None else Query(query)
    except InvalidArgumentError as error:
        raise _options.wrong_use(error, {"Query.name": "--query"}) from None
    try:
        entry = catalog[provider]
    except NspError as error:
        raise click.UsageError(error.message, click.get_current_context()) from None
    page = standard_output()
    from nspkit.testing import Report, check_provider

    try:
        provider_class = entry.load()
    except NspError as error:
        complain(f"{error.message}; nspkit doctor {entry.name} tells all of it")
        if as_lines:
            nothing = Report("", ()).as_dict() | {"provider": None}
            page.record(_record(entry, nothing, error.message))
        return Status.UNWELL

    report = check_provider(
        provider_class,
        settings=settings_in(file, entry) if file is not None else None,
        query=asked,
        patience=seconds,
    )
    if as_lines:
        page.record(_record(entry, report.as_dict(), None))
    else:
        _write(page, report, verbose=verbose, is_asked=asked is not None)
    return Status.DONE if report else Status.UNWELL


def _record(entry: CatalogEntry, report: dict[str, Any], error: str | None) -> dict[str, Any]:
    guid = None if entry.guid is None else str(entry.guid)
    return {"name": entry.name, "guid": guid, **report, "error": error}


def _write(page: Page, report: Report, *, verbose: bool, is_asked: bool) -> None:
    """Write the rules that are broken with what to change; a summary is last, where it is seen."""
    following = [] if verbose else _following(report)
    for one in report.outcomes:
        if verbose or (one.result == "failed" and one.rule not in following):
            page.line(Cell(one.result, _STYLES[one.result]), Cell(f" {one.rule}: {one.sentence}"))
            for line in one.message.splitlines():
                write_indented(page, Cell(line, _STYLES[one.result]), _INDENT)
            if (one.rule, one.result) == (_FINDS, "failed"):
                if not is_asked:
                    hint = "nobody said what to look for; --query NAME gives a name that it finds"
                    write_indented(page, Cell(hint), _INDENT)
                if following:
                    text = f"for the same reason: {', '.join(following)}; --verbose tells of each"
                    write_indented(page, Cell(text), _INDENT)
    counts = (f"{len(report.of(result))} {result}" for result in _STYLES)
    page.line(Cell(f"{report.provider}: {', '.join(counts)}", "bold"))


def _following(report: Report) -> list[str]:
    """Return the rules that are broken because the query finds nothing: by the same error."""
    messages = {one.rule: one.message for one in report.failures}
    found = _REASON.search(messages.pop(_FINDS, ""))
    return [] if found is None else [rule for rule in messages if found[1] in messages[rule]]
