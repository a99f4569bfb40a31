"""How the UNets of the published models attend: fused attention, and a short cut where there is only one token."""

from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from epimesh.errors import BadInput, MissingExtra

if TYPE_CHECKING:
    from diffusers import UNet2DConditionModel
    from diffusers.models.attention_processor import Attention, XFormersAttnProcessor

Implementation = Literal["auto", "sdpa", "xformers"]


class OneTokenAttention:
    """Cross-attention that need not ask when there is only one answer.

    Attention over a single token gives its value whatever the query, so neither queries nor scores are computed.

    Args:
        otherwise: the processor for more than one token.
    """

    def __init__(self, otherwise: Any) -> None:
        self.otherwise = otherwise

    def __call__(
        self,
        attn: "Attention",
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        """Same shape out as in: (B, N, C)."""
        if encoder_hidden_states is None or encoder_hidden_states.shape[1] != 1 or attention_mask is not None:
            return self.otherwise(attn, hidden_states, encoder_hidden_states, attention_mask, temb)
        project, dropout = attn.to_out
        answer = dropout(project(attn.to_v(encoder_hidden_states)))
        return answer.expand(-1, hidden_states.shape[1], -1)


def choose_attention(unet: "UNet2DConditionModel", implementation: Implementation, device: str) -> None:
    """Sets the attention of a UNet: "auto" is torch's fused attention ("sdpa").

    Raises:
        MissingExtra: xformers is asked for and not installed.
        BadInput: xformers is asked for on a device that it does not run on.
    """
    from diffusers.models.attention_processor import AttnProcessor2_0

    base: Any = AttnProcessor2_0()
    if implementation == "xformers":
        base = _xformers(device)
    processors = {name: OneTokenAttention(base) if ".attn2." in name else base for name in unet.attn_processors}
    unet.set_attn_processor(processors)


def _xformers(device: str) -> "XFormersAttnProcessor":
    try:
        import xformers.ops  # noqa: F401
    except ImportError as error:
        raise MissingExtra(
            f"attention is 'xformers', which is not installed ({error}).\n"
            "Install it with: pip install 'epimesh[xformers]', or use --views.attention auto, which is as fast."
        ) from error
    if torch.device(device).type != "cuda":
        raise BadInput(
            f"attention is 'xformers', which only runs on CUDA, not on '{device}'.\nUse --views.attention auto."
        )
    from diffusers.models.attention_processor import XFormersAttnProcessor

    return XFormersAttnProcessor()
