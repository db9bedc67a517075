"""Middleware: wrappers that see every provider's hook calls, and act where they please."""

from __future__ import annotations

import sys
import threading
import uuid
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from nspkit import (
    Catalog,
    Change,
    ChangeKind,
    Host,
    Namespace,
    NspError,
    ProviderInfo,
    Service,
    ServiceClass,
    ServiceOperation,
    hookimpl,
)
from nspkit.errors import (
    InvalidProcedureTableError,
    NotReadyError,
    OperationNotSupportedError,
    OperationTimeoutError,
    ProviderError,
    ProviderLoadError,
    TryAgainError,
    set_last_error,
)
from nspkit.hookspecs import HOOKS

LONG = 30.0


def provider(  # noqa: C901  # a class with nine hooks
    name: str, *, base: type = object, lacks: tuple[str, ...] = ()
) -> Any:
    """Return a provider class with every hook; ``act`` is what each of them does."""

    class Provider(base):  # type: ignore[misc]
        info = ProviderInfo(uuid.uuid5(uuid.NAMESPACE_DNS, name), name, Namespace.DNS, "1.0")
        instances: ClassVar[list[weakref.ref[Any]]] = []
        act: Callable[..., Any] = staticmethod(lambda hook, *args: None)

        def __init__(self) -> None:
            type(self).instances.append(weakref.ref(self))

        @hookimpl
        def nsp_startup(self, guid: Any, settings: Any, resources: Any) -> Any:
            return type(self).act("nsp_startup", settings, resources)

        @hookimpl
        def nsp_cleanup(self, guid: Any) -> Any:
            return type(self).act("nsp_cleanup")

        @hookimpl
        def nsp_lookup_service(self, guid: Any, query: Any, cancellation: Any) -> Any:
            found = type(self).act("nsp_lookup_service", query)
            return iter([Service("a"), Service("b")]) if found is None else found

        @hookimpl
        def nsp_set_service(self, guid: Any, service: Any, operation: Any, multiple: Any) -> Any:
            return type(self).act("nsp_set_service", service)

        @hookimpl
        def nsp_install_service_class(self, guid: Any, service_class: Any) -> Any:
            return type(self).act("nsp_install_service_class", service_class)

        @hookimpl
        def nsp_remove_service_class(self, guid: Any, class_id: Any) -> Any:
            return type(self).act("nsp_remove_service_class", class_id)

        @hookimpl
        def nsp_get_service_class_info(self, guid: Any, class_id: Any) -> Any:
            found = type(self).act("nsp_get_service_class_info", class_id)
            return ServiceClass.tcp(80) if found is None else found

        @hookimpl
        def nsp_notify_change(self, guid: Any, query: Any, cancellation: Any) -> Any:
            return iter([Change(ChangeKind.ADDED, Service("a"))])

        @hookimpl
        def nsp_ioctl(self, guid: Any, code: Any, data: Any) -> Any:
            return type(self).act("nsp_ioctl", code, data)

    for hook in lacks:
        setattr(Provider, hook, None)
    return Provider


class Seeing:
    """Tells of every hook: which provider, what went in, what came out."""

    def __init__(self, name: str = "", told: list[Any] | None = None) -> None:
        self.name = name
        self.told: list[Any] = [] if told is None else told

    def _see(self, hook: str, guid: Any) -> Iterator[Any]:
        self.told.append((self.name, "into", hook, guid))
        try:
            result = yield
        except BaseException as error:
            self.told.append((self.name, "error", hook, error))
            raise
        self.told.append((self.name, "out of", hook, result))
        return result

    @hookimpl(wrapper=True)
    def nsp_startup(self, guid: Any) -> Any:
        """See."""
        return (yield from self._see("nsp_startup", guid))

    @hookimpl(wrapper=True)
    def nsp_cleanup(self, guid: Any) -> Any:
        """See."""
        return (yield from self._see("nsp_cleanup", guid))

    @hookimpl(wrapper=True)
    def nsp_lookup_service(self, guid: Any) -> Any:
        """See."""
        return (yield from self._see("nsp_lookup_service", guid))

    @hookimpl(wrapper=True)
    def nsp_set_service(self, guid: Any) -> Any:
        """See."""
        return (yield from self._see("nsp_set_service", guid))

    @hookimpl(wrapper=True)
    def nsp_install_service_class(self, guid: Any) -> Any:
        """See."""
        return (yield from self._see("nsp_install_service_class", guid))

    @hookimpl(wrapper=True)
    def nsp_remove_service_class(self, guid: Any) -> Any:
        """See."""
        return (yield from self._see("nsp_remove_service_class", guid))

    @hookimpl(wrapper=True)
    def nsp_get_service_class_info(self, guid: Any) -> Any:
        """See."""
        return (yield from self._see("nsp_get_service_class_info", guid))

    @hookimpl(wrapper=True)
    def nsp_notify_change(self, guid: Any) -> Any:
        """See."""
        return (yield from self._see("nsp_notify_change", guid))

    @hookimpl(wrapper=True)
    def nsp_ioctl(self, guid: Any) -> Any:
        """See."""
        return (yield from self._see("nsp_ioctl", guid))


