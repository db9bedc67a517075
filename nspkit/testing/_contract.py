"""Rules about what a provider is: its class, its info, its hooks, its state."""

from __future__ import annotations

import contextlib
import gc
import inspect
from collections import Counter
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from nspkit import Catalog, ProviderInfo, Query
from nspkit.errors import NspError, OperationNotSupportedError, VersionNotSupportedError
from nspkit.hookspecs import SPI_VERSION
from nspkit.testing._globals import ModuleState, changed_in_modules, shared_while_running
from nspkit.testing._rule import broken, require, rule, rules_in, told
from nspkit.testing._state import alike, class_state, contents, shared_between

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nspkit.testing._case import Case
    from nspkit.testing._instance import Instance

LOOKUP = "nsp_lookup_service"

CLASS_HOOKS = (
    "nsp_install_service_class",
    "nsp_remove_service_class",
    "nsp_get_service_class_info",
)

UNKNOWN_REQUEST = 0x7FFF_FFF1


@rule("contract")
def made_without_arguments(case: Case) -> None:
    """The provider is a class that can be called without arguments.

    An entry point names the class, and each host makes its own instance at each start. What an
    application sets comes to nsp_startup as settings.
    """
    require(
        isinstance(case.provider, type),
        f"{case.provider!r:.80} is no class; set provider to the class that the entry point names",
    )
    try:
        case.within(f"{case.name}()", case.provider)
    except Exception as error:
        broken(
            f"{case.name}() raised {told(error)}; take the arguments out of __init__, and the "
            "work to nsp_startup",
            error,
        )


@rule("contract")
def info(case: Case) -> None:
    """The class has an info, a ProviderInfo, in its body."""
    found = inspect.getattr_static(case.provider, "info", None)
    require(
        isinstance(found, ProviderInfo),
        f"{case.name}.info is {found!r:.80}; write info = ProviderInfo(guid, name, namespace, "
        "version) in the body of the class, with a GUID of its own",
    )


@rule("contract")
def hooks_fit(case: Case) -> None:
    """Every hook is a known one, is marked, and takes what the hook passes.

    All that is wrong is told at once: unknown and unmarked hooks, parameters that nobody passes
    or only by keyword, asynchronous hooks, generators where nothing would step them.
    """
    try:
        Catalog().install(case.provider)
    except VersionNotSupportedError:
        pass  # a rule of its own
    except NspError as error:
        broken(error.message, error)


@rule("contract")
def spi_version(case: Case) -> None:
    """The provider speaks the version of the interface that this nspkit speaks."""
    own = case.info.spi_version
    require(
        own == SPI_VERSION,
        f"{case.name}.info has spi_version {own}, this nspkit speaks {SPI_VERSION}; follow its "
        "changes and write the number that it speaks",
    )


@rule("contract")
def startup_and_cleanup(case: Case) -> None:
    """The provider has nsp_startup and nsp_cleanup, both.

    Also where all that is acquired is in resources: the cleanup is then an empty method.
    """
    missing = [hook for hook in ("nsp_startup", "nsp_cleanup") if not case.has(hook)]
    require(not missing, f"{case.name} lacks {' and '.join(missing)}; write it, if only empty")


@rule("contract")
def class_hooks_together(case: Case) -> None:
    """Who installs service classes also removes and describes them."""
    if case.has(CLASS_HOOKS[0]) or case.has(CLASS_HOOKS[1]):
        missing = [hook for hook in CLASS_HOOKS if not case.has(hook)]
        require(
            not missing,
            f"{case.name} lacks {' and '.join(missing)}; write it, or leave the class hooks out",
        )


@rule("contract")
def stores_what_it_says(case: Case) -> None:
    """Who says stores_service_classes has the hooks for it.

    A host asks such a provider first when somebody wants to know about a class.
    """
    missing = [hook for hook in CLASS_HOOKS if not case.has(hook)]
    require(
        not (case.info.stores_service_classes and missing),
        f"{case.name}.info says stores_service_classes=True, and there is no "
        f"{' and no '.join(missing)}; write it, or say False",
    )


