"""Registrations and service classes: the matrix, the routes, what several providers answer."""

from __future__ import annotations

from typing import Any

import pytest

from nspkit import LookupFlags, Namespace, Query, Service, ServiceClass, winsock
from nspkit.errors import AccessDeniedError, TryAgainError
from nspkit.winsock import (
    WSAGetServiceClassInfo,
    WSAGetServiceClassNameByClassId,
    WSAInstallServiceClass,
    WSALookupServiceBegin,
    WSALookupServiceNext,
    WSARemoveServiceClass,
    WSASetService,
)

ALL = LookupFlags.RETURN_ALL
MULTIPLE = 1
REGISTER, DEREGISTER, DELETE = 0, 1, 2
WEB = ServiceClass.tcp(80)
UNKNOWN = "22059d40-7e9e-11cf-ae5a-00aa00a7112b"


@pytest.fixture
def kept(stage: Any, registry: Any) -> Any:
    """What the only provider keeps, in a period."""
    kept = registry()
    stage.start(stage.provider("one", **kept.hooks()))
    return kept


def shop(*addresses: Any) -> Service:
    """The instance that these tests register, at some addresses."""
    return Service("shop", service_class=WEB.id, addresses=addresses)


def there(kept: Any) -> list[tuple[Any, ...]]:
    """The addresses of every object that the provider keeps."""
    return [service.addresses for service in kept.services.values()]


# The matrix -------------------------------------------------------------------------------------


def test_d37_register_replaces_what_is_there(kept: Any, addresses: Any) -> None:
    """Only the new addresses remain."""
    assert WSASetService(shop(addresses.one), REGISTER) == 0
    assert WSASetService(shop(addresses.two), REGISTER) == 0
    assert there(kept) == [(addresses.two,)]


def test_d38_register_with_service_multiple_adds(kept: Any, addresses: Any) -> None:
    """To what is there, or to nothing."""
    assert WSASetService(shop(addresses.one), REGISTER, MULTIPLE) == 0
    assert WSASetService(shop(addresses.two), REGISTER, MULTIPLE) == 0
    assert there(kept) == [(addresses.one, addresses.two)]


def test_d39_deregister_leaves_the_object_and_delete_takes_it(kept: Any, addresses: Any) -> None:
    """Neither is found any more."""
    assert WSASetService(shop(addresses.one), REGISTER) == 0
    assert WSASetService(shop(), DEREGISTER) == 0
    assert there(kept) == [()]
    assert WSALookupServiceNext(WSALookupServiceBegin(Query("shop"), ALL)) == -1
    assert WSASetService(shop(), DELETE) == 0
    assert there(kept) == []


def test_d40_the_end_of_an_unknown_instance_is_not_found(kept: Any, failed: Any) -> None:
    """10108, with and without SERVICE_MULTIPLE."""
    for operation in (DEREGISTER, DELETE):
        for flags in (0, MULTIPLE):
            failed(10108, WSASetService(shop(), operation, flags))


def test_d41_delete_with_service_multiple_takes_equal_addresses_only(
    kept: Any, addresses: Any
) -> None:
    """One that differs in its port stays; with the last one the object goes."""
    assert WSASetService(shop(addresses.one, addresses.two), REGISTER) == 0
    assert WSASetService(shop(addresses.one, addresses.twin), DELETE, MULTIPLE) == 0
    assert there(kept) == [(addresses.two,)]
    assert WSASetService(shop(addresses.two), DELETE, MULTIPLE) == 0
    assert there(kept) == []


def test_s11_a_registration_needs_no_class(stage: Any, registry: Any, addresses: Any) -> None:
    """In NS_EMAIL for instance."""
    kept = registry()
    stage.start(stage.provider("one", namespace=Namespace.EMAIL, **kept.hooks()))
    service = Service("someone", namespace=Namespace.EMAIL, addresses=[addresses.one])
    assert WSASetService(service, REGISTER) == 0
    assert there(kept) == [(addresses.one,)]


