"""The root of the error tree, the errors that it needs itself, and the last error of a thread.

Their public home is ``nspkit.errors``, and they name it as their module.
"""

from __future__ import annotations

import errno
import threading
import uuid
from typing import TYPE_CHECKING

from nspkit._codes import ErrorCode

if TYPE_CHECKING:
    from typing import Any, ClassVar


def known_code(code: object) -> ErrorCode | int:
    """Return the member for a number, or the plain number where there is none.

    Raises:
        InvalidArgumentError: The code is not an integer (WSAEINVAL 10022).
    """
    if not isinstance(code, int) or isinstance(code, bool):
        raise InvalidArgumentError(
            f"a code is a Winsock number such as 10022, not a {type(code).__name__}"
        )
    try:
        return ErrorCode(code)
    except ValueError:
        return int(code)


class NspError(OSError):
    """Something that nspkit or a provider could not do, with the Winsock code for it.

    ``str()`` gives the message and, in brackets, symbol and number. Errors survive pickling
    and copying with their attributes and notes; an exception in ``errors`` or
    ``rollback_errors`` that cannot be pickled is replaced by a ``ProviderError`` with its text.

    Args:
        message: What happened: the thing, the cause and the way out.
        code: The Winsock number. A subclass has one already; it may be overridden.
        guid: The provider that it is about, as a UUID or its string.

    Attributes:
        message: The message, without the code.
        code: An ``ErrorCode``, or a plain ``int`` where the number is unknown.
        guid: The provider that it is about, or ``None``.
        errno: The number that POSIX code understands; it follows from the code.
        preset: The code of a class, or ``None``; a subclass sets it with
            ``class MyError(NspError, code=ErrorCode.WSAEREFUSED)``.
        errors: What it is made of, in order, where several things went wrong.
        rollback_errors: What else went wrong when a failed start was undone, in order.

    Raises:
        TypeError: There is no code, neither given nor preset by the class.
        InvalidArgumentError: The code is not an integer, or the GUID is none (WSAEINVAL 10022).
    """

    __module__ = "nspkit.errors"

    preset: ClassVar[ErrorCode | int | None] = None

    message: str
    code: ErrorCode | int
    guid: uuid.UUID | None
    errors: tuple[BaseException, ...] = ()
    rollback_errors: tuple[BaseException, ...] = ()

    def __init_subclass__(cls, *, code: int | None = None, **options: Any) -> None:
        super().__init_subclass__(**options)
        if code is not None:
            cls.preset = known_code(code)

    def __init__(
        self,
        message: str,
        *,
        code: int | None = None,
        guid: uuid.UUID | str | None = None,
    ) -> None:
        known = self.preset if code is None else known_code(code)
        if known is None:
            raise TypeError(f"{type(self).__name__} needs code=: its class presets none")
        # Not super(): the built-in bases beside OSError take other arguments.
        posix = known.posix if isinstance(known, ErrorCode) else errno.EIO
        OSError.__init__(self, posix, message)
        self.message = message
        self.code = known
        self.guid = guid if guid is None or isinstance(guid, uuid.UUID) else _parsed(guid)

    @property
    def symbol(self) -> str:
        """The name of the code, such as ``"WSAEINVAL"``; ``"WSA 12345"`` for an unknown one."""
        return self.code.name if isinstance(self.code, ErrorCode) else f"WSA {self.code}"

    def __str__(self) -> str:
        number = f" {int(self.code)}" if isinstance(self.code, ErrorCode) else ""
        return f"{self.message} [{self.symbol}{number}]"

    def __repr__(self) -> str:
        guid = f", guid='{self.guid}'" if self.guid else ""
        return f"{type(self).__name__}({self.message!r}, code={int(self.code)}{guid})"

    def __copy__(self) -> NspError:
        return _restore(type(self), self._state())

    def __reduce__(self) -> tuple[Any, ...]:
        state = self._state()
        for name in ("errors", "rollback_errors"):
            if name in state:
                state[name] = tuple(map(_portable, state[name]))
        return _restore, (type(self), state)

    def _state(self) -> dict[str, Any]:
        """Return all attributes; the notes as a list of its own, so that a copy can be noted."""
        state = {**self.__dict__, "args": self.args, "errno": self.errno, "strerror": self.strerror}
        if "__notes__" in state:
            state["__notes__"] = list(state["__notes__"])
        return state


class InvalidArgumentError(NspError, ValueError, code=ErrorCode.WSAEINVAL):
    """An argument is not acceptable (WSAEINVAL 10022)."""

    __module__ = "nspkit.errors"


class ProviderError(NspError, code=ErrorCode.WSASYSCALLFAILURE):
    """A provider raised something that is no error of nspkit (WSASYSCALLFAILURE 10107)."""

    __module__ = "nspkit.errors"


class _LastError(threading.local):
    code = 0


last_error = _LastError()
"""Where the last error of each thread is; the host sets ``code`` to 0 before each hook."""


def get_last_error() -> int:
    """Return the code that this thread set last with ``set_last_error``; 0 at first.

    Source: ``WSAGetLastError``.
    """
    return last_error.code


def set_last_error(code: int) -> None:
    """Set the last error of this thread, which a hook that returned -1 points to.

    The host sets it to 0 before each hook.

    Args:
        code: The Winsock number; 0 for no error.

    Raises:
        InvalidArgumentError: The code is not an integer (WSAEINVAL 10022).

    Source: ``WSASetLastError``.
    """
    last_error.code = code if type(code) is int else int(known_code(code))


def told(error: BaseException) -> str:
    """Say an error in a message: its class and its text."""
    try:
        text = str(error)
    except (Exception, SystemExit, GeneratorExit) as broken:
        # A foreign exception may fail at anything; its class is still worth to be told.
        text = f"(no text: {type(broken).__name__})"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _parsed(guid: object) -> uuid.UUID:
    given = f"a value of type {type(guid).__name__}"
    if isinstance(guid, str):
        try:
            return uuid.UUID(guid)
        except ValueError:
            given = repr(guid[:60])
    example = "'22059d40-7e9e-11cf-ae5a-00aa00a7112b'"
    raise InvalidArgumentError(
        f"guid= takes a uuid.UUID or a string such as {example}, not {given}"
    )


def _restore(cls: type[NspError], state: dict[str, Any]) -> NspError:
    """Make an error anew without ``__init__``, whose arguments a subclass may change."""
    error = cls.__new__(cls)
    for name, value in state.items():
        setattr(error, name, value)
    return error


def _portable(error: BaseException) -> BaseException:
    """Return the error, or its text as an error of nspkit where it cannot be pickled."""
    import pickle

    try:
        # Many a class is written by pickle and then cannot be read: its __init__ wants more.
        pickle.loads(pickle.dumps(error))
    except Exception:
        kind = type(error)
        text = ProviderError(f"{kind.__module__}.{kind.__qualname__}: {error}")
        for note in getattr(error, "__notes__", ()):
            text.add_note(note)
        return text
    return error