@rule("contract", "nsp_ioctl")
def unknown_request(case: Case) -> None:
    """An unknown control request is refused with OperationNotSupportedError (10045)."""
    with case.session() as session:
        try:
            answer = case.within("nsp_ioctl", lambda: session.ioctl(UNKNOWN_REQUEST))
        except OperationNotSupportedError:
            return
        except NspError as error:
            broken(
                f"nsp_ioctl answers the unknown request {UNKNOWN_REQUEST} with {told(error)}; "
                "raise OperationNotSupportedError",
                error,
            )
        broken(
            f"nsp_ioctl answers the unknown request {UNKNOWN_REQUEST} with {answer!r:.60}; "
            "raise OperationNotSupportedError"
        )


@rule("contract")
def state_is_not_shared(case: Case) -> None:
    """Instances share no state: two hosts never know of each other.

    Two instances run side by side. No attribute of the class may change, nor what the modules of
    the provider's own package hold: no name may be bound to something else, and a container may
    change only as a register of what runs does, in which each instance has entries of its own
    until it is stopped. Caches of functools and weak containers are left out, and so are numbers.
    None of the two may hold a resource that the other one holds, nor a container that changes
    while the other one runs. What the application has set may be shared: it is the application's.
    """
    before = class_state(case.provider)
    with case.running() as warm:
        _ask(warm)  # what a module makes once, for all of them, is no state
    modules = ModuleState(case.provider)
    with case.running() as one:
        _ask(one)
        mine, alone = contents(one.object), ModuleState(case.provider)
        # The same settings as other objects, so that what is kept of them shows.
        with _started(case, alike(case.settings)) as two:
            during = class_state(case.provider)
            _ask(two)
            shared = shared_between(one.object, two.object, mine, case.settings)
            changed = shared_while_running(modules, alone, ModuleState(case.provider))
    after = class_state(case.provider)
    del alone, one, two, warm  # a register may have them as long as they are there
    gc.collect()
    changed += changed_in_modules(modules, ModuleState(case.provider))
    changed = sorted({*changed, *_changed(before, during), *_changed(before, after)})
    require(
        not changed,
        f"a start changed {', '.join(changed)}, which all instances share; keep it in self",
    )
    require(
        not shared,
        f"two instances hold the same {', '.join(shared)}; make one for each in nsp_startup",
    )


@contextlib.contextmanager
def _started(case: Case, settings: Mapping[str, Any]) -> Iterator[Instance]:
    """Start an instance with other settings; it is stopped at the end."""
    instance = case.instance()
    instance.start(settings)
    try:
        yield instance
    finally:
        instance.stop()


def _ask(instance: Instance) -> None:
    """Look up, what is there and what nobody has asked for yet."""
    if instance.case.has(LOOKUP):
        with contextlib.suppress(NspError):
            instance.find()
        with contextlib.suppress(Exception):  # what it may raise is another rule's affair
            instance.find(Query(f"nspkit-{uuid4().hex}"))


@rule("contract", LOOKUP)
def settings_are_each_hosts_own(case: Case) -> None:
    """Another host with other settings changes nothing: an instance goes by its own.

    One instance runs with the settings; another one that is given none is started beside it, asks
    if it could be started, and is stopped. A lookup of the first one finds what it found before.
    """
    with case.running() as one:
        alone = _names(one)
        if not case.settings or _names(one) != alone:
            return  # there are no others; what changes by itself says nothing
        other = case.instance()
        try:
            other.start({})
        except Exception:  # what it may raise is another rule's affair
            other.give_back()
            _undisturbed(one, alone, "was refused")
            return
        try:
            _ask(other)
            _undisturbed(one, alone, "runs, too")
        finally:
            other.stop()
        _undisturbed(one, alone, "was stopped")


def _undisturbed(one: Instance, alone: Counter[Any], what: str) -> None:
    since = f"since another instance, without settings, {what}"
    way = "keep in self what comes from the settings"
    try:
        found = _names(one)
        if found != alone:
            found = _names(one)  # the back end was busy with what the other one did, perhaps
    except NspError as error:
        broken(f"{since}, a lookup fails: {told(error)}; {way}", error)
    require(
        found == alone,
        f"a lookup found {sorted(alone)[:10]}; {since}, it finds {sorted(found)[:10]}; {way}",
    )


def _names(instance: Instance) -> Counter[Any]:
    return Counter(getattr(one, "name", "") for one in instance.find())


def _changed(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    return [name for name in {*before, *after} if before.get(name) != after.get(name)]


RULES = rules_in(globals())
