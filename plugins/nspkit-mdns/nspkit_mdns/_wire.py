"""What is taken from zeroconf, and the numbers of the records: the one place that imports it.

Some names are public there without being exported for type checkers.
"""

from __future__ import annotations

from zeroconf import (  # type: ignore[attr-defined]
    BadTypeInNameException,
    DNSAddress,
    DNSOutgoing,
    DNSQuestion,
    DNSRecord,
    DNSService,
    Error,
    InterfaceChoice,
    RecordUpdate,
    RecordUpdateListener,
    ServiceInfo,
    ServiceStateChange,
    Zeroconf,
    current_time_millis,
)
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

A, PTR, TXT, AAAA, SRV, NSEC, ANY = 1, 12, 16, 28, 33, 47, 255
IN, UNIQUE = 1, 0x8000
QUERY, RESPONSE = 0x0000, 0x8400  # an authoritative one

__all__ = [
    "A",
    "AAAA",
    "ANY",
    "AsyncServiceBrowser",
    "AsyncServiceInfo",
    "AsyncZeroconf",
    "BadTypeInNameException",
    "DNSAddress",
    "DNSOutgoing",
    "DNSQuestion",
    "DNSRecord",
    "DNSService",
    "Error",
    "IN",
    "InterfaceChoice",
    "NSEC",
    "PTR",
    "QUERY",
    "RESPONSE",
    "RecordUpdate",
    "RecordUpdateListener",
    "SRV",
    "ServiceInfo",
    "ServiceStateChange",
    "TXT",
    "UNIQUE",
    "Zeroconf",
    "current_time_millis",
]