def test_d61_a_cleanup_withdraws_no_registration(kept: Any, stage: Any, addresses: Any) -> None:
    """It is found in the next period."""
    assert WSASetService(shop(addresses.one), REGISTER) == 0
    stage.restart()
    found: Any = WSALookupServiceNext(WSALookupServiceBegin(Query("shop"), ALL))
    assert found.addresses == (addresses.one,)


# Routes -----------------------------------------------------------------------------------------


def test_d42_a_registration_goes_to_a_namespace_to_all_or_to_one(stage: Any, registry: Any) -> None:
    """As the instance says."""
    kept = [registry() for _ in range(3)]
    namespaces = (Namespace.DNS, Namespace.NIS, Namespace.DNS)
    providers = [
        stage.provider(f"p{number}", namespace=namespace, **one.hooks())
        for number, (namespace, one) in enumerate(zip(namespaces, kept, strict=True))
    ]
    stage.start(*providers)
    for service, called in (
        (Service("it"), [1, 1, 1]),
        (Service("it", namespace=Namespace.ALL), [2, 2, 2]),
        (Service("it", namespace=Namespace.DNS), [3, 2, 3]),
        (Service("it", namespace=Namespace.DNS, provider=providers[1].guid), [3, 3, 3]),
    ):
        assert WSASetService(service, REGISTER) == 0
        assert [len(one.calls) for one in kept] == called


def test_a_registration_succeeds_where_one_provider_does(
    stage: Any, failed: Any, registry: Any
) -> None:
    """Where none does, a specific code says more than 10045."""

    def refuse(*_: Any) -> None:
        raise AccessDeniedError("read-only")

    stage.install(stage.provider("one"), stage.provider("two", set_service=refuse))
    stage.start()
    failed(10013, WSASetService(Service("it"), REGISTER))
    stage.install(stage.provider("three", **registry().hooks()))
    stage.restart()
    assert WSASetService(Service("it"), REGISTER) == 0


def test_bad_registrations_are_refused(kept: Any, failed: Any) -> None:
    """None is 10014; what is no instance, no operation or no such flag is 10022."""
    failed(10014, WSASetService(None, REGISTER))  # type: ignore[arg-type]
    failed(10022, WSASetService("it", REGISTER))  # type: ignore[arg-type]
    failed(10022, WSASetService(Service("it"), 3))
    failed(10022, WSASetService(Service("it"), REGISTER, 2))
    failed(10022, WSASetService(Service("it"), REGISTER, None))  # type: ignore[arg-type]
    assert kept.calls == []


# Classes ----------------------------------------------------------------------------------------


def test_d43_a_class_goes_whole_to_every_active_provider(stage: Any, registry: Any) -> None:
    """Each keeps what concerns it."""
    kept = [registry() for _ in range(3)]
    providers = [stage.provider(f"p{number}", **one.hooks()) for number, one in enumerate(kept)]
    stage.install(*providers)
    assert winsock.WSCEnableNSProvider(providers[1].guid, False) == 0
    stage.start()
    assert WSAInstallServiceClass(WEB) == 0
    assert [list(one.classes.values()) for one in kept] == [[WEB], [], [WEB]]


def test_d44_a_class_that_is_there_is_not_installed_again(kept: Any, failed: Any) -> None:
    """10037, until it is removed."""
    assert WSAInstallServiceClass(WEB) == 0
    failed(10037, WSAInstallServiceClass(WEB))
    assert WSARemoveServiceClass(WEB.id) == 0
    assert WSAInstallServiceClass(WEB) == 0


def test_d45_a_class_that_is_unknown_or_in_use_is_not_removed(
    kept: Any, failed: Any, addresses: Any
) -> None:
    """10109, and 10059 while an instance lives."""
    failed(10109, WSARemoveServiceClass(WEB.id))
    assert WSAInstallServiceClass(WEB) == 0
    assert WSASetService(shop(addresses.one), REGISTER) == 0
    failed(10059, WSARemoveServiceClass(WEB.id))


