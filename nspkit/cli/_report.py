"""What is said of the providers that were asked, beside what they found or did.

An error is one of three kinds. A provider that knows of nothing has answered, and one that lacks a
setting could not be asked: a person who has an answer from another one need not hear of either.
All others have failed, and that is always told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nspkit import EntryState, EventKind, NspError
from nspkit.cli._output import complain
from nspkit.cli._status import Status
from nspkit.errors import (
    NoDataError,
    NotReadyError,
    OperationNotSupportedError,
    OperationTimeoutError,
    ServiceNotFoundError,
    TypeNotFoundError,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

    from nspkit import Event, Host, Namespace

_KNOWS_OF_NOTHING = (ServiceNotFoundError, NoDataError, TypeNotFoundError)
_COULD_NOT_BE_ASKED = (NotReadyError, OperationNotSupportedError)
_MINOR = (*_KNOWS_OF_NOTHING, *_COULD_NOT_BE_ASKED)


def is_minor(error: BaseException) -> bool:
    """Whether it is told to those only who want to know more."""
    return isinstance(error, _MINOR)


def parts_of(error: NspError) -> list[NspError]:
    """Return the errors that one stands for; its own message repeats what each of them says."""
    return [one for one in error.errors if isinstance(one, NspError)] or [error]


def error_record(error: BaseException) -> dict[str, Any]:
    """Return what an error says, by name."""
    if not isinstance(error, NspError):
        return {"code": None, "symbol": None, "message": str(error)}
    return {"code": int(error.code), "symbol": error.symbol, "message": error.message}


class Report:
    """Who was asked by one command, and what to say of them."""

    def __init__(self, host: Host, *, verbose: bool) -> None:
        """Listen to a host that has started nothing yet."""
        self._verbose = verbose
        # The host tells the names of those that it starts; asking the catalog for the name that
        # belongs to a GUID would import every provider.
        self._names: dict[UUID | None, str] = {}
        self._told: set[UUID | None] = set()
        self._said: set[str] = set()
        host.events.subscribe(self._listen)

    def name_of(self, guid: UUID | None) -> str:
        """Return the short name of a provider that was asked."""
        return self._names.get(guid, str(guid))

    def conclude(self, what: str, errors: Sequence[NspError], *, found: bool) -> Status:
        """Say what there is to say at the end of a lookup, and return its status."""
        failed = [error for error in errors if not is_minor(error)]
        for error in errors if self._verbose else failed:
            self._tell(error, is_minor=is_minor(error))
        if found:
            return Status.DONE
        if failed:
            return Status.FAILED
        unasked = {one.guid for one in errors if isinstance(one, _COULD_NOT_BE_ASKED)}
        # A copy, because those that are late may be started now.
        names = self._names.copy()
        asked = sorted(name for guid, name in names.items() if guid not in unasked)
        if errors and not asked:
            self._tell_all("no provider is ready to be asked", errors)
            return Status.FAILED
        at = f" at {', '.join(asked)}" if asked else ""
        silent = [error for error in errors if isinstance(error, _KNOWS_OF_NOTHING)]
        self._tell_all(f"nothing found for {what}{at}", silent if len(asked) == 1 else ())
        return Status.NOT_FOUND

    def succeeded(self, errors: Iterable[NspError]) -> list[str]:
        """Return the names of those that were started, without those that an error is of."""
        failed = {error.guid for error in errors}
        return sorted(name for guid, name in self._names.copy().items() if guid not in failed)

    def tell_passed_over(
        self, host: Host, namespace: Namespace | None, errors: Iterable[NspError]
    ) -> None:
        """Name, to those who want to know, the providers that lack what was asked of all."""
        if not self._verbose:
            return
        guids = {error.guid for error in errors}
        for entry in host.providers():
            if entry.state is not EntryState.OK or entry.guid in guids | self._names.keys():
                continue
            if namespace is None or entry.serves(namespace):
                complain(f"{entry.name}: it cannot register services", style="dim")

    def fail(self, what: str, error: NspError) -> Status:
        """Say why something could not be done, provider by provider, and return the status."""
        parts = parts_of(error)
        failed = [one for one in parts if not is_minor(one)]
        if len(parts) == 1 or self._verbose or failed:
            for one in parts if self._verbose or not failed else failed:
                self._tell(one)
        else:
            complain(f"no provider could {what}; --verbose tells why")
        return Status.FAILED

    def tell(self, error: NspError) -> None:
        """Say what went wrong beside what went well."""
        if self._verbose or not is_minor(error):
            self._tell(error, is_minor=is_minor(error))

    def record(self, error: NspError) -> dict[str, Any]:
        """Return an error for a program, with the name of its provider."""
        return {"provider": self._names.get(error.guid), **error_record(error)}

    def shown(self, error: NspError) -> str:
        """Return an error in a line, with the name of its provider unless that is in it."""
        text = str(error)
        name = self._names.get(error.guid)
        return text if name is None or f"'{name}'" in text else f"{name}: {text}"

    def tell_late(self, errors: Iterable[BaseException]) -> None:
        """Say what went wrong in the end, but not twice that something hangs."""
        for error in errors:
            is_known = isinstance(error, OperationTimeoutError) and (
                error.guid in self._told if error.guid is not None else bool(self._told)
            )
            if self._verbose or not is_known:
                self._tell(error)

    def _listen(self, event: Event) -> None:
        if event.kind in (EventKind.STARTED, EventKind.START_FAILED):
            self._names[event.guid] = event.name

    def _tell_all(self, summary: str, errors: Sequence[NspError]) -> None:
        """Say what the only one said; of several that is for those who want to know."""
        if len(errors) == 1 and not self._verbose:
            self._tell(errors[0])
        else:
            complain(summary if self._verbose or not errors else f"{summary}; --verbose tells why")

    def _tell(self, error: BaseException, *, is_minor: bool = False) -> None:
        if isinstance(error, NspError):
            self._told.add(error.guid)
            text = self.shown(error)
        else:
            notes = [note for note in getattr(error, "__notes__", ()) if "\n" not in note]
            text = ", ".join([f"{type(error).__name__}: {error}", *notes])
        if text not in self._said:  # two that have one GUID say the same
            self._said.add(text)
            complain(text, style="dim" if is_minor else "red")
