"""The arguments of ``Host``, its providers, its references, and what it says of itself."""

from __future__ import annotations

import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nspkit import (
    Catalog,
    EntryState,
    Host,
    Namespace,
    ProviderInfo,
    Service,
    hookimpl,
)
from nspkit.errors import (
    CleanupTimeoutError,
    InvalidArgumentError,
    InvalidProviderError,
    NotReadyError,
    NspError,
)

LONG = 30.0
SHORT = 0.05
UNKNOWN = uuid.UUID("00000000-1111-2222-3333-444444444444")


class Recorder:
    """What was started, with which settings."""

    def __init__(self) -> None:
        self.settings: dict[str, Any] = {}
        self.acts: dict[str, Callable[[], object]] = {}

    def provider(self, name: str) -> Any:
        """Return a provider class that tells its settings."""
        recorder = self

        class Provider:
            info = ProviderInfo(uuid.uuid5(uuid.NAMESPACE_DNS, name), name, Namespace.DNS, "1.0")

            @hookimpl
            def nsp_startup(self, settings: Any) -> Any:
                recorder.settings[name] = settings
                return recorder.acts.get(f"{name} startup", lambda: None)()

            @hookimpl
            def nsp_cleanup(self) -> Any:
                recorder.acts.get(f"{name} cleanup", lambda: None)()

            @hookimpl
            def nsp_lookup_service(self) -> Any:
                return iter([Service(name)])

        return Provider


@pytest.fixture
def recorder() -> Recorder:
    """Nothing was started yet."""
    return Recorder()


@pytest.fixture
def catalog(recorder: Recorder) -> Catalog:
    """A catalog of alpha, beta and gamma, in this order."""
    catalog = Catalog()
    for name in ("alpha", "beta", "gamma"):
        catalog.install(recorder.provider(name))
    return catalog


def guid_of(name: str) -> uuid.UUID:
    """Return the GUID of one of these providers."""
    return uuid.uuid5(uuid.NAMESPACE_DNS, name)


def names(host: Host) -> list[str]:
    """Return the short names of what a host has, in order."""
    return [entry.name for entry in host.providers()]


# -- catalog= ------------------------------------------------------------------------------------


def test_a_host_works_on_a_snapshot_of_the_catalog(catalog: Catalog, recorder: Recorder) -> None:
    """Taken when it is made; a later change counts for later hosts."""
    with Host(catalog=catalog) as host:
        catalog.uninstall("beta")
        catalog.enable("alpha", False)
        catalog.install(recorder.provider("delta"))
        assert names(host) == ["alpha", "beta", "gamma"]
        host.startup("alpha")
        host.startup("beta")
        with pytest.raises(InvalidProviderError):
            host.startup("delta")
    with Host(catalog=catalog) as host:
        assert names(host) == ["alpha", "gamma", "delta"]


def test_a_disabled_provider_is_listed_and_not_reachable(catalog: Catalog) -> None:
    """By its name, its GUID, its info, or a lookup (10022)."""
    catalog.enable("beta", False)
    with Host(catalog=catalog) as host:
        states = {entry.name: entry.state for entry in host.providers()}
        assert states["beta"] is EntryState.DISABLED
        for key in ("beta", guid_of("beta"), str(guid_of("beta"))):
            for call in (host.startup, host.cleanup, host.references):
                with pytest.raises(InvalidProviderError) as caught:
                    call(key)
                assert caught.value.code == 10022
        assert [service.name for service in host.lookup("x")] == ["alpha", "gamma"]


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: Any) -> Iterator[list[str]]:
    """A distribution with one provider, and the names of modules that were imported from it."""
    information = tmp_path / "nspkit_sample-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: nspkit-sample\nVersion: 1.0\n"
    )
    points = "[nspkit.providers]\nsample = provider_of_host_tests:Sample\n"
    (information / "entry_points.txt").write_text(points)
    (tmp_path / "provider_of_host_tests.py").write_text(
        "from nspkit import Namespace, ProviderInfo, hookimpl\n"
        "class Sample:\n"
        f"    info = ProviderInfo('{UNKNOWN}', 'sample', Namespace.DNS, '1.0')\n"
        "    @hookimpl\n"
        "    def nsp_startup(self): pass\n"
        "    @hookimpl\n"
        "    def nsp_cleanup(self): pass\n"
    )
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    yield ["provider_of_host_tests"]
    sys.modules.pop("provider_of_host_tests", None)


def test_without_a_catalog_it_is_discovered_at_the_first_use(installed: list[str]) -> None:
    """Nothing is searched, and nothing imported, before that."""
    with Host() as host:
        assert host._accounts._view is None
        assert installed[0] not in sys.modules
        assert "sample" in names(host)
        assert installed[0] not in sys.modules
        host.startup("sample")
        assert installed[0] in sys.modules


