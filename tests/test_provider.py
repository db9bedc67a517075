"""One provider of one generation: how its hooks are called, and what is made of what they do."""

from __future__ import annotations

import gc
import uuid
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from nspkit import (
    Cancellation,
    Events,
    Namespace,
    ProviderInfo,
    Query,
    Service,
    ServiceClass,
    ServiceOperation,
    hookimpl,
)
from nspkit._lifetime import Lifetime
from nspkit._provider import Provider
from nspkit._routines import RoutineTable, declared_hooks, raising, untie
from nspkit.errors import (
    InvalidProcedureTableError,
    NotInitialisedError,
    NotReadyError,
    NspError,
    OperationNotSupportedError,
    ProviderError,
    ProviderLoadError,
    get_last_error,
    set_last_error,
)
from nspkit.hookspecs import C_SPEAKING, HOOKS, PROJECT

GUID = uuid.UUID("2f1d6a70-52c8-4d0b-8a4e-0000000000ee")
INFO = ProviderInfo(GUID, "alpha", Namespace.DNS, "1.0")
CLASS = ServiceClass("2f1d6a70-52c8-4d0b-8a4e-0000000000aa", "printer")

ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "nsp_lookup_service": (Query("x"), Cancellation()),
    "nsp_set_service": (Service("x"), ServiceOperation.REGISTER, False),
    "nsp_install_service_class": (CLASS,),
    "nsp_remove_service_class": (CLASS.id,),
    "nsp_get_service_class_info": (CLASS.id,),
    "nsp_notify_change": (Query("x"), Cancellation()),
    "nsp_ioctl": (7, b"in"),
}
RESULTS: dict[str, Any] = {
    "nsp_lookup_service": (),
    "nsp_notify_change": (),
    "nsp_get_service_class_info": CLASS,
}
ROUTED = tuple(ARGUMENTS)


def class_with(*hooks: str, **behaviours: Callable[..., Any]) -> type:
    """A provider class; a hook without a behaviour does nothing."""
    body: dict[str, Any] = {"info": INFO}
    for hook in {*hooks, *behaviours, "nsp_startup", "nsp_cleanup"}:
        names = ", ".join(HOOKS[hook])
        scope = {"behaviour": behaviours.get(hook, lambda *_, hook=hook: RESULTS.get(hook))}
        exec(f"def {hook}(self, {names}): return behaviour({names})", scope)
        body[hook] = hookimpl(scope[hook])  # type: ignore[arg-type]
    return type("Sample", (), body)


def made(provider_class: Callable[[], object], **options: Any) -> Provider:
    """A provider that has not started."""
    options = {"events": Events(), "carrying": lambda function: function, **options}
    return Provider(provider_class, INFO, name="alpha", **options)


class Running:
    """A provider that has started, and its generation, opened as a lifetime would."""

    def __init__(self, provider_class: Callable[[], object], **options: Any) -> None:
        self.lifetime = Lifetime("alpha", GUID)
        self.generation = self.lifetime.generation
        self.provider = made(provider_class, **options)
        self.provider.start(self.generation, {})
        self.generation.open = True

    def call(self, hook: str, *args: Any) -> Any:
        """Call a hook as a session, or a lookup, does."""
        return getattr(self.provider.table, hook)(*(args or ARGUMENTS[hook]))


def fails(error: BaseException) -> Callable[..., None]:
    """A hook that raises that error."""

    def fail(*_args: Any) -> None:
        raise error

    return fail


# -- making the instance -----------------------------------------------------------------------


def test_the_class_is_called_once_and_without_arguments() -> None:
    """And no hook yet."""
    calls: list[str] = []

    class Sample(class_with(nsp_startup=lambda *_: calls.append("nsp_startup"))):  # type: ignore[misc]
        def __init__(self) -> None:
            calls.append("made")

    made(Sample)
    assert calls == ["made"]


@pytest.mark.parametrize("error", [OSError("no socket"), SystemExit(3)], ids=repr)
def test_a_class_that_fails_is_10106(error: BaseException) -> None:
    """With its cause."""
    with pytest.raises(ProviderLoadError, match="without arguments") as caught:
        made(fails(error))
    assert (caught.value.code, caught.value.guid) == (10106, GUID)
    assert caught.value.__cause__ is error


def test_an_interrupt_while_the_instance_is_made_passes() -> None:
    """It is the user's."""
    with pytest.raises(KeyboardInterrupt):
        made(fails(KeyboardInterrupt()))


