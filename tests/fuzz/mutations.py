"""Seeded damage: bytes that are flipped, cut, doubled or exchanged, and JSON whose values are anything."""

import json
import random
from collections.abc import Callable
from typing import Any

ODD_BYTES = [b"", b"\0", b"\xff" * 8, b"\xff\xfe", b"-1", b"1e999", b"NaN", b"../../", b"\xda", b"\x80" * 4, b"[" * 400]
ODD_VALUES: list[Any] = [
    None,
    True,
    -1,
    0,
    2**63,
    10**400,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "../../evil",
    "/etc/passwd",
    "a" * 5000,
    "nul\0",
    "\ud800",
    [],
    {},
    [[]],
    [[1, 0, 0, 0]] * 4,
    {"file_path": 3},
]


def mutated_bytes(content: bytes, dice: random.Random) -> bytes:
    """One to six changes anywhere, more often near the start, where headers lie."""
    changed = bytearray(content)
    for _ in range(dice.randint(1, 6)):
        if not changed:
            break
        reach = len(changed) if dice.random() < 0.5 else min(len(changed), 200)
        place = dice.randrange(reach)
        kind = dice.randrange(6)
        if kind == 0:
            changed[place] ^= 1 << dice.randrange(8)
        elif kind == 1:
            changed[place] = dice.randrange(256)
        elif kind == 2:
            del changed[place:]
        elif kind == 3:
            changed[place:place] = dice.choice(ODD_BYTES)
        elif kind == 4:
            end = min(len(changed), place + dice.randrange(1, 64))
            changed[place:place] = changed[place:end]
        else:
            del changed[place : place + dice.randrange(1, 64)]
    return bytes(changed)


def mutated_json(content: bytes, dice: random.Random) -> bytes:
    """The same for JSON: mostly one value somewhere becomes odd, or a key goes; sometimes only bytes change."""
    if dice.random() < 0.2:
        return mutated_bytes(content, dice)
    tree = json.loads(content)
    for _ in range(dice.randint(1, 3)):
        place, key = _anywhere(tree, dice)
        if place is None:
            break
        if dice.random() < 0.15:
            del place[key]
        else:
            place[key] = dice.choice(ODD_VALUES)
    return json.dumps(tree).encode("utf-8", errors="surrogatepass")


def _anywhere(tree: Any, dice: random.Random) -> tuple[Any, Any]:
    """A container in the tree and one of its keys."""
    place, key, inner = None, None, tree
    while isinstance(inner, dict | list) and inner and (place is None or dice.random() < 0.75):
        place = inner
        key = dice.choice(list(inner)) if isinstance(inner, dict) else dice.randrange(len(inner))
        inner = place[key]
    return place, key


Mutator = Callable[[bytes, random.Random], bytes]
