"""What is wrong with a provider class is told at once, whole, and without running any of it."""

from __future__ import annotations

import abc
import functools
import math
import types
import uuid
from collections.abc import Callable
from typing import Any

import pluggy
import pytest

from nspkit._constants import Namespace
from nspkit._contract import check, check_version, static_hooks, static_info
from nspkit._model import ProviderInfo
from nspkit.hookspecs import HOOKS, PROJECT, ProviderHooks, hookimpl

INFO = ProviderInfo("7b0a4f0e-6c1f-4c1c-9d55-000000000001", "example", Namespace.DNS, "1.0")


class Whole:
    """A provider with every hook, each with every argument."""

    info = INFO

    @hookimpl
    def nsp_startup(self, guid, settings, resources):
        """Do nothing."""

    @hookimpl
    def nsp_cleanup(self, guid):
        """Do nothing."""

    @hookimpl
    def nsp_lookup_service(self, guid, query, cancellation):
        """Find nothing."""
        yield from ()

    @hookimpl
    def nsp_set_service(self, guid, service, operation, multiple):
        """Do nothing."""

    @hookimpl
    def nsp_install_service_class(self, guid, service_class):
        """Do nothing."""

    @hookimpl
    def nsp_remove_service_class(self, guid, class_id):
        """Do nothing."""

    @hookimpl
    def nsp_get_service_class_info(self, guid, class_id):
        """Return nothing."""

    @hookimpl
    def nsp_notify_change(self, guid, query, cancellation):
        """Find nothing."""
        yield from ()

    @hookimpl
    def nsp_ioctl(self, guid, code, data):
        """Return nothing."""


def provider(**attributes: object) -> type:
    """A class with a good ``info`` and the attributes given."""
    return type("Sample", (), {"info": INFO, **attributes})


def with_hook(function: Callable[..., Any], *, name: str = "nsp_startup", **options: Any) -> type:
    """A class with one hook; the function need not be marked."""
    function.__name__ = name
    return provider(**{name: hookimpl(**options)(function)})


def the_problem(provider_class: object) -> str:
    """The only thing that is wrong with a class."""
    problems = check(provider_class)
    assert len(problems) == 1, problems
    return problems[0]


