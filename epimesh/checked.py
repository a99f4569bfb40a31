"""`@checked` checks the annotated shapes and types of boundary objects when they are made."""

from beartype import beartype
from jaxtyping import jaxtyped

checked = jaxtyped(typechecker=beartype)
