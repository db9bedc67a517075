"""Names: from text, and those that are not looked up in the DNS."""

from __future__ import annotations

import struct

import dns.exception
import dns.name

from nspkit.errors import InvalidArgumentError, ServiceNotFoundError

_NOT_OURS = tuple(
    tuple(label.encode() for label in name.split("."))
    for name in (
        "local",  # RFC 6762: multicast DNS
        "localhost",  # RFC 6761: this machine
        "invalid",  # RFC 6761: nobody
        "onion",  # RFC 7686: Tor
        # RFC 6762, section 4: link-local addresses are named by multicast DNS too.
        "254.169.in-addr.arpa",
        *(f"{digit}.e.f.ip6.arpa" for digit in "89ab"),
    )
)


def name_in(text: str, *, idna: bool = True, relative: bool = False) -> dns.name.Name:
    r"""Return the name that a text means: labels with dots between them, ``\.`` within one.

    Labels that are not ASCII are encoded as IDNA 2003, or stay UTF-8 without ``idna``. With
    ``relative`` it is absolute only if the text ends with a dot.

    Raises:
        InvalidArgumentError: It is no name (WSAEINVAL 10022).
    """
    try:
        if text.isascii():
            name = dns.name.from_text(text, None)
        elif idna:
            name = dns.name.from_unicode(text, None)
        else:
            name = dns.name.from_text(_escaped(text), None)
        absolute = name if name.is_absolute() else name.concatenate(dns.name.root)
    except (dns.exception.DNSException, ValueError, struct.error) as error:  # of older releases
        cause = str(error) or type(error).__name__
        raise InvalidArgumentError(
            f"{text!r:.80} is no name of the DNS ({cause:.120}): give labels of 1 to 63 bytes (in "
            "IDNA, where they are not ASCII) with dots between them, 253 bytes at most"
        ) from error
    return name if relative else absolute


def _escaped(text: str) -> str:
    return "".join(
        one if one.isascii() else "".join(f"\\{byte:03}" for byte in one.encode()) for one in text
    )


def text_of(name: dns.name.Name) -> str:
    """Return a name as text, without the last dot."""
    return name.to_text(omit_final_dot=True)


def refuse_others(name: dns.name.Name) -> None:
    """Refuse a name that is not looked up in the DNS, whatever the name servers would say.

    Raises:
        ServiceNotFoundError: It is one (WSASERVICE_NOT_FOUND 10108).
    """
    if not is_ours(name):
        raise ServiceNotFoundError(
            f"'{text_of(name)}' is not looked up in the DNS (RFC 6761, RFC 6762); names of "
            "multicast DNS, of this machine and invalid ones are left to others"
        )


def is_ours(name: dns.name.Name) -> bool:
    """Say whether an absolute name is looked up in the DNS."""
    labels = tuple(label.lower() for label in name.labels[:-1])
    return not any(labels[-len(suffix) :] == suffix for suffix in _NOT_OURS)


def candidates(
    text: str, search: tuple[dns.name.Name, ...], ndots: int, *, idna: bool = True
) -> list[dns.name.Name]:
    """Return the names that a text may mean, in the order in which they are tried (resolv.conf).

    Raises:
        InvalidArgumentError: The text is no name (WSAEINVAL 10022).
        ServiceNotFoundError: It is one that is not looked up in the DNS (10108).
    """
    name = name_in(text, idna=idna, relative=True)
    if name.is_absolute():
        refuse_others(name)
        return [name]
    whole = name.concatenate(dns.name.root)
    refuse_others(whole)
    longer = []
    for domain in search:
        try:
            one = name.concatenate(domain)
        except dns.name.NameTooLong:
            continue
        if is_ours(one):
            longer.append(one)
    return [whole, *longer] if len(name.labels) > ndots else [*longer, whole]