def passed_through(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate as most decorators do."""

    @functools.wraps(function)
    def outer(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return outer


# Good classes -----------------------------------------------------------------------------------


class FewerArguments:
    """Hooks may take less than they are given."""

    info = INFO

    @hookimpl
    def nsp_startup(self):
        """Take nothing."""

    @hookimpl
    def nsp_lookup_service(self, query):
        """Return a list: an iterable need not be a generator."""
        return []


class OtherNames:
    """Names of methods and instances are free."""

    info = INFO

    @hookimpl(specname="nsp_startup")
    def begin(self, resources):
        """Be a hook under another name."""

    @hookimpl(tryfirst=True)
    def nsp_cleanup(itself, guid, /):  # noqa: N805 - the name of the instance is free
        """Take the argument by position only."""


class Stateless:
    """A hook may do without an instance."""

    info = INFO

    @staticmethod
    @hookimpl
    def nsp_ioctl(code, data):
        """Need no instance."""

    @classmethod
    @hookimpl
    def nsp_cleanup(cls, guid):
        """Need the class only."""


class Inheriting(Whole):
    """A hook can be taken over, changed, and taken away."""

    nsp_ioctl = None

    @hookimpl
    def nsp_cleanup(self):
        """Override with fewer arguments."""


class OwnDefaults:
    """What has a default of its own is the author's affair."""

    info = INFO

    def __init__(self, path="/etc/hosts", *more, clock=None, **rest):
        """Be constructible without arguments."""

    @hookimpl
    def nsp_startup(self, guid, _clock=None, *, _sleep=None):
        """Have a seam for tests."""

    @hookimpl
    def nsp_ioctl(self, code, encoder=None):
        """Have a default whose name only reminds of an argument."""


class Decorated:
    """A decorator that passes everything on is looked through."""

    info = INFO

    @hookimpl
    @passed_through
    def nsp_startup(self, settings):
        """Be wrapped by a decorator that passes everything on."""


class Later:
    """A hook of a later nspkit may be offered to those that have it."""

    info = INFO

    @hookimpl(optionalhook=True)
    def nsp_teleport(self, anything):
        """Be of use to a host that has it."""


class Unreadable(type):
    """A metaclass whose classes can be made in a way that Python cannot tell."""

    __signature__ = None


GOOD = [
    Whole,
    FewerArguments,
    OtherNames,
    Stateless,
    Inheriting,
    OwnDefaults,
    Decorated,
    Later,
]


@pytest.mark.parametrize("provider_class", GOOD)
def test_a_good_class_has_no_problem(provider_class: type) -> None:
    """Every shape that works is accepted."""
    assert check(provider_class) == ()


@pytest.mark.parametrize("provider_class", GOOD)
def test_a_good_class_has_all_its_hooks_in_pluggy(provider_class: type) -> None:
    """What is accepted here pluggy accepts too, and it sees the same hooks."""
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(ProviderHooks)
    instance = provider_class()
    manager.register(instance)
    manager.check_pending()
    expected = {
        "Whole": set(HOOKS),
        "FewerArguments": {"nsp_startup", "nsp_lookup_service"},
        "OtherNames": {"nsp_startup", "nsp_cleanup"},
        "Stateless": {"nsp_ioctl", "nsp_cleanup"},
        "Inheriting": set(HOOKS) - {"nsp_ioctl"},
        "OwnDefaults": {"nsp_startup", "nsp_ioctl"},
        "Decorated": {"nsp_startup"},
        "Later": {"nsp_teleport"},
    }
    seen = manager.get_hookcallers(instance) or []
    assert {caller.name for caller in seen} == expected[provider_class.__name__]


def test_a_class_without_hooks_is_a_matter_of_its_start() -> None:
    """No hook is compulsory by contract: WSAEOPNOTSUPP is the answer when it is missing."""
    assert check(provider()) == ()


# The class and its info -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("thing", "kind"),
    [
        (Whole(), "a Whole"),
        (check, "a function"),
        (types, "a module"),
        (None, "a NoneType"),
        (3, "an int"),
    ],
)
def test_something_else_than_a_class_is_refused(thing: object, kind: str) -> None:
    """The message tells what the entry point names instead."""
    assert the_problem(thing) == f"{kind} is no class; an entry point names a class"


def test_a_constructor_that_requires_arguments_is_refused() -> None:
    """The host has none to give."""

    class Demanding:
        info = INFO

        def __init__(self, path, *rest, port, timeout=3):
            """Require a path and a port."""

    problem = the_problem(Demanding)
    assert "Demanding cannot be made without arguments, it requires 'path', 'port'" in problem
    assert "settings" in problem


def test_a_constructor_that_does_not_tell_is_left_to_the_start() -> None:
    """A class written in C may have no signature to read."""
    assert check(Unreadable("Sample", (), {"info": INFO, "__signature__": 3})) == ()


def test_an_abstract_class_is_refused() -> None:
    """It names what is missing, the inherited included."""

    class Base(abc.ABC):
        info = INFO

        @abc.abstractmethod
        def connect(self):
            """Be implemented."""

    class Derived(Base):
        @abc.abstractmethod
        def bind(self):
            """Be implemented."""

    assert (
        the_problem(Derived)
        == f"{Derived.__qualname__} is abstract and cannot be made; implement bind, connect"
    )


def test_a_missing_info_is_refused() -> None:
    """The message shows how it is written."""
    problem = the_problem(type("Sample", (), {}))
    assert (
        "Sample has no info; write info = ProviderInfo(guid, name, namespace, version)" in problem
    )


def test_an_annotation_is_no_info() -> None:
    """It says what would be there, and nothing is."""
    assert "has no info" in the_problem(type("Sample", (), {"__annotations__": {"info": "x"}}))


@pytest.mark.parametrize(
    ("value", "kind"),
    [({"guid": 1}, "a dict"), (None, "a NoneType"), (property(lambda self: INFO), "a property")],
)
def test_an_info_of_another_kind_is_refused(value: object, kind: str) -> None:
    """A property too: the GUID must be known without an instance."""
    assert f"Sample.info is {kind}, no ProviderInfo; write" in the_problem(provider(info=value))


