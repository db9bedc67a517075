"""``nspkit registry import``: what an export has is registered at one provider, and verified."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, TypeVar

import click

from nspkit import NspError
from nspkit.cli import _options
from nspkit.cli._archive import opened
from nspkit.cli._ending import end
from nspkit.cli._importing import Import, Walk
from nspkit.cli._output import Cell, complain, standard_output
from nspkit.cli._progress import Progress, counted
from nspkit.cli._report import Report
from nspkit.cli._signals import Stop
from nspkit.cli._status import Status
from nspkit.errors import InvalidProviderError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from nspkit import ProviderInfo
    from nspkit.cli._archive import Archive

    T = TypeVar("T")

_JOBS = 8


@click.command("import")
@click.argument("file_name", metavar="FILE", callback=_options.file_name)
@click.option(
    "-p", "--provider", metavar="PROVIDER", required=True, help="The registry: name or GUID."
)
@click.option(
    "--replace",
    "existing",
    flag_value="replace",
    help="Overwrite a service that is there with other content.",
)
@click.option(
    "--keep",
    "existing",
    flag_value="keep",
    help="Leave a service that is there with other content, and do not call it wrong.",
)
@click.option(
    "--from-line",
    "first",
    metavar="N",
    type=click.IntRange(min=1),
    default=1,
    help="Register from this line on, as an interrupted import has said; all is verified.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option(
    "-j",
    "--jobs",
    metavar="N",
    type=click.IntRange(1, 64),
    default=_JOBS,
    help=f"How many services at a time; {_JOBS} by default.",
)
@_options.timeout("each request may take")
@_options.config
@click.option("--json", "as_lines", is_flag=True, help="Write the summary as a JSON object.")
def import_(
    *,
    file_name: str,
    provider: str,
    existing: str | None,
    first: int,
    dry_run: bool,
    jobs: int,
    timeout: float,
    file: str | None,
    as_lines: bool,
) -> Status:
    """Register at one provider all that an export has in FILE.

    FILE is checked whole before anything is registered; - is the standard input. What is there
    as the export has it is left alone, so that an import may be run again. At the end every
    service is looked up and compared.

    Exit status: 0 all is there as in FILE, 1 something is not, 2 wrong usage or a damaged FILE, 3
    it could not be done, 130 interrupted.
    """
    host = _options.host_of(file)
    report = Report(host, verbose=False)
    status = Status.INTERRUPTED
    importing: _Importing | None = None
    with opened(file_name) as archive, Stop(interrupts=True) as stop:
        if first > archive.end:
            raise click.UsageError(
                f"--from-line: {archive.name} ends with line {archive.end}",
                click.get_current_context(),
            )
        try:
            session = host.startup(provider)
            work = Import(session, existing=existing or "refuse", dry_run=dry_run)
            walk = Walk(stop.heed, jobs=jobs, timeout=timeout)
            importing = _Importing(archive, session.info, work, walk)
            importing.run(first, verifies=not dry_run)
            status = importing.status
        except InvalidProviderError as error:
            raise click.UsageError(error.message) from None
        except NspError as error:
            status = report.fail(f"import into {provider}", error)
        except KeyboardInterrupt:
            pass
        finally:
            late = end(host)
    report.tell_late(late)
    if importing is not None:
        importing.tell(as_lines=as_lines)
    return status


class _Importing:
    """One import, from the first class to the summary."""

    def __init__(self, archive: Archive, info: ProviderInfo, work: Import, walk: Walk) -> None:
        """Import a whole export."""
        self._archive = archive
        self._info = info
        self._work = work
        self._walk = walk
        self._done: Counter[str] = Counter()
        self._installed: Counter[str] = Counter()
        self._found: Counter[str] = Counter()
        self._found_classes: Counter[str] = Counter()
        self._verifies = True
        self._next_line: int | None = None

    @property
    def status(self) -> Status:
        """What is to be said of an import that is over."""
        return Status.NOT_FOUND if self._wrong else Status.DONE

    @property
    def _wrong(self) -> int:
        """How many are not as the export says."""
        if self._verifies:
            return self._found["wrong"] + self._found_classes["wrong"]
        return self._installed["left"] + (
            self._done["left"] if self._work.existing == "refuse" else 0
        )

    def run(self, first: int, *, verifies: bool) -> None:
        """Install all classes, register the services from a line on, and verify everything.

        Raises:
            NspError: The provider fails.
            KeyboardInterrupt: An end was asked for.
        """
        archive, work = self._archive, self._work
        self._verifies = verifies
        self._next_line = first
        self._go("installing", archive.classes, work.install, self._installed)
        count = archive.services_from(first)
        lines = archive.lines(first)
        for number in self._steps("registering", lines, work.register, self._done, count):
            self._next_line = number + 1
        self._next_line = archive.end
        if verifies:
            self._go("verifying", archive.classes, work.verify_class, self._found_classes)
            lines, count = archive.lines(), archive.services
            self._go("verifying", lines, work.verify, self._found, count)
        self._next_line = None

    def tell(self, *, as_lines: bool) -> None:
        """Say what was done, what is wrong, and where to go on."""
        archive = self._archive
        problems = sorted(self._work.problems)
        for one in problems:
            complain(f"{archive.name}:{one.line}: '{one.name}': {one.message}")
        if self._wrong > len(problems):
            complain(f"{self._wrong - len(problems):,} more are wrong")
        page = standard_output()
        if as_lines:
            page.record(self._record())
        else:
            page.line(Cell(self._told()))
            if self._next_line is None and self._verifies:
                page.line(Cell(self._verified(), "red" if self._wrong else "green"))
        if self._next_line is not None:
            complain(
                f"it is not over; the same command with --from-line {self._next_line} goes on",
                style="",
            )

    def _go(self, *arguments: Any) -> None:
        for _ in self._steps(*arguments):
            pass

    def _steps(
        self,
        doing: str,
        lines: Iterable[tuple[int, T]],
        work: Callable[[tuple[int, T]], str],
        counts: Counter[str],
        total: int | None = None,
    ) -> Iterator[int]:
        """Do some work for each line; yield the number of each that is done."""
        with Progress(doing, total) as progress:
            for number, outcome in self._walk.through(lines, work):
                counts[outcome] += 1
                progress.count += 1
                yield number

    def _told(self) -> str:
        archive, done = self._archive, self._done
        would = "" if self._verifies else "would be "
        words = {
            "registered": f"{would}registered",
            "replaced": f"{would}replaced",
            "there": "there already",
            "left": "there with other content and left alone",
            "failed": "refused by the provider",
        }
        told = [f"{done[key]:,} {word}" for key, word in words.items() if done[key]]
        return (
            f"{counted(archive.services, 'service')}: {', '.join(told) or 'none to register'}; "
            f"{counted(len(archive.classes), 'service class')}: "
            f"{self._installed['installed']:,} {would}installed"
        )

    def _verified(self) -> str:
        archive, found = self._archive, self._found
        told = (
            f"verified: {found['right']:,} of {counted(archive.services, 'service')} and "
            f"{self._found_classes['right']:,} of "
            f"{counted(len(archive.classes), 'service class')} are there as in {archive.name}"
        )
        told += f"; {found['left']:,} kept with other content" if found["left"] else ""
        return told + (f"; {counted(found['lapsed'], 'lease')} lapsed" if found["lapsed"] else "")

    def _record(self) -> dict[str, Any]:
        archive, done = self._archive, self._done
        return {
            "file": archive.name,
            "provider": self._info.name,
            "guid": str(self._info.guid),
            "dry_run": not self._verifies,
            "services": archive.services,
            "classes": len(archive.classes),
            **{key: done[key] for key in ("registered", "replaced", "there", "left", "failed")},
            "classes_installed": self._installed["installed"],
            "verified": self._found["right"],
            "classes_verified": self._found_classes["right"],
            "lapsed": self._found["lapsed"],
            "wrong": self._wrong,
            "problems": [one._asdict() for one in sorted(self._work.problems)],
            "next_line": self._next_line,
        }
