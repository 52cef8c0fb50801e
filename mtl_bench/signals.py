"""Requests to stop, as a cluster or a person sends them."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)
"""Signals that ask to stop."""


class StopRequest:
    """A flag that SIGTERM, SIGINT, SIGUSR1 and SIGUSR2 raise while the context is open.

    The handler does nothing else; the training loop looks at ``name`` after each step. A second
    SIGINT interrupts at once. A context within another one knows of the requests before it and
    tells the outer one of its own, so that a sweep hears of what reaches one of its runs. A handler
    that is set within the context stays.
    """

    def __init__(self) -> None:
        self._received: list[signal.Signals] = []
        self._before: dict[signal.Signals, Any] = {}
        self._outer: StopRequest | None = None
        self._asked: str | None = None

    @property
    def name(self) -> str | None:
        """Name of the first signal or request that came, None as long as none has."""
        return self._received[0].name if self._received else self._asked

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in STOPPING}
            outer = getattr(self._before[signal.SIGTERM], "__self__", None)
            if isinstance(outer, StopRequest):
                self._outer = outer
                self._received[:0] = outer._received
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            if signal.getsignal(number) == self._note:
                signal.signal(number, handler)

    def ask(self, name: str) -> None:
        """Ask to stop as a signal does; the first request counts."""
        self._asked = self._asked or name

    def hand_on(self) -> None:
        """After the context: give SIGUSR1 and SIGUSR2 to the handlers that were there before.

        submitit's puts a job back into the queue and ends the process at once, so that it must not
        come before everything is saved.
        """
        for number in {signal.SIGUSR1, signal.SIGUSR2}.intersection(self._received):
            if callable(signal.getsignal(number)):
                signal.raise_signal(number)

    def _note(self, number: int, _: FrameType | None) -> None:
        if self._received and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._receive(signal.Signals(number))

    def _receive(self, number: signal.Signals) -> None:
        self._received.append(number)
        if self._outer is not None:
            self._outer._receive(number)
