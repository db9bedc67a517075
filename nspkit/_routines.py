"""The routine table of a started provider, and which hooks a class has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nspkit.hookspecs import HOOKS, PROJECT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nspkit.errors import NspError

    Routine = Callable[..., Any]


class RoutineTable:
    """The routines of a started provider, one per hook; `NSP_ROUTINE` in Winsock."""

    __slots__ = tuple(HOOKS)

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Routine: ...

    def fill(self, make: Callable[[str], Routine]) -> None:
        """Set every routine to what ``make`` gives for the hook's name."""
        for hook in HOOKS:
            setattr(self, hook, make(hook))


def raising(make: Callable[[], NspError]) -> Routine:
    """Return a routine that raises what ``make`` gives."""

    def refused(*_args: Any) -> Any:
        raise make()

    return refused


def by_name(caller: Routine, given: Sequence[str]) -> Routine:
    """Return a callable for the GUID and three arguments, for what takes them by name: pluggy."""
    # A name that the hook lacks is the first one again: what is set last, the GUID, counts.
    guid, first, second, third = (*given, *(given[0],) * 3)[:4]

    def call(a: object, b: object = None, c: object = None, d: object = None) -> Any:
        try:
            return caller(**{third: d, second: c, first: b, guid: a})
        except BaseException as error:
            untie(error)
            raise

    return call


def untie(error: BaseException) -> None:
    """Clear the frames of pluggy that an error has passed.

    One of them keeps the error that it raised: a cycle, which would keep the provider's instance
    until a garbage collection.
    """
    traceback = error.__traceback__
    while traceback is not None:
        frame = traceback.tb_frame
        if frame.f_globals.get("__name__", "").startswith("pluggy."):
            frame.clear()
        traceback = traceback.tb_next


def declared_hooks(provider_class: type) -> frozenset[str]:
    """Return the hooks that a class implements, without making an instance."""
    declared = set()
    for name in dir(provider_class):
        options = getattr(getattr(provider_class, name, None), f"{PROJECT}_impl", None)
        if isinstance(options, dict):
            declared.add(options.get("specname") or name)
    return frozenset(declared)
