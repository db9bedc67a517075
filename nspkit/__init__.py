"""nspkit: pluggable namespace providers, after the Winsock 2 namespace provider interface.

An application makes a `Host` and looks names up. A provider's author writes a class with ``info``
and hooks marked `hookimpl`. Errors are in `nspkit.errors`, the hooks in `nspkit.hookspecs`.
"""

from nspkit._cancellation import Cancellation
from nspkit._catalog import Catalog, CatalogChange
from nspkit._constants import (
    SERVICE_MULTIPLE,
    SIO_NSP_NOTIFY_CHANGE,
    SVCID_HOSTNAME,
    SVCID_INET_HOSTADDRBYINETSTRING,
    SVCID_INET_HOSTADDRBYNAME,
    SVCID_INET_SERVICEBYNAME,
    ChangeKind,
    Comparison,
    LookupFlags,
    Namespace,
    ResultFlags,
    ServiceOperation,
    svcid_dns,
    svcid_netware,
    svcid_parts,
    svcid_tcp,
    svcid_udp,
)
from nspkit._entry import CatalogEntry, EntryState
from nspkit._events import Event, EventKind, Events
from nspkit._host import Host
from nspkit._lookup import Lookup
from nspkit._model import (
    Address,
    Change,
    ProviderInfo,
    Query,
    Service,
    ServiceClass,
    Version,
    as_guid,
)
from nspkit._registration import Registration, RegistrationState
from nspkit._resources import Resources
from nspkit._session import Session
from nspkit._standing import WatchState
from nspkit._watch import Watch
from nspkit.errors import ErrorCode, NspError
from nspkit.hookspecs import hookimpl

__version__ = "0.1.0"

__all__ = [
    "Address",
    "Cancellation",
    "Catalog",
    "CatalogChange",
    "CatalogEntry",
    "Change",
    "ChangeKind",
    "Comparison",
    "EntryState",
    "ErrorCode",
    "Event",
    "EventKind",
    "Events",
    "Host",
    "Lookup",
    "LookupFlags",
    "Namespace",
    "NspError",
    "ProviderInfo",
    "Query",
    "Registration",
    "RegistrationState",
    "Resources",
    "ResultFlags",
    "SERVICE_MULTIPLE",
    "SIO_NSP_NOTIFY_CHANGE",
    "SVCID_HOSTNAME",
    "SVCID_INET_HOSTADDRBYINETSTRING",
    "SVCID_INET_HOSTADDRBYNAME",
    "SVCID_INET_SERVICEBYNAME",
    "Service",
    "ServiceClass",
    "ServiceOperation",
    "Session",
    "Version",
    "Watch",
    "WatchState",
    "__version__",
    "as_guid",
    "hookimpl",
    "svcid_dns",
    "svcid_netware",
    "svcid_parts",
    "svcid_tcp",
    "svcid_udp",
]
