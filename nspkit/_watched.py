"""The open part of a watch: what a provider yields, each with what makes it the same service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nspkit._constants import ChangeKind, LookupFlags, ResultFlags
from nspkit._known import identity_of
from nspkit._model import Change
from nspkit._part import Part
from nspkit._results import shown
from nspkit.errors import ErrorCode, ProviderError

if TYPE_CHECKING:
    from nspkit._account import Account
    from nspkit._cancellation import Cancellation
    from nspkit._known import Identity
    from nspkit._model import Query, Service

LOOKUP, NOTIFY = "nsp_lookup_service", "nsp_notify_change"

TOLD: Any = object()
"""What `WatchedPart.step` returns when the provider has told all that is there."""

ABSENT = frozenset(
    (
        ErrorCode.WSASERVICE_NOT_FOUND,
        ErrorCode.WSATYPE_NOT_FOUND,
        ErrorCode.WSAHOST_NOT_FOUND,
        ErrorCode.WSANO_DATA,
        ErrorCode.WSAENOMORE,
        ErrorCode.WSA_E_NO_MORE,
    )
)
"""What a provider raises to say that there is nothing: an empty list, and no failure."""

FINAL = frozenset(
    (
        ErrorCode.WSAEINVAL,
        ErrorCode.WSAEOPNOTSUPP,
        ErrorCode.WSAVERNOTSUPPORTED,
        ErrorCode.WSANOTINITIALISED,
        ErrorCode.WSAEINVALIDPROCTABLE,
        ErrorCode.WSAEINVALIDPROVIDER,
    )
)
"""What does not become better by trying again."""


class WatchedPart(Part):
    """A part whose items come as (kind, identity, service).

    The identity is that of the whole service: narrowed to what the flags ask for, two may look
    alike. The service is None where nothing that is asked for has come: kind REMOVED if what was
    there under that identity is not any more, else ADDED.
    """

    __slots__ = ("_chooses", "_variants")

    def __init__(
        self, account: Account, query: Query, cancellation: Cancellation, hook: str
    ) -> None:
        """Make one that has not begun."""
        super().__init__(account, query, cancellation, hook)
        self._plain = False  # every item has to be looked at
        self._chooses = query.version is not None or not query.flags & LookupFlags.RETURN_ALIASES
        # What is there by what choices go by, and whether it is wanted; only where one is made.
        self._variants: dict[Identity, dict[Any, bool]] = {}

    def _checked(self, item: Any) -> Any:
        if self.hook == LOOKUP:
            service = super()._checked(item)
            return None if service is None else (ChangeKind.ADDED, identity_of(item), service)
        if item is None:
            return TOLD
        if type(item) is not Change:
            raise ProviderError(
                f"provider {self._name!r}: {self.hook} yielded {shown(item)}; it must yield "
                "Change objects, or None when all that is there has been told",
                guid=self._guid,
            )
        service = super()._checked(item.service)
        if self._chooses:
            return self._chosen(item.kind, item.service, service)
        return item.kind, identity_of(item.service), service

    def _chosen(self, kind: ChangeKind, told: Service, wanted: Service | None) -> Any:
        """Tell a change of what is wanted from one of another version, or alias, of that name."""
        identity = identity_of(told)
        variant = (told.version, told.flags & ResultFlags.IS_ALIAS)
        there = self._variants.setdefault(identity, {})
        if kind is not ChangeKind.ADDED and variant not in there:
            there.clear()  # what was there has become this one
        if kind is ChangeKind.REMOVED:
            there.pop(variant, None)
        else:
            there[variant] = wanted is not None
        has_gone = kind is not ChangeKind.ADDED and not any(there.values())
        if not there:
            del self._variants[identity]
        if wanted is not None:
            return kind, identity, wanted
        return ChangeKind.REMOVED if has_gone else ChangeKind.ADDED, identity, None
