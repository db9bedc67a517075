"""``nspkit register``: a service that is registered as long as the command runs."""

from __future__ import annotations

import threading
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from nspkit import EventKind, Namespace, NspError, RegistrationState
from nspkit.cli import _options
from nspkit.cli._ending import end
from nspkit.cli._offering import offered, placed, service_of
from nspkit.cli._output import Cell, Columns, complain, moment, standard_output, write_indented
from nspkit.cli._report import Report, error_record, is_minor, parts_of
from nspkit.cli._signals import Stop
from nspkit.cli._status import Status
from nspkit.errors import InvalidProviderError

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from nspkit import Event, Host, Registration

SHORTEST = 0.1
"""The shortest time to live, in seconds, that a host renews."""

PATIENCE = 5.0
"""How many seconds the back ends have to forget the service, when it ends."""

_LOOK_AGAIN = 1.0  # on some platforms a wait holds back Ctrl-C until its time is over
_INDENT = 4

_STATES = {
    EventKind.REGISTERED: RegistrationState.ACTIVE,
    EventKind.REGISTRATION_FAILED: RegistrationState.LOST,
    EventKind.DEREGISTERED: RegistrationState.RELEASED,
}
"""What an event says of the entry at one provider."""

_STYLES = {
    RegistrationState.PENDING: "yellow",
    RegistrationState.ACTIVE: "green",
    RegistrationState.LOST: "red",
    RegistrationState.RELEASED: "dim",
}


@click.command()
@offered
@click.option(
    "--ttl",
    metavar="SECONDS",
    default="30",
    callback=_options.seconds_from(SHORTEST),
    help="How long it is kept without a renewal; 30 by default.",
)
@placed
@_options.timeout("each provider may take at first")
@_options.config
@click.option("--json", "as_lines", is_flag=True, help="Write one JSON object a line.")
@click.option("-v", "--verbose", is_flag=True, help="Tell of those too that cannot register it.")
def register(
    *,
    name: str,
    ttl: float,
    provider: str | None,
    namespace: Namespace | None,
    multiple: bool,
    timeout: float,
    file: str | None,
    as_lines: bool,
    verbose: bool,
    **described: Any,
) -> Status:
    """Register a service, and keep it registered until Ctrl-C.

    It is renewed every third of its time to live, and registered again when a provider has lost
    it. A line tells how it stands at each provider, whenever that changes: pending, active, lost,
    released. At least one provider has to take it.

    Ctrl-C and SIGTERM take it back; a second one does not wait for that. Whoever is killed leaves
    it behind until its time to live is over.

    Exit status: 0 ended by SIGTERM, 130 by Ctrl-C, 2 wrong usage, 3 it could not be registered,
    or not be taken back.
    """
    service = service_of(name, ttl=ttl, **described)
    host = _options.host_of(file)
    report = Report(host, verbose=verbose)
    stay = _Stay(host, _recording(name) if as_lines else _writing(name, verbose=verbose))

    def begin() -> Registration:
        return host.register(
            service,
            provider=provider,
            namespace=Namespace.ALL if namespace is None else namespace,
            multiple=multiple,
            timeout=timeout,
        )

    status: Status | None = None
    with Stop(stay.ring) as stop:
        try:
            registration = stay.begin(begin, stop)
            if registration is not None:
                if provider is None:
                    report.tell_passed_over(host, namespace, registration.errors)
                stay.wait(stop)
                for error in stay.end(registration, stop):
                    report.tell(error)
        except InvalidProviderError as error:
            raise click.UsageError(error.message) from None
        except NspError as error:
            status = report.fail(f"register '{name}'", error)
        finally:
            late = end(host)
            stay.catch_up()
    report.tell_late(late)
    if stay.left:
        places = ", ".join(stay.left)
        complain(f"'{name}' was not taken back at {places}; it lapses within {ttl:g} s")
        status = Status.FAILED
    return stop.status if status is None else status


