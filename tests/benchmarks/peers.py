"""The same work by other frameworks, as their documentation says; what is missing is left out.

Of a pair that is taken and given back only what has a second half is here: getting an instance
from svcs or dishka without giving it back is cheaper, and counts nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from typing import Any
from uuid import UUID

Cases = dict[str, Callable[[], object]]

CALLS = ("stevedore", "svcs", "dishka", "iPOPO")
PAIRS = ("svcs", "dishka", "iPOPO")

MODULES = {"stevedore": "stevedore", "svcs": "svcs", "dishka": "dishka", "iPOPO": "pelix"}
"""What a peer is imported as."""


def _made(stack: ExitStack, makers: dict[str, Callable[..., Any]], *args: Any) -> Cases:
    return {name: make(stack, *args) for name, make in makers.items() if find_spec(MODULES[name])}


# -- one call ------------------------------------------------------------------------------------


def calls(stack: ExitStack, kind: type, guid: UUID) -> Cases:
    """Find an instance of ``kind`` by what the framework calls it, and call a method of it."""
    makers = {
        "stevedore": _stevedore_call,
        "svcs": _svcs_call,
        "dishka": _dishka_call,
        "iPOPO": _ipopo_call,
    }
    return _made(stack, makers, kind, guid)


def _stevedore_call(_stack: ExitStack, kind: type, guid: UUID) -> Callable[[], object]:
    from stevedore import ExtensionManager
    from stevedore.extension import Extension

    extension: Any = Extension("memory", None, kind, kind())  # type: ignore[arg-type]
    manager: Any = ExtensionManager.make_test_instance([extension])
    return lambda: manager["memory"].obj.nsp_ioctl(guid, 1, b"")


def _svcs_call(stack: ExitStack, kind: Any, guid: UUID) -> Callable[[], object]:
    import svcs

    registry = svcs.Registry()
    registry.register_value(kind, kind())
    container = stack.enter_context(svcs.Container(registry))
    container.get(kind)
    return lambda: container.get(kind).nsp_ioctl(guid, 1, b"")


def _dishka_call(stack: ExitStack, kind: Any, guid: UUID) -> Callable[[], object]:
    import dishka

    provider = dishka.Provider(scope=dishka.Scope.APP)
    provider.provide(kind)
    container = dishka.make_container(provider)
    stack.callback(container.close)
    container.get(kind)
    return lambda: container.get(kind).nsp_ioctl(guid, 1, b"")


def _ipopo(stack: ExitStack, kind: type) -> tuple[Any, Any]:
    from pelix.framework import FrameworkFactory, create_framework

    framework = create_framework(())
    framework.start()
    stack.callback(FrameworkFactory.delete_framework, framework)
    context = framework.get_bundle_context()
    context.register_service("memory", kind(), {})
    return context, context.get_service_reference("memory")


def _ipopo_call(stack: ExitStack, kind: type, guid: UUID) -> Callable[[], object]:
    context, reference = _ipopo(stack, kind)
    service = context.get_service(reference)
    return lambda: service.nsp_ioctl(guid, 1, b"")


# -- a pair --------------------------------------------------------------------------------------


def pairs(stack: ExitStack, kind: type) -> Cases:
    """Take an instance and give it back."""
    makers = {"svcs": _svcs_pair, "dishka": _dishka_pair, "iPOPO": _ipopo_pair}
    return _made(stack, makers, kind)


def _svcs_pair(_stack: ExitStack, kind: Any) -> Callable[[], object]:
    import svcs

    registry = svcs.Registry()
    instance = kind()
    registry.register_factory(kind, lambda: instance)

    def pair() -> None:
        container = svcs.Container(registry)
        container.get(kind)
        container.close()

    return pair


def _dishka_pair(stack: ExitStack, kind: Any) -> Callable[[], object]:
    import dishka

    instance = kind()

    def given() -> Iterator[Any]:
        yield instance

    provider = dishka.Provider(scope=dishka.Scope.REQUEST)
    provider.provide(given, provides=kind)
    container = dishka.make_container(provider)
    stack.callback(container.close)

    def pair() -> None:
        with container() as request:
            request.get(kind)

    return pair


def _ipopo_pair(stack: ExitStack, kind: type) -> Callable[[], object]:
    context, reference = _ipopo(stack, kind)
    stack.callback(context.unget_service, reference)
    context.get_service(reference)  # the count stays above 0

    def pair() -> None:
        context.get_service(reference)
        context.unget_service(reference)

    return pair
