"""How a host is asked to watch: the query put together, the providers chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nspkit._constants import LookupFlags, Namespace
from nspkit._model import ProviderInfo, Query
from nspkit._picture import Picture
from nspkit._setup import seconds_in
from nspkit._watch import Watch
from nspkit.errors import InvalidArgumentError, ServiceNotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from nspkit._account import Account
    from nspkit._accounts import Accounts
    from nspkit._generation import Generation
    from nspkit._late import Later
    from nspkit._model import Version

SHORTEST = 0.01
"""The least number of seconds between two polls: without a pause a poll is a busy loop."""


class Watching:
    """What a host can do about changes."""

    _accounts: Accounts
    _later: Later

    def watch(
        self,
        query: str | Query | None = None,
        *,
        interval: float = 1.0,
        service_class: UUID | str | None = None,
        namespace: Namespace | int = Namespace.ALL,
        provider: UUID | str | ProviderInfo | None = None,
        context: str = "",
        version: Version | int | None = None,
        protocols: Iterable[tuple[int, int]] = (),
        query_string: str = "",
        flags: LookupFlags | int = LookupFlags.RETURN_ALL,
        blob: bytes | None = None,
    ) -> Watch:
        """Watch what a lookup would find: at one provider, at those of a namespace, or at all.

        A provider that has ``nsp_notify_change`` tells what changes; of any other the lookup is
        repeated and the results compared. Providers are started as they are needed and watched
        side by side, each on a thread of its own. Directed at one provider, that is started in
        this thread, and belongs to the watch until one of the two ends.

        Args:
            query: What is looked for, or a whole `Query`; None for anything. What is given beside
                a whole query replaces that part of it.
            interval: How many seconds there are between two polls, at least: where a name is
                asked for and what was found holds longer by its ``ttl``, so long, but an hour at
                most.
            service_class: The class, a GUID or a DNS-SD type. This and what follows are the
                restrictions of a `Query`, which tells more about them.
            namespace: Watch the providers of this namespace; ``Namespace.ALL`` for every one.
            provider: Watch this provider only.
            context: Where a hierarchical search starts.
            version: The version asked for.
            protocols: Pairs (family, protocol number): addresses for one of them only.
            query_string: Further conditions in a language of the provider's.
            flags: Which members of a result to return; only a change of these is one.
            blob: Private data for the provider.

        Raises:
            InvalidArgumentError: an argument is not acceptable (WSAEINVAL 10022).
            InvalidProviderError: no such provider, or it is disabled (WSAEINVAL 10022).
            ServiceNotFoundError: there is nobody to ask (WSASERVICE_NOT_FOUND 10108).
            OperationNotSupportedError: directed at a provider that has neither hook (10045).
            InProgressError: directed at a provider from inside it (WSAEINPROGRESS 10036).
            NotInitialisedError: the host is closed (WSANOTINITIALISED 10093).
            NspError: directed at one provider: what its start raised.
        """
        asked = query_of(
            query,
            service_class=service_class,
            namespace=namespace,
            provider=provider.guid if isinstance(provider, ProviderInfo) else provider,
            context=context,
            version=version,
            protocols=protocols,
            query_string=query_string,
            flags=flags,
            blob=blob,
        )
        self._later.settle()
        if asked.provider is not None:
            return self._watch_at(self._accounts.of(asked.provider), asked, interval)
        accounts = self._accounts.selected(asked.namespace)
        if not accounts:
            raise ServiceNotFoundError("there is no provider to watch; install or enable one")
        picture = self._picture(asked, interval, single=False)
        # First the face, then the threads: interrupted between two, it ends what was begun.
        watch = Watch(picture, self._later, self)
        for account in accounts:
            if account.lifetime.reentered():
                picture.pass_over(account.lifetime.reentry("a watch"))
            else:
                picture.add(account)
        return watch

    def _watch_at(
        self, account: Account, query: Query, interval: float, generation: Generation | None = None
    ) -> Watch:
        account.lifetime.refuse_reentry("a watch")
        picture = self._picture(query, interval, single=True)
        watch = Watch(picture, self._later, self)
        picture.add(account, generation)
        return watch

    def _picture(self, query: Query, interval: object, *, single: bool) -> Picture:
        seconds = seconds_in("interval", interval) or 0.0
        if seconds < SHORTEST:
            raise InvalidArgumentError(f"interval is {interval!r}; give {SHORTEST:g} s or more")
        return Picture(self._accounts.workers, query, interval=seconds, single=single)


def query_of(query: str | Query | None, **restrictions: Any) -> Query:
    """Return the query for a name, or a whole query with what is given beside it."""
    if not isinstance(query, Query):
        return Query(query, **restrictions)
    default = Query()
    changed = {
        name: value for name, value in restrictions.items() if value != getattr(default, name)
    }
    return query.replace(**changed) if changed else query
