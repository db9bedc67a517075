"""``host.set_service`` and the service classes: who is asked, and what is raised or returned."""

from __future__ import annotations

import gc
import threading
import uuid
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from nspkit import (
    Address,
    Catalog,
    Host,
    Namespace,
    NspError,
    Service,
    ServiceClass,
    ServiceOperation,
)
from nspkit._account import Account
from nspkit.errors import (
    AccessDeniedError,
    AlreadyExistsError,
    InProgressError,
    InvalidArgumentError,
    InvalidProviderError,
    NotInitialisedError,
    NotReadyError,
    OperationNotSupportedError,
    OperationTimeoutError,
    ProviderError,
    ServiceNotFoundError,
    TooManyReferencesError,
    TypeNotFoundError,
)

LONG = 30.0
REGISTER, DEREGISTER, DELETE = ServiceOperation
ONE, TWO = Address.inet("192.0.2.1", 80), Address.inet("192.0.2.2", 80)
WEB = Service("web", addresses=[ONE])
CLASS = ServiceClass.dns_sd("_http._tcp")
SETS = ("nsp_startup", "nsp_cleanup", "nsp_set_service")
CLASSES = (
    "nsp_startup",
    "nsp_cleanup",
    "nsp_set_service",
    "nsp_install_service_class",
    "nsp_remove_service_class",
    "nsp_get_service_class_info",
)


# -- the matrix reaches the provider as it is --------------------------------------------------


@pytest.mark.parametrize("provider", ["alpha", None], ids=["directed", "everywhere"])
@pytest.mark.parametrize(
    ("operation", "multiple", "left"),
    [
        (REGISTER, False, [TWO]),
        (REGISTER, True, [ONE, TWO]),
        (DEREGISTER, False, []),
        (DEREGISTER, True, [ONE]),
        (DELETE, False, None),
        (DELETE, True, [ONE]),
    ],
)
def test_the_six_rows_of_the_matrix(
    stage: Any,
    provider: str | None,
    operation: ServiceOperation,
    multiple: bool,
    left: list[Address] | None,
) -> None:
    """Operation and flag are what the provider is told; it does the rest."""
    alpha = stage.registry()
    host = stage.host(alpha)
    both = [ONE, TWO] if operation is not REGISTER else [ONE]
    host.set_service(WEB.replace(addresses=both), REGISTER, provider=provider)
    asked = WEB.replace(addresses=[TWO])
    assert host.set_service(asked, operation, multiple=multiple, provider=provider) == ()
    assert alpha.calls[-1] == (operation.name, "web", multiple)
    entry = alpha.entries.get("web")
    assert (None if entry is None else entry.addresses) == left


@pytest.mark.parametrize("operation", [DEREGISTER, DELETE])
@pytest.mark.parametrize("provider", ["alpha", None], ids=["directed", "everywhere"])
def test_what_is_not_there_cannot_be_taken_away(
    stage: Any, operation: ServiceOperation, provider: str | None
) -> None:
    """WSASERVICE_NOT_FOUND (10108)."""
    with pytest.raises(ServiceNotFoundError, match="no 'web' here"):
        stage.host(stage.registry()).set_service(WEB, operation, provider=provider)


def test_an_address_that_is_not_equal_is_not_removed(stage: Any) -> None:
    """Deleting with the flag compares addresses as they are."""
    alpha = stage.registry()
    host = stage.host(alpha)
    host.set_service(WEB, REGISTER)
    host.set_service(WEB.replace(addresses=[TWO]), DELETE, multiple=True)
    assert alpha.entries["web"].addresses == [ONE]


@pytest.mark.parametrize("operation", [0, 1, 2])
def test_an_operation_may_be_its_number(stage: Any, operation: int) -> None:
    """As Winsock has it."""
    alpha = stage.registry()
    host = stage.host(alpha)
    host.set_service(WEB, 0)
    host.set_service(WEB, operation)
    assert alpha.calls[-1][0] == ServiceOperation(operation).name


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (("web", REGISTER), {}),
        ((None, REGISTER), {}),
        ((WEB, 3), {}),
        ((WEB, "REGISTER"), {}),
        ((WEB, REGISTER), {"timeout": -1}),
        ((WEB, REGISTER), {"namespace": "dns"}),
        ((WEB, REGISTER), {"provider": "gone"}),
    ],
)
def test_what_is_not_acceptable_is_refused(stage: Any, arguments: Any, options: Any) -> None:
    """WSAEINVAL (10022), before any provider is asked."""
    alpha = stage.registry()
    with pytest.raises(InvalidArgumentError):
        stage.host(alpha).set_service(*arguments, **options)
    assert alpha.hooks_called == []