def test_a_hook_that_pluggy_refuses_is_10104_and_the_instance_is_let_go() -> None:
    """Whoever it belongs to; nothing refers to the instance any more."""

    class Odd:
        @hookimpl(wrapper=True)
        def nsp_startup(self, colour: str) -> Any:
            """Take what no hook has."""
            return (yield)

    instances: list[weakref.ref[Any]] = []

    class Sample(class_with()):  # type: ignore[misc]
        def __init__(self) -> None:
            instances.append(weakref.ref(self))

    gc.collect()
    gc.disable()
    try:
        # Not as `caught`, which would keep what the error has passed.
        with pytest.raises(InvalidProcedureTableError, match="colour"):
            made(Sample, middleware=[Odd()])
        assert instances[0]() is None
    finally:
        gc.enable()


def test_a_property_is_not_read_before_the_start() -> None:
    """It may need what the start acquires."""

    class Sample(class_with()):  # type: ignore[misc]
        @property
        def connection(self) -> None:
            """Fail."""
            raise SystemExit(3)

    assert made(Sample).hooks == {"nsp_startup", "nsp_cleanup"}


def test_an_instance_that_cannot_be_compared_is_10104() -> None:
    """Pluggy compares what is registered, and what that raises reaches nobody as it is."""

    class Sample(class_with()):  # type: ignore[misc]
        def __eq__(self, other: object) -> bool:
            raise SystemExit(3)

        __hash__ = object.__hash__

    with pytest.raises(InvalidProcedureTableError, match="SystemExit: 3"):
        made(Sample, middleware=[object()])


def test_it_knows_the_hooks_of_the_class() -> None:
    """Those of its middleware apart."""

    class Watching:
        @hookimpl(wrapper=True)
        def nsp_ioctl(self) -> Any:
            """Pass it on."""
            return (yield)

    provider = made(class_with("nsp_set_service"), middleware=[Watching()])
    assert provider.hooks == {"nsp_startup", "nsp_cleanup", "nsp_set_service"}


# -- the routine table -------------------------------------------------------------------------


@pytest.mark.parametrize("middleware", [False, True], ids=["plain", "middleware"])
@pytest.mark.parametrize("hook", ROUTED)
def test_a_routine_passes_everything_on(hook: str, middleware: bool) -> None:
    """The GUID first, by the names of the hook; and what comes back comes back."""
    seen: list[Any] = []

    def behaviour(*args: Any) -> Any:
        seen.append(args)
        return RESULTS.get(hook)

    running = Running(class_with(**{hook: behaviour}), middleware=_wrappers(hook, middleware))
    result = running.call(hook)
    assert seen == [(GUID, *ARGUMENTS[hook])]
    expected = RESULTS.get(hook)
    assert (tuple(result) if expected == () else result) == expected


def _wrappers(hook: str, wanted: bool) -> list[object]:
    def passing(self: object) -> Any:
        return (yield)

    passing.__name__ = hook
    return [type("Passing", (), {hook: hookimpl(wrapper=True)(passing)})()] if wanted else []


@pytest.mark.parametrize("hook", ROUTED)
def test_a_missing_hook_is_a_stub_that_answers_10045(hook: str) -> None:
    """`WSAEOPNOTSUPP`, and the message says what there is."""
    running = Running(class_with())
    with pytest.raises(OperationNotSupportedError, match=f"{hook}; it has nsp_cleanup") as caught:
        running.call(hook)
    assert (caught.value.code, caught.value.guid) == (10045, GUID)


@pytest.mark.parametrize("hook", [*ROUTED, "nsp_startup", "nsp_cleanup"])
def test_before_and_after_its_life_every_routine_refuses(hook: str) -> None:
    """10093, whether the provider has the hook or not; and the hook is not called."""
    running = Running(class_with(*ROUTED))
    before, running.generation.open = running.generation.open, False
    if hook in ROUTED:
        with pytest.raises(NotInitialisedError):
            running.call(hook)
    running.generation.open = before
    running.provider.unload(running.generation)
    with pytest.raises(NotInitialisedError) as caught:
        getattr(running.provider.table, hook)()
    assert (caught.value.code, caught.value.guid) == (10093, GUID)


