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


# By the arguments of a hook. They are written out because names that are known when the call is
# compiled cost less than a dictionary of them.
_NAMED: dict[tuple[str, ...], Callable[[Routine], Routine]] = {
    ("guid",): lambda call: lambda a, _b, _c, _d: call(guid=a),
    ("guid", "settings", "resources"): (
        lambda call: lambda a, b, c, _d: call(guid=a, settings=b, resources=c)
    ),
    ("guid", "query", "cancellation"): (
        lambda call: lambda a, b, c, _d: call(guid=a, query=b, cancellation=c)
    ),
    ("guid", "service", "operation", "multiple"): (
        lambda call: lambda a, b, c, d: call(guid=a, service=b, operation=c, multiple=d)
    ),
    ("guid", "service_class"): lambda call: lambda a, b, _c, _d: call(guid=a, service_class=b),
    ("guid", "class_id"): lambda call: lambda a, b, _c, _d: call(guid=a, class_id=b),
    ("guid", "code", "data"): lambda call: lambda a, b, c, _d: call(guid=a, code=b, data=c),
}


def by_name(caller: Routine, given: Sequence[str]) -> Routine:
    """Return a callable for the GUID and three arguments, for what takes them by name: pluggy."""
    named = _NAMED[tuple(given)](caller)

    def call(guid: object, one: object = None, two: object = None, three: object = None) -> Any:
        try:
            return named(guid, one, two, three)
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
