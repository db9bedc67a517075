"""The catalog lists what is installed, imports what is needed, and survives what is broken."""

from __future__ import annotations

import gc
import importlib
import logging
import sys
import threading
import tracemalloc
import types
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from nspkit import _once
from nspkit._catalog import Catalog, CatalogChange
from nspkit._constants import Namespace
from nspkit._entry import CatalogEntry, EntryState
from nspkit._model import ProviderInfo
from nspkit.errors import (
    AlreadyInstalledError,
    DuplicateProviderError,
    InProgressError,
    InvalidArgumentError,
    InvalidProcedureTableError,
    InvalidProviderError,
    NspError,
    ProviderLoadError,
    VersionNotSupportedError,
)
from nspkit.hookspecs import hookimpl

LONG = 30.0


def guid(number: int) -> uuid.UUID:
    """One of the GUIDs of the tests."""
    return uuid.UUID(int=number + (0xABCDEF << 96))


def make_class(number: int, name: str = "sample", **options: object) -> type:
    """A provider class that an application could install."""
    namespace = options.pop("namespace", Namespace.DNS)
    info = ProviderInfo(guid(number), name, namespace, "1.0", **options)  # type: ignore[arg-type]
    return type("Provider", (), {"info": info, "nsp_cleanup": hookimpl(lambda self, guid: None)})


class Site:
    """A folder like site-packages, into which providers are laid as pip would lay them."""

    def __init__(self, folder: Path, gate: types.ModuleType) -> None:
        self.folder = folder
        self.gate = gate

    def add(
        self,
        name: str,
        number: int,
        *,
        before: str = "",
        after: str = "",
        version: str = "1.0",
        namespace: str = "DNS",
        spi: int = 1,
        hook: str = "nsp_cleanup",
    ) -> uuid.UUID:
        """Install a distribution with one provider; each import of it is counted."""
        source = (
            f"import {self.gate.__name__} as gate\n"
            f"gate.imported.append({name!r})\n"
            f"{before}\n"
            "from nspkit._constants import Namespace\n"
            "from nspkit._model import ProviderInfo\n"
            "from nspkit.hookspecs import hookimpl\n"
            "class Provider:\n"
            f"    info = ProviderInfo({str(guid(number))!r}, {name!r}, Namespace.{namespace},"
            f" '1.0', spi_version={spi})\n"
            "    @hookimpl\n"
            f"    def {hook}(self, guid):\n"
            "        pass\n"
            f"{after}\n"
        )
        module = f"catalog_test_{name}_{number}"
        self.write(f"{name}-{number}", f"{name} = {module}:Provider", version=version)
        (self.folder / f"{module}.py").write_text(source)
        importlib.invalidate_caches()
        return guid(number)

    def write(self, distribution: str, line: str, *, version: str = "1.0") -> None:
        """Install the metadata of a distribution with one entry point."""
        stem = distribution.replace("-", "_")
        information = self.folder / f"{stem}-{version}.dist-info"
        information.mkdir()
        metadata = f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
        (information / "METADATA").write_text(metadata)
        (information / "entry_points.txt").write_text(f"[nspkit.providers]\n{line}\n")

    def catalog(self) -> Catalog:
        """The catalog of what is installed here."""
        return Catalog.discover(path=[str(self.folder)])

    @property
    def imported(self) -> list[str]:
        """The providers that were imported, in order."""
        imported: list[str] = self.gate.imported
        return imported


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """An empty folder on the path; what is imported from it is forgotten at the end."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    gate = types.ModuleType("catalog_test_gate")
    gate.imported = []  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, gate.__name__, gate)
    yield Site(folder, gate)
    for name in [name for name in sys.modules if name.startswith("catalog_test_")]:
        if name != gate.__name__:
            del sys.modules[name]


def names(entries: object) -> list[str]:
    """The short names of some entries."""
    return [entry.name for entry in entries]  # type: ignore[attr-defined]


def refused(catalog: object, provider: object) -> str:
    """The message with which a catalog refuses a provider."""
    with pytest.raises(InvalidProviderError) as caught:
        catalog[provider]  # type: ignore[index]
    assert caught.value.code == 10022
    return caught.value.message


# Discovery --------------------------------------------------------------------------------------


def test_a_new_catalog_is_empty() -> None:
    """There is nothing in it, and nothing can be found."""
    catalog = Catalog()
    assert (len(catalog), list(catalog), repr(catalog)) == (0, [], "<Catalog: none>")
    assert refused(catalog, "hosts") == "no provider 'hosts' is installed; installed: none"


def test_discovery_lists_by_short_name_and_imports_nothing(site: Site) -> None:
    """Names, distributions and versions are known without a provider's code."""
    site.add("beta", 2, version="2.5")
    site.add("alpha", 1)
    catalog = site.catalog()
    listed = [(e.name, e.distribution, e.version, e.enabled) for e in catalog]
    assert listed == [("alpha", "alpha-1", "1.0", True), ("beta", "beta-2", "2.5", True)]
    assert (len(catalog), repr(catalog)) == (2, "<Catalog: alpha, beta>")
    assert repr(catalog["alpha"]) == "<CatalogEntry 'alpha'>"
    assert site.imported == []


def test_discovery_reads_another_group_where_asked(site: Site) -> None:
    """The path of the process is searched where no other is given."""
    site.add("alpha", 1)
    text = "[other.group]\nbeta = catalog_test_alpha_1:Provider\n"
    (site.folder / "alpha_1-1.0.dist-info" / "entry_points.txt").write_text(text)
    assert names(Catalog.discover(group="other.group")) == ["beta"]
    assert site.catalog().select() == []


@pytest.mark.parametrize("name", ["two words", str(guid(7)), "caf\u00e9"])
def test_a_bad_short_name_is_listed_as_broken(site: Site, name: str) -> None:
    """A name that looks like a GUID could stand in for another provider."""
    site.add("alpha", 1)
    site.write("bad", f"{name} = catalog_test_alpha_1:Provider")
    entry = next(e for e in site.catalog() if e.name == name)
    assert entry.state is EntryState.BROKEN_IMPORT
    assert entry.error is not None
    assert entry.error.startswith("the name of the entry point is ")
    with pytest.raises(ProviderLoadError, match=r"'.*' .bad 1.0. cannot be used"):
        entry.load()
    assert site.imported == []


def test_a_name_like_a_guid_never_stands_in_for_a_provider(site: Site) -> None:
    """The GUID is that of whoever has it in its info."""
    site.add("zeta", 7)
    site.write("bad", f"{guid(7)} = catalog_test_zeta_7:Provider")
    catalog = site.catalog()
    assert catalog[guid(7)].name == "zeta"
    assert catalog[str(guid(7))].name == "zeta"


