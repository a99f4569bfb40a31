"""What is noted about one prediction about one object."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Scores:
    """One prediction about one object: of the generator with one seed, or of a baseline.

    Args:
        object: its id.
        method: "generator" or the name of a baseline.
        seed: of the generator.
        failure: what went wrong, if anything.
        scale: of the object in the frame.
        photo: which view of the object was the photo, where that varies.
        note: why a number is missing though nothing failed.
        values: what was measured, by the names of the metrics; `scores["psnr"]` asks, None where it was not.
    """

    object: str
    method: str
    seed: int | None = None
    failure: str | None = None
    scale: float | None = None
    photo: int | None = None
    note: str | None = None
    values: Mapping[str, float] = field(default_factory=dict)

    def __getitem__(self, metric: str) -> float | None:
        """The value by this metric; None if it was not measured."""
        return self.values.get(metric)

    def added(self, values: Mapping[str, float | None]) -> "Scores":
        """The same with further values; None adds nothing."""
        known = {name: float(value) for name, value in values.items() if value is not None}
        return replace(self, values={**self.values, **known})