def test_the_info_is_read_without_running_anything() -> None:
    """It is that of the nearest base, and nothing for whatever has none."""
    assert static_info(type("Derived", (Whole,), {})) is INFO
    assert static_info(provider(info=3)) is None
    assert static_info(Whole()) is None


def test_no_property_of_a_class_is_run() -> None:
    """Reading a class must be safe, whatever the class is."""
    ran = []

    class Watching(type):
        @property
        def info(cls):
            ran.append("metaclass")
            return INFO

    class Descriptor:
        def __get__(self, instance, owner):
            ran.append("descriptor")
            return INFO

        def __getattr__(self, name):
            ran.append(name)
            raise AttributeError(name)

    cls = Watching(
        "Sample",
        (),
        {"nsp_startup": Descriptor(), "other": Descriptor(), "x": property(ran.append)},
    )
    problems = check(cls)
    assert static_info(cls) is None
    assert ran == []
    assert len(problems) == 2
    assert "Sample.nsp_startup is a Descriptor, no method" in problems[1]


def test_all_problems_are_told_at_once() -> None:
    """An author mends them in one go."""

    class Many:
        def __init__(self, path):
            """Require something."""

        def nsp_startup(self):
            """Have no mark."""

        @hookimpl
        async def nsp_cleanup(self, uid):
            """Have two problems of its own."""

    problems = check(Many)
    assert [
        any(word in p for p in problems) for word in ("path", "info", "@hookimpl", "'uid'", "async")
    ] == [True] * 5
    assert len(problems) == 5


# Marks ------------------------------------------------------------------------------------------


def test_an_unmarked_hook_is_refused() -> None:
    """It would never be called, and the author would wonder why."""
    problem = the_problem(provider(nsp_startup=lambda self: None))
    assert problem == (
        "Sample.nsp_startup has no @hookimpl, so it would never be called; mark it, "
        "or give it a name that does not begin with nsp_"
    )


def test_an_unmarked_override_of_a_marked_hook_is_refused() -> None:
    """The mark of a base class does not reach the method that hides it."""

    class Derived(Whole):
        def nsp_cleanup(self):
            """Forget the mark."""

    assert "Derived.nsp_cleanup has no @hookimpl" in the_problem(Derived)


def test_an_unmarked_method_with_a_name_like_a_hook_is_refused() -> None:
    """The prefix is for hooks; the nearest one is told."""
    problem = the_problem(provider(nsp_start_up=lambda self: None))
    assert "(did you mean 'nsp_startup'?)" in problem


@pytest.mark.parametrize("wrapper", [staticmethod, classmethod])
def test_an_unmarked_static_or_class_method_is_refused(wrapper: Callable[..., Any]) -> None:
    """As any other method."""
    assert "no @hookimpl" in the_problem(provider(nsp_cleanup=wrapper(lambda: None)))


def test_a_private_method_is_the_authors_own() -> None:
    """Only public names are looked at."""
    assert check(provider(_nsp_startup=lambda self: None, other=lambda self: None, nsp=3)) == ()


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (property(lambda self: None), "a property"),
        (functools.partial(print), "a partial"),
        (3, "an int"),
        (type("Inner", (), {}), "a type"),
    ],
)
def test_a_hook_that_is_no_method_is_refused(value: object, kind: str) -> None:
    """Nobody would call it."""
    problem = the_problem(provider(nsp_ioctl=value))
    assert f"Sample.nsp_ioctl is {kind}, no method" in problem
    assert "marked with @hookimpl" in problem


@pytest.mark.parametrize("wrapper", [staticmethod, classmethod, functools.cached_property])
def test_a_mark_above_a_decorator_is_refused(wrapper: Callable[..., Any]) -> None:
    """An older pluggy does not see it there."""
    problem = the_problem(provider(nsp_cleanup=hookimpl(wrapper(lambda self: None))))
    assert f"Sample.nsp_cleanup is marked and is a {wrapper.__name__}" in problem
    assert "below every other decorator" in problem


def test_a_mark_of_another_project_is_none() -> None:
    """A class may be a plugin of pytest's as well."""
    other = pluggy.HookimplMarker("other")
    assert check(provider(elsewhere=other(lambda self: None))) == ()


