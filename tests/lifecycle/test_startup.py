"""``host.startup``: who starts, who waits, who shares, and what a failed start leaves."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nspkit import Catalog, EntryState, Host, Namespace, NspError, ProviderInfo, Service, hookimpl
from nspkit.errors import (
    DuplicateProviderError,
    InProgressError,
    InvalidProcedureTableError,
    InvalidProviderError,
    NotInitialisedError,
    NotReadyError,
    OperationNotSupportedError,
    ProviderLoadError,
    VersionNotSupportedError,
)

LONG = 30.0


def fails(error: BaseException) -> Callable[[Any], None]:
    """A hook that raises that error."""

    def fail(_call: Any) -> None:
        raise error

    return fail


# -- 1: who is meant ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "form",
    [
        lambda probe: probe.guid,
        lambda probe: str(probe.guid),
        lambda probe: f"{{{probe.guid}}}".upper(),
        lambda probe: probe.name,
        lambda probe: probe.info,
    ],
    ids=["uuid", "string", "braces", "short name", "info"],
)
def test_a_provider_may_be_named_in_five_forms(stage: Any, form: Callable[[Any], Any]) -> None:
    """They all mean the same account, so they share one count."""
    alpha = stage.probe()
    host = stage.host(alpha)
    host.startup(form(alpha))
    host.startup(alpha.guid)
    assert host.references(form(alpha)) == 2
    assert alpha.calls == ["nsp_startup"]


@pytest.mark.parametrize(
    "unknown", ["gamma", "2f1d6a70-52c8-4d0b-8a4e-5f6d3c1b7a91"], ids=["name", "GUID"]
)
def test_an_unknown_provider_is_refused_with_what_is_installed(stage: Any, unknown: str) -> None:
    """WSAEINVAL (10022), and the message is of help."""
    host = stage.host(stage.probe("alpha"), stage.probe("beta"))
    with pytest.raises(InvalidProviderError, match=r"alpha.*beta") as caught:
        host.startup(unknown)
    assert caught.value.code == 10022


def test_a_disabled_provider_is_refused(stage: Any) -> None:
    """By its GUID neither (10022); the message says how it is enabled."""
    alpha = stage.probe()
    catalog = Catalog()
    catalog.install(alpha.provider_class)
    catalog.enable("alpha", False)
    host = stage.host(catalog=catalog)
    for provider in ("alpha", alpha.guid):
        with pytest.raises(InvalidProviderError, match=r"alpha.*disabled") as caught:
            host.startup(provider)
        assert caught.value.code == 10022
    assert alpha.calls == []


# -- 2: what cannot be loaded ------------------------------------------------------------------


def write_provider(folder: Path, name: str, module: str, body: str) -> None:
    """Lay an installed distribution with one provider module into a folder."""
    (folder / f"{module}.py").write_text(body)
    information = folder / f"{module}-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    points = f"[nspkit.providers]\n{name} = {module}:Provider\n"
    (information / "entry_points.txt").write_text(points)


PROVIDER = """
import nspkit
class Provider:
    info = nspkit.ProviderInfo({guid!r}, {name!r}, nspkit.Namespace.DNS, "1.0")
    @nspkit.hookimpl
    def nsp_startup(self): pass
    @nspkit.hookimpl
    def nsp_cleanup(self): pass
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Catalog]:
    """A function that installs modules (name to source) and discovers them."""
    monkeypatch.syspath_prepend(tmp_path)
    made: list[str] = []

    def install(**bodies: str) -> Catalog:
        for name, body in bodies.items():
            module = f"startup_{tmp_path.name.replace('-', '_')}_{name}"
            made.append(module)
            write_provider(tmp_path, name, module, body)
        return Catalog.discover(path=[str(tmp_path)])

    yield install  # type: ignore[misc]
    for module in made:
        sys.modules.pop(module, None)


@pytest.mark.parametrize("line", ["raise OSError('no library')", "import sys; sys.exit(3)"])
def test_an_import_that_fails_is_10106_with_its_cause(
    stage: Any, installed: Callable[..., Catalog], line: str
) -> None:
    """A module that exits must not end the program either."""
    host = stage.host(catalog=installed(broken=line))
    with pytest.raises(ProviderLoadError, match="broken") as caught:
        host.startup("broken")
    assert caught.value.code == 10106
    assert caught.value.__cause__ is not None
    assert line.rpartition(";")[2].strip() in "".join(caught.value.__cause__.__notes__)


def test_a_constructor_that_fails_is_10106_with_its_cause(stage: Any) -> None:
    """The class is called without arguments, once per start."""
    error = OSError("no socket")

    class Base:
        def __new__(cls) -> Any:
            raise error

    alpha = stage.probe(base=Base)
    host = stage.host(alpha)
    with pytest.raises(ProviderLoadError, match="OSError: no socket") as caught:
        host.startup("alpha")
    assert (caught.value.code, caught.value.guid) == (10106, alpha.guid)
    assert caught.value.__cause__ is error
    assert host.references("alpha") == 0


