"""WSAStartup and WSACleanup, and which version of Winsock they agree upon."""

from __future__ import annotations

from typing import Any

from nspkit import __version__
from nspkit.errors import ErrorCode, InvalidArgumentError, NspError, set_last_error
from nspkit.winsock._answer import c_shaped, code_of, required
from nspkit.winsock._process import process

HIGHEST = 0x0202
"""Version 2.2: the minor number is in the high byte."""

_LEFT_OUT: Any = object()


class WsaData:
    """What `WSAStartup` tells about itself; `WSADATA` in Winsock.

    The application makes one and gives it to the call, which fills it in.

    Attributes:
        version: The version that was agreed upon, major number in the low byte.
        high_version: The highest version there is, 0x0202.
        description: What implements it.
        system_status: How it is.
        vendor_info: The application's own; it is not touched.
    """

    __slots__ = ("description", "high_version", "system_status", "vendor_info", "version")

    def __init__(self) -> None:
        """Make one that says nothing yet."""
        self.version = 0
        self.high_version = 0
        self.description = ""
        self.system_status = ""
        self.vendor_info: object = None

    def __repr__(self) -> str:
        return f"<WsaData: version {self.version & 0xFF}.{self.version >> 8}>"


def WSAStartup(version: int, data: WsaData | None = _LEFT_OUT) -> int:
    """Take a reference to the process-wide host; the first one makes it and starts no provider.

    What WSC… functions have done until then counts for the whole time until the last
    `WSACleanup`. A cleanup that another thread is just carrying out is waited for.

    Args:
        version: The version asked for, major number in the low byte: 0x0202 for 2.2. Lower minor
            numbers are agreed upon as they are, higher ones and majors become the highest there is.
        data: Is told which version was agreed upon. It may be left out.

    Returns:
        0, or the code itself: WSAVERNOTSUPPORTED (10092) for major number 0, WSAEFAULT (10014)
        if ``version`` or ``data`` is None, WSAEINVAL (10022) for no number, WSAEINPROGRESS (10036)
        from inside the last cleanup. The last error is then WSANOTINITIALISED (10093) if nothing
        is started, and else the code; after a success it is 0.
    """
    code = 0
    try:
        agreed = _negotiated(version, data)
        process.startup()
        if data is not _LEFT_OUT:
            _fill(data, agreed)
    except Exception as error:
        code = code_of(error)
    unstarted = code and process.period is None
    set_last_error(ErrorCode.WSANOTINITIALISED if unstarted else code)
    return code


@c_shaped
def WSACleanup() -> int:
    """Give a reference back; the last one stops every provider, for all threads.

    Queries that are open are ended; what was registered stays registered. A provider whose
    cleanup fails or hangs does not keep the others from theirs, nor this from returning 0: what it
    raised is logged (logger ``nspkit``).

    Returns:
        0, or -1: WSANOTINITIALISED (10093) without a `WSAStartup`, WSAEINPROGRESS (10036) for the
        last one if it comes from inside a provider.
    """
    process.cleanup()
    return 0


def _negotiated(version: int, data: WsaData | None) -> int:
    """Return the version to agree upon; the version is looked at before anything else."""
    number = required("version", version)
    if type(number) is not int or not 0 <= number <= 0xFFFF:
        raise InvalidArgumentError(f"version is {number!r}; give a number such as 0x0202 for 2.2")
    major, minor = number & 0xFF, number >> 8
    if major == 0:
        if isinstance(data, WsaData):
            _fill(data, HIGHEST)
        raise NspError(
            "there is no version 0 of Winsock; ask for 0x0202, version 2.2",
            code=ErrorCode.WSAVERNOTSUPPORTED,
        )
    if data is not _LEFT_OUT and not isinstance(required("data", data), WsaData):
        raise InvalidArgumentError(f"data is {data!r}; give a WsaData, or leave it out")
    return {1: 1 | min(minor, 1) << 8, 2: 2 | min(minor, 2) << 8}.get(major, HIGHEST)


def _fill(data: Any, agreed: int) -> None:
    data.version = agreed
    data.high_version = HIGHEST
    data.description = f"nspkit {__version__}"
    data.system_status = "running"
