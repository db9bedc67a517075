"""The errors of nspkit: one tree, each class with its Winsock code.

::

    NspError
    ├── AccessDeniedError
    ├── AlreadyExistsError
    ├── AlreadyInstalledError
    ├── CancelledError
    ├── CleanupError
    ├── DuplicateProviderError
    ├── InProgressError
    ├── InvalidArgumentError
    │   ├── ConfigurationError
    │   └── InvalidProviderError
    ├── InvalidHandleError
    ├── InvalidProcedureTableError
    ├── LookupFailedError
    ├── NoDataError
    ├── NoMoreError
    ├── NotInitialisedError
    ├── NotReadyError
    ├── OperationNotSupportedError
    ├── OperationTimeoutError
    │   └── CleanupTimeoutError
    ├── OutOfMemoryError
    ├── ProviderError
    ├── ProviderLoadError
    ├── ServiceNotFoundError
    ├── TooManyReferencesError
    ├── TryAgainError
    ├── TypeNotFoundError
    └── VersionNotSupportedError

Every class is an ``OSError``; where Python has a built-in exception for the same thing, the
class is that too, so ``except LookupError`` or ``except TimeoutError`` works as well.

The last error of a thread, which Winsock keeps beside the return value, is here too.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from nspkit._codes import ErrorCode
from nspkit._error import (
    InvalidArgumentError,
    NspError,
    ProviderError,
    get_last_error,
    known_code,
    set_last_error,
)

if TYPE_CHECKING:
    import uuid
    from collections.abc import Iterable
    from typing import TypedDict, Unpack

    class _Options(TypedDict, total=False):
        code: int | None
        guid: uuid.UUID | str | None


__all__ = [
    "AccessDeniedError",
    "AlreadyExistsError",
    "AlreadyInstalledError",
    "CancelledError",
    "CleanupError",
    "CleanupTimeoutError",
    "ConfigurationError",
    "DuplicateProviderError",
    "ErrorCode",
    "InProgressError",
    "InvalidArgumentError",
    "InvalidHandleError",
    "InvalidProcedureTableError",
    "InvalidProviderError",
    "LookupFailedError",
    "NoDataError",
    "NoMoreError",
    "NotInitialisedError",
    "NotReadyError",
    "NspError",
    "OperationNotSupportedError",
    "OperationTimeoutError",
    "OutOfMemoryError",
    "ProviderError",
    "ProviderLoadError",
    "ServiceNotFoundError",
    "TooManyReferencesError",
    "TryAgainError",
    "TypeNotFoundError",
    "VersionNotSupportedError",
    "error_for",
    "get_last_error",
    "set_last_error",
]


class InvalidProviderError(InvalidArgumentError, LookupError):
    """No such provider is installed, or it is disabled (WSAEINVAL 10022)."""


class ConfigurationError(InvalidArgumentError):
    """A configuration file is missing or wrong (WSAEINVAL 10022).

    Args:
        message: What is wrong; the place is put before it.
        file: The file.
        line: The line in it, from 1.
        key: The setting, such as ``"providers.dns.server"``.
        **options: ``code`` and ``guid``, see ``NspError``.
    """

    def __init__(
        self,
        message: str,
        *,
        file: str | os.PathLike[str] | None = None,
        line: int | None = None,
        key: str | None = None,
        **options: Unpack[_Options],
    ) -> None:
        self.file = None if file is None else os.fspath(file)
        self.line = line
        self.key = key
        place = [self.file] if self.file is not None else []
        place += [f"line {line}"] if line is not None else []
        place += [f"key '{key}'"] if key is not None else []
        super().__init__(": ".join(filter(None, [", ".join(place), message])), **options)


class ProviderLoadError(NspError, code=ErrorCode.WSAEPROVIDERFAILEDINIT):
    """A provider could not be imported, made or started (WSAEPROVIDERFAILEDINIT 10106)."""


class InvalidProcedureTableError(NspError, code=ErrorCode.WSAEINVALIDPROCTABLE):
    """A provider's hooks do not fit the specifications (WSAEINVALIDPROCTABLE 10104)."""


class VersionNotSupportedError(NspError, code=ErrorCode.WSAVERNOTSUPPORTED):
    """A provider speaks another version of the interface (WSAVERNOTSUPPORTED 10092)."""


class DuplicateProviderError(NspError, code=ErrorCode.WSAEINVALIDPROVIDER):
    """Two installed providers have one GUID (WSAEINVALIDPROVIDER 10105)."""


class AlreadyInstalledError(NspError, code=ErrorCode.WSANO_RECOVERY):
    """The catalog has a provider with this GUID already (WSANO_RECOVERY 11003)."""


class OperationNotSupportedError(NspError, NotImplementedError, code=ErrorCode.WSAEOPNOTSUPP):
    """The provider does not have this operation (WSAEOPNOTSUPP 10045)."""


class NotInitialisedError(NspError, code=ErrorCode.WSANOTINITIALISED):
    """Not started, or closed already (WSANOTINITIALISED 10093)."""


class NotReadyError(NspError, code=ErrorCode.WSASYSNOTREADY):
    """The provider cannot work now: it lacks its back end or a setting (WSASYSNOTREADY 10091)."""


class InProgressError(NspError, code=ErrorCode.WSAEINPROGRESS):
    """The call came from inside a call that it would wait for (WSAEINPROGRESS 10036)."""


class AlreadyExistsError(NspError, code=ErrorCode.WSAEALREADY):
    """The service class is installed already: remove it first (WSAEALREADY 10037)."""


