"""One provider of one generation: foreign code is called here, and nowhere else.

A `Provider` holds the instance that an author wrote, in a plugin manager of its own. One manager
per provider, because pluggy calls every plugin it knows, cannot tell a missing hook from one that
returned None, and stops at the first error. What is called often is bound once, at startup, in the
routine table: a bound method behind the guard, or a stub that answers WSAEOPNOTSUPP.
"""

from __future__ import annotations

from _thread import get_ident
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any

import pluggy

from nspkit._error import last_error, told
from nspkit._events import EventKind
from nspkit._resources import Release, Resources
from nspkit._results import BEGUN, SILENT, Checks, fitted, translated
from nspkit._routines import RoutineTable, by_name, raising
from nspkit._teardown import run_all
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
        except (Exception, SystemExit) as error:  # pluggy's, or what comparing the plugins raises
            self._leave_pluggy()
            raise InvalidProcedureTableError(
                f"provider {name!r} or its middleware has a hook that does not fit: {told(error)}",
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
        # Before the hook: what has started is not to fail, or be interrupted, any more.
        self.table.fill(lambda hook: self._guarded(hook, generation))
        generation.table = self.table
        error: BaseException | None = None
        raised: BaseException | None = None
        try:
            self.call("nsp_startup", settings, self._resources)
            generation.payload = self
        except BaseException as caught:
            error = caught
        try:
            # Not in the handler: what goes wrong now would have the error as its context, and the
            # error has it among its ``rollback_errors``: a cycle.
            if error is not None:
                raised = self.roll_back(generation, error)
                self._tell(EventKind.START_FAILED, "", monotonic() - began, error)
                raise raised
        finally:
            error = raised = None  # they refer to this frame: no cycle
        self._tell(EventKind.STARTED, "", monotonic() - began)

    def undo(self, generation: Generation) -> BaseException:
        """Stop again what was started for a host that is closed by now; returns the refusal."""
        began = monotonic()
        refusal = self.roll_back(generation, generation.refusal(), self.clean_up)
        self._tell(EventKind.STOPPED, "", monotonic() - began)
        return refusal

    def roll_back(
        self,
        generation: Generation,
        error: BaseException,
        *before: Callable[[], object],
    ) -> BaseException:
        """Undo a start, past whatever that raises; its errors go with ``error``.

        Done already, it does nothing. Returns what is to be raised: the error, or, with the error
        as its cause, an interrupt that came meanwhile.
        """
        failed: list[BaseException] = []

        def release() -> None:
            failed.extend(self.release())

        unload = partial(self.unload, generation)
        # Twice, because an interrupt may keep one from beginning; what is done is not done again.
        run_all([*before, release, release, unload, unload], failed)
        one: BaseException | None = None
        for one in failed:
            error.add_note(f"and while rolling back: {told(one)}")
        if isinstance(error, NspError):
            error.rollback_errors += tuple(failed)
        try:
            for one in failed:
                if isinstance(error, Exception) and not isinstance(one, Exception):
                    one.__cause__ = error
                    return one
            return error
        finally:
            failed.clear()
            del error, one  # they refer to this frame: no cycle

    def clean_up(self) -> None:
        """Run ``nsp_cleanup``; the host does so once, on the final cleanup."""
        began = monotonic()
        try:
            self.call("nsp_cleanup")
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
        error: BaseException | None = None
        for error in errors:
            error.add_note(f"of provider {self.name!r}")
        try:
            return errors
        finally:
            del error, errors  # they refer to this frame: no cycle

    def unload(self, generation: Generation) -> None:
        """Drop every reference to the instance, so that it can be collected."""
        self.table.fill(lambda hook: raising(generation.refusal))
        self._begins = {}
        self._leave_pluggy()
        if generation.payload is self:
            generation.payload = None

    def forget(self) -> object:
        """Void it in a forked child: who is inside it there calls nothing more on the way out.

        Returns what must never be dropped there.
        """
        self.hooks = frozenset()
        return (self._instance, self._manager, self._resources._forget())

    @property
    def is_loaded(self) -> bool:
        """Whether there is an instance; what ends is unloaded last."""
        return self._instance is not None

    def _leave_pluggy(self) -> None:
        """Part pluggy and the instance, which could be collected only by a collection else."""
        manager = self._manager
        if manager is not None:
            # Not unregister(): it finds a plugin by comparing, which is foreign code.
            vars(manager.hook).clear()
        self._manager = self._instance = None

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
            # What is called is the bound method: by way of the object it would cost more.
            return by_name(caller.__call__, HOOKS[hook])
        return fitted(implementation.function, implementation.argnames, HOOKS[hook])

    def call(self, hook: str, *args: Any) -> Any:
        """Call a hook without the guard; the caller is under it already, or starts or stops."""
        if hook not in self.hooks:
            raise self._unsupported(hook)
        try:
            last_error.code = 0
            result = self._method(hook)(self.info.guid, *args)
        except (Exception, SystemExit, GeneratorExit) as error:
            if isinstance(error, NspError):
                translated(self.name, self.info.guid, hook, error)  # says whose it is
                raise
            raise translated(self.name, self.info.guid, hook, error) from error
        return None if result is None and hook in SILENT else self._checks.of(hook)(result)

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
        except (Exception, SystemExit, GeneratorExit) as error:
            if isinstance(error, NspError):
                translated(self.name, self.info.guid, hook, error)  # says whose it is
                raise
            raise translated(self.name, self.info.guid, hook, error) from error

    def _guarded(self, hook: str, generation: Generation) -> Routine:
        """Return the routine of a hook: `Generation.run`, written out here for speed."""
        if hook not in self.hooks:
            return raising(lambda: self._unsupported(hook))
        name, guid, inside = self.name, self.info.guid, generation.lifetime.inside
        method, check = self._method(hook), self._checks.of(hook)
        silent, speaks_c = hook in SILENT, hook in C_SPEAKING

        # Three arguments, whatever the hook has: see `fitted`, which leaves out the others.
        def routine(first: Any = None, second: Any = None, third: Any = None) -> Any:
            ident = get_ident()
            outer = ident in inside
            try:
                inside[ident] = hook
                if not generation.open:
                    raise generation.refusal()
                if speaks_c:
                    last_error.code = 0
                result = method(guid, first, second, third)
                return None if result is None and silent else check(result)
            except (Exception, SystemExit, GeneratorExit) as error:
                if isinstance(error, NspError):
                    translated(name, guid, hook, error)  # says whose it is
                    raise
                raise translated(name, guid, hook, error) from error
            finally:
                if not outer:
                    inside.pop(ident, None)

        return routine
