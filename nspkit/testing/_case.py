"""One provider under proof: what the kit was given, and the ways in which rules handle it."""

from __future__ import annotations

import contextlib
import inspect
import socket
from time import monotonic
from typing import TYPE_CHECKING, Any

from nspkit import Address, Cancellation, Catalog, Host, ProviderInfo, Query, Resources, Service
from nspkit.errors import NspError, error_for, get_last_error, set_last_error
from nspkit.hookspecs import C_SPEAKING, HOOKS, PROJECT
from nspkit.testing._limits import within
from nspkit.testing._rule import broken, require, told

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from nspkit import Change, Session
    from nspkit.testing._probe import Finding

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
        findings: dict[Any, Finding] | None = None,
    ) -> None:
        self.provider = provider
        self.settings = dict(settings or {})
        self.query = Query() if query is None else query
        self.service = SERVICE if service is None else service
        self.patience = patience
        self.rounds = rounds
        self.findings = {} if findings is None else findings
        self.implementations = implementations_in(provider)

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

    def within(self, what: str, function: Callable[[], Any]) -> Any:
        """Call a function, and wait for it no longer than the patience."""
        __tracebackhide__ = True
        return within(self.patience, what, function)

    # -- in a host -----------------------------------------------------------------------------

    def host(self) -> Host:
        """Return a new host that has this provider only."""
        catalog = Catalog()
        try:
            entry = catalog.install(self.provider)
        except NspError as error:
            broken(f"no host takes {self.name}: {error.message}", error)
        return Host(
            catalog=catalog,
            settings={entry.name: dict(self.settings)},
            cleanup_timeout=self.patience,
        )

    def startup(self, host: Host) -> Session:
        """Start the provider in a host, within the patience."""
        session: Session = self.within("nsp_startup", lambda: host.startup(self.info.guid))
        return session

    @contextlib.contextmanager
    def session(self) -> Iterator[Session]:
        """Start the provider in a host of its own; the host is closed at the end."""
        host = self.host()
        try:
            yield self.startup(host)
        except BaseException as error:
            with contextlib.suppress(NspError):
                host.close()
            raise error
        host.close()

    def find(self, session: Session, query: Query | None = None) -> list[Service]:
        """Look up, and return all results, within the patience."""
        asked = self.query if query is None else query

        def look_up() -> list[Service]:
            with session.lookup(asked) as lookup:
                return list(lookup)

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


class Instance:
    """One instance of a provider without a host: its hooks are called as a host would."""

    def __init__(self, case: Case, resources: Resources | None = None) -> None:
        """Make it; ``resources`` is the release stack that its startup is given."""
        self.case = case
        self.object = case.provider()
        self.resources = Resources(f"kit, {case.name}") if resources is None else resources

    def call(self, hook: str, **arguments: Any) -> Any:
        """Call a hook with those of the arguments that it takes, on this thread.

        Raises:
            NspError: it speaks C and says that it failed.
        """
        require(self.case.has(hook), f"{self.case.name} has no {hook}; write it, with @hookimpl")
        method = getattr(self.object, self.case.implementations[hook])
        given = {"guid": self.case.info.guid, **arguments}
        parameters = inspect.signature(method).parameters.values()
        wanted = [one.name for one in parameters if one.default is one.empty]
        set_last_error(0)
        result = method(*(given[name] for name in wanted if name in given))
        if hook in C_SPEAKING and result not in (None, 0):
            if isinstance(result, bool) or not isinstance(result, int):
                broken(f"{hook} returned {result!r:.80}; it must return nothing")
            raise error_for(
                (get_last_error() if result == -1 else result) or 10107,
                f"{hook} said that it failed, with {result}",
            )
        return result

    def start(self, settings: Mapping[str, Any] | None = None) -> None:
        """Run ``nsp_startup`` within the patience."""
        chosen = dict(self.case.settings if settings is None else settings)
        self.case.within(
            "nsp_startup",
            lambda: self.call("nsp_startup", settings=chosen, resources=self.resources),
        )

    def stop(self) -> None:
        """Run ``nsp_cleanup`` and release the resources, within the patience."""
        try:
            self.case.within("nsp_cleanup", lambda: self.call("nsp_cleanup"))
        finally:
            self.give_back()

    def give_back(self) -> None:
        """Release the resources, within the patience."""
        self.case.within("the release of the resources", self.resources.close)

    def lookup(
        self, query: Query | None = None, cancellation: Cancellation | None = None
    ) -> Iterator[Service]:
        """Begin a lookup and return its iterator; nothing limits it but the cancellation."""
        return self._begin("nsp_lookup_service", query, cancellation)

    def watch(
        self, query: Query | None = None, cancellation: Cancellation | None = None
    ) -> Iterator[Change | None]:
        """Begin a watch and return its iterator."""
        return self._begin("nsp_notify_change", query, cancellation)

    def _begin(
        self, hook: str, query: Query | None, cancellation: Cancellation | None
    ) -> Iterator[Any]:
        result: Iterable[Any] = self.call(
            hook,
            query=self.case.query if query is None else query,
            cancellation=self._limit() if cancellation is None else cancellation,
        )
        if isinstance(result, (str, bytes, dict)) or not hasattr(type(result), "__iter__"):
            broken(f"{hook} returned {result!r:.80}; make it a generator, or return a list")
        return iter(result)

    def find(self, query: Query | None = None) -> list[Any]:
        """Look up, and return whatever it yields, within the patience."""

        def look_up() -> list[Any]:
            results = self.lookup(query)
            try:
                return list(results)
            finally:
                close(results)

        found: list[Any] = self.case.within("nsp_lookup_service", look_up)
        return found

    def _limit(self) -> Cancellation:
        return Cancellation(monotonic() + self.case.patience)


def close(iterator: object) -> None:
    """End an iteration, as a host does: a generator has ``close``, other iterators need not."""
    end = getattr(iterator, "close", None)
    if end is not None:
        end()


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
