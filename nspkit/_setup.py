"""What an application gives to a host, checked before the host exists."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from nspkit._catalog import Catalog
from nspkit._discovery import find_entry_points, load
from nspkit._model import ProviderInfo
from nspkit.errors import InvalidArgumentError, InvalidProcedureTableError, ProviderLoadError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nspkit._view import Provider

MIDDLEWARE = "nspkit.middleware"
"""The entry-point group of middleware."""

# In seconds, 31 years: beyond what Python's own waits take, a number is an error to them.
_LONGEST = 1e9


def seconds_in(name: str, value: object, *, optional: bool = False) -> float | None:
    """Return a number of seconds, or say why it is none (WSAEINVAL 10022)."""
    if value is None and optional:
        return None
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0:
        return float(min(value, _LONGEST))  # a NaN compares false
    right = "a number of seconds, 0 or more" + (", or None for no limit" if optional else "")
    raise InvalidArgumentError(f"{name} is {value!r}; give {right}")


def checked_catalog(catalog: Catalog | None) -> Catalog | None:
    """Return the catalog, if it is one (WSAEINVAL 10022)."""
    if catalog is None or isinstance(catalog, Catalog):
        return catalog
    raise InvalidArgumentError(f"catalog is {catalog!r}; give a nspkit.Catalog, or None")


def checked_providers(providers: Iterable[Provider] | None) -> tuple[Provider, ...] | None:
    """Return the providers that are wanted, None for all (WSAEINVAL 10022)."""
    if providers is None:
        return None
    if isinstance(providers, str) or not hasattr(providers, "__iter__"):
        raise InvalidArgumentError(f"providers is {providers!r}; give a list of names or GUIDs")
    return tuple(providers)


def checked_settings(settings: object) -> dict[Any, dict[str, Any]]:
    """Return a copy of the settings, one mapping by provider (WSAEINVAL 10022)."""
    if settings is None:
        return {}
    right = 'give a mapping from each provider to its own, as in {"hosts": {"path": "…"}}'
    if not hasattr(settings, "items"):
        raise InvalidArgumentError(f"settings is {type(settings).__name__}; {right}")
    checked = {}
    for provider, own in settings.items():
        if not isinstance(provider, (str, UUID, ProviderInfo)):
            raise InvalidArgumentError(
                f"settings has the key {provider!r}; give a short name or a GUID"
            )
        if not hasattr(own, "items") or not all(isinstance(key, str) for key in own):
            raise InvalidArgumentError(
                f"the settings of {provider!r} are {own!r}; {right}, with names as keys"
            )
        checked[provider] = dict(own)
    return checked


def checked_middleware(middleware: Iterable[object]) -> tuple[object, ...]:
    """Return the wrapper objects; names are loaded by entry point and called without arguments.

    Raises:
        InvalidArgumentError: a name that is not installed (WSAEINVAL 10022).
        ProviderLoadError: it cannot be imported or made (WSAEPROVIDERFAILEDINIT 10106).
        InvalidProcedureTableError: it has a hook that does not wrap (WSAEINVALIDPROCTABLE 10104).
    """
    if isinstance(middleware, str) or not hasattr(middleware, "__iter__"):
        raise InvalidArgumentError(
            f"middleware is {middleware!r}; give a sequence of wrapper objects or names"
        )
    wrappers = tuple(_made(one) if isinstance(one, str) else one for one in middleware)
    for position, wrapper in enumerate(wrappers):
        _check_wrapper(wrapper)
        if wrapper in wrappers[:position]:  # compared as pluggy does when it registers them
            raise InvalidArgumentError(
                f"the middleware {wrapper!r} is given twice, or equal to another one; give it once"
            )
    return wrappers


def _made(name: str) -> object:
    found = find_entry_points(MIDDLEWARE)
    named = [one for one in found if one.name == name]
    if not named:
        known = ", ".join(sorted(one.name for one in found)) or "none"
        raise InvalidArgumentError(f"no middleware {name!r} is installed; installed: {known}")
    if len(named) > 1:
        both = " and ".join(one.distribution for one in named)
        raise InvalidArgumentError(
            f"the middleware {name!r} is in {both}; give an instance of the one that is meant"
        )
    try:
        wrapper: object = load(named[0])()
    except (Exception, SystemExit, GeneratorExit) as error:
        raise ProviderLoadError(
            f"middleware {name!r} of {named[0].distribution} could not be made: "
            f"{type(error).__name__}: {error}"
        ) from error
    return wrapper


def _check_wrapper(wrapper: object) -> None:
    if isinstance(wrapper, type):
        raise InvalidProcedureTableError(
            f"the middleware {wrapper.__qualname__} is a class; give an instance of it"
        )
    wraps = 0
    for name in dir(type(wrapper)):
        options: Mapping[str, Any] | None = getattr(
            getattr(type(wrapper), name, None), "nspkit_impl", None
        )
        if options is None and not name.startswith("nsp_"):
            continue
        if options is None or not (options.get("wrapper") or options.get("hookwrapper")):
            raise InvalidProcedureTableError(
                f"{type(wrapper).__qualname__}.{name} is no wrapper; mark the hooks of a "
                "middleware with @hookimpl(wrapper=True)"
            )
        wraps += 1
    if not wraps:
        raise InvalidProcedureTableError(
            f"{wrapper!r} wraps no hook; a middleware has nsp_ methods that are marked with "
            "@hookimpl(wrapper=True)"
        )
