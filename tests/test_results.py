"""What comes back from a hook: errors translated, results checked, arguments fitted."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from nspkit import Service, ServiceClass
from nspkit._error import told
from nspkit._results import SILENT, Checks, again, fitted, shown, together, translated
from nspkit._routines import by_name
from nspkit.errors import (
    ErrorCode,
    NotReadyError,
    NspError,
    OperationNotSupportedError,
    OperationTimeoutError,
    OutOfMemoryError,
    ProviderError,
    ProviderLoadError,
    ServiceNotFoundError,
    set_last_error,
)
from nspkit.hookspecs import C_SPEAKING, HOOKS

GUID = uuid.UUID("2f1d6a70-52c8-4d0b-8a4e-0000000000ee")
CLASS = ServiceClass("2f1d6a70-52c8-4d0b-8a4e-0000000000aa", "printer")


class OddError(Exception):
    """A foreign exception that fails at being told."""

    def __init__(self, broken: BaseException) -> None:
        self.broken = broken

    def __str__(self) -> str:
        raise self.broken


class Unshown:
    """A foreign value that fails at being shown."""

    def __init__(self, broken: BaseException) -> None:
        self.broken = broken

    def __repr__(self) -> str:
        raise self.broken


def check(hook: str, result: Any) -> Any:
    """Check a result as the routine table does."""
    return Checks("alpha", GUID).of(hook)(result)


# -- errors ------------------------------------------------------------------------------------


def test_an_error_of_nspkit_passes() -> None:
    """The provider's own choice of class and code; it says from then on whose it is."""
    error = ServiceNotFoundError("gone")
    assert translated("alpha", GUID, "nsp_ioctl", error) is error
    assert error.guid == GUID


def test_an_error_that_says_whose_it_is_goes_on_saying_so() -> None:
    """A provider may pass on what another one raised."""
    other = uuid.UUID(int=7)
    error = ServiceNotFoundError("gone", guid=other)
    assert translated("alpha", GUID, "nsp_ioctl", error).guid == other


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (MemoryError(), OutOfMemoryError, 8),
        (NotImplementedError("later"), OperationNotSupportedError, 10045),
        (TimeoutError("slow"), OperationTimeoutError, 10060),
        (ValueError("odd"), ProviderError, 10107),
        (OSError(2, "no file"), ProviderError, 10107),
        (SystemExit(3), ProviderError, 10107),
        (GeneratorExit(), ProviderError, 10107),
        (RecursionError("deep"), ProviderError, 10107),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_a_foreign_error_becomes_one_of_nspkit(
    error: BaseException, kind: type[NspError], code: int
) -> None:
    """It names the provider, the hook and the cause."""
    new = translated("alpha", GUID, "nsp_ioctl", error)
    assert type(new) is kind
    assert (new.code, new.guid) == (code, GUID)
    assert new.message == f"provider 'alpha': nsp_ioctl raised {told(error)}"


def test_from_a_startup_anything_else_is_10106() -> None:
    """WSAEPROVIDERFAILEDINIT; what is better known keeps its code."""
    new = translated("alpha", GUID, "nsp_startup", ValueError("odd"))
    assert (type(new), new.code) == (ProviderLoadError, 10106)
    assert translated("alpha", GUID, "nsp_startup", MemoryError()).code == 8


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("odd"), "ValueError: odd"),
        (ValueError(), "ValueError"),
        (OddError(RuntimeError("no")), "OddError: (no text: RuntimeError)"),
        (OddError(SystemExit(3)), "OddError: (no text: SystemExit)"),
    ],
)
def test_an_error_is_told_by_its_class_and_its_text(error: BaseException, text: str) -> None:
    """Even where it fails at that."""
    assert told(error) == text


def test_an_interrupt_while_an_error_is_told_passes() -> None:
    """It is the user's."""
    with pytest.raises(KeyboardInterrupt):
        told(OddError(KeyboardInterrupt()))


def test_an_error_that_is_kept_is_raised_as_another_that_says_the_same() -> None:
    """Without traceback and cause, which would tie it to whoever it passed."""
    try:
        raise NotReadyError("away", guid=GUID) from ValueError("why")
    except NotReadyError as caught:
        error = caught
    new = again(error)
    assert new is not error
    assert (type(new), str(new), new.guid) == (NotReadyError, str(error), GUID)
    assert (new.__traceback__, new.__cause__) == (None, None)


# -- results -----------------------------------------------------------------------------------


def test_the_hooks_that_may_return_none() -> None:
    """All that speak C, and requests without an output."""
    assert {*C_SPEAKING, "nsp_ioctl"} == SILENT


@pytest.mark.parametrize("hook", sorted(C_SPEAKING))
def test_zero_is_success(hook: str) -> None:
    """As in C."""
    assert check(hook, 0) is None


@pytest.mark.parametrize("hook", sorted(C_SPEAKING))
@pytest.mark.parametrize("code", [10013, ErrorCode.WSAEACCES])
def test_another_integer_is_a_failure_with_that_code(hook: str, code: int) -> None:
    """The class is that which belongs to the code."""
    with pytest.raises(PermissionError, match=f"'alpha': {hook} failed with") as caught:
        check(hook, code)
    assert isinstance(caught.value, NspError)
    assert (caught.value.code, caught.value.guid) == (10013, GUID)


@pytest.mark.parametrize("code", [12345, -5, 10**20])
def test_a_code_that_nobody_knows_is_kept(code: int) -> None:
    """A provider's own numbers come through."""
    with pytest.raises(NspError) as caught:
        check("nsp_set_service", code)
    assert caught.value.code == code


