"""Rules about starting and stopping."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from nspkit.errors import NotReadyError, NspError
from nspkit.testing._faults import MOST_POINTS, Lines, Points, code_of, start_with_fault
from nspkit.testing._probe import LONGEST, probe
from nspkit.testing._rule import broken, require, rule, rules_in, told
from nspkit.testing._unclosed import unheard

if TYPE_CHECKING:
    from nspkit.testing._case import Case

LOOKUP = "nsp_lookup_service"


@rule("lifecycle")
def starts_and_stops(case: Case) -> None:
    """A startup and a cleanup come back in their time, raise nothing and return nothing."""
    instance = case.instance()
    try:
        instance.start()
    except Exception as error:
        broken(
            f"nsp_startup with the settings {sorted(case.settings)} raised {told(error)}; mend "
            "it, or give the kit the settings that it needs",
            error,
        )
    try:
        instance.stop()
    except AssertionError:
        raise
    except Exception as error:
        broken(
            f"nsp_cleanup, or a release, raised {told(error)}; handle what may fail at the end: "
            "nobody can do anything about it any more",
            error,
        )


@rule("lifecycle")
def starts_again(case: Case) -> None:
    """After its final cleanup it can be started again, in the same host."""
    with case.open_host() as host:
        for turn in ("first", "second", "third"):
            try:
                case.startup(host).close()
            except NspError as error:
                broken(
                    f"the {turn} start in one process failed: {told(error)}; have each start make "
                    "anew what it needs, and each cleanup give it back",
                    error,
                )


@rule("lifecycle")
def two_hosts_at_once(case: Case) -> None:
    """It runs in two hosts at once, and the end of one is not the end of the other."""
    with case.session() as staying:
        with case.session() as going:
            if case.has(LOOKUP):
                case.find(going)
        if case.has(LOOKUP):
            try:
                case.find(staying)
            except NspError as error:
                broken(
                    f"when one host had stopped it, a lookup in the other failed: {told(error)}; "
                    "give back in nsp_cleanup only what this instance has acquired",
                    error,
                )


@rule("lifecycle")
def starts_during_a_cleanup(case: Case) -> None:
    """While one instance is inside its cleanup, another one can be started and stopped.

    Two hosts of a process clean up when they like. The kit starts another instance at each line
    of nsp_cleanup. Where it can, each looks up before, so that what a lookup opens is open.
    """

    def another() -> None:
        with case.running() as other:
            other.used()

    def start() -> None:
        try:
            case.within("a start during the cleanup of another instance", another)
        except Exception as error:
            broken(
                f"a start failed while another instance was in nsp_cleanup: {told(error)}; share "
                "no flag and no lock between instances",
                error,
            )

    name = case.implementations.get("nsp_cleanup", "")
    require(name, f"{case.name} has no nsp_cleanup; write one, if only to do nothing")
    turn, reached = 1, 1
    while turn <= min(reached, MOST_POINTS):
        instance = case.instance()
        instance.start()
        instance.used()
        method = getattr(instance.object, name)
        lines = Lines(code_of(method), turn, start)
        stop = partial(lines.run, partial(instance.call, "nsp_cleanup"))
        try:
            case.within("nsp_cleanup with a start inside", stop, times=2)
        finally:
            instance.give_back()
        turn, reached = turn + 1, lines.reached


@rule("lifecycle")
def starts_after_a_failure(case: Case) -> None:
    """A start that failed at any acquisition keeps no later start from success.

    The kit has each file, socket, thread and process of a startup fail in turn, and each step
    after something went into resources.
    """
    for turn in range(1, MOST_POINTS + 1):
        points = Points(turn)
        with unheard():
            start_with_fault(case, points)
        if not points.where:
            return
        try:
            with case.running():
                pass
        except Exception as error:
            broken(
                f"a start failed ({points.where}), and the next one too: {told(error)}; undo what "
                "a failing startup has done, best by putting it into resources at once",
                error,
            )


@rule("lifecycle")
def says_which_setting_is_missing(case: Case) -> None:
    """Without settings it starts, or raises NotReadyError (10091) before any I/O.

    The error says which setting is missing. An application may start without settings to learn what
    a provider needs: nothing is to be opened, asked or started for that. The kit looks at it in a
    fresh interpreter. An error of a back end that is away, with what showed that as its cause, may
    come after I/O.
    """
    instance = case.instance()
    try:
        instance.start({})
    except NotReadyError as error:
        instance.give_back()
        _nothing_was_done_before(error, case)
    except AssertionError:
        raise
    except Exception as error:
        instance.give_back()
        broken(
            f"nsp_startup without settings raised {told(error)}; raise NotReadyError, before any "
            "I/O, and name the setting",
            error,
        )
    else:
        instance.stop()


def _nothing_was_done_before(error: NotReadyError, case: Case) -> None:
    """Look whether a start that lacks a setting does nothing else first."""
    if not _is_about_a_setting(error, case):
        return
    # In a fresh interpreter: what is to hear of all I/O, Python never takes away again.
    done = probe(case.provider, max(LONGEST, case.patience), start=True).starting
    require(
        not done,
        f"nsp_startup without settings {'; '.join(done)}, and then raised {told(error)}; look at "
        "the settings before anything else; if it is the back end that is not there, raise "
        "NotReadyError from the error that showed it",
    )


def _is_about_a_setting(error: NotReadyError, case: Case) -> bool:
    """Whether the error tells of a missing setting, and not of a back end that is away."""
    because: BaseException | None = error
    while because is not None:
        if not isinstance(because, (NotReadyError, LookupError, TypeError, ValueError)):
            return False
        because = because.__cause__ or because.__context__
    words = ("setting", *case.settings)
    return any(word in error.message for word in words)


@rule("lifecycle")
def leaves_the_settings_alone(case: Case) -> None:
    """The mapping of settings is the application's: it is read, never changed."""
    settings = dict(case.settings)
    instance = case.instance()
    instance.case.within(
        "nsp_startup",
        lambda: instance.call("nsp_startup", settings=settings, resources=instance.resources),
    )
    instance.stop()
    changed = sorted(
        name
        for name in {*settings, *case.settings}
        if settings.get(name, ...) is not case.settings.get(name, ...)
    )
    require(not changed, f"a start changed the settings {changed}; copy them: dict(settings)")


RULES = rules_in(globals())