def test_broken_metadata_are_listed_and_take_no_name(site: Site) -> None:
    """One with a malformed line is reached by its name only where no other has it."""
    site.add("alpha", 1)
    site.write("bad", "alpha = not a value")
    site.write("worse", "beta = not a value")
    catalog = site.catalog()
    assert names(catalog) == ["alpha", "alpha", "beta"]
    assert catalog["alpha"].load().__module__ == "catalog_test_alpha_1"
    assert catalog["beta"].state is EntryState.BROKEN_IMPORT
    assert "line 2 of entry_points.txt" in str(catalog["beta"].error)
    assert catalog["beta"].traceback is None


# Lookup -----------------------------------------------------------------------------------------


def test_a_short_name_imports_its_provider_only(site: Site) -> None:
    """However often it is asked for."""
    site.add("alpha", 1)
    site.add("beta", 2)
    catalog = site.catalog()
    assert site.imported == []
    loaded = catalog["beta"].load()
    assert catalog["beta"].load() is loaded
    assert (catalog["beta"].guid, site.imported) == (guid(2), ["beta"])


def test_a_guid_imports_every_provider_once(site: Site) -> None:
    """Only then it is known whose it is."""
    for number, name in enumerate(("alpha", "beta", "gamma")):
        site.add(name, number)
    catalog = site.catalog()
    assert catalog[guid(1)].name == "beta"
    assert catalog[guid(2)].name == "gamma"
    assert sorted(site.imported) == ["alpha", "beta", "gamma"]


def test_every_way_to_name_a_provider_finds_it() -> None:
    """UUID, its string in either case, with braces, the info, and an entry of a snapshot."""
    catalog = Catalog()
    cls = make_class(1, "alpha")
    entry = catalog.install(cls)
    text = str(guid(1))
    for provider in (guid(1), text, text.upper(), f"{{{text}}}", cls.info, "alpha", entry):
        assert catalog[provider] is entry
        assert provider in catalog
    assert catalog[catalog.snapshot()["alpha"]] is entry


def test_of_an_over_long_name_the_refusal_shows_the_beginning() -> None:
    """A message is for people, and for logs."""
    message = refused(Catalog(), "x" * 100_000)
    assert message == f"no provider '{'x' * 80}...' is installed; installed: none"


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    """And with what is installed, what is disabled included."""
    catalog = Catalog()
    for number, name in enumerate(("hosts", "dns", "mdns")):
        catalog.install(make_class(number, name))
    catalog.enable("dns", False)
    assert refused(catalog, "hsots") == (
        "no provider 'hsots' is installed (did you mean 'hosts'?); "
        "installed: hosts, dns (disabled), mdns"
    )


def test_a_long_catalog_is_cut_short_in_messages() -> None:
    """There may be ten thousand."""
    catalog = Catalog()
    for number in range(25):
        catalog.install(make_class(number, f"p{number:02}"))
    message = refused(catalog, "zzz")
    assert message.endswith("p18, p19, and 5 more")
    assert "p20" not in message


def test_an_unknown_guid_is_refused() -> None:
    """The error has the GUID."""
    catalog = Catalog()
    catalog.install(make_class(1, "alpha"))
    message = f"no provider with the GUID {guid(2)} is installed; installed: alpha"
    for provider in (guid(2), str(guid(2)), make_class(2).info):
        assert refused(catalog, provider) == message
        assert provider not in catalog
    with pytest.raises(InvalidProviderError) as caught:
        catalog[guid(2)]
    assert caught.value.guid == guid(2)


@pytest.mark.parametrize("thing", [5, None, [], b"alpha"])
def test_something_else_is_refused(thing: object) -> None:
    """Also what cannot be a key."""
    catalog = Catalog()
    assert "give a uuid.UUID or a string" in refused(catalog, thing)
    assert thing not in catalog


def test_an_entry_of_another_catalog_is_refused() -> None:
    """It is the same provider only where it came from the same installation."""
    other = Catalog()
    entry = other.install(make_class(1, "alpha"))
    catalog = Catalog()
    catalog.install(make_class(1, "alpha"))
    assert refused(catalog, entry).startswith(
        "no provider 'alpha' (installed by the application) is installed; installed: alpha"
    )


def test_a_name_that_two_have_is_refused_and_names_both(site: Site) -> None:
    """Both are listed, and reached by their GUIDs."""
    site.add("alpha", 1)
    site.add("alpha", 2, version="2.0")
    site.add("beta", 3)
    catalog = site.catalog()
    assert names(catalog) == ["alpha", "alpha", "beta"]
    for view in (catalog, catalog.snapshot()):
        assert refused(view, "alpha") == (
            "the short name 'alpha' belongs to 'alpha' (alpha-1 1.0) and 'alpha' (alpha-2 2.0); "
            "use the GUID of the one that is meant"
        )
        for number in (1, 2):
            assert view[guid(number)].load().__module__ == f"catalog_test_alpha_{number}"
    assert site.imported == ["alpha", "alpha", "beta"]


def test_a_name_that_three_have_stays_refused() -> None:
    """Adding one more does not make it unambiguous."""
    catalog = Catalog()
    for number in range(3):
        catalog.install(make_class(number, "alpha"))
        assert ("alpha" in catalog) is (number == 0)


def test_disabling_one_frees_the_name_for_hosts(site: Site) -> None:
    """In a snapshot; the catalog itself still has two."""
    site.add("alpha", 1)
    site.add("alpha", 2)
    catalog = site.catalog()
    catalog.enable(guid(1), False)
    assert catalog.snapshot()["alpha"].guid == guid(2)
    assert "belongs to" in refused(catalog, "alpha")


# What is broken ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("import no_such_module_here", "ModuleNotFoundError: No module named"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("raise GeneratorExit", "GeneratorExit;"),
        ("f = lambda: f()\nf()", "RecursionError: maximum recursion depth exceeded"),
        ("raise MemoryError", "MemoryError;"),
        ("this is no Python", "SyntaxError: invalid syntax"),
        (
            "class E(Exception):\n    def __str__(self): 1 / 0\nraise E",
            "E: <exception str() failed>",
        ),
        (
            "class E(Exception):\n    __cause__ = property(lambda self: 1 / 0)\nraise E",
            "E; mend",
        ),
    ],
)
def test_a_broken_import_is_a_state_and_harms_no_other(site: Site, code: str, text: str) -> None:
    """Whatever a module does at import, the others are found and it stays listed."""
    site.add("alpha", 1, before=code)
    site.add("beta", 2)
    catalog = site.catalog()
    assert catalog[guid(2)].name == "beta"
    alpha, beta = catalog
    assert (alpha.state, beta.state) == (EntryState.BROKEN_IMPORT, EntryState.OK)
    assert (alpha.info, alpha.guid, beta.error, beta.traceback) == (None, None, None, None)
    assert alpha.error is not None
    assert alpha.error.startswith("importing 'catalog_test_alpha_1:Provider' failed with ")
    assert text in alpha.error
    assert alpha.error.endswith("; mend, reinstall or uninstall it")
    with pytest.raises(ProviderLoadError, match=r"provider 'alpha' .alpha-1 1.0. cannot be used"):
        alpha.load()
    assert site.imported.count("alpha") == (0 if "Syntax" in text else 1)


