"""What is wrong with the installed providers, put together from all that can be found out.

Nothing of a provider runs in this process: what is known of it came out of an examination, and
the file of settings is read by a host whose providers stand in for those that are installed.
"""

from __future__ import annotations

import contextlib
import uuid
from typing import TYPE_CHECKING, NamedTuple

import click

from nspkit import Catalog, EntryState, Namespace, NspError, ProviderInfo
from nspkit.cli._examination import examine
from nspkit.cli._options import host_of
from nspkit.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nspkit import CatalogEntry
    from nspkit.cli._dependencies import Dependency
    from nspkit.cli._examination import Examination, Weight

_KINDS = {
    EntryState.BROKEN_IMPORT: "import",
    EntryState.INVALID_CONTRACT: "contract",
    EntryState.INCOMPATIBLE: "version",
}
_GROUP = "nspkit.providers"


class Problem(NamedTuple):
    """One thing that is wrong.

    Attributes:
        kind: ``import``, ``contract``, ``version``, ``guid``, ``name``, ``dependency``, ``start``
            or ``cleanup``.
        message: What it is, and the way out.
    """

    kind: str
    message: str


class Patient:
    """An installed provider, and what is known of it; all of it is data.

    Attributes:
        number: Its place in the catalog.
        name: Its short name.
        distribution: The name of its distribution.
        version: The version of its distribution.
        enabled: Whether the file of settings lets it be used.
        state: What can be said of it.
        error: Why it is in that state, or None.
        problems: Everything that is wrong.
        dependencies: What its distribution needs.
        guid: Its GUID, or None, as the next four, if that cannot be told.
        namespace: The number of its namespace.
        provider_version: Its own version.
        hooks: The hooks that it has.
        import_seconds: How long its import takes.
        weights: What the import consists of, the heaviest first.
        start_seconds: How long its start takes, or None if it was not started.
        cleanup_seconds: How long its cleanup takes, or None if there was none.
        traceback: Where it failed, or None.
    """

    def __init__(self, number: int, entry: CatalogEntry, found: Examination) -> None:
        """Take over what the examination has found."""
        known = found.known
        self.number = number
        self.name = entry.name
        self.distribution = entry.distribution or ""
        self.version = entry.version or ""
        self.enabled = True
        self.state = EntryState(known["state"])
        self.error: str | None = known["error"]
        kind = _KINDS.get(self.state, "")
        self.problems = [Problem(kind, message) for message in known["problems"]]
        self.dependencies: list[Dependency] = []
        self.guid: str | None = known.get("guid")
        self.namespace: int | None = known.get("namespace")
        self.provider_version: str | None = known.get("provider_version")
        self.hooks: list[str] | None = known.get("hooks")
        self.import_seconds = found.import_seconds
        self.weights: Sequence[Weight] = found.weights(_module_of(entry))
        self.start_seconds: float | None = None
        self.cleanup_seconds: float | None = None
        self.traceback: str | None = known["traceback"]

    @property
    def origin(self) -> str:
        """Its distribution, with the version."""
        return f"{self.distribution} {self.version}".rstrip()

    @property
    def description(self) -> str:
        """Its name and origin, for messages."""
        return f"'{self.name}' ({self.origin})"

    def has_been_started(self, found: Examination) -> None:
        """Take over what starting it has shown."""
        known = found.known
        self.start_seconds = known.get("start_seconds")
        self.cleanup_seconds = known.get("cleanup_seconds")
        if known["error"] is not None:
            kind = "start" if self.start_seconds is None else "cleanup"
            self.state = EntryState(known["state"])
            self.error, self.traceback = known["error"], known["traceback"]
            self.problems.append(Problem(kind, known["error"]))


