"""The Winsock functions by their own names, with their own conventions, over one host.

For those who port C, or like it. All act on a host that the process shares: the first `WSAStartup`
makes it, the last `WSACleanup` closes it, and it works on the catalog as it was at that startup,
which starts as what is installed and is changed by the WSC… functions. Everything may be called
from any thread.

What differs from C, and nothing else does:

- 0 is success, -1 a failure, and `WSAGetLastError` tells why, on the same thread. No exception
  leaves a function, but `KeyboardInterrupt` and the like do. `WSAStartup` and
  `WSCWriteNameSpaceOrder` return the code itself, as in C.
- What fills an out parameter in C returns that value instead of 0; there are no buffers and no
  sizes. WSAEFAULT (10014) is for None where a value must be; Winsock has WSAEINVAL (10022) for
  that in most class calls, and so they do here.
- Structures are the values of `nspkit`: `Query`, `Service`, `ServiceClass`.
- In a forked child nothing is started (10093).

The page "From Winsock to nspkit" of the documentation has the whole list, behaviour by behaviour.
"""

from nspkit.winsock._answer import WSAGetLastError, WSASetLastError
from nspkit.winsock._catalog import (
    WSCEnableNSProvider,
    WSCEnableNSProvider32,
    WSCEnumNameSpaceProviders32,
    WSCEnumNameSpaceProvidersEx32,
    WSCInstallNameSpace,
    WSCInstallNameSpace32,
    WSCInstallNameSpaceEx,
    WSCInstallNameSpaceEx32,
    WSCUnInstallNameSpace,
    WSCUnInstallNameSpace32,
    WSCWriteNameSpaceOrder,
    WSCWriteNameSpaceOrder32,
)
from nspkit.winsock._enumeration import (
    NamespaceInfo,
    NamespaceInfoEx,
    Notification,
    WSAEnumNameSpaceProviders,
    WSAEnumNameSpaceProvidersEx,
    WSAProviderConfigChange,
)
from nspkit.winsock._lookup import (
    WSALookupServiceBegin,
    WSALookupServiceEnd,
    WSALookupServiceNext,
    WSANSPIoctl,
)
from nspkit.winsock._routines import NSPCleanup, NspRoutine, NSPStartup
from nspkit.winsock._services import (
    WSAGetServiceClassInfo,
    WSAGetServiceClassNameByClassId,
    WSAInstallServiceClass,
    WSARemoveServiceClass,
    WSASetService,
)
from nspkit.winsock._startup import WSACleanup, WsaData, WSAStartup

__all__ = [
    "NSPCleanup",
    "NSPStartup",
    "NamespaceInfo",
    "NamespaceInfoEx",
    "Notification",
    "NspRoutine",
    "WSACleanup",
    "WSAEnumNameSpaceProviders",
    "WSAEnumNameSpaceProvidersEx",
    "WSAGetLastError",
    "WSAGetServiceClassInfo",
    "WSAGetServiceClassNameByClassId",
    "WSAInstallServiceClass",
    "WSALookupServiceBegin",
    "WSALookupServiceEnd",
    "WSALookupServiceNext",
    "WSANSPIoctl",
    "WSAProviderConfigChange",
    "WSARemoveServiceClass",
    "WSASetLastError",
    "WSASetService",
    "WSAStartup",
    "WSCEnableNSProvider",
    "WSCEnableNSProvider32",
    "WSCEnumNameSpaceProviders32",
    "WSCEnumNameSpaceProvidersEx32",
    "WSCInstallNameSpace",
    "WSCInstallNameSpace32",
    "WSCInstallNameSpaceEx",
    "WSCInstallNameSpaceEx32",
    "WSCUnInstallNameSpace",
    "WSCUnInstallNameSpace32",
    "WSCWriteNameSpaceOrder",
    "WSCWriteNameSpaceOrder32",
    "WsaData",
]
