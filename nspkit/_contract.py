"""What a provider class must look like, and every way in which one does not.

A class is read, never run: no property, no method and no constructor of it is called, so that the
check is safe on anything that an entry point may name. pluggy would accept much of what is
refused here, and then pass nothing to a parameter, call a hook that does not run, or not see a
hook at all; each sentence says which, and what to write instead.

Winsock does the same with the table that a provider fills in: WSAEINVALIDPROCTABLE (10104).
"""

from __future__ import annotations

import inspect
from types import FunctionType
from typing import TYPE_CHECKING

from nspkit._model import ProviderInfo
from nspkit.hookspecs import HOOKS, PROJECT, SPI_VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

_MARK = f"{PROJECT}_impl"
_PREFIX = "nsp_"
_ITERATING = frozenset(("nsp_lookup_service", "nsp_notify_change"))
_ASYNC = inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR | inspect.CO_ITERABLE_COROUTINE
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def check(provider_class: object) -> tuple[str, ...]:
    """Return everything that is wrong with a provider class, a sentence for each problem.

    Args:
        provider_class: What an entry point names, or an application installs.
    """
    if not isinstance(provider_class, type):
        return (f"{_described(provider_class)} is no class; an entry point names a class",)
    return (
        *_constructor_problems(provider_class),
        *_info_problems(provider_class),
        *_hook_problems(provider_class),
    )


def check_version(info: ProviderInfo) -> str | None:
    """Return why a provider's version of the interface does not fit, or ``None`` if it does.

    Winsock answers such a provider with WSAVERNOTSUPPORTED (10092).
    """
    if info.spi_version == SPI_VERSION:
        return None
    newer = info.spi_version > SPI_VERSION
    return (
        f"provider '{info.name}' speaks version {info.spi_version} of the provider interface, "
        f"this nspkit speaks {SPI_VERSION}; install a release of "
        f"{'nspkit' if newer else 'the provider'} that speaks {max(info.spi_version, SPI_VERSION)}"
    )


def static_info(provider_class: object) -> ProviderInfo | None:
    """Return the ``info`` of a provider class without running anything of it."""
    if isinstance(provider_class, type):
        info = _attributes(provider_class).get("info")
        if isinstance(info, ProviderInfo):
            return info
    return None


def static_hooks(provider_class: object) -> frozenset[str]:
    """Return the hooks that a provider class implements, without running anything of it."""
    if not isinstance(provider_class, type):
        return frozenset()
    marked = ((n, _marked(attribute)[1]) for n, attribute in _attributes(provider_class).items())
    names = (options.get("specname") or n for n, options in marked if options is not None)
    return frozenset(names).intersection(HOOKS)


def _attributes(provider_class: type) -> dict[str, object]:
    """Return what instances have from their classes, the nearest of each name, as it is stored."""
    attributes: dict[str, object] = {}
    for base in reversed(provider_class.__mro__[:-1]):
        attributes.update(vars(base))
    return attributes


def _constructor_problems(provider_class: type) -> Iterator[str]:
    name = provider_class.__qualname__
    if inspect.isabstract(provider_class):
        missing = ", ".join(sorted(vars(provider_class)["__abstractmethods__"]))
        yield f"{name} is abstract and cannot be made; implement {missing}"
    try:
        parameters = inspect.signature(provider_class).parameters.values()
    except (TypeError, ValueError):
        # A constructor written in C may not tell; making the instance will.
        return
    required = [p.name for p in parameters if p.default is p.empty and p.kind not in _VARIADIC]
    if required:
        yield (
            f"{name} cannot be made without arguments, it requires {_quoted(required)}; "
            "what the application sets comes to nsp_startup as settings"
        )


def _info_problems(provider_class: type) -> Iterator[str]:
    name = provider_class.__qualname__
    form = "write info = ProviderInfo(guid, name, namespace, version) in the body of the class"
    attributes = _attributes(provider_class)
    if "info" not in attributes:
        yield f"{name} has no info; {form}"
    elif not isinstance(attributes["info"], ProviderInfo):
        yield f"{name}.info is {_described(attributes['info'])}, no ProviderInfo; {form}"


