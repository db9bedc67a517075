"""One question on its way: to one server after the other until one has answered."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

import dns.flags
import dns.message
import dns.rcode

from nspkit.errors import (
    ErrorCode,
    NspError,
    OperationTimeoutError,
    TryAgainError,
    error_for,
)
from nspkit_dns._attempts import Attempt, Lengths, Stream, Trouble, Udp
from nspkit_dns._wire import NOERROR, NXDOMAIN, Ask, Question, read, refers

if TYPE_CHECKING:
    import socket

    from nspkit_dns._routes import Route
    from nspkit_dns._servers import Server
    from nspkit_dns._wire import Answer, Plain

    Outcome = Answer | NspError

_MOST_OPEN = 8
"""So many attempts are waited for at the same time; for one more the oldest is given up."""
_NO_EDNS = (dns.rcode.FORMERR, dns.rcode.NOTIMP, dns.rcode.BADVERS)
_CODES = {
    dns.rcode.REFUSED: ErrorCode.WSAEREFUSED,
    dns.rcode.NOTAUTH: ErrorCode.WSAEREFUSED,
    dns.rcode.FORMERR: ErrorCode.WSANO_RECOVERY,
    dns.rcode.NOTIMP: ErrorCode.WSANO_RECOVERY,
}


class Flight:
    """A question that servers are being asked; whoever waits for the outcome works for it.

    Attributes:
        outcome: The answer, or why there is none; None as long as it is under way.
        waiters: Who waits.
        pilot: Who of them works for it just now; empty if nobody does. A dictionary, because to
            set one's own entry and to see who was first is one step for it.
        is_over: Whether it is of no use to others any more.
    """

    __slots__ = (
        "_attempts",
        "_deadline",
        "_edns",
        "_next",
        "_notes",
        "_turn",
        "is_over",
        "outcome",
        "pilot",
        "question",
        "route",
        "waiters",
    )

    def __init__(self, question: Question, route: Route) -> None:
        """Nothing is sent before somebody works for it."""
        self.question = question
        self.outcome: Outcome | None = None
        self.waiters: list[Any] = []
        self.pilot: dict[str, Any] = {}
        self.is_over = False
        self.route = route
        self._attempts: list[Attempt] = []
        self._notes: dict[Server, tuple[int, str]] = {}
        self._edns = route.edns
        self._turn = 0
        self._deadline = self._next = 0.0

    # -- by who works for it -------------------------------------------------------------------

    def go_on(self, numbers: set[int]) -> None:
        """Take what arrived at these sockets, and ask again where it is time to."""
        if not self.is_begun:
            now = monotonic()
            self._deadline = now + self.route.timeout
            self._ask_next(now)
            return
        for attempt in [one for one in self._attempts if one.socket.fileno() in numbers]:
            if self.outcome is None:
                self._advance(attempt)
        if self.outcome is None:
            self._keep_time(monotonic())

    @property
    def shown(self) -> str:
        """What is asked, as messages name it."""
        return str(self.question)

    @property
    def is_begun(self) -> bool:
        """Whether a server was asked."""
        return self._deadline > 0

    def watched(self) -> list[tuple[socket.socket, int]]:
        """Return the sockets to wait for, and what for."""
        return [(attempt.socket, attempt.event) for attempt in self._attempts]

    def due(self) -> float:
        """Return when to go on though nothing arrived."""
        return min(self._deadline, self._next)

    def close(self) -> None:
        """Close the sockets."""
        while True:
            try:
                attempt = self._attempts.pop()
            except IndexError:  # it may be another thread, too, that closes them
                return
            attempt.socket.close()

    def end(self, outcome: Outcome) -> None:
        """Set the outcome; nothing is waited for any more."""
        self.close()
        self.outcome = outcome

    def report(self) -> str:
        """Say what became of each server that was asked."""
        # Copies, because it may be another thread that works for it just now.
        attempts = list(self._attempts)
        asked = dict.fromkeys(attempt.server for attempt in attempts)
        notes = {server: text for server, (_, text) in dict(self._notes).items()}
        for attempt in attempts:
            packets = getattr(attempt, "packets", 0)
            silent = f"sent {packets} packets that are no answer" if packets else "does not answer"
            notes.setdefault(attempt.server, silent)
        return "; ".join(f"{server}: {notes[server]}" for server in {**asked, **notes})

    # -- the attempts --------------------------------------------------------------------------

    def _advance(self, attempt: Attempt) -> None:
        try:
            message = attempt.advance()
        except Trouble as trouble:
            self._failed(attempt.server, 0, str(trouble), attempt)
        except NspError as error:
            self.end(error)
        else:
            if message is not None:
                self._take(attempt, message)

    def _take(self, attempt: Attempt, message: dns.message.Message | Plain) -> None:
        code = message.rcode()
        server = attempt.server
        if message.flags & dns.flags.TC and isinstance(attempt, Udp):
            self._truncated(attempt)
        elif code == NOERROR and refers(message):
            text = "refers to other servers, and does not ask them itself"
            self._failed(server, 0, text, attempt)
        elif self.is_told(code):
            try:
                self.end(self._read(message))
            except NspError as error:
                self.end(error)
        elif code in _NO_EDNS and self._edns:
            self._edns = 0  # RFC 6891, section 7
            self._drop(attempt)
            self._ask(server)
        else:
            text = f"answers {dns.rcode.to_text(code)}"
            self._failed(server, _CODES.get(code, ErrorCode.WSATRY_AGAIN), text, attempt)

    def _truncated(self, attempt: Attempt) -> None:
        tcp = attempt.server._replace(transport="tcp")
        if tcp in self._notes:  # it is a server of its own too, and was asked already
            text = f"truncates its answer, and over TCP: {self._notes[tcp][1]}"
            self._failed(attempt.server, 0, text, attempt)
            return
        self._drop(attempt)
        self._ask(tcp)

    def is_told(self, code: int) -> bool:
        """Say whether an answer with this code is taken; else the next server is asked."""
        return code in (NOERROR, NXDOMAIN)

    def _read(self, message: dns.message.Message | Plain) -> Any:
        return read(message, self.question)

    def _ask_next(self, now: float) -> None:
        """Ask the server whose turn it is, of those that have not failed."""
        servers = self.route.servers
        for _ in range(len(servers)):
            server = servers[self._turn % len(servers)]
            self._turn += 1
            if server in self._notes or self._is_connected(server):
                continue
            self._next = now + self.route.retry
            self._ask(server)
            return
        self._next = now + self.route.retry

    def _is_connected(self, server: Server) -> bool:
        """Whether it is being asked in a way that sends again by itself."""
        return any(one.server == server and isinstance(one, Stream) for one in self._attempts)

    def _ask(self, server: Server) -> None:
        try:
            self._attempts.append(self._attempt(server))
        except Trouble as trouble:
            self._failed(server, 0, str(trouble))
            return
        if len(self._attempts) > _MOST_OPEN:
            self._attempts.pop(0).socket.close()

    def _attempt(self, server: Server) -> Attempt:
        ask = self._written()
        if server.transport == "udp":
            return Udp(server, ask)
        context = self.route.contexts.get(server.transport)
        if server.transport == "https":
            from nspkit_dns._https import Post

            return Stream(server, ask, Post(server), context)
        return Stream(server, ask, Lengths(), context)

    def _written(self) -> Ask:
        return Ask(self.question, self._edns, self.route.key)

    def _failed(self, server: Server, code: int, text: str, attempt: Attempt | None = None) -> None:
        """Note that a server has failed, and ask the next one at once, if there is one."""
        if attempt is not None:
            self._drop(attempt)
        if server.transport == "tcp" and server not in self.route.servers:
            server = server._replace(transport="udp")  # it was asked because of a truncation
        self._notes[server] = (code, text)
        self._ask_next(monotonic())
        if not self._attempts and self.outcome is None:
            self.end(self._failure())

    def _drop(self, attempt: Attempt) -> None:
        self._attempts.remove(attempt)
        attempt.socket.close()

    def _keep_time(self, now: float) -> None:
        if now >= self._deadline:
            self.end(
                OperationTimeoutError(
                    f"{self.shown} has no answer after {self.route.timeout:g} s: "
                    f"{self.report()}; see the settings nameservers, zones and timeout"
                )
            )
        elif now >= self._next:
            self._ask_next(now)

    def _failure(self) -> NspError:
        text = f"{self.shown} has no answer: {self.report()}"
        codes = [code for code, _ in self._notes.values() if code]
        if ErrorCode.WSATRY_AGAIN in codes or not codes:
            return TryAgainError(text)
        return error_for(codes[0], text)
