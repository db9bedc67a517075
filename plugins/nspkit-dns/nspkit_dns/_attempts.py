"""One question at one server: over UDP, TCP, TLS or HTTPS, without ever blocking."""

from __future__ import annotations

import errno
import os
import socket
import ssl
from typing import TYPE_CHECKING, Protocol

from nspkit.errors import NspError
from nspkit_dns._wait import READ, WRITE

if TYPE_CHECKING:
    import dns.message

    from nspkit_dns._servers import Server
    from nspkit_dns._wire import Ask, Plain

_LARGEST = 65535
_AT_ONCE = 64
_GOING_ON = (0, errno.EINPROGRESS, errno.EWOULDBLOCK, getattr(errno, "WSAEWOULDBLOCK", 0))


class Trouble(Exception):  # noqa: N818 - it is told to who asks the next server, and to nobody else
    """An attempt has failed; the text says why."""


class Attempt(Protocol):
    """An attempt that is under way."""

    server: Server
    ask: Ask
    socket: socket.socket
    event: int

    def advance(self) -> dns.message.Message | Plain | None:
        """Go on as far as it goes now; return the answer when it is there."""


class Udp:
    """A question over UDP, from a port of its own, which takes packets of that server only."""

    __slots__ = ("ask", "event", "packets", "server", "socket")

    def __init__(self, server: Server, ask: Ask) -> None:
        """Send it."""
        self.server = server
        self.ask = ask
        self.event = READ
        self.packets = 0
        self.socket = socket.socket(server.family, socket.SOCK_DGRAM)
        try:
            self.socket.setblocking(False)
            self.socket.connect(server.sockaddr)
            self.socket.send(ask.wire)
        except OSError as error:
            self.socket.close()
            raise Trouble(_said(error)) from error
        except BaseException:
            self.socket.close()
            raise

    def advance(self) -> dns.message.Message | Plain | None:
        """Take packets until one of them is the answer; others are passed over."""
        try:
            for _ in range(_AT_ONCE):
                message = self.ask.accept(self.socket.recv(_LARGEST))
                if message is not None:
                    return message
                self.packets += 1
        except NspError:  # which is an OSError
            raise
        except BlockingIOError:
            pass
        except OSError as error:
            raise Trouble(_said(error)) from error
        return None


class Framing(Protocol):
    """How messages lie in a stream."""

    def begin(self, wire: bytes) -> bytes:
        """Return what to send for a message."""

    def take(self, data: bytes) -> tuple[bytes, list[bytes]]:
        """Take what arrived; return what to send, and the messages that are complete."""


class Lengths:
    """Each message after its length (RFC 1035, section 4.2.2)."""

    __slots__ = ("_data",)

    def __init__(self) -> None:
        self._data = b""

    def begin(self, wire: bytes) -> bytes:
        """Return what to send for a message."""
        return len(wire).to_bytes(2, "big") + wire

    def take(self, data: bytes) -> tuple[bytes, list[bytes]]:
        """Take what arrived; return nothing to send, and the messages that are complete."""
        self._data += data
        complete = []
        while len(self._data) >= 2 and len(self._data) >= (
            end := 2 + int.from_bytes(self._data[:2], "big")
        ):
            complete.append(self._data[2:end])
            self._data = self._data[end:]
        return b"", complete


class Stream:
    """A question over a connection of its own."""

    __slots__ = (
        "_connected",
        "_context",
        "_framing",
        "_shaken",
        "_unsent",
        "ask",
        "event",
        "server",
        "socket",
    )

    def __init__(
        self, server: Server, ask: Ask, framing: Framing, context: ssl.SSLContext | None
    ) -> None:
        """Begin to connect."""
        self.server = server
        self.ask = ask
        self.event = WRITE
        self._framing = framing
        self._context = context
        self._connected = False
        self._shaken = context is None
        self._unsent = framing.begin(ask.wire)
        self.socket = socket.socket(server.family, socket.SOCK_STREAM)
        try:
            self.socket.setblocking(False)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            code = self.socket.connect_ex(server.sockaddr)
            if code not in _GOING_ON:
                raise Trouble(_said(OSError(code, os.strerror(code))))
        except OSError as error:
            self.socket.close()
            raise Trouble(_said(error)) from error
        except BaseException:
            self.socket.close()
            raise

    def advance(self) -> dns.message.Message | Plain | None:
        """Connect, shake hands, send and receive, as far as each goes now."""
        try:
            self._go_on()
            return self._receive()
        except NspError:  # which is an OSError
            raise
        except (ssl.SSLWantReadError, BlockingIOError):
            self.event = READ
        except ssl.SSLWantWriteError:
            self.event = WRITE
        except (OSError, ValueError) as error:  # ssl has its own ValueError for odd names
            raise Trouble(_said(error)) from error
        return None

    def _go_on(self) -> None:
        if not self._connected:
            code = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                raise OSError(code, os.strerror(code))
            self._connected = True
        if not self._shaken:
            self._shake_hands()
        self._send()

    def _shake_hands(self) -> None:
        if not isinstance(self.socket, ssl.SSLSocket):
            assert self._context is not None
            self.socket = self._context.wrap_socket(
                self.socket, do_handshake_on_connect=False, server_hostname=self.server.name
            )
        self.socket.do_handshake()
        self._shaken = True

    def _send(self) -> None:
        while self._unsent:
            try:
                sent = self.socket.send(self._unsent)
            except BlockingIOError:
                raise ssl.SSLWantWriteError from None
            self._unsent = self._unsent[sent:]
        self.event = READ

    def _receive(self) -> dns.message.Message | Plain | None:
        for _ in range(_AT_ONCE):
            data = self.socket.recv(_LARGEST)
            if not data:
                raise Trouble("it closed the connection without an answer")
            reply, complete = self._framing.take(data)
            for wire in complete:
                message = self.ask.accept(wire)
                if message is None:
                    raise Trouble("it sent what is no answer to the question")
                return message
            if reply:
                self._unsent += reply
                self._send()
        return None


def _said(error: BaseException) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate does not count: {error.verify_message}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error) or type(error).__name__
