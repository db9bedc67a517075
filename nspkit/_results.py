"""What comes back from a hook: errors translated, results checked, arguments fitted.

Nothing here calls a hook. A check is given what a hook returned and gives back what the host goes
on with, or raises an error that says what the hook should have returned.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nspkit._error import told
from nspkit._model import ServiceClass
from nspkit.errors import (
    ErrorCode,
    NspError,
    ProviderError,
    ProviderLoadError,
    error_for,
    get_last_error,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from uuid import UUID

_CODES: tuple[tuple[type[BaseException], ErrorCode], ...] = (
    (MemoryError, ErrorCode.WSA_NOT_ENOUGH_MEMORY),
    (NotImplementedError, ErrorCode.WSAEOPNOTSUPP),
    (TimeoutError, ErrorCode.WSAETIMEDOUT),
)


def translated(name: str, guid: UUID, hook: str, error: BaseException) -> NspError:
    """Make a `NspError` of what a hook of provider ``name`` raised; the caller chains it.

    A `NspError` passes, and says from then on whose it is. MemoryError is 8, NotImplementedError
    10045, TimeoutError 10060, anything else WSASYSCALLFAILURE (10107), from ``nsp_startup``
    WSAEPROVIDERFAILEDINIT (10106).
    """
    if isinstance(error, NspError):
        error.guid = error.guid or guid
        return error
    message = f"provider {name!r}: {hook} raised {told(error)}"
    for kind, code in _CODES:
        if isinstance(error, kind):
            return error_for(code, message, guid=guid)
    kind_of_error = ProviderLoadError if hook == "nsp_startup" else ProviderError
    return kind_of_error(message, guid=guid)


def again(error: NspError) -> NspError:
    """Return a new error that says the same, without traceback and cause.

    An error that is raised is tied to the frames that it passes and to all that called them, so
    the one that is kept, by somebody whom those frames refer to, must be another.
    """
    from copy import copy

    return copy(error)


def together(errors: Sequence[NspError]) -> str:
    """Return what several errors say, in one text; a code that all have is left to the whole."""
    is_shared = len({int(error.code) for error in errors}) == 1
    return "; ".join(error.message if is_shared else str(error) for error in errors)


class Checks:
    """The checks of one provider's results; a check is looked up by the hook's name."""

    __slots__ = ("_guid", "_name")

    def __init__(self, name: str, guid: UUID) -> None:
        self._name = name
        self._guid = guid

    def of(self, hook: str) -> Callable[[Any], Any]:
        """Return the check of a hook; it is not called for None where that is right."""
        check = getattr(self, _CHECKED_BY[hook])

        def checked(result: Any) -> Any:
            return check(hook, result)

        return checked

    def _nothing(self, hook: str, result: object) -> None:
        """Accept None and 0; take any other integer as a failure, as in C."""
        if isinstance(result, bool):
            raise self._wrong(hook, result, "nothing; to fail, raise, or return a code, no bool")
        if not isinstance(result, int):
            raise self._wrong(hook, result, "nothing")
        if result == 0:
            return
        code = result if result != -1 else get_last_error()
        raise error_for(
            code or ErrorCode.WSASYSCALLFAILURE,
            f"provider {self._name!r}: {hook} failed with {result}"
            + ("" if code else " and left no code"),
            guid=self._guid,
        )

    def iterator(self, hook: str, result: Any) -> Iterator[Any]:
        """Return the iterator of what a hook returned, if it is an iterable of results."""
        if isinstance(result, (str, bytes, dict)) or not hasattr(type(result), "__iter__"):
            raise self._wrong(hook, result, "an iterable, best as a generator")
        return iter(result)

    def _service_class(self, hook: str, result: object) -> ServiceClass:
        if not isinstance(result, ServiceClass):
            raise self._wrong(hook, result, "a ServiceClass")
        return result

    def _output(self, hook: str, result: object) -> bytes | None:
        if result is not None and not isinstance(result, bytes):
            raise self._wrong(hook, result, "bytes or None")
        return result

    def _wrong(self, hook: str, result: object, right: str) -> ProviderError:
        return ProviderError(
            f"provider {self._name!r}: {hook} returned {shown(result)}; it must return {right}",
            guid=self._guid,
        )


_CHECKED_BY = {
    "nsp_startup": "_nothing",
    "nsp_cleanup": "_nothing",
    "nsp_lookup_service": "iterator",
    "nsp_set_service": "_nothing",
    "nsp_install_service_class": "_nothing",
    "nsp_remove_service_class": "_nothing",
    "nsp_get_service_class_info": "_service_class",
    "nsp_notify_change": "iterator",
    "nsp_ioctl": "_output",
}

SILENT = frozenset(hook for hook, by in _CHECKED_BY.items() if by in ("_nothing", "_output"))
"""The hooks that may return None."""

BEGUN = tuple(hook for hook, by in _CHECKED_BY.items() if by == "iterator")
"""The hooks that return an iterable: calling them begins what is stepped later."""


def shown(value: object) -> str:
    """Show a foreign value in a message: its class, and its repr if that is short and works."""
    try:
        text = repr(value)
    except (Exception, SystemExit, GeneratorExit):
        text = ""
    kind = type(value).__name__
    return kind if not text or len(text) > 80 else f"{text} ({kind})"


# By the positions of what a hook takes. The arity is fixed, and not ``*args``, because Python
# enters such a function without packing, and without another loop of the interpreter.
_FITTED: dict[tuple[int, ...], Callable[[Callable[..., Any]], Callable[..., Any]]] = {
    (): lambda function: lambda _guid, _1=None, _2=None, _3=None: function(),
    (0,): lambda function: lambda guid, _1=None, _2=None, _3=None: function(guid),
    (0, 1): lambda function: lambda guid, one, _2=None, _3=None: function(guid, one),
    (0, 1, 2): lambda function: lambda guid, one, two, _3=None: function(guid, one, two),
    (0, 1, 2, 3): lambda function: function,
    (1,): lambda function: lambda _guid, one, _2=None, _3=None: function(one),
    (1, 2): lambda function: lambda _guid, one, two, _3=None: function(one, two),
    (1, 2, 3): lambda function: lambda _guid, one, two, three: function(one, two, three),
}


def fitted(
    function: Callable[..., Any], takes: Sequence[str], given: Sequence[str]
) -> Callable[..., Any]:
    """Return a callable for the GUID and three arguments, passing on what ``function`` takes.

    A hook that is ``given`` less than three ignores the rest.
    """
    positions = tuple(given.index(name) for name in takes)
    make = _FITTED.get(positions)
    if make is not None:
        return make(function)
    return lambda *args: function(*[args[position] for position in positions])
