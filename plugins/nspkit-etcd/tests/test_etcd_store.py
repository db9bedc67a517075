"""The store: what it reads, lists and writes, with etcdctl as the witness."""

from __future__ import annotations

import json
import uuid
from base64 import b64decode, b64encode
from typing import Any

import pytest

from nspkit.errors import InvalidArgumentError, TooManyReferencesError, TryAgainError
from nspkit.registry import EVERYTHING, Key, Scope

ONE = Key(None, "", "one")
WEB = uuid.UUID("12345678-1234-5678-1234-567812345678")


def keys(store: Any, scope: Scope = EVERYTHING) -> list[Key]:
    """The keys of a listing, without those that the scope does not cover."""
    return [entry.key for entry in store.entries(scope) if scope.covers(entry.key)]


def lease_of(etcd: Any, place: str) -> int:
    """The number of the lease of a key, as etcdctl tells it."""
    [record] = json.loads(etcd.ctl("get", place, "-w", "json"))["kvs"]
    return int(record.get("lease", 0))


# -- one entry -------------------------------------------------------------------------------------


def test_nothing_is_there_at_first(store: Any) -> None:
    """No entry, no list, no class."""
    assert store.get(ONE) is None
    assert keys(store) == []
    assert store.get_class(WEB) is None


def test_what_is_put_is_there(store: Any) -> None:
    """With bytes of any kind."""
    value = bytes(range(256))
    assert store.put(ONE, value, ttl=None)
    entry = store.get(ONE)
    assert (entry.key, entry.value, entry.left) == (ONE, value, None)


def test_etcdctl_finds_record_and_name_on_one_lease(store: Any, etcd: Any, prefix: str) -> None:
    """Both below the prefix, in readable paths."""
    key = Key(WEB, "a\\b\\", "a name/é")
    store.put(key, b"value", ttl=30)
    record = f"{prefix}/1/service/{WEB}/a%5Cb%5C/a%20name%2F%C3%A9"
    name = f"{prefix}/1/name/a%20name%2F%C3%A9/{WEB}/a%5Cb%5C"
    found = etcd.ctl("get", "--prefix", f"{prefix}/", "--keys-only").split()
    assert sorted(found) == sorted([record, name])
    assert etcd.ctl("get", record, "--print-value-only") == "value\n"
    assert lease_of(etcd, record) == lease_of(etcd, name) != 0


def test_what_etcdctl_puts_is_read(store: Any, etcd: Any, prefix: str) -> None:
    """Nothing is remembered that another could have changed."""
    store.put(ONE, b"ours", ttl=30)
    etcd.ctl("put", f"{prefix}/1/service/-/-/one", "theirs")
    assert store.get(ONE).value == b"theirs"


def test_a_version_is_of_one_put(store: Any) -> None:
    """Each put of another value has another."""
    store.put(ONE, b"1", ttl=30)
    first = store.get(ONE).version
    store.put(ONE, b"2", ttl=30)
    assert store.get(ONE).version != first


@pytest.mark.parametrize("ttl", [None, 30])
def test_a_put_asks_for_what_is_expected(store: Any, ttl: float | None) -> None:
    """Nothing, or a version; else nothing is changed."""
    assert store.put(ONE, b"1", ttl=ttl, expected=None)
    assert not store.put(ONE, b"2", ttl=ttl, expected=None)
    version = store.get(ONE).version
    assert not store.put(ONE, b"3", ttl=ttl, expected=version + 1)
    assert store.get(ONE).value == b"1"
    assert store.put(ONE, b"4", ttl=ttl, expected=version)
    assert store.get(ONE).value == b"4"


def test_a_removal_asks_for_its_version(store: Any, etcd: Any, prefix: str) -> None:
    """Then nothing is left, no name and no lease either."""
    store.put(ONE, b"1", ttl=30)
    version = store.get(ONE).version
    lease = lease_of(etcd, f"{prefix}/1/service/-/-/one")
    store.put(ONE, b"2", ttl=30)
    assert not store.remove(ONE, version)
    assert store.get(ONE).value == b"2"
    assert store.remove(ONE, store.get(ONE).version)
    assert etcd.ctl("get", "--prefix", f"{prefix}/") == ""
    assert f"{lease:x}" not in etcd.ctl("lease", "list")
    assert not store.remove(ONE, version)


# -- leases ----------------------------------------------------------------------------------------