class TooManyReferencesError(NspError, code=ErrorCode.WSAETOOMANYREFS):
    """Services of this class are still registered (WSAETOOMANYREFS 10059)."""


class AccessDeniedError(NspError, PermissionError, code=ErrorCode.WSAEACCES):
    """The back end does not allow it (WSAEACCES 10013)."""


class TryAgainError(NspError, code=ErrorCode.WSATRY_AGAIN):
    """A temporary failure: the same call may succeed later (WSATRY_AGAIN 11002)."""


class ServiceNotFoundError(NspError, LookupError, code=ErrorCode.WSASERVICE_NOT_FOUND):
    """No such service, or nobody who could be asked for it (WSASERVICE_NOT_FOUND 10108)."""


class TypeNotFoundError(NspError, LookupError, code=ErrorCode.WSATYPE_NOT_FOUND):
    """No such service class (WSATYPE_NOT_FOUND 10109)."""


class NoDataError(NspError, LookupError, code=ErrorCode.WSANO_DATA):
    """The name is known, but has no data of the kind asked for (WSANO_DATA 11004)."""


class NoMoreError(NspError, code=ErrorCode.WSA_E_NO_MORE):
    """There are no more results (WSA_E_NO_MORE 10110)."""


class CancelledError(NspError, code=ErrorCode.WSA_E_CANCELLED):
    """The lookup was closed while somebody waited for it (WSA_E_CANCELLED 10111)."""


class InvalidHandleError(NspError, code=ErrorCode.WSA_INVALID_HANDLE):
    """The handle is unknown or was closed (WSA_INVALID_HANDLE 6)."""


class OutOfMemoryError(NspError, MemoryError, code=ErrorCode.WSA_NOT_ENOUGH_MEMORY):
    """Memory ran out (WSA_NOT_ENOUGH_MEMORY 8)."""


class OperationTimeoutError(NspError, TimeoutError, code=ErrorCode.WSAETIMEDOUT):
    """The time ran out (WSAETIMEDOUT 10060)."""


class CleanupTimeoutError(OperationTimeoutError):
    """A cleanup did not end in its time (WSAETIMEDOUT 10060).

    Args:
        message: What hangs.
        stack: Where it hangs, as the text of a stack; a traceback shows it as a note.
        **options: ``code`` and ``guid``, see ``NspError``.
    """

    def __init__(self, message: str, *, stack: str = "", **options: Unpack[_Options]) -> None:
        super().__init__(message, **options)
        self.stack = stack
        if stack:
            self.add_note(f"it hangs at:\n{stack}")


class CleanupError(NspError):
    """Steps of a cleanup failed; all the others were carried out.

    Args:
        message: What was cleaned up.
        errors: What went wrong, in order.
        **options: ``guid``, see ``NspError``, and ``code``: by default that of the first error,
            WSASYSCALLFAILURE (10107) for one that has none.
    """

    def __init__(
        self, message: str, *, errors: Iterable[BaseException] = (), **options: Unpack[_Options]
    ) -> None:
        self.errors = tuple(errors)
        super().__init__(message, **_coded(options, self.errors[:1]))


class LookupFailedError(NspError, LookupError):
    """Every provider that was asked failed.

    The arguments are those of ``CleanupError``. ``errors`` has one error for each provider, in
    catalog order; without ``code=`` the code is that of the last one.
    """

    def __init__(
        self, message: str, *, errors: Iterable[NspError] = (), **options: Unpack[_Options]
    ) -> None:
        self.errors = tuple(errors)
        super().__init__(message, **_coded(options, self.errors[-1:]))


def error_for(code: int, message: str, *, guid: uuid.UUID | str | None = None) -> NspError:
    """Return the error of the class that belongs to a code.

    Old and Win32 codes for the same thing get the same class and keep their number. A code
    that has no class, or that Winsock uses for things that a caller treats differently (10105
    and 11003), gives ``NspError`` itself.

    Raises:
        InvalidArgumentError: The code is not an integer, or the GUID is none (WSAEINVAL 10022).
    """
    return _CLASS_OF.get(known_code(code), NspError)(message, code=code, guid=guid)


def _coded(options: _Options, errors: tuple[BaseException, ...]) -> _Options:
    if options.get("code") is not None:
        return options
    codes = [error.code for error in errors if isinstance(error, NspError)]
    return {**options, "code": codes[0] if codes else ErrorCode.WSASYSCALLFAILURE}


_CLASS_OF: dict[int, type[NspError]] = {
    # The direct subclasses: those below them are more special than a code can tell.
    **{cls.preset: cls for cls in NspError.__subclasses__() if cls.preset is not None},
    ErrorCode.ERROR_NOT_SUPPORTED: OperationNotSupportedError,
    ErrorCode.ERROR_CALL_NOT_IMPLEMENTED: OperationNotSupportedError,
    ErrorCode.WSA_INVALID_PARAMETER: InvalidArgumentError,
    ErrorCode.WSA_OPERATION_ABORTED: CancelledError,
    ErrorCode.WSAENOMORE: NoMoreError,
    ErrorCode.WSAECANCELLED: CancelledError,
    ErrorCode.WSAHOST_NOT_FOUND: ServiceNotFoundError,
    # To a provider these mean "not valid" and "no recovery", which says less than the classes.
    ErrorCode.WSAEINVALIDPROVIDER: NspError,
    ErrorCode.WSANO_RECOVERY: NspError,
}