# -- who is asked ------------------------------------------------------------------------------


def test_a_provider_that_is_named_is_asked_alone(stage: Any) -> None:
    """By its short name, its GUID or its info; the namespace does not count then."""
    alpha, beta = stage.registry("alpha"), stage.registry("beta", namespace=Namespace.NLA)
    host = stage.host(alpha, beta)
    for provider in ("beta", beta.guid, str(beta.guid), beta.info):
        host.set_service(WEB, REGISTER, provider=provider, namespace=Namespace.DNS)
    assert alpha.calls == []
    assert len(beta.calls) == 4


def test_a_namespace_or_all_of_them_are_asked(stage: Any) -> None:
    """Every provider of the namespace; with none given every one that is enabled."""
    alpha, beta = stage.registry("alpha"), stage.registry("beta", namespace=Namespace.NLA)
    off = stage.registry("off")
    catalog = Catalog()
    for registry in (alpha, off, beta):
        catalog.install(registry.provider_class)
    catalog.enable("off", False)
    with Host(catalog=catalog) as host:
        host.set_service(WEB, REGISTER, namespace=Namespace.NLA)
        assert (len(alpha.calls), len(beta.calls)) == (0, 1)
        host.set_service(WEB, REGISTER, namespace=int(Namespace.DNS))
        assert (len(alpha.calls), len(beta.calls)) == (1, 1)
        host.set_service(WEB, REGISTER)
        assert (len(alpha.calls), len(beta.calls)) == (2, 2)
        with pytest.raises(InvalidProviderError, match="disabled"):
            host.set_service(WEB, REGISTER, provider="off")
    assert off.hooks_called == []


def test_a_result_is_taken_back_where_it_came_from(stage: Any) -> None:
    """It carries its provider, which counts unless the arguments say something else."""
    alpha, beta = stage.registry("alpha"), stage.registry("beta", namespace=Namespace.NLA)
    host = stage.host(alpha, beta)
    host.set_service(WEB, REGISTER)
    found = next(iter(host.lookup(provider="beta")))
    host.set_service(found, DELETE)
    assert ("web" in alpha, "web" in beta) == (True, False)
    host.set_service(found, REGISTER, namespace=Namespace.DNS)
    assert "web" not in beta
    host.set_service(found.replace(provider=None), REGISTER)
    assert "web" in beta


def test_who_lacks_the_hook_is_neither_asked_nor_started(stage: Any) -> None:
    """By name it is refused (10045); where nobody has it, so is the call."""
    mute = stage.registry("mute", hooks=("nsp_startup", "nsp_cleanup"))
    alpha = stage.registry("alpha")
    host = stage.host(mute, alpha)
    assert host.set_service(WEB, REGISTER) == ()
    assert mute.hooks_called == []
    with pytest.raises(OperationNotSupportedError, match="'mute' does not support"):
        host.set_service(WEB, REGISTER, provider="mute")
    with pytest.raises(OperationNotSupportedError, match="no provider that was asked"):
        stage.host(stage.registry("dumb", hooks=("nsp_startup",))).set_service(WEB, REGISTER)


def test_where_nobody_is_there_that_is_told(stage: Any) -> None:
    """WSASERVICE_NOT_FOUND (10108)."""
    host = stage.host()
    for call in (
        lambda: host.set_service(WEB, REGISTER),
        lambda: host.install_service_class(CLASS),
        lambda: host.remove_service_class(CLASS.id),
        lambda: host.service_class(CLASS.id),
    ):
        with pytest.raises(ServiceNotFoundError, match="install or enable one"):
            call()


def test_providers_are_started_for_it_and_stay_started(stage: Any) -> None:
    """With one reference, which is the host's."""
    alpha = stage.registry()
    host = stage.host(alpha)
    host.set_service(WEB, REGISTER)
    assert host.references("alpha") == 1
    host.set_service(WEB, REGISTER, provider="alpha")
    assert host.references("alpha") == 1
    assert alpha.hooks_called == ["startup", "REGISTER", "REGISTER"]


