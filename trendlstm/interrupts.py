"""Ctrl-C and SIGTERM while a command runs: one line and exit code 130, at whatever moment they come.

Imported before all else, and imports next to nothing itself: until `catch` has run, Ctrl-C ends in a traceback.
"""

import _thread
import os
import signal
import sys
import time
from types import FrameType

INTERRUPTED = 130  # as shells report a process that Ctrl-C ended

_ONE_PRESS_SECONDS = 1.0  # a terminal, a shell and a tool between them may each pass on the same Ctrl-C
_RETRY_SECONDS = 0.01


class Interrupts:
    """What a signal does to this process.

    Before the command has begun there is nothing to keep: the process ends at once. While the command runs
    (`with interrupts:`) KeyboardInterrupt is raised in it, once: it keeps or removes what it has made. A second
    press that comes more than a second later ends the process at once. After the command signals are ignored,
    because its exit code is decided.
    """

    def __init__(self) -> None:
        self._is_running = False
        self._has_ended = False
        self._asked_at: float | None = None
        self._is_waiting = False  # for the end of an import
        self._is_due = False

    def catch(self) -> None:
        """From now on hear SIGTERM, and SIGINT unless the process was started to ignore it, as in the background."""
        self._main_thread = _thread.get_ident()
        signal.signal(signal.SIGTERM, self._receive)
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._receive)
        self._show_unraisable, sys.unraisablehook = sys.unraisablehook, self._catch_unraisable

    def __enter__(self) -> None:
        self._is_running = True

    def __exit__(self, *_: object) -> None:
        self._has_ended = True
        if self._is_waiting:
            raise KeyboardInterrupt

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self._has_ended:
            return
        now = time.monotonic()
        if self._is_due:
            self._is_due = False
            self._raise(frame)
        elif not self._is_running:
            _quit()
        elif self._asked_at is None:
            self._asked_at = now
            self._raise(frame)
        elif now - self._asked_at > _ONE_PRESS_SECONDS:
            _quit()

    def _raise(self, frame: FrameType | None) -> None:
        # An exception would leave a module half imported, and often comes out of an import as another one.
        self._is_waiting = False
        while frame is not None:
            if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
                self._raise_later()
                return
            frame = frame.f_back
        raise KeyboardInterrupt

    def _raise_later(self) -> None:
        self._is_waiting = True

        def ask_again() -> None:
            time.sleep(_RETRY_SECONDS)
            self._is_due = True
            if sys.platform == "win32":
                _thread.interrupt_main()
            else:
                signal.pthread_kill(self._main_thread, signal.SIGTERM)  # also wakes it from a call that waits

        _thread.start_new_thread(ask_again, ())

    def _catch_unraisable(self, unraisable: "sys.UnraisableHookArgs") -> None:
        # raised where Python runs code of ours on its own (a destructor, a callback), and lost there
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            self._raise_later()
        else:
            self._show_unraisable(unraisable)


def _quit() -> None:
    try:
        if os.isatty(2):
            os.write(2, b"\x1b[?25h\n")  # a progress bar may have hidden the cursor
        os.write(2, b"Error: Interrupted.\n")
    finally:
        os._exit(INTERRUPTED)


interrupts = Interrupts()