def test_a_hook_may_take_fewer_arguments() -> None:
    """By name, in whatever order."""
    seen: list[Any] = []

    class Sample:
        info = INFO

        @hookimpl
        def nsp_startup(self) -> None:
            """Take nothing."""

        @hookimpl
        def nsp_cleanup(self) -> None:
            """Take nothing."""

        @hookimpl
        def nsp_ioctl(self, data: bytes, code: int) -> None:
            """Take two, the other way round."""
            seen.append((code, data))

        @hookimpl
        def nsp_set_service(self, multiple: bool) -> None:
            """Take the last only."""
            seen.append(multiple)

    running = Running(Sample)
    running.call("nsp_ioctl")
    running.call("nsp_set_service")
    assert seen == [(7, b"in"), False]


@pytest.mark.parametrize("middleware", [False, True], ids=["plain", "middleware"])
@pytest.mark.parametrize("hook", ROUTED)
@pytest.mark.parametrize("error", [ValueError("odd"), SystemExit(3), GeneratorExit()], ids=repr)
def test_a_foreign_error_is_translated(hook: str, error: BaseException, middleware: bool) -> None:
    """10107, with the cause."""
    running = Running(class_with(**{hook: fails(error)}), middleware=_wrappers(hook, middleware))
    with pytest.raises(ProviderError, match=f"alpha.*{hook}") as caught:
        running.call(hook)
    assert (caught.value.code, caught.value.guid) == (10107, GUID)
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("hook", ROUTED)
def test_an_error_of_nspkit_and_an_interrupt_pass(hook: str) -> None:
    """As they are."""
    for error in (NotReadyError("away"), KeyboardInterrupt()):
        running = Running(class_with(**{hook: fails(error)}))
        with pytest.raises((NspError, KeyboardInterrupt)) as caught:
            running.call(hook)
        assert caught.value is error
        assert running.lifetime.inside == {}


@pytest.mark.parametrize("hook", sorted(set(ROUTED) & C_SPEAKING))
def test_a_hook_may_speak_c(hook: str) -> None:
    """0 is success, another number the code, -1 the last error, a boolean a mistake."""
    for result, code in ((0, None), (10013, 10013), (-1, 10107), (True, 10107)):
        running = Running(class_with(**{hook: lambda *_, result=result: result}))
        if code is None:
            assert running.call(hook) is None
            continue
        with pytest.raises(NspError) as caught:
            running.call(hook)
        assert caught.value.code == code


@pytest.mark.parametrize("middleware", [False, True], ids=["plain", "middleware"])
@pytest.mark.parametrize("hook", sorted(C_SPEAKING))
def test_the_last_error_is_cleared_before_each_hook_that_speaks_c(
    hook: str, middleware: bool
) -> None:
    """A code that is left there is then the hook's own."""
    seen: list[int] = []

    def behaviour(*_args: Any) -> int:
        seen.append(get_last_error())
        set_last_error(10108)
        return -1

    set_last_error(10013)
    provider_class, wrappers = class_with(**{hook: behaviour}), _wrappers(hook, middleware)
    with pytest.raises(LookupError) as caught:
        running = Running(provider_class, middleware=wrappers)
        set_last_error(10013)
        running.provider.clean_up() if hook == "nsp_cleanup" else running.call(hook)
    assert isinstance(caught.value, NspError)
    assert caught.value.code == 10108
    assert seen == [0]
    set_last_error(0)


# -- beginning what is stepped -----------------------------------------------------------------


@pytest.mark.parametrize("hook", ["nsp_lookup_service", "nsp_notify_change"])
def test_begin_returns_the_iterator(hook: str) -> None:
    """The caller is under the guard already."""
    running = Running(class_with(**{hook: lambda *args: iter(args)}))
    assert list(running.provider.begin(hook, *ARGUMENTS[hook])) == [GUID, *ARGUMENTS[hook]]


@pytest.mark.parametrize("hook", ["nsp_lookup_service", "nsp_notify_change"])
def test_begin_refuses_translates_and_checks_as_a_routine_does(hook: str) -> None:
    """10045, 10107 with a cause, 10107 for a wrong result, and its own errors as they are."""
    with pytest.raises(OperationNotSupportedError):
        Running(class_with()).provider.begin(hook, *ARGUMENTS[hook])
    with pytest.raises(ProviderError, match="raised ValueError") as caught:
        Running(class_with(**{hook: fails(ValueError())})).provider.begin(hook, *ARGUMENTS[hook])
    assert isinstance(caught.value.__cause__, ValueError)
    with pytest.raises(ProviderError, match="must return an iterable"):
        Running(class_with(**{hook: lambda *_: 7})).provider.begin(hook, *ARGUMENTS[hook])
    with pytest.raises(NotReadyError):
        Running(class_with(**{hook: fails(NotReadyError("away"))})).provider.begin(
            hook, *ARGUMENTS[hook]
        )


