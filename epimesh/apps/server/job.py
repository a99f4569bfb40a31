"""One photo on its way through the server, and what a stranger may read of it."""

import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from epimesh.apps.work.order import Event, Order, Progress

State = Literal["waiting", "running", "done", "failed", "cancelled"]
_OVER = ("done", "failed", "cancelled")
_SHOWN = ("cutout.png", "views.png", "run.json", "mask.png")  # beside NAME.*


@dataclass(eq=False)
class Job:
    """One photo on its way.

    Args:
        id: which nobody can guess, so that only its owner finds it.
        order: what is made.
        folder: all of its files.
        state: where it is.
        doing: what is done at the moment, in words.
        share: how much of that is done, 0 to 1.
        message: why it failed.
        lines: what was said of finished stages.
        submitted: when it came, in monotonic seconds.
        ended: when it was over.
    """

    id: str
    order: Order
    folder: Path
    state: State = "waiting"
    doing: str = ""
    share: float = 0.0
    message: str = ""
    lines: list[str] = field(default_factory=list)
    submitted: float = field(default_factory=time.monotonic)
    ended: float | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come."""
        return self.state in _OVER

    @property
    def seconds(self) -> float:
        """How long it has taken, waiting included."""
        return (self.ended or time.monotonic()) - self.submitted

    def files(self) -> list[str]:
        """The names of the results that may be fetched."""
        out = self.order.out
        names = sorted(path.name for path in out.glob(f"{out.name}*.*")) if out.is_dir() else []
        return [*names, *(name for name in _SHOWN if (out / name).is_file())]

    def preview(self, slot: str) -> Path | None:
        """The picture of what a stage has made, as soon as it is there."""
        return next(iter(sorted(self.order.out.glob(f"[0-9]-{slot}-*/preview.png"))), None)

    def hear(self, event: Event) -> None:
        """Notes what the worker says."""
        if isinstance(event, Progress):
            self.doing, self.share = event.what, event.done / max(event.total, 1)
        else:
            self.lines.append(event.line)
            self.doing, self.share = "", 0.0


def end(job: Job, state: State) -> None:
    """Nothing more will come of it."""
    job.state, job.ended, job.doing, job.share = state, time.monotonic(), "", 0.0


def plain_name(name: str) -> str:
    """A name for results out of the name of an upload: letters, digits, - and _, at most 40."""
    last = re.split(r"[/\\]", name)[-1]
    stem = last.rpartition(".")[0] or last
    plain = re.sub(r"[^A-Za-z0-9_-]+", "_", stem)[:40].strip("_-")
    return plain if plain and plain != "mask" else "object"


def without_paths(text: str, folder: Path) -> str:
    """What a stranger may read of an error: names of files, not where they lie."""
    return text.replace(f"{folder}/", "").replace(str(folder), "")[:1000]
