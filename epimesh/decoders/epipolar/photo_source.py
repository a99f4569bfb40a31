"""The photo at every resolution of the decoder: the finest texture there is, which latents have lost."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import silu

from epimesh.cameras import Cameras
from epimesh.errors import StageMismatch


class FrontEncoder(nn.Module):
    """A few strided convolutions.

    The paper calls the full-resolution front view necessary for detailed texture and does not say how it enters.

    Args:
        channels: of the maps, from the finest (the photo's size) to the coarsest; each is half as large as the last.

    Source: Tang et al. (arXiv:2408.14016), the front-view condition; its form is a choice of this project.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        widths = [3, *channels]
        self.layers = nn.ModuleList(
            nn.Conv2d(widths[level], widths[level + 1], 3, stride=1 if level == 0 else 2, padding=1)
            for level in range(len(channels))
        )

    def forward(self, rgb: Float[Tensor, "B 3 H W"]) -> list[Tensor]:
        """Maps from the coarsest to the finest, as the decoder meets them. Colours are in [0, 1], on white."""
        maps = [self.layers[0](rgb * 2 - 1)]
        for layer in self.layers[1:]:
            maps.append(layer(silu(maps[-1])))
        return maps[::-1]


def view_of_photo(cameras: Cameras, photo_camera: Cameras) -> int:
    """Which view has the photo's camera: to a thousandth of a scene unit, and as much of its focal length.

    Raises:
        StageMismatch: none has.
    """
    camera = photo_camera.resized(cameras.height, cameras.width)
    moved = (cameras.world_to_camera - camera.world_to_camera).abs().amax((1, 2))
    zoomed = (cameras.intrinsics / camera.intrinsics.clamp_min(1e-6) - 1)[:, [0, 1], [0, 1]].abs().amax(1)
    same = (moved < 1e-3) & (zoomed < 1e-3)
    if cameras.orthographic != photo_camera.orthographic or not same.any():
        raise StageMismatch(
            "None of the views has the photo's camera, and this decoder adds the photo to the view that has it.\n"
            "Use weights that look at the photo as a further source (front: source), or at no photo (front: none)."
        )
    return int(same.nonzero()[0])
