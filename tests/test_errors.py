"""The tree of errors: codes, classes, text, copies, and the last error of a thread."""

from __future__ import annotations

import copy
import errno
import pickle
import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from nspkit import errors
from nspkit.errors import (
    CleanupError,
    CleanupTimeoutError,
    ConfigurationError,
    ErrorCode,
    InvalidArgumentError,
    InvalidProviderError,
    LookupFailedError,
    NotReadyError,
    NspError,
    OperationTimeoutError,
    ProviderError,
    error_for,
    get_last_error,
    set_last_error,
)

GUID = uuid.UUID("22059d40-7e9e-11cf-ae5a-00aa00a7112b")

# The table of Winsock's codes, written a second time and by number.
CODES = {
    6: "WSA_INVALID_HANDLE",
    8: "WSA_NOT_ENOUGH_MEMORY",
    50: "ERROR_NOT_SUPPORTED",
    87: "WSA_INVALID_PARAMETER",
    120: "ERROR_CALL_NOT_IMPLEMENTED",
    995: "WSA_OPERATION_ABORTED",
    996: "WSA_IO_INCOMPLETE",
    997: "WSA_IO_PENDING",
    10004: "WSAEINTR",
    10009: "WSAEBADF",
    10013: "WSAEACCES",
    10014: "WSAEFAULT",
    10022: "WSAEINVAL",
    10024: "WSAEMFILE",
    10035: "WSAEWOULDBLOCK",
    10036: "WSAEINPROGRESS",
    10037: "WSAEALREADY",
    10038: "WSAENOTSOCK",
    10039: "WSAEDESTADDRREQ",
    10040: "WSAEMSGSIZE",
    10041: "WSAEPROTOTYPE",
    10042: "WSAENOPROTOOPT",
    10043: "WSAEPROTONOSUPPORT",
    10044: "WSAESOCKTNOSUPPORT",
    10045: "WSAEOPNOTSUPP",
    10046: "WSAEPFNOSUPPORT",
    10047: "WSAEAFNOSUPPORT",
    10048: "WSAEADDRINUSE",
    10049: "WSAEADDRNOTAVAIL",
    10050: "WSAENETDOWN",
    10051: "WSAENETUNREACH",
    10052: "WSAENETRESET",
    10053: "WSAECONNABORTED",
    10054: "WSAECONNRESET",
    10055: "WSAENOBUFS",
    10056: "WSAEISCONN",
    10057: "WSAENOTCONN",
    10058: "WSAESHUTDOWN",
    10059: "WSAETOOMANYREFS",
    10060: "WSAETIMEDOUT",
    10061: "WSAECONNREFUSED",
    10062: "WSAELOOP",
    10063: "WSAENAMETOOLONG",
    10064: "WSAEHOSTDOWN",
    10065: "WSAEHOSTUNREACH",
    10066: "WSAENOTEMPTY",
    10067: "WSAEPROCLIM",
    10068: "WSAEUSERS",
    10069: "WSAEDQUOT",
    10070: "WSAESTALE",
    10071: "WSAEREMOTE",
    10091: "WSASYSNOTREADY",
    10092: "WSAVERNOTSUPPORTED",
    10093: "WSANOTINITIALISED",
    10101: "WSAEDISCON",
    10102: "WSAENOMORE",
    10103: "WSAECANCELLED",
    10104: "WSAEINVALIDPROCTABLE",
    10105: "WSAEINVALIDPROVIDER",
    10106: "WSAEPROVIDERFAILEDINIT",
    10107: "WSASYSCALLFAILURE",
    10108: "WSASERVICE_NOT_FOUND",
    10109: "WSATYPE_NOT_FOUND",
    10110: "WSA_E_NO_MORE",
    10111: "WSA_E_CANCELLED",
    10112: "WSAEREFUSED",
    11001: "WSAHOST_NOT_FOUND",
    11002: "WSATRY_AGAIN",
    11003: "WSANO_RECOVERY",
    11004: "WSANO_DATA",
    11501: "WSA_PNRP_CLOUD_NOT_FOUND",
    11502: "WSA_PNRP_CLOUD_DISABLED",
    11503: "WSA_PNRP_INVALID_IDENTITY",
    11504: "WSA_PNRP_TOO_MUCH_LOAD",
    11505: "WSA_PNRP_CLOUD_IS_SEARCH_ONLY",
    11506: "WSA_PNRP_CLIENT_INVALID_COMPARTMENT_ID",
    11508: "WSA_PNRP_DUPLICATE_PEER_NAME",
    11509: "WSA_PNRP_CLOUD_IS_DEAD",
}

