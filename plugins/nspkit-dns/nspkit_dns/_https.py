"""DNS over HTTPS (RFC 8484): a message as the body of a POST, in HTTP/2."""

from __future__ import annotations

from typing import TYPE_CHECKING

import h2.config
import h2.connection
import h2.events
import h2.exceptions

from nspkit_dns._attempts import Trouble

if TYPE_CHECKING:
    from nspkit_dns._servers import Server

_LARGEST = 65535
_MEDIA_TYPE = "application/dns-message"


class Post:
    """The frames of one request and its answer; input and output are the stream's."""

    __slots__ = ("_body", "_connection", "_server")

    def __init__(self, server: Server) -> None:
        """Nothing is sent yet."""
        self._server = server
        self._body = b""
        # What a header looks like is the server's business; the body is what is checked.
        configuration = h2.config.H2Configuration(client_side=True, header_encoding="latin-1")
        self._connection = h2.connection.H2Connection(configuration)

    def begin(self, wire: bytes) -> bytes:
        """Return the request."""
        connection = self._connection
        connection.initiate_connection()
        stream = connection.get_next_available_stream_id()
        host = self._server.name
        connection.send_headers(
            stream,
            [
                (":method", "POST"),
                (":scheme", "https"),
                (":authority", f"[{host}]" if ":" in host else host),
                (":path", self._server.path),
                ("accept", _MEDIA_TYPE),
                ("content-type", _MEDIA_TYPE),
                ("content-length", str(len(wire))),
            ],
        )
        connection.send_data(stream, wire, end_stream=True)
        return bytes(connection.data_to_send())

    def take(self, data: bytes) -> tuple[bytes, list[bytes]]:
        """Take what arrived; return what to send, and the message when it is complete."""
        complete: list[bytes] = []
        try:
            for event in self._connection.receive_data(data):
                if isinstance(event, h2.events.ResponseReceived):
                    self._check({str(key): str(value) for key, value in event.headers})
                elif isinstance(event, h2.events.DataReceived):
                    self._body += event.data
                    if len(self._body) > _LARGEST:
                        raise Trouble("its answer is longer than a message can be")
                    length = event.flow_controlled_length
                    self._connection.acknowledge_received_data(length, event.stream_id)
                elif isinstance(event, h2.events.StreamEnded):
                    complete.append(self._body)
                elif isinstance(event, h2.events.StreamReset | h2.events.ConnectionTerminated):
                    raise Trouble("it ended the request without an answer")
        except h2.exceptions.H2Error as error:
            raise Trouble(f"it does not speak HTTP/2 as it should: {error}") from error
        return bytes(self._connection.data_to_send()), complete

    @staticmethod
    def _check(headers: dict[str, str]) -> None:
        status = headers.get(":status", "")
        if status != "200":
            raise Trouble(f"it answers with the HTTP status {status!r:.20}")
        media = headers.get("content-type", "").partition(";")[0].strip().lower()
        if media != _MEDIA_TYPE:
            raise Trouble(f"it answers with {media!r:.60}, which is no DNS message")