def test_a_missing_attribute_is_a_broken_import(site: Site) -> None:
    """The module is there, and what the entry point names is not."""
    site.add("alpha", 1, after="del Provider")
    (entry,) = site.catalog()
    assert entry.state is EntryState.BROKEN_IMPORT
    assert "has no attribute 'Provider'" in str(entry.error)


def test_the_traceback_of_a_broken_import_is_kept_as_text(site: Site) -> None:
    """An author needs the line, and an error shows it as its cause."""
    site.add("alpha", 1, before="1 / 0")
    (entry,) = site.catalog()
    assert entry.traceback is not None
    assert 'catalog_test_alpha_1.py", line 3' in entry.traceback
    assert entry.traceback.endswith("ZeroDivisionError: division by zero\n")
    with pytest.raises(ProviderLoadError) as caught:
        entry.load()
    cause = caught.value.__cause__
    assert isinstance(cause, ImportError)
    assert cause.__notes__ == [entry.traceback]


def test_a_spoilt_traceback_is_told(site: Site) -> None:
    """An exception can be made so that it cannot be shown."""
    code = "class E(Exception):\n    __cause__ = property(lambda self: 1 / 0)\nraise E"
    site.add("alpha", 1, before=code)
    (entry,) = site.catalog()
    assert entry.traceback == "E, whose traceback cannot be shown: ZeroDivisionError"


def test_every_error_is_a_new_object(site: Site) -> None:
    """Threads that raise the same object would mix their tracebacks."""
    site.add("alpha", 1, before="1 / 0")
    (entry,) = site.catalog()
    errors = []
    for _ in range(2):
        with pytest.raises(ProviderLoadError) as caught:
            entry.load()
        errors.append(caught.value)
    assert errors[0] is not errors[1]
    assert errors[0].__cause__ is not errors[1].__cause__
    assert site.imported == ["alpha"]


def test_nothing_of_a_failed_import_is_kept_alive(site: Site) -> None:
    """An exception kept would keep its frames and all their values."""
    code = (
        "class Raised(Exception): pass\n"
        "class Local: pass\n"
        "def f():\n    local = Local()\n    raise Raised\n"
        "f()"
    )
    site.add("alpha", 1, before=code)
    (entry,) = site.catalog()
    assert entry.state is EntryState.BROKEN_IMPORT
    gc.collect()
    assert [x for x in gc.get_objects() if type(x).__name__ in ("Raised", "Local")] == []


def test_an_interrupt_passes_and_the_next_try_imports_afresh(site: Site) -> None:
    """Ctrl-C is no property of the provider."""
    site.add("alpha", 1, before="if len(gate.imported) == 1: raise KeyboardInterrupt")
    (entry,) = site.catalog()
    with pytest.raises(KeyboardInterrupt):
        entry.load()
    assert entry.load().__name__ == "Provider"
    assert site.imported == ["alpha", "alpha"]


def test_a_class_that_breaks_the_contract_is_refused(site: Site) -> None:
    """All its problems are told, and its GUID leads to the same error."""
    site.add("alpha", 1, hook="nsp_cleanups", after="    def nsp_startup(self): pass\n")
    site.add("beta", 2)
    catalog = site.catalog()
    entry = catalog[guid(1)]
    assert (entry.name, entry.guid, entry.state) == ("alpha", guid(1), EntryState.INVALID_CONTRACT)
    assert "did you mean 'nsp_cleanup'" in str(entry.error)
    assert "Provider.nsp_startup has no @hookimpl" in str(entry.error)
    with pytest.raises(InvalidProcedureTableError, match=r"'alpha' .alpha-1 1.0.") as caught:
        entry.load()
    assert (caught.value.code, caught.value.guid) == (10104, guid(1))
    assert caught.value.__cause__ is None
    assert catalog["beta"].state is EntryState.OK


def test_an_entry_tells_each_problem_by_itself(site: Site) -> None:
    """All of them, and whatever hooks are there; none of it keeps the class."""
    site.add("alpha", 1, hook="nsp_cleanups", after="    def nsp_startup(self): pass\n")
    site.add("beta", 2, before="raise ValueError('no good')")
    site.add("gamma", 3)
    site.add("delta", 4, spi=2)
    alpha, beta, delta, gamma = site.catalog()
    assert alpha.error == "; ".join(alpha.problems)
    assert len(alpha.problems) == 2
    assert (alpha.hooks, beta.hooks) == (frozenset(), None)
    assert gamma.hooks == delta.hooks == {"nsp_cleanup"}
    assert gamma.problems == ()
    assert [(one.error,) for one in (beta, delta)] == [beta.problems, delta.problems]


def test_of_a_provider_that_is_being_imported_nothing_is_known(site: Site) -> None:
    """Neither hooks nor problems, for the module that asks about its own entry."""
    asking = "gate.seen = [(one.hooks, one.problems) for one in gate.catalog]"
    site.add("alpha", 1, before=asking)
    site.gate.catalog = catalog = site.catalog()  # type: ignore[attr-defined]
    (entry,) = catalog
    assert entry.hooks == {"nsp_cleanup"}
    assert site.gate.seen == [(None, ())]


def test_something_else_than_a_class_is_refused(site: Site) -> None:
    """An instance, for example."""
    site.add("alpha", 1, after="Provider = Provider()")
    (entry,) = site.catalog()
    assert (entry.state, entry.info) == (EntryState.INVALID_CONTRACT, None)
    with pytest.raises(InvalidProcedureTableError, match="a Provider is no class"):
        entry.load()


def test_another_version_is_told_before_all_else(site: Site) -> None:
    """It may well have hooks that this nspkit does not know."""
    site.add("alpha", 1, spi=2, hook="nsp_hook_of_the_future")
    (entry,) = site.catalog()
    assert entry.state is EntryState.INCOMPATIBLE
    with pytest.raises(VersionNotSupportedError, match="speaks version 2") as caught:
        entry.load()
    assert (caught.value.code, caught.value.guid) == (10092, guid(1))


# Two with one GUID ------------------------------------------------------------------------------


def two_with_one_guid(site: Site) -> Catalog:
    """A catalog in which alpha and beta have the same GUID, and gamma its own."""
    site.add("alpha", 1)
    site.add("beta", 1, version="2.0")
    site.add("gamma", 3)
    return site.catalog()


