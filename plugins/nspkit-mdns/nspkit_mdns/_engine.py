"""The one Zeroconf of a process, on an event loop and a thread of its own.

One, because each instance has sockets of its own on the same port: an answer to one of them may
reach another one only, and a name that is taken is then not noticed.
"""

from __future__ import annotations

import asyncio
import os
import selectors
import threading
from _thread import allocate_lock
from hashlib import blake2s
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakValueDictionary

from nspkit.errors import CancelledError, NotInitialisedError
from nspkit_mdns._bell import PATIENCE, Alarm, Bell
from nspkit_mdns._opening import opened_on
from nspkit_mdns._wire import AsyncZeroconf

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from nspkit import Cancellation
    from nspkit_mdns._wire import Zeroconf

T = TypeVar("T")

_ROUNDS = 3
"""Who is cancelled may have a goodbye to say, which is a task, too."""


class Engine:
    """A Zeroconf that is opened, answers, and is closed, all on one thread.

    Args:
        interfaces: The addresses of the interfaces; None for every one, over IPv4.
        before: The one before it, which has to be closed first.

    Attributes:
        ready: Rung when it is open, or when that failed.
        ended: Rung when nothing of it is left but the thread that is about to end.
        failure: Why it could not be opened, or has broken down.
    """

    def __init__(self, interfaces: tuple[str, ...] | None, before: Engine | None) -> None:
        self.interfaces = interfaces
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._salt = os.urandom(8)
        self.ready, self.ended = Bell(), Bell()
        self.failure: BaseException | None = None
        self._before = before
        self._pid = os.getpid()
        self._selector: selectors.BaseSelector | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._halt: asyncio.Event | None = None
        self._halted = False
        self._open: Zeroconf | None = None
        self._farewells: set[asyncio.Task[Any]] = set()
        self._waking: set[Callable[[], object]] = set()
        self._begun = allocate_lock()  # for whoever is first: its thread, or who gives it up
        self._thread = threading.Thread(target=self._run, name="nspkit-mdns", daemon=True)

    # -- on any thread -------------------------------------------------------------------------

    def begin(self) -> None:
        """Start the thread; once."""
        try:
            self._thread.start()
        except BaseException as error:
            # Ctrl-C may strike before there is a thread, or after.
            if self._begun.acquire(blocking=False):
                self.failure = error
                self.ready.ring()
                self.ended.ring()
            if not isinstance(error, RuntimeError):  # the system has no thread to give
                raise

    def halt(self) -> None:
        """Have it close; `ended` tells when it has."""
        self._halted = True
        self.soon(self._stop)

    def join(self) -> None:
        """Wait for its end."""
        while not self.ended.wait(PATIENCE):
            pass
        if self._thread.ident is not None:
            self._thread.join()

    def check(self) -> None:
        """See whether it can be used here and now.

        Raises:
            NotInitialisedError: It is closed, or this is a forked child (10093).
        """
        self.check_process()
        if self.failure is not None:
            raise NotInitialisedError(
                f"mdns has broken down: {self.failure!r:.200}; stop it, and start it again"
            )
        if self.ended.rung or self._halted:
            raise NotInitialisedError("mdns has been stopped: start it again")

    @property
    def is_foreign(self) -> bool:
        """Whether this is a forked child, in which its thread does not run."""
        return os.getpid() != self._pid

    @property
    def zeroconf(self) -> Zeroconf:
        """The Zeroconf, for what runs on its thread."""
        assert self._open is not None
        return self._open

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop, for what runs on its thread."""
        assert self._loop is not None
        return self._loop

    def soon(self, function: Callable[..., object], *args: object) -> None:
        """Have a function called on the thread, soon; not at all if it has ended."""
        loop = self._loop
        if loop is not None and not self.is_foreign:
            try:
                loop.call_soon_threadsafe(function, *args)
            except RuntimeError:
                pass  # the loop is closed

    def run(
        self,
        work: Callable[..., Coroutine[Any, Any, T]],
        *args: object,
        cancellation: Cancellation | None = None,
        alarm: Alarm | None = None,
    ) -> T:
        """Have a coroutine run on the thread, and wait for what it returns.

        ``alarm`` is that of the cancellation, where many questions have the same one.

        Raises:
            CancelledError: Nobody waits any more, or it was stopped meanwhile (10111).
            NotInitialisedError: It cannot be used here (10093).
        """
        self.check()
        box: SimpleQueue[asyncio.Task[T] | None] = SimpleQueue()
        tasks: list[asyncio.Task[T]] = []

        def begin() -> None:
            task = self.loop.create_task(work(*args))
            tasks.append(task)
            task.add_done_callback(box.put)
            # Where nobody waits any more, it has failed for nobody.
            task.add_done_callback(lambda done: done.cancelled() or done.exception())

        def cancel() -> None:
            for task in tasks:
                task.cancel()

        if cancellation is not None:
            (alarm or Alarm(cancellation)).wakes(box)
        try:
            self.soon(begin)
            return self._outcome(box, cancellation)
        finally:
            if not tasks or not tasks[0].done():
                self.soon(cancel)

    def _outcome(
        self, box: SimpleQueue[asyncio.Task[T] | None], cancellation: Cancellation | None
    ) -> T:
        task = None
        while task is None:
            if cancellation is not None and cancellation.cancelled:
                raise CancelledError("the lookup was cancelled")
            if self.ended.rung and box.empty():
                raise CancelledError("mdns was stopped meanwhile")
            left = cancellation.remaining() if cancellation is not None else None
            try:
                task = box.get(timeout=PATIENCE if left is None else min(PATIENCE, left))
            except Empty:
                self.check_process()
        if task.cancelled():
            raise CancelledError("mdns was stopped meanwhile")
        return task.result()

    def check_process(self) -> None:
        """See whether this is the process that it was opened in: in another nothing answers.

        Raises:
            NotInitialisedError: This is a forked child (10093).
        """
        if self.is_foreign:
            raise NotInitialisedError(
                "this process was forked after mdns had begun, which is the parent's: start the "
                "provider in a host of its own"
            )

    # -- on its thread -------------------------------------------------------------------------

    def farewell(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine that the end waits for."""
        task = self.loop.create_task(work)
        self._farewells.add(task)
        task.add_done_callback(self._farewells.discard)

    def wake_at_end(self, wake: Callable[[], object]) -> None:
        """Have a function called when it closes."""
        self._waking.add(wake)

    def let_sleep(self, wake: Callable[[], object]) -> None:
        """Have it called no more."""
        self._waking.discard(wake)

    def turn(self, key: str) -> asyncio.Lock:
        """Return the lock of a name: who registers it does so one after the other."""
        return self._turns.setdefault(key, asyncio.Lock())

    def server(self, addresses: tuple[bytes, ...]) -> str:
        """Return the name of the host that has these addresses, as this process tells them.

        No other process has it: who gave the name of the machine to some of its addresses would
        take it from whoever has told the others.
        """
        digest = blake2s(b"".join(sorted(addresses)), key=self._salt, digest_size=6).hexdigest()
        return f"nspkit-{digest}.local."

    def _run(self) -> None:
        if not self._begun.acquire(blocking=False):
            return
        try:
            while self._before is not None and not self._before.ended.wait(PATIENCE):
                pass
            self._before = None
            self._selector = selectors.DefaultSelector()
            self._loop = asyncio.SelectorEventLoop(self._selector)
            try:
                self._work(self._loop)
            finally:
                self._loop.close()
        except BaseException as error:
            self.failure = error
        finally:
            self.ready.ring()
            for wake in tuple(self._waking):
                wake()
            self._open = None
            self.ended.ring()

    def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        serving = loop.create_task(self._serve())
        try:
            loop.run_until_complete(serving)
        except BaseException as error:
            self.failure = error
            if not serving.done():  # something else has stopped the loop: close what is open
                self.halt()
                loop.run_until_complete(serving)
            raise

    async def _serve(self) -> None:
        self._halt = asyncio.Event()
        if self._halted:
            return
        async with AsyncZeroconf(zc=opened_on(self.interfaces)) as opened:
            await opened.zeroconf.async_wait_for_start()
            self._open = opened.zeroconf
            self.ready.ring()
            await self._halt.wait()
            await self._wind_up()

    async def _wind_up(self) -> None:
        """End what is in progress, and let those who say goodbye finish."""
        for wake in tuple(self._waking):
            wake()
        own = asyncio.current_task()
        for _ in range(_ROUNDS):
            rest = asyncio.all_tasks() - self._farewells - {own}
            for task in rest:
                task.cancel()
            await asyncio.gather(*rest, *self._farewells, return_exceptions=True)

    def _stop(self) -> None:
        if self._halt is not None:
            self._halt.set()

    # -- in a forked child ---------------------------------------------------------------------

    def abandon(self) -> None:
        """Let go of what a forked child has of it, without touching the parent's.

        A child that kept the sockets would go on being sent answers, which the parent then lacks;
        and what it did to the selector would be done to the parent's, too.
        """
        selector = self._selector
        if selector is None or not selector.get_map():
            return  # not open yet, or closed
        nothing = os.open(os.devnull, os.O_RDWR)
        for number in [*selector.get_map(), _number(selector)]:
            if number is not None:
                os.dup2(nothing, number, inheritable=False)
        os.close(nothing)


def _number(selector: selectors.BaseSelector) -> Any:
    number = getattr(selector, "fileno", None)
    return None if number is None else number()