def test_something_that_looks_like_a_mark_is_none() -> None:
    """An object of the author's may have an attribute of that name."""
    assert check(provider(thing=types.SimpleNamespace(nspkit_impl=3))) == ()


def test_an_unknown_hook_is_refused_with_the_nearest() -> None:
    """A slip of the pen is told as such."""
    problem = the_problem(with_hook(lambda self: None, name="nsp_lookup_services"))
    assert problem == (
        "Sample.nsp_lookup_services implements no hook: there is no nsp_lookup_services "
        "(did you mean 'nsp_lookup_service'?)"
    )


def test_an_unknown_hook_like_none_is_refused_with_all() -> None:
    """Where nothing is near, the message lists what there is."""
    problem = the_problem(with_hook(lambda self: None, name="zzz"))
    assert "there is no zzz; there are 'nsp_startup', 'nsp_cleanup', " in problem


def test_an_unknown_specname_is_refused() -> None:
    """The name that counts is the one that the mark gives."""
    problem = the_problem(with_hook(lambda self: None, name="begin", specname="nsp_start"))
    assert "Sample.begin implements no hook: there is no nsp_start " in problem


def test_a_hook_that_is_implemented_twice_is_refused() -> None:
    """Both would be called."""
    twice = provider(
        nsp_startup=hookimpl(lambda self: None),
        begin=hookimpl(specname="nsp_startup")(lambda self: None),
    )
    problem = the_problem(twice)
    assert problem == (
        "Sample.begin implements nsp_startup a second time, beside nsp_startup; keep one"
    )


# Parameters -------------------------------------------------------------------------------------


def test_an_argument_that_the_hook_lacks_is_refused_with_the_nearest() -> None:
    """So does pluggy, with a message that does not help."""
    problem = the_problem(with_hook(lambda self, setings: None))
    assert problem == (
        "Sample.nsp_startup takes 'setings', which the hook does not have "
        "(did you mean 'settings'?)"
    )


def test_an_argument_like_none_is_refused_with_all() -> None:
    """Where nothing is near, the message lists what there is."""
    problem = the_problem(with_hook(lambda self, zzz: None))
    assert problem.endswith("; there are 'guid', 'settings', 'resources'")


def test_a_required_keyword_only_parameter_is_refused() -> None:
    """It is accepted by pluggy, and every call fails."""
    problem = the_problem(with_hook(lambda self, *, settings: None))
    assert "Sample.nsp_startup requires 'settings' by keyword" in problem
    assert "before the *" in problem


@pytest.mark.parametrize(
    "function",
    [
        lambda self, guid, settings=None: None,
        lambda self, guid, *, settings=None: None,
        lambda self, guid, setting=None: None,
    ],
)
def test_an_argument_with_a_default_is_refused(function: Callable[..., Any]) -> None:
    """It is never filled in by pluggy, so the default would win for ever."""
    problem = the_problem(with_hook(function))
    assert "a default, and what has one is never filled in; write 'settings' without" in problem


@pytest.mark.parametrize(
    ("function", "shown"),
    [
        (lambda self, *args: None, "'*args'"),
        (lambda self, **settings: None, "'**settings'"),
    ],
)
def test_a_parameter_that_would_collect_is_refused(
    function: Callable[..., Any], shown: str
) -> None:
    """It stays empty, which is never what was meant."""
    problem = the_problem(with_hook(function))
    assert f"Sample.nsp_startup takes {shown}, which stays empty; name what it needs" in problem
    assert "'guid', 'settings', 'resources'" in problem


@pytest.mark.parametrize(
    "function", [lambda: None, lambda guid: None, lambda *args: None, lambda settings: None]
)
def test_a_method_without_self_is_refused(function: Callable[..., Any]) -> None:
    """Its first argument would be the instance."""
    assert the_problem(with_hook(function)) == (
        "Sample.nsp_startup takes no self; write def nsp_startup(self, …)"
    )


def test_a_static_method_has_no_self() -> None:
    """All its parameters are arguments of the hook."""
    problem = the_problem(provider(nsp_startup=staticmethod(hookimpl(lambda self, guid: None))))
    assert "takes 'self', which the hook does not have" in problem


