"""The settings of engines beyond one machine."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nspkit.errors import InvalidArgumentError, NotReadyError
from nspkit.registry import Endpoint, settings_in


def read(**given: Any) -> Any:
    """The settings of an engine that has one more."""
    return settings_in({"endpoints": "a", **given}, "shelf", port=4711, more=("depth",))


def test_the_defaults_are_what_is_not_said() -> None:
    """A prefix, a time-out, no TLS, nobody."""
    assert read()[:-1] == ((Endpoint("a", 4711),), "nspkit", 5.0, *[None] * 2, False, *[None] * 3)
    assert read(depth=3).more == {"depth": 3}


@pytest.mark.parametrize(
    ("given", "right"),
    [
        ("a:1", [("a", 1)]),
        (["a", "b:2", "a"], [("a", 4711), ("b", 2)]),
        (("127.0.0.1:65535",), [("127.0.0.1", 65535)]),
        ("[::1]:5", [("::1", 5)]),
        ("[::1]", [("::1", 4711)]),
        ("fe80::1", [("fe80::1", 4711)]),
        ("[fe80::1%eth0]:5", [("fe80::1%eth0", 5)]),
    ],
)
def test_endpoints_are_read(given: Any, right: Any) -> None:
    """Each once, in their order."""
    found = read(endpoints=given)
    assert found.endpoints == tuple(right)
    assert found.shown.startswith("[") is ("::" in found.shown)


@pytest.mark.parametrize(
    "given",
    [
        "", [], ["a", ""], 7, [7], "a:", "a:x", "a:0", "a:65536", "a:" + "9" * 9999, ":1", "[::1",
        "[::1]5", "[a]:5", "https://a:1", "user:secret@a", "a b", "a,b", "a\n", "a:1:2", "[a:b]",
        "a:0000199999", "a:00001" + "9" * 9999, {"http://user:secret@a": 1}, [["user:secret@a"]],
    ],
)  # fmt: skip
def test_other_endpoints_are_refused(given: Any) -> None:
    """With the form that is right, and without what may be a password (WSAEINVAL)."""
    with pytest.raises(InvalidArgumentError, match="'endpoints' of shelf") as caught:
        read(endpoints=given)
    assert "secret" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_without_endpoints_it_is_not_ready() -> None:
    """WSASYSNOTREADY, so that who asks everybody passes it over."""
    with pytest.raises(NotReadyError, match=r"no setting 'endpoints'.*'localhost:4711'"):
        settings_in({}, "shelf", port=4711)


def test_an_unknown_setting_is_refused(tmp_path: Path) -> None:
    """With those that there are (WSAEINVAL)."""
    with pytest.raises(InvalidArgumentError, match=r"shelf has no setting 'depht'; .*, depth"):
        read(depht=1)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("prefix", ""), ("prefix", "/"), ("prefix", "a//b"), ("prefix", "a/../b"), ("prefix", 1),
        ("prefix", "ü"), ("prefix", "a b"), ("timeout", 0), ("timeout", "1"), ("timeout", True),
        ("timeout", float("nan")), ("timeout", 3601), ("tls", 1), ("ca_file", 1), ("ca_file", ""),
        ("key_file", "k"), ("user", ""), ("user", 1), ("password", b"secret"),
    ],
)  # fmt: skip
def test_other_values_are_refused(name: str, value: Any) -> None:
    """By the name of the setting (WSAEINVAL)."""
    with pytest.raises(InvalidArgumentError, match=f"setting '{name}' of shelf") as caught:
        read(**{name: value})
    assert "secret" not in str(caught.value)


def test_a_prefix_has_no_ends() -> None:
    """Of slashes."""
    assert read(prefix="/a/b.c_d-1/").prefix == "a/b.c_d-1"


def test_a_password_is_not_shown() -> None:
    """Wherever the settings are."""
    found = read(user="me", password="secret")
    assert "secret" not in repr(found)
    assert found.password == "secret"


def test_a_key_with_a_pass_phrase_is_refused(tmp_path: Path, program: Callable[[str], str]) -> None:
    """At once: nobody is asked for it, at whatever terminal there is (WSASYSNOTREADY)."""
    subprocess.run(
        [
            program("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt",
            "ec_paramgen_curve:prime256v1", "-passout", "pass:secret", "-subj", "/CN=a",
            "-keyout", tmp_path / "key", "-out", tmp_path / "cert",
        ],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    found = read(cert_file=tmp_path / "cert", key_file=tmp_path / "key")
    with pytest.raises(NotReadyError, match=r"key.*pass phrase"):
        found.ssl_context()


def test_certificates_mean_tls(tmp_path: Path) -> None:
    """Where it is not said; and without it they are a mistake."""
    assert read(ca_file=tmp_path / "ca").tls
    with pytest.raises(InvalidArgumentError, match="with it only"):
        read(ca_file="ca", tls=False)


def test_a_context_verifies(tmp_path: Path) -> None:
    """By the system's authorities, or the given; a file that is none is told (WSASYSNOTREADY)."""
    context = read(tls=True).ssl_context()
    assert context.check_hostname
    assert context.verify_mode == ssl.CERT_REQUIRED
    with pytest.raises(NotReadyError, match=r"cannot be read .*/ca\)"):
        read(ca_file=tmp_path / "ca").ssl_context()
    bad = tmp_path / "bad"
    bad.write_text("no certificate")
    with pytest.raises(NotReadyError, match="bad"):
        read(cert_file=bad).ssl_context()
