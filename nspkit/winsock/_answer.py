"""The conventions of C: 0 or -1, a last error, and no exception that leaves a function."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

from nspkit.errors import ErrorCode, NspError, get_last_error, set_last_error

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
R = TypeVar("R")


def c_shaped(function: Callable[P, R]) -> Callable[P, R]:
    """Make a function return -1 and leave its code as the last error where it would raise.

    What is no `Exception`, such as `KeyboardInterrupt`, passes. A call with too few or too many
    arguments, which a C compiler refuses, stays a `TypeError`.
    """

    @wraps(function)
    def answered(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            set_last_error(code_of(error))
            return cast("R", -1)

    return answered


def returning_code(function: Callable[P, object]) -> Callable[P, int]:
    """Make a function return 0, or the code where it would raise; else as `c_shaped`."""

    @wraps(function)
    def answered(*args: P.args, **kwargs: P.kwargs) -> int:
        try:
            function(*args, **kwargs)
        except Exception as error:
            return code_of(error)
        return 0

    return answered


def code_of(error: Exception) -> int:
    """Return the Winsock code for an error; raises it again if the call itself was refused."""
    if isinstance(error, NspError):
        return int(error.code)
    traceback = error.__traceback__
    assert traceback is not None  # it was raised
    if traceback.tb_next is None:
        raise error  # from the frame that calls: the function was not even entered
    if isinstance(error, MemoryError):
        return int(ErrorCode.WSA_NOT_ENOUGH_MEMORY)
    return int(ErrorCode.WSASYSCALLFAILURE)


def required(what: str, value: Any) -> Any:
    """Return a value that must not be None.

    Raises:
        NspError: it is None (WSAEFAULT 10014).
    """
    if value is None:
        raise NspError(f"{what} is None; give a value", code=ErrorCode.WSAEFAULT)
    return value


def WSAGetLastError() -> int:
    """Return the last error of this thread: the code of the last function that returned -1.

    It means nothing after a function that succeeded, and providers that were called may have set
    it: read it right away, before `WSALookupServiceEnd` for instance.
    """
    return get_last_error()


def WSASetLastError(code: int) -> None:
    """Set the last error of this thread; a hook that returns -1 says with it what went wrong.

    Args:
        code: The Winsock number, 0 for none. What is no number sets WSAEINVAL (10022).
    """
    try:
        set_last_error(code)
    except NspError as error:
        set_last_error(error.code)
