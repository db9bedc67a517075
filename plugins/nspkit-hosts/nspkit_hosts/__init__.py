"""Names and addresses from a hosts file, as an nspkit provider."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from nspkit import (
    SVCID_HOSTNAME,
    SVCID_INET_HOSTADDRBYINETSTRING,
    SVCID_INET_HOSTADDRBYNAME,
    Address,
    LookupFlags,
    Namespace,
    ProviderInfo,
    ResultFlags,
    Service,
    hookimpl,
)
from nspkit.errors import InvalidArgumentError, NoDataError, ServiceNotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from nspkit import Cancellation, Query
    from nspkit_hosts._file import Entry, HostsFile, Index

__all__ = ["HostsProvider"]

_ANY_FAMILY = 0  # AF_UNSPEC
_CLASSES = (
    None,
    SVCID_HOSTNAME,
    SVCID_INET_HOSTADDRBYNAME,
    SVCID_INET_HOSTADDRBYINETSTRING,
)


class HostsProvider:
    """Answers names and addresses from one file, which is read again when it has changed."""

    info = ProviderInfo(
        "7ba04807-26f8-4fac-8ddf-4498ea3974af", "hosts", Namespace.TCPIP_HOSTS, "0.1.0"
    )

    _file: HostsFile

    @hookimpl
    def nsp_startup(self, settings: Mapping[str, Any]) -> None:
        """Read the file for the first time, so that a missing one is known at once."""
        path = _path_in(settings)
        from nspkit_hosts._file import HostsFile

        self._file = HostsFile(path)
        self._file.index()

    @hookimpl
    def nsp_cleanup(self) -> None:
        """Give nothing back: the file is not kept open, the index goes with the instance."""

    @hookimpl
    def nsp_lookup_service(self, query: Query, cancellation: Cancellation) -> Iterable[Service]:
        """Find a name, an address or, without a name, everything."""
        _refuse_other_questions(query)
        index = self._file.index()
        if query.name is None:
            return _everything(index, query, cancellation)
        entries = _entries(index, query.name, query)
        if not entries:
            raise ServiceNotFoundError(f"{self._file.path} has no entry for {query.name!r:.100}")
        services = list(_services(entries, query))
        if not services:
            raise NoDataError(
                f"{self._file.path} has {query.name!r:.100}, but with no address of the families "
                "asked for on an interface of this machine"
            )
        return services


def _path_in(settings: Mapping[str, Any]) -> str:
    unknown = sorted(map(repr, settings.keys() - {"path"}))
    if unknown:
        raise InvalidArgumentError(
            f"hosts has no setting {', '.join(unknown)}; the one it has is 'path'"
        )
    path = settings.get("path", _default_path())
    path = os.fspath(path) if isinstance(path, os.PathLike) else path
    if not isinstance(path, str) or not path or "\0" in path:
        raise InvalidArgumentError(
            f"the setting 'path' of hosts is {path!r:.60}: give the path of a file, "
            "as a str or an os.PathLike of one"
        )
    return path


def _default_path() -> str:
    if os.name == "nt":
        return os.environ.get("SYSTEMROOT", r"C:\Windows") + r"\System32\drivers\etc\hosts"
    return "/etc/hosts"


def _refuse_other_questions(query: Query) -> None:
    if LookupFlags.CONTAINERS in query.flags:
        raise NoDataError("a hosts file has no containers; look up without CONTAINERS")
    if query.service_class not in _CLASSES:
        raise ServiceNotFoundError(
            f"a hosts file knows hosts only, nothing of the class {query.service_class}"
        )
    if query.name is None and query.service_class not in (None, SVCID_HOSTNAME):
        raise InvalidArgumentError(
            f"the class {query.service_class} is about one host: give a name, or no class for all"
        )


def _entries(index: Index, name: str, query: Query) -> list[Entry]:
    """Return the lines that a name means, which may be a numeric address."""
    numeric_only = query.service_class == SVCID_INET_HOSTADDRBYINETSTRING
    # Nothing else can be numeric, and an error that is raised only to be caught takes time.
    may_be_numeric = ":" in name or name[-1].isdigit()
    if numeric_only or (may_be_numeric and query.service_class != SVCID_INET_HOSTADDRBYNAME):
        try:
            return index.at(Address.inet(name))
        except InvalidArgumentError as error:
            if numeric_only:
                raise InvalidArgumentError(
                    f"{name!r:.80} is no numeric address, which "
                    "SVCID_INET_HOSTADDRBYINETSTRING asks for; look a name up without it"
                ) from error
    return index.named(name)


def _everything(index: Index, query: Query, cancellation: Cancellation) -> Iterator[Service]:
    for entries in index.hosts():
        if cancellation.cancelled:
            return
        yield from _services(entries, query)


def _services(entries: list[Entry], query: Query) -> Iterator[Service]:
    """Yield a service for each canonical name, followed by its aliases if they are asked for."""
    families = {family for family, _protocol in query.protocols}
    hosts: dict[bytes, list[Entry]] = {}
    for entry in entries:
        if not families or entry.family in families or _ANY_FAMILY in families:
            hosts.setdefault(entry.canonical, []).append(entry)
    for lines in hosts.values():
        found: dict[bytes, tuple[str, dict[Address, None]]] = {}
        for entry in lines:
            address = entry.address()
            if address is not None:
                for key, name in entry.names.items():
                    found.setdefault(key, (name, {}))[1][address] = None
        flags = ResultFlags(0)
        for name, addresses in found.values():
            yield Service(
                name,
                service_class=query.service_class or SVCID_HOSTNAME,
                addresses=addresses,
                flags=flags,
            )
            if LookupFlags.RETURN_ALIASES not in query.flags:
                break
            flags = ResultFlags.IS_ALIAS