# Class, code, the built-in base beside OSError, the POSIX number.
CLASSES = [
    ("AccessDeniedError", 10013, PermissionError, errno.EACCES),
    ("AlreadyExistsError", 10037, OSError, errno.EALREADY),
    ("AlreadyInstalledError", 11003, OSError, errno.EIO),
    ("CancelledError", 10111, OSError, errno.ECANCELED),
    ("CleanupTimeoutError", 10060, TimeoutError, errno.ETIMEDOUT),
    ("ConfigurationError", 10022, ValueError, errno.EINVAL),
    ("DuplicateProviderError", 10105, OSError, errno.EINVAL),
    ("InProgressError", 10036, OSError, errno.EINPROGRESS),
    ("InvalidArgumentError", 10022, ValueError, errno.EINVAL),
    ("InvalidHandleError", 6, OSError, errno.EBADF),
    ("InvalidProcedureTableError", 10104, OSError, errno.EINVAL),
    ("InvalidProviderError", 10022, LookupError, errno.EINVAL),
    ("NoDataError", 11004, LookupError, errno.ENOENT),
    ("NoMoreError", 10110, OSError, errno.ENOENT),
    ("NotInitialisedError", 10093, OSError, errno.ENOTCONN),
    ("NotReadyError", 10091, OSError, errno.EAGAIN),
    ("OperationNotSupportedError", 10045, NotImplementedError, errno.EOPNOTSUPP),
    ("OperationTimeoutError", 10060, TimeoutError, errno.ETIMEDOUT),
    ("OutOfMemoryError", 8, MemoryError, errno.ENOMEM),
    ("ProviderError", 10107, OSError, errno.EIO),
    ("ProviderLoadError", 10106, OSError, errno.EIO),
    ("ServiceNotFoundError", 10108, LookupError, errno.ENOENT),
    ("TooManyReferencesError", 10059, OSError, errno.ETOOMANYREFS),
    ("TryAgainError", 11002, OSError, errno.EAGAIN),
    ("TypeNotFoundError", 10109, LookupError, errno.ENOENT),
    ("VersionNotSupportedError", 10092, OSError, errno.EOPNOTSUPP),
]

# The codes that a class does not preset, or that give another class than the one that does.
OTHER_CLASSES = {
    50: "OperationNotSupportedError",
    87: "InvalidArgumentError",
    120: "OperationNotSupportedError",
    995: "CancelledError",
    10014: "NspError",
    10022: "InvalidArgumentError",
    10060: "OperationTimeoutError",
    10102: "NoMoreError",
    10103: "CancelledError",
    10105: "NspError",
    11001: "ServiceNotFoundError",
    11003: "NspError",
    12345: "NspError",
}


class DemandingError(Exception):
    """A foreign error that pickle writes and cannot read: its arguments are not kept."""

    def __init__(self, first: int, second: int) -> None:
        super().__init__(f"{first} is not {second}")


class OwnError(NotReadyError):
    """A provider's own class, whose constructor takes something else."""

    def __init__(self, server: str) -> None:
        super().__init__(f"{server} does not answer")
        self.server = server


# The codes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "name"), CODES.items())
def test_a_code_has_its_name_and_a_meaning(number: int, name: str) -> None:
    """The numbers are Winsock's, and each says in one line what it means."""
    code = ErrorCode(number)
    assert code.name == name
    assert code == number
    assert code.meaning
    assert "\n" not in code.meaning


def test_every_code_is_in_the_list_above() -> None:
    """A new code needs its row."""
    assert {int(code): code.name for code in ErrorCode} == CODES


def test_no_two_codes_mean_the_same() -> None:
    """A meaning that stands for two codes would not tell them apart."""
    meanings = [code.meaning for code in ErrorCode]
    assert len(set(meanings)) == len(meanings)


@pytest.mark.parametrize("code", [code for code in ErrorCode if 10000 < code < 10080])
def test_a_socket_code_has_the_posix_number_of_the_same_name(code: ErrorCode) -> None:
    """WSAEXXX is EXXX wherever the platform has it."""
    if code is not ErrorCode.WSAEPROCLIM:
        assert code.posix == getattr(errno, code.name.removeprefix("WSA"))


def test_a_platform_that_lacks_a_posix_number_sees_an_input_output_error(
    fresh_python: Callable[..., CompletedProcess[str]],
) -> None:
    """The missing name does not keep nspkit from being imported."""
    done = fresh_python(
        "import errno\ndel errno.EREMOTE\nfrom nspkit.errors import ErrorCode\n"
        "print(ErrorCode.WSAEREMOTE.posix == errno.EIO)"
    )
    assert done.stdout.strip() == "True"


