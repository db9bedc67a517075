"""``nspkit doctor``: what is wrong with the installed providers, all of it at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from nspkit import EntryState, Namespace
from nspkit.cli import _options
from nspkit.cli._diagnosis import Patient, diagnose
from nspkit.cli._output import (
    Cell,
    Row,
    complain,
    standard_output,
    write_fields,
    write_indented,
    write_table,
)
from nspkit.cli._status import Status
from nspkit.hookspecs import HOOKS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nspkit.cli._examination import Weight
    from nspkit.cli._output import Page

_HEADINGS = ("NAME", "STATE", "IMPORT", "DISTRIBUTION")
_MOST_WEIGHTS = 5
_STYLES = {EntryState.OK: "green", EntryState.DISABLED: "dim"}


@click.command()
@click.argument("provider", required=False)
@click.option("--start", "starting", is_flag=True, help="Start and clean up each one too, once.")
@_options.timeout("each step of a provider may take", name="seconds")
@_options.config
@click.option("--json", "as_lines", is_flag=True, help="Write one JSON object a line.")
@click.option("-v", "--verbose", is_flag=True, help="Tell all of each one, tracebacks too.")
def doctor(
    *,
    provider: str | None,
    starting: bool,
    seconds: float,
    file: str | None,
    as_lines: bool,
    verbose: bool,
) -> Status:
    """Say all that is wrong with the providers.

    Each is imported in a process of its own, which it may crash, leave or hold up; with --start
    it is started there too, and cleaned up. PROVIDER, a short name or a GUID, is told of alone
    and in full; the others are imported all the same, since two may have one GUID.

    Exit status: 0 all well, 1 something is wrong, 2 wrong usage, 3 it could not be found out.
    """
    patients = diagnose(provider, seconds=seconds, starting=starting, file=file)
    page = standard_output()
    if as_lines:
        for patient in patients:
            page.record(_record(patient))
    elif provider is not None or verbose:
        for number, patient in enumerate(patients):
            if number:
                page.line()
            _write(page, patient, verbose=verbose)
    elif patients:
        headings = Row(*(Cell(text, "dim") for text in _HEADINGS))
        write_table(page, [headings, *map(_row, patients)])
    else:
        complain(
            "no provider is installed; install a distribution that has an entry point in the "
            "group nspkit.providers",
            style="",
        )
    return Status.UNWELL if any(patient.problems for patient in patients) else Status.DONE


def _row(patient: Patient) -> Row:
    return Row(
        Cell(patient.name, "bold"),
        Cell(patient.state.value, _style(patient)),
        Cell(_duration(patient.import_seconds)),
        Cell(patient.origin),
        below=[Cell(" ".join(one.message.split()), "red") for one in patient.problems],
    )


def _style(patient: Patient) -> str:
    return _STYLES.get(patient.state, "red")


def _duration(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:.1f} ms"


def _write(page: Page, patient: Patient, *, verbose: bool) -> None:
    fields: dict[str, Cell | Sequence[Cell]] = {
        "state": Cell(patient.state.value, _style(patient)),
        "problems": [Cell(" ".join(one.message.split()), "red") for one in patient.problems],
        "GUID": [Cell(patient.guid)] if patient.guid is not None else [],
        "distribution": Cell(patient.origin),
        "needs": list(_needs(patient)),
    }
    if patient.hooks is not None:
        fields["hooks"] = [Cell(hook) for hook in HOOKS if hook in patient.hooks]
        fields["lacks"] = [Cell(hook, "dim") for hook in HOOKS if hook not in patient.hooks]
    shown = patient.weights if verbose else patient.weights[:_MOST_WEIGHTS]
    fields["import"] = [Cell(_duration(patient.import_seconds)), *map(_weight, shown)]
    for step, seconds in (("start", patient.start_seconds), ("cleanup", patient.cleanup_seconds)):
        if seconds is not None:
            fields[step] = Cell(_duration(seconds))
    page.line(Cell(patient.name, "bold"))
    write_fields(page, {name: value for name, value in fields.items() if value})
    if verbose and patient.traceback is not None:
        page.line()
        for line in patient.traceback.splitlines():
            write_indented(page, Cell(line), 2)


def _needs(patient: Patient) -> Iterator[Cell]:
    for one in patient.dependencies:
        there = "not installed" if one.installed is None else f"{one.installed} is installed"
        yield Cell(f"{one.requirement}: {there}", "red" if one.problem else "")


def _weight(weight: Weight) -> Cell:
    many = f", in {weight.modules} modules" if weight.modules > 1 else ""
    return Cell(f"{_duration(weight.seconds)} {weight.name}{many}", "dim")


def _record(patient: Patient) -> dict[str, Any]:
    namespace = patient.namespace
    hooks = patient.hooks
    return {
        "name": patient.name,
        "guid": patient.guid,
        "namespace": None if namespace is None else Namespace(namespace).name,
        "version": patient.provider_version,
        "distribution": patient.distribution,
        "distribution_version": patient.version,
        "state": patient.state.value,
        "error": patient.error,
        "problems": [one._asdict() for one in patient.problems],
        "hooks": None if hooks is None else {hook: hook in hooks for hook in HOOKS},
        "dependencies": [one._asdict() for one in patient.dependencies],
        "import_seconds": patient.import_seconds,
        "heaviest": [weight._asdict() for weight in patient.weights],
        "start_seconds": patient.start_seconds,
        "cleanup_seconds": patient.cleanup_seconds,
        "traceback": patient.traceback,
    }