def host_of(*classes: Any, **options: Any) -> Host:
    """Return a host of these providers."""
    catalog = Catalog()
    for one in classes:
        catalog.install(one)
    return Host(catalog=catalog, **options)


def use_everything(host: Host, name: str) -> None:
    """Have every hook of a provider called."""
    with host.startup(name) as session:
        list(session.lookup("x"))
        session.set_service(Service("x"), ServiceOperation.REGISTER)
        session.install_service_class(ServiceClass.tcp(80))
        session.remove_service_class(ServiceClass.tcp(80).id)
        session.service_class(ServiceClass.tcp(80).id)
        with session.watch("x") as watch:
            next(watch)
        session.ioctl(1, b"")


# -- what it sees --------------------------------------------------------------------------------


def test_it_sees_every_hook_call_of_every_provider() -> None:
    """Startup and cleanup too; each with the GUID of its provider."""
    alpha, beta = provider("alpha"), provider("beta")
    seeing = Seeing()
    with host_of(alpha, beta, middleware=[seeing]) as host:
        use_everything(host, "alpha")
        use_everything(host, "beta")
    for one in (alpha, beta):
        seen = [
            hook for _, way, hook, guid in seeing.told if way == "into" and guid == one.info.guid
        ]
        assert set(seen) == set(HOOKS)
        assert seen[0] == "nsp_startup"
        assert seen[-1] == "nsp_cleanup"


def test_it_gets_the_arguments_of_the_hook_by_name() -> None:
    """As many of them as it takes."""
    got: list[Any] = []

    class Wrapper:
        @hookimpl(wrapper=True)
        def nsp_startup(self, resources: Any, settings: Any) -> Any:
            got.append((settings, type(resources).__name__))
            return (yield)

        @hookimpl(wrapper=True)
        def nsp_ioctl(self, data: bytes, code: int) -> Any:
            got.append((code, data))
            return (yield)

    settings = {"alpha": {"a": 1}}
    with host_of(provider("alpha"), middleware=[Wrapper()], settings=settings) as host:
        host.startup("alpha").ioctl(7, b"x")
    assert got == [({"a": 1}, "Resources"), (7, b"x")]


def test_the_first_named_is_the_outermost() -> None:
    """It sees a call first and its result last."""
    told: list[Any] = []
    wrappers = [Seeing("first", told), Seeing("second", told), Seeing("third", told)]
    with host_of(provider("alpha"), middleware=wrappers) as host:
        session = host.startup("alpha")
        told.clear()
        session.ioctl(1)
        assert [(name, way) for name, way, _, _ in told] == [
            ("first", "into"),
            ("second", "into"),
            ("third", "into"),
            ("third", "out of"),
            ("second", "out of"),
            ("first", "out of"),
        ]


@pytest.mark.parametrize("hook", ["nsp_ioctl", "nsp_startup", "nsp_cleanup", "nsp_lookup_service"])
def test_it_sees_a_provider_s_own_exceptions_before_they_are_translated(hook: str) -> None:
    """The very object; the application gets an error of nspkit with it as the cause."""
    alpha, seeing, error = provider("alpha"), Seeing(), OSError("the disk is gone")

    def act(called: str, *_args: Any) -> None:
        if called == hook:
            raise error

    alpha.act = staticmethod(act)
    host = host_of(alpha, middleware=[seeing])
    with pytest.raises((ProviderError, ProviderLoadError)) as caught:
        use_everything(host, "alpha")
    seen = [what for _, way, called, what in seeing.told if way == "error" and called == hook]
    assert seen == [error]
    assert caught.value.__cause__ is error
    host.close()


