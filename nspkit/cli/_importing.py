"""What an import does with each service class and each service, and what it finds at the end."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from nspkit import Query, ServiceOperation
from nspkit.cli._records import are_alike, differences, is_same_instance
from nspkit.errors import (
    AlreadyExistsError,
    InvalidArgumentError,
    NoDataError,
    OperationNotSupportedError,
    OperationTimeoutError,
    ServiceNotFoundError,
    TypeNotFoundError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future

    from nspkit import Service, ServiceClass, Session

    T = TypeVar("T")

_CHUNK = 64
"""So many are worked on before it is looked whether an end was asked for."""

_LOOK_AGAIN = 1.0
"""A signal that another thread has got does not end a wait; its time, in seconds, does."""

_MOST = 100
"""So many problems are told in full; the others are counted."""


class Problem(NamedTuple):
    """What is not as the export says.

    Attributes:
        line: The number of the line.
        name: The name of the service or the class.
        problem: ``missing`` or ``different``.
        message: What is wrong, for people.
    """

    line: int
    name: str
    problem: str
    message: str


class Import:
    """An import into one provider; its methods may be called from several threads.

    Each takes a line, and returns in a word what became of it. They raise NspError where the
    provider fails, and would for the next line too.

    Attributes:
        existing: What becomes of what is there with other content.
        problems: The first of what is wrong.
    """

    def __init__(self, session: Session, *, existing: str, dry_run: bool) -> None:
        """Import into the provider of a session.

        ``existing`` is ``refuse``, ``keep`` or ``replace``. With ``dry_run`` nothing is done.
        """
        self.problems: list[Problem] = []
        self._session = session
        self.existing = existing
        self._dry_run = dry_run
        self._reasons: dict[int, str] = {}

    def install(self, item: tuple[int, ServiceClass]) -> str:
        """Install a service class: ``installed``, ``there``, ``left`` or ``failed``."""
        line, wanted = item
        there = self._class(wanted)
        if there is not None:
            if are_alike(wanted, there):
                return "there"
            if self._dry_run:
                self._note(line, wanted.name, "different", _another(there))
            return "left"
        if not self._dry_run:
            try:
                self._session.install_service_class(wanted)
            except AlreadyExistsError:
                return "there"  # somebody else was faster
            except (InvalidArgumentError, OperationNotSupportedError) as error:
                return self._failed(line, error)
        return "installed"

    def register(self, item: tuple[int, Service]) -> str:
        """Register a service: ``registered``, ``replaced``, ``there``, ``left`` or ``failed``."""
        line, service = item
        there = self._there(service)
        if there is not None:
            differ = differences(service, there)
            if not differ:
                return "there"
            if self.existing != "replace":
                if self._dry_run and self.existing == "refuse":
                    self._note(line, service.name, "different", _other_content(differ))
                return "left"
        if not self._dry_run:
            try:
                self._session.set_service(service, ServiceOperation.REGISTER)
            except InvalidArgumentError as error:
                return self._failed(line, error)
        return "registered" if there is None else "replaced"

    def verify_class(self, item: tuple[int, ServiceClass]) -> str:
        """Look a service class up: ``right`` or ``wrong``."""
        line, wanted = item
        there = self._class(wanted)
        if there is None:
            return self._wrong(line, wanted.name, "missing", "it is not there")
        if not are_alike(wanted, there):
            return self._wrong(line, wanted.name, "different", _another(there))
        return "right"

    def verify(self, item: tuple[int, Service]) -> str:
        """Look a service up: ``right``, ``wrong``, ``left`` or ``lapsed``."""
        line, service = item
        there = self._there(service)
        if there is None:
            if service.ttl is not None and line not in self._reasons:
                return "lapsed"
            return self._wrong(line, service.name, "missing", "it is not there")
        differ = differences(service, there)
        if not differ:
            return "right"
        if self.existing == "keep":
            return "left"
        return self._wrong(line, service.name, "different", _other_content(differ))

    def _class(self, wanted: ServiceClass) -> ServiceClass | None:
        try:
            return self._session.service_class(wanted.id)
        except (TypeNotFoundError, NoDataError, OperationNotSupportedError):
            return None

    def _there(self, service: Service) -> Service | None:
        query = Query(
            service.name,
            service_class=service.service_type or service.service_class,
            context=service.context,
        )
        try:
            with self._session.lookup(query) as found:
                return next((one for one in found if is_same_instance(service, one)), None)
        except (ServiceNotFoundError, NoDataError):
            return None

    def _failed(self, line: int, error: InvalidArgumentError | OperationNotSupportedError) -> str:
        """Note why this one cannot be there, though others can."""
        if len(self._reasons) < _MOST:
            self._reasons[line] = error.message
        return "failed"

    def _wrong(self, line: int, name: str, problem: str, message: str) -> str:
        self._note(line, name, problem, self._reasons.get(line, message))
        return "wrong"

    def _note(self, line: int, name: str, problem: str, message: str) -> None:
        if len(self.problems) < _MOST:
            self.problems.append(Problem(line, name, problem, message))


def _another(there: ServiceClass) -> str:
    return (
        f"another service class has its GUID {there.id}, and is named '{there.name}'; one of the "
        "two has to be removed"
    )


def _other_content(fields: list[str]) -> str:
    return f"it is there with other content: {', '.join(fields)}; --replace overwrites it"


class Walk:
    """Goes through numbered lines, several at a time."""

    def __init__(self, heed: Callable[[], None], *, jobs: int, timeout: float) -> None:
        """Take what is the same for all lines.

        ``heed`` is called now and then, and raises to end it; ``timeout`` is for each line, in
        seconds.
        """
        self._heed = heed
        self._jobs = jobs
        self._timeout = timeout

    def through(
        self, lines: Iterable[tuple[int, T]], work: Callable[[tuple[int, T]], str]
    ) -> Iterator[tuple[int, str]]:
        """Yield the number of each line, in their order, and what ``work`` returns for it.

        Raises:
            OperationTimeoutError: It takes too long (WSAETIMEDOUT 10060).
            BaseException: What ``heed``, or ``work`` for the next line, has raised.
        """
        from concurrent.futures import ThreadPoolExecutor
        from itertools import islice

        pool = ThreadPoolExecutor(self._jobs, thread_name_prefix="nspkit-import")
        try:
            remaining = iter(lines)
            self._heed()
            while chunk := list(islice(remaining, _CHUNK)):
                futures = [pool.submit(work, item) for item in chunk]
                for (number, _), future in zip(chunk, futures, strict=True):
                    yield number, self._outcome(future, number)
                self._heed()
        finally:
            # Who is still at work after an error is not waited for: it may hang.
            pool.shutdown(wait=False, cancel_futures=True)

    def _outcome(self, future: Future[str], number: int) -> str:
        from concurrent.futures import wait

        ends = monotonic() + self._timeout
        while not future.done():
            left = ends - monotonic()
            if left <= 0:
                raise OperationTimeoutError(
                    f"the provider did not come back within {self._timeout:g} s at line {number}"
                )
            wait([future], timeout=min(left, _LOOK_AGAIN))
        return future.result()