def test_a_constructor_that_exits_is_10106(stage: Any) -> None:
    """It harms neither the host nor the program."""

    class Base:
        def __new__(cls) -> Any:
            raise SystemExit(3)

    host = stage.host(stage.probe(base=Base))
    with pytest.raises(ProviderLoadError, match="SystemExit: 3"):
        host.startup("alpha")


@pytest.mark.parametrize(
    "hook",
    [
        "def nsp_startup(self, colour): pass",
        "def nsp_begin(self): pass",
        "def nsp_startup(self, *, settings): pass",
    ],
    ids=["unknown argument", "unknown hook", "keyword only"],
)
def test_a_hook_that_does_not_fit_is_10104(
    stage: Any, installed: Callable[..., Catalog], hook: str
) -> None:
    """What pluggy would refuse, or worse, would not see."""
    body = PROVIDER.format(guid="2f1d6a70-52c8-4d0b-8a4e-000000000001", name="odd")
    host = stage.host(catalog=installed(odd=f"{body}    @nspkit.hookimpl\n    {hook}\n"))
    with pytest.raises(InvalidProcedureTableError, match="nsp_") as caught:
        host.startup("odd")
    assert caught.value.code == 10104


def test_an_unmarked_hook_is_10104(stage: Any, installed: Callable[..., Catalog]) -> None:
    """It would never be called, and nobody would know why."""
    body = PROVIDER.format(guid="2f1d6a70-52c8-4d0b-8a4e-000000000001", name="odd")
    host = stage.host(catalog=installed(odd=f"{body}    def nsp_ioctl(self): pass\n"))
    with pytest.raises(InvalidProcedureTableError, match="nsp_ioctl") as caught:
        host.startup("odd")
    assert caught.value.code == 10104


def test_another_version_of_the_interface_is_10092(
    stage: Any, installed: Callable[..., Catalog]
) -> None:
    """The message says which of the two has to be updated."""
    body = PROVIDER.replace('"1.0")', '"1.0", spi_version=2)')
    body = body.format(guid="2f1d6a70-52c8-4d0b-8a4e-000000000001", name="newer")
    host = stage.host(catalog=installed(newer=body))
    with pytest.raises(VersionNotSupportedError, match="newer") as caught:
        host.startup("newer")
    assert caught.value.code == 10092


def test_two_providers_with_one_guid_are_both_refused_and_named(
    stage: Any, installed: Callable[..., Catalog]
) -> None:
    """WSAEINVALIDPROVIDER (10105): neither is better than the other."""
    guid = "2f1d6a70-52c8-4d0b-8a4e-000000000001"
    bodies = {name: PROVIDER.format(guid=guid, name=name) for name in ("first", "second")}
    host = stage.host(catalog=installed(**bodies))
    host.providers()[0].state  # noqa: B018 - all are imported, so both are known
    for name in bodies:
        with pytest.raises(DuplicateProviderError, match=r"first.*second") as caught:
            host.startup(name)
        assert caught.value.code == 10105


def test_what_runs_goes_on_when_a_second_with_its_guid_is_found(
    stage: Any, installed: Callable[..., Catalog]
) -> None:
    """Only the next start is refused."""
    guid = "2f1d6a70-52c8-4d0b-8a4e-000000000001"
    bodies = {name: PROVIDER.format(guid=guid, name=name) for name in ("first", "second")}
    host = stage.host(catalog=installed(**bodies))
    session = host.startup("first")
    with pytest.raises(DuplicateProviderError):
        host.startup("second")
    assert session.supports("nsp_startup")
    host.startup("first").close()
    session.close()
    with pytest.raises(DuplicateProviderError):
        host.startup("first")


# -- 3: no nsp_startup -------------------------------------------------------------------------


def test_a_provider_without_a_startup_is_10045(stage: Any) -> None:
    """As a table whose first entry is empty; the message says what it has."""
    alpha = stage.probe(without=["nsp_startup"])
    host = stage.host(alpha)
    with pytest.raises(OperationNotSupportedError, match=r"nsp_startup.*nsp_cleanup") as caught:
        host.startup("alpha")
    assert (caught.value.code, caught.value.guid) == (10045, alpha.guid)
    assert host.references("alpha") == 0
    assert alpha.calls == []


# -- 4: the first one starts -------------------------------------------------------------------


def test_the_hook_gets_the_guid_the_settings_and_the_resources(stage: Any) -> None:
    """Each provider its own."""
    seen: list[Any] = []
    alpha, beta = stage.probe("alpha"), stage.probe("beta")
    for probe in (alpha, beta):
        probe.startup = lambda call: seen.append((call.guid, call.settings, repr(call.resources)))
    host = stage.host(alpha, beta, settings={"alpha": {"path": "x"}})
    host.startup("alpha")
    host.startup("beta")
    assert seen == [
        (alpha.guid, {"path": "x"}, "<Resources of provider 'alpha': 0 held>"),
        (beta.guid, {}, "<Resources of provider 'beta': 0 held>"),
    ]


