"""A program for a fresh interpreter: imports a provider's module and tells what that did.

It can start the provider without settings too, and tell what came before it said which is missing.

It is run by its path, not imported: all that it imports would hide what the provider imports.
"""

from __future__ import annotations

import _thread
import atexit
import faulthandler
import importlib
import importlib.util
import json
import os
import sys
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any

_OPENING = {
    "open": "opened",
    "socket.__new__": "made a socket",
    "socket.connect": "connected",
    "socket.bind": "bound a socket",
    "socket.getaddrinfo": "asked the resolver",
    "socket.gethostbyname": "asked the resolver",
    "sqlite3.connect": "opened a database",
    "subprocess.Popen": "started a process",
    "os.fork": "forked",
    "os.posix_spawn": "started a process",
    "os.system": "started a process",
    "os.mkdir": "made a folder",
    "os.remove": "removed a file",
    "os.rename": "renamed a file",
    "os.listdir": "listed a folder",
    "signal.signal": "handled a signal",
}
_IMPORTING = ("<frozen importlib", "<frozen zipimport")
_STANDARD = os.path.dirname(os.__file__)  # noqa: PTH120  # pathlib is what others import


class _Watch:
    """What happens while it is on."""

    def __init__(self) -> None:
        self.happened: list[str] = []
        self.on = False
        self.imports_are_free = False
        sys.addaudithook(self._audit)
        self._wrap(atexit, "register", "called atexit.register")
        self._wrap(os, "register_at_fork", "called os.register_at_fork")
        # Not every Python that is supported has an event for it.
        self._wrap(threading.Thread, "start", "started a thread")
        self._wrap(_thread, "start_new_thread", "started a thread")

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.on and event in _OPENING:
            what = f"{_OPENING[event]} {arguments[0]!r:.80}" if event == "open" else _OPENING[event]
            self._note(what, sys._getframe(1))

    def _wrap(self, holder: Any, name: str, what: str) -> None:
        original = getattr(holder, name, None)
        if original is None:
            return

        def call(*args: Any, **kwargs: Any) -> Any:
            if self.on:
                self._note(what, sys._getframe(1))
            return original(*args, **kwargs)

        setattr(holder, name, call)

    def _note(self, what: str, frame: FrameType | None) -> None:
        place = ""
        # What importing itself opens is no matter, nor what the standard library does for itself.
        while frame is not None and frame.f_code.co_filename != __file__:
            name, file = frame.f_code.co_name, frame.f_code.co_filename
            if file.startswith(_IMPORTING):
                if self.imports_are_free or not place:
                    return
            elif file.endswith("linecache.py"):
                return  # a warning shows the line that it is about
            elif not file.startswith(_STANDARD) or "-packages" in file:
                place = place or f" at {file}:{frame.f_lineno}"
            elif name == "<module>" and not place:
                return
            frame = frame.f_back
        self.happened.append(what + place)


def reached(wanted: dict[str, Any]) -> Any:
    """Import the module by its name, or from its file where only that is known."""
    module = None
    try:
        spec = importlib.util.find_spec(wanted["module"])
    except (ImportError, ValueError):
        spec = None
    same = spec is not None and (wanted["file"] is None or _same(spec.origin, wanted["file"]))
    if same and wanted["module"] != "__main__":
        module = importlib.import_module(wanted["module"])
    else:
        name = wanted["module"].replace("__main__", "main")
        spec = importlib.util.spec_from_file_location(name, wanted["file"])
        assert spec is not None
        assert spec.loader is not None
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    found: Any = module
    for part in wanted["name"].split("."):
        found = getattr(found, part)
    return found


def _same(one: str | None, other: str) -> bool:
    return one is not None and os.path.realpath(one) == os.path.realpath(other)


def _packages(before: set[str], own: str) -> list[str]:
    known = {*sys.stdlib_module_names, "nspkit", own.partition(".")[0]}
    new = {name.partition(".")[0] for name in set(sys.modules) - before}
    new = {name for name in new - known if not name.startswith("__")}
    return sorted(name for name in new if not _is_standard(name))


def _is_standard(name: str) -> bool:
    """Whether a module is the standard library's though its list does not have it."""
    file = getattr(sys.modules.get(name), "__file__", None)
    if file is None:
        # A namespace has no file either; what is built in has no path.
        return not hasattr(sys.modules.get(name), "__path__")
    return file.startswith(_STANDARD) and "-packages" not in file


def _before_not_ready(provider: Any, watch: _Watch) -> list[str]:
    """Start it without settings, and return what it did until it raised NotReadyError."""
    from nspkit.errors import NotReadyError
    from nspkit.testing import Case

    case = Case(provider)
    instance = case.instance()

    def start() -> None:
        # What a package does that is imported for the first time is not what the provider does.
        watch.imports_are_free = watch.on = True
        try:
            instance.call("nsp_startup", settings={}, resources=instance.resources)
        finally:
            watch.on = False

    try:
        case.within("nsp_startup", start)
    except NotReadyError:
        return watch.happened
    return []


def main() -> None:
    """Do it, and write the answer as the last line."""
    wanted = json.loads(sys.argv[1])
    sys.path.pop(0)  # the folder of this file
    import nspkit  # noqa: F401  # what it imports is not the provider's

    # What hangs is shown on standard error, and ends this interpreter.
    faulthandler.dump_traceback_later(wanted["seconds"], exit=True)

    before, watch = set(sys.modules), _Watch()
    answer: dict[str, Any] = {}
    threads = threading.active_count()
    try:
        watch.on = True
        provider = reached(wanted)
        answer["packages"] = _packages(before, wanted["module"])
        if threading.active_count() > threads and not watch.happened:
            watch.happened.append("started a thread")
        answer["importing"], watch.happened = watch.happened, []
        answer["guid"] = str(getattr(getattr(provider, "info", None), "guid", ""))
        provider()
        answer["making"], watch.happened = watch.happened, []
        watch.on = False
        if wanted["start"]:
            answer["starting"] = _before_not_ready(provider, watch)
    except BaseException as error:
        watch.on = False
        answer["error"] = f"{type(error).__name__}: {error}"
    sys.stdout.write("nspkit-probe:" + json.dumps(answer))
    sys.stdout.flush()
    os._exit(0)  # whatever runs by now


if __name__ == "__main__":
    main()
