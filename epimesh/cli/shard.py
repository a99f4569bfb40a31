"""A share of a long list, for several machines or jobs: `--shard 2/8` is the second of eight."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from epimesh.errors import BadInput

T = TypeVar("T")


@dataclass(frozen=True)
class Shard:
    """One share of several.

    Args:
        number: from 1.
        count: of all shares.
    """

    number: int = 1
    count: int = 1

    @classmethod
    def parsed(cls, text: str | None) -> "Shard":
        """The share that was typed; without one, everything.

        Raises:
            BadInput: it is not of the form i/n with 1 <= i <= n.
        """
        if text is None:
            return cls()
        found = re.fullmatch(r"(\d+)/(\d+)", text.strip())
        if found is None or not 1 <= int(found[1]) <= int(found[2]):
            raise BadInput(f"--shard {text[:40]} is no share.\nExpected i/n from 1/n to n/n, such as --shard 2/8.")
        return cls(int(found[1]), int(found[2]))

    def of(self, items: Sequence[T]) -> list[T]:
        """The items of this share: every n-th, so that all shares are alike."""
        return list(items[self.number - 1 :: self.count])

    @property
    def list_name(self) -> str:
        """The file that lists what was skipped; each share has its own."""
        return "skipped.txt" if self.count == 1 else f"skipped-{self.number}-of-{self.count}.txt"