@pytest.mark.parametrize(
    "key",
    [
        lambda probe: probe.guid,
        lambda probe: str(probe.guid).upper(),
        lambda probe: f"{{{probe.guid}}}",
    ],
    ids=["uuid", "string", "braces"],
)
def test_settings_may_be_given_by_guid(stage: Any, key: Callable[[Any], Any]) -> None:
    """A GUID is as good as a name, in each of its forms."""
    seen: list[Any] = []
    alpha = stage.probe()
    alpha.startup = lambda call: seen.append(call.settings)
    stage.host(alpha, stage.probe("beta"), settings={key(alpha): {"path": "x"}}).startup("alpha")
    assert seen == [{"path": "x"}]


def test_a_provider_that_changes_its_settings_changes_a_copy(stage: Any) -> None:
    """The next start finds what the application gave."""
    alpha = stage.probe()
    seen: list[Any] = []

    def startup(call: Any) -> None:
        seen.append(dict(call.settings))
        call.settings["path"] = "changed"

    alpha.startup = startup
    host = stage.host(alpha, settings={"alpha": {"path": "x"}})
    host.startup("alpha").close()
    host.startup("alpha").close()
    assert seen == [{"path": "x"}, {"path": "x"}]


def test_concurrent_callers_start_once_and_each_has_a_reference(
    stage: Any, until: Any, lifetime_of: Any
) -> None:
    """They wait for the one that starts, and share its outcome."""
    alpha = stage.probe()
    begun, gate = threading.Event(), stage.gate()

    def startup(call: Any) -> None:
        begun.set()
        assert gate.wait(LONG)

    alpha.startup = startup
    host = stage.host(alpha)
    tasks = [stage.task(host.startup, "alpha") for _ in range(8)]
    assert begun.wait(LONG)
    until(lambda: len(lifetime_of(host, "alpha").barred) == 7)
    gate.set()
    sessions = [task.result() for task in tasks]
    assert alpha.calls == ["nsp_startup"]
    assert host.references("alpha") == 8
    for session in sessions:
        session.close()
    assert alpha.calls == ["nsp_startup", "nsp_cleanup"]


def test_who_waited_has_a_reference_even_if_the_starter_closes_at_once(
    stage: Any, until: Any, lifetime_of: Any
) -> None:
    """It is counted before the start is over: a quick user cannot stop it under a slow one."""
    alpha = stage.probe()
    begun, gate = threading.Event(), stage.gate()

    def startup(call: Any) -> None:
        begun.set()
        assert gate.wait(LONG)

    alpha.startup = startup
    host = stage.host(alpha)
    lifetime = lifetime_of(host, "alpha")
    # The starter closes while it holds the interpreter: the one who waits cannot wake before.
    starter = stage.task(lambda: host.startup("alpha").close())
    assert begun.wait(LONG)
    waiter = stage.task(host.startup, "alpha")
    until(lambda: waiter.ident in lifetime.barred)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1000)
    try:
        gate.set()
        starter.ended()
    finally:
        sys.setswitchinterval(interval)
    session = waiter.result()
    assert alpha.calls == ["nsp_startup"]
    assert session.supports("nsp_startup")
    session.close()
    assert alpha.calls == ["nsp_startup", "nsp_cleanup"]


def test_concurrent_callers_share_a_failure_each_with_an_error_of_its_own(
    stage: Any, until: Any, lifetime_of: Any
) -> None:
    """Two threads must not raise one object; the original is the cause of the others."""
    alpha = stage.probe()
    begun, gate = threading.Event(), stage.gate()
    original = NotReadyError("the back end is away")
    original.add_note("as a note")

    def startup(call: Any) -> None:
        begun.set()
        assert gate.wait(LONG)
        raise original

    alpha.startup = startup
    host = stage.host(alpha)
    tasks = [stage.task(host.startup, "alpha") for _ in range(3)]
    assert begun.wait(LONG)
    until(lambda: len(lifetime_of(host, "alpha").barred) == 2)
    gate.set()
    errors = [task.error() for task in tasks]
    assert alpha.calls == ["nsp_startup"]
    assert len({id(error) for error in errors}) == 3
    assert original in errors
    for error in errors:
        assert isinstance(error, NotReadyError)
        assert str(error) == str(original)
        assert error.__notes__ == ["as a note"]
        assert error is original or error.__cause__ is original
    assert host.references("alpha") == 0


def test_after_an_interrupt_of_the_starter_one_who_waits_starts_afresh(
    stage: Any, until: Any, lifetime_of: Any
) -> None:
    """The interrupt belongs to the starter alone."""
    alpha = stage.probe()
    begun, gate = threading.Event(), stage.gate()

    def startup(call: Any) -> None:
        if alpha.count("nsp_startup") == 1:
            begun.set()
            assert gate.wait(LONG)
            raise KeyboardInterrupt

    alpha.startup = startup
    host = stage.host(alpha)
    starter = stage.task(host.startup, "alpha")
    assert begun.wait(LONG)
    waiters = [stage.task(host.startup, "alpha") for _ in range(3)]
    until(lambda: len(lifetime_of(host, "alpha").barred) == 3)
    gate.set()
    assert isinstance(starter.error(), KeyboardInterrupt)
    sessions = [waiter.result() for waiter in waiters]
    assert alpha.calls == ["nsp_startup", "nsp_startup"]
    assert host.references("alpha") == 3
    assert all(session.supports("nsp_startup") for session in sessions)


