"""The command line's way in: `python -m nspkit`, and the console script `nspkit`.

It imports nothing but the standard library before it knows that the extra is there, so that an
installation of the core alone answers with one line instead of a traceback.
"""

from __future__ import annotations

import sys

NEEDED = frozenset({"click", "jinja2", "packaging", "rich", "tomlkit"})
"""What the extra `cli` brings."""


def main() -> int:
    """Run the command line, or say in one line how to get it.

    Returns:
        The exit status, as `sys.exit` takes it; 2, like a wrong usage, where the extra is missing.
    """
    try:
        from nspkit.cli import main as run
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in NEEDED:
            raise
        print(
            f"nspkit: the command line needs {error.name}, which is not installed; "
            "to get it: pip install 'nspkit[cli]'",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        return 130
    return run()


if __name__ == "__main__":
    sys.exit(main())