def test_it_sees_what_a_hook_that_speaks_c_returned() -> None:
    """The number itself; that it is a failure is found out after that."""
    alpha, seeing = provider("alpha"), Seeing()

    def act(hook: str, *_args: Any) -> int | None:
        if hook == "nsp_set_service":
            set_last_error(11002)
            return -1
        return None

    alpha.act = staticmethod(act)
    with host_of(alpha, middleware=[seeing]) as host:
        session = host.startup("alpha")
        with pytest.raises(TryAgainError):
            session.set_service(Service("x"), ServiceOperation.REGISTER)
    outs = [
        out for _, way, hook, out in seeing.told if (way, hook) == ("out of", "nsp_set_service")
    ]
    assert outs == [-1]


def test_without_middleware_none_is_active() -> None:
    """An installed one neither: the application has to name it."""
    alpha, seeing = provider("alpha"), Seeing()
    with host_of(alpha, middleware=[seeing]):
        pass
    with host_of(alpha) as host:
        use_everything(host, "alpha")
    assert seeing.told == []


# -- what it may do ------------------------------------------------------------------------------


def test_it_may_answer_from_a_cache() -> None:
    """With what the provider returned before; the provider is called all the same by pluggy."""
    alpha = provider("alpha")
    answers = iter([b"first", b"second"])
    alpha.act = staticmethod(lambda hook, *args: next(answers) if hook == "nsp_ioctl" else None)

    class Caching:
        def __init__(self) -> None:
            self.kept: dict[int, bytes] = {}

        @hookimpl(wrapper=True)
        def nsp_ioctl(self, code: int) -> Any:
            result = yield
            return self.kept.setdefault(code, result)

    with host_of(alpha, middleware=[Caching()]) as host:
        session = host.startup("alpha")
        assert [session.ioctl(1), session.ioctl(1)] == [b"first", b"first"]


def test_it_may_turn_an_error_into_an_answer() -> None:
    """A retry, or a value of old."""
    alpha = provider("alpha")

    def act(hook: str, *_args: Any) -> None:
        if hook == "nsp_ioctl":
            raise TryAgainError("busy")

    alpha.act = staticmethod(act)

    class Rescuing:
        @hookimpl(wrapper=True)
        def nsp_ioctl(self) -> Any:
            try:
                return (yield)
            except TryAgainError:
                return b"of old"

    with host_of(alpha, middleware=[Rescuing()]) as host:
        assert host.startup("alpha").ioctl(1) == b"of old"


def test_of_a_lookup_it_sees_items_through_a_generator_of_its_own() -> None:
    """What the wrapper returns is what the host iterates, closes, and checks."""
    alpha = provider("alpha")
    log: list[str] = []

    def results() -> Iterator[Service]:
        try:
            yield Service("one")
            yield Service("two")
        finally:
            log.append("closed by the wrapper")

    alpha.act = staticmethod(
        lambda hook, *args: results() if hook == "nsp_lookup_service" else None
    )

    class Timing:
        def passing(self, found: Any) -> Iterator[Service]:
            try:
                for item in found:
                    log.append(item.name)
                    yield item.replace(comment="seen")
            finally:
                found.close()
                log.append("closed by the host")

        @hookimpl(wrapper=True)
        def nsp_lookup_service(self) -> Any:
            return self.passing(iter((yield)))

    with host_of(alpha, middleware=[Timing()]) as host:
        lookup = host.lookup("x", provider="alpha")
        assert next(lookup).comment == "seen"
        lookup.close()
    assert log == ["one", "closed by the wrapper", "closed by the host"]


@pytest.mark.parametrize("options", [{}, {"provider": "alpha"}, {"timeout": LONG}], ids=repr)
def test_lookups_of_every_kind_go_through_it(options: dict[str, Any]) -> None:
    """Direct, with a time-out, over several providers."""
    seeing = Seeing()
    with host_of(provider("alpha"), middleware=[seeing]) as host:
        assert [service.name for service in host.lookup("x", **options)] == ["a", "b"]
    assert "nsp_lookup_service" in [hook for _, _, hook, _ in seeing.told]


@pytest.mark.parametrize(
    ("error", "code"),
    [(OSError("its own"), 10107), (NotReadyError("its own"), 10091), (TimeoutError(), 10060)],
)
def test_what_it_raises_itself_is_translated_like_a_provider_s(
    error: BaseException, code: int
) -> None:
    """Nobody can tell the two apart; the provider is named."""

    class Failing:
        @hookimpl(wrapper=True)
        def nsp_ioctl(self) -> Any:
            yield
            raise error

    with host_of(provider("alpha"), middleware=[Failing()]) as host:
        with pytest.raises(NspError) as caught:
            host.startup("alpha").ioctl(1)
        assert caught.value.code == code
        assert caught.value is error or caught.value.__cause__ is error