def test_one_who_waits_and_is_interrupted_leaves_no_reference(
    stage: Any, interrupt: Any, until: Any, lifetime_of: Any
) -> None:
    """Its place among those who get one is taken back."""
    alpha = stage.probe()
    begun, gate = threading.Event(), stage.gate()

    def startup(call: Any) -> None:
        begun.set()
        assert gate.wait(LONG)

    alpha.startup = startup
    host = stage.host(alpha)
    starter = stage.task(host.startup, "alpha")
    assert begun.wait(LONG)
    main = threading.get_ident()

    def strike() -> None:
        until(lambda: main in lifetime_of(host, "alpha").barred)
        interrupt()

    striker = stage.task(strike)
    with pytest.raises(KeyboardInterrupt):
        host.startup("alpha")
    striker.result()
    gate.set()
    starter.result()
    assert host.references("alpha") == 1
    assert not lifetime_of(host, "alpha").barred


def test_a_session_that_was_given_while_its_caller_was_interrupted_is_given_back(
    stage: Any, at_every_point: Any, lifetime_of: Any, until: Any
) -> None:
    """One who waits is struck at every point, before, while and after it is given its share."""
    alpha = stage.probe()
    gate = stage.gate()

    def startup(call: Any) -> None:
        begun.set()
        assert gate.wait(LONG)

    alpha.startup = startup
    host = stage.host(alpha)
    lifetime = lifetime_of(host, "alpha")
    main, begun, struck = threading.get_ident(), threading.Event(), threading.Event()

    def prepare() -> Any:
        for event in (begun, gate, struck):
            event.clear()
        starter = stage.task(host.startup, "alpha")
        assert begun.wait(LONG)

        def open_gate() -> None:
            until(lambda: main in lifetime.barred or struck.is_set())
            gate.set()

        return starter, stage.task(open_gate), []

    def operate(subject: Any) -> None:
        subject[2].append(host.startup("alpha"))

    def check(subject: Any, where: str) -> None:
        starter, opener, sessions = subject
        struck.set()
        opener.result()
        session = starter.result()
        assert host.references("alpha") == 1 + len(sessions), where
        assert bool(sessions) is not bool(where)
        assert not lifetime.barred, where
        assert not lifetime.inside, where
        for one in (session, *sessions):
            one.close()

    assert at_every_point(prepare, operate, check) > 10


def test_nobody_holds_a_lock_while_a_provider_starts(stage: Any, locks_of: Any) -> None:
    """Other threads start, ask and stop other providers meanwhile."""
    alpha, beta = stage.probe("alpha"), stage.probe("beta")
    host = stage.host(alpha, beta)
    seen: list[Any] = []

    def ask() -> Any:
        with host.startup("beta") as session:
            return [service.name for service in session.lookup("x")], host.references("alpha")

    def startup(call: Any) -> None:
        seen.append([lock for lock in locks_of(host) if lock._is_owned()])
        seen.append(stage.elsewhere(ask))

    alpha.startup = startup
    host.startup("alpha")
    assert seen == [[], (["found"], 0)]


def test_the_count_is_one_only_after_the_start_came_back(stage: Any) -> None:
    """A change of state comes after the call that may fail."""
    alpha = stage.probe()
    seen: list[int] = []
    host = stage.host(alpha)
    alpha.startup = lambda call: seen.append(stage.elsewhere(host.references, "alpha"))
    host.startup("alpha")
    assert (seen, host.references("alpha")) == ([0], 1)


def test_a_failed_start_releases_what_was_acquired_in_reverse(stage: Any) -> None:
    """And `nsp_cleanup` is not called: it has nothing to undo."""
    alpha = stage.probe()
    log: list[int] = []

    def startup(call: Any) -> None:
        for number in range(3):
            call.resources.callback(log.append, number)
        raise NotReadyError("away")

    alpha.startup = startup
    host = stage.host(alpha)
    with pytest.raises(NotReadyError):
        host.startup("alpha")
    assert log == [2, 1, 0]
    assert alpha.calls == ["nsp_startup"]
    assert host.references("alpha") == 0
    assert host.providers()[0].state is EntryState.FAILED_START
    assert "away" in str(host.providers()[0].error)


def test_after_a_failed_start_the_next_one_tries_afresh_with_a_fresh_instance(stage: Any) -> None:
    """Nothing of the failure is kept."""
    alpha = stage.probe()
    alpha.startup = fails(NotReadyError("away"))
    host = stage.host(alpha)
    with pytest.raises(NotReadyError):
        host.startup("alpha")
    alpha.startup = lambda call: None
    with host.startup("alpha"):
        assert alpha.calls == ["nsp_startup", "nsp_startup"]
        assert len(alpha.instances) == 2
        assert host.providers()[0].state is EntryState.OK