@pytest.mark.parametrize("broken", ["cycle", "signature"])
def test_parameters_that_cannot_be_read_are_refused(broken: str) -> None:
    """A decorator may leave anything behind."""

    def function(self: object) -> None:
        pass

    if broken == "cycle":
        function.__wrapped__ = function
    else:
        function.__signature__ = math.pi
    problem = the_problem(with_hook(function))
    assert "Sample.nsp_startup does not tell its parameters: " in problem
    assert "write a plain method" in problem


# Kinds of functions -----------------------------------------------------------------------------


async def _coroutine(self):
    pass


async def _async_generator(self):
    yield 1


@types.coroutine
def _old_coroutine(self):
    yield 1


@pytest.mark.parametrize("function", [_coroutine, _async_generator, _old_coroutine])
@pytest.mark.parametrize("hook", ["nsp_startup", "nsp_lookup_service"])
def test_an_asynchronous_hook_is_refused(function: Callable[..., Any], hook: str) -> None:
    """The host awaits nothing."""
    copy = types.FunctionType(function.__code__, globals(), hook)
    problem = the_problem(provider(**{hook: hookimpl(copy)}))
    assert f"Sample.{hook} is asynchronous, and nobody would await it; write def" in problem


@pytest.mark.parametrize("hook", sorted(HOOKS))
def test_a_generator_is_for_hooks_that_return_many(hook: str) -> None:
    """The body of any other one would never run."""

    def function(self):
        yield 1

    problems = check(with_hook(function, name=hook))
    if hook in ("nsp_lookup_service", "nsp_notify_change"):
        assert problems == ()
    else:
        assert problems == (
            f"Sample.{hook} is a generator, so its body would never run; take the yield out",
        )


@pytest.mark.parametrize("option", ["wrapper", "hookwrapper"])
def test_a_wrapper_is_refused(option: str) -> None:
    """It belongs into a middleware, where it sees all providers."""

    def function(self):
        yield

    problem = the_problem(with_hook(function, **{option: True}))
    assert "Sample.nsp_startup is a wrapper" in problem
    assert "nspkit.middleware" in problem


def test_a_decorator_may_make_an_asynchronous_function_plain() -> None:
    """What counts is the function that is called, not the one inside."""

    async def inner(self: object, guid: uuid.UUID) -> None:
        pass

    assert check(with_hook(passed_through(inner))) == ()


def test_hooks_are_read_without_running_anything() -> None:
    """Those that are marked, by the name of the hook; nothing that a descriptor would give."""

    class Sample:
        info = INFO

        @hookimpl(specname="nsp_startup")
        def begin(self) -> None:
            """Start."""

        @hookimpl
        def nsp_cleenup(self) -> None:
            """Be no hook."""

        def nsp_ioctl(self) -> None:
            """Be unmarked."""

        @property
        def nsp_set_service(self) -> None:
            """Fail when it is run."""
            raise RuntimeError

    assert static_hooks(Sample) == {"nsp_startup"}
    assert static_hooks(type("Derived", (Sample,), {"begin": None})) == frozenset()
    assert static_hooks(Sample()) == frozenset()


# Versions ---------------------------------------------------------------------------------------


def info_of_version(number: int) -> ProviderInfo:
    """An info for another version of the interface."""
    return ProviderInfo(INFO.guid, "example", Namespace.DNS, "1.0", spi_version=number)


def test_the_version_of_this_nspkit_fits() -> None:
    """There is one so far."""
    assert check_version(INFO) is None


def test_a_newer_version_wants_another_nspkit() -> None:
    """The message tells what to install."""
    assert check_version(info_of_version(2)) == (
        "provider 'example' speaks version 2 of the provider interface, this nspkit speaks 1; "
        "install a release of nspkit that speaks 2"
    )


def test_an_older_version_wants_another_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    """So it will be when this nspkit speaks the next one."""
    monkeypatch.setattr("nspkit._contract.SPI_VERSION", 2)
    assert check_version(INFO) == (
        "provider 'example' speaks version 1 of the provider interface, this nspkit speaks 2; "
        "install a release of the provider that speaks 2"
    )
