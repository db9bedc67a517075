"""What an application gives to a host is checked at the border: times, settings, middleware."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from nspkit import Namespace, NspError, ProviderInfo, hookimpl
from nspkit._setup import checked_middleware, checked_settings, seconds_in
from nspkit.errors import InvalidArgumentError, InvalidProcedureTableError, ProviderLoadError

GUID = uuid.UUID("0f1d6a70-52c8-4d0b-8a4e-5f6d3c1b7a90")
NAN, INFINITE = float("nan"), float("inf")


# -- times ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("given", "seconds"), [(0, 0.0), (3, 3.0), (0.5, 0.5), (-0.0, 0.0)])
def test_a_time_is_a_number_of_seconds(given: float, seconds: float) -> None:
    """An integer is as good as a float."""
    taken = seconds_in("timeout", given)
    assert taken == seconds
    assert type(taken) is float


@pytest.mark.parametrize("given", [-1, -0.001, NAN, -INFINITE, "3", True, [], 1j, b"1"], ids=repr)
def test_what_is_no_time_is_refused_with_its_name_and_what_is_right(given: object) -> None:
    """WSAEINVAL (10022)."""
    with pytest.raises(InvalidArgumentError, match=r"patience is .*give a number of seconds"):
        seconds_in("patience", given)


def test_no_limit_is_given_as_none_where_that_is_meant() -> None:
    """And refused where it is not."""
    assert seconds_in("timeout", None, optional=True) is None
    with pytest.raises(InvalidArgumentError):
        seconds_in("cleanup_timeout", None)
    with pytest.raises(InvalidArgumentError, match="or None for no limit"):
        seconds_in("timeout", "3", optional=True)


@pytest.mark.parametrize("given", [INFINITE, 1e300, 10**400], ids=["inf", "1e300", "10**400"])
def test_a_time_beyond_all_clocks_is_a_very_long_time(given: float) -> None:
    """Python's own waits raise an OverflowError for such a number."""
    taken = seconds_in("timeout", given)
    assert taken is not None
    assert 1e8 < taken < 1e10


# -- settings ------------------------------------------------------------------------------------


def test_settings_are_copied_whole() -> None:
    """What the application changes afterwards does not count."""
    own = {"path": "/etc/hosts"}
    given = {"hosts": own}
    checked = checked_settings(given)
    own["path"] = "elsewhere"
    given["dns"] = {}
    assert checked == {"hosts": {"path": "/etc/hosts"}}


def test_settings_may_be_any_mapping() -> None:
    """Also one that cannot be written to."""
    given = MappingProxyType({GUID: MappingProxyType({"path": "x"})})
    assert checked_settings(given) == {GUID: {"path": "x"}}


def test_no_settings_are_none_or_empty() -> None:
    """Both mean the same."""
    assert checked_settings(None) == checked_settings({}) == {}


@pytest.mark.parametrize(
    "key", ["hosts", GUID, str(GUID), ProviderInfo(GUID, "hosts", Namespace.DNS, "1")], ids=repr
)
def test_a_provider_is_named_by_its_name_or_its_guid(key: Any) -> None:
    """Or by its info, which has both."""
    assert checked_settings({key: {"a": 1}}) == {key: {"a": 1}}


@pytest.mark.parametrize("given", [[("hosts", {})], "hosts", 3, {"hosts"}], ids=repr)
def test_settings_that_are_no_mapping_are_refused(given: object) -> None:
    """WSAEINVAL (10022), with an example of what is right."""
    with pytest.raises(InvalidArgumentError, match=r"settings is .*give a mapping"):
        checked_settings(given)


@pytest.mark.parametrize("key", [42, None, b"hosts", ("hosts",)], ids=repr)
def test_settings_for_what_names_no_provider_are_refused(key: object) -> None:
    """Nobody would ever get them."""
    with pytest.raises(InvalidArgumentError, match=r"has the key .*short name or a GUID"):
        checked_settings({key: {}})