def test_an_error_of_nspkit_passes_as_it_is(stage: Any) -> None:
    """The provider's own choice of class and code is what the caller sees."""
    alpha = stage.probe()
    error = NspError("a code of its own", code=12345)
    alpha.startup = fails(error)
    with pytest.raises(NspError) as caught:
        stage.host(alpha).startup("alpha")
    assert caught.value is error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ValueError("odd"), 10106),
        (SystemExit(3), 10106),
        (GeneratorExit(), 10106),
        (MemoryError(), 8),
        (NotImplementedError("later"), 10045),
        (TimeoutError("slow"), 10060),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_a_foreign_error_is_translated_with_its_cause(
    stage: Any, error: BaseException, code: int
) -> None:
    """Anything that is not better known is WSAEPROVIDERFAILEDINIT (10106) here."""
    alpha = stage.probe()
    alpha.startup = fails(error)
    with pytest.raises(NspError, match=r"alpha.*nsp_startup") as caught:
        stage.host(alpha).startup("alpha")
    assert (caught.value.code, caught.value.guid) == (code, alpha.guid)
    assert caught.value.__cause__ is error


def test_an_interrupt_passes_through_after_the_rollback(stage: Any) -> None:
    """It is the user's, not the provider's."""
    alpha = stage.probe()
    log: list[str] = []
    interrupt = KeyboardInterrupt("now")

    def startup(call: Any) -> None:
        call.resources.callback(log.append, "released")
        raise interrupt

    alpha.startup = startup
    host = stage.host(alpha)
    with pytest.raises(KeyboardInterrupt) as caught:
        host.startup("alpha")
    assert caught.value is interrupt
    assert log == ["released"]
    assert alpha.calls == ["nsp_startup"]
    assert host.references("alpha") == 0


def test_errors_of_the_rollback_go_with_the_error_of_the_start(stage: Any) -> None:
    """As notes and in ``rollback_errors``; all releases are tried."""
    alpha = stage.probe()
    log: list[str] = []
    errors = [OSError("first"), ValueError("second")]

    def startup(call: Any) -> None:
        call.resources.callback(log.append, "released")
        call.resources.callback(fails(errors[1]), None, name="two")
        call.resources.callback(fails(errors[0]), None, name="one")
        raise NotReadyError("away")

    alpha.startup = startup
    with pytest.raises(NotReadyError) as caught:
        stage.host(alpha).startup("alpha")
    assert caught.value.rollback_errors == tuple(errors)
    assert [note for note in caught.value.__notes__ if "rolling back" in note] == [
        "and while rolling back: OSError: first",
        "and while rolling back: ValueError: second",
    ]
    assert log == ["released"]


def test_errors_of_the_rollback_go_with_an_interrupt_as_notes(stage: Any) -> None:
    """An interrupt has no ``rollback_errors``, but it takes notes."""
    alpha = stage.probe()

    def startup(call: Any) -> None:
        call.resources.callback(fails(OSError("broken")), None)
        raise KeyboardInterrupt

    alpha.startup = startup
    with pytest.raises(KeyboardInterrupt) as caught:
        stage.host(alpha).startup("alpha")
    assert "and while rolling back: OSError: broken" in caught.value.__notes__


def test_an_interrupt_in_the_rollback_is_not_swallowed(stage: Any) -> None:
    """Ctrl-C is raised, with the error of the start as its cause, and everything is released."""
    alpha = stage.probe()
    log: list[str] = []
    error = NotReadyError("away")

    def startup(call: Any) -> None:
        call.resources.callback(log.append, "released")
        call.resources.callback(fails(KeyboardInterrupt("now")), None)
        raise error

    alpha.startup = startup
    host = stage.host(alpha)
    with pytest.raises(KeyboardInterrupt, match="now") as caught:
        host.startup("alpha")
    assert caught.value.__cause__ is error
    assert log == ["released"]
    alpha.startup = lambda call: None
    host.startup("alpha")


@pytest.mark.parametrize("middleware", [False, True], ids=["plain", "middleware"])
@pytest.mark.parametrize(
    "error", [NotReadyError("away"), ValueError("odd"), KeyboardInterrupt()], ids=repr
)
def test_after_a_failed_start_the_instance_can_be_collected_without_a_collection(
    stage: Any, error: BaseException, middleware: bool
) -> None:
    """As soon as its error is dropped: nothing of the host refers to it, and there is no cycle."""
    alpha = stage.probe()

    def broken(_instance: Any) -> None:
        raise OSError("broken")

    def startup(call: Any) -> None:
        call.resources.callback(broken, call.instance)
        raise type(error)("away")

    alpha.startup = startup
    host = stage.host(alpha, middleware=[Passing()] if middleware else [])
    gc.collect()
    gc.disable()
    try:
        try:
            host.startup("alpha")
        except (NspError, KeyboardInterrupt):
            pass
        assert [instance() for instance in alpha.instances] == [None]
    finally:
        gc.enable()


