"""``nspkit classes``: the service classes that have a name, and who knows what of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import click

from nspkit import NspError, ServiceClass, as_guid, svcid_parts
from nspkit.cli import _options
from nspkit.cli._ending import end
from nspkit.cli._output import Cell, Row, as_json, standard_output, write_fields, write_table
from nspkit.cli._report import Report
from nspkit.cli._wellknown import CLASSES, class_named, name_of
from nspkit.errors import InvalidArgumentError, NoDataError, TypeNotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from uuid import UUID

    from nspkit import CatalogEntry, Host
    from nspkit.cli._status import Status

_HOOK = "nsp_get_service_class_info"
_KNOWS_OF_NOTHING = (TypeNotFoundError, NoDataError)


class Wanted(NamedTuple):
    """A class that is asked about."""

    id: UUID
    name: str | None
    """How it is called wherever it is installed; None if only a provider can tell."""

    service_type: str | None = None
    """Its DNS-SD type, where it was given as one."""

    @property
    def shown(self) -> str:
        """How it is named in messages."""
        return self.name or str(self.id)


class Answer(NamedTuple):
    """What one provider knows of a class."""

    provider: str
    guid: UUID
    found: ServiceClass


def _wanted(
    _context: click.Context, _parameter: click.Parameter, value: str | None
) -> Wanted | None:
    """Return the class that a GUID, a type or a name means."""
    if value is None:
        return None
    known = class_named(value)
    if known is None:
        try:
            known = as_guid(value)
        except InvalidArgumentError:
            return _of_type(value)
    return Wanted(known, name_of(known))


def _of_type(value: str) -> Wanted:
    from difflib import get_close_matches

    try:
        found = ServiceClass.dns_sd(value)
    except InvalidArgumentError:
        near = get_close_matches(value.strip().upper(), CLASSES, 1)
        way = (
            f"did you mean {near[0]}?"
            if near
            else "give a GUID, a type such as _http._tcp, a port such as 80/tcp, or a name that "
            "nspkit classes lists"
        )
        raise click.BadParameter(f"{value!r} is no service class; {way}") from None
    return Wanted(found.id, found.name, found.name)


@click.command()
@click.argument("service_class", metavar="[CLASS]", required=False, callback=_wanted)
@_options.timeout("each provider may take for a class")
@_options.config
@click.option("--json", "as_lines", is_flag=True, help="Write one JSON object a line.")
@click.option("-v", "--verbose", is_flag=True, help="Say what those without an answer said.")
def classes(
    *,
    service_class: Wanted | None,
    timeout: float,
    file: str | None,
    as_lines: bool,
    verbose: bool,
) -> Status:
    """List the service classes of Winsock, or show one CLASS.

    CLASS is a GUID, a DNS-SD type such as _http._tcp, a port such as 80/tcp, or a name from the
    list. The providers that keep service classes are asked what they know of it; they cannot be
    asked which classes they keep.
    """
    host = _options.host_of(file)
    report = Report(host, verbose=verbose)
    wanted = (
        [service_class] if service_class else [Wanted(id, name) for name, id in CLASSES.items()]
    )
    try:
        answers, errors = _ask(host, wanted, timeout)
        if service_class is None:
            _list(wanted, answers, as_lines=as_lines)
            found = True
        else:
            [known] = answers
            found = bool(known) or service_class.name is not None
            if found:
                _show(service_class, known, as_lines=as_lines)
        what = f"the class {service_class.shown}" if service_class else "this"
        status = report.conclude(what, errors, found=found)
    finally:
        late = end(host)
    report.tell_late(late)
    return status


def _ask(
    host: Host, wanted: Sequence[Wanted], timeout: float
) -> tuple[list[list[Answer]], list[NspError]]:
    """Return for each class what providers know of it, and what went wrong.

    A provider that fails is not asked for the next class: it would take its time again.
    """
    answers: list[list[Answer]] = [[] for _ in wanted]
    errors: list[NspError] = []
    for entry in filter(_keeps_classes, host.providers()):
        guid = entry.guid
        assert guid is not None
        for one, known in zip(wanted, answers, strict=True):
            try:
                found = host.service_class(one.id, guid, timeout=timeout)
            except _KNOWS_OF_NOTHING as error:
                if len(wanted) == 1:
                    errors.append(error)
            except NspError as error:
                errors.append(error)
                break
            else:
                known.append(Answer(entry.name, guid, found))
    return answers, errors


def _keeps_classes(entry: CatalogEntry) -> bool:
    try:
        return callable(getattr(entry.load(), _HOOK, None))
    except NspError:
        return False  # nspkit providers tells what is wrong with it


def _list(wanted: Iterable[Wanted], answers: Iterable[Sequence[Answer]], *, as_lines: bool) -> None:
    page = standard_output()
    table = [Row(*(Cell(text, "dim") for text in ("NAME", "KNOWN TO", "GUID")))]
    for one, known in zip(wanted, answers, strict=True):
        if as_lines:
            page.record(_record(one, known))
        who = ", ".join(answer.provider for answer in known)
        known_to = Cell(who, "cyan") if who else Cell("-", "dim")
        table.append(Row(Cell(one.shown, "bold"), known_to, Cell(one.id, "dim")))
    if not as_lines:
        write_table(page, table)


def _show(one: Wanted, known: Sequence[Answer], *, as_lines: bool) -> None:
    page = standard_output()
    if as_lines:
        page.record(_record(one, known))
        return
    page.line(Cell(one.name or known[0].found.name, "bold"))
    fields: dict[str, Cell | list[Cell]] = {"GUID": Cell(one.id)}
    if one.service_type is not None:
        fields["DNS-SD type"] = Cell(one.service_type)
    if own := list(_attributes(_own(one))):
        fields["attributes"] = [Cell(text) for text in own]
    fields["known to"] = [
        Cell(" ".join([f"{name}:", found.name, *_attributes(found.attributes)]))
        for name, _, found in known
    ] or [Cell("no provider", "dim")]
    write_fields(page, fields)


def _own(one: Wanted) -> dict[str, Any]:
    """Return what the GUID itself says of the services of a class."""
    kind, number, record = svcid_parts(one.id) or ("", 0, 0)
    key = {"tcp": "TcpPort", "udp": "UdpPort", "netware": "SapId"}.get(kind)
    own: dict[str, Any] = {} if key is None else {key: number}
    return {**own, "DnsRecordType": record} if record else own


def _attributes(attributes: Mapping[str, Any]) -> Iterator[str]:
    for key, value in attributes.items():
        text = value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value
        yield key if value is None else f"{key}={text}"


def _record(one: Wanted, known: Sequence[Answer]) -> dict[str, Any]:
    return {
        "id": str(one.id),
        "name": one.name or (known[0].found.name if known else None),
        "service_type": one.service_type,
        "attributes": _own(one),
        "providers": [
            {
                "provider": name,
                "guid": str(guid),
                "name": found.name,
                "attributes": {key: as_json(value) for key, value in found.attributes.items()},
            }
            for name, guid, found in known
        ],
    }
