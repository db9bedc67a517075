"""The settings that engines beyond one machine have in common."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any, NamedTuple

from nspkit.errors import InvalidArgumentError, NotReadyError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

_NAMES = (
    "endpoints",
    "prefix",
    "timeout",
    "user",
    "password",
    "tls",
    "ca_file",
    "cert_file",
    "key_file",
)
_FILES = ("ca_file", "cert_file", "key_file")
_LONGEST = 3600.0


class Endpoint(NamedTuple):
    """Where a server is.

    Attributes:
        host: Its name or address; an IPv6 address without brackets.
        port: Its port.
    """

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


class Secret(str):
    """A text that is not shown by its `repr`, so by none of what it is in.

    Settings, arguments and the variables in a traceback are shown so. As text it is what it is,
    since those who send it need that: what is made of it, by ``f"{secret}"`` say, is no secret
    any more.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "'…'"


class Settings(NamedTuple):
    """What an application set, checked.

    Attributes:
        endpoints: The servers, in the order in which they are tried.
        prefix: Below what everything is kept: parts of letters, digits and ``-_.``, joined by
            ``/``; without one at either end.
        timeout: How long a request may take, in seconds.
        user: The user to be, or None.
        password: The user's, or None.
        tls: Whether to speak TLS.
        ca_file: Whom to trust instead of the system's authorities, a file of PEM, or None.
        cert_file: The own certificate, a file of PEM, or None.
        key_file: Its key, if that is in a file of its own, or None.
        more: The settings of one engine alone, as they were given.
    """

    endpoints: tuple[Endpoint, ...]
    prefix: str
    timeout: float
    user: str | None
    password: Secret | None
    tls: bool
    ca_file: str | None
    cert_file: str | None
    key_file: str | None
    more: dict[str, Any]

    @property
    def shown(self) -> str:
        """The endpoints, for messages."""
        return ", ".join(map(str, self.endpoints))

    def ssl_context(self) -> ssl.SSLContext:
        """Make the context for TLS: names and certificates are verified.

        Raises:
            NotReadyError: A file is missing, or not what it should be (WSASYSNOTREADY 10091).
        """
        import ssl

        try:
            context = ssl.create_default_context(cafile=self.ca_file)
            if self.cert_file is not None:
                context.load_cert_chain(self.cert_file, self.key_file, _no_pass_phrase)
        except (OSError, ValueError) as error:
            files = ", ".join(file for file in self[-4:-1] if file is not None)
            raise NotReadyError(
                f"the certificates for TLS cannot be read ({files or 'of the system'}): {error}"
            ) from error
        return context


def _no_pass_phrase() -> str:
    # Else OpenSSL would ask for it at the terminal, and wait there.
    raise ValueError("the key has a pass phrase; give one that has none")


def settings_in(
    given: Mapping[str, Any], provider: str, *, port: int, more: tuple[str, ...] = ()
) -> Settings:
    """Return the settings, with the defaults for what is not given; nothing is read or opened.

    Args:
        given: What the application set.
        provider: The provider's short name, for messages.
        port: That of an endpoint that says none.
        more: The names of the settings that this engine has besides.

    Raises:
        NotReadyError: ``endpoints`` is missing (WSASYSNOTREADY 10091).
        InvalidArgumentError: One is unknown or not acceptable (WSAEINVAL 10022).
    """
    names = (*_NAMES, *more)
    unknown = sorted(map(repr, given.keys() - set(names)))
    if unknown:
        raise InvalidArgumentError(
            f"{provider} has no setting {', '.join(unknown)}; there are {', '.join(names)}"
        )
    if given.get("endpoints") is None:
        raise NotReadyError(
            f"{provider} has no setting 'endpoints', so there is no server to ask: give "
            f"'host:port', or a list of them, such as 'localhost:{port}'"
        )
    files = {name: _file(provider, name, given.get(name)) for name in _FILES}
    tls = given.get("tls", any(files.values()))
    if not isinstance(tls, bool):
        raise refused(provider, "tls", tls, "give true or false")
    if any(files.values()) and not tls:
        raise refused(provider, "tls", tls, "certificates are of use with it only; leave it out")
    if files["key_file"] and not files["cert_file"]:
        raise refused(provider, "key_file", files["key_file"], "give 'cert_file' too")
    user, password = _text(provider, "user", given), _text(provider, "password", given)
    return Settings(
        endpoints=_endpoints(provider, given["endpoints"], port),
        prefix=_prefix(provider, given.get("prefix", "nspkit")),
        timeout=seconds_in(provider, "timeout", given.get("timeout", 5.0), least=0.01),
        user=user,
        password=None if password is None else Secret(password),
        tls=tls,
        **files,
        more={name: given[name] for name in more if name in given},
    )


