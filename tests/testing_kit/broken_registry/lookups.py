"""Registries that break the rules about what a lookup is restricted with."""

from __future__ import annotations

from collections.abc import Iterable

from broken_registry_common import LooksUp, breaks

from nspkit import LookupFlags, Query, Service


@breaks("contexts_hold_their_own", r"contexts of what is in '': found is \['', '_nsp")
class IsAlwaysDeep(LooksUp):
    """Finds what is below, asked or not."""

    def look_up(self, query: Query) -> Iterable[Service]:
        """Look everywhere."""
        return self.store.find(query.replace(flags=query.flags | LookupFlags.DEEP))


@breaks("deep_goes_below", r"a' and below it: found is .*ab'\], right is")
class ComparesLetters(LooksUp):
    """Takes a context for a prefix."""

    def look_up(self, query: Query) -> Iterable[Service]:
        """Find what begins with the same letters."""
        if LookupFlags.DEEP not in query.flags:
            return self.store.find(query)
        found = self.store.find(query.replace(context=""))
        return [one for one in found if one.context.startswith(query.context)]


@breaks("conditions_on_attributes", r"query string 'path=/': found is \['x', 'y'\], right is")
class IgnoresQueryStrings(LooksUp):
    """Leaves conditions to who asks."""

    def look_up(self, query: Query) -> Iterable[Service]:
        """Find whatever they are."""
        return self.store.find(query.replace(query_string=""))


@breaks(
    "protocols_narrow", r"for the protocols .*: found is \[\[1, 2, 3, 4\]\], right is \[\[1, 4\]"
)
class IgnoresProtocols(LooksUp):
    """Returns all addresses."""

    def look_up(self, query: Query) -> Iterable[Service]:
        """Find whatever they are."""
        return self.store.find(query.replace(protocols=()))


@breaks("versions_restrict", "a lookup for version 3: found is 'unknown .*right is 'known")
class IgnoresVersions(LooksUp):
    """Returns all versions: the host leaves out the others, and knows no name that had them."""

    def look_up(self, query: Query) -> Iterable[Service]:
        """Find whatever it is."""
        return self.store.find(query.replace(version=None))


@breaks("no_containers", "a lookup of containers succeeded; raise NoDataError")
class FindsNoContainers(LooksUp):
    """Knows no difference between no containers and none at present."""


@breaks("browse_finds_each_once", r"finds several times \['x\d+'\]")
class ReadsPagesThatOverlap(LooksUp):
    """Begins a page with the last of the page before."""

    def look_up(self, query: Query) -> Iterable[Service]:
        """Read 500 at a time."""
        found = self.store.find(query)
        return [*found[:500], *found[499:]]
