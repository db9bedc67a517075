"""Ordered release: what a provider acquires, given back last in, first out, all of it.

`Resources` has the surface of `contextlib.ExitStack` and keeps what that loses: on CPython 3.11 to
3.13 an ExitStack whose body was clean raises only the last of several errors. Here every release
is tried, also past a KeyboardInterrupt, and every error is kept, in order.
"""

from __future__ import annotations

import threading
from contextvars import copy_context
from functools import partial
from time import monotonic
from types import MethodType
from typing import TYPE_CHECKING, Any, TypeVar

from nspkit.errors import InProgressError, InvalidArgumentError, NotInitialisedError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from types import TracebackType
    from typing import Self

    Exit = Callable[
        [type[BaseException] | None, BaseException | None, TracebackType | None], object
    ]
    StepReport = Callable[[str, float, BaseException | None], None]

T = TypeVar("T")


class Resources:
    """A stack of things to release, in reverse order of their acquisition.

    The host gives every provider one in ``nsp_startup``; it is of use on its own too, as a context
    manager. Every method that adds something takes ``name=``, which reports and notes show. All
    methods may be called from any thread.
    """

    __slots__ = ("__weakref__", "_carrying", "_exits", "_lock", "_released", "_where")

    def __init__(
        self,
        where: str = "resources",
        carrying: Callable[[Callable[..., object]], Callable[..., object]] | None = None,
    ) -> None:
        """Make an empty one; ``where`` names it, ``carrying`` prepares functions for threads."""
        self._where = where
        self._carrying = carrying or _in_a_copy_of_the_context
        self._exits: list[tuple[str, Exit]] = []
        self._released = False
        # Reentrant, so that a signal handler that adds a resource is refused instead of stuck.
        self._lock = threading.RLock()

    def __repr__(self) -> str:
        state = "released" if self._released else f"{len(self._exits)} held"
        return f"<Resources of {self._where}: {state}>"

    def enter_context(self, manager: AbstractContextManager[T], *, name: str | None = None) -> T:
        """Enter a context manager and return its value; its exit is released in its turn.

        Raises:
            InvalidArgumentError: ``manager`` is not a context manager (WSAEINVAL 10022).
            NotInitialisedError: the release began (10093); what was entered has been left again.
        """
        kind = type(manager)
        enter, leave = getattr(kind, "__enter__", None), getattr(kind, "__exit__", None)
        if enter is None or leave is None:
            raise InvalidArgumentError(
                f"{self._where}: {manager!r} is not a context manager; use callback() for a "
                "plain function"
            )
        value: T = enter(manager)
        # Entered first, recorded then: an exit must never run for what was not entered.
        # No function of our own around it, here and below: see `Release._step`.
        self._add(name or kind.__qualname__, MethodType(leave, manager))
        return value

    def push(self, exit: T, *, name: str | None = None) -> T:
        """Add an object with ``__exit__``, or a function of its signature; returns it.

        Raises:
            InvalidArgumentError: ``exit`` is neither (WSAEINVAL 10022).
            NotInitialisedError: the release began (10093); ``exit`` has been called.
        """
        leave = getattr(type(exit), "__exit__", None)
        if leave is not None:
            self._add(name or type(exit).__qualname__, MethodType(leave, exit))
        elif callable(exit):
            self._add(name or _name_of(exit), exit)
        else:
            raise InvalidArgumentError(
                f"{self._where}: {exit!r} has no __exit__ and cannot be called"
            )
        return exit

    def callback(
        self, function: Callable[..., T], *args: Any, name: str | None = None, **kwargs: Any
    ) -> Callable[..., T]:
        """Add a function that is called with these arguments; returns it.

        Raises:
            InvalidArgumentError: ``function`` cannot be called (WSAEINVAL 10022).
            NotInitialisedError: the release began (10093); ``function`` has been called.
        """
        if not callable(function):
            raise InvalidArgumentError(f"{self._where}: {function!r} cannot be called")

        self._add(name or _name_of(function), _Call(function, *args, **kwargs))
        return function

    def thread(
        self, target: Callable[..., object], *args: Any, name: str | None = None
    ) -> threading.Thread:
        """Start a daemon thread that is told to stop, and joined, in its turn.

        ``target`` is called with a `threading.Event` first, then ``args``; it should come back
        soon after the event is set. It runs in a copy of this thread's context, and the host knows
        whose it is. What it raises goes to `threading.excepthook`.

        Raises:
            NotInitialisedError: the release began (10093); the thread has been stopped again.
            RuntimeError: the system has no thread to give.
        """
        stop = threading.Event()
        label = name or _name_of(target)
        thread = threading.Thread(
            target=self._carrying(target), args=(stop, *args), name=label, daemon=True
        )
        try:
            thread.start()
            self._add(f"thread {label}", _ThreadExit(thread, stop))
        except BaseException:
            stop.set()  # interrupted in between, it is on no stack: nobody else tells it to stop
            raise
        return thread

    def pop_all(self) -> Resources:
        """Move everything to a new stack and return it; this one goes on empty.

        Raises:
            NotInitialisedError: the release began (WSANOTINITIALISED 10093).
        """
        moved = Resources(self._where, self._carrying)
        with self._locked():
            if self._released:
                raise self._refusal("pop_all()")
            moved._exits, self._exits = self._exits, []
        return moved

    def close(self) -> None:
        """Release everything, last in, first out; a second call does nothing.

        Raises:
            Exception: the one error of the releases, as it was raised.
            ExceptionGroup: all errors, in order, where there were several.
            KeyboardInterrupt: raised at the end, with the other errors as its cause.
        """
        self.__exit__(None, None, None)

    def _forget(self) -> object:
        """Void it in a forked child, where nothing of it is the child's to release.

        Returns what must never be dropped there. The lock is replaced, never taken.
        """
        self._lock = threading.RLock()
        self._released = True
        exits, self._exits = self._exits, []
        return exits

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        release = Release(self, error)
        release.run()
        errors, release.errors = release.errors, []
        try:
            _raise_together(f"release of {self._where}", errors)
        finally:
            del errors  # a raised error refers to this frame: no cycle
        return error is not None and release.body is None

    def _add(self, name: str, leave: Exit) -> None:
        with self._locked():
            if not self._released:
                self._exits.append((name, leave))
                return
        try:
            leave() if isinstance(leave, _Call) else leave(None, None, None)
        except Exception as error:
            error.add_note(f"while releasing {name!r}, which came after the release began")
            raise self._refusal(name) from error
        raise self._refusal(name)

    def _locked(self) -> threading.RLock:
        if self._lock._is_owned():  # type: ignore[attr-defined]
            raise InProgressError(
                f"{self._where} is being changed by this very thread, which was interrupted; "
                "add resources outside of signal handlers and finalisers"
            )
        return self._lock

    def _refusal(self, what: str) -> NotInitialisedError:
        return NotInitialisedError(
            f"{self._where}: {what} came after the release began; acquire in nsp_startup, or "
            "before the final cleanup"
        )


