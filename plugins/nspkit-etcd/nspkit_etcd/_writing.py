"""Putting and removing: one transaction for the record and the name, both on one lease."""

from __future__ import annotations

import math
import os
from random import SystemRandom
from time import monotonic
from typing import TYPE_CHECKING, Any

from nspkit.errors import NspError
from nspkit.registry import ANYTHING
from nspkit_etcd._failures import LeaseGoneError, LeaseThereError
from nspkit_etcd._layout import decoded, encoded
from nspkit_etcd._leases import Held, Leases
from nspkit_etcd._waiter import Waiter

if TYPE_CHECKING:
    from nspkit.registry import Key
    from nspkit_etcd._client import Answer, Client
    from nspkit_etcd._layout import Layout

_TIDYING = 1.0
"""Seconds for giving a lease back that nobody needs: it ends by itself too."""


class Writer:
    """What writes to the servers, and the leases that it holds there."""

    def __init__(self, client: Client, layout: Layout) -> None:
        """Hold no lease yet."""
        self._client = client
        self._layout = layout
        self._leases = Leases()

    def put(self, key: Key, value: bytes, *, ttl: float | None, expected: object) -> bool:
        """Put a value, or renew its lease; False if not as expected."""
        seconds = None if ttl is None else max(1, math.ceil(ttl))  # etcd counts no parts of them
        held = self._leases.take(key)
        now = held  # what the key has, as far as is known
        lost: list[int] = []
        try:
            lease = self._lease(held, seconds)
            if held is not None and lease == held.lease and value == held.value:
                there = self._is_there(key, held, expected)
                if there is not None:
                    now = held._replace(ends=_end(seconds))
                    return there
            if held is not None and lease == held.lease:
                now = held._replace(doubtful=True)  # until it is known how that ends
            lease, revision = self._put(key, value, lease, seconds, expected)
            if revision is None:
                now = held
                if held is None or lease != held.lease:
                    lost.append(lease)
                return False
            if held is not None and lease != held.lease:
                lost.append(held.lease)
            now = None
            if seconds is not None:
                now = Held(lease, seconds, value, revision, _end(seconds))
            return True
        finally:
            if now is not None:
                lost += self._leases.keep(key, now)
            self._revoke(lost)

    def remove(self, key: Key, version: object) -> bool:
        """Remove a record and its name; False if it is not that version any more."""
        record, name = self._layout.service(key), self._layout.name(key)
        deletions = [{"request_delete_range": {"key": encoded(one)}} for one in (record, name)]
        reading = {"request_range": {"key": encoded(record), "keys_only": True}}
        body = {"compare": [_is_of(record, version)], "success": deletions, "failure": [reading]}
        held = self._leases.take(key)
        gone = False
        try:
            answer = self._client.call("kv/txn", body, Waiter())
            # Where an earlier attempt may have removed it, that it is gone is what was wanted.
            gone = answer.succeeded or (answer.doubtful and is_gone(read_of(answer), version))
        finally:
            if held is not None:
                self._revoke([held.lease] if gone else self._leases.keep(key, held))
        return gone

    def _lease(self, held: Held | None, seconds: int | None) -> int:
        """Return a lease that has the whole time before it; 0 is none."""
        if seconds is None:
            return 0
        if held is not None and held.seconds == seconds and self._is_alive(held.lease):
            return held.lease
        return self._grant(seconds)

    def _is_alive(self, lease: int) -> bool:
        """Renew a lease; etcd says so of one that is over too, but then names no time."""
        answer = self._client.call("lease/keepalive", {"ID": str(lease)}, Waiter())
        return int(answer.body.get("TTL", 0)) > 0

    def _grant(self, seconds: int) -> int:
        """Make a lease. Its number is chosen here, so that asking twice does not make two."""
        while True:
            lease = SystemRandom().getrandbits(62) + 1
            body = {"TTL": str(seconds), "ID": str(lease)}
            try:
                self._client.call("lease/grant", body, Waiter())
            except LeaseThereError:
                # By an attempt of this one, almost certainly: a random number hits no other.
                if not self._is_alive(lease):
                    continue
            return lease

    def _is_there(self, key: Key, held: Held, expected: object) -> bool | None:
        """Say whether the value that was put is as expected; None if it is not there."""
        place = encoded(self._layout.service(key))
        found = self._client.call("kv/range", {"key": place}, Waiter()).body.get("kvs")
        if not found:
            return None
        [record] = found
        if int(record.get("lease", 0)) != held.lease or decoded(record, "value") != held.value:
            return None
        return expected is ANYTHING or expected == int(record["mod_revision"])

    def _put(
        self, key: Key, value: bytes, lease: int, seconds: int | None, expected: object
    ) -> tuple[int, int | None]:
        """Put it; return the lease, and the revision or None if it was not as expected."""
        while True:
            try:
                return lease, self._transact(key, value, lease, expected)
            except LeaseGoneError:  # in the moment since it was made
                if seconds is None:  # pragma: no cover - then there is none
                    raise
                lease = self._grant(seconds)

    def _transact(self, key: Key, value: bytes, lease: int, expected: object) -> int | None:
        record, name = self._layout.service(key), encoded(self._layout.name(key))
        # What tells this put from all others, where it is asked for twice.
        mark = os.urandom(9).hex().encode()
        puts = [
            {"key": encoded(record), "value": encoded(value), "lease": str(lease)},
            {"key": name, "value": encoded(mark), "lease": str(lease)},
        ]
        body = {
            "compare": [] if expected is ANYTHING else [_is_of(record, expected)],
            "success": [{"request_put": put} for put in puts],
            "failure": [{"request_range": {"key": name}}],
        }
        answer = self._client.call("kv/txn", body, Waiter())
        if answer.succeeded:
            return answer.revision
        there = read_of(answer)
        if answer.doubtful and there is not None and decoded(there, "value") == mark:
            return int(there["mod_revision"])
        return None

    def _revoke(self, leases: list[int]) -> None:
        """Give leases back that no key has any more."""
        for lease in leases:
            if not lease:
                continue
            try:
                self._client.call("lease/revoke", {"ID": str(lease)}, Waiter(longest=_TIDYING))
            except (NspError, LeaseGoneError):
                pass


def _is_of(place: bytes, version: object) -> dict[str, Any]:
    """Return the comparison for a version, or for that nothing is there."""
    compare = {"key": encoded(place), "result": "EQUAL"}
    if version is None:
        return compare | {"target": "VERSION", "version": "0"}
    return compare | {"target": "MOD", "mod_revision": str(version)}


def is_gone(there: dict[str, Any] | None, version: object) -> bool:
    """Say whether a version was removed; what is there now may have been put after that."""
    return there is None or int(there.get("create_revision", 0)) > int(str(version))


def read_of(answer: Answer) -> dict[str, Any] | None:
    """Return what a transaction has read that was to read one key."""
    [response] = answer.body["responses"]
    found = response["response_range"].get("kvs", [])
    return found[0] if found else None


def _end(seconds: int | None) -> float:
    return math.inf if seconds is None else monotonic() + seconds + 60.0
