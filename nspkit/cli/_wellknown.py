"""The service classes that have a name of their own: those of Winsock, of ports, of DNS-SD."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nspkit import (
    SVCID_HOSTNAME,
    SVCID_INET_HOSTADDRBYINETSTRING,
    SVCID_INET_HOSTADDRBYNAME,
    SVCID_INET_SERVICEBYNAME,
    svcid_dns,
    svcid_parts,
    svcid_tcp,
    svcid_udp,
)

if TYPE_CHECKING:
    from uuid import UUID

_RECORD_TYPES = {
    "A": 1,
    "NS": 2,
    "CNAME": 5,
    "SOA": 6,
    "PTR": 12,
    "MX": 15,
    "TXT": 16,
    "AAAA": 28,
    "SRV": 33,
}
"""The types of DNS records that svcguid.h has classes for."""

CLASSES: dict[str, UUID] = {
    "SVCID_HOSTNAME": SVCID_HOSTNAME,
    "SVCID_INET_HOSTADDRBYNAME": SVCID_INET_HOSTADDRBYNAME,
    "SVCID_INET_HOSTADDRBYINETSTRING": SVCID_INET_HOSTADDRBYINETSTRING,
    "SVCID_INET_SERVICEBYNAME": SVCID_INET_SERVICEBYNAME,
    **{f"SVCID_DNS_TYPE_{name}": svcid_dns(number) for name, number in _RECORD_TYPES.items()},
}
"""Those that Winsock has a name for."""

_PORTS = {"tcp": svcid_tcp, "udp": svcid_udp}


def class_named(text: str) -> UUID | None:
    """Return the class of a name of Winsock or of a port, such as 80/tcp; None if it is neither."""
    name = text.strip()
    port = re.fullmatch(r"(\d{1,5})/(tcp|udp)", name.lower(), re.ASCII)
    if port and int(port[1]) <= 0xFFFF:
        return _PORTS[port[2]](int(port[1]))
    return CLASSES.get(name.upper()) or CLASSES.get(f"SVCID_{name.upper()}")


def name_of(class_id: UUID) -> str | None:
    """Return the name of a class of Winsock or of a port, or None if it has none."""
    for name, known in CLASSES.items():
        if known == class_id:
            return name
    kind, number, record = svcid_parts(class_id) or ("", 0, 0)
    return f"{number}/{kind}" if kind in _PORTS and not record else None
