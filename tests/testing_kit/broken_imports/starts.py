"""A provider whose constructor starts a thread."""

import threading

from nspkit.testing import MemoryProvider


class Provider(MemoryProvider):
    """Starts a thread when it is made."""

    breaks = "import.making_does_nothing"

    def __init__(self) -> None:
        thread = threading.Thread(target=threading.Event().wait, args=(0.001,), daemon=True)
        thread.start()
        thread.join()
