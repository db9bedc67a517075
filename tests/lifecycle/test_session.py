"""A session: one reference, given back at most once, good for its generation."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from nspkit import Query, Service, ServiceClass, ServiceOperation
from nspkit.errors import (
    InProgressError,
    InvalidArgumentError,
    NotInitialisedError,
    OperationNotSupportedError,
    TypeNotFoundError,
)
from nspkit.hookspecs import HOOKS

LONG = 30.0
CLASS = ServiceClass("2f1d6a70-52c8-4d0b-8a4e-0000000000aa", "printer")

WORK: dict[str, Callable[[Any], Any]] = {
    "lookup": lambda session: session.lookup("x"),
    "timed lookup": lambda session: list(session.lookup("x", timeout=LONG)),
    "set_service": lambda session: session.set_service(Service("x"), ServiceOperation.REGISTER),
    "install": lambda session: session.install_service_class(CLASS),
    "remove": lambda session: session.remove_service_class(CLASS.id),
    "service_class": lambda session: session.service_class(CLASS.id),
    "ioctl": lambda session: session.ioctl(1),
    "supports": lambda session: session.supports("nsp_ioctl"),
}


@pytest.fixture
def alpha(stage: Any) -> Any:
    """A provider with every hook."""
    alpha = stage.probe("alpha", hooks=HOOKS)
    alpha.get_service_class_info = lambda call: CLASS
    return alpha


# -- one reference -----------------------------------------------------------------------------


def test_with_gives_the_reference_back(stage: Any, alpha: Any) -> None:
    """Also when the block raises."""
    host = stage.host(alpha)
    with pytest.raises(ValueError, match="body"), host.startup("alpha") as session:
        assert session.ioctl(1) is None
        assert host.references("alpha") == 1
        raise ValueError("body")
    assert host.references("alpha") == 0
    assert alpha.calls[-1] == "nsp_cleanup"


def test_a_second_close_does_nothing(stage: Any, alpha: Any) -> None:
    """It does not take the reference of somebody else."""
    host = stage.host(alpha)
    first, second = host.startup("alpha"), host.startup("alpha")
    first.close()
    first.close()
    assert host.references("alpha") == 1
    assert second.ioctl(1) is None


def test_two_threads_that_close_one_session_give_one_reference_back(stage: Any, alpha: Any) -> None:
    """Whoever comes second comes too late."""
    host = stage.host(alpha)
    for _ in range(100):
        kept, session = host.startup("alpha"), host.startup("alpha")
        barrier = threading.Barrier(2)

        def close(session: Any = session, barrier: threading.Barrier = barrier) -> None:
            barrier.wait(LONG)
            session.close()

        for task in [stage.task(close), stage.task(close)]:
            task.result()
        assert host.references("alpha") == 1
        kept.close()


def test_a_session_may_be_closed_by_another_thread(stage: Any, alpha: Any) -> None:
    """All methods may be called from any thread."""
    host = stage.host(alpha)
    session = host.startup("alpha")
    stage.elsewhere(session.close)
    assert host.references("alpha") == 0


def test_close_takes_a_timeout(stage: Any, alpha: Any) -> None:
    """Of the final cleanup, if it is one; the close of another is never late."""
    gate = stage.gate()

    def cleanup(call: Any) -> None:
        assert gate.wait(LONG)

    alpha.cleanup = cleanup
    host = stage.host(alpha)
    first, second = host.startup("alpha"), host.startup("alpha")
    first.close(timeout=0)
    with pytest.raises(TimeoutError):
        second.close(timeout=0)


@pytest.mark.parametrize("timeout", [-1, "soon", True, float("nan")], ids=repr)
def test_a_timeout_that_is_no_time_is_refused(stage: Any, alpha: Any, timeout: Any) -> None:
    """And the session is still good (10022)."""
    session = stage.host(alpha).startup("alpha")
    with pytest.raises(InvalidArgumentError, match="timeout"):
        session.close(timeout=timeout)
    assert session.ioctl(1) is None


def test_an_error_of_the_cleanup_that_looks_like_a_reentry_is_raised(
    stage: Any, alpha: Any
) -> None:
    """The session is closed by then: it is not queued, and its close is quiet from now on."""
    error = InProgressError("of the provider's own")

    def cleanup(call: Any) -> None:
        raise error

    alpha.cleanup = cleanup
    host = stage.host(alpha)
    session = host.startup("alpha")
    with pytest.raises(InProgressError) as caught:
        session.close()
    assert caught.value is error
    assert not host._later
    session.close()


# -- how long it is good -----------------------------------------------------------------------


@pytest.mark.parametrize("work", WORK)
@pytest.mark.parametrize("end", ["close", "cleanup", "next generation", "host"])
def test_after_its_end_every_call_answers_10093(
    stage: Any, alpha: Any, work: str, end: str
) -> None:
    """Closed, stopped by another, stopped and started again, or its host closed."""
    host = stage.host(alpha)
    session = host.startup("alpha")
    if end == "close":
        session.close()
    elif end == "host":
        host.close()
    else:
        host.cleanup("alpha")
    if end == "next generation":
        host.startup("alpha")
    calls = list(alpha.calls)
    with pytest.raises(NotInitialisedError) as caught:
        WORK[work](session)
    assert caught.value.code == 10093
    assert alpha.calls == calls


@pytest.mark.parametrize("end", ["cleanup", "next generation", "host", "stopping"])
def test_after_its_end_its_close_is_quiet(stage: Any, alpha: Any, end: str) -> None:
    """It gives back nothing that is not its own, and raises nothing."""
    cleaning, gate = threading.Event(), stage.gate()

    def cleanup(call: Any) -> None:
        cleaning.set()
        assert gate.wait(LONG)

    host = stage.host(alpha)
    session = host.startup("alpha")
    if end == "stopping":
        alpha.cleanup = cleanup
        stopper = stage.task(host.cleanup, "alpha")
        assert cleaning.wait(LONG)
        session.close()
        gate.set()
        assert stopper.result() is True
        return
    host.close() if end == "host" else host.cleanup("alpha")
    other = host.startup("alpha") if end == "next generation" else None
    session.close()
    session.close()
    if other is not None:
        assert host.references("alpha") == 1
        assert other.ioctl(1) is None


def test_balanced_users_never_harm_each_other(stage: Any, alpha: Any) -> None:
    """One uses sessions, the other cleans up without keeping one, as in Winsock."""
    host = stage.host(alpha)
    for _ in range(3):
        session = host.startup("alpha")
        host.startup("alpha")
        assert host.cleanup("alpha") is False
        assert session.ioctl(1) is None
        session.close()
        assert host.references("alpha") == 0
    assert alpha.count("nsp_startup") == alpha.count("nsp_cleanup") == 3


def test_the_repr_tells_whether_it_is_open(stage: Any, alpha: Any) -> None:
    """It is read in a debugger."""
    session = stage.host(alpha).startup("alpha")
    assert repr(session) == "<Session of provider 'alpha': open>"
    session.close()
    assert repr(session) == "<Session of provider 'alpha': closed>"


def test_the_info_stays(stage: Any, alpha: Any) -> None:
    """It is a value; also of a closed session."""
    session = stage.host(alpha).startup("alpha")
    assert session.info == alpha.info
    session.close()
    assert session.info == alpha.info


# -- what it offers ----------------------------------------------------------------------------


def test_each_method_reaches_its_hook_with_its_arguments(stage: Any, alpha: Any) -> None:
    """Unchanged, and what comes back comes back."""
    seen: list[Any] = []

    def record(*names: str, result: Any = None) -> Callable[[Any], Any]:
        def behaviour(call: Any) -> Any:
            seen.append([call.guid == alpha.guid, *(getattr(call, name) for name in names)])
            return result

        return behaviour

    alpha.set_service = record("service", "operation", "multiple")
    alpha.install_service_class = record("service_class")
    alpha.remove_service_class = record("class_id")
    alpha.get_service_class_info = record("class_id", result=CLASS)
    alpha.ioctl = record("code", "data", result=b"out")
    service = Service("x")
    with stage.host(alpha).startup("alpha") as session:
        session.set_service(service, 1, multiple=True)
        session.set_service(service, ServiceOperation.REGISTER)
        session.install_service_class(CLASS)
        session.remove_service_class(str(CLASS.id))
        assert session.service_class(f"{{{CLASS.id}}}") is CLASS
        assert session.ioctl(7, b"in") == b"out"
        assert session.ioctl(0xFFFFFFFF) == b"out"
    assert seen == [
        [True, service, ServiceOperation.DEREGISTER, True],
        [True, service, ServiceOperation.REGISTER, False],
        [True, CLASS],
        [True, CLASS.id],
        [True, CLASS.id],
        [True, 7, b"in"],
        [True, 0xFFFFFFFF, b""],
    ]


def test_a_lookup_reaches_the_hook_with_the_whole_query(stage: Any, alpha: Any) -> None:
    """By keywords, or as a `Query`."""
    seen: list[Query] = []

    def lookup(call: Any) -> Any:
        seen.append(call.query)
        return iter([Service("found")])

    alpha.lookup_service = lookup
    query = Query("x", context="somewhere", version=2, query_string="a=b", blob=b"blob")
    with stage.host(alpha).startup("alpha") as session:
        found = [
            *session.lookup(query),
            *session.lookup("x", context="somewhere", version=2, query_string="a=b", blob=b"blob"),
        ]
    assert [service.name for service in found] == ["found", "found"]
    assert [service.provider for service in found] == [alpha.guid] * 2
    assert seen == [query, query]
    assert seen[0] is query


@pytest.mark.parametrize(
    ("work", "hook"),
    [
        ("lookup", "nsp_lookup_service"),
        ("set_service", "nsp_set_service"),
        ("install", "nsp_install_service_class"),
        ("remove", "nsp_remove_service_class"),
        ("service_class", "nsp_get_service_class_info"),
        ("ioctl", "nsp_ioctl"),
    ],
)
def test_what_a_provider_lacks_answers_10045(stage: Any, work: str, hook: str) -> None:
    """By a stub in the routine table; the message says what there is instead."""
    host = stage.host(stage.probe(hooks=("nsp_startup", "nsp_cleanup")))
    with host.startup("alpha") as session:
        assert session.supports(hook) is False
        with pytest.raises(OperationNotSupportedError, match=f"{hook}.*nsp_startup") as caught:
            WORK[work](session)
    assert caught.value.code == 10045
    assert isinstance(caught.value, NotImplementedError)


@pytest.mark.parametrize("hook", HOOKS)
def test_supports_tells_what_there_is_and_calls_nothing(stage: Any, alpha: Any, hook: str) -> None:
    """One entry of the table for each hook."""
    with stage.host(alpha).startup("alpha") as session:
        assert session.supports(hook) is True
        assert alpha.calls == ["nsp_startup"]


def test_supports_refuses_a_name_that_is_no_hook(stage: Any, alpha: Any) -> None:
    """A typing error must not look like a provider that cannot (10022)."""
    with (
        stage.host(alpha).startup("alpha") as session,
        pytest.raises(InvalidArgumentError, match=r"no hook 'nsp_lookup'.*nsp_lookup_service"),
    ):
        session.supports("nsp_lookup")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda session: session.set_service("x", 0), "service is 'x'"),
        (lambda session: session.set_service(Service("x"), 3), "operation is 3.*REGISTER"),
        (lambda session: session.set_service(Service("x"), "add"), "operation is 'add'"),
        (lambda session: session.install_service_class("x"), "service_class is 'x'"),
        (lambda session: session.remove_service_class("x"), "x"),
        (lambda session: session.service_class(7), "7"),
        (lambda session: session.ioctl(-1), "code is -1"),
        (lambda session: session.ioctl(2**32), "code is 4294967296"),
        (lambda session: session.ioctl(True), "code is True"),
        (lambda session: session.ioctl("1"), "code is '1'"),
        (lambda session: session.ioctl(1, "text"), "data is str"),
        (lambda session: session.ioctl(1, None), "data is NoneType"),
        (lambda session: session.lookup("x", timeout=-1), "timeout is -1"),
    ],
)
def test_a_bad_argument_is_refused_before_the_hook(
    stage: Any, alpha: Any, call: Callable[[Any], Any], words: str
) -> None:
    """It is checked at the border (10022)."""
    with (
        stage.host(alpha).startup("alpha") as session,
        pytest.raises(InvalidArgumentError, match=words) as caught,
    ):
        call(session)
    assert caught.value.code == 10022
    assert alpha.calls == ["nsp_startup", "nsp_cleanup"]


@pytest.mark.parametrize("data", [bytearray(b"in"), memoryview(b"in")], ids=["array", "view"])
def test_the_input_of_a_request_may_be_any_bytes(stage: Any, alpha: Any, data: Any) -> None:
    """The hook gets `bytes`, which nobody changes under it."""
    seen: list[Any] = []
    alpha.ioctl = lambda call: seen.append(call.data)
    with stage.host(alpha).startup("alpha") as session:
        session.ioctl(1, data)
    assert seen == [b"in"]
    assert type(seen[0]) is bytes


def test_an_integer_subclass_is_a_code(stage: Any, alpha: Any) -> None:
    """A provider may define its requests as an enumeration."""
    import enum

    class Request(enum.IntEnum):
        FLUSH = 5

    seen: list[Any] = []
    alpha.ioctl = lambda call: seen.append(call.code)
    with stage.host(alpha).startup("alpha") as session:
        session.ioctl(Request.FLUSH)
    assert seen == [5]
    assert type(seen[0]) is int


def test_an_error_of_a_hook_is_what_the_caller_gets(stage: Any, alpha: Any) -> None:
    """A `NspError` as it is."""
    error = TypeNotFoundError("no such class")

    def info(call: Any) -> None:
        raise error

    alpha.get_service_class_info = info
    with stage.host(alpha).startup("alpha") as session, pytest.raises(LookupError) as caught:
        session.service_class(CLASS.id)
    assert caught.value is error


def test_sessions_of_two_providers_do_not_meet(stage: Any, alpha: Any) -> None:
    """Each has the table of its own."""
    beta = stage.probe("beta", hooks=HOOKS)
    alpha.ioctl, beta.ioctl = lambda call: b"alpha", lambda call: b"beta"
    host = stage.host(alpha, beta)
    with host.startup("alpha") as first, host.startup("beta") as second:
        assert (first.ioctl(1), second.ioctl(1)) == (b"alpha", b"beta")