BOTH = (
    f"the GUID {guid(1)} belongs to 'alpha' (alpha-1 1.0) and 'beta' (beta-1 2.0); "
    "uninstall or disable all but one of them"
)


def test_two_with_one_guid_are_both_refused(site: Site) -> None:
    """Neither can be meant; both are named with their versions, and the third is fine."""
    catalog = two_with_one_guid(site)
    for provider in (guid(1), "alpha", "beta"):
        with pytest.raises(DuplicateProviderError) as caught:
            catalog[provider].load()
        assert (caught.value.message, caught.value.guid) == (BOTH, guid(1))
        assert caught.value.code == 10105
    assert catalog["gamma"].load().__name__ == "Provider"


def test_the_state_of_two_with_one_guid_tells(site: Site) -> None:
    """Whichever is asked first."""
    catalog = two_with_one_guid(site)
    assert [e.state for e in catalog] == [EntryState.DUPLICATE] * 2 + [EntryState.OK]
    assert [e.error for e in catalog] == [BOTH, BOTH, None]


def test_the_first_by_name_is_loaded_while_the_other_is_not_known(site: Site) -> None:
    """A name imports its provider only; the second one meets the first."""
    catalog = two_with_one_guid(site)
    assert catalog["alpha"].load().__module__ == "catalog_test_alpha_1"
    assert catalog["alpha"].load().__module__ == "catalog_test_alpha_1"
    with pytest.raises(DuplicateProviderError):
        catalog["beta"].load()
    with pytest.raises(DuplicateProviderError):
        catalog["alpha"].load()
    assert site.imported == ["alpha", "beta"]


@pytest.mark.parametrize("way", ["disable", "uninstall"])
def test_one_of_two_with_one_guid_may_go(site: Site, way: str) -> None:
    """That is the way out that the message tells."""
    catalog = two_with_one_guid(site)
    assert catalog["alpha"].state is EntryState.DUPLICATE
    if way == "disable":
        catalog.enable("alpha", False)
    else:
        catalog.uninstall("alpha")
    assert catalog["beta"].state is EntryState.OK
    assert catalog[guid(1)].load().__module__ == "catalog_test_beta_1"


def test_a_broken_one_spoils_the_guid_of_no_other(site: Site) -> None:
    """It cannot be started, so there is nothing to confuse it with."""
    site.add("alpha", 1, spi=2)
    site.add("beta", 1)
    site.add("gamma", 1, hook="nsp_unknown")
    catalog = site.catalog()
    assert catalog[guid(1)].name == "beta"
    assert [e.state for e in catalog] == [
        EntryState.INCOMPATIBLE,
        EntryState.OK,
        EntryState.INVALID_CONTRACT,
    ]


def test_a_host_with_one_of_two_does_not_see_the_other(site: Site) -> None:
    """What a restricted view leaves out is not there."""
    view = two_with_one_guid(site).restricted(["alpha"])
    assert view[guid(1)].load().__module__ == "catalog_test_alpha_1"
    assert site.imported == ["alpha"]


# Threads and imports within imports --------------------------------------------------------------


def test_many_threads_import_a_provider_once(site: Site) -> None:
    """All get its class."""
    site.gate.ready = threading.Event()  # type: ignore[attr-defined]
    site.gate.go = threading.Event()  # type: ignore[attr-defined]
    site.add("alpha", 1, before=f"gate.ready.set()\nassert gate.go.wait({LONG})")
    (entry,) = site.catalog()
    start = threading.Barrier(8)

    def load() -> type:
        start.wait(LONG)
        return entry.load()

    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(load) for _ in range(8)]
        assert site.gate.ready.wait(LONG)
        site.gate.go.set()
        assert len({answer.result(LONG) for answer in answers}) == 1
    assert site.imported == ["alpha"]


def test_many_threads_share_a_failed_import_each_with_its_own_error(site: Site) -> None:
    """Python's own import would run the module once for each of them."""
    site.gate.ready = threading.Event()  # type: ignore[attr-defined]
    site.gate.go = threading.Event()  # type: ignore[attr-defined]
    site.add("alpha", 1, before=f"gate.ready.set()\nassert gate.go.wait({LONG})\n1 / 0")
    (entry,) = site.catalog()
    start = threading.Barrier(8)

    def load() -> BaseException:
        start.wait(LONG)
        with pytest.raises(ProviderLoadError) as caught:
            entry.load()
        return caught.value

    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(load) for _ in range(8)]
        assert site.gate.ready.wait(LONG)
        site.gate.go.set()
        errors = [answer.result(LONG) for answer in answers]
    assert len({id(error) for error in errors}) == 8
    assert site.imported == ["alpha"]


def test_many_threads_look_for_a_guid_at_once(site: Site) -> None:
    """Each module is imported once, and all find the same entry."""
    for number in range(6):
        site.add(f"p{number}", number)
    catalog = site.catalog()
    start = threading.Barrier(6)

    def look(number: int) -> CatalogEntry:
        start.wait(LONG)
        return catalog[guid(number)]

    with ThreadPoolExecutor(6) as pool:
        assert names(pool.map(look, range(6))) == [f"p{number}" for number in range(6)]
    assert sorted(site.imported) == [f"p{number}" for number in range(6)]


def test_a_module_that_loads_its_own_provider_does_not_hang(site: Site) -> None:
    """It gets an error at once; what it asks about itself is not known yet."""
    code = (
        "from nspkit.errors import InProgressError\n"
        "entry = gate.catalog['alpha']\n"
        "try:\n"
        "    entry.load()\n"
        "except InProgressError as error:\n"
        "    gate.error = error\n"
        "gate.seen = entry.info, entry.guid, entry.error, entry.traceback, entry.state.name\n"
    )
    site.add("alpha", 1, before=code)
    site.gate.catalog = catalog = site.catalog()  # type: ignore[attr-defined]
    assert catalog["alpha"].load().__name__ == "Provider"
    assert isinstance(site.gate.error, InProgressError)
    assert "'alpha' (alpha-1 1.0) is still being imported, by this very" in str(site.gate.error)
    assert site.gate.seen == (None, None, None, None, "OK")
    assert site.imported == ["alpha"]