def _hook_problems(provider_class: type) -> Iterator[str]:
    implemented: dict[str, str] = {}
    for name, attribute in _attributes(provider_class).items():
        where = f"{provider_class.__qualname__}.{name}"
        function, options = _marked(attribute)
        if options is None:
            if name.startswith(_PREFIX):
                yield from _unmarked_problems(where, name, attribute)
            continue
        if function is None:
            yield (
                f"{where} is marked and is {_described(attribute)}, where the mark is not seen; "
                "write @hookimpl on the function itself, below every other decorator"
            )
            continue
        hook = options.get("specname") or name
        if hook in implemented:
            yield f"{where} implements {hook} a second time, beside {implemented[hook]}; keep one"
        implemented[hook] = name
        if hook in HOOKS:
            yield from _parameter_problems(where, hook, function, attribute)
            yield from _kind_problems(where, hook, function, options)
        # The author of an optional hook knows that this host may not have it.
        elif not options.get("optionalhook"):
            yield f"{where} implements no hook: there is no {hook}{_nearest(hook, HOOKS)}"


def _marked(attribute: object) -> tuple[FunctionType | None, dict[str, Any] | None]:
    """Return the function and the options of a marked attribute; no options: it has no mark."""
    function = attribute
    if isinstance(attribute, staticmethod | classmethod):
        function = attribute.__func__
    if isinstance(function, FunctionType) and _MARK in vars(function):
        return function, vars(function)[_MARK]
    options = inspect.getattr_static(attribute, _MARK, None)
    return None, options if isinstance(options, dict) else None


def _unmarked_problems(where: str, name: str, attribute: object) -> Iterator[str]:
    # None takes away the hook of a base class, as it does with __hash__.
    if attribute is None:
        return
    if isinstance(attribute, FunctionType | staticmethod | classmethod):
        hint = "" if name in HOOKS else _nearest(name, HOOKS)
        yield (
            f"{where} has no @hookimpl, so it would never be called{hint}; mark it, or give it a "
            f"name that does not begin with {_PREFIX}"
        )
    else:
        yield (
            f"{where} is {_described(attribute)}, no method; {_PREFIX} is for hooks, "
            "which are methods marked with @hookimpl"
        )


def _parameter_problems(
    where: str, hook: str, function: FunctionType, attribute: object
) -> Iterator[str]:
    known = HOOKS[hook]
    try:
        # Like pluggy, look through decorators at the function that the author wrote.
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError) as error:
        yield f"{where} does not tell its parameters: {error}; write a plain method"
        return
    if not isinstance(attribute, staticmethod):
        if not parameters or parameters[0].kind in _VARIADIC or parameters[0].name in known:
            yield f"{where} takes no self; write def {function.__name__}(self, …)"
        del parameters[:1]
    for parameter in parameters:
        problem = _parameter_problem(parameter, known)
        if problem is not None:
            yield f"{where} {problem}"


def _parameter_problem(parameter: inspect.Parameter, known: tuple[str, ...]) -> str | None:
    """Return why a parameter gets nothing: only required ones are passed, and by position."""
    name = parameter.name
    if parameter.kind in _VARIADIC:
        return f"takes '{parameter}', which stays empty; name what it needs of {_quoted(known)}"
    if parameter.default is not parameter.empty:
        # A default that looks like no argument of the hook is the author's own affair.
        near = _close(name, known, cutoff=0.8)
        reason = f"gives '{name}' a default, and what has one is never filled in"
        return f"{reason}; write '{near}' without" if near else None
    if parameter.kind is parameter.KEYWORD_ONLY:
        return f"requires '{name}' by keyword, but all is passed by position; write it before the *"
    if name not in known:
        return f"takes '{name}', which the hook does not have{_nearest(name, known)}"
    return None


def _kind_problems(
    where: str, hook: str, function: FunctionType, options: dict[str, Any]
) -> Iterator[str]:
    flags = function.__code__.co_flags
    if options.get("wrapper") or options.get("hookwrapper"):
        yield (
            f"{where} is a wrapper, which would see no call but its own; write a plain "
            "@hookimpl, or put the wrapper into a class of the group nspkit.middleware"
        )
    elif flags & _ASYNC:
        yield (
            f"{where} is asynchronous, and nobody would await it; write def, and run a loop "
            "on a thread of resources.thread where one is needed"
        )
    elif flags & inspect.CO_GENERATOR and hook not in _ITERATING:
        yield f"{where} is a generator, so its body would never run; take the yield out"


def _nearest(name: str, known: Iterable[str]) -> str:
    """Return what was probably meant, or everything that there is, as the end of a sentence."""
    near = _close(name, known)
    return f" (did you mean '{near}'?)" if near else f"; there are {_quoted(known)}"


def _close(name: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    from difflib import get_close_matches

    return next(iter(get_close_matches(name, known, 1, cutoff)), None)


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def _described(thing: object) -> str:
    kind = type(thing).__name__
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"
