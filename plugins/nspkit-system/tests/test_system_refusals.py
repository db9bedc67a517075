"""What the provider refuses, and what the resolver's errors become."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

import nspkit
from nspkit.errors import (
    InvalidArgumentError,
    NoDataError,
    NspError,
    OperationNotSupportedError,
    OutOfMemoryError,
    ProviderError,
    ServiceNotFoundError,
    TryAgainError,
)

Ask = Callable[..., list[nspkit.Service]]
MakeHost = Callable[..., nspkit.Host]


def fails(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Have the resolver fail so for any name."""

    def fail(*_arguments: object, **_options: object) -> None:
        raise error

    monkeypatch.setattr(socket, "getaddrinfo", fail)


@pytest.mark.parametrize(
    "service_class",
    [
        pytest.param("_http._tcp", id="DNS-SD"),
        pytest.param("00090035-0000-000f-c000-000000000046", id="a record type of DNS"),
        pytest.param("0002a802-0000-0000-c000-000000000046", id="a port by its name"),
    ],
)
def test_another_class_is_not_found(ask: Ask, service_class: object) -> None:
    """A resolver knows hosts; the record types of DNS are not for it."""
    with pytest.raises(ServiceNotFoundError, match="nothing of the class"):
        ask("localhost", service_class=service_class)


def test_names_cannot_be_listed(ask: Ask) -> None:
    """Without a name there is nothing to ask."""
    with pytest.raises(ServiceNotFoundError, match="cannot list"):
        ask()


def test_there_are_no_containers(ask: Ask) -> None:
    """The namespace is flat."""
    with pytest.raises(NoDataError, match="no containers"):
        ask("localhost", flags=nspkit.LookupFlags.CONTAINERS)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("a..b", id="empty label"),
        pytest.param(".a", id="empty label at the start"),
        pytest.param(".", id="the root"),
        pytest.param("ü..b", id="empty label beside IDNA"),
        pytest.param("x" * 64, id="long label"),
        pytest.param("ü" * 60, id="long label in IDNA"),
        pytest.param("a." * 126 + "aa", id="254 bytes"),
        pytest.param("ü" * 65_535, id="very long"),
        pytest.param("a\ue000.example", id="not allowed in IDNA"),
    ],
)
def test_what_is_no_host_name_is_refused(ask: Ask, name: str) -> None:
    """With a message that says what is right, and never a UnicodeError."""
    with pytest.raises(InvalidArgumentError, match="is no host name: give labels"):
        ask(name)


@pytest.mark.parametrize(
    ("number", "kind", "code"),
    [
        ("EAI_NONAME", ServiceNotFoundError, 10108),
        ("EAI_NODATA", NoDataError, 11004),
        ("EAI_ADDRFAMILY", NoDataError, 11004),
        ("EAI_FAMILY", NoDataError, 11004),
        ("EAI_AGAIN", TryAgainError, 11002),
        ("EAI_FAIL", NspError, 11003),
        ("EAI_MEMORY", OutOfMemoryError, 8),
        ("EAI_BADFLAGS", ProviderError, 10107),
    ],
)
def test_errors_have_the_codes_of_winsock(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, number: str, kind: type[NspError], code: int
) -> None:
    """The message names the name and what the resolver says."""
    if not hasattr(socket, number):
        pytest.skip(f"this platform has no {number}")
    fails(monkeypatch, socket.gaierror(getattr(socket, number), "what it says"))
    with pytest.raises(kind, match=r"x\.example.*what it says") as caught:
        ask("x.example")
    assert caught.value.code == code


def test_an_error_of_the_system_is_not_taken_for_one_of_the_resolver(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their numbers may be the same and mean something else."""
    fails(monkeypatch, OSError(socket.EAI_NONAME, "what it says"))
    with pytest.raises(ProviderError, match="what it says"):
        ask("x.example")


def test_a_name_that_is_no_text_is_an_error(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """The socket module cannot decode it."""
    fails(monkeypatch, UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"))
    with pytest.raises(NspError, match=r"'x\.example' with a name that is no text") as caught:
        ask("x.example")
    assert caught.value.code == 11003


@pytest.mark.parametrize("threads", [0, 65, -1, True, 4.0, "4", None])
def test_another_number_of_threads_is_refused(make_host: MakeHost, threads: object) -> None:
    """The message names the setting and what is right."""
    with pytest.raises(InvalidArgumentError, match=r"'threads' of system .* from 1 to 64"):
        make_host(threads=threads).startup("system")


def test_an_unknown_setting_is_refused(make_host: MakeHost) -> None:
    """The message names it and the one there is."""
    with pytest.raises(InvalidArgumentError, match=r"'pool'.*'threads'"):
        make_host(pool=3).startup("system")


def test_it_only_reads(make_host: MakeHost) -> None:
    """Whoever registers gets the answer of a provider that cannot."""
    with make_host().startup("system") as session, pytest.raises(OperationNotSupportedError):
        session.set_service(nspkit.Service("x"), nspkit.ServiceOperation.REGISTER)
