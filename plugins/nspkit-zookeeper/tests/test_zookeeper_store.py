"""What the store does in ZooKeeper's tree, with a bare client beside it."""

from __future__ import annotations

import threading
import uuid
from typing import Any

import pytest
from kazoo.exceptions import NoNodeError

from nspkit import Cancellation
from nspkit.errors import InvalidArgumentError, TryAgainError
from nspkit.registry import EVERYTHING, Key, Scope

CLASS = uuid.UUID("6f1c9f0e-3c7a-4d4e-9a43-5c6f2f1f0a01")
WEB = Key(CLASS, "", "web")
DEEP = Key(CLASS, "a\\b\\", "web")
PATIENCE = 30.0


def path(prefix: str, key: Key) -> str:
    """The node of an instance."""
    return f"/{prefix}/1/service/{key.path()}"


def index(bare: Any, prefix: str) -> list[str]:
    """The nodes of the index of names."""
    folder = f"/{prefix}/1/name"
    buckets = [f"{folder}/{bucket}" for bucket in bare.get_children(folder)]
    pending = [bare.get_children_async(bucket) for bucket in buckets]
    return [child for one in pending for child in one.get(timeout=PATIENCE)]


def names(store: Any, *scope: Any, **more: Any) -> list[str]:
    """The names of what a scope covers."""
    asked = Scope(*scope, **more)
    return [entry.key.name for entry in store.entries(asked) if asked.covers(entry.key)]


def test_what_was_put_is_there(store: Any) -> None:
    """Under its key, with a version."""
    assert store.put(WEB, b"value", ttl=None)
    entry = store.get(WEB)
    assert entry.key == WEB
    assert entry.value == b"value"
    assert entry.version is not None


def test_nothing_is_there_before(store: Any) -> None:
    """Where not even a node above it is."""
    assert store.get(WEB) is None
    assert list(store.entries(EVERYTHING)) == []


def test_the_node_is_where_the_documentation_says(store: Any, bare: Any, prefix: str) -> None:
    """With an incarnation in its first line, which is in its node of the index too."""
    store.put(WEB, b"value", ttl=None)
    data, stat = bare.get(path(prefix, WEB))
    incarnation, _, value = data.partition(b"\n")
    assert value == b"value"
    assert index(bare, prefix) == [f"web,{CLASS},-,{incarnation.decode()}"]
    assert stat.ephemeralOwner == 0


def test_with_a_ttl_the_nodes_are_of_the_session(store: Any, bare: Any, prefix: str) -> None:
    """Both of them."""
    store.put(WEB, b"value", ttl=30.0)
    _data, stat = bare.get(path(prefix, WEB))
    [child] = index(bare, prefix)
    there = f"{store._nodes.bucket('web')}/{child}"
    assert stat.ephemeralOwner == store._connection.session
    assert bare.exists(there).ephemeralOwner == stat.ephemeralOwner


def test_a_renewal_writes_nothing(store: Any, bare: Any, prefix: str) -> None:
    """The node stays as it was."""
    store.put(WEB, b"value", ttl=30.0)
    before = bare.get(path(prefix, WEB))
    assert store.put(WEB, b"value", ttl=30.0)
    assert bare.get(path(prefix, WEB)) == before


def test_the_same_without_an_end_writes_nothing(store: Any, bare: Any, prefix: str) -> None:
    """Nobody who follows is disturbed."""
    store.put(WEB, b"value", ttl=None)
    before = bare.get(path(prefix, WEB))
    assert store.put(WEB, b"value", ttl=None)
    assert bare.get(path(prefix, WEB)) == before


def test_another_value_is_set(store: Any, bare: Any, prefix: str) -> None:
    """In the same node."""
    store.put(WEB, b"value", ttl=30.0)
    _, before = bare.get(path(prefix, WEB))
    store.put(WEB, b"other", ttl=30.0)
    _, after = bare.get(path(prefix, WEB))
    assert store.get(WEB).value == b"other"
    assert (after.czxid, after.version) == (before.czxid, 1)