@pytest.mark.parametrize("own", [None, "path", ["path"], {1: "x"}, {None: "x"}], ids=repr)
def test_a_provider_s_own_settings_are_a_mapping_with_names_as_keys(own: object) -> None:
    """The message says whose they are."""
    with pytest.raises(InvalidArgumentError, match="settings of 'hosts'"):
        checked_settings({"hosts": own})


# -- middleware ----------------------------------------------------------------------------------


class Tracing:
    """A wrapper, as it should be."""

    @hookimpl(wrapper=True)
    def nsp_ioctl(self) -> Any:
        """Pass on."""
        return (yield)


class Old:
    """A wrapper of pluggy's older kind."""

    @hookimpl(hookwrapper=True)
    def nsp_ioctl(self) -> Any:
        """Pass on."""
        yield


class NoWrapper:
    """It would answer in the provider's stead."""

    @hookimpl
    def nsp_ioctl(self) -> bytes:
        """Answer."""
        return b"mine"


class HalfAWrapper(Tracing):
    """One of its hooks does not wrap."""

    @hookimpl
    def nsp_cleanup(self) -> None:
        """Do what nobody asked for."""


class Unmarked:
    """Its author forgot the mark, so it would never be called."""

    def nsp_ioctl(self) -> Any:
        """Pass on."""
        return (yield)


class Empty:
    """It sees nothing."""


def test_wrapper_objects_are_taken_in_their_order() -> None:
    """Any iterable of them."""
    first, second = Tracing(), Old()
    assert checked_middleware([first, second]) == (first, second)
    assert checked_middleware(one for one in (second, first)) == (second, first)
    assert checked_middleware(()) == ()


@pytest.mark.parametrize("wrong", [NoWrapper(), HalfAWrapper(), Unmarked(), Empty(), object()])
def test_what_does_not_wrap_is_refused(wrong: object) -> None:
    """WSAEINVALIDPROCTABLE (10104): it would take the provider's place, or do nothing."""
    with pytest.raises(InvalidProcedureTableError, match=r"wrapper=True"):
        checked_middleware([Tracing(), wrong])


def test_a_class_is_refused_with_the_advice_to_make_an_instance() -> None:
    """The nearest mistake."""
    with pytest.raises(InvalidProcedureTableError, match="Tracing is a class; give an instance"):
        checked_middleware([Tracing])


def test_one_that_is_given_twice_is_refused() -> None:
    """Pluggy would say so much later, at the first start."""
    tracing = Tracing()
    with pytest.raises(InvalidArgumentError, match="given twice"):
        checked_middleware([tracing, Tracing(), tracing])


def test_two_that_are_equal_are_refused() -> None:
    """Pluggy tells them apart by comparing, and would refuse every start."""

    class Equal(Tracing):
        def __eq__(self, other: object) -> bool:
            return isinstance(other, Equal)

        __hash__ = None  # type: ignore[assignment]

    with pytest.raises(InvalidArgumentError, match="equal to another one"):
        checked_middleware([Equal(), Equal()])


@pytest.mark.parametrize(
    "wrong", ["tracing", 3, None, Tracing()], ids=["str", "int", "None", "one"]
)
def test_middleware_that_is_no_sequence_is_refused(wrong: Any) -> None:
    """A name alone would be read letter by letter."""
    with pytest.raises(InvalidArgumentError, match="give a sequence"):
        checked_middleware(wrong)


# -- middleware by name --------------------------------------------------------------------------