def test_an_old_name_is_an_alias() -> None:
    """Winsock has two names for 11004."""
    assert ErrorCode.WSANO_ADDRESS is ErrorCode.WSANO_DATA


def test_a_code_survives_pickling() -> None:
    """It comes back as the member that it is."""
    assert pickle.loads(pickle.dumps(ErrorCode.WSAEINVAL)) is ErrorCode.WSAEINVAL


# The tree ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "number", "base", "posix"), CLASSES)
def test_a_class_has_its_code_and_its_bases(
    name: str, number: int, base: type[BaseException], posix: int
) -> None:
    """The same error is caught as nspkit's, as an OSError, and as what Python calls it."""
    error = getattr(errors, name)("what happened")
    assert isinstance(error, NspError)
    assert isinstance(error, OSError)
    assert isinstance(error, base)
    assert error.code is ErrorCode(number)
    assert error.errno == posix
    assert error.strerror == "what happened"
    assert str(number) in type(error).__doc__
    assert ErrorCode(number).name in type(error).__doc__


def test_every_class_is_in_the_list_above() -> None:
    """A new class needs its row."""
    named = {name for name in errors.__all__ if name.endswith("Error")}
    assert named == {row[0] for row in CLASSES} | {"CleanupError", "LookupFailedError", "NspError"}


@pytest.mark.parametrize("name", [row[0] for row in CLASSES])
def test_a_preset_code_can_be_overridden(name: str) -> None:
    """The old codes mean the same as the new ones and keep their number."""
    error = getattr(errors, name)("what happened", code=10103, guid=GUID)
    assert error.code is ErrorCode.WSAECANCELLED
    assert error.errno == errno.ECANCELED
    assert error.guid == GUID


def test_the_root_has_no_code_of_its_own() -> None:
    """An error without a code would be none of Winsock's."""
    with pytest.raises(TypeError, match="NspError needs code="):
        NspError("what happened")


def test_an_own_class_presets_its_code() -> None:
    """A provider makes a class of its own with one word."""

    class RefusedError(NspError, code=10112):
        pass

    class StrangeError(RefusedError, code=77):
        pass

    assert RefusedError("no").code is ErrorCode.WSAEREFUSED
    assert StrangeError("no").code == 77


def test_an_own_class_may_have_other_options() -> None:
    """They go to the other bases; an unknown one is refused as Python does it."""
    seen = []

    class Mixin:
        def __init_subclass__(cls, *, colour: str = "") -> None:
            seen.append(colour)

    type("OwnError", (NspError, Mixin), {}, code=10112, colour="red")
    assert seen == ["red"]
    with pytest.raises(TypeError):
        type("OwnError", (NspError,), {}, code=10112, colour="red")


# One error --------------------------------------------------------------------------------------


def test_an_error_tells_message_symbol_and_number() -> None:
    """What a person reads names the code too."""
    error = NotReadyError("server is missing: set it", guid=GUID)
    assert str(error) == "server is missing: set it [WSASYSNOTREADY 10091]"
    assert error.message == "server is missing: set it"
    assert error.symbol == "WSASYSNOTREADY"
    assert repr(error) == (
        "NotReadyError('server is missing: set it', code=10091, "
        "guid='22059d40-7e9e-11cf-ae5a-00aa00a7112b')"
    )


def test_an_unknown_number_is_kept() -> None:
    """A provider may have numbers of its own; POSIX code sees an input/output error."""
    error = NspError("odd", code=12345)
    assert error.code == 12345
    assert type(error.code) is int
    assert error.symbol == "WSA 12345"
    assert str(error) == "odd [WSA 12345]"
    assert repr(error) == "NspError('odd', code=12345)"
    assert error.errno == errno.EIO


@pytest.mark.parametrize("guid", [GUID, str(GUID), "{22059D40-7E9E-11CF-AE5A-00AA00A7112B}"])
def test_a_guid_may_be_a_string(guid: uuid.UUID | str) -> None:
    """As everywhere."""
    assert NotReadyError("x", guid=guid).guid == GUID


@pytest.mark.parametrize("guid", ["hosts", "x" * 500, 7, b"x"])
def test_a_guid_that_is_none_is_refused(guid: object) -> None:
    """The message shows the right form, and does not repeat a long wrong one."""
    with pytest.raises(InvalidArgumentError, match=r"guid= takes a uuid\.UUID .*, not ") as caught:
        NotReadyError("x", guid=guid)  # type: ignore[arg-type]
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize("code", [True, "10022", 10022.0])
def test_a_code_that_is_no_integer_is_refused(code: object) -> None:
    """True would be code 1."""
    with pytest.raises(InvalidArgumentError, match=type(code).__name__):
        NspError("x", code=code)  # type: ignore[arg-type]