class Passing:
    """A middleware that passes every call on."""

    @hookimpl(wrapper=True)
    def nsp_startup(self) -> Any:
        """Pass it on."""
        return (yield)

    @hookimpl(wrapper=True)
    def nsp_cleanup(self) -> Any:
        """Pass it on."""
        return (yield)

    @hookimpl(wrapper=True)
    def nsp_lookup_service(self) -> Any:
        """Pass it on."""
        return (yield)

    @hookimpl(wrapper=True)
    def nsp_ioctl(self) -> Any:
        """Pass it on."""
        return (yield)


def test_a_start_that_is_struck_at_any_point_leaves_all_or_nothing(
    stage: Any, at_every_point: Any, lifetime_of: Any
) -> None:
    """Started and counted, or stopped and undone; and the next startup, elsewhere, works."""
    alpha = stage.probe()
    log: list[str] = []

    def startup(call: Any) -> None:
        call.resources.callback(log.append, "released")
        log.append("acquired")
        log.append("started")

    alpha.startup = startup
    host = stage.host(alpha)
    lifetime = lifetime_of(host, "alpha")

    def prepare() -> None:
        for record in (log, alpha.calls, alpha.instances):
            record.clear()

    def operate(_subject: None) -> None:
        host.startup("alpha")

    def check(_subject: None, where: str) -> None:
        assert not lifetime.inside, where
        assert not lifetime.barred, where
        assert not lifetime._lock._is_owned(), where
        if where:
            assert (lifetime.state, lifetime.count) == ("stopped", 0), where
            assert alpha.count("nsp_cleanup") == log.count("started"), where
            # Struck on the way back from the stack, it holds what the hook has not seen yet.
            assert log.count("released") >= log.count("acquired"), where
            assert all(instance() is None for instance in alpha.instances) or gc.collect(), where
        session = stage.elsewhere(host.startup, "alpha")
        session.close()
        assert host.cleanup("alpha") if not where else host.references("alpha") == 0
        assert alpha.count("nsp_cleanup") == log.count("started"), where
        assert log.count("released") >= log.count("acquired"), where

    assert at_every_point(prepare, operate, check) > 40


def test_a_failing_start_that_is_struck_at_any_point_is_undone(
    stage: Any, at_every_point: Any, lifetime_of: Any
) -> None:
    """Every release is tried, whatever interrupts; and the interrupt is not lost."""
    alpha = stage.probe()
    log: list[int] = []
    outcomes: list[type] = []
    acquired: list[int] = []

    def startup(call: Any) -> None:
        for number in range(3):
            call.resources.callback(log.append, number)
            acquired.append(number)
        raise NotReadyError("away")

    host = stage.host(alpha)
    lifetime = lifetime_of(host, "alpha")

    def prepare() -> None:
        alpha.startup = startup
        for record in (log, acquired, alpha.calls):
            record.clear()

    def operate(_subject: None) -> None:
        try:
            host.startup("alpha")
        except BaseException as error:
            outcomes.append(type(error))
            raise

    def check(_subject: None, where: str) -> None:
        assert outcomes[-1] is (KeyboardInterrupt if where else NotReadyError), where
        assert (lifetime.state, lifetime.count) == ("stopped", 0), where
        assert not lifetime.inside, where
        assert not lifetime.barred, where
        if "in leave" not in where:  # struck in a release, which is its own affair
            assert log in (acquired[::-1], [len(acquired), *acquired[::-1]]), where
        assert "nsp_cleanup" not in alpha.calls, where
        alpha.startup = lambda call: None
        stage.elsewhere(host.startup, "alpha").close()

    swallow = (KeyboardInterrupt, NotReadyError)
    assert at_every_point(prepare, operate, check, swallow=swallow) > 40


def test_what_fails_while_an_interrupted_start_is_undone_is_noted(stage: Any) -> None:
    """The interrupt is raised, and the error of the cleanup is not lost."""
    alpha = stage.probe()
    alpha.cleanup = fails(OSError("broken pipe"))
    host = stage.host(alpha)

    def strike(event: Any) -> None:
        if event.kind == "started":
            raise KeyboardInterrupt

    host.events.subscribe(strike)
    with pytest.raises(KeyboardInterrupt) as caught:
        host.startup("alpha")
    assert "and while stopping the provider again" in caught.value.__notes__[0]
    assert "broken pipe" in caught.value.__notes__[0]
    assert host.references("alpha") == 0


# -- 5: nested startups ------------------------------------------------------------------------


def test_a_nested_startup_calls_nothing(stage: Any) -> None:
    """It counts, and that is all."""
    alpha = stage.probe()
    host = stage.host(alpha)
    for number in range(1, 6):
        host.startup("alpha")
        assert host.references("alpha") == number
    assert alpha.calls == ["nsp_startup"]
    assert len(alpha.instances) == 1