def test_a_module_may_ask_for_other_providers(site: Site) -> None:
    """What is known of the others is told, and nothing half-known is kept."""
    code = (
        f"gate.beta = gate.catalog[{str(guid(2))!r}].load()\n"
        "gate.all = gate.catalog.select()\n"
        "gate.dns = gate.catalog.select(namespace=12)\n"
        f"gate.own = {str(guid(1))!r} in gate.catalog\n"
    )
    site.add("alpha", 1, before=code)
    site.add("beta", 2)
    site.gate.catalog = catalog = site.catalog()  # type: ignore[attr-defined]
    assert catalog[guid(1)].name == "alpha"
    assert site.gate.beta.__module__ == "catalog_test_beta_2"
    assert (names(site.gate.all), names(site.gate.dns)) == (["alpha", "beta"], ["beta"])
    assert site.gate.own is False
    assert names(catalog.select(namespace=Namespace.DNS)) == ["alpha", "beta"]
    assert sorted(site.imported) == ["alpha", "beta"]


def test_a_broken_info_is_found_from_inside_an_import(site: Site) -> None:
    """One that breaks the contract has a GUID all the same."""
    site.add("alpha", 1, before=f"gate.found = gate.catalog[{str(guid(2))!r}].name")
    site.add("beta", 2, spi=2)
    site.gate.catalog = catalog = site.catalog()  # type: ignore[attr-defined]
    catalog["alpha"].load()
    assert site.gate.found == "beta"


