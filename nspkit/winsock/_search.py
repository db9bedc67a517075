"""A query behind a handle: what is found, what went wrong last, and what has changed since."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nspkit import ChangeKind, EntryState, LookupFlags, Namespace, Query, ResultFlags
from nspkit.errors import (
    CancelledError,
    InProgressError,
    InvalidArgumentError,
    InvalidHandleError,
    NoMoreError,
    NspError,
)
from nspkit.winsock._feed import Feed, Told

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from nspkit import CatalogEntry, Change, Host, Lookup, Service, Session

_MEMBERS: tuple[tuple[LookupFlags, str, object], ...] = (
    (LookupFlags.RETURN_NAME, "name", ""),
    (LookupFlags.RETURN_TYPE, "service_class", None),
    (LookupFlags.RETURN_VERSION, "version", None),
    (LookupFlags.RETURN_COMMENT, "comment", ""),
    (LookupFlags.RETURN_ADDR, "addresses", ()),
    (LookupFlags.RETURN_BLOB, "blob", None),
)

_FLAG_OF = {
    ChangeKind.ADDED: ResultFlags.IS_ADDED,
    ChangeKind.CHANGED: ResultFlags.IS_CHANGED,
    ChangeKind.REMOVED: ResultFlags.IS_DELETED,
}

_UNUSABLE = frozenset(set(EntryState) - {EntryState.OK})


class Search:
    """One query, from its begin to its end."""

    __slots__ = (
        "_claims",
        "_feeds",
        "_has_told_failure",
        "_host",
        "_keeps",
        "_lookup",
        "_query",
        "_session",
        "_told",
    )

    def __init__(
        self, host: Host, query: Query, lookup: Lookup, session: Session | None = None
    ) -> None:
        """Make one of a lookup that has begun, in a session or else of the host."""
        self._host = host
        self._query = query
        self._lookup = lookup
        self._session = session
        self._feeds: dict[None, Feed] = {}
        self._has_told_failure = query.provider is not None  # then the lookup raises it
        self._told = Told()
        self._keeps: bool | None = None  # whether it keeps what it tells, once that is known
        self._claims: dict[None, object] = {}

    # -- results -------------------------------------------------------------------------------

    def next(self, flags: LookupFlags) -> Service:
        """Return the next result, with what ``flags`` ask for, if they ask for anything.

        Raises:
            NoMoreError: there is none (WSA_E_NO_MORE 10110).
            CancelledError: the query is being ended (WSA_E_CANCELLED 10111).
            NspError: what the last provider failed with, once.
        """
        asked = flags & LookupFlags.RETURN_ALL
        while True:
            if self._claims:
                raise CancelledError("this query is being ended")
            service = self._following()
            is_alias = service.flags & ResultFlags.IS_ALIAS
            if not (asked and is_alias and not flags & LookupFlags.RETURN_ALIASES):
                return narrowed(service, asked)

    def _following(self) -> Service:
        try:
            service = next(self._lookup)
            if self._is_kept():
                self._told.add(service)
            return service
        except StopIteration:
            self._told.complete = self._is_kept()
            self._tell_last_failure()
        except InProgressError:
            raise  # two threads at once: nobody has failed
        except NspError:
            self._told.complete = self._is_kept()
            self._has_told_failure = True
            raise
        feed = self._feeds.get(None)
        change = None if feed is None else feed.take()
        if change is None:
            raise NoMoreError("there are no more results")
        return flagged(change)

    def _is_kept(self) -> bool:
        """Whether to keep what is told: of one provider, at which changes can be asked for."""
        if self._keeps is None:
            try:
                self.provider()
                self._keeps = True
            except InvalidArgumentError:
                self._keeps = False
        return self._keeps

    def _tell_last_failure(self) -> None:
        """Raise, once, what the last provider failed with after others have answered.

        One that could not even be started was left out from the beginning, and is not told.
        """
        if self._has_told_failure:
            return
        self._has_told_failure = True
        errors = self._lookup.errors
        asked = [one for one in self._serving() if one.state not in _UNUSABLE] if errors else []
        if asked and errors[-1].guid == asked[-1].guid:
            raise errors[-1]

    def _serving(self) -> list[CatalogEntry]:
        """Return the providers that the query goes to, as far as they can be loaded."""
        namespace = self._query.namespace
        return [
            entry
            for entry in self._host.providers()
            if entry.enabled
            and entry.info is not None
            and namespace in (Namespace.ALL, entry.info.namespace)
        ]

    # -- control -------------------------------------------------------------------------------

    def provider(self) -> UUID | str:
        """Return the only provider that the query goes to.

        Raises:
            InvalidArgumentError: there are several (WSAEINVAL 10022).
        """
        if self._query.provider is not None:
            return self._query.provider
        guids = [entry.guid for entry in self._serving()]
        if len(guids) != 1 or guids[0] is None:
            raise InvalidArgumentError(
                f"this query goes to {len(guids)} providers; a control request is for one: begin "
                "the query with its GUID"
            )
        return guids[0]

    def control(self, code: int, data: bytes) -> bytes | None:
        """Make a control request of the provider's own; returns its output."""
        provider = self.provider()
        if self._session is not None:
            return self._session.ioctl(code, data)
        with self._host.startup(provider) as session:
            return session.ioctl(code, data)

    def poll(self) -> None:
        """Return if the results have changed.

        Raises:
            NspError: they have not (WSAEWOULDBLOCK 10035), or that cannot be told.
        """
        self._fed().poll()

    def notify(self, completion: Callable[[int], object]) -> None:
        """Have ``completion`` called with 0 when the results change, with 995 at the end."""
        self._fed().notify(completion)

    def _fed(self) -> Feed:
        provider = self.provider()
        feed = self._feeds.get(None)
        if feed is None:
            watched: Any = self._host if self._session is None else self._session
            fresh = Feed(watched.watch(self._query.replace(provider=provider)), self._told)
            feed = self._feeds.setdefault(None, fresh)
            if feed is not fresh or self._claims:
                fresh.close()  # another thread was quicker, or has ended the query
        feed.settle()
        return feed

    # -- the end -------------------------------------------------------------------------------

    def end(self) -> None:
        """End it, from any thread; who waits for a result gets CancelledError (10111).

        Raises:
            InvalidHandleError: it was ended already (WSA_INVALID_HANDLE 6).
        """
        claim = object()
        if self._claims.setdefault(None, claim) is not claim:
            raise InvalidHandleError("this query was ended already")
        try:
            self._lookup.close()
        finally:
            for feed in self._feeds.values():
                feed.close()
            self.join()

    def join(self) -> None:
        """Wait a moment for the thread that calls its completions, once these are due."""
        for feed in self._feeds.values():
            feed.join()


def narrowed(service: Service, asked: LookupFlags) -> Service:
    """Return the service with those members only that are asked for; all, if none is."""
    if not asked or asked == LookupFlags.RETURN_ALL:
        return service
    left_out = {member: empty for flag, member, empty in _MEMBERS if not asked & flag}
    return service.replace(**left_out)


def flagged(change: Change) -> Service:
    """Return a change as a result: the service, flagged with what happened to it."""
    return change.service.replace(flags=change.service.flags | _FLAG_OF[change.kind])