class Release:
    """One release of a stack, step by step: it can be interrupted and run on."""

    __slots__ = ("_exits", "_resources", "body", "errors")

    def __init__(self, resources: Resources, body: BaseException | None = None) -> None:
        """Make one that has not begun; ``body`` is the error that the exits are shown."""
        self._resources = resources
        self._exits: list[tuple[str, Exit]] = []
        self.body = body
        self.errors: list[BaseException] = []

    def run(self, report: StepReport | None = None, deadline: float | None = None) -> None:
        """Release all that is left; errors are in ``errors`` afterwards.

        ``deadline`` (`time.monotonic` seconds) bounds the joining of threads: only the exit of
        the interpreter sets it, where nobody can wait for a thread for ever. InProgressError
        (10036): called by a signal handler while this thread adds something.
        """
        try:
            self._run(report, deadline)
        except BaseException as error:
            # An interrupt between two steps keeps nothing from its release.
            self.errors.append(error)
            self._run(report, deadline)

    def _run(self, report: StepReport | None, deadline: float | None) -> None:
        with self._resources._locked():
            self._resources._released = True
            # Twice the same as once: an interrupt on the way out brings us here again.
            self._exits, self._resources._exits = self._resources._exits or self._exits, []
        while self._exits:
            try:
                while self._exits:
                    self._step(report, deadline)
            except BaseException as error:
                self.errors.append(error)

    def _step(self, report: StepReport | None, deadline: float | None) -> None:
        name, leave = self._exits[-1]
        if isinstance(leave, _ThreadExit):
            leave.stop(deadline)  # while it is on the stack: twice is the same as once
        body, began, error = self.body, monotonic(), None
        kind, traceback = (None, None) if body is None else (type(body), body.__traceback__)
        is_call = isinstance(leave, _Call)
        try:
            # Taken off right before the call: whatever comes out of it, or arrives on the way
            # back, the same release never runs twice and the next one is tried. And right into
            # the author's code: an interrupt on entering ours would lose what is off the stack.
            del self._exits[-1]
            if is_call:
                leave()  # type: ignore[call-arg]
            elif leave(kind, body, traceback) and body is not None:
                self.body = None
        except BaseException as caught:
            self.errors.append(caught)
            caught.add_note(f"while releasing {name!r}")
            error = caught
        try:
            if report is not None:
                report(name, monotonic() - began, error)
        finally:
            # An error refers to this frame: no cycle, and it must not keep the resource.
            del error, body, leave, traceback


class _Call(partial[object]):
    """A function that is called with arguments of its own instead of the details of an exit."""


class _ThreadExit:
    """Stops a thread and joins it."""

    __slots__ = ("_deadline", "_stop", "_thread")

    def __init__(self, thread: threading.Thread, stop: threading.Event) -> None:
        self._thread = thread
        self._stop = stop
        self._deadline: float | None = None

    def stop(self, deadline: float | None) -> None:
        """Tell it to come back, and when that is awaited no longer."""
        self._deadline = deadline
        self._stop.set()

    def __call__(self, *_details: object) -> None:
        self._stop.set()
        if self._deadline is None:
            self._thread.join()
            return
        self._thread.join(max(0.0, self._deadline - monotonic()))
        if self._thread.is_alive():
            raise TimeoutError(f"thread {self._thread.name!r} did not end in time")


def _in_a_copy_of_the_context(function: Callable[..., object]) -> Callable[..., object]:
    return partial(copy_context().run, function)


def _name_of(function: object) -> str:
    return getattr(function, "__qualname__", None) or type(function).__qualname__


def _raise_together(what: str, errors: list[BaseException]) -> None:
    """Raise what a release left: an interrupt first, one error as it is, more as a group."""
    try:
        for interrupt in errors:
            if not isinstance(interrupt, Exception):
                rest = [error for error in errors if error is not interrupt]
                raise interrupt from (BaseExceptionGroup(what, rest) if rest else None)
        if len(errors) == 1:
            raise errors[0]
        if errors:
            raise BaseExceptionGroup(what, errors)
    finally:
        errors = rest = []
        interrupt = None  # type: ignore[assignment]