@pytest.mark.parametrize(
    "options", [{"provider": "alpha"}, {}, {"provider": "alpha", "timeout": 9}]
)
def test_a_provider_stopped_in_between_is_started_again(
    stage: Any, monkeypatch: pytest.MonkeyPatch, options: Any
) -> None:
    """Between the look at it and the call: the next round of its life is meant."""
    alpha = stage.registry()
    host = stage.host(alpha)
    ensure, stops = Account.ensure_started, [1]

    def ensure_started(account: Account) -> Any:
        generation = ensure(account)
        if stops:
            stops.pop()
            host.cleanup("alpha")
        return generation

    monkeypatch.setattr(Account, "ensure_started", ensure_started)
    host.set_service(WEB, REGISTER, **options)
    assert alpha.hooks_called == ["startup", "cleanup", "startup", "REGISTER"]


def test_a_provider_that_says_it_is_not_started_is_believed(stage: Any, failing: Any) -> None:
    """Its own 10093 is no reason to start it again."""
    alpha = stage.registry()
    alpha.before = failing(NotInitialisedError("no session with the server"))
    with pytest.raises(NotInitialisedError, match="no session"):
        stage.host(alpha).set_service(WEB, REGISTER, provider="alpha")
    assert alpha.calls == [("REGISTER", "web", False)]