@pytest.mark.parametrize(("first", "second"), [(None, 30.0), (30.0, None)])
def test_it_changes_between_staying_and_ending(
    store: Any, bare: Any, prefix: str, first: float | None, second: float | None
) -> None:
    """The node is made anew, and the one in the index."""
    store.put(WEB, b"value", ttl=first)
    store.put(WEB, b"value", ttl=second)
    _, stat = bare.get(path(prefix, WEB))
    assert bool(stat.ephemeralOwner) is bool(second)
    assert len(index(bare, prefix)) == 1


def test_the_node_of_another_session_is_taken_over(
    store: Any, stores: Any, bare: Any, prefix: str
) -> None:
    """It goes with the session that has put it last."""
    first = stores()
    first.put(WEB, b"value", ttl=30.0)
    store.put(WEB, b"value", ttl=30.0)
    first.close_all()
    _, stat = bare.get(path(prefix, WEB))
    assert stat.ephemeralOwner == store._connection.session
    assert len(index(bare, prefix)) == 1


def test_what_ends_goes_with_the_session(stores: Any, store: Any, bare: Any, prefix: str) -> None:
    """And what does not, stays."""
    first = stores()
    first.put(WEB, b"value", ttl=30.0)
    first.put(DEEP, b"value", ttl=None)
    first.close_all()
    assert store.get(WEB) is None
    assert names(store, None, "web") == ["web"]
    assert len(index(bare, prefix)) == 1


def test_what_nobody_puts_again_ends(store: Any, follow: Any, bare: Any, prefix: str) -> None:
    """Though its session lives on; with the empty nodes above it."""
    feed = follow()
    assert feed.listed() == {}
    store.put(WEB, b"value", ttl=0.3)
    assert feed.next() == ("web", b"value")
    assert feed.next() == ("web", None)
    assert names(store, None, "web") == []
    gone = threading.Event()
    if bare.exists(f"/{prefix}/1/service/{CLASS}", watch=lambda _event: gone.set()):
        assert gone.wait(PATIENCE)


def test_what_has_ended_is_put_anew(store: Any, bare: Any, prefix: str) -> None:
    """By the same session."""
    store.put(WEB, b"value", ttl=0.05)
    gone = threading.Event()
    if bare.exists(path(prefix, WEB), watch=lambda _event: gone.set()):
        assert gone.wait(PATIENCE)
    assert store.put(WEB, b"value", ttl=30.0)
    assert store.get(WEB).value == b"value"


def test_what_is_over_and_still_there_ends_first(store: Any, follow: Any, prefix: str) -> None:
    """It is another node then, as whoever looks at its version sees."""
    feed = follow()
    feed.listed()
    store.put(WEB, b"value", ttl=30.0)
    assert feed.next() == ("web", b"value")
    before = store.get(WEB).version
    store.leases._leases[WEB] = {before: 0.0}
    store.leases._is_connected = lambda: False  # the thread that would end it does nothing
    assert store.put(WEB, b"value", ttl=30.0)
    after = store.get(WEB).version
    assert after.incarnation != before.incarnation


def test_a_put_that_expects_nothing_finds_something(store: Any) -> None:
    """Then nothing is done."""
    assert store.put(WEB, b"value", ttl=None, expected=None)
    assert not store.put(WEB, b"other", ttl=None, expected=None)
    assert store.get(WEB).value == b"value"


def test_a_put_that_expects_a_version_finds_it(store: Any) -> None:
    """And another one the second time."""
    store.put(WEB, b"value", ttl=None)
    version = store.get(WEB).version
    assert store.put(WEB, b"other", ttl=None, expected=version)
    assert not store.put(WEB, b"third", ttl=None, expected=version)
    assert store.get(WEB).value == b"other"


def test_a_put_that_expects_a_version_finds_nothing(store: Any) -> None:
    """Then nothing is done."""
    store.put(WEB, b"value", ttl=None)
    entry = store.get(WEB)
    store.remove(WEB, entry.version)
    assert not store.put(WEB, b"other", ttl=None, expected=entry.version)
    assert store.get(WEB) is None


def test_a_node_that_was_made_anew_is_another(store: Any, stores: Any) -> None:
    """Though ZooKeeper counts its versions from nought again."""
    other = stores()
    store.put(WEB, b"value", ttl=None)
    entry = store.get(WEB)
    read, before = store._writing.read, [store._writing.read(WEB)]
    other.remove(WEB, entry.version)
    other.put(WEB, b"value", ttl=None)
    store._writing.read = lambda key: before.pop() if before else read(key)  # before that
    assert not store.put(WEB, b"other", ttl=None, expected=entry.version)
    assert not store.remove(WEB, entry.version)
    assert other.get(WEB).value == b"value"