def test_collected_errors_are_empty_at_first() -> None:
    """Whoever catches an error can read them without asking first."""
    assert NotReadyError("x").errors == ()
    assert NotReadyError("x").rollback_errors == ()


def test_any_error_may_be_made_of_others() -> None:
    """Its class says what happened, and the others survive pickling with it."""
    error = NotReadyError("x")
    error.errors = (ProviderError("one"), NotReadyError("two"))
    twin = pickle.loads(pickle.dumps(error))
    assert [(type(one), one.message) for one in twin.errors] == [
        (ProviderError, "one"),
        (NotReadyError, "two"),
    ]


def test_a_configuration_error_tells_the_place() -> None:
    """File, line and key come first, as a compiler writes them."""
    error = ConfigurationError("no such provider", file=Path("nspkit.toml"), line=3, key="order")
    assert error.message == "nspkit.toml, line 3, key 'order': no such provider"
    assert (error.file, error.line, error.key) == ("nspkit.toml", 3, "order")


def test_a_configuration_error_without_a_place_is_its_message() -> None:
    """No empty place is put before it."""
    error = ConfigurationError("no such provider")
    assert error.message == "no such provider"
    assert (error.file, error.line, error.key) == (None, None, None)


def test_a_cleanup_timeout_shows_where_it_hangs() -> None:
    """The stack is in the attribute and, as a note, in a traceback."""
    error = CleanupTimeoutError("hosts hangs", stack='File "x.py", line 1')
    assert error.stack == 'File "x.py", line 1'
    assert error.__notes__ == ['it hangs at:\nFile "x.py", line 1']


def test_a_cleanup_timeout_without_a_stack_has_no_note() -> None:
    """An empty note would be noise."""
    error = CleanupTimeoutError("hosts hangs")
    assert error.stack == ""
    assert not hasattr(error, "__notes__")


def test_a_cleanup_error_has_the_code_of_its_first_error() -> None:
    """The first is what began it; all are kept, in order."""
    first, second = NotReadyError("one"), OperationTimeoutError("two")
    error = CleanupError("cleanup of hosts", errors=[first, second])
    assert error.errors == (first, second)
    assert error.code == 10091


def test_a_cleanup_error_that_began_with_a_foreign_error_is_a_failure() -> None:
    """What has no code is 10107, whatever came after it."""
    error = CleanupError("cleanup of hosts", errors=[KeyError("x"), NotReadyError("two")])
    assert error.code == 10107


def test_a_failed_lookup_has_the_code_of_its_last_error() -> None:
    """The last in catalog order, as in Winsock; it is a LookupError."""
    error = LookupFailedError("x", errors=[NotReadyError("one"), OperationTimeoutError("two")])
    assert error.code == 10060
    assert [type(each) for each in error.errors] == [NotReadyError, OperationTimeoutError]
    assert isinstance(error, LookupError)


@pytest.mark.parametrize("cls", [CleanupError, LookupFailedError])
def test_a_collecting_error_takes_a_code(cls: type[CleanupError]) -> None:
    """What is given counts, and without anything it is a failure."""
    assert cls("x", errors=[NotReadyError("one")], code=10111, guid=GUID).code == 10111
    assert cls("x").code == 10107
    assert cls("x").errors == ()


# The class of a code ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "name"),
    {**{row[1]: row[0] for row in CLASSES}, **OTHER_CLASSES}.items(),
)
def test_a_code_gives_the_error_of_its_class(number: int, name: str) -> None:
    """The class is what the caller treats alike; the number stays the one that came."""
    error = error_for(number, "what happened", guid=GUID)
    assert type(error) is getattr(errors, name)
    assert error.code == number
    assert error.guid == GUID
    assert error.message == "what happened"


@pytest.mark.parametrize("code", [True, "10022", None])
def test_what_is_no_code_has_no_class(code: object) -> None:
    """A hook that returns True does not become error 1."""
    with pytest.raises(InvalidArgumentError, match="a code is a Winsock number"):
        error_for(code, "x")  # type: ignore[arg-type]


# Pickling and copying ---------------------------------------------------------------------------


