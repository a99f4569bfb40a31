"""Runs stages one after the other, keeps what they make, and notes what it took."""

import time
from dataclasses import dataclass
from typing import Any, cast

from epimesh.pipeline import process_memory
from epimesh.pipeline.contracts import Made, Stage
from epimesh.pipeline.fingerprint import fingerprint
from epimesh.pipeline.workspace import Workspace
from epimesh.runtime import Runtime


@dataclass(frozen=True)
class StageRecord:
    """What one stage took.

    Args:
        slot: which slot of the pipeline.
        stage: the class that filled it.
        folder: where its output is kept, relative to the workspace; empty if nothing is kept.
        seconds: wall time, saving included.
        peak_bytes: the largest resident memory of the process meanwhile.
        reused: True if the output of an earlier run was read instead.
    """

    slot: str
    stage: str
    folder: str
    seconds: float
    peak_bytes: int
    reused: bool


class Recorder:
    """One run in progress. Its key grows with every stage, so a change anywhere renews everything after it."""

    def __init__(self, workspace: Workspace | None, runtime: Runtime, key: str, redo_from: str | None = None) -> None:
        """Without a workspace nothing is kept. `redo_from` names the slot from which on outputs are made again."""
        self.records: list[StageRecord] = []
        self._workspace = workspace
        self._runtime = runtime
        self._redo_from = redo_from
        self._redo = False
        self._key = fingerprint(key, runtime.seed, str(runtime.dtype))

    def __call__(self, slot: str, stage: Stage[Made], *given: Any) -> Made:
        """The saved output of `stage`, or a new one."""
        step = f"{len(self.records) + 1}-{slot}"
        self._key = fingerprint(stage, self._key)
        self._redo = self._redo or slot == self._redo_from
        if self._redo and self._workspace is not None:
            self._workspace.forget(step, self._key)
        started = time.perf_counter()
        process_memory.give_back()
        process_memory.reset_peak()
        found = None if self._workspace is None else self._workspace.find(step, self._key, stage.makes.load)
        output = cast("Made | None", found)
        reused = output is not None
        if output is None:
            with self._runtime.reporter.busy(slot):
                output = stage(*given, runtime=self._runtime)  # type: ignore[operator]
            self._runtime.done_with(stage)
            if self._workspace is not None:
                self._workspace.keep(step, self._key, output)
        folder = "" if self._workspace is None else self._workspace.folder(step, self._key).name
        seconds = time.perf_counter() - started
        self.records.append(
            StageRecord(slot, type(stage).__name__, folder, round(seconds, 3), process_memory.peak_bytes(), reused)
        )
        return output