# -- middleware --------------------------------------------------------------------------------


class Layer:
    """A middleware that records, and sees what the provider itself raised."""

    def __init__(self, name: str, log: list[Any]) -> None:
        self.name = name
        self.log = log

    @hookimpl(wrapper=True)
    def nsp_startup(self, guid: uuid.UUID) -> Any:
        """Record the start."""
        return (yield from self._around("startup"))

    @hookimpl(wrapper=True)
    def nsp_ioctl(self, guid: uuid.UUID, code: int) -> Any:
        """Record the call."""
        return (yield from self._around(f"ioctl {code}"))

    def _around(self, what: str) -> Any:
        self.log.append(f"{self.name} > {what}")
        try:
            result = yield
        except BaseException as error:
            self.log.append(f"{self.name} < {type(error).__name__}")
            raise
        self.log.append(f"{self.name} < {what}")
        return result


def test_the_first_of_the_middleware_is_the_outermost() -> None:
    """It sees the call first and the result last."""
    log: list[Any] = []
    running = Running(class_with("nsp_ioctl"), middleware=[Layer("a", log), Layer("b", log)])
    running.call("nsp_ioctl")
    assert log == [
        "a > startup",
        "b > startup",
        "b < startup",
        "a < startup",
        "a > ioctl 7",
        "b > ioctl 7",
        "b < ioctl 7",
        "a < ioctl 7",
    ]


def test_a_middleware_sees_the_provider_s_own_error() -> None:
    """Before it is translated."""
    log: list[Any] = []
    running = Running(class_with(nsp_ioctl=fails(ValueError("odd"))), middleware=[Layer("a", log)])
    with pytest.raises(ProviderError):
        running.call("nsp_ioctl")
    assert log[-1] == "a < ValueError"


def test_a_middleware_may_change_the_result() -> None:
    """What it returns is checked as a result of the hook."""

    class Doubling:
        @hookimpl(wrapper=True)
        def nsp_ioctl(self) -> Any:
            """Double what comes back."""
            result = yield
            return result * 2

    running = Running(class_with(nsp_ioctl=lambda *_: b"ab"), middleware=[Doubling()])
    assert running.call("nsp_ioctl") == b"abab"
    running = Running(class_with(nsp_ioctl=lambda *_: 7), middleware=[Doubling()])
    with pytest.raises(ProviderError, match="returned 14"):
        running.call("nsp_ioctl")


def test_a_middleware_that_fails_is_translated_too() -> None:
    """It is foreign code as well."""

    class Broken:
        @hookimpl(wrapper=True)
        def nsp_ioctl(self) -> Any:
            """Fail afterwards."""
            yield
            raise ValueError("broken layer")

    running = Running(class_with("nsp_ioctl"), middleware=[Broken()])
    with pytest.raises(ProviderError, match="broken layer"):
        running.call("nsp_ioctl")


# -- the end -----------------------------------------------------------------------------------


def test_after_the_end_nothing_refers_to_the_instance() -> None:
    """Neither the table, nor pluggy, nor a generation; without a garbage collection."""
    running = Running(class_with(*ROUTED), middleware=[Layer("a", [])])
    instance = weakref.ref(running.provider._instance)
    assert running.provider.is_loaded
    gc.collect()
    gc.disable()
    try:
        running.provider.unload(running.generation)
        running.provider.unload(running.generation)
        assert instance() is None
    finally:
        gc.enable()
    assert not running.provider.is_loaded
    assert running.generation.payload is None


def test_unloading_leaves_the_payload_of_another_alone() -> None:
    """A failed start must not take away what runs."""
    running = Running(class_with())
    other = made(class_with())
    other.unload(running.generation)
    assert running.generation.payload is running.provider


def test_undo_cleans_up_and_returns_the_refusal() -> None:
    """For a start that completes in a host that is closed by now."""
    log: list[str] = []
    running = Running(class_with(nsp_cleanup=lambda *_: log.append("nsp_cleanup")))
    running.lifetime.closed_because = "was closed"
    refusal = running.provider.undo(running.generation)
    assert isinstance(refusal, NotInitialisedError)
    assert "was closed" in str(refusal)
    assert (log, refusal.rollback_errors) == (["nsp_cleanup"], ())
    assert running.generation.payload is None