MODULE = """
from nspkit import hookimpl
made = []
class Tracing:
    def __init__(self):
        made.append(self)
    @hookimpl(wrapper=True)
    def nsp_ioctl(self):
        return (yield)
class Failing:
    def __init__(self):
        raise OSError("no place to write to")
class Exiting:
    def __init__(self):
        raise SystemExit(3)
class Demanding(Tracing):
    def __init__(self, file):
        pass
class NoWrapper:
    @hookimpl
    def nsp_ioctl(self):
        return b""
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: Any) -> Callable[..., None]:
    """A function that installs a distribution with entry points for middleware."""

    def install(points: dict[str, str], *, name: str = "tracer", module: str = MODULE) -> None:
        folder = tmp_path / name
        information = folder / f"{name}-1.0.dist-info"
        information.mkdir(parents=True)
        (information / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
        )
        lines = [f"{point} = {value}" for point, value in points.items()]
        text = "\n".join(["[nspkit.middleware]", *lines])
        (information / "entry_points.txt").write_text(text)
        (folder / f"{name}_module_of_tests.py").write_text(module)
        monkeypatch.syspath_prepend(str(folder))
        sys.modules.pop(f"{name}_module_of_tests", None)

    return install


def test_a_name_is_an_entry_point_that_is_made_without_arguments(installed: Any) -> None:
    """Once for every host."""
    installed({"tracing": "tracer_module_of_tests:Tracing"})
    (first,) = checked_middleware(["tracing"])
    (second,) = checked_middleware(["tracing"])
    assert type(first).__name__ == "Tracing"
    assert first is not second


def test_names_and_objects_may_be_mixed(installed: Any) -> None:
    """In the order given."""
    installed({"tracing": "tracer_module_of_tests:Tracing"})
    mine = Old()
    named, own = checked_middleware(["tracing", mine])
    assert own is mine
    assert type(named).__module__ == "tracer_module_of_tests"


def test_a_name_that_is_not_installed_is_refused_with_those_that_are(installed: Any) -> None:
    """WSAEINVAL (10022)."""
    installed({"tracing": "tracer_module_of_tests:Tracing", "other": "nothing:Nothing"})
    with pytest.raises(InvalidArgumentError, match=r"no middleware 'retry'.*other, tracing"):
        checked_middleware(["retry"])


def test_where_nothing_is_installed_the_message_says_so(tmp_path: Path, monkeypatch: Any) -> None:
    """Nothing to choose from."""
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    with pytest.raises(InvalidArgumentError, match="installed: none"):
        checked_middleware(["tracing"])


def test_a_name_that_two_distributions_have_is_refused_with_both(installed: Any) -> None:
    """Which one is meant, nobody can tell."""
    installed({"tracing": "tracer_module_of_tests:Tracing"})
    installed({"tracing": "rival_module_of_tests:Tracing"}, name="rival")
    with pytest.raises(InvalidArgumentError, match=r"rival.*tracer|tracer.*rival"):
        checked_middleware(["tracing"])


@pytest.mark.parametrize(
    ("value", "cause"),
    [
        ("no_such_module:Tracing", ImportError),
        ("tracer_module_of_tests:NoSuchClass", AttributeError),
        ("tracer_module_of_tests:Failing", OSError),
        ("tracer_module_of_tests:Exiting", SystemExit),
        ("tracer_module_of_tests:Demanding", TypeError),
        ("not a value", ImportError),
    ],
)
def test_one_that_cannot_be_made_is_10106_with_its_cause(
    installed: Any, value: str, cause: type[BaseException]
) -> None:
    """WSAEPROVIDERFAILEDINIT, and the distribution is named."""
    installed({"broken": value})
    with pytest.raises(ProviderLoadError, match=r"'broken' of tracer") as caught:
        checked_middleware(["broken"])
    assert isinstance(caught.value.__cause__, cause)


def test_one_that_does_not_wrap_is_refused_by_name_too(installed: Any) -> None:
    """WSAEINVALIDPROCTABLE (10104)."""
    installed({"answering": "tracer_module_of_tests:NoWrapper"})
    with pytest.raises(NspError) as caught:
        checked_middleware(["answering"])
    assert caught.value.code == 10104


def test_an_interrupt_while_one_is_made_passes(installed: Any) -> None:
    """It is nobody's mistake."""
    interrupting = "class It:\n    def __init__(self):\n        raise KeyboardInterrupt\n"
    installed({"it": "tracer_module_of_tests:It"}, module=interrupting)
    with pytest.raises(KeyboardInterrupt):
        checked_middleware(["it"])
