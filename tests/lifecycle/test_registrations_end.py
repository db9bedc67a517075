"""Registrations that an interrupt strikes: whatever it hits, nothing stays at the back end.

How they begin, are renewed and end without one is in ``tests/registrations``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from nspkit import Host, Registration, Service, ServiceOperation
from nspkit.errors import NspError

HOOKS = ("nsp_startup", "nsp_cleanup", "nsp_set_service")


class Subject:
    """A host, what its back end has, and the registration if there is one."""

    def __init__(self, stage: Any) -> None:
        self.there: set[str] = set()
        self.probe = stage.probe(hooks=HOOKS)
        self.probe.set_service = self._set
        self.host: Host = stage.host(self.probe)
        self.registration: Registration | None = None

    def _set(self, call: Any) -> None:
        if call.operation is ServiceOperation.REGISTER:
            self.there.add(call.service.name)
        else:
            self.there.discard(call.service.name)

    def register(self, **options: Any) -> None:
        """Begin."""
        self.registration = self.host.register(Service("web"), **options)

    def end(self, stage: Any) -> None:
        """Close the host, and let it go: who asks for a chain of calls looks at all that live."""
        self.host.close()
        stage.hosts.remove(self.host)
        assert not self.there
        assert not [one for one in threading.enumerate() if one.name == "nspkit-renewals"]


WAYS = pytest.mark.parametrize(
    "options",
    [{"provider": "alpha"}, {"provider": "alpha", "ttl": 300}, {"ttl": 300}],
    ids=["directed", "renewed", "everywhere"],
)


@WAYS
def test_a_begin_that_is_struck_anywhere_leaves_nothing(
    stage: Any, at_every_point: Callable[..., int], until: Any, options: dict[str, Any]
) -> None:
    """Nobody has the registration, so nobody could end it: who began it does, or the next one."""

    def check(subject: Subject, where: str) -> None:
        if subject.registration is not None:
            subject.registration.close()
        subject.host.references("alpha")  # the next operation does what was left
        until(lambda: not subject.there)
        subject.end(stage)

    points = at_every_point(
        lambda: Subject(stage), lambda subject: subject.register(**options), check
    )
    assert points > 20


@WAYS
def test_an_end_that_is_struck_anywhere_can_be_done_again(
    stage: Any, at_every_point: Callable[..., int], options: dict[str, Any]
) -> None:
    """The second close finds what the first has left."""

    def prepare() -> Subject:
        subject = Subject(stage)
        subject.register(**options)
        return subject

    def check(subject: Subject, where: str) -> None:
        assert subject.registration is not None
        subject.registration.close()
        assert not subject.there, where
        assert subject.registration.state == "released", where
        subject.end(stage)

    points = at_every_point(prepare, lambda subject: subject.registration.close(), check)
    assert points > 10


@WAYS
def test_a_signal_handler_may_close_it_anywhere(
    stage: Any, at_every_point: Callable[..., int], until: Any, options: dict[str, Any]
) -> None:
    """In the middle of another call of the host too: then it is queued."""

    def prepare() -> Subject:
        subject = Subject(stage)
        subject.register(**options)
        return subject

    def operate(subject: Subject) -> None:
        subject.host.register(Service("other"), **options).close()

    def strike(subject: Subject) -> None:
        assert subject.registration is not None
        subject.registration.close()

    def check(subject: Subject, where: str) -> None:
        subject.host.references("alpha")
        assert subject.registration is not None
        if "web" in subject.there:  # it was not struck at all
            subject.registration.close()
        until(lambda: not subject.there)
        assert subject.registration.state == "released", where
        subject.end(stage)

    at_every_point(prepare, operate, check, action=strike, swallow=(NspError,))
