"""Wonder3D's UNet: Stable Diffusion's, in which the views of a domain read each other, and the domains of a view.

Rows are domain-major: all normals, then all colours, each in groups of consecutive views. Only whole groups may be left
out, and the two halves belong to the same objects in the same order.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.attention_processor import Attention
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from epimesh.errors import BadWeights
from epimesh.weights.limits import check_config, finite
from epimesh.weights.loading import AGAIN, check_shapes, weights_file

_THEIR_CLASS = "UNetMV2DConditionModel"
# What the published configuration says beside a stock UNet's settings; with any other value it is another network.
_SWITCHES = {
    "num_views": None,
    "cd_attention_mid": True,
    "multiview_attention": True,
    "cd_attention_last": False,
    "sparse_mv_attention": False,
    "mvcd_attention": False,
}
_OLDER = {".attn_joint_twice.": ".attn_joint_mid.", ".norm_joint_twice.": ".norm_joint_mid."}


class CrossDomainBlock(nn.Module):
    """A transformer block that also looks across views and across domains.

    Args:
        block: the stock block whose layers it takes over.
        views: in a group.

    Source:
        Long et al., "Wonder3D" (arXiv:2310.15008), sections 4.2 and 4.3.
    """

    def __init__(self, block: BasicTransformerBlock, views: int) -> None:
        super().__init__()
        self.views = views
        width, heads = block.norm1.normalized_shape[0], block.attn1.heads
        self.norm1, self.attn1 = block.norm1, block.attn1
        self.norm_joint_mid = nn.LayerNorm(width)
        self.attn_joint_mid = Attention(width, heads=heads, dim_head=width // heads, bias=False)
        self.norm2, self.attn2 = block.norm2, block.attn2
        self.norm3, self.ff = block.norm3, block.ff

    def forward(
        self,
        hidden_states: Float[Tensor, "R L C"],
        attention_mask: Tensor | None = None,
        encoder_hidden_states: Float[Tensor, "R T D"] | None = None,
        **_: Any,
    ) -> Float[Tensor, "R L C"]:
        """The signature is that of diffusers' block; there are no masks and no further conditions here."""
        x = hidden_states
        x = x + _across_views(self.attn1, self.norm1(x), self.views)
        x = x + _across_domains(self.attn_joint_mid, self.norm_joint_mid(x))
        x = x + self.attn2(self.norm2(x), encoder_hidden_states)
        return x + self.ff(self.norm3(x))


def _across_views(attention: nn.Module, x: Float[Tensor, "R L C"], views: int) -> Float[Tensor, "R L C"]:
    """Every token reads those of all views of its group: attention over the joined tokens."""
    return attention(x.reshape(-1, views * x.shape[1], x.shape[2])).reshape(x.shape)


def _across_domains(attention: nn.Module, x: Float[Tensor, "R L C"]) -> Float[Tensor, "R L C"]:
    """Every token reads those of the same view in both domains."""
    pairs = torch.cat(x.chunk(2), dim=1)
    return torch.cat(attention(pairs).chunk(2, dim=1))


def cross_domain_unet(config: Mapping[str, Any]) -> UNet2DConditionModel:
    """The network that a configuration in the published names describes, with weights at random.

    Raises:
        BadWeights: it describes another network, such as the early one without attention across domains.
    """
    for name, wanted in _SWITCHES.items():
        found = config.get(name)
        if found is None or (wanted is not None and found != wanted):
            raise BadWeights(
                f"The UNet's configuration has {name} = {found}, expected {'a number' if wanted is None else wanted}.\n"
                f"It is another version of Wonder3D. {AGAIN}"
            )
    stock = {name: _stock(value) for name, value in config.items() if name not in _SWITCHES and name[0] != "_"}
    unet = UNet2DConditionModel.from_config(stock)
    for module in list(unet.modules()):
        blocks = getattr(module, "transformer_blocks", None)
        if blocks is not None:
            for number, block in enumerate(blocks):
                blocks[number] = CrossDomainBlock(block, int(config["num_views"]))
    return unet


def _stock(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_stock(one) for one in value]
    return value.replace("MV2DCrossAttn", "2DCrossAttn").replace("MV2D", "2D") if isinstance(value, str) else value


def load_unet(folder: Path) -> UNet2DConditionModel:
    """The network from a folder as it is published, in fp32.

    Raises:
        BadWeights: damaged, or of another model.
    """
    file = weights_file(folder)
    try:
        config = json.loads((folder / "config.json").read_text())
        found = config.get("_class_name")
        if found != _THEIR_CLASS:
            raise BadWeights(f"{folder} holds a {found}, expected a {_THEIR_CLASS}.\n{AGAIN}")
        check_config(config, file)
        with torch.device("meta"):
            unet = cross_domain_unet(config)
        with safe_open(file, "pt") as stored:
            names = stored.offset_keys()
            tensors = {_current(name): finite(stored.get_tensor(name).float(), name, file) for name in names}
    except (OSError, SafetensorError, ValueError, TypeError, KeyError) as error:
        if isinstance(error, BadWeights):
            raise
        raise BadWeights(f"{folder} cannot be read ({type(error).__name__}: {error}).\n{AGAIN}") from error
    check_shapes(unet, {name: tuple(tensor.shape) for name, tensor in tensors.items()}, str(file))
    unet.load_state_dict(tensors, assign=True)
    return unet.eval().requires_grad_(False)


def _current(name: str) -> str:
    for old, new in _OLDER.items():
        name = name.replace(old, new)
    return name
