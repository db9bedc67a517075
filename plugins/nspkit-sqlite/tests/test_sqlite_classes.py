"""Service classes: stored as they are, once, and as long as services of them live."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from nspkit import ServiceClass
from nspkit.errors import (
    AlreadyExistsError,
    InvalidArgumentError,
    TooManyReferencesError,
    TypeNotFoundError,
)

A, B, C = "192.0.2.1", "192.0.2.2", "192.0.2.3"
HTTP = "_http._tcp"


def test_a_class_is_kept_as_it_is(client: Any, clients: Any) -> None:
    """And told to others."""
    service_class = ServiceClass(uuid4(), "Brünnen", {"TcpPort": 80, "raw": b"\0", "none": None})
    client.session.install_service_class(service_class)
    assert clients().session.service_class(service_class.id) == service_class


def test_a_class_is_installed_once(client: Any) -> None:
    """To change it is to remove it first (D44)."""
    service_class = ServiceClass.tcp(80)
    client.session.install_service_class(service_class)
    with pytest.raises(AlreadyExistsError, match="80/tcp"):
        client.session.install_service_class(service_class)
    client.session.remove_service_class(service_class.id)
    client.session.install_service_class(ServiceClass(service_class.id, "web"))
    assert client.session.service_class(service_class.id).name == "web"


def test_two_classes_may_have_one_name(client: Any) -> None:
    """Only the id has to be its own."""
    first, second = ServiceClass(uuid4(), "web"), ServiceClass(uuid4(), "web")
    client.session.install_service_class(first)
    client.session.install_service_class(second)
    assert client.session.service_class(second.id) == second


@pytest.mark.parametrize("exists", [False, True])
def test_an_unknown_class_is_not_found(client: Any, path: Any, exists: bool) -> None:
    """Whether there is a registry or not, which is not made for that (D45)."""
    if exists:
        client.register("x", service_class=HTTP)
    for method in (client.session.service_class, client.session.remove_service_class):
        with pytest.raises(TypeNotFoundError):
            method(ServiceClass.dns_sd(HTTP).id)
    assert path.exists() == exists


def test_a_class_stays_while_services_of_it_live(client: Any, clock: Any) -> None:
    """Neither those that are deregistered nor those whose lease has ended do (D45)."""
    web = ServiceClass.dns_sd(HTTP)
    client.session.install_service_class(web)
    client.register("x", service_class=HTTP)
    client.register("y", service_class=HTTP, ttl=10)
    with pytest.raises(TooManyReferencesError, match=r"'[xy]'"):
        client.session.remove_service_class(web.id)
    client.deregister("x", service_class=HTTP)
    with pytest.raises(TooManyReferencesError, match="'y'"):
        client.session.remove_service_class(web.id)
    clock.now += 10
    client.session.remove_service_class(web.id)
    with pytest.raises(TypeNotFoundError):
        client.session.service_class(web.id)


def test_a_class_makes_the_registry(client: Any, path: Any) -> None:
    """As the first service does."""
    client.session.install_service_class(ServiceClass.tcp(80))
    assert path.exists()
    assert client.find() == []


def test_a_class_that_cannot_be_stored_is_refused(client: Any, path: Any) -> None:
    """Before anything is made."""
    service_class = ServiceClass(uuid4(), "x", {"large": 10**5000})
    with pytest.raises(InvalidArgumentError, match="cannot be stored"):
        client.session.install_service_class(service_class)
    assert not path.exists()
