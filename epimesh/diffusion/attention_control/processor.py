"""Puts controls into a model: an attention processor with diffusers' arithmetic, its scores in the open on request."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from threading import Lock
from typing import Any

import torch
import torch.nn.functional as F
from diffusers.models.attention_processor import (
    Attention,
    AttnProcessor,
    AttnProcessor2_0,
    XFormersAttnProcessor,
)
from jaxtyping import Float
from torch import Tensor, nn

from epimesh.diffusion.attention_control.controller import (
    AttentionCall,
    AttentionControl,
    AttentionController,
    ControlRun,
)
from epimesh.errors import BadInput

STANDARD = (AttnProcessor, AttnProcessor2_0, XFormersAttnProcessor)
SCORES_AT_ONCE = 2**25
"""Scores in memory at a time: 4 rows of 8 heads at 32 x 32; on a GPU 4 times as many, since it takes longer to be busy.
Rows are independent, so fewer change nothing."""


class ControlledAttention:
    """Attention of one layer under the controls of a run; the processor it replaces wherever none is at work.

    Args:
        layer: its name in the model.
        original: the processor it stands for.
        controller: the run.
    """

    def __init__(self, layer: str, original: Any, controller: AttentionController) -> None:
        self.layer = layer
        self.original = original
        self.controller = controller

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        """Same shape out as in: (B, N, C) or (B, C, h, w)."""
        tokens = hidden_states[0, 0].numel() if hidden_states.dim() == 4 else hidden_states.shape[1]
        touching = self.controller.touching(self.layer, tokens)
        if not touching:
            return self.original(attn, hidden_states, encoder_hidden_states, attention_mask, temb)
        if encoder_hidden_states is not None or attention_mask is not None:
            given = "a mask" if encoder_hidden_states is None else "tokens of another source"
            raise BadInput(
                f"{self.layer} was given {given}; controls work on unmasked self-attention.\n"
                "Leave it out with the control's layers.inside."
            )
        mapped = hidden_states if attn.spatial_norm is None else attn.spatial_norm(hidden_states, temb)
        sequence = mapped.flatten(2).transpose(1, 2) if mapped.dim() == 4 else mapped
        keys = [run for touch, run in touching if touch == "keys"]
        scores = [run for touch, run in touching if touch == "scores"]
        out = self._attend(attn, sequence, keys, scores)
        if mapped.dim() == 4:
            out = out.transpose(1, 2).reshape(mapped.shape)
        return (out + hidden_states if attn.residual_connection else out) / attn.rescale_output_factor

    def _attend(
        self, attn: Attention, tokens: Float[Tensor, "B N C"], keys: list[ControlRun], scores: list[ControlRun]
    ) -> Float[Tensor, "B N C"]:
        call = self.controller.call(self.layer, len(tokens))
        if attn.group_norm is not None:
            tokens = attn.group_norm(tokens.transpose(1, 2)).transpose(1, 2)
        query, key, value = attn.to_q(tokens), attn.to_k(tokens), attn.to_v(tokens)
        for run in keys:
            sources = list(run.sources(call))
            key, value = key[sources], value[sources]
            call = replace(call, sources=tuple(call.sources[source] for source in sources))
        query, key, value = (t.unflatten(-1, (attn.heads, -1)).transpose(1, 2) for t in (query, key, value))
        query = query if attn.norm_q is None else attn.norm_q(query)
        key = key if attn.norm_k is None else attn.norm_k(key)
        if scores:
            out = _explicit(query * query.shape[-1] ** -0.5, key, value, scores, call)
        else:
            out = F.scaled_dot_product_attention(query, key, value)
        project, dropout = attn.to_out
        return dropout(project(out.transpose(1, 2).flatten(2)))


def _explicit(
    query: Float[Tensor, "B heads N c"],
    key: Float[Tensor, "B heads M c"],
    value: Float[Tensor, "B heads M c"],
    runs: list[ControlRun],
    call: AttentionCall,
) -> Float[Tensor, "B heads N c"]:
    """Attention with the scores edited, a few rows at a time."""
    at_once = SCORES_AT_ONCE if query.device.type == "cpu" else 4 * SCORES_AT_ONCE
    step = max(1, at_once // (query.shape[1] * query.shape[2] * key.shape[2]))
    parts = []
    for first in range(0, len(query), step):
        rows = slice(first, first + step)
        here = replace(call, rows=call.rows[rows], sources=call.sources[rows])
        scores = query[rows] @ key[rows].transpose(-1, -2)
        for run in runs:
            scores = run.scores(scores, here)
        in_place = None if scores.requires_grad else scores
        parts.append(torch.softmax(scores, dim=-1, out=in_place) @ value[rows])
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def self_attention(model: nn.Module) -> dict[str, Attention]:
    """The self-attention layers of a model, by name.

    Raises:
        BadInput: there are none.
    """
    layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, Attention)}
    found = {name: layer for name, layer in layers.items() if not layer.is_cross_attention}
    if not found:
        raise BadInput(f"{type(model).__name__} has no self-attention layers to control.\nGive a model that has some.")
    return found


def _check_usual(name: str, layer: Attention) -> None:
    # Scores are divided by the root of the width of a head, as every usual processor does.
    usual = abs(layer.scale * (layer.inner_dim / layer.heads) ** 0.5 - 1) < 1e-6
    if not isinstance(layer.processor, STANDARD) or not usual:
        raise BadInput(
            f"{name} attends by {type(layer.processor).__name__} (scale {layer.scale:g}), which cannot be controlled.\n"
            f"Expected the usual scale and one of {', '.join(kind.__name__ for kind in STANDARD)}: call "
            "model.set_default_attn_processor() or model.unfuse_qkv_projections() first, or leave it out with the "
            "control's layers.inside."
        )


_installing = Lock()


@contextmanager
def controlled(model: nn.Module, controls: Sequence[AttentionControl]) -> Iterator[AttentionController]:
    """Runs `model` with `controls` on its self-attention layers, in this thread, and restores it afterwards.

    Controls work in the order given. Every `controlled` begins with an empty memory and leaves none behind.

    Raises:
        BadInput: the model has no self-attention, is controlled already, attends in a way that cannot be controlled, or
            has no layer of a name that a control asks for.
    """
    controller = AttentionController(controls)
    with _installing:
        layers = self_attention(model)
        if any(isinstance(layer.processor, ControlledAttention) for layer in layers.values()):
            raise BadInput(
                "The model is controlled already, perhaps by another thread.\n"
                "Give one `controlled` all the controls; use a copy of the model in every thread."
            )
        for control in controls:
            _check_names(control, list(layers))
        chosen = {
            name: layer for name, layer in layers.items() if any(control.layers.named(name) for control in controls)
        }
        for name, layer in chosen.items():
            _check_usual(name, layer)
        before = {name: layer.processor for name, layer in chosen.items()}
        for name, layer in chosen.items():
            layer.set_processor(ControlledAttention(name, layer.processor, controller))
    try:
        yield controller
        controller.review()
    finally:
        for name, layer in chosen.items():
            layer.set_processor(before[name])
        controller.forget()


def _check_names(control: AttentionControl, names: Sequence[str]) -> None:
    for part in control.layers.inside:
        if not any(part in name for name in names):
            raise BadInput(
                f"{type(control).__name__}: layers.inside asks for '{part}', which is in no name of a self-attention "
                f"layer.\nThere are: {', '.join(names)}."
            )
