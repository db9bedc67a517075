"""The platform's own resolver, as an nspkit provider."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nspkit import LookupFlags, Namespace, ProviderInfo, hookimpl
from nspkit.errors import (
    CancelledError,
    InvalidArgumentError,
    NoDataError,
    OperationTimeoutError,
    ServiceNotFoundError,
    TryAgainError,
)

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterable, Iterator, Mapping
    from queue import SimpleQueue

    from nspkit import Cancellation, Query, Resources, Service
    from nspkit_system._question import Question

__all__ = ["SystemProvider"]

_MOST_THREADS = 64
_MOST_WAITING = 1000


class SystemProvider:
    """Asks the platform's resolver, on a few threads of its own.

    A call of the resolver cannot be interrupted, so no caller makes one: it waits for a message,
    either the answer or that it need not wait any more. An answer that comes too late is dropped.
    """

    # Not DNS: the platform mixes files, DNS, multicast DNS and whatever else it was told to.
    info = ProviderInfo(
        "c7b3bea5-c100-4a9a-bc09-119e20ba91a5", "system", Namespace.TCPIP_LOCAL, "0.1.0"
    )

    _questions: SimpleQueue[Question | None]
    _threads: int

    @hookimpl
    def nsp_startup(self, settings: Mapping[str, Any], resources: Resources) -> None:
        """Start the threads, and have the end of questions end them."""
        self._threads = _threads_in(settings)
        from queue import SimpleQueue  # its put() may be interrupted by another put()

        self._questions = SimpleQueue()
        try:
            for number in range(1, self._threads + 1):
                resources.thread(self._answer, name=f"nspkit-system-{number}")
            # Released first, so that the threads do not wait for a question any more.
            resources.callback(self._questions.put, None, name="end of questions")
        except BaseException:
            # The threads that there are would wait, and their release for them.
            self._questions.put(None)
            raise

    @hookimpl
    def nsp_cleanup(self) -> None:
        """Leave the threads to the release of the resources.

        One that is inside the platform's resolver ends when that comes back; until then the
        cleanup is not complete, and the host's time limit says so.
        """

    @hookimpl
    def nsp_lookup_service(self, query: Query, cancellation: Cancellation) -> Iterable[Service]:
        """Find the addresses of a name, or the name of an address."""
        if LookupFlags.CONTAINERS in query.flags:
            raise NoDataError("the platform's resolver has no containers")
        if query.name is None:
            raise ServiceNotFoundError("the platform's resolver cannot list names; give one")
        from nspkit_system._question import Question

        return self._wait(Question(query, query.name), cancellation)

    def _wait(self, question: Question, cancellation: Cancellation) -> Iterator[Service]:
        from queue import Empty

        waiting = self._questions.qsize()
        if waiting >= _MOST_WAITING:
            raise TryAgainError(
                f"the platform's resolver does not come back: {waiting} questions wait for "
                f"{self._threads} threads; try again later, or raise the setting 'threads'"
            )
        cancellation.on_cancel(question.abandon)
        self._questions.put(question)
        try:
            outcome = question.outcome.get(timeout=cancellation.remaining())
        except Empty:
            outcome = OperationTimeoutError(f"no answer to {question.name!r} came in time")
        finally:
            question.abandoned = True
        try:
            if outcome is None:
                raise CancelledError(f"nobody waits for the answer to {question.name!r} any more")
            if isinstance(outcome, BaseException):
                raise outcome
            yield from outcome
        finally:
            del outcome  # an error refers to this frame

    def _answer(self, _stop: threading.Event) -> None:
        for question in iter(self._questions.get, None):
            question.answer()
        self._questions.put(None)  # for the next thread


def _threads_in(settings: Mapping[str, Any]) -> int:
    unknown = sorted(map(repr, settings.keys() - {"threads"}))
    if unknown:
        raise InvalidArgumentError(
            f"system has no setting {', '.join(unknown)}; the one it has is 'threads'"
        )
    threads = settings.get("threads", 4)
    right = isinstance(threads, int) and not isinstance(threads, bool)
    if right and 1 <= threads <= _MOST_THREADS:
        return int(threads)
    raise InvalidArgumentError(
        f"the setting 'threads' of system is {threads!r:.60}: give an integer from 1 to "
        f"{_MOST_THREADS}"
    )
