"""One provider under proof: what the kit was given, and the ways in which rules handle it."""

from __future__ import annotations

import contextlib
import copy
import inspect
import socket
import weakref
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any

from nspkit import Address, Catalog, Host, ProviderInfo, Query, Service
from nspkit.errors import CleanupTimeoutError, NspError
from nspkit.hookspecs import HOOKS, PROJECT
from nspkit.testing._instance import Instance, taken
from nspkit.testing._limits import Errand, HangsError, within
from nspkit.testing._rule import broken, told
from nspkit.testing._running import look

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from nspkit import Resources, Session

SERVICE = Service(
    "nspkit-conformance",
    service_class="_nspkit-conformance._tcp",
    addresses=[Address.inet("192.0.2.1", 4711, type=socket.SOCK_STREAM, proto=6)],
)
"""What is registered where an author gives no service of their own."""

PATIENCE = 10.0
"""How many seconds one step of a provider may take, where nobody says otherwise."""

ROUNDS = 100
"""How many times a provider is started and stopped to see what adds up."""

HANGS = 2
"""How often the whole patience is spent on one thing that hangs; after that it is a tenth."""


class Case:
    """A provider class, and what is needed to prove it.

    Args:
        provider: The class that an entry point would name.
        settings: What an application would set; nothing by default.
        query: A query that finds something; by default one for everything.
        service: A service that can be registered; by default one of the class
            ``_nspkit-conformance._tcp`` at 192.0.2.1, an address that is nobody's.
        patience: How many seconds one step may take.
        rounds: How many times it is started and stopped to see what adds up.
        findings: What rules find out for others, by whatever they like.
        is_debugged: Whether somebody wants to see the variables of what failed.
        is_told: Whether the message of what failed is enough, without the error itself.
    """

    def __init__(
        self,
        provider: Any,
        *,
        settings: Mapping[str, Any] | None = None,
        query: Query | None = None,
        service: Service | None = None,
        patience: float = PATIENCE,
        rounds: int = ROUNDS,
        findings: dict[Any, Any] | None = None,
        is_debugged: bool = False,
        is_told: bool = False,
    ) -> None:
        self.provider = provider
        self.settings = dict(settings or {})
        self.query = Query() if query is None else query
        self.service = SERVICE if service is None else service
        self.patience = patience
        self.rounds = rounds
        self.findings = {} if findings is None else findings
        self.is_debugged = is_debugged
        self.is_told = is_told
        self.implementations = implementations_in(provider)
        self.sign_of_life = monotonic()
        self._given_up = False
        self._hosts: list[weakref.ref[Host]] = []

    @property
    def name(self) -> str:
        """The name of the class, for messages."""
        return getattr(self.provider, "__qualname__", repr(self.provider))

    @property
    def info(self) -> ProviderInfo:
        """The info of the provider."""
        info = getattr(self.provider, "info", None)
        if not isinstance(info, ProviderInfo):
            broken(f"{self.name} has no info; see the rule contract.info")
        return info

    def has(self, hook: str) -> bool:
        """Whether the provider has a hook."""
        return hook in self.implementations

    def within(self, what: str, function: Callable[[], Any], *, times: int = 1) -> Any:
        """Call a function, and wait for it no longer than the patience, or so many times that."""
        __tracebackhide__ = True
        self.go_on()
        try:
            return within(times * self.limit(what), what, function)
        except HangsError:
            self.note_hanging(what)
            raise
        finally:
            self.sign_of_life = monotonic()

    def limit(self, what: str) -> float:
        """Return how long to wait: what hangs with each rule is waited for in full but twice."""
        return self.short if self.findings.get(("hangs", what), 0) >= HANGS else self.patience

    @property
    def short(self) -> float:
        """How long to wait for what has hung already."""
        return min(self.patience, max(0.05, self.patience / 10), 1.0)

    def note_hanging(self, what: str) -> None:
        """Count that something hangs, for all rules."""
        self.findings["hangs", what] = self.findings.get(("hangs", what), 0) + 1

    # -- one rule ------------------------------------------------------------------------------

    def look(self, check: Callable[[Case], object]) -> None:
        """Call a rule's function, with a case of its own; come back though the provider does not.

        Raises:
            RuleBrokenError: the provider breaks the rule, or hangs.
            Exception: what else the provider raised.
        """
        __tracebackhide__ = True
        case = copy.copy(self)
        case.sign_of_life = monotonic()
        case._hosts = []
        try:
            look(check, case)
        finally:
            case._given_up = True  # what of it still hangs is to do no more when it comes back

    def give_up(self) -> None:
        """End the hosts of a rule that nobody waits for any more, or give them up as well.

        One that was open at the end of the process would be waited for then.
        """
        self._given_up = True
        errands = [
            Errand("the end of a host", partial(host.close, timeout=self.short))
            for host in filter(None, [one() for one in self._hosts])
        ]
        until = monotonic() + 3 * self.short
        for errand in errands:
            errand.wait(until - monotonic())

    def go_on(self) -> None:
        """Show that a rule gets further; between two of these nothing may take long.

        Raises:
            RuleBrokenError: nobody waits for it any more.
        """
        if self._given_up:
            broken("nobody waits for this rule any more")
        self.sign_of_life = monotonic()

    # -- in a host -----------------------------------------------------------------------------

    def host(self) -> Host:
        """Return a new host that has this provider only."""
        self.go_on()
        catalog = Catalog()
        try:
            entry = catalog.install(self.provider)
        except NspError as error:
            broken(f"no host takes {self.name}: {error.message}", error)
        host = Host(
            catalog=catalog,
            settings={entry.name: dict(self.settings)},
            cleanup_timeout=self.limit("nsp_cleanup"),
        )
        self._hosts = [one for one in self._hosts if one() is not None] + [weakref.ref(host)]
        return host

    def startup(self, host: Host) -> Session:
        """Start the provider in a host, within the patience."""
        session: Session = self.within("nsp_startup", lambda: host.startup(self.info.guid))
        return session

    @contextlib.contextmanager
    def open_host(self) -> Iterator[Host]:
        """Make a host, and close it at the end; what happens in the block is what is told."""
        host = self.host()
        try:
            yield host
        except BaseException as error:
            # What hangs does so at the end, too.
            timeout = self.short if isinstance(error, HangsError) else None
            with contextlib.suppress(NspError):
                host.close(timeout=timeout)
            raise error
        self.end(host)

    def end(self, host: Host) -> None:
        """Close a host.

        Raises:
            CleanupTimeoutError: the cleanup does not come back in its time (WSAETIMEDOUT 10060).
            NspError: it failed.
        """
        try:
            host.close()
        except CleanupTimeoutError:
            self.note_hanging("nsp_cleanup")
            raise

    @contextlib.contextmanager
    def session(self) -> Iterator[Session]:
        """Start the provider in a host of its own; the host is closed at the end."""
        with self.open_host() as host:
            yield self.startup(host)

    def find(self, session: Session, query: Query | None = None) -> list[Service]:
        """Look up, and return all results, within the patience."""
        asked = self.query if query is None else query

        def look_up() -> list[Service]:
            with session.lookup(asked) as lookup:
                return taken(lookup, self.patience)

        found: list[Service] = self.within("nsp_lookup_service", look_up)
        return found

    # -- without a host ------------------------------------------------------------------------

    def instance(self, resources: Resources | None = None) -> Instance:
        """Make an instance that no host knows."""
        return Instance(self, resources)

    @contextlib.contextmanager
    def running(self) -> Iterator[Instance]:
        """Start an instance that no host knows; it is stopped at the end."""
        instance = self.instance()
        instance.start()
        try:
            yield instance
        except BaseException as error:
            with contextlib.suppress(Exception):
                instance.stop()
            raise error
        instance.stop()


def implementations_in(provider: Any) -> dict[str, str]:
    """Return the hooks that a class implements, and the name of the method of each."""
    found = {}
    for name in dir(provider) if isinstance(provider, type) else ():
        attribute = inspect.getattr_static(provider, name)
        function = getattr(attribute, "__func__", attribute)
        options = getattr(function, f"{PROJECT}_impl", None)
        if isinstance(options, dict):
            hook = options.get("specname") or name
            if hook in HOOKS:
                found[hook] = name
    return found


def attempt(what: str, function: Callable[[], Any], *allowed: type[BaseException]) -> Any:
    """Call a function; return None if it raises what is allowed.

    Raises:
        RuleBrokenError: it raised anything else.
    """
    __tracebackhide__ = True
    try:
        return function()
    except allowed:
        return None
    except AssertionError:
        raise
    except Exception as error:
        names = ", ".join(sorted(kind.__name__ for kind in allowed)) or "nothing"
        broken(f"{what} raised {told(error)}; right is {names}", error)
