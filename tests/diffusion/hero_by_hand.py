"""Zero-to-Hero as the paper states it, slowly: all rows in one batch, row by row, every map of a time kept."""

from collections.abc import Sequence

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from tiny_unet import token
from torch import Tensor

from epimesh.diffusion.attention_control.controller import PHOTO, Row
from epimesh.diffusion.schedules import NoiseSchedule


class ByHand:
    """Attention of one layer. `now` is shared by all layers: time, pass, passes and the rows of the batch."""

    def __init__(self, name: str, mutual_layer: bool, now: dict) -> None:
        self.name, self.mutual_layer, self.now = name, mutual_layer, now
        self.earlier: dict[Row, list[Tensor]] = {}
        self.history: dict[Row, Tensor] = {}

    def __call__(self, attn: Attention, hidden_states: Tensor, **_: object) -> Tensor:
        time, number, passes, rows = (self.now[key] for key in ("time", "number", "passes", "rows"))
        if number == 1:
            self.earlier = {}
        if time < 600:
            self.history = {}
        outs = []
        for i, row in enumerate(rows):
            mutual = self.mutual_layer and time >= 600
            j = rows.index(row._replace(view=PHOTO)) if mutual else i
            query, key, value = attn.to_q(hidden_states[i]), attn.to_k(hidden_states[j]), attn.to_v(hidden_states[j])
            q, k, v = (t.reshape(len(t), attn.heads, -1).transpose(0, 1) for t in (query, key, value))
            m = torch.stack([a @ b.T / a.shape[1] ** 0.5 for a, b in zip(q, k, strict=True)])
            if time >= 800 and passes > 1:
                for before in self.earlier.get(row, []):
                    m = torch.minimum(m, before)
            if time >= 600:
                m = 0.2 * m + 0.8 * self.history[row] if row in self.history else m
            self.earlier.setdefault(row, []).append(m)
            if time >= 600 and number == passes:
                self.history[row] = 0.5 * m + 0.5 * self.history[row] if row in self.history else m
            out = torch.cat([a.softmax(1) @ b for a, b in zip(m, v, strict=True)], dim=1)
            outs.append(attn.to_out[0](out))
        return torch.stack(outs)


def sampled_by_hand(
    unet: UNet2DConditionModel,
    schedule: NoiseSchedule,
    times: Sequence[int],
    noise: Tensor,
    rows: Sequence[Row],
    streams: Sequence[torch.Generator],
    *,
    scale: float,
    passes: int,
) -> Tensor:
    """What minimum pooling, history, mutual attention from 600 up and resampling from 800 up make of the noise."""
    twice = [*(row._replace(branch="unconditional") for row in rows), *rows]
    tokens = torch.stack([token(row) for row in twice]).to(noise)
    now: dict = {"rows": twice}
    usual = dict(unet.attn_processors)
    decoder = ("up_blocks.2", "up_blocks.3")
    unet.set_attn_processor(
        {
            name: ByHand(name, name.startswith(decoder), now) if ".attn1." in name else processor
            for name, processor in usual.items()
        }
    )
    x = noise
    for high, low in zip(times, [*times[1:], None], strict=True):
        a_high, a_low = schedule.alpha_cumprod_at(high), schedule.alpha_cumprod_at(low)
        count = passes if high >= 800 else 1
        for number in range(1, count + 1):
            now |= {"time": high, "number": number, "passes": count}
            with torch.no_grad():
                without, given = unet(torch.cat([x, x]), high, tokens).sample.chunk(2)
            eps = without + scale * (given - without)
            x = a_low**0.5 * (x - (1 - a_high) ** 0.5 * eps) / a_high**0.5 + (1 - a_low) ** 0.5 * eps
            if number < count:
                fresh = torch.stack([torch.randn(x.shape[1:], generator=random) for random in streams]).to(x)
                x = (a_high / a_low) ** 0.5 * x + (1 - a_high / a_low) ** 0.5 * fresh
    unet.set_attn_processor(usual)
    return x
