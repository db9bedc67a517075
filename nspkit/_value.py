"""What the values share: the frozen base class, and the check that each kind of field passes."""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterable
from enum import IntFlag
from operator import attrgetter
from types import NoneType
from typing import TYPE_CHECKING, TypeVar

from nspkit._constants import DWORD_MAX, Namespace
from nspkit.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, ClassVar, NoReturn, Self

    AttributeValue = str | bytes | int | float | bool | None

TEXT_MAX = 65_535
_Flags = TypeVar("_Flags", bound=IntFlag)

INT_MIN, INT_MAX = -(2**31), 2**31 - 1


class Value:
    """A frozen value: equal, hashable, copied by ``replace``, and picklable.

    A subclass lists its ``__slots__`` and gives each one its checked value in ``__init__``.
    """

    __slots__ = ()

    _state: ClassVar[Callable[[Any], tuple[Any, ...]]]
    _defaults: ClassVar[dict[str, Any]]

    def __init_subclass__(cls) -> None:
        # What the constructor takes is what a value is made of: repr, replace and pickle read it.
        init: Any = cls.__init__ if "__init__" in cls.__dict__ else cls.__new__
        count = init.__code__.co_argcount
        names = init.__code__.co_varnames[1 : count + init.__code__.co_kwonlyargcount]
        plain = init.__defaults__ or ()
        given = dict(zip(names[count - 1 - len(plain) :], plain, strict=False))
        given.update(init.__kwdefaults__ or {})
        cls._defaults = {name: given.get(name, ...) for name in names}
        cls._state = attrgetter(
            *(name for base in cls.__mro__ for name in base.__dict__.get("__slots__", ()))
        )

    def _fill(self, **fields: Any) -> None:
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some fields changed, checked as at construction.

        Raises:
            InvalidArgumentError: A new value is not acceptable (WSAEINVAL 10022).
            TypeError: There is no such field.
        """
        return type(self)(**{**self._arguments(), **changes})

    __replace__ = replace

    def _arguments(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self._defaults}

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        return type(self)._state(self) == type(self)._state(other)

    def __hash__(self) -> int:
        return hash(type(self)._state(self))

    def __repr__(self) -> str:
        shown = []
        for name, value in self._arguments().items():
            default = self._defaults[name]
            if default is ...:
                shown.append(repr(value))
            elif value != default:
                shown.append(f"{name}={value!r}")
        return f"{type(self).__name__}({', '.join(shown)})"

    def __setattr__(self, name: str, value: object) -> None:
        kind = type(self).__name__
        raise AttributeError(f"a {kind} is frozen: use .replace({name}=...) to get a changed copy")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a {type(self).__name__} is frozen: {name} cannot be deleted")

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), self._arguments())


def _restore(cls: type[Value], arguments: dict[str, Any]) -> Value:
    return cls(**arguments)


class Attributes(dict[str, "AttributeValue"]):
    """A read-only ``dict`` with checked content, so that ``json`` and ``==`` know it; hashable."""

    __slots__ = ()

    def __init__(self, content: Any, *, where: str = "attributes") -> None:
        if not hasattr(content, "keys"):
            raise refuse(where, content, "give a mapping such as {'path': '/'}")
        super().__init__(content)
        items: Iterable[tuple[object, object]] = self.items()
        for name, item in items:
            filled(f"{where} name", name)
            if not isinstance(item, str | bytes | int | float | None):
                right = "give a str, bytes, int, float, bool or None"
                raise refuse(f"{where}[{name!r}]", item, right)

    def __hash__(self) -> int:  # type: ignore[override]  # dict has none
        return hash(frozenset(self.items()))

    def __reduce__(self) -> tuple[Any, ...]:
        return Attributes, (dict(self),)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def _refuse(self, *args: object, **kwargs: object) -> NoReturn:
        raise TypeError("attributes are read-only: change a copy, dict(attributes)")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse


def as_guid(value: uuid.UUID | str) -> uuid.UUID:
    """Return the GUID that is given as a UUID or as its string, with or without braces.

    Args:
        value: ``uuid.UUID(...)`` or ``"22059d40-7e9e-11cf-ae5a-00aa00a7112b"``, in either case.

    Raises:
        InvalidArgumentError: It is something else (WSAEINVAL 10022).
    """
    return guid("guid", value)


def refuse(where: str, given: object, right: str) -> InvalidArgumentError:
    """Return the error that says which field is wrong, what was given and what is right."""
    return InvalidArgumentError(f"{where} is {_shown(given)}: {right}")


def guid(where: str, value: object) -> uuid.UUID:
    """Return the UUID that a field means."""
    found = guid_in(value) if isinstance(value, str) else value
    if isinstance(found, uuid.UUID):
        return found
    example = "'22059d40-7e9e-11cf-ae5a-00aa00a7112b'"
    raise refuse(where, value, f"give a uuid.UUID or a string such as {example}, braces allowed")


def guid_in(value: str) -> uuid.UUID | None:
    """Return the GUID that a string is, or ``None`` if it is something else."""
    bare = value[1:-1] if value[:1] == "{" and value[-1:] == "}" else value
    if len(bare) != 36:
        return None  # which most names are, and an exception is dear
    try:
        found = uuid.UUID(bare)
    except ValueError:
        return None
    # uuid.UUID also takes misplaced hyphens, underscores and foreign digits.
    return found if str(found) == bare.lower() else None


def text(where: str, value: object) -> str:
    """Return a text: a ``str`` that every back end can carry."""
    if not isinstance(value, str):
        raise refuse(where, value, "give a str")
    if len(value) > TEXT_MAX:
        raise refuse(where, value, f"its {len(value)} characters are more than {TEXT_MAX}")
    if "\0" in value:
        raise refuse(where, value, "a NUL character cannot be passed on: leave it out")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            right = "it holds lone surrogates: decode the bytes that it came from properly"
            raise refuse(where, value, right) from None
    return value if type(value) is str else str.__str__(value)


def filled(where: str, value: object) -> str:
    """Return a text that is not empty."""
    return text(where, value) or _raise(refuse(where, value, "give a text that is not empty"))


def integer(where: str, value: object, low: int = 0, high: int = DWORD_MAX) -> int:
    """Return an integer within its bounds; a ``bool`` is none."""
    if isinstance(value, int) and type(value) is not bool and low <= value <= high:
        return value if type(value) is int else int(value)
    raise refuse(where, value, f"give an integer from {low} to {high}")


def namespace_in(where: str, value: object) -> Namespace:
    """Return the namespace that a number means."""
    return value if type(value) is Namespace else Namespace(integer(where, value))


def flags_in(where: str, value: object, kind: type[_Flags]) -> _Flags:
    """Return flags; bits without a name are kept."""
    return kind(integer(where, value))


def blob_in(where: str, value: object) -> bytes | None:
    """Return private data: ``bytes`` or ``None``."""
    if value is None or type(value) is bytes:
        return value
    raise refuse(where, value, "give bytes, or None")


def seconds_in(where: str, value: object) -> float:
    """Return a time in seconds that is finite and not negative."""
    if isinstance(value, int | float) and type(value) is not bool and 0 <= value < math.inf:
        return value
    raise refuse(where, value, "give seconds as a number that is finite and not below 0, or None")


def items_in(where: str, value: object, right: str) -> Iterable[object]:
    """Return what can be iterated; a string or bytes is one thing, not many."""
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise refuse(where, value, right)
    return value


def attributes_in(where: str, value: object) -> Attributes:
    """Return a read-only copy of a mapping from names to plain values."""
    return value if type(value) is Attributes else Attributes(value, where=where)


def _raise(error: InvalidArgumentError) -> NoReturn:
    raise error


def _shown(value: object) -> str:
    """Return a short text for a value, without running code of a foreign class."""
    if type(value) is int and value.bit_length() > 128:
        return "an integer of more than 128 bits"
    if type(value) is str or type(value) is bytes:
        return f"{value!r}" if len(value) <= 60 else f"{value[:60]!r}..."
    if type(value) in (int, float, bool, NoneType, uuid.UUID):
        return f"{value!r}"
    return f"a value of type {type(value).__name__}"


NO_ATTRIBUTES = Attributes({})
