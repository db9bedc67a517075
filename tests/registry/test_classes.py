"""Service classes of a registry."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from nspkit import ServiceClass
from nspkit.errors import AlreadyExistsError, NspError, TooManyReferencesError, TypeNotFoundError
from nspkit.registry import Key

KIND = ServiceClass(uuid.UUID(int=7), "Drucker", {"port": 631, "raw": b"\x00", "on": True})


def test_a_class_comes_back_as_it_was(client: Any) -> None:
    """Whole."""
    client.session.install_service_class(KIND)
    assert client.session.service_class(KIND.id) == KIND


def test_a_class_is_installed_once(client: Any) -> None:
    """WSAEALREADY, and the first one stays."""
    client.session.install_service_class(KIND)
    with pytest.raises(AlreadyExistsError, match="remove it first"):
        client.session.install_service_class(KIND.replace(name="other"))
    assert client.session.service_class(KIND.id) == KIND


def test_a_class_in_use_stays(client: Any, engine: Any) -> None:
    """Until nothing of it is registered (WSAETOOMANYREFS); what is known only is no use."""
    client.session.install_service_class(KIND)
    client.register("other", "192.0.2.1")
    client.register("x", "192.0.2.1", service_class=KIND.id)
    with pytest.raises(TooManyReferencesError, match="such as 'x'"):
        client.session.remove_service_class(KIND.id)
    client.deregister("x", service_class=KIND.id)
    for name, value in (("damaged", b"{"), ("ends", b'{"ends":5}')):
        engine.put(Key(KIND.id, "", name), value, ttl=None)
    client.session.remove_service_class(KIND.id)
    with pytest.raises(TypeNotFoundError, match="not installed"):
        client.session.service_class(KIND.id)


def test_what_has_ended_is_no_use_of_a_class(client: Any, engine: Any) -> None:
    """Though the engine has it still."""
    client.session.install_service_class(KIND)
    client.register("x", "192.0.2.1", service_class=KIND.id, ttl=0, multiple=True)
    assert len(engine.kept) == 1
    client.session.remove_service_class(KIND.id)


def test_what_is_not_there_cannot_be_removed(client: Any, engine: Any) -> None:
    """WSATYPE_NOT_FOUND; also where another has just removed it, or services of it are there."""
    client.register("x", "192.0.2.1", service_class=KIND.id)
    with pytest.raises(TypeNotFoundError):
        client.session.remove_service_class(KIND.id)
    client.delete("x", service_class=KIND.id)
    client.session.install_service_class(KIND)
    engine.entries = lambda *_: engine.classes.clear() or iter(())
    with pytest.raises(TypeNotFoundError):
        client.session.remove_service_class(KIND.id)


@pytest.mark.parametrize("value", [b"{", b"[]", b"{}", b"\xff", b"null", b"[" * 99_999])
def test_a_damaged_class_says_so(client: Any, engine: Any, value: bytes) -> None:
    """WSANO_RECOVERY."""
    engine.put_class(KIND.id, value)
    with pytest.raises(NspError, match="is damaged"):
        client.session.service_class(KIND.id)