def test_hosts_share_nothing(stage: Any) -> None:
    """Each has its own instance and its own count."""
    alpha = stage.probe()
    hosts = [stage.host(alpha), stage.host(stage.probe("beta"))]
    catalog = Catalog()
    catalog.install(alpha.provider_class)
    hosts[1] = stage.host(catalog=catalog)
    for host in hosts:
        host.startup("alpha")
    assert len(alpha.instances) == 2
    hosts[0].cleanup("alpha")
    assert [host.references("alpha") for host in hosts] == [0, 1]


def test_each_start_makes_a_fresh_instance(stage: Any) -> None:
    """Once per host and start, and the one before is gone."""
    alpha = stage.probe()
    host = stage.host(alpha)
    for _ in range(3):
        host.startup("alpha").close()
    assert len(alpha.instances) == 3


def test_a_class_that_makes_unusual_instances_starts_and_stops(stage: Any) -> None:
    """Equal to everything, without a hash: pluggy must not be asked which is which."""

    class Base:
        __hash__ = None  # type: ignore[assignment]

        def __eq__(self, other: object) -> bool:
            return False

    alpha = stage.probe(base=Base)
    host = stage.host(alpha, middleware=[Passing()])
    with host.startup("alpha") as session:
        assert session.ioctl(1) is None
    assert alpha.calls == ["nsp_startup", "nsp_ioctl", "nsp_cleanup"]
    assert [instance() for instance in alpha.instances] == [None]


# -- 6: a reference of the host's own ----------------------------------------------------------


def test_a_lookup_starts_a_stopped_provider_with_one_reference_of_the_host(stage: Any) -> None:
    """It owns it until it closes: the next lookup finds it started."""
    alpha = stage.probe()
    host = stage.host(alpha)
    for _ in range(3):
        assert [service.name for service in host.lookup("x", provider="alpha")] == ["found"]
        assert host.references("alpha") == 1
    assert alpha.calls == ["nsp_startup", *["nsp_lookup_service"] * 3]
    host.close()
    assert alpha.calls[-1] == "nsp_cleanup"


def test_a_lookup_at_a_started_provider_takes_no_reference(stage: Any) -> None:
    """The account of its users stays theirs."""
    alpha = stage.probe()
    host = stage.host(alpha)
    session = host.startup("alpha")
    list(host.lookup("x", provider="alpha"))
    assert host.references("alpha") == 1
    session.close()
    assert alpha.calls[-1] == "nsp_cleanup"


def test_users_come_and_go_beside_the_host_s_own_reference(stage: Any) -> None:
    """A session that closes does not stop what a lookup has started."""
    alpha = stage.probe()
    host = stage.host(alpha)
    list(host.lookup("x", provider="alpha"))
    with host.startup("alpha"):
        assert host.references("alpha") == 2
    assert host.references("alpha") == 1
    assert "nsp_cleanup" not in alpha.calls


def test_a_lookup_waits_for_a_start_in_progress(stage: Any, until: Any, lifetime_of: Any) -> None:
    """It takes no reference of its own when somebody else has started."""
    alpha = stage.probe()
    begun, gate = threading.Event(), stage.gate()

    def startup(call: Any) -> None:
        begun.set()
        assert gate.wait(LONG)

    alpha.startup = startup
    host = stage.host(alpha)
    starter = stage.task(host.startup, "alpha")
    assert begun.wait(LONG)
    reader = stage.task(lambda: list(host.lookup("x", provider="alpha")))
    until(lambda: reader.ident in lifetime_of(host, "alpha").barred)
    gate.set()
    assert [service.name for service in reader.result()] == ["found"]
    starter.result()
    assert host.references("alpha") == 1


def test_a_lookup_that_waited_starts_for_the_host_when_the_starter_has_gone(
    stage: Any, until: Any, lifetime_of: Any
) -> None:
    """It has no reference of its own, so the starter's end is an end for it too."""
    alpha = stage.probe()
    begun, gate = threading.Event(), stage.gate()

    def startup(call: Any) -> None:
        if alpha.count("nsp_startup") == 1:
            begun.set()
            assert gate.wait(LONG)

    alpha.startup = startup
    host = stage.host(alpha)
    lifetime = lifetime_of(host, "alpha")
    starter = stage.task(lambda: host.startup("alpha").close())
    assert begun.wait(LONG)
    reader = stage.task(lambda: list(host.lookup("x", provider="alpha")))
    until(lambda: reader.ident in lifetime.barred)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1000)  # the starter closes before the reader wakes
    try:
        gate.set()
        starter.ended()
    finally:
        sys.setswitchinterval(interval)
    assert [service.name for service in reader.result()] == ["found"]
    assert host.references("alpha") == 1


def test_a_lookup_shares_the_failure_of_a_start_in_progress(
    stage: Any, until: Any, lifetime_of: Any
) -> None:
    """As another startup would."""
    alpha = stage.probe()
    begun, gate = threading.Event(), stage.gate()
    original = NotReadyError("away")

    def startup(call: Any) -> None:
        begun.set()
        assert gate.wait(LONG)
        raise original

    alpha.startup = startup
    host = stage.host(alpha)
    starter = stage.task(host.startup, "alpha")
    assert begun.wait(LONG)
    reader = stage.task(lambda: list(host.lookup("x", provider="alpha")))
    until(lambda: reader.ident in lifetime_of(host, "alpha").barred)
    gate.set()
    assert starter.error() is original
    assert reader.error().__cause__ is original


