"""Batches with the prompts that a cascade's base made for them, kept as long as they are worth something."""

from collections.abc import Callable
from typing import Any, NamedTuple

from jaxtyping import Float
from torch import Tensor

from epimesh.errors import BadInput


class Prompted(NamedTuple):
    """A batch as the refiner is shown it: all that does not change with time and noise.

    Args:
        photo: the posterior's mode of the photo, not scaled.
        target_mean: of the target's posterior, not scaled.
        target_deviation: of the target's posterior.
        embeddings: CLIP's, of the photo and then of every prompt.
        poses: `Cameras.view_delta` from each of those to the target, or the marker of the coarse target.
    """

    photo: Float[Tensor, "B C h w"]
    target_mean: Float[Tensor, "B C h w"]
    target_deviation: Float[Tensor, "B C h w"]
    embeddings: Float[Tensor, "B T D"]
    poses: Float[Tensor, "B T 4"]


class PromptCache:
    """Keeps the prompted batches of one optimiser step, to learn from them again in the following `refresh - 1`.

    Views are drawn anew all the time, so a photo hardly ever comes back while its prompts are worth something. Photos
    therefore stay together with their prompts while the base goes through `refresh` versions, and the batches that
    come in between are skipped.

    Args:
        refresh: versions of the base between prompts; 1 keeps nothing, as in the paper.

    Raises:
        BadInput: `refresh` is less than 1.
    """

    def __init__(self, refresh: int) -> None:
        if refresh < 1:
            raise BadInput(f"refresh is {refresh}; expected 1 (new prompts at every step, as in the paper) or more.")
        self.refresh = refresh
        self.window = 0  # the version divided by refresh
        self.kept: list[Prompted] = []
        self._version, self._taken = -1, 0

    def next(self, version: int, make: Callable[[], Prompted]) -> Prompted:
        """The prompted batch to learn from now.

        Args:
            version: of the base. Batches that come at the same version belong to one step of the optimiser.
            make: prompts the batch that came; called unless there is one left from the window that `version` lies in.
        """
        if version != self._version:
            self._version, self._taken = version, 0
        if version // self.refresh != self.window:
            self.window, self.kept = version // self.refresh, []
        if self.refresh == 1:
            return make()
        if self._taken == len(self.kept):
            self.kept.append(make())
        self._taken += 1
        return self.kept[self._taken - 1]

    def state(self) -> dict[str, Any]:
        """What a checkpoint needs: the base that made these prompts is not there any more."""
        kept = [prompted._asdict() for prompted in self.kept]
        return {"refresh": self.refresh, "window": self.window, "kept": kept}

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from a `state`, unless it is of another `refresh`: then prompts are made anew."""
        if state["refresh"] == self.refresh:
            self.window = state["window"]
            self.kept = [Prompted(**parts) for parts in state["kept"]]