def test_the_same_put_again_renews_without_writing(store: Any, etcd: Any, prefix: str) -> None:
    """The entry keeps its version, and its lease has its whole time again."""
    place = f"{prefix}/1/service/-/-/one"
    store.put(ONE, b"1", ttl=100)
    version, lease = store.get(ONE).version, lease_of(etcd, place)
    assert store.put(ONE, b"1", ttl=100)
    assert (store.get(ONE).version, lease_of(etcd, place)) == (version, lease)
    told = json.loads(etcd.ctl("lease", "timetolive", f"{lease:x}", "--keys", "-w", "json"))
    assert told["granted-ttl"] == 100
    assert len(told["keys"]) == 2


def test_a_renewal_asks_for_what_is_expected_too(store: Any) -> None:
    """It is no way around the version."""
    store.put(ONE, b"1", ttl=30)
    version = store.get(ONE).version
    assert store.put(ONE, b"1", ttl=30, expected=version)
    assert not store.put(ONE, b"1", ttl=30, expected=None)
    assert not store.put(ONE, b"1", ttl=30, expected=version + 1)


def test_another_value_keeps_the_lease(store: Any, etcd: Any, prefix: str) -> None:
    """Which is renewed: making one costs a write."""
    place = f"{prefix}/1/service/-/-/one"
    store.put(ONE, b"1", ttl=30)
    lease = lease_of(etcd, place)
    store.put(ONE, b"2", ttl=30)
    assert lease_of(etcd, place) == lease
    assert store.get(ONE).value == b"2"


@pytest.mark.parametrize("ttl", [None, 60])
def test_a_lease_that_is_replaced_is_revoked(
    store: Any, etcd: Any, prefix: str, ttl: float | None
) -> None:
    """One's own, when the entry has another, or none."""
    place = f"{prefix}/1/service/-/-/one"
    store.put(ONE, b"1", ttl=30)
    lease = lease_of(etcd, place)
    store.put(ONE, b"1", ttl=ttl)
    assert store.get(ONE).value == b"1"
    assert lease_of(etcd, place) != lease
    assert f"{lease:x}" not in etcd.ctl("lease", "list")


def test_the_lease_of_another_is_not_revoked(
    make_store: Any, settings: Any, etcd: Any, prefix: str
) -> None:
    """It may have other keys; it ends by itself."""
    ours, theirs = make_store(**settings), make_store(**settings)
    theirs.put(ONE, b"1", ttl=30)
    lease = lease_of(etcd, f"{prefix}/1/service/-/-/one")
    ours.put(ONE, b"1", ttl=30)
    assert lease_of(etcd, f"{prefix}/1/service/-/-/one") != lease
    assert f"{lease:x}" in etcd.ctl("lease", "list")
    assert theirs.put(ONE, b"1", ttl=30)  # its lease is alive, but not that of the entry
    assert theirs.get(ONE).value == b"1"
    assert lease_of(etcd, f"{prefix}/1/service/-/-/one") == lease


def test_a_put_that_was_not_as_expected_leaves_no_lease(store: Any, etcd: Any) -> None:
    """It made one before it knew."""
    store.put(ONE, b"1", ttl=None)
    before = set(etcd.ctl("lease", "list").split())
    assert not store.put(ONE, b"2", ttl=30, expected=None)
    assert set(etcd.ctl("lease", "list").split()) <= before


def test_a_lease_that_was_revoked_is_made_anew(store: Any, etcd: Any, prefix: str) -> None:
    """To keep it alive says success, but names no time."""
    place = f"{prefix}/1/service/-/-/one"
    store.put(ONE, b"1", ttl=30)
    etcd.ctl("lease", "revoke", f"{lease_of(etcd, place):x}")
    assert store.get(ONE) is None
    assert store.put(ONE, b"1", ttl=30)
    assert store.get(ONE).value == b"1"
    assert lease_of(etcd, place) != 0


def test_an_entry_that_was_deleted_is_put_anew(store: Any, etcd: Any, prefix: str) -> None:
    """Though its lease is alive."""
    place = f"{prefix}/1/service/-/-/one"
    store.put(ONE, b"1", ttl=30)
    etcd.ctl("del", place)
    assert store.put(ONE, b"1", ttl=30)
    assert store.get(ONE).value == b"1"