def seconds_in(provider: str, name: str, value: object, *, least: float) -> float:
    """Return a setting in seconds, at most an hour.

    Raises:
        InvalidArgumentError: It is something else, or less than ``least`` (WSAEINVAL 10022).
    """
    right = isinstance(value, int | float) and not isinstance(value, bool)
    if right and least <= value <= _LONGEST:  # type: ignore[operator]
        return float(value)  # type: ignore[arg-type]
    raise refused(provider, name, value, f"give seconds from {least:g} to {_LONGEST:g}")


def refused(provider: str, name: str, value: object, way_out: str) -> InvalidArgumentError:
    """Return the error for a setting that is not acceptable (WSAEINVAL 10022)."""
    return InvalidArgumentError(f"the setting {name!r} of {provider} is {value!r:.60}: {way_out}")


def _endpoints(provider: str, given: object, port: int) -> tuple[Endpoint, ...]:
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list | tuple) or not texts:
        # Not the value, here and below: a URL in it may hold a password.
        shown = "empty" if given in ("", [], ()) else type(given).__name__
        raise _no_endpoint(provider, shown, "give 'host:port', or a list of them")
    found = tuple(_endpoint(provider, text, port) for text in texts)
    return tuple(dict.fromkeys(found))


def _endpoint(provider: str, text: object, default: int) -> Endpoint:
    way_out = f"give 'host' or 'host:port', such as 'localhost:{default}' or '[::1]:{default}'"
    # No URL: a user and a password have settings of their own, which no message shows.
    if (
        not isinstance(text, str)
        or any(sign in text for sign in "/@ ,?#")
        or not text.isprintable()
    ):
        shown = "not of that form" if isinstance(text, str) else type(text).__name__
        raise _no_endpoint(provider, shown, way_out)
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        right = bool(bracket) and _is_ipv6(host) and (not rest or rest.startswith(":"))
        number = rest[1:] if rest else str(default)
    elif text.count(":") > 1:
        host, number, right = text, str(default), _is_ipv6(text)
    else:
        host, colon, number = text.partition(":")
        number, right = number if colon else str(default), True
    if not right or not host or not (number.isascii() and number.isdigit()):
        raise refused(provider, "endpoints", text, way_out)
    if len(number) > 5 or not 0 < int(number) < 65536:
        raise refused(provider, "endpoints", text, "a port is from 1 to 65535")
    return Endpoint(host, int(number))


def _no_endpoint(provider: str, shown: str, way_out: str) -> InvalidArgumentError:
    return InvalidArgumentError(f"the setting 'endpoints' of {provider} is {shown}: {way_out}")


def _is_ipv6(host: str) -> bool:
    try:
        socket.inet_pton(socket.AF_INET6, host.partition("%")[0])  # without its zone
    except (OSError, ValueError):
        return False
    return True


def _prefix(provider: str, given: object) -> str:
    way_out = "give parts of letters, digits and '-_.', joined by '/', such as 'nspkit/test'"
    parts = given.strip("/").split("/") if isinstance(given, str) else [""]
    for part in parts:
        allowed = part.isascii() and part.strip(".")
        if not allowed or not all(sign.isalnum() or sign in "-_." for sign in part):
            raise refused(provider, "prefix", given, way_out)
    return "/".join(parts)


def _text(provider: str, name: str, given: Mapping[str, Any]) -> str | None:
    value = given.get(name)
    if value is None or (isinstance(value, str) and value):
        return value
    raise InvalidArgumentError(f"the setting {name!r} of {provider} is no text: give a str")


def _file(provider: str, name: str, given: object) -> str | None:
    path = os.fspath(given) if isinstance(given, os.PathLike) else given
    if path is None or (isinstance(path, str) and path and "\0" not in path):
        return path
    raise refused(provider, name, given, "give the path of a file, as a str or an os.PathLike")