def every_error() -> list[NspError]:
    """One of each class, with all that it can carry."""
    made = [getattr(errors, row[0])("what happened", code=10103, guid=GUID) for row in CLASSES]
    made += [
        NspError("odd", code=12345),
        ConfigurationError("bad", file="a.toml", line=1, key="b"),
        CleanupTimeoutError("hangs", stack="here"),
        CleanupError("cleanup", errors=[KeyError("x"), NotReadyError("one")]),
        LookupFailedError("lookup", errors=[NotReadyError("one")]),
        OwnError("ns1"),
    ]
    for error in made:
        error.add_note("a note")
        error.rollback_errors = (OSError(1, "one"),)
    return made


def facts(error: BaseException) -> object:
    """Everything that a copy has to have too; errors by their class and text."""
    held = {
        name: [(type(each), str(each)) for each in value] if "errors" in name else value
        for name, value in vars(error).items()
    }
    return type(error), error.args, str(error), getattr(error, "errno", None), held


@pytest.mark.parametrize("error", every_error(), ids=lambda error: type(error).__name__)
@pytest.mark.parametrize(
    "duplicate", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy, copy.deepcopy]
)
def test_an_error_survives_pickling_and_copying(error: NspError, duplicate: object) -> None:
    """Class, code, GUID, notes and collected errors; also of a class with its own constructor."""
    twin = duplicate(error)  # type: ignore[operator]
    assert twin is not error
    assert facts(twin) == facts(error)


def test_a_note_on_a_copy_is_not_on_the_original() -> None:
    """Two waiters that share an outcome each add their own."""
    error = NotReadyError("x")
    error.add_note("both")
    twin = copy.copy(error)
    twin.add_note("one")
    assert error.__notes__ == ["both"]


def test_a_copy_keeps_collected_errors_as_they_are() -> None:
    """Only pickling, which may not be able to, puts text in their place."""
    foreign = DemandingError(1, 2)
    assert copy.copy(CleanupError("x", errors=[foreign])).errors == (foreign,)


@pytest.mark.parametrize("name", ["errors", "rollback_errors"])
def test_an_error_that_cannot_be_pickled_is_replaced_by_its_text(name: str) -> None:
    """A foreign class must not keep the whole error from another process."""
    foreign = DemandingError(1, 2)
    foreign.add_note("of the second step")
    locked = NotReadyError("two")
    locked.lock = threading.Lock()  # type: ignore[attr-defined]
    error = CleanupError("x")
    setattr(error, name, (foreign, NotReadyError("one"), locked))
    first, second, third = getattr(pickle.loads(pickle.dumps(error)), name)
    assert type(first) is ProviderError
    assert first.message.endswith("DemandingError: 1 is not 2")
    assert first.__notes__ == ["of the second step"]
    assert type(second) is NotReadyError
    assert third.message == "nspkit.errors.NotReadyError: two [WSASYSNOTREADY 10091]"


def test_the_public_module_is_where_the_root_says_that_it_is() -> None:
    """A traceback, and a pickle, names what a reader can import."""
    for cls in (NspError, InvalidArgumentError, ProviderError, ErrorCode):
        assert cls.__module__ == "nspkit.errors"
        assert getattr(errors, cls.__name__) is cls


def test_an_invalid_provider_is_found_under_all_its_names() -> None:
    """A bad argument, a failed search, an operating system's error."""
    for cls in (InvalidArgumentError, ValueError, LookupError, OSError):
        with pytest.raises(cls):
            raise InvalidProviderError("x")


# The last error of a thread ---------------------------------------------------------------------


def test_the_last_error_belongs_to_its_thread() -> None:
    """It is 0 in a new thread, and what is set there is not seen here."""
    set_last_error(10022)
    seen = []

    def other() -> None:
        seen.append(get_last_error())
        set_last_error(ErrorCode.WSAEREFUSED)
        seen.append(get_last_error())

    thread = threading.Thread(target=other)
    thread.start()
    thread.join(30)
    assert seen == [0, 10112]
    assert get_last_error() == 10022
    set_last_error(0)
    assert get_last_error() == 0


def test_the_last_error_is_a_plain_number() -> None:
    """Also when a member is set."""
    set_last_error(ErrorCode.WSAEINVAL)
    assert type(get_last_error()) is int
    set_last_error(0)


@pytest.mark.parametrize("code", [True, None, "6"])
def test_a_last_error_that_is_no_integer_is_refused(code: object) -> None:
    """And the one before stays."""
    set_last_error(7)
    with pytest.raises(InvalidArgumentError):
        set_last_error(code)  # type: ignore[arg-type]
    assert get_last_error() == 7
    set_last_error(0)