def test_a_closed_host_refuses(stage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """WSANOTINITIALISED (10093), whoever is meant and however long; no thread is started."""
    alpha = stage.registry()
    host = stage.host(alpha)
    host.set_service(WEB, REGISTER, provider="alpha")
    host.close()
    monkeypatch.setattr(type(host._accounts.workers), "submit", None)
    for options in ({}, {"provider": "alpha"}, {"provider": "alpha", "timeout": 1}):
        with pytest.raises(NotInitialisedError):
            host.set_service(WEB, REGISTER, **options)
    assert len(alpha.calls) == 1


def test_from_inside_a_provider_that_one_is_not_asked(stage: Any) -> None:
    """Directed at it, it is refused (10036); among others it is recorded."""
    alpha, beta = stage.registry("alpha"), stage.registry("beta")
    host = stage.host(alpha, beta)
    met: list[NspError] = []

    def set_service() -> None:
        for timeout in (None, 1):
            with pytest.raises(InProgressError, match="nsp_set_service of provider 'alpha'"):
                host.set_service(WEB, REGISTER, provider="alpha", timeout=timeout)
        met.extend(host.set_service(WEB, REGISTER))

    alpha.lookup = set_service
    list(host.lookup(provider="alpha"))
    assert [error.code for error in met] == [10036]
    assert alpha.calls == []
    assert "web" in beta


def test_a_worker_goes_on_inside_the_calls_of_who_asked(stage: Any) -> None:
    """A provider that would come back to one that waits for it is refused, never stuck."""
    alpha, beta = stage.registry("alpha"), stage.registry("beta")
    host = stage.host(alpha, beta)
    seen: list[Any] = []

    def back(_operation: str, _service: Service) -> None:
        with pytest.raises(InProgressError) as caught:
            host.startup("alpha")
        seen.append(caught.value.code)

    beta.before = back
    alpha.lookup = lambda: host.set_service(WEB, REGISTER) and None
    list(host.lookup(provider="alpha"))
    assert seen == [10036]


# -- what fails --------------------------------------------------------------------------------


def test_one_success_is_a_success_and_the_errors_are_returned(stage: Any, failing: Any) -> None:
    """In catalog order, each with the GUID of its provider."""
    names = ("alpha", "beta", "gamma")
    alpha, beta, gamma = registries = [stage.registry(name) for name in names]
    alpha.before = failing(RuntimeError("odd"))
    gamma.startup = failing(NotReadyError("away"))
    errors = stage.host(*registries).set_service(WEB, REGISTER)
    assert [(error.code, error.guid) for error in errors] == [
        (10107, alpha.guid),
        (10091, gamma.guid),
    ]
    assert isinstance(errors[0], ProviderError)
    assert "web" in beta


@pytest.mark.parametrize(
    ("codes", "raised"),
    [
        ((10045, 10108), ServiceNotFoundError),
        ((10108, 10045), ServiceNotFoundError),
        ((10013, 10108), AccessDeniedError),
        ((10013, 10045, 10108), AccessDeniedError),
        ((10091, 10013), AccessDeniedError),
        ((10013, 10091), NotReadyError),
        ((10109, 10059), TooManyReferencesError),
        ((10059, 10109), TooManyReferencesError),
        ((10045, 10045), OperationNotSupportedError),
    ],
)
def test_of_many_errors_the_most_specific_is_raised(
    stage: Any, failing: Any, codes: tuple[int, ...], raised: type[NspError]
) -> None:
    """10045 says least, then what is not known; of equals the last. All of them are at hand."""
    registries = [stage.registry(f"r{number}") for number in range(len(codes))]
    for registry, code in zip(registries, codes, strict=True):
        registry.before = failing(code)
    with pytest.raises(raised, match=r"register it: told to.*; told to") as caught:
        stage.host(*registries).set_service(WEB, REGISTER)
    assert tuple(error.code for error in caught.value.errors) == codes


def test_a_single_error_is_raised_as_it_is(stage: Any, failing: Any) -> None:
    """With its text, its cause and itself among the errors."""
    alpha = stage.registry()
    cause = RuntimeError("odd")
    alpha.before = failing(cause)
    mute = stage.registry("mute", hooks=("nsp_startup", "nsp_cleanup"))
    with pytest.raises(ProviderError, match="'alpha': nsp_set_service raised") as caught:
        stage.host(mute, alpha).set_service(WEB, REGISTER)
    assert caught.value.__cause__ is cause
    assert [error.message for error in caught.value.errors] == [caught.value.message]


def test_a_provider_that_cannot_be_loaded_does_not_harm_others(stage: Any) -> None:
    """It is recorded with its own code."""
    alpha, beta = stage.registry("alpha"), stage.registry("beta")
    host = stage.host(alpha, beta)
    entry = next(iter(host.providers()))
    host._accounts.view()["alpha"].forsake()
    errors = host.set_service(WEB, REGISTER)
    assert entry.name == "alpha"
    assert [error.code for error in errors] == [10022]


def test_a_provider_whose_start_failed_is_held_back(stage: Any, failing: Any) -> None:
    """Among others; by name it is tried."""
    alpha, beta = stage.registry("alpha"), stage.registry("beta")
    alpha.startup = failing(NotReadyError("away"))
    host = stage.host(alpha, beta)
    host.set_service(WEB, REGISTER)
    (error,) = host.set_service(WEB, REGISTER)
    assert "not tried again for" in error.message
    assert alpha.hooks_called == ["startup"]
    with pytest.raises(NotReadyError):
        host.set_service(WEB, REGISTER, provider="alpha")
    assert alpha.hooks_called == ["startup", "startup"]


def test_who_is_held_back_and_is_not_meant_is_passed_over(stage: Any, failing: Any) -> None:
    """It would not be asked if it could be started either, so its failure is nobody's error."""
    alpha, beta = stage.registry("alpha", hooks=SETS[:2]), stage.registry("beta")
    alpha.startup = failing(NotReadyError("away"))
    host = stage.host(alpha, beta)
    with pytest.raises(NotReadyError):
        host.startup("alpha")
    assert host.set_service(WEB, REGISTER) == ()
    assert host.set_service(WEB, ServiceOperation.DELETE) == ()


def test_an_interrupt_in_a_hook_is_an_error_of_that_provider(stage: Any, failing: Any) -> None:
    """On a worker; the others have nothing to do with it."""
    alpha, beta = stage.registry("alpha"), stage.registry("beta")
    alpha.before = failing(KeyboardInterrupt("odd"))
    (error,) = stage.host(alpha, beta).set_service(WEB, REGISTER)
    assert error.guid == alpha.guid
    assert "KeyboardInterrupt: odd" in error.message


def test_an_error_keeps_no_provider_alive(stage: Any, failing: Any) -> None:
    """Once it is gone, and without a garbage collection."""
    alpha = stage.registry()
    born: list[weakref.ref[Any]] = []
    plain = alpha.provider_class.__init__  # type: ignore[misc]

    def remember(self: Any) -> None:
        born.append(weakref.ref(self))
        plain(self)

    alpha.provider_class.__init__ = remember  # type: ignore[misc]
    host = stage.host(alpha)
    gc.disable()
    try:
        for options in ({}, {"provider": "alpha"}, {"provider": "alpha", "timeout": LONG}):
            for _ in range(2):
                alpha.before = failing(10013)
                try:
                    host.set_service(WEB, REGISTER, **options)
                except AccessDeniedError:
                    pass
        alpha.before = lambda operation, service: None
        host.cleanup("alpha")
        assert [one() for one in born] == [None]
    finally:
        gc.enable()


# -- time --------------------------------------------------------------------------------------


def test_all_are_asked_at_the_same_time(stage: Any) -> None:
    """Each waits for the other in here."""
    alpha, beta = stage.registry("alpha"), stage.registry("beta")
    barrier = threading.Barrier(2)
    alpha.before = beta.before = lambda operation, service: barrier.wait(LONG) and None
    assert stage.host(alpha, beta).set_service(WEB, REGISTER) == ()


def test_one_by_name_is_asked_in_this_thread(stage: Any) -> None:
    """Unless it has a time limit."""
    alpha = stage.registry()
    host = stage.host(alpha)
    seen: list[str] = []
    alpha.before = lambda operation, service: seen.append(threading.current_thread().name)
    host.set_service(WEB, REGISTER, provider="alpha")
    host.set_service(WEB, REGISTER, provider="alpha", timeout=LONG)
    host.set_service(WEB, REGISTER)
    assert seen == [threading.current_thread().name, "nspkit-worker", "nspkit-worker"]


def test_one_that_hangs_keeps_nobody_waiting(stage: Any) -> None:
    """It is recorded (10060); by name it is raised."""
    alpha, beta = stage.registry("alpha"), stage.registry("beta")
    gate = stage.gate()
    alpha.before = lambda operation, service: gate.wait(LONG) and None
    host = stage.host(alpha, beta)
    (error,) = host.set_service(WEB, REGISTER, timeout=0.5)
    assert (error.code, error.guid) == (10060, alpha.guid)
    assert "0.5 s; it may do it still" in error.message
    assert "web" in beta
    with pytest.raises(OperationTimeoutError, match="alpha"):
        host.set_service(WEB, REGISTER, timeout=0.05, provider="alpha")
    assert not host._accounts.workers._lanes["calls"].working


def test_there_is_a_limit_without_a_time_limit(stage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a minute, for each of several providers."""
    from nspkit import _calls

    assert _calls.PATIENCE == 30.0
    monkeypatch.setattr(_calls, "PATIENCE", 0.5)
    alpha, beta = stage.registry("alpha"), stage.registry("beta")
    gate = stage.gate()
    alpha.before = lambda operation, service: gate.wait(LONG) and None
    (error,) = stage.host(alpha, beta).set_service(WEB, REGISTER)
    assert error.code == 10060


def test_what_got_no_turn_in_its_time_never_happens(stage: Any, until: Any) -> None:
    """The places of its provider are taken by what hangs; it says by what."""
    alpha = stage.registry()
    host = stage.host(alpha)
    gate = stage.gate()
    host.startup("alpha")
    alpha.before = lambda operation, service: gate.wait(LONG) and None
    for number in range(32):
        stage.task(
            lambda number=number: host.set_service(Service(f"n{number}"), REGISTER, timeout=LONG)
        )
    until(lambda: len(alpha.calls) == 32)
    with pytest.raises(OperationTimeoutError, match=r"got no turn.*32 call.*nsp_set_service"):
        host.set_service(WEB, REGISTER, timeout=0.05)
    gate.set()
    for task in stage.tasks:
        task.result()
    assert "web" not in alpha
    assert alpha.named("REGISTER").count("web") == 0


@pytest.mark.parametrize("options", [{"provider": "alpha"}, {}])
def test_what_started_too_late_never_happens(stage: Any, until: Any, options: Any) -> None:
    """The start takes all the time there is, and nobody waits for the call."""
    alpha = stage.registry()
    host = stage.host(alpha)
    gate = stage.gate()
    alpha.startup = lambda: gate.wait(LONG) and None
    with pytest.raises(OperationTimeoutError):
        host.set_service(WEB, REGISTER, timeout=0.5, **options)
    gate.set()
    until(lambda: host.references("alpha") == 1)
    until(lambda: not host._accounts.workers._lanes["calls"].taken)
    assert alpha.calls == []


def test_a_call_that_was_given_up_before_it_began_does_nothing(stage: Any, until: Any) -> None:
    """Its thread may have taken it a moment before."""
    from nspkit._calls import LACKING, Call

    alpha = stage.registry()
    host = stage.host(alpha)
    called: list[Call] = []
    call = Call(host._accounts.of("alpha"), "a call", called.append)
    call.stopped = True
    call.run()
    assert call.wait(host._accounts.workers, 1.0, 0.0) is LACKING
    assert called == []


def test_no_thread_is_told(stage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """WSAENOBUFS (10055)."""
    host = stage.host(stage.registry())

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(NspError, match="can't start new thread") as caught:
        host.set_service(WEB, REGISTER)
    assert caught.value.code == 10055


def test_a_pool_that_refuses_is_an_error_of_that_call(
    stage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal handler that strikes inside the pool, for instance (10036)."""
    host = stage.host(stage.registry())

    def refuse(workers: Any, job: Any) -> None:
        raise InProgressError("interrupted")

    monkeypatch.setattr(type(host._accounts.workers), "submit", refuse)
    with pytest.raises(InProgressError, match="interrupted"):
        host.set_service(WEB, REGISTER)


def test_a_cleanup_waits_for_the_threads_of_a_call(
    stage: Any, until: Any, threads: Callable[[str], int]
) -> None:
    """After it they are what they were before."""
    alpha = stage.registry()
    host = stage.host(alpha)
    for _ in range(50):
        host.set_service(WEB, REGISTER)
        host.cleanup("alpha")
        assert threads("nspkit") == 0


def test_a_cleanup_waits_for_a_worker_that_has_left_the_provider(stage: Any, until: Any) -> None:
    """It is in a round of the provider's life until its place is free again."""
    from nspkit._calls import Call

    host = stage.host(stage.registry())
    host.startup("alpha")
    account, workers = host._accounts.of("alpha"), host._accounts.workers
    gate = stage.gate()

    def linger(call: Call) -> None:
        call.running = account.lifetime.generation
        gate.wait(LONG)

    call = Call(account, "a call", linger)
    workers.submit(call)
    until(lambda: call.generation is not None)
    cleaning = stage.task(lambda: host.cleanup("alpha"))
    until(lambda: not account.lifetime.generation.open)
    cleaning.thread.join(0.1)
    assert cleaning.thread.is_alive()
    gate.set()
    assert cleaning.result()


# -- service classes ---------------------------------------------------------------------------


def test_a_class_is_installed_at_every_provider(stage: Any) -> None:
    """Whole; each keeps what concerns it."""
    alpha = stage.registry("alpha", hooks=CLASSES)
    beta = stage.registry("beta", hooks=CLASSES, namespace=Namespace.NLA)
    mute = stage.registry("mute", hooks=SETS)
    host = stage.host(alpha, mute, beta)
    assert host.install_service_class(CLASS) == ()
    assert alpha.classes == beta.classes == {CLASS.id: CLASS}
    assert host.service_class(CLASS.id) == CLASS
    assert host.remove_service_class(str(CLASS.id)) == ()
    assert alpha.classes == beta.classes == {}
    assert mute.hooks_called == []


def test_a_class_that_is_there_everywhere_is_refused(stage: Any) -> None:
    """WSAEALREADY (10037); where one provider lacked it, it is installed."""
    alpha, beta = (stage.registry(name, hooks=CLASSES) for name in ("alpha", "beta"))
    host = stage.host(alpha, beta)
    alpha.classes[CLASS.id] = CLASS
    assert [error.code for error in host.install_service_class(CLASS)] == [10037]
    with pytest.raises(AlreadyExistsError, match="install it"):
        host.install_service_class(CLASS)
    host.remove_service_class(CLASS.id)
    assert host.install_service_class(CLASS) == ()


@pytest.mark.parametrize("service_class", [None, "_http._tcp", CLASS.id])
def test_what_is_no_class_is_refused(stage: Any, service_class: Any) -> None:
    """WSAEINVAL (10022)."""
    with pytest.raises(InvalidArgumentError, match=r"nspkit\.ServiceClass"):
        stage.host(stage.registry(hooks=CLASSES)).install_service_class(service_class)


def test_a_class_that_nobody_has_cannot_be_removed(stage: Any) -> None:
    """WSATYPE_NOT_FOUND (10109)."""
    with pytest.raises(TypeNotFoundError):
        stage.host(stage.registry(hooks=CLASSES)).remove_service_class(CLASS.id)


def test_a_class_is_not_removed_while_instances_live(stage: Any) -> None:
    """WSATOOMANYREFS (10059), whatever the others say."""
    alpha, beta = (stage.registry(name, hooks=CLASSES) for name in ("alpha", "beta"))
    host = stage.host(alpha, beta)
    host.install_service_class(CLASS)
    with host.register(Service("web", service_class=CLASS.id), provider="alpha"):
        del beta.classes[CLASS.id]
        with pytest.raises(TooManyReferencesError) as caught:
            host.remove_service_class(CLASS.id)
        assert [error.code for error in caught.value.errors] == [10059, 10109]
    assert [error.code for error in host.remove_service_class(CLASS.id)] == [10109]


def test_who_stores_all_classes_is_asked_first(stage: Any) -> None:
    """The others only where it does not know the class; the first in catalog order answers."""
    alpha = stage.registry("alpha", hooks=CLASSES)
    beta = stage.registry("beta", hooks=CLASSES)
    store = stage.registry("store", hooks=CLASSES, stores_service_classes=True)
    host = stage.host(alpha, beta, store)
    own = {name: ServiceClass(CLASS.id, name) for name in ("alpha", "beta", "store")}
    for registry in (alpha, beta, store):
        registry.classes[CLASS.id] = own[registry.name]
    assert host.service_class(CLASS.id) == own["store"]
    assert alpha.hooks_called == beta.hooks_called == []
    store.classes.clear()
    assert host.service_class(CLASS.id) == own["alpha"]
    alpha.classes.clear()
    assert host.service_class(CLASS.id) == own["beta"]
    assert host.service_class(CLASS.id, "beta") == own["beta"]
    assert host.service_class(CLASS.id, provider=beta.guid, timeout=LONG) == own["beta"]
    with pytest.raises(TypeNotFoundError):
        host.service_class(CLASS.id, "store")


def test_one_that_hangs_does_not_hold_up_an_answer(stage: Any, until: Any) -> None:
    """The first in catalog order that has it answers; who comes after is not waited for."""
    alpha, beta = (stage.registry(name, hooks=CLASSES) for name in ("alpha", "beta"))
    gate = stage.gate()
    alpha.classes[CLASS.id] = CLASS
    beta.describe = lambda: gate.wait(LONG) and None
    host = stage.host(alpha, beta)
    assert host.service_class(CLASS.id) == CLASS
    until(lambda: not host._accounts.workers._lanes["calls"].working)


def test_a_class_that_nobody_knows_is_told(stage: Any, failing: Any) -> None:
    """WSATYPE_NOT_FOUND (10109), unless somebody could not be asked; nobody can: 10045."""
    alpha = stage.registry("alpha", hooks=CLASSES)
    store = stage.registry("store", hooks=CLASSES, stores_service_classes=True)
    host = stage.host(alpha, store)
    with pytest.raises(TypeNotFoundError, match="describe it") as caught:
        host.service_class(uuid.uuid4())
    assert [error.guid for error in caught.value.errors] == [store.guid, alpha.guid]
    store.describe = failing(NotReadyError("away"))
    with pytest.raises(NotReadyError):
        host.service_class(uuid.uuid4())
    with pytest.raises(OperationNotSupportedError):
        stage.host(stage.registry(hooks=SETS)).service_class(CLASS.id)
    with pytest.raises(OperationNotSupportedError):
        stage.host(stage.registry(hooks=SETS)).service_class(CLASS.id, "alpha")


def test_the_name_of_a_class_is_that_of_its_schema(stage: Any) -> None:
    """There is no hook of its own for it."""
    alpha = stage.registry(hooks=CLASSES)
    host = stage.host(alpha)
    host.install_service_class(CLASS)
    assert host.service_class_name(str(CLASS.id)) == CLASS.name
    assert host.service_class_name(CLASS.id, "alpha") == CLASS.name
    assert alpha.hooks_called.count("info") == 2
    with pytest.raises(TypeNotFoundError):
        host.service_class_name(uuid.uuid4())


def test_a_provider_that_returns_no_class_is_to_blame(stage: Any) -> None:
    """WSASYSCALLFAILURE (10107)."""
    alpha = stage.registry(hooks=CLASSES)
    alpha.classes[CLASS.id] = None
    with pytest.raises(ProviderError, match="must return a ServiceClass"):
        stage.host(alpha).service_class(CLASS.id, "alpha")