# -- 7 of cleanup: the catalog -----------------------------------------------------------------


@pytest.mark.parametrize("change", ["disable", "uninstall"])
def test_a_change_of_the_catalog_does_not_touch_what_runs(stage: Any, change: str) -> None:
    """Disabling or uninstalling counts for later starts only."""
    alpha = stage.probe()
    catalog = Catalog()
    catalog.install(alpha.provider_class)
    host = stage.host(catalog=catalog)
    session = host.startup("alpha")
    catalog.enable("alpha", False) if change == "disable" else catalog.uninstall("alpha")
    assert session.ioctl(1) is None
    host.startup("alpha").close()
    session.close()
    assert alpha.calls == ["nsp_startup", "nsp_ioctl", "nsp_cleanup"]
    with pytest.raises(InvalidProviderError):
        stage.host(catalog=catalog).startup("alpha")


# -- a host that is closed ---------------------------------------------------------------------


def test_a_closed_host_starts_nothing(stage: Any) -> None:
    """WSANOTINITIALISED (10093), whether the provider was known to it or not."""
    alpha, beta = stage.probe("alpha"), stage.probe("beta")
    host = stage.host(alpha, beta)
    host.startup("alpha")
    host.close()
    for provider in ("alpha", "beta", alpha.guid):
        with pytest.raises(NotInitialisedError, match="closed") as caught:
            host.startup(provider)
        assert caught.value.code == 10093
    assert beta.calls == []


# -- starts that need each other ---------------------------------------------------------------


def test_two_providers_that_start_each_other_are_refused_not_stuck(
    stage: Any, until: Any, lifetime_of: Any
) -> None:
    """On two threads neither is inside the other: the wait itself has to be seen (10036)."""
    alpha, beta = stage.probe("alpha"), stage.probe("beta")
    host = stage.host(alpha, beta)
    both = threading.Barrier(2)

    def starting(other: str) -> Callable[[Any], None]:
        def startup(call: Any) -> None:
            both.wait(LONG)
            host.startup(other)

        return startup

    alpha.startup, beta.startup = starting("beta"), starting("alpha")
    tasks = [stage.task(host.startup, name) for name in ("alpha", "beta")]
    errors = [task.error() for task in tasks]
    assert any(isinstance(error, InProgressError) for error in errors)


def test_instances_of_a_host_without_a_name_are_not_made_by_asking(stage: Any) -> None:
    """References, providers and the repr start nothing."""
    alpha = stage.probe()
    host = stage.host(alpha)
    assert host.references("alpha") == 0
    assert [entry.name for entry in host.providers()] == ["alpha"]
    assert repr(host) == "<Host: nothing started>"
    assert alpha.instances == []
    host.startup("alpha")
    assert repr(host) == "<Host: alpha started>"


def test_without_a_catalog_what_is_installed_is_found_at_the_first_use(
    installed: Callable[..., Catalog],
) -> None:
    """On the path that Python imports from, and once."""
    body = PROVIDER.format(guid="2f1d6a70-52c8-4d0b-8a4e-000000000001", name="found")
    installed(found=body)
    with Host() as host:
        assert host._accounts._view is None
        session = host.startup("found")
        view = host._accounts.view()
        assert session.info.name == "found"
        assert host._accounts.view() is view


@pytest.mark.parametrize("thing", [[], {}, 7, None, b"alpha", object()], ids=repr)
def test_what_names_no_provider_is_refused(stage: Any, thing: Any) -> None:
    """Whatever it is (10022)."""
    host = stage.host(stage.probe())
    for call in (host.startup, host.cleanup, host.references):
        with pytest.raises(InvalidProviderError) as caught:
            call(thing)
        assert caught.value.code == 10022


def test_an_account_shows_its_state(stage: Any) -> None:
    """It is read in a debugger."""
    host = stage.host(stage.probe())
    account = host._accounts.of("alpha")
    assert repr(account) == "<Account of 'alpha': stopped>"
    host.startup("alpha")
    assert repr(account) == "<Account of 'alpha': started>"


def test_a_provider_of_the_application_needs_no_distribution() -> None:
    """A class that is installed into a catalog is a provider like any other."""

    class Own:
        info = ProviderInfo("2f1d6a70-52c8-4d0b-8a4e-000000000002", "own", Namespace.DNS, "1.0")

        @hookimpl
        def nsp_startup(self) -> None:
            """Acquire nothing."""

        @hookimpl
        def nsp_cleanup(self) -> None:
            """End nothing."""

        @hookimpl
        def nsp_lookup_service(self, query: Any) -> Any:
            """Find what is asked for."""
            yield Service(query.name)

    catalog = Catalog()
    catalog.install(Own)
    with Host(catalog=catalog) as host, host.startup("own") as session:
        assert [service.name for service in session.lookup("x")] == ["x"]