def test_what_is_removed_is_gone(store: Any, bare: Any, prefix: str) -> None:
    """With its node in the index, and the empty nodes above it."""
    store.put(DEEP, b"value", ttl=None)
    assert store.remove(DEEP, store.get(DEEP).version)
    assert store.get(DEEP) is None
    assert index(bare, prefix) == []
    assert store.put(WEB, b"value", ttl=None)
    assert bare.get_children(f"/{prefix}/1/service/{CLASS}") == ["-"]


def test_what_has_changed_is_not_removed(store: Any) -> None:
    """Not by the version before."""
    store.put(WEB, b"value", ttl=None)
    version = store.get(WEB).version
    store.put(WEB, b"other", ttl=None)
    assert not store.remove(WEB, version)
    assert not store.remove(WEB, "no version")
    assert store.get(WEB).value == b"other"


def test_a_node_without_an_incarnation_can_be_replaced(store: Any, bare: Any, prefix: str) -> None:
    """It is what somebody has written by hand."""
    bare.create(path(prefix, WEB), b"by hand", makepath=True)
    assert store.get(WEB).value == b"by hand"
    assert store.put(WEB, b"value", ttl=None)
    assert names(store, None, "web") == ["web"]


def test_a_node_without_an_incarnation_can_be_removed(store: Any, bare: Any, prefix: str) -> None:
    """It has no node in the index."""
    bare.create(path(prefix, WEB), b"by hand", makepath=True)
    assert store.remove(WEB, store.get(WEB).version)
    assert store.get(WEB) is None


def test_more_than_a_transaction_can_have_is_refused(store: Any) -> None:
    """Before the server would break the connection."""
    session = store._connection.session
    with pytest.raises(InvalidArgumentError, match="web has 1000"):
        store.put(WEB, b"x" * 1_000_000, ttl=None)
    assert store.put(WEB, b"x" * 999_000, ttl=None)
    assert store.put(WEB, b"y" * 999_000, ttl=30.0)
    assert store._connection.session == session


def test_threads_that_put_the_same_leave_one_of_it(store: Any, bare: Any, prefix: str) -> None:
    """Whatever is put and removed meanwhile."""
    barrier = threading.Barrier(8)
    errors: list[BaseException] = []

    def change(number: int) -> None:
        barrier.wait(PATIENCE)
        try:
            for turn in range(10):
                store.put(WEB, b"%d" % number, ttl=30.0 if turn % 2 else None)
                entry = store.get(WEB)
                if number % 2 and entry is not None:
                    store.remove(WEB, entry.version)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=change, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    store.put(WEB, b"last", ttl=None)
    assert store.get(WEB).value == b"last"
    assert len(index(bare, prefix)) == 1


def test_of_those_who_expect_nothing_one_succeeds(store: Any, stores: Any) -> None:
    """In whatever sessions they are."""
    barrier, won = threading.Barrier(4), []

    def put(one: Any, number: int) -> None:
        barrier.wait(PATIENCE)
        if one.put(WEB, b"%d" % number, ttl=None, expected=None):
            won.append(b"%d" % number)

    both = (store, stores())
    threads = [threading.Thread(target=put, args=(both[n % 2], n)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert won == [store.get(WEB).value]


def test_a_lookup_that_is_cancelled_ends_at_once(store: Any) -> None:
    """Before it has begun as well."""
    store.put(WEB, b"value", ttl=None)
    cancellation = Cancellation()
    cancellation.cancel()
    with pytest.raises(TryAgainError):
        store.get(WEB, cancellation)


def test_parents_that_vanish_are_made_again(store: Any, bare: Any, prefix: str) -> None:
    """All of them, up to the prefix."""
    store.put(WEB, b"value", ttl=None)
    bare.delete(f"/{prefix}", recursive=True)
    assert store.put(WEB, b"value", ttl=None)
    with pytest.raises(NoNodeError):
        bare.get(f"/{prefix}/nothing")
    assert names(store, None, "web") == ["web"]
