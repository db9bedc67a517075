"""WSC… functions, which change the catalog of the process for the next period."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nspkit import ProviderInfo, as_guid
from nspkit.errors import InvalidArgumentError, ProviderLoadError, TryAgainError
from nspkit.winsock._answer import c_shaped, required, returning_code
from nspkit.winsock._enumeration import WSAEnumNameSpaceProviders, WSAEnumNameSpaceProvidersEx
from nspkit.winsock._process import process

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from nspkit import Namespace


@c_shaped
def WSCInstallNameSpace(
    identifier: str,
    path: str | type,
    namespace: Namespace | int,
    version: str | int,
    provider: UUID | str,
) -> int:
    """Add a provider at the end of the catalog, for this process and from the next period on.

    The class is imported and checked right away, since what is said of it has to fit.

    Args:
        identifier: Its short name.
        path: Where the class is, as ``"module:Class"``, or the class itself.
        namespace: The namespace that it serves.
        version: The version that it states.
        provider: Its GUID.

    Returns:
        0, or -1: WSANO_RECOVERY (11003) if the GUID is installed already, WSAEFAULT (10014) for
        None, WSAEINVAL (10022) for what does not fit the class's own ``info`` or is no short name,
        WSAEPROVIDERFAILEDINIT (10106) if it cannot be imported, WSAEINVALIDPROCTABLE (10104) if
        it is no provider, WSAVERNOTSUPPORTED (10092) if it speaks another version.
    """
    return _install(identifier, path, namespace, version, provider)


@c_shaped
def WSCInstallNameSpaceEx(
    identifier: str,
    path: str | type,
    namespace: Namespace | int,
    version: str | int,
    provider: UUID | str,
    blob: bytes,
) -> int:
    """Add a provider as `WSCInstallNameSpace` does, with data that only enumerations return.

    Args:
        identifier: Its short name.
        path: Where the class is, as ``"module:Class"``, or the class itself.
        namespace: The namespace that it serves.
        version: The version that it states.
        provider: Its GUID.
        blob: What `WSAEnumNameSpaceProvidersEx` tells about it, in bytes.
    """
    if not isinstance(required("blob", blob), bytes):
        raise InvalidArgumentError(f"blob is {type(blob).__name__}; give bytes")
    _install(identifier, path, namespace, version, provider)
    process.blobs[as_guid(provider)] = blob
    return 0


@c_shaped
def WSCUnInstallNameSpace(provider: UUID | str) -> int:
    """Take a provider out of the catalog; what runs goes on.

    Returns:
        0, or -1: WSAEFAULT (10014) for None, WSAEINVAL (10022) for an unknown provider.
    """
    guid = as_guid(required("provider", provider))
    process.catalog.uninstall(guid)
    process.blobs.pop(guid, None)
    return 0


@c_shaped
def WSCEnableNSProvider(provider: UUID | str, enable: int) -> int:
    """Make a provider active or not; one that is not is neither asked nor registered with.

    Args:
        provider: Its GUID.
        enable: Whether it is active from the next period on, a boolean.

    Returns:
        0, or -1: WSAEFAULT (10014) for None, WSAEINVAL (10022) for an unknown provider.
    """
    guid = as_guid(required("provider", provider))
    process.catalog.enable(guid, bool(required("enable", enable)))
    return 0


@returning_code
def WSCWriteNameSpaceOrder(providers: Iterable[UUID | str]) -> None:
    """Give the catalog a new order, all or nothing.

    Args:
        providers: The GUID of every provider, each once.

    Returns:
        0, or the code itself: WSAEFAULT (10014) for None, WSAEINVAL (10022) for an order that is
        not complete, doubled or unknown, WSATRY_AGAIN (11002) while another call is in here.
    """
    order: Any = required("providers", providers)
    if not hasattr(order, "__iter__"):
        raise InvalidArgumentError(f"providers is {order!r}; give a list of GUIDs")
    claim = object()
    try:
        if process.ordering.setdefault(None, claim) is not claim:
            raise TryAgainError("the order is being written by another call; call it after that")
        process.catalog.reorder([as_guid(provider) for provider in order])
    finally:
        _give_back(claim)


def _give_back(claim: object) -> None:
    """Let others write an order, if the claim is the one that keeps them from it."""
    if process.ordering.get(None) is claim:
        del process.ordering[None]


def _install(identifier: str, path: Any, namespace: Any, version: Any, provider: Any) -> int:
    given = {"identifier": identifier, "path": path, "namespace": namespace, "version": version}
    for what, value in {**given, "provider": provider}.items():
        required(what, value)
    guid = as_guid(provider)
    provider_class = path if isinstance(path, type) else _loaded(path)
    info = next((vars(one)["info"] for one in provider_class.__mro__ if "info" in vars(one)), None)
    if isinstance(info, ProviderInfo):  # else the catalog says what is wrong with the class
        stated = {"namespace": info.namespace, "version": info.version, "provider": info.guid}
        for what, value in {
            "namespace": namespace,
            "version": str(version),
            "provider": guid,
        }.items():
            if value != stated[what]:
                raise InvalidArgumentError(
                    f"{what} is {value!r}, but the provider itself says {stated[what]!r}"
                )
    process.catalog.install(provider_class, name=identifier)
    return 0


def _loaded(path: object) -> type:
    """Import the class that a path names."""
    module, _, name = path.partition(":") if isinstance(path, str) else ("", "", "")
    if not module or module.startswith(".") or not name:
        raise InvalidArgumentError(f"path is {path!r}; give 'module:Class', or the class itself")
    from importlib import import_module

    try:
        found: Any = import_module(module)
        for attribute in name.split("."):
            found = getattr(found, attribute)
    except (Exception, SystemExit, GeneratorExit) as error:
        raise ProviderLoadError(
            f"'{path}' cannot be imported: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(found, type):
        raise InvalidArgumentError(f"path is {path!r}, which names no class")
    return found


WSCInstallNameSpace32 = WSCInstallNameSpace
WSCInstallNameSpaceEx32 = WSCInstallNameSpaceEx
WSCUnInstallNameSpace32 = WSCUnInstallNameSpace
WSCEnableNSProvider32 = WSCEnableNSProvider
WSCWriteNameSpaceOrder32 = WSCWriteNameSpaceOrder
WSCEnumNameSpaceProviders32 = WSAEnumNameSpaceProviders
WSCEnumNameSpaceProvidersEx32 = WSAEnumNameSpaceProvidersEx
