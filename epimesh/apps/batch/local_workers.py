"""Many photos in many processes of one machine."""

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import partial

from epimesh.apps.batch.task import Made, Task, made_whole
from epimesh.apps.work.order import Report, WorkerLost
from epimesh.apps.work.process import WorkerProcess
from epimesh.errors import EpimeshError


class LocalWorkers:
    """Processes that take one photo after the other, each with models of its own.

    Args:
        workers: how many.
        threads: of each; the same number gives the same bits.
        seconds: for one photo; None waits for ever.
        tries: how often a photo is tried whose worker is lost.
    """

    def __init__(self, workers: int, *, threads: int | None, seconds: float | None, tries: int) -> None:
        self._workers, self._threads, self._seconds, self._tries = workers, threads, seconds, tries
        self._own = threading.local()
        self._all: list[WorkerProcess] = []

    def each(self, tasks: Sequence[Task]) -> Iterator[Made]:
        """Makes all of them and yields how each ended, as they end."""
        rest = iter(tasks)
        with ThreadPoolExecutor(self._workers) as threads:
            try:
                running: set[Future[Made]] = set()
                for task in rest:
                    running.add(threads.submit(self._made, task))
                    if len(running) > 2 * self._workers:  # a million tasks are not queued at once
                        done, running = wait(running, return_when=FIRST_COMPLETED)
                        yield from (one.result() for one in done)
                while running:
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    yield from (one.result() for one in done)
            finally:
                threads.shutdown(wait=False, cancel_futures=True)
                for worker in self._all:
                    worker.close()

    def _made(self, task: Task) -> Made:
        started, tries = time.monotonic(), 0
        while True:
            tries += 1
            worker = self._worker()
            make = partial(worker.make, seconds=self._seconds)
            try:
                result: Report | EpimeshError = made_whole(task, make)
            except WorkerLost as error:
                if tries < self._tries:
                    continue
                result = error
            except EpimeshError as error:
                result = error
            seconds = time.monotonic() - started
            return Made(task=task, result=result, seconds=seconds, tries=tries, worker=f"process {worker.pid}")

    def _worker(self) -> WorkerProcess:
        """The process of this thread, a new one if the old one is lost."""
        found: WorkerProcess | None = getattr(self._own, "worker", None)
        if found is None or not found.is_alive():
            found = self._own.worker = WorkerProcess(self._threads)
            self._all.append(found)
        return found