def test_an_import_that_does_not_end_is_not_waited_for(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other thread says so, and can load the provider when the import has ended."""
    site.gate.ready = threading.Event()  # type: ignore[attr-defined]
    site.gate.go = threading.Event()  # type: ignore[attr-defined]
    site.add("alpha", 1, before=f"gate.ready.set()\nassert gate.go.wait({LONG})")
    (entry,) = site.catalog()
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(entry.load)
        assert site.gate.ready.wait(LONG)
        with monkeypatch.context() as patch:
            patch.setattr(_once, "PATIENCE", 0.001)
            with pytest.raises(InProgressError, match="for very long by another") as caught:
                entry.load()
        site.gate.go.set()
        assert entry.load() is answer.result(LONG)
    assert caught.value.code == 10036


def test_a_catalog_that_changes_while_it_is_read_is_read_again(site: Site) -> None:
    """A module that installs another provider at import is no reason to lose that one."""
    site.gate.other = make_class(9, "other")  # type: ignore[attr-defined]
    site.add("alpha", 1, after="gate.catalog.install(gate.other)")
    site.gate.catalog = catalog = site.catalog()  # type: ignore[attr-defined]
    assert catalog[guid(9)].name == "other"
    assert names(catalog) == ["alpha", "other"]


def test_a_provider_that_is_enabled_while_others_are_imported_is_found(site: Site) -> None:
    """The list is the same then, but not what it means."""
    site.add("alpha", 1)
    site.add("beta", 2, after="gate.catalog.enable('alpha')")
    site.gate.catalog = catalog = site.catalog()  # type: ignore[attr-defined]
    catalog.enable("alpha", False)
    assert catalog[guid(1)].name == "alpha"


@pytest.mark.parametrize("change", ["enable('alpha', False)", "uninstall('alpha')"])
def test_a_provider_that_leaves_while_it_is_loaded_takes_its_guid_along(
    site: Site, change: str
) -> None:
    """Another one with this GUID is not a second one."""
    site.add("alpha", 1, after=f"gate.catalog.{change}")
    site.add("beta", 1)
    site.gate.catalog = catalog = site.catalog()  # type: ignore[attr-defined]
    assert catalog["alpha"].load().__module__ == "catalog_test_alpha_1"
    assert catalog["beta"].load().__module__ == "catalog_test_beta_1"


# Selection --------------------------------------------------------------------------------------


def test_all_selects_every_enabled_provider_in_order(site: Site) -> None:
    """A broken one too: its error is for whoever asks everybody."""
    site.add("alpha", 1)
    site.add("beta", 2, before="1 / 0")
    site.add("gamma", 3)
    site.add("delta", 4)
    catalog = site.catalog()
    catalog.enable("gamma", False)
    assert names(catalog.select()) == ["alpha", "beta", "delta"]
    assert names(catalog.select(namespace=Namespace.ALL)) == ["alpha", "beta", "delta"]
    assert "gamma" not in site.imported


def test_a_namespace_selects_all_of_it_and_no_others(site: Site) -> None:
    """Those whose namespace cannot be told are not among them."""
    site.add("alpha", 1, namespace="DNS")
    site.add("beta", 2, namespace="NIS")
    site.add("gamma", 3, namespace="DNS")
    site.add("delta", 4, before="1 / 0")
    catalog = site.catalog()
    assert names(catalog.select(namespace=Namespace.DNS)) == ["alpha", "gamma"]
    assert names(catalog.select(namespace=41)) == ["beta"]
    assert catalog.select(namespace=Namespace.BTH) == []


def test_a_provider_is_selected_whatever_the_namespace(site: Site) -> None:
    """Winsock does not look at the namespace where a GUID is given."""
    site.add("alpha", 1, namespace="DNS")
    catalog = site.catalog()
    assert names(catalog.select(namespace=Namespace.NIS, provider=guid(1))) == ["alpha"]
    with pytest.raises(InvalidProviderError):
        catalog.select(provider="beta")


def test_a_namespace_that_is_none_is_refused() -> None:
    """A word is no number."""
    with pytest.raises(InvalidArgumentError, match="namespace is 'dns'"):
        Catalog().select(namespace="dns")  # type: ignore[arg-type]


def test_a_selection_follows_the_changes_of_the_catalog() -> None:
    """What was found before is not kept beyond a change, and belongs to the caller."""
    catalog = Catalog()
    catalog.install(make_class(1, "alpha"))
    first = catalog.select()
    first.clear()
    assert names(catalog.select()) == ["alpha"]
    catalog.install(make_class(2, "beta"))
    assert names(catalog.select()) == ["alpha", "beta"]
    catalog.enable("alpha", False)
    assert names(catalog.select()) == ["beta"]
    catalog.enable("alpha")
    catalog.reorder([guid(2), guid(1)])
    assert names(catalog.select(namespace=Namespace.DNS)) == ["beta", "alpha"]
    catalog.uninstall("beta")
    assert names(catalog.select(namespace=Namespace.DNS)) == ["alpha"]


# Snapshots --------------------------------------------------------------------------------------


def test_later_changes_do_not_show_in_a_snapshot() -> None:
    """A host keeps what it was made with; the next one sees the changes."""
    catalog = Catalog()
    for number, name in enumerate(("alpha", "beta", "gamma"), start=1):
        catalog.install(make_class(number, name))
    before = catalog.snapshot()
    catalog.install(make_class(4, "delta"))
    catalog.uninstall("alpha")
    catalog.enable("beta", False)
    catalog.reorder([guid(4), guid(3), guid(2)])
    after = catalog.snapshot()
    assert names(before) == names(before.select()) == ["alpha", "beta", "gamma"]
    assert before[guid(1)].load().__name__ == before["beta"].load().__name__ == "Provider"
    assert "delta" not in before
    assert (names(after), names(after.select())) == (["delta", "gamma", "beta"], ["delta", "gamma"])
    assert repr(after) == "<CatalogView: delta, gamma, beta (disabled)>"


def test_snapshots_share_what_was_imported(site: Site) -> None:
    """A provider is imported once for all hosts."""
    site.add("alpha", 1)
    catalog = site.catalog()
    one, two = catalog.snapshot(), catalog.snapshot().snapshot()
    assert one["alpha"].load() is two[guid(1)].load() is catalog["alpha"].load()
    assert site.imported == ["alpha"]


def test_a_snapshot_cannot_be_changed() -> None:
    """It has no way to."""
    snapshot = Catalog().snapshot()
    for change in ("install", "uninstall", "enable", "reorder", "arrange", "subscribe"):
        assert not hasattr(snapshot, change)


def test_a_disabled_provider_is_listed_and_not_reached(site: Site) -> None:
    """Not by its name, its GUID, its entry or its namespace, and it is not imported."""
    site.add("alpha", 1)
    site.add("beta", 2)
    catalog = site.catalog()
    catalog.enable("beta", False)
    snapshot = catalog.snapshot()
    assert names(snapshot) == ["alpha", "beta"]
    assert [e.state for e in snapshot] == [EntryState.OK, EntryState.DISABLED]
    assert [e.error for e in snapshot] == [None, None]
    assert repr(catalog["beta"]) == "<CatalogEntry 'beta', disabled>"
    for provider in ("beta", catalog["beta"]):
        assert refused(snapshot, provider) == (
            "provider 'beta' (beta-2 1.0) is disabled; catalog.enable('beta'), or taking it out "
            "of 'disabled' in nspkit.toml, enables it for hosts made after that"
        )
    assert refused(snapshot, guid(2)).endswith("is installed; installed: alpha, beta (disabled)")
    assert names(snapshot.select(namespace=Namespace.DNS)) == ["alpha"]
    for entry in (catalog["beta"], snapshot.select(provider="alpha") and list(snapshot)[1]):
        with pytest.raises(InvalidProviderError, match="is disabled"):
            entry.load()
    assert site.imported == ["alpha"]


def test_a_disabled_provider_whose_guid_is_known_is_refused_as_such() -> None:
    """The error has its GUID."""
    catalog = Catalog()
    catalog.install(make_class(1, "alpha"))
    catalog.enable(guid(1), False)
    snapshot = catalog.snapshot()
    assert "'alpha' (installed by the application) is disabled" in refused(snapshot, guid(1))
    with pytest.raises(InvalidProviderError) as caught:
        snapshot["alpha"]
    assert caught.value.guid == guid(1)


def test_a_disabled_provider_tells_its_info_where_it_is_asked(site: Site) -> None:
    """An enumeration shows it with its GUID; that takes an import."""
    site.add("alpha", 1)
    catalog = site.catalog()
    catalog.enable("alpha", False)
    (entry,) = catalog.snapshot()
    assert site.imported == []
    assert (entry.guid, entry.state) == (guid(1), EntryState.DISABLED)
    assert site.imported == ["alpha"]


def test_a_restricted_view_has_the_order_given_and_imports_no_other(site: Site) -> None:
    """Names, GUIDs and entries may be given."""
    for number, name in enumerate(("alpha", "beta", "gamma")):
        site.add(name, number)
    catalog = site.catalog()
    view = catalog.restricted(["gamma", "alpha"])
    assert names(view) == names(view.select(namespace=Namespace.DNS)) == ["gamma", "alpha"]
    assert sorted(site.imported) == ["alpha", "gamma"]
    assert refused(view, "beta").endswith("is installed; installed: gamma, alpha")
    assert names(catalog.restricted([guid(1), catalog["alpha"]])) == ["beta", "alpha"]


def test_a_restricted_view_is_refused_where_a_name_is_wrong() -> None:
    """Unknown, disabled, or twice."""
    catalog = Catalog()
    catalog.install(make_class(1, "alpha"))
    catalog.install(make_class(2, "beta"))
    catalog.enable("beta", False)
    with pytest.raises(InvalidProviderError, match="no provider 'gamma' is installed"):
        catalog.restricted(["alpha", "gamma"])
    with pytest.raises(InvalidProviderError, match="is disabled"):
        catalog.restricted(["beta"])
    with pytest.raises(InvalidArgumentError, match="'alpha' is named twice; name it once") as error:
        catalog.restricted(["alpha", guid(1)])
    assert error.value.code == 10022


def test_a_copy_goes_its_own_way(site: Site) -> None:
    """It has the same providers, order and states, and shares what was imported."""
    for number, name in enumerate(("alpha", "beta", "gamma")):
        site.add(name, number)
    catalog = site.catalog()
    catalog.arrange(["gamma"])
    catalog.enable("beta", False)
    copy = catalog.copy()
    assert (repr(copy), repr(catalog)) == ("<Catalog: gamma, alpha, beta (disabled)>",) * 2
    copy.uninstall("gamma")
    copy.enable("beta")
    assert (repr(copy), repr(catalog)) == (
        "<Catalog: alpha, beta>",
        "<Catalog: gamma, alpha, beta (disabled)>",
    )
    assert copy["alpha"].load() is catalog["alpha"].load()
    assert catalog["gamma"].load().__name__ == "Provider"
    assert site.imported == ["alpha", "gamma"]


def test_a_host_may_mark_an_entry() -> None:
    """A failed start is what a host knows, and no catalog."""
    catalog = Catalog()
    catalog.install(make_class(1, "alpha"))
    entry = catalog.snapshot()["alpha"]
    marked = entry.marked(EntryState.QUARANTINED, "it hangs")
    assert (marked.state, marked.error) == (EntryState.QUARANTINED, "it hangs")
    assert (marked.name, marked.guid, entry.state) == ("alpha", guid(1), EntryState.OK)


# Changes ----------------------------------------------------------------------------------------


def test_installing_appends() -> None:
    """The short name is that of the info, or the one that is given."""
    catalog = Catalog()
    beta = make_class(2, "beta")
    entry = catalog.install(beta)
    catalog.install(make_class(1, "alpha"), name="zeta")
    assert names(catalog) == ["beta", "zeta"]
    assert (entry.name, entry.load(), entry.info) == ("beta", beta, beta.info)
    assert (entry.distribution, entry.version, entry.enabled) == (None, None, True)
    assert entry.state is EntryState.OK


def test_installing_after_a_guid_was_looked_up_is_seen() -> None:
    """By GUID, by its string and by name."""
    catalog = Catalog()
    assert guid(1) not in catalog
    entry = catalog.install(make_class(1, "alpha"))
    assert catalog[guid(1)] is catalog[str(guid(1))] is catalog["alpha"] is entry


def test_installing_a_guid_again_is_refused(site: Site) -> None:
    """Whether the other one was installed by pip, by the application, or is disabled."""
    site.add("alpha", 1)
    site.add("beta", 2)
    catalog = site.catalog()
    catalog.enable("beta", False)
    catalog.install(make_class(3, "gamma"))
    for number, holder in (
        (1, "'alpha' (alpha-1 1.0)"),
        (2, "'beta' (beta-2 1.0)"),
        (3, "'gamma' (installed by the application)"),
    ):
        with pytest.raises(AlreadyInstalledError) as caught:
            catalog.install(make_class(number, "other"))
        assert caught.value.message == (
            f"the GUID {guid(number)} is installed already, as {holder}; uninstall that one first"
        )
        assert (caught.value.code, caught.value.guid) == (11003, guid(number))
    assert len(catalog) == 3


@pytest.mark.parametrize("name", ["", "two words", str(guid(1)), 5])
def test_installing_under_a_bad_name_is_refused(name: str) -> None:
    """As for an entry point."""
    catalog = Catalog()
    with pytest.raises(InvalidArgumentError, match=r"name is .*: give a name of ASCII letters"):
        catalog.install(make_class(1), name=name)
    assert len(catalog) == 0


def test_installing_what_is_no_provider_is_refused() -> None:
    """With the error that an entry point would get at its start."""
    catalog = Catalog()
    with pytest.raises(InvalidProcedureTableError, match=r"provider 'Empty' cannot.* has no info"):
        catalog.install(type("Empty", (), {}))
    with pytest.raises(InvalidProcedureTableError, match="an int is no class"):
        catalog.install(5)  # type: ignore[arg-type]
    with pytest.raises(VersionNotSupportedError, match="speaks version 2"):
        catalog.install(make_class(1, spi_version=2))
    assert len(catalog) == 0


def test_two_threads_that_install_one_guid_do_not_both_succeed() -> None:
    """One of them is told that it is there already."""
    for _ in range(50):
        catalog = Catalog()
        start = threading.Barrier(2)

        def install(
            name: str, start: threading.Barrier = start, catalog: Catalog = catalog
        ) -> type[NspError] | None:
            start.wait(LONG)
            try:
                catalog.install(make_class(1, name))
            except NspError as error:
                return type(error)
            return None

        with ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(install, ("alpha", "beta")))
        assert sorted(map(str, answers)) == sorted(map(str, (None, AlreadyInstalledError)))
        assert len(catalog) == 1


def test_installing_looks_again_where_the_catalog_changed_meanwhile(site: Site) -> None:
    """Looking for the GUID imports modules, and one of them may install that very GUID."""
    site.gate.other = make_class(9, "other")  # type: ignore[attr-defined]
    site.add("alpha", 1, after="gate.catalog.install(gate.other)")
    site.gate.catalog = catalog = site.catalog()  # type: ignore[attr-defined]
    catalog.enable("alpha", False)
    with pytest.raises(AlreadyInstalledError, match="as 'other'"):
        catalog.install(make_class(9, "mine"))
    assert names(catalog) == ["alpha", "other"]


def test_installing_ones_own_guid_from_inside_an_import_is_found_out(site: Site) -> None:
    """It is not known there yet; both are refused when it is."""
    site.gate.other = make_class(1, "other")  # type: ignore[attr-defined]
    site.add("alpha", 1, after="gate.catalog.install(gate.other)")
    site.gate.catalog = catalog = site.catalog()  # type: ignore[attr-defined]
    assert catalog["alpha"].guid == guid(1)
    with pytest.raises(DuplicateProviderError):
        catalog[guid(1)].load()


def test_uninstalling_takes_a_provider_out() -> None:
    """Its entry says so, and its GUID is free again."""
    catalog = Catalog()
    entry = catalog.install(make_class(1, "alpha"))
    catalog.install(make_class(2, "beta"))
    assert catalog[guid(1)] is entry
    catalog.uninstall(guid(1))
    assert (names(catalog), guid(1) in catalog, "alpha" in catalog) == (["beta"], False, False)
    with pytest.raises(InvalidProviderError, match="was uninstalled"):
        entry.load()
    assert entry.state is EntryState.OK
    catalog.install(make_class(1, "alpha"))
    assert catalog["alpha"].load().__name__ == "Provider"


@pytest.mark.parametrize("change", ["uninstall", "enable"])
def test_changing_an_unknown_provider_is_refused(change: str) -> None:
    """By name and by GUID."""
    catalog = Catalog()
    entry = catalog.install(make_class(1, "alpha"))
    catalog.uninstall(entry)
    for provider in ("alpha", guid(1), entry):
        with pytest.raises(InvalidProviderError, match="is installed; installed: none"):
            getattr(catalog, change)(provider)


def test_enabling_reaches_what_is_disabled(site: Site) -> None:
    """By name, and by a GUID that nobody has looked up yet."""
    site.add("alpha", 1)
    site.add("beta", 2)
    catalog = site.catalog()
    catalog.enable("alpha", False)
    catalog.enable("beta", False)
    assert catalog.snapshot().select() == []
    assert site.imported == []
    catalog.enable(guid(1))
    catalog.enable("beta", True)
    assert names(catalog.snapshot().select()) == ["alpha", "beta"]


def test_reordering_gives_the_order_of_lookups() -> None:
    """Names do as well as GUIDs."""
    catalog = Catalog()
    for number, name in enumerate(("alpha", "beta", "gamma")):
        catalog.install(make_class(number, name))
    catalog.reorder([guid(2), "alpha", str(guid(1))])
    assert names(catalog) == names(catalog.select()) == ["gamma", "alpha", "beta"]


def test_a_new_order_that_is_not_whole_changes_nothing() -> None:
    """Too short, with an unknown GUID, with a GUID twice."""
    catalog = Catalog()
    for number, name in enumerate(("beta", "alpha", "gamma")):
        catalog.install(make_class(number, name))
    for guids, message in (
        ([guid(2)], "the new order lacks beta, alpha; give every provider once"),
        ([], "the new order lacks beta, alpha, gamma; give every provider once"),
        ([guid(2), guid(1), guid(0), guid(9)], f"no provider with the GUID {guid(9)} is installed"),
        ([guid(2), guid(1), guid(2)], "provider 'gamma' is named twice"),
    ):
        with pytest.raises(InvalidArgumentError, match=message) as caught:
            catalog.reorder(guids)
        assert caught.value.code == 10022
        assert names(catalog) == ["beta", "alpha", "gamma"]


def test_a_new_order_leaves_broken_ones_to_the_end(site: Site) -> None:
    """Nobody can know their GUIDs; disabled ones have theirs."""
    site.add("alpha", 1, before="1 / 0")
    site.add("beta", 2)
    site.add("gamma", 3)
    site.add("aaa", 4, before="1 / 0")
    catalog = site.catalog()
    catalog.enable("gamma", False)
    catalog.arrange(["alpha", "beta"])
    catalog.reorder([guid(3), guid(2)])
    assert names(catalog) == ["gamma", "beta", "aaa", "alpha"]
    with pytest.raises(InvalidArgumentError, match="'alpha' has no GUID that is known; leave it"):
        catalog.reorder(["alpha", guid(3), guid(2)])


def test_a_new_order_keeps_two_with_one_guid_together(site: Site) -> None:
    """The GUID stands for both; naming both is naming it twice."""
    catalog = two_with_one_guid(site)
    catalog.reorder([guid(3), guid(1)])
    assert names(catalog) == ["gamma", "alpha", "beta"]
    with pytest.raises(InvalidArgumentError, match="'beta' is given twice; leave it out"):
        catalog.reorder(["gamma", "alpha", "beta"])


def test_a_new_order_looks_again_where_the_catalog_changed_meanwhile(site: Site) -> None:
    """An import may install one more, which the order then lacks."""
    site.gate.other = make_class(9, "other")  # type: ignore[attr-defined]
    site.add("alpha", 1)
    site.add("beta", 2, before="gate.catalog.install(gate.other)\n1 / 0")
    site.gate.catalog = catalog = site.catalog()  # type: ignore[attr-defined]
    catalog.enable("beta", False)
    with pytest.raises(InvalidArgumentError, match="the new order lacks other;"):
        catalog.reorder(["alpha"])


def test_arranging_puts_some_first_and_the_others_by_name(site: Site) -> None:
    """It is how a file of settings orders, and imports nothing."""
    installed = ["delta", "alpha", "gamma", "beta", "eta", "zeta", "theta", "iota"]
    for number, name in enumerate(installed):
        site.add(name, number)
    catalog = site.catalog()
    arranged = ["theta", "gamma", "alpha", "beta", "delta", "eta", "iota", "zeta"]
    catalog.arrange(["theta", "gamma"])
    assert names(catalog) == arranged
    assert site.imported == []
    with pytest.raises(InvalidArgumentError, match="named twice"):
        catalog.arrange(["alpha", "alpha"])
    with pytest.raises(InvalidProviderError):
        catalog.arrange(["alpha", "omega"])
    assert names(catalog) == arranged


def test_arranging_does_not_bring_back_what_was_uninstalled_meanwhile() -> None:
    """What is given may be a generator, and that may do anything."""
    catalog = Catalog()
    catalog.install(make_class(1, "alpha"))
    catalog.install(make_class(2, "beta"))

    def changing() -> Iterator[str]:
        yield "alpha"
        catalog.uninstall("alpha")
        yield "beta"

    with pytest.raises(InvalidProviderError, match=r"'alpha' .* was uninstalled"):
        catalog.arrange(changing())
    assert names(catalog) == ["beta"]


# Listeners --------------------------------------------------------------------------------------


def test_a_listener_is_told_every_change_until_it_ends() -> None:
    """What did not change is not told."""
    catalog = Catalog()
    told: list[tuple[CatalogChange, str | None]] = []
    end = catalog.subscribe(lambda change, entry: told.append((change, entry and entry.name)))
    catalog.install(make_class(1, "alpha"))
    catalog.enable("alpha")
    catalog.enable("alpha", False)
    catalog.enable("alpha", True)
    catalog.reorder([guid(1)])
    catalog.arrange([])
    catalog.uninstall("alpha")
    with pytest.raises(InvalidProviderError):
        catalog.uninstall("alpha")
    end()
    end()
    catalog.install(make_class(2, "beta"))
    assert told == [
        (CatalogChange.INSTALLED, "alpha"),
        (CatalogChange.DISABLED, "alpha"),
        (CatalogChange.ENABLED, "alpha"),
        (CatalogChange.REORDERED, None),
        (CatalogChange.REORDERED, None),
        (CatalogChange.UNINSTALLED, "alpha"),
    ]


def test_one_callback_may_listen_twice() -> None:
    """Each subscription ends on its own."""
    catalog = Catalog()
    told: list[object] = []

    def listen(change: CatalogChange, entry: CatalogEntry | None) -> None:
        told.append(change)

    end = catalog.subscribe(listen)
    catalog.subscribe(listen)
    end()
    catalog.install(make_class(1))
    assert told == [CatalogChange.INSTALLED]


def test_a_listener_that_fails_is_logged_and_harms_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Neither the other listeners nor the change."""
    catalog = Catalog()
    told: list[object] = []
    catalog.subscribe(lambda change, entry: 1 // 0)
    catalog.subscribe(lambda change, entry: told.append(change))
    with caplog.at_level(logging.ERROR, logger="nspkit"):
        catalog.install(make_class(1, "alpha"))
    assert (told, names(catalog)) == ([CatalogChange.INSTALLED], ["alpha"])
    (record,) = caplog.records
    assert record.getMessage() == "a subscriber of the catalog failed at the change 'installed'"
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError


def test_a_listener_may_use_the_catalog_from_any_thread() -> None:
    """It is called under no lock."""
    catalog = Catalog()
    seen: list[object] = []

    def listen(change: CatalogChange, entry: CatalogEntry | None) -> None:
        with ThreadPoolExecutor(1) as pool:
            seen.append(pool.submit(lambda: names(catalog.select())).result(LONG))
        if len(seen) == 1:
            catalog.install(make_class(2, "beta"))

    catalog.subscribe(listen)
    catalog.install(make_class(1, "alpha"))
    assert seen == [["alpha"], ["alpha", "beta"]]


# Size -------------------------------------------------------------------------------------------


def test_an_entry_takes_little_memory(site: Site) -> None:
    """At most 1.5 KiB, with all that is known of it; its class and info are not the catalog's."""
    count = 500
    for number in range(count):
        site.write(f"nspkit-some-{number:04}", f"some-{number:04} = catalog_test_module:Provider")

    def discover() -> Catalog:
        catalog = site.catalog()
        assert all(entry.distribution and entry.version for entry in catalog)
        return catalog

    assert memory_of(discover) / count <= 1536
    classes = [make_class(number, f"p{number:04}") for number in range(count)]

    def install() -> Catalog:
        catalog = Catalog()
        for cls in classes:
            catalog.install(cls)
        catalog.select(namespace=Namespace.DNS)
        return catalog

    install()
    assert memory_of(install) / count <= 1536


def memory_of(make: Callable[[], object]) -> int:
    """The bytes that something takes once it is made."""
    gc.collect()
    tracemalloc.start()
    try:
        made = make()
        gc.collect()
        assert made is not None
        return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
