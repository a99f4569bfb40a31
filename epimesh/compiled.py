"""Loops compiled by numba: one decorator, so that caching and threading are decided in one place."""

import inspect
from collections.abc import Callable
from typing import Any

import numba

# OpenMP first: trying an old TBB, which some systems have, prints a warning.
numba.config.THREADING_LAYER_PRIORITY = ["omp", "tbb", "workqueue"]


def compiled(*, parallel: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorator: machine code for a loop over numpy arrays, kept on disk between runs where a folder is writable.

    Results do not depend on the number of threads as long as each `prange` step writes to places of its own. Compiled
    functions that call each other share a file: numba notices changes of one file only.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        plain = inspect.unwrap(function)  # without the run-time checks of annotations, which numba cannot compile
        try:
            return numba.njit(plain, parallel=parallel, fastmath=True, nogil=True, cache=True)
        except RuntimeError:  # no writable folder for the cache: compile anew in every process
            return numba.njit(plain, parallel=parallel, fastmath=True, nogil=True)

    return decorate