def diagnose(
    provider: str | None, *, seconds: float, starting: bool, file: str | None
) -> list[Patient]:
    """Return all installed providers with their problems, in order, or one of them.

    Args:
        provider: The short name or the GUID of the only one that is of interest.
        seconds: How long each step of an examination may take.
        starting: Whether to start and clean up those that can be.
        file: The file of settings.

    Raises:
        click.UsageError: There is no such provider, or two have the name.
        click.ClickException: The file is wrong, or something could not be found out.
    """
    catalog = Catalog.discover()
    named = None if provider is None else _number_of(provider, catalog)
    patients = [
        Patient(number, entry, examine(number, seconds=seconds))
        for number, entry in enumerate(catalog)
    ]
    chosen = ordered = _arranged(patients, file)
    _compare(patients)
    if named is not None:
        chosen = [patients[named]]
    elif provider is not None:
        chosen = [one for one in ordered if one.guid == str(_guid_in(provider))]
        if not chosen:
            raise _wrong(f"no provider with the GUID {provider} is installed")
    for patient in chosen:
        if provider is None and not patient.enabled:
            patient.problems.clear()  # which is what disabling it is for
            continue
        _look_at_dependencies(patient)
        if starting and patient.state is EntryState.OK:
            shown = examine(patient.number, seconds=seconds, starting=True, file=file)
            patient.has_been_started(shown)
    return chosen


def _guid_in(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None


def _wrong(problem: str) -> click.UsageError:
    return click.UsageError(problem, click.get_current_context())


def _number_of(provider: str, catalog: Catalog) -> int | None:
    """Return the place of the provider with a short name, or None where it is a GUID.

    A short name is found without an import; whose a GUID is shows when all were examined.
    """
    entries = list(catalog)
    if _guid_in(provider) is not None and all(entry.name != provider for entry in entries):
        return None
    try:
        return entries.index(catalog[provider])
    except NspError as error:
        raise _wrong(error.message) from None


def _arranged(patients: Sequence[Patient], file: str | None) -> list[Patient]:
    """Return them in the order of the file of settings; those that it disables know it then."""
    stand_ins = Catalog()
    by_guid: dict[uuid.UUID, Patient] = {}
    for patient in patients:
        guid = uuid.UUID(patient.guid) if patient.guid is not None else uuid.uuid4()
        if guid in by_guid:
            guid = uuid.uuid4()
        try:
            info = ProviderInfo(guid, patient.name, Namespace.DNS, "0")
        except InvalidArgumentError:
            continue  # no short name, but what stands for one where an entry point is broken
        stand_ins.install(type("StandIn", (), {"info": info}))
        by_guid[guid] = patient
    arranged = []
    with host_of(file, catalog=stand_ins) as host:
        for entry in host.providers():
            if entry.guid is not None:
                patient = by_guid[entry.guid]
                patient.enabled = entry.enabled
                arranged.append(patient)
    for patient in patients:
        if not patient.enabled:
            patient.state = EntryState.DISABLED
    return arranged + [one for one in patients if one not in arranged]


def _compare(patients: Sequence[Patient]) -> None:
    """Find out whether two of those that are in use have one GUID, or one short name."""
    sound = [one for one in patients if one.state is EntryState.OK]
    for patient in sound:
        same = [one.description for one in sound if one.guid == patient.guid]
        if len(same) > 1:
            patient.state = EntryState.DUPLICATE
            patient.error = (
                f"the GUID {patient.guid} belongs to {' and '.join(same)}; "
                "uninstall or disable all but one of them"
            )
            patient.problems.append(Problem("guid", patient.error))
        same = [one.description for one in sound if one.name == patient.name]
        if len(same) > 1:
            message = (
                f"the short name '{patient.name}' belongs to {' and '.join(same)}; "
                "each can be reached by its GUID only"
            )
            patient.problems.append(Problem("name", message))


def _module_of(entry: CatalogEntry) -> str:
    """Return the module that its entry point names."""
    from importlib.metadata import PackageNotFoundError, distribution

    with contextlib.suppress(PackageNotFoundError, ValueError):
        for point in distribution(entry.distribution or "").entry_points:
            if (point.group, point.name) == (_GROUP, entry.name):
                return point.value.partition(":")[0]
    return entry.name


def _look_at_dependencies(patient: Patient) -> None:
    from nspkit.cli._dependencies import dependencies_of, problems_of

    patient.dependencies = dependencies_of(patient.distribution)
    patient.problems += [
        Problem("dependency", message) for message in problems_of(patient.distribution)
    ]
