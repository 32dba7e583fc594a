"""What is asked of a run that is going on.

What it does not do: handle signals; `signals` does.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Control"]


@dataclass(slots=True)
class Control:
    """Requests to a run, from a signal handler or another thread.

    stop: end now, with the last interval and the summary.
    snapshot_now: end the running interval here; the next one ends when this one would have.
    reload: take the rules anew.
    reopen: write on in new files, where those that are written have been renamed.
    """

    stop: bool = False
    snapshot_now: bool = False
    reload: bool = False
    reopen: bool = False

    @property
    def is_pending(self) -> bool:
        """Whether anything is asked."""
        return self.stop or self.snapshot_now or self.reload or self.reopen