def test_s06_the_orderly_end_deletes_the_instance_then_the_class(kept: Any, addresses: Any) -> None:
    """Both succeed, and nothing is left."""
    assert WSAInstallServiceClass(WEB) == 0
    assert WSASetService(shop(addresses.one), REGISTER) == 0
    assert WSASetService(shop(), DELETE) == 0
    assert WSARemoveServiceClass(WEB.id) == 0
    assert (kept.services, kept.classes) == ({}, {})


def test_d46_no_class_is_an_invalid_one(kept: Any, failed: Any) -> None:
    """10022; so it is for the other class calls."""
    failed(10022, WSAInstallServiceClass(None))  # type: ignore[arg-type]
    failed(10022, WSAInstallServiceClass(WEB.id))  # type: ignore[arg-type]
    failed(10022, WSARemoveServiceClass(None))  # type: ignore[arg-type]
    failed(10022, WSAGetServiceClassInfo(None, WEB.id))  # type: ignore[arg-type]
    failed(10022, WSAGetServiceClassInfo(UNKNOWN, None))  # type: ignore[arg-type]
    failed(10022, WSAGetServiceClassInfo(UNKNOWN, WEB.id))
    failed(10014, WSAGetServiceClassNameByClassId(None))  # type: ignore[arg-type]
    failed(10022, WSAGetServiceClassNameByClassId("web"))


def test_d47_who_stores_all_classes_is_asked_first(stage: Any, failed: Any, registry: Any) -> None:
    """Though it comes last; without one the others are asked, and absence is an error of theirs."""
    own, store = registry(), registry()
    own.install(ServiceClass(WEB.id, "of its own"))
    one = stage.provider("one", **own.hooks())
    stage.start(one)
    assert WSAGetServiceClassNameByClassId(WEB.id) == "of its own"
    stage.install(stage.provider("two", stores=True, **store.hooks()))
    stage.restart()
    assert WSAGetServiceClassNameByClassId(WEB.id) == "of its own"
    store.install(ServiceClass(WEB.id, "of the store"))
    assert WSAGetServiceClassNameByClassId(WEB.id) == "of the store"
    # A query begins without a schema: it is found by its class id alone.
    assert WSALookupServiceBegin(Query(service_class=UNKNOWN), ALL) != -1
    failed(10109, WSAGetServiceClassNameByClassId(UNKNOWN))


def test_d48_the_name_of_a_class_comes_out_of_its_schema(stage: Any) -> None:
    """There is no hook for it: that for the schema is called."""
    asked: list[Any] = []

    def describe(class_id: Any) -> ServiceClass:
        asked.append(class_id)
        return WEB

    stage.start(stage.provider("one", describe=describe))
    assert WSAGetServiceClassNameByClassId(str(WEB.id)) == "80/tcp"
    assert asked == [WEB.id]


def test_s17_a_doubled_class_and_an_unknown_one_have_their_codes(kept: Any, failed: Any) -> None:
    """10037, and 10109 for its removal and its schema."""
    assert WSAInstallServiceClass(WEB) == 0
    failed(10037, WSAInstallServiceClass(WEB))
    failed(10109, WSARemoveServiceClass(UNKNOWN))
    guid: Any = winsock.WSAEnumNameSpaceProviders()[0].provider  # type: ignore[index]
    assert WSAGetServiceClassInfo(guid, WEB.id) == WEB
    failed(10109, WSAGetServiceClassInfo(str(guid), UNKNOWN))


def test_the_schema_of_one_provider_is_that_provider_s(stage: Any, failed: Any) -> None:
    """Another one is not asked, though it knows better."""

    def describe(class_id: Any) -> ServiceClass:
        raise TryAgainError("later")

    one = stage.provider("one", describe=describe)
    two = stage.provider("two", describe=lambda class_id: WEB)
    three = stage.provider("three")
    stage.start(one, two, three)
    failed(11002, WSAGetServiceClassInfo(one.guid, WEB.id))
    failed(10045, WSAGetServiceClassInfo(three.guid, WEB.id))
    assert WSAGetServiceClassInfo(two.guid, WEB.id) == WEB