def test_what_it_returns_is_checked_like_a_provider_s() -> None:
    """10107, and what is right."""

    class Lying:
        @hookimpl(wrapper=True)
        def nsp_ioctl(self) -> Any:
            yield
            return "no bytes"

    with host_of(provider("alpha"), middleware=[Lying()]) as host:
        session = host.startup("alpha")
        with pytest.raises(ProviderError, match="bytes or None"):
            session.ioctl(1)


def test_one_that_fails_at_the_startup_has_the_start_rolled_back() -> None:
    """Also after the provider's own startup came back."""
    released: list[str] = []
    alpha = provider("alpha")
    alpha.act = staticmethod(
        lambda hook, *args: (
            args[1].callback(released.append, "released") and None
            if hook == "nsp_startup"
            else None
        )
    )

    class Failing:
        @hookimpl(wrapper=True)
        def nsp_startup(self) -> Any:
            yield
            raise OSError("its own")

    with host_of(alpha, middleware=[Failing()]) as host:
        with pytest.raises(ProviderLoadError):
            host.startup("alpha")
        assert released == ["released"]
        assert host.references("alpha") == 0


def test_one_that_fails_at_the_cleanup_does_not_keep_the_resources() -> None:
    """Its error is that of the step; the release goes on."""
    released: list[str] = []
    alpha = provider("alpha")
    alpha.act = staticmethod(
        lambda hook, *args: (
            args[1].callback(released.append, "released") and None
            if hook == "nsp_startup"
            else None
        )
    )

    class Failing:
        @hookimpl(wrapper=True)
        def nsp_cleanup(self) -> Any:
            yield
            raise TryAgainError("its own")

    with host_of(alpha, middleware=[Failing()]) as host:
        session = host.startup("alpha")
        with pytest.raises(TryAgainError):
            session.close()
        assert released == ["released"]


def test_a_hook_that_a_provider_lacks_is_not_there_because_of_it() -> None:
    """10045, without a call."""
    seeing = Seeing()
    alpha = provider("alpha", lacks=("nsp_ioctl", "nsp_lookup_service"))
    with host_of(alpha, middleware=[seeing]) as host:
        session = host.startup("alpha")
        assert not session.supports("nsp_ioctl")
        for call in (lambda: session.ioctl(1), lambda: session.lookup("x")):
            with pytest.raises(OperationNotSupportedError):
                call()
    assert "nsp_ioctl" not in [hook for _, _, hook, _ in seeing.told]


def test_it_runs_inside_the_provider_as_far_as_the_host_is_concerned() -> None:
    """A call back is refused (10036), and a cleanup waits for it."""
    codes: list[int] = []
    box = SimpleNamespace()

    class Calling:
        @hookimpl(wrapper=True)
        def nsp_ioctl(self) -> Any:
            for call in (lambda: box.host.cleanup("alpha"), box.host.close):
                try:
                    call()
                except NspError as error:
                    codes.append(int(error.code))
            return (yield)

    with host_of(provider("alpha"), middleware=[Calling()]) as box.host:
        box.host.startup("alpha").ioctl(1)
    assert codes == [10036, 10036]


def test_a_cleanup_waits_for_a_wrapper_that_is_inside() -> None:
    """Before and after the provider's own hook too."""
    entered, gate, order = threading.Event(), threading.Event(), []

    class Slow:
        @hookimpl(wrapper=True)
        def nsp_ioctl(self) -> Any:
            result = yield
            entered.set()
            assert gate.wait(LONG)
            order.append("wrapper")
            return result

        @hookimpl(wrapper=True)
        def nsp_cleanup(self) -> Any:
            order.append("cleanup")
            return (yield)

    host = host_of(provider("alpha"), middleware=[Slow()])
    session = host.startup("alpha")
    caller = threading.Thread(target=session.ioctl, args=(1,), daemon=True)
    caller.start()
    assert entered.wait(LONG)
    closer = threading.Thread(target=host.close, daemon=True)
    closer.start()
    assert order == []
    gate.set()
    closer.join(LONG)
    caller.join(LONG)
    assert order == ["wrapper", "cleanup"]


def test_two_hosts_may_share_a_wrapper_object() -> None:
    """It is the application's; a named one is made for each host."""
    seeing = Seeing()
    alpha = provider("alpha")
    with host_of(alpha, middleware=[seeing]) as one, host_of(alpha, middleware=[seeing]) as two:
        one.startup("alpha")
        two.startup("alpha")
    assert [hook for _, way, hook, _ in seeing.told if way == "into"].count("nsp_startup") == 2