def test_who_discovers_second_takes_the_snapshot_of_the_first(
    installed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another thread may be quicker while this one searches; there is one account of each."""
    host, discover, sessions = Host(), Catalog.discover, []

    def overtaken() -> Catalog:
        monkeypatch.setattr(Catalog, "discover", discover)
        sessions.append(host.startup("sample"))
        return discover()

    monkeypatch.setattr(Catalog, "discover", overtaken)
    with host:
        sessions.append(host.startup("sample"))
        assert host.references("sample") == 2


def test_threads_that_use_a_host_first_share_one_snapshot(installed: list[str]) -> None:
    """And so one account of each provider."""
    host, barrier = Host(), threading.Barrier(4)
    counts: list[int] = []

    def start() -> None:
        barrier.wait(LONG)
        host.startup("sample")
        counts.append(1)

    threads = [threading.Thread(target=start, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
    assert host.references("sample") == len(counts) == 4
    host.close()
    assert installed


@pytest.mark.parametrize("wrong", [[], "hosts", Catalog, 42], ids=repr)
def test_what_is_no_catalog_is_refused(wrong: Any) -> None:
    """WSAEINVAL (10022): a list of classes, for instance, or the class instead of an instance."""
    with pytest.raises(InvalidArgumentError, match=r"catalog is .*give a nspkit.Catalog"):
        Host(catalog=wrong)


# -- providers= ----------------------------------------------------------------------------------


def test_only_those_that_are_named_are_there_in_that_order(catalog: Catalog) -> None:
    """For lookups too."""
    with Host(catalog=catalog, providers=["gamma", guid_of("alpha")]) as host:
        assert names(host) == ["gamma", "alpha"]
        assert [service.name for service in host.lookup("x")] == ["gamma", "alpha"]
        with pytest.raises(InvalidProviderError, match="beta"):
            host.startup("beta")


@pytest.mark.parametrize("form", ["name", "UUID", "string", "braces", "info"])
def test_a_provider_may_be_named_in_every_form(catalog: Catalog, form: str) -> None:
    """As everywhere."""
    guid = guid_of("beta")
    forms = {
        "name": "beta",
        "UUID": guid,
        "string": str(guid),
        "braces": f"{{{guid}}}".upper(),
        "info": catalog["beta"].info,
    }
    key: Any = forms[form]
    with Host(catalog=catalog, providers=[key]) as host:
        assert names(host) == ["beta"]


def test_any_iterable_of_names_will_do(catalog: Catalog) -> None:
    """It is read once, when the host is made."""
    with Host(catalog=catalog, providers=(name for name in ("beta", "alpha"))) as host:
        assert names(host) == ["beta", "alpha"]


def test_no_names_are_no_providers(catalog: Catalog) -> None:
    """That is another thing than None."""
    with Host(catalog=catalog, providers=[]) as host:
        assert names(host) == []


@pytest.mark.parametrize("wrong", ["nobody", UNKNOWN, str(UNKNOWN), 42, None], ids=repr)
def test_a_name_that_is_not_there_is_refused_at_once(catalog: Catalog, wrong: Any) -> None:
    """WSAEINVAL (10022), with what is installed."""
    with pytest.raises(InvalidArgumentError) as caught:
        Host(catalog=catalog, providers=["alpha", wrong])
    assert caught.value.code == 10022


def test_a_disabled_one_is_refused_at_once(catalog: Catalog) -> None:
    """It was named by mistake."""
    catalog.enable("beta", False)
    with pytest.raises(InvalidProviderError, match="disabled"):
        Host(catalog=catalog, providers=["beta"])


def test_one_that_is_named_twice_is_refused_at_once(catalog: Catalog) -> None:
    """By whichever names."""
    with pytest.raises(InvalidArgumentError, match="twice"):
        Host(catalog=catalog, providers=["beta", guid_of("beta")])


def test_a_single_name_is_refused_with_advice(catalog: Catalog) -> None:
    """It would be read letter by letter."""
    with pytest.raises(InvalidArgumentError, match="give a list"):
        Host(catalog=catalog, providers="beta")


@pytest.mark.parametrize("wrong", [42, UNKNOWN], ids=["a number", "a GUID"])
def test_what_is_no_list_of_providers_is_refused(catalog: Catalog, wrong: Any) -> None:
    """WSAEINVAL (10022)."""
    with pytest.raises(InvalidArgumentError, match="providers"):
        Host(catalog=catalog, providers=wrong)


def test_without_a_catalog_names_are_looked_at_when_it_is_discovered(installed: list[str]) -> None:
    """A name imports that provider only."""
    with Host(providers=["sample"]) as host:
        assert names(host) == ["sample"]
    with Host(providers=["nobody"]) as host, pytest.raises(InvalidProviderError, match="nobody"):
        host.providers()
    assert installed


# -- settings= -----------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["name", "UUID", "string", "braces", "info"])
def test_settings_find_their_provider_by_name_or_guid(
    catalog: Catalog, recorder: Recorder, form: str
) -> None:
    """And nobody else."""
    guid = guid_of("beta")
    forms = {
        "name": "beta",
        "UUID": guid,
        "string": str(guid),
        "braces": f"{{{guid}}}".upper(),
        "info": catalog["beta"].info,
    }
    key: Any = forms[form]
    with Host(catalog=catalog, settings={key: {"path": "x"}}) as host:
        for name in ("alpha", "beta", "gamma"):
            host.startup(name)
    assert recorder.settings == {"alpha": {}, "beta": {"path": "x"}, "gamma": {}}


def test_settings_of_those_that_are_left_out_harm_nobody(
    catalog: Catalog, recorder: Recorder
) -> None:
    """A file of settings may be longer than the list of providers."""
    settings: Any = {"beta": {"a": 1}, str(guid_of("gamma")): {"b": 2}, "alpha": {"c": 3}}
    with Host(catalog=catalog, providers=["alpha"], settings=settings) as host:
        host.startup("alpha")
    assert recorder.settings == {"alpha": {"c": 3}}


def test_settings_of_a_disabled_provider_harm_nobody(catalog: Catalog, recorder: Recorder) -> None:
    """They wait for it."""
    catalog.enable("beta", False)
    with Host(catalog=catalog, settings={"beta": {"a": 1}, "alpha": {"c": 3}}) as host:
        host.startup("alpha")
    assert recorder.settings == {"alpha": {"c": 3}}


@pytest.mark.parametrize("wrong", ["nobody", UNKNOWN, str(UNKNOWN)], ids=repr)
def test_settings_for_somebody_who_is_not_there_are_refused_at_once(
    catalog: Catalog, wrong: Any
) -> None:
    """WSAEINVAL (10022): a misspelt name must not pass in silence."""
    with pytest.raises(InvalidProviderError) as caught:
        Host(catalog=catalog, settings={"alpha": {}, wrong: {}})
    assert caught.value.code == 10022


def test_settings_that_are_given_to_one_provider_twice_are_refused(catalog: Catalog) -> None:
    """Both keys are told; one of them would be passed over."""
    with pytest.raises(InvalidArgumentError, match=r"'beta' twice, as 'beta' and as UUID"):
        Host(catalog=catalog, settings={"beta": {"a": 1}, guid_of("beta"): {"a": 2}})


def test_settings_without_a_catalog_are_looked_at_when_it_is_discovered(
    installed: list[str],
) -> None:
    """The same error, a little later."""
    settings: Any = {"nobody": {}}
    with Host(settings=settings) as host, pytest.raises(InvalidProviderError, match="nobody"):
        host.startup("sample")
    assert installed


def test_the_settings_are_those_of_when_the_host_was_made(
    catalog: Catalog, recorder: Recorder
) -> None:
    """What the application or a provider does to them counts for nobody."""
    own = {"path": "x"}
    with Host(catalog=catalog, settings={"beta": own}) as host:
        own["path"] = "changed by the application"
        with host.startup("beta"):
            recorder.settings["beta"]["path"] = "changed by the provider"
        host.startup("beta")
        assert recorder.settings["beta"] == {"path": "x"}


# -- the other arguments -------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [-1, float("nan"), None, "30", True], ids=repr)
def test_a_limit_that_is_no_time_is_refused(wrong: Any) -> None:
    """WSAEINVAL (10022), and the host is not made."""
    with pytest.raises(InvalidArgumentError, match="cleanup_timeout"):
        Host(catalog=Catalog(), cleanup_timeout=wrong)


def test_the_limit_is_that_of_every_cleanup(catalog: Catalog, recorder: Recorder) -> None:
    """Unless one is given for this one."""
    gate = threading.Event()
    recorder.acts["alpha cleanup"] = lambda: gate.wait(LONG)
    with Host(catalog=catalog, cleanup_timeout=SHORT) as host:
        session = host.startup("alpha")
        with pytest.raises(CleanupTimeoutError, match=r"0\.05 s"):
            session.close()
        gate.set()


def test_a_limit_of_nothing_is_a_limit(catalog: Catalog, recorder: Recorder) -> None:
    """0 is not None."""
    gate = threading.Event()
    recorder.acts["alpha cleanup"] = lambda: gate.wait(LONG)
    host = Host(catalog=catalog, cleanup_timeout=0)
    session = host.startup("alpha")
    with pytest.raises(CleanupTimeoutError):
        session.close()
    gate.set()
    host.close()


def test_arguments_are_given_by_name_only(catalog: Catalog) -> None:
    """Their order means nothing."""
    with pytest.raises(TypeError):
        Host(catalog)  # type: ignore[misc]


# -- naming a provider ---------------------------------------------------------------------------

WRONG = ["nobody", "", UNKNOWN, str(UNKNOWN), 42, None, [], b"alpha", object()]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: type(wrong).__name__ + str(wrong)[:8])
@pytest.mark.parametrize("call", ["startup", "cleanup", "references"])
def test_what_names_no_provider_is_10022(catalog: Catalog, call: str, wrong: Any) -> None:
    """Whatever it is; the message tells what is installed, or what is right."""
    with Host(catalog=catalog) as host:
        with pytest.raises(InvalidArgumentError) as caught:
            getattr(host, call)(wrong)
        assert caught.value.code == 10022


# -- references ----------------------------------------------------------------------------------


def test_references_count_every_startup_and_one_for_the_host(catalog: Catalog) -> None:
    """Lookups through the host share that one."""
    with Host(catalog=catalog) as host:
        assert host.references("alpha") == 0
        list(host.lookup("x", provider="alpha"))
        list(host.lookup("x"))
        assert host.references("alpha") == 1
        session = host.startup("alpha")
        assert host.references(guid_of("alpha")) == 2
        session.close()
        assert host.references(str(guid_of("alpha"))) == 1


def test_to_ask_for_references_starts_nothing(catalog: Catalog, recorder: Recorder) -> None:
    """It only looks."""
    with Host(catalog=catalog) as host:
        host.references("alpha")
    assert recorder.settings == {}


# -- providers() ---------------------------------------------------------------------------------


def test_a_provider_whose_start_failed_says_so(catalog: Catalog, recorder: Recorder) -> None:
    """Until it starts; the catalog itself knows nothing of it."""

    def fail() -> None:
        raise NotReadyError("the server is away")

    recorder.acts["beta startup"] = fail
    with Host(catalog=catalog) as host:
        with pytest.raises(NotReadyError):
            host.startup("beta")
        entry = host.providers()[1]
        assert entry.state is EntryState.FAILED_START
        assert "the server is away" in (entry.error or "")
        assert [one.state for one in host.providers()[::2]] == [EntryState.OK, EntryState.OK]
        assert catalog["beta"].state is EntryState.OK
        recorder.acts.clear()
        host.startup("beta")
        assert host.providers()[1].state is EntryState.OK


def test_a_provider_in_quarantine_says_so(catalog: Catalog, recorder: Recorder) -> None:
    """Until its cleanup comes back."""
    gate, over = threading.Event(), threading.Event()
    recorder.acts["beta cleanup"] = lambda: gate.wait(LONG)
    with Host(catalog=catalog) as host:
        host.events.subscribe(lambda event: event.kind == "quarantine ended" and over.set())
        session = host.startup("beta")
        with pytest.raises(CleanupTimeoutError):
            session.close(timeout=SHORT)
        assert host.providers()[1].state is EntryState.QUARANTINED
        gate.set()
        assert over.wait(LONG)
        assert host.providers()[1].state is EntryState.OK


def test_what_is_listed_may_be_changed_by_who_asked(catalog: Catalog) -> None:
    """It is a list of their own."""
    with Host(catalog=catalog) as host:
        host.providers().clear()
        assert names(host) == ["alpha", "beta", "gamma"]


# -- the rest ------------------------------------------------------------------------------------


def test_repr_tells_what_is_started_in_the_order_of_the_starts(catalog: Catalog) -> None:
    """Or that nothing is, or that it is closed."""
    host = Host(catalog=catalog)
    assert repr(host) == "<Host: nothing started>"
    host.startup("beta")
    host.startup("alpha")
    assert repr(host) == "<Host: beta, alpha started>"
    host.close()
    assert repr(host) == "<Host: closed>"


def test_repr_discovers_nothing() -> None:
    """A debugger may ask at any time."""
    host = Host()
    assert repr(host) == "<Host: nothing started>"
    assert host._accounts._view is None


def test_a_with_block_gives_the_host_itself(catalog: Catalog) -> None:
    """And may be entered again as long as it is open."""
    host = Host(catalog=catalog)
    with host as entered:
        assert entered is host
        assert host.__enter__() is host
    with pytest.raises(NspError) as caught, host:
        pass
    assert caught.value.code == 10093


def test_two_hosts_share_nothing(catalog: Catalog, recorder: Recorder) -> None:
    """Each has its own count, instance, events and settings."""
    told: list[str] = []
    with Host(catalog=catalog) as one, Host(catalog=catalog, settings={"alpha": {"a": 1}}) as two:
        two.events.subscribe(lambda event: told.append(event.kind))
        one.startup("alpha")
        assert (one.references("alpha"), two.references("alpha")) == (1, 0)
        assert told == []
        two.startup("alpha")
        assert recorder.settings["alpha"] == {"a": 1}
        one.close()
        assert two.references("alpha") == 1
