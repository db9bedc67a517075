"""One provider of one generation: foreign code is called here, and nowhere else.

A `Provider` holds the instance that an author wrote, in a plugin manager of its own. One manager
per provider, because pluggy calls every plugin it knows, cannot tell a missing hook from one that
returned None, and stops at the first error. What is called often is bound once, at startup, in the
routine table: a bound method behind the guard, or a stub that answers WSAEOPNOTSUPP.
"""

from __future__ import annotations

from _thread import get_ident
from time import monotonic
from typing import TYPE_CHECKING, Any

import pluggy

from nspkit._error import last_error
from nspkit._events import EventKind
from nspkit._resources import Release, Resources
from nspkit._results import BEGUN, SILENT, Checks, fitted, told, translated
from nspkit._routines import RoutineTable, raising
from nspkit.errors import (
    InvalidProcedureTableError,
    NspError,
    OperationNotSupportedError,
    ProviderLoadError,
)
from nspkit.hookspecs import C_SPEAKING, HOOKS, PROJECT, ProviderHooks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from nspkit._events import Events
    from nspkit._generation import Generation
    from nspkit._model import ProviderInfo

    Routine = Callable[..., Any]


class Provider:
    """An instance of a provider's class, from its startup to its end."""

    __slots__ = (
        "_begins",
        "_checks",
        "_events",
        "_instance",
        "_manager",
        "_resources",
        "hooks",
        "info",
        "name",
        "table",
    )

    def __init__(
        self,
        provider_class: Callable[[], object],
        info: ProviderInfo,
        *,
        name: str,
        events: Events,
        carrying: Callable[[Callable[..., Any]], Callable[..., Any]],
        middleware: Sequence[object] = (),
    ) -> None:
        """Make the instance and check its hooks; nothing is called yet.

        ``carrying`` prepares a function for a thread of the provider's own.

        Raises:
            ProviderLoadError: the class could not be called (WSAEPROVIDERFAILEDINIT 10106).
            InvalidProcedureTableError: pluggy refuses a hook (WSAEINVALIDPROCTABLE 10104).
        """
        self.info = info
        self.name = name
        self.table = RoutineTable()
        self._events = events
        self._checks = Checks(name, info.guid)
        self._resources = Resources(f"provider {name!r}", carrying)
        try:
            self._instance: Any = provider_class()
        except (Exception, SystemExit) as error:
            raise ProviderLoadError(
                f"provider {name!r}: {provider_class!r} could not be called without arguments: "
                f"{told(error)}",
                guid=info.guid,
            ) from error
        self._manager: Any = pluggy.PluginManager(PROJECT)
        self._manager.add_hookspecs(ProviderHooks)
        try:
            self._manager.register(self._instance, name=name)
            for wrapper in reversed(middleware):  # the first named becomes the outermost
                self._manager.register(wrapper)
            self._manager.check_pending()
        except (pluggy.PluginValidationError, ValueError) as error:
            raise InvalidProcedureTableError(
                f"provider {name!r} or its middleware has a hook that does not fit: {error}",
                guid=info.guid,
            ) from error
        self.hooks = frozenset(hook for hook in HOOKS if self._implementation(hook) is not None)
        self._begins = {hook: self._method(hook) for hook in BEGUN if hook in self.hooks}

    # -- the walk through a generation ---------------------------------------------------------

    def start(self, generation: Generation, settings: Mapping[str, Any]) -> None:
        """Run ``nsp_startup``; on success the provider is the generation's payload.

        Raises:
            NspError: what the hook raised, translated; what it acquired has been released.
            KeyboardInterrupt: as it came, after the same.
        """
        began = monotonic()
        try:
            self._run("nsp_startup", settings, self._resources)
            self.table.fill(lambda hook: self._guarded(hook, generation))
            generation.table = self.table
            generation.payload = self
        except BaseException as error:
            self._roll_back(generation, error)
            self._tell(EventKind.START_FAILED, "", monotonic() - began, error)
            raise
        self._tell(EventKind.STARTED, "", monotonic() - began)

    def undo(self, generation: Generation) -> NspError:
        """Stop again what was started for a host that is closed by now; returns the refusal."""
        generation.payload = None
        refusal = generation.refusal()
        self._roll_back(generation, refusal, self.clean_up)
        return refusal

    def _roll_back(
        self,
        generation: Generation,
        error: BaseException,
        clean_up: Callable[[], object] | None = None,
    ) -> None:
        """Release what there is after a failed start; its errors go with ``error``."""
        failed: list[BaseException] = []
        try:
            if clean_up is not None:
                clean_up()
        except Exception as caught:
            failed.append(caught)
        failed.extend(self.release())
        self.unload(generation)
        for one in failed:
            error.add_note(f"and while rolling back: {told(one)}")
        if isinstance(error, NspError):
            error.rollback_errors = tuple(failed)
        del failed, error

    def clean_up(self) -> None:
        """Run ``nsp_cleanup``; the host does so once, on the final cleanup."""
        began = monotonic()
        try:
            self._run("nsp_cleanup")
        except BaseException as error:
            error.add_note(f"in nsp_cleanup of provider {self.name!r}")
            self._tell(EventKind.FAILED, "nsp_cleanup", monotonic() - began, error)
            raise
        self._tell(EventKind.STEP, "nsp_cleanup", monotonic() - began)

    def release(self, deadline: float | None = None) -> list[BaseException]:
        """Release the resources in reverse; returns what they raised, in order."""

        def report(step: str, seconds: float, error: BaseException | None) -> None:
            self._tell(EventKind.FAILED if error else EventKind.STEP, step, seconds, error)

        release = Release(self._resources)
        release.run(report, deadline)
        errors, release.errors = release.errors, []
        for error in errors:
            error.add_note(f"of provider {self.name!r}")
        return errors

    def unload(self, generation: Generation) -> None:
        """Drop every reference to the instance, so that it can be collected."""
        self.table.fill(lambda hook: raising(generation.refusal))
        if generation.payload is self:
            generation.payload = None
        manager, self._manager, self._instance = self._manager, None, None
        self._begins = {}
        if manager is not None:
            for plugin in manager.get_plugins():
                manager.unregister(plugin)

    def _tell(
        self, kind: str, step: str, seconds: float, error: BaseException | None = None
    ) -> None:
        name = f"{self.name}: {step}" if step else self.name
        self._events.emit(kind, self.info.guid, name, seconds, error)

    # -- the routine table ---------------------------------------------------------------------

    def _implementation(self, hook: str) -> Any:
        for implementation in getattr(self._manager.hook, hook).get_hookimpls():
            if implementation.plugin is self._instance:
                return implementation
        return None

    def _method(self, hook: str) -> Routine:
        """Return what calls a hook with all its arguments: bound, or through pluggy."""
        implementation = self._implementation(hook)
        caller = getattr(self._manager.hook, hook)
        if len(caller.get_hookimpls()) > 1:
            names = HOOKS[hook]

            def method(*args: Any) -> Any:
                return caller(**dict(zip(names, args, strict=True)))
        else:
            method = fitted(implementation.function, implementation.argnames, HOOKS[hook])
        return method

    def _run(self, hook: str, *args: Any) -> None:
        """Call ``nsp_startup`` or ``nsp_cleanup``, outside of the guard."""
        if hook not in self.hooks:
            raise self._unsupported(hook)
        try:
            last_error.code = 0
            result = self._method(hook)(self.info.guid, *args)
        except KeyboardInterrupt:
            raise
        except (Exception, SystemExit, GeneratorExit) as error:
            translation = translated(self.name, self.info.guid, hook, error)
            if translation is error:
                raise
            raise translation from error
        if result is not None:
            self._checks.of(hook)(result)

    def _unsupported(self, hook: str) -> OperationNotSupportedError:
        known = ", ".join(sorted(self.hooks)) or "no hook at all"
        return OperationNotSupportedError(
            f"provider {self.name!r} does not support {hook}; it has {known}", guid=self.info.guid
        )

    def begin(self, hook: str, *args: Any) -> Iterator[Any]:
        """Call a hook that returns an iterable; the caller is under the guard already.

        Raises:
            NspError: what the hook raised, translated.
        """
        if hook not in self.hooks:
            raise self._unsupported(hook)
        try:
            iterator: Iterator[Any] = self._begins[hook](self.info.guid, *args)
            return self._checks.iterator(hook, iterator)
        except NspError:
            raise
        except (Exception, SystemExit, GeneratorExit) as error:
            raise translated(self.name, self.info.guid, hook, error) from error

    def _guarded(self, hook: str, generation: Generation) -> Routine:
        """Return the routine of a hook: `Generation.run`, written out here for speed."""
        if hook not in self.hooks:
            return raising(lambda: self._unsupported(hook))
        name, guid, inside = self.name, self.info.guid, generation.lifetime.inside
        method, check = self._method(hook), self._checks.of(hook)
        silent, speaks_c = hook in SILENT, hook in C_SPEAKING

        def routine(*args: Any) -> Any:
            ident = get_ident()
            outer = ident in inside
            try:
                inside[ident] = hook
                if not generation.open:
                    raise generation.refusal()
                if speaks_c:
                    last_error.code = 0
                result = method(guid, *args)
                return None if result is None and silent else check(result)
            except NspError:
                raise
            except (Exception, SystemExit, GeneratorExit) as error:
                raise translated(name, guid, hook, error) from error
            finally:
                if not outer:
                    inside.pop(ident, None)

        return routine