class Unfit:
    """It takes what the hook does not have."""

    @hookimpl(wrapper=True)
    def nsp_ioctl(self, kode: int) -> Any:
        """See."""
        return (yield)


class Unknown(Seeing):
    """It wraps a hook that is none."""

    @hookimpl(wrapper=True)
    def nsp_iocontrol(self) -> Any:
        """See."""
        return (yield)


class NoGenerator:
    """It is marked as a wrapper and does not yield."""

    @hookimpl(wrapper=True)
    def nsp_ioctl(self) -> Any:
        """See nothing."""


@pytest.mark.parametrize("wrapper", [Unfit(), Unknown(), NoGenerator()])
def test_one_that_does_not_fit_a_hook_is_10104_and_nothing_is_started(wrapper: Any) -> None:
    """WSAEINVALIDPROCTABLE, from every start."""
    alpha = provider("alpha")
    called: list[str] = []
    alpha.act = staticmethod(lambda hook, *args: called.append(hook))
    with host_of(alpha, middleware=[wrapper]) as host:
        for _ in range(2):
            with pytest.raises(InvalidProcedureTableError, match="middleware"):
                host.startup("alpha")
    assert called == []
    assert [one() for one in alpha.instances] == [None, None]


def test_after_the_cleanup_the_instance_is_collected_while_the_middleware_lives() -> None:
    """Without a garbage collection."""
    alpha, seeing = provider("alpha"), Seeing()
    with host_of(alpha, middleware=[seeing]) as host:
        for _ in range(3):
            use_everything(host, "alpha")
            list(host.lookup("x", timeout=LONG))
            host.cleanup("alpha")
            seeing.told.clear()
            assert [one() for one in alpha.instances if one() is not None] == []


def test_a_provider_that_hangs_in_its_middleware_is_timed_out_all_the_same() -> None:
    """The time-out is outside of both."""
    gate = threading.Event()

    class Slow:
        @hookimpl(wrapper=True)
        def nsp_lookup_service(self) -> Any:
            gate.wait(LONG)
            return (yield)

    with host_of(provider("alpha"), middleware=[Slow()]) as host:
        with pytest.raises(OperationTimeoutError):
            list(host.lookup("x", provider="alpha", timeout=0.05))
        gate.set()


# -- by name -------------------------------------------------------------------------------------

MODULE = """
from nspkit import hookimpl

made = []

class Tracing:
    def __init__(self):
        self.seen = []
        made.append(self)

    @hookimpl(wrapper=True)
    def nsp_ioctl(self, code):
        self.seen.append(code)
        return (yield)
"""


@pytest.fixture
def tracing(tmp_path: Path, monkeypatch: Any) -> Iterator[Callable[[], list[Any]]]:
    """A function that returns the instances of an installed middleware that is called tracing."""
    information = tmp_path / "nspkit_tracing-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: nspkit-tracing\nVersion: 1.0\n"
    )
    points = "[nspkit.middleware]\ntracing = middleware_of_these_tests:Tracing\n"
    (information / "entry_points.txt").write_text(points)
    (tmp_path / "middleware_of_these_tests.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield lambda: sys.modules["middleware_of_these_tests"].made
    sys.modules.pop("middleware_of_these_tests", None)


def test_a_name_makes_an_installed_one_active(tracing: Callable[[], list[Any]]) -> None:
    """One instance for all providers and all starts of a host, another for the next host."""
    classes = provider("alpha"), provider("beta")
    with host_of(*classes, middleware=["tracing"]) as host:
        for name in ("alpha", "beta", "alpha"):
            with host.startup(name) as session:
                session.ioctl(5)
        (first,) = tracing()
        assert first.seen == [5, 5, 5]
        with host_of(*classes, middleware=["tracing"]):
            assert len(tracing()) == 2


def test_one_that_is_installed_and_not_named_is_not_even_imported(
    tracing: Callable[[], list[Any]],
) -> None:
    """It is for the application to say."""
    with host_of(provider("alpha")) as host:
        host.startup("alpha").ioctl(5)
    assert "middleware_of_these_tests" not in sys.modules
    assert tracing


def test_a_provider_class_of_a_subclass_has_its_hooks_wrapped_once() -> None:
    """Inherited hooks are the instance's own."""
    base = provider("base")
    seeing = Seeing()
    with host_of(provider("alpha", base=base), middleware=[seeing]) as host:
        host.startup("alpha").ioctl(1)
    into = [hook for _, way, hook, _ in seeing.told if way == "into"]
    assert into.count("nsp_ioctl") == 1