class _Stay:
    """One registration, from the first try until nothing of it is left.

    The main thread only listens: to what happens at the providers, on whatever thread, to what
    has been done, and to signals. So none of these can strike in the middle of another.
    """

    def __init__(self, host: Host, show: Callable[[Event, str], None]) -> None:
        """Listen to a host; ``show`` is called with each change of a provider's state."""
        self._show = show
        self._news: SimpleQueue[Event | _Outcome | None] = SimpleQueue()
        self._states: dict[str, tuple[str, str]] = {}
        self._held: list[tuple[Event, str]] | None = []
        host.events.subscribe(self._listen)

    def ring(self) -> None:
        """Have the main thread look whether it was asked to end."""
        self._news.put(None)

    @property
    def left(self) -> list[str]:
        """The short names of the providers that have it still, as far as is known."""
        there = (RegistrationState.ACTIVE, RegistrationState.LOST)
        return [name for name, (state, _) in self._states.items() if state in there]

    def begin(self, register: Callable[[], Registration], stop: Stop) -> Registration | None:
        """Register it; None if the end was asked for meanwhile.

        Raises:
            NspError: No provider has it.
        """
        outcome = self._do(register, stop, signals=1)
        if outcome is not None and outcome.error is not None:
            raise outcome.error
        for event, state in self._held or ():
            self._show(event, state)
        self._held = None
        registration: Registration | None = outcome.value if outcome else None
        return registration

    def wait(self, stop: Stop) -> None:
        """Show how it stands until the end is asked for."""
        self._listen_until(stop, signals=1)

    def end(self, registration: Registration, stop: Stop) -> list[NspError]:
        """Take it back, unless another signal comes; return what went wrong."""
        outcome = self._do(lambda: registration.close(timeout=PATIENCE), stop, signals=2)
        if outcome is None or outcome.error is None:
            return []
        if not isinstance(outcome.error, NspError):
            raise outcome.error
        return parts_of(outcome.error)

    def catch_up(self) -> None:
        """Show what has happened while nobody listened."""
        while not self._news.empty():
            self._take(self._news.get())

    def _listen(self, event: Event) -> None:
        if event.kind in _STATES:
            self._news.put(event)

    def _do(self, work: Callable[[], Any], stop: Stop, *, signals: int) -> _Outcome | None:
        """Have something done on a thread; None if so many signals have come first."""

        def run() -> None:
            try:
                outcome = _Outcome(work(), None)
            except BaseException as error:
                outcome = _Outcome(None, error)
            self._news.put(outcome)

        threading.Thread(target=run, name="nspkit-register", daemon=True).start()
        return self._listen_until(stop, signals=signals)

    def _listen_until(self, stop: Stop, *, signals: int) -> _Outcome | None:
        while stop.count < signals:
            try:
                outcome = self._take(self._news.get(timeout=_LOOK_AGAIN))
            except Empty:
                continue
            if outcome is not None:
                return outcome
        return None

    def _take(self, item: Event | _Outcome | None) -> _Outcome | None:
        if item is None or isinstance(item, _Outcome):
            return item
        name, state = item.name.partition(": ")[0], _STATES[item.kind]
        before = self._states.get(name, (RegistrationState.PENDING, ""))[0]
        if state is RegistrationState.LOST and before is RegistrationState.PENDING:
            state = before
        known = (state, str(item.error or ""))
        if known != self._states.get(name):
            self._states[name] = known
            if self._held is None:
                self._show(item, state)
            else:
                self._held.append((item, state))
        return None


class _Outcome(NamedTuple):
    """What became of something that was done on a thread."""

    value: Any
    error: BaseException | None


def _recording(name: str) -> Callable[[Event, str], None]:
    page = standard_output()

    def show(event: Event, state: str) -> None:
        guid: UUID | None = event.guid  # not known where the provider cannot be imported
        page.record(
            {
                "time": moment(),
                "name": name,
                "state": state,
                "provider": _provider(event),
                "guid": None if guid is None else str(guid),
                "error": None if event.error is None else error_record(event.error),
            }
        )

    return show


def _writing(name: str, *, verbose: bool) -> Callable[[Event, str], None]:
    page = standard_output()
    columns = Columns(max(map(len, _STYLES)))

    def show(event: Event, state: str) -> None:
        error = event.error
        if state is RegistrationState.PENDING and error and is_minor(error) and not verbose:
            return
        row = [Cell(state, _STYLES[state]), Cell(name), Cell(_provider(event), "cyan")]
        columns.fit(row)
        page.line(*columns.padded(row))
        if error is not None:
            write_indented(page, Cell(" ".join(str(error).split()), _STYLES[state]), _INDENT)

    return show


def _provider(event: Event) -> str:
    return event.name.partition(": ")[0]