def test_undo_goes_on_past_an_interrupt() -> None:
    """Everything is released, and the interrupt is what is to be raised."""
    log: list[str] = []
    interrupt = KeyboardInterrupt()

    def startup(guid: Any, settings: Any, resources: Any) -> None:
        resources.callback(log.append, "released")

    running = Running(class_with(nsp_startup=startup, nsp_cleanup=fails(interrupt)))
    raised = running.provider.undo(running.generation)
    assert raised is interrupt
    assert isinstance(raised.__cause__, NotInitialisedError)
    assert log == ["released"]
    assert not running.provider.is_loaded


def test_errors_of_an_undo_go_with_the_refusal() -> None:
    """As notes and in ``rollback_errors``."""
    error = OSError("broken")
    running = Running(class_with(nsp_cleanup=fails(error)))
    refusal = running.provider.undo(running.generation)
    assert isinstance(refusal, NspError)
    assert [one.__cause__ for one in refusal.rollback_errors] == [error]
    assert "rolling back" in refusal.__notes__[0]


def test_the_settings_reach_the_startup() -> None:
    """With the resources that are released in the end."""
    seen: list[Any] = []
    provider = made(class_with(nsp_startup=lambda *args: seen.extend(args)))
    provider.start(Lifetime("alpha", GUID).generation, {"path": "x"})
    guid, settings, resources = seen
    assert (guid, settings) == (GUID, {"path": "x"})
    assert repr(resources) == "<Resources of provider 'alpha': 0 held>"
    assert provider.release() == []
    assert "released" in repr(resources)


def test_events_tell_the_name_of_each_step() -> None:
    """With the error, where there is one."""
    events, told = Events(), []
    events.subscribe(lambda event: told.append((event.kind, event.name, event.error)))

    def startup(guid: Any, settings: Any, resources: Any) -> None:
        resources.callback(fails(error), name="file")

    error = OSError("broken")
    running = Running(class_with(nsp_startup=startup), events=events)
    running.provider.clean_up()
    assert running.provider.release() == [error]
    assert told == [
        ("started", "alpha", None),
        ("step", "alpha: nsp_cleanup", None),
        ("failed", "alpha: file", error),
    ]
    assert error.__notes__ == ["while releasing 'file'", "of provider 'alpha'"]


# -- the table itself --------------------------------------------------------------------------


def test_a_table_has_a_routine_for_each_hook_and_nothing_else() -> None:
    """It is filled for all of them at once."""
    table = RoutineTable()
    table.fill(lambda hook: lambda: hook)
    assert [getattr(table, hook)() for hook in HOOKS] == list(HOOKS)
    with pytest.raises(AttributeError):
        table.nsp_other = None  # type: ignore[attr-defined]


def test_a_refusing_routine_raises_a_new_error_each_time() -> None:
    """Two threads must not raise one object."""
    routine = raising(lambda: NotReadyError("away"))
    errors = []
    for _ in range(2):
        with pytest.raises(NotReadyError) as caught:
            routine("any", "arguments")
        errors.append(caught.value)
    assert errors[0] is not errors[1]


def test_the_hooks_of_a_class_are_known_without_an_instance() -> None:
    """By their marks, under the name of the specification."""

    class Sample:
        @hookimpl(specname="nsp_ioctl")
        def control(self) -> None:
            """Be a hook of another name."""

        @hookimpl
        def nsp_startup(self) -> None:
            """Be a hook."""

        def nsp_cleanup(self) -> None:
            """Be none: it is not marked."""

    Sample.odd = type("Odd", (), {f"{PROJECT}_impl": "no options"})()
    assert declared_hooks(Sample) == {"nsp_startup", "nsp_ioctl"}


def test_untying_clears_the_frames_of_pluggy_only() -> None:
    """What the provider's own frames hold is for whoever looks into the error."""
    running = Running(
        class_with(nsp_ioctl=fails(ValueError("odd"))), middleware=_wrappers("nsp_ioctl", True)
    )
    with pytest.raises(ProviderError) as caught:
        running.call("nsp_ioctl")
    error = caught.value.__cause__
    assert error is not None
    untie(error)
    frames = []
    traceback = error.__traceback__
    while traceback is not None:
        frames.append(traceback.tb_frame)
        traceback = traceback.tb_next
    pluggys = [one for one in frames if str(one.f_globals.get("__name__")).startswith("pluggy.")]
    assert pluggys
    assert not any(one.f_locals for one in pluggys)
    assert any(one.f_code.co_name == "fail" for one in frames)