def test_minus_one_means_the_last_error() -> None:
    """The code that the hook left with `WSASetLastError`."""
    set_last_error(10108)
    try:
        with pytest.raises(ServiceNotFoundError, match="failed with -1"):
            check("nsp_set_service", -1)
    finally:
        set_last_error(0)


def test_minus_one_without_a_last_error_is_10107() -> None:
    """And the message says that no code was left."""
    set_last_error(0)
    with pytest.raises(ProviderError, match="failed with -1 and left no code") as caught:
        check("nsp_cleanup", -1)
    assert caught.value.code == 10107


@pytest.mark.parametrize("result", [True, False])
def test_a_boolean_is_refused(result: bool) -> None:
    """True would be code 1, which nobody means (10107)."""
    with pytest.raises(ProviderError, match=f"{result}.*no bool") as caught:
        check("nsp_startup", result)
    assert caught.value.code == 10107


@pytest.mark.parametrize("result", ["ok", [], 0.0, object(), CLASS])
def test_a_hook_that_returns_nothing_may_not_return_something(result: Any) -> None:
    """It was meant for somebody, and would be lost (10107)."""
    with pytest.raises(ProviderError, match=r"'alpha': nsp_startup returned .*must return nothing"):
        check("nsp_startup", result)


@pytest.mark.parametrize("hook", ["nsp_lookup_service", "nsp_notify_change"])
@pytest.mark.parametrize("make", [list, tuple, set, iter, lambda items: (one for one in items)])
def test_any_iterable_of_results_will_do(hook: str, make: Callable[[Any], Any]) -> None:
    """A generator is best; what comes back is an iterator."""
    iterator = check(hook, make([Service("x")]))
    assert next(iterator) == Service("x")


async def _asynchronous() -> Any:
    yield Service("x")


@pytest.mark.parametrize("hook", ["nsp_lookup_service", "nsp_notify_change"])
@pytest.mark.parametrize("result", [None, "text", b"bytes", {}, 7, Service("x"), _asynchronous()])
def test_what_is_no_iterable_of_results_is_refused(hook: str, result: Any) -> None:
    """Text and mappings too: their items are no results (10107)."""
    with pytest.raises(ProviderError, match=f"{hook} returned .*iterable, best as a generator"):
        check(hook, result)


def test_a_class_hook_returns_a_service_class() -> None:
    """And nothing else (10107)."""
    assert check("nsp_get_service_class_info", CLASS) is CLASS
    for result in (None, "printer", CLASS.id):
        with pytest.raises(ProviderError, match="must return a ServiceClass"):
            check("nsp_get_service_class_info", result)


def test_a_request_returns_bytes_or_none() -> None:
    """And nothing else (10107)."""
    assert check("nsp_ioctl", b"out") == b"out"
    assert check("nsp_ioctl", None) is None
    for result in ("text", bytearray(b"out"), 0):
        with pytest.raises(ProviderError, match="must return bytes or None"):
            check("nsp_ioctl", result)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (7, "7 (int)"),
        ("x" * 100, "str"),
        (Unshown(RuntimeError("no")), "Unshown"),
        (Unshown(SystemExit(3)), "Unshown"),
    ],
    ids=["short", "long", "broken", "exits"],
)
def test_a_foreign_value_is_shown_as_far_as_that_goes(value: Any, text: str) -> None:
    """Its class at least."""
    assert shown(value) == text


# -- several errors ------------------------------------------------------------------------------


def test_a_code_that_all_errors_have_is_left_to_the_whole() -> None:
    """It would be there twice."""
    first, second = ServiceNotFoundError("no a"), ServiceNotFoundError("no b")
    assert together([first, second]) == "no a; no b"


def test_of_several_errors_each_keeps_a_code_of_its_own() -> None:
    """The whole has one of them only."""
    errors = [ServiceNotFoundError("no a"), NotReadyError("away")]
    assert together(errors) == "; ".join(map(str, errors))


# -- arguments ---------------------------------------------------------------------------------


@pytest.mark.parametrize("hook", [hook for hook in HOOKS if len(HOOKS[hook]) == 4])
def test_a_function_that_takes_all_is_called_as_it_is(hook: str) -> None:
    """Nothing is put between."""

    def function(*args: Any) -> Any:
        return args

    assert fitted(function, HOOKS[hook], list(HOOKS[hook])) is function


@pytest.mark.parametrize("hook", HOOKS)
def test_a_function_gets_what_it_takes_by_name(hook: str) -> None:
    """All, none, one, some, all but the GUID, in whatever order."""
    given = HOOKS[hook]
    values = {name: f"value of {name}" for name in given}
    taken = (given, (), given[:1], given[:2], given[-1:], given[1:], given[1:2], given[1:3])
    for takes in (*taken, given[::-1]):
        call = fitted(lambda *args: args, takes, given)
        assert call(*values.values()) == tuple(values[name] for name in takes)


@pytest.mark.parametrize("hook", HOOKS)
def test_what_a_hook_does_not_have_is_left_out(hook: str) -> None:
    """A routine gives the GUID and three arguments, whatever the hook has."""
    given = HOOKS[hook]
    values = ["a", "b", "c", "d"]
    assert fitted(lambda *args: args, given, given)(*values) == tuple(values[: len(given)])
    named = dict(zip(given, values, strict=False))
    assert by_name(lambda **arguments: arguments, given)(*values) == named
