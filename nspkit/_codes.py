"""The Windows Sockets error numbers, each with its meaning and its nearest POSIX number.

The rows are those of the Winsock error table that a name-service interface can meet. The
last two groups are no part of it: two Win32 codes that providers let through, and the codes
of the Peer Name Resolution Protocol.
"""

from __future__ import annotations

import errno
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Self


class ErrorCode(IntEnum):
    """A Winsock error number that knows what it means.

    A member is an ``int``, so it compares and hashes like the plain number.

    Attributes:
        meaning: One line that says what the code tells a caller.
        posix: The ``errno`` number that POSIX code understands. ``errno.EIO`` where the
            platform lacks the matching name.

    Source: "Windows Sockets Error Codes" of the Win32 documentation; the PNRP codes are from
    ``p2p.h``.
    """

    __module__ = "nspkit.errors"

    meaning: str
    posix: int

    # The defaults are for type checkers: a call such as ErrorCode(10022) looks a member up.
    def __new__(cls, number: int, posix: str = "", meaning: str = "") -> Self:
        member = int.__new__(cls, number)
        member._value_ = number
        member.meaning = meaning
        member.posix = getattr(errno, posix, errno.EIO)
        return member

    WSA_INVALID_HANDLE = 6, "EBADF", "the handle is unknown or was closed"
    WSA_NOT_ENOUGH_MEMORY = 8, "ENOMEM", "memory ran out"
    WSA_INVALID_PARAMETER = 87, "EINVAL", "a parameter is not acceptable"
    WSA_OPERATION_ABORTED = 995, "ECANCELED", "an overlapped operation was aborted"
    WSA_IO_INCOMPLETE = 996, "EINPROGRESS", "an overlapped operation has not completed yet"
    WSA_IO_PENDING = 997, "EINPROGRESS", "an overlapped operation will complete later"

    WSAEINTR = 10004, "EINTR", "a blocking call was interrupted"
    WSAEBADF = 10009, "EBADF", "the descriptor is not valid"
    WSAEACCES = 10013, "EACCES", "access is denied"
    WSAEFAULT = 10014, "EFAULT", "a required value is missing or a buffer is too small"
    WSAEINVAL = 10022, "EINVAL", "an argument or a provider is not valid"
    WSAEMFILE = 10024, "EMFILE", "too many sockets or descriptors are open"
    WSAEWOULDBLOCK = 10035, "EWOULDBLOCK", "the call would have to wait"
    WSAEINPROGRESS = 10036, "EINPROGRESS", "another call of the same kind is still running"
    WSAEALREADY = 10037, "EALREADY", "it exists already, or is under way already"
    WSAENOTSOCK = 10038, "ENOTSOCK", "the descriptor is not a socket"
    WSAEDESTADDRREQ = 10039, "EDESTADDRREQ", "a destination address is required"
    WSAEMSGSIZE = 10040, "EMSGSIZE", "the message is too long"
    WSAEPROTOTYPE = 10041, "EPROTOTYPE", "the protocol does not fit the socket type"
    WSAENOPROTOOPT = 10042, "ENOPROTOOPT", "the protocol option is unknown"
    WSAEPROTONOSUPPORT = 10043, "EPROTONOSUPPORT", "the protocol is not supported"
    WSAESOCKTNOSUPPORT = 10044, "ESOCKTNOSUPPORT", "the socket type is not supported"
    WSAEOPNOTSUPP = 10045, "EOPNOTSUPP", "the operation is not supported"
    WSAEPFNOSUPPORT = 10046, "EPFNOSUPPORT", "the protocol family is not supported"
    WSAEAFNOSUPPORT = 10047, "EAFNOSUPPORT", "the address family is not supported"
    WSAEADDRINUSE = 10048, "EADDRINUSE", "the address is in use"
    WSAEADDRNOTAVAIL = 10049, "EADDRNOTAVAIL", "the address is not available here"
    WSAENETDOWN = 10050, "ENETDOWN", "the network is down"
    WSAENETUNREACH = 10051, "ENETUNREACH", "the network cannot be reached"
    WSAENETRESET = 10052, "ENETRESET", "the network dropped the connection"
    WSAECONNABORTED = 10053, "ECONNABORTED", "this side aborted the connection"
    WSAECONNRESET = 10054, "ECONNRESET", "the other side reset the connection"
    WSAENOBUFS = 10055, "ENOBUFS", "no buffer space is left"
    WSAEISCONN = 10056, "EISCONN", "the socket is connected already"
    WSAENOTCONN = 10057, "ENOTCONN", "the socket is not connected"
    WSAESHUTDOWN = 10058, "ESHUTDOWN", "the socket was shut down"
    WSAETOOMANYREFS = 10059, "ETOOMANYREFS", "something still refers to it"
    WSAETIMEDOUT = 10060, "ETIMEDOUT", "the time ran out"
    WSAECONNREFUSED = 10061, "ECONNREFUSED", "the other side refused the connection"
    WSAELOOP = 10062, "ELOOP", "the name cannot be translated"
    WSAENAMETOOLONG = 10063, "ENAMETOOLONG", "the name is too long"
    WSAEHOSTDOWN = 10064, "EHOSTDOWN", "the host is down"
    WSAEHOSTUNREACH = 10065, "EHOSTUNREACH", "the host cannot be reached"
    WSAENOTEMPTY = 10066, "ENOTEMPTY", "the directory is not empty"
    WSAEPROCLIM = 10067, "EAGAIN", "too many processes use the library"
    WSAEUSERS = 10068, "EUSERS", "the user quota is used up"
    WSAEDQUOT = 10069, "EDQUOT", "the disk quota is used up"
    WSAESTALE = 10070, "ESTALE", "the reference to a remote file is stale"
    WSAEREMOTE = 10071, "EREMOTE", "the item is not available on this machine"
    WSASYSNOTREADY = 10091, "EAGAIN", "the provider's back end is not ready"
    WSAVERNOTSUPPORTED = 10092, "EOPNOTSUPP", "the interface version is not supported"
    WSANOTINITIALISED = 10093, "ENOTCONN", "not started, or closed already"
    WSAEDISCON = 10101, "ESHUTDOWN", "the other side began an orderly shutdown"
    WSAENOMORE = 10102, "ENOENT", "no more results (the old code)"
    WSAECANCELLED = 10103, "ECANCELED", "the call was cancelled (the old code)"
    WSAEINVALIDPROCTABLE = 10104, "EINVAL", "the provider's procedure table is not valid"
    WSAEINVALIDPROVIDER = 10105, "EINVAL", "the provider is not valid"
    WSAEPROVIDERFAILEDINIT = 10106, "EIO", "the provider could not be loaded or initialised"
    WSASYSCALLFAILURE = 10107, "EIO", "the provider failed"
    WSASERVICE_NOT_FOUND = 10108, "ENOENT", "no such service is known"
    WSATYPE_NOT_FOUND = 10109, "ENOENT", "no such service class is known"
    WSA_E_NO_MORE = 10110, "ENOENT", "no more results"
    WSA_E_CANCELLED = 10111, "ECANCELED", "the lookup was cancelled"
    WSAEREFUSED = 10112, "ECONNREFUSED", "the query was refused"

    WSAHOST_NOT_FOUND = 11001, "ENOENT", "no such host is known"
    WSATRY_AGAIN = 11002, "EAGAIN", "a temporary failure: try again"
    WSANO_RECOVERY = 11003, "EIO", "a failure that trying again does not mend"
    WSANO_DATA = 11004, "ENOENT", "the name is known, but has no data of the kind asked for"
    WSANO_ADDRESS = WSANO_DATA

    ERROR_NOT_SUPPORTED = 50, "EOPNOTSUPP", "the request is not supported (a Win32 code)"
    ERROR_CALL_NOT_IMPLEMENTED = 120, "ENOSYS", "the call is not implemented (a Win32 code)"

    WSA_PNRP_CLOUD_NOT_FOUND = 11501, "ENOENT", "no such peer cloud is known"
    WSA_PNRP_CLOUD_DISABLED = 11502, "ENETDOWN", "the peer cloud is disabled"
    WSA_PNRP_INVALID_IDENTITY = 11503, "EINVAL", "the peer identity is not valid"
    WSA_PNRP_TOO_MUCH_LOAD = 11504, "EAGAIN", "the peer cloud is overloaded"
    WSA_PNRP_CLOUD_IS_SEARCH_ONLY = 11505, "EACCES", "the peer cloud allows searches only"
    WSA_PNRP_CLIENT_INVALID_COMPARTMENT_ID = 11506, "EINVAL", "the compartment is not valid"
    WSA_PNRP_DUPLICATE_PEER_NAME = 11508, "EEXIST", "the peer name is registered already"
    WSA_PNRP_CLOUD_IS_DEAD = 11509, "ENETUNREACH", "the peer cloud cannot be reached"