def test_a_lease_lost_between_its_making_and_the_put_is_made_anew(
    store: Any, etcd: Any, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The put says so, and nothing was written."""
    writer = store._writer
    grant = type(writer)._grant
    revoked: list[int] = []

    def grant_and_lose(self: Any, seconds: int) -> int:
        lease: int = grant(self, seconds)
        if not revoked:
            revoked.append(lease)
            etcd.ctl("lease", "revoke", f"{lease:x}")
        return lease

    monkeypatch.setattr(type(writer), "_grant", grant_and_lose)
    assert store.put(ONE, b"1", ttl=30)
    assert lease_of(etcd, f"{prefix}/1/service/-/-/one") not in (0, *revoked)


def test_what_is_held_is_forgotten_when_it_is_over(
    store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that registers ever other names does not grow."""
    monkeypatch.setattr("nspkit_etcd._writing._end", lambda _seconds: 0.0)
    for number in range(200):
        store.put(Key(None, "", f"n{number}"), b"", ttl=30)
    assert len(store._writer._leases._held) <= 64


# -- classes ---------------------------------------------------------------------------------------


def test_a_class_is_put_once(store: Any, etcd: Any, prefix: str) -> None:
    """It is there until it is removed."""
    assert store.put_class(WEB, b"schema")
    assert not store.put_class(WEB, b"schema")
    assert store.get_class(WEB) == b"schema"
    assert etcd.ctl("get", f"{prefix}/1/class/{WEB}", "--print-value-only") == "schema\n"
    assert store.remove_class(WEB, lambda: None)
    assert not store.remove_class(WEB, lambda: None)
    assert store.get_class(WEB) is None


def test_a_class_in_use_stays(store: Any) -> None:
    """Who asks for the removal says whether it is."""
    store.put_class(WEB, b"schema")

    def check() -> None:
        raise TooManyReferencesError("in use")

    with pytest.raises(TooManyReferencesError):
        store.remove_class(WEB, check)
    assert store.get_class(WEB) == b"schema"


def test_who_removes_a_class_looks_again_when_a_service_was_put(store: Any) -> None:
    """Of that class; others do not matter."""
    store.put_class(WEB, b"schema")
    looks: list[int] = []

    def check() -> None:
        looks.append(len(keys(store, Scope(WEB))))
        if len(looks) == 1:
            store.put(Key(WEB, "", "late"), b"", ttl=None)
        else:
            store.put(ONE, b"of no class", ttl=None)

    assert store.remove_class(WEB, check)
    assert looks == [0, 1]


def test_who_removes_a_class_gives_up_in_the_end(store: Any) -> None:
    """Where services of it are put all the time."""
    store.put_class(WEB, b"schema")

    def check() -> None:
        store.put(Key(WEB, "", "late"), b"", ttl=None)

    with pytest.raises(TryAgainError):
        store.remove_class(WEB, check)
    assert store.get_class(WEB) == b"schema"


# -- what cannot be stored -------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1_600_000, 4_000_000])
def test_a_value_over_the_limit_of_a_request_is_refused(store: Any, size: int) -> None:
    """There are two limits, that of etcd and that of what carries its messages."""
    with pytest.raises(InvalidArgumentError):
        store.put(ONE, bytes(size), ttl=None)
    assert store.get(ONE) is None


def test_a_lease_that_is_too_long_is_refused(store: Any) -> None:
    """Of 300 years."""
    with pytest.raises(InvalidArgumentError, match="lease"):
        store.put(ONE, b"", ttl=1e11)


def test_long_lists_are_read(store: Any) -> None:
    """A page may be longer than any message that is sent."""
    value = bytes(100_000)
    for number in range(60):
        store.put(Key(None, "", f"n{number}"), value, ttl=None)
    assert sum(len(entry.value) for entry in store.entries(EVERYTHING)) == 6_000_000


def test_what_etcdctl_shows_is_what_was_put(store: Any, etcd: Any, prefix: str) -> None:
    """All bytes."""
    value = bytes(range(256))
    store.put(ONE, value, ttl=None)
    shown = etcd.ctl("get", f"{prefix}/1/service/-/-/one", "-w", "json")
    [record] = json.loads(shown)["kvs"]
    assert b64decode(record["value"]) == value
    assert b64decode(record["key"]) == f"{prefix}/1/service/-/-/one".encode()
    assert b64encode(value).decode() in shown
