"""SpectralFormer: a transformer along the spectrum of each pixel.

Hong, D., Han, Z., Yao, J., Gao, L., Zhang, B., Plaza, A., Chanussot, J. (2022). SpectralFormer:
rethinking hyperspectral image classification with transformers. IEEE Transactions on Geoscience and
Remote Sensing. https://arxiv.org/abs/2107.02988

Written from the paper: groups of neighbouring bands are embedded together, and every layer from the
third on also sees what the one before the last gave. It is the pixel-wise form.

Axes: b batch, s bands, h and w rows and columns, p pixels, d features, k classes.
"""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from torchgeo_ext.errors import BadParameter

_WIDTH, _DEPTH, _HEADS, _HIDDEN = 64, 5, 4, 8
#: Bands of a group.
_GROUP = 3
#: Pixels at once outside of training, for which memory is needed.
_CHUNK = 4096


class SpectralFormer(nn.Module):
    """Tokens are the bands, each with its neighbours, and a class token.

    Args:
        in_chans: Bands, in the order of their wavelengths.
        num_classes: Channels of the output.
        group: Bands of a group, an odd number; 1 for none.
        dropout: Share of the values that is left out in training.

    Raises:
        BadParameter: If ``group`` is even or larger than the number of bands.
    """

    def __init__(
        self, in_chans: int, num_classes: int, group: int = _GROUP, dropout: float = 0.1
    ) -> None:
        super().__init__()
        if group % 2 == 0 or not 1 <= group <= max(1, in_chans):
            raise BadParameter(
                f'group is {group}; it must be odd and at most the {in_chans} bands there are.'
            )
        self.group = group
        self.embed = nn.Linear(group, _WIDTH)
        self.cls_token = nn.Parameter(0.02 * torch.randn(1, 1, _WIDTH))
        self.pos_embed = nn.Parameter(0.02 * torch.randn(1, 1 + in_chans, _WIDTH))
        self.blocks = nn.ModuleList(_layer(dropout) for _ in range(_DEPTH))
        # for each token a mixture of two layers
        self.fusions = nn.ModuleList(
            nn.Conv2d(1 + in_chans, 1 + in_chans, (1, 2)) for _ in range(_DEPTH - 2)
        )
        self.head = nn.Sequential(nn.LayerNorm(_WIDTH), nn.Linear(_WIDTH, num_classes))

    def forward(self, x: Tensor) -> Tensor:
        """Classify the pixels of images (b, s, h, w), normalised: logits (b, k, h, w)."""
        spectra = rearrange(x, 'b s h w -> (b h w) s')
        chunks = [spectra] if self.training else spectra.split(_CHUNK)
        logits = torch.cat([self.classify(chunk) for chunk in chunks])
        return rearrange(logits, '(b h w) k -> b k h w', b=len(x), h=x.shape[-2])

    def classify(self, spectra: Tensor) -> Tensor:
        """Classify spectra (p, s): logits (p, k)."""
        # the first and last bands have the last and first ones for neighbours, as in the paper
        reach = self.group // 2
        around = (
            F.pad(spectra[:, None], (reach, reach), mode='circular')[:, 0] if reach else spectra
        )
        tokens = self.embed(around.unfold(1, self.group, 1))
        tokens = torch.cat([self.cls_token.expand(len(tokens), -1, -1), tokens], dim=1)
        tokens = tokens + self.pos_embed
        earlier: list[Tensor] = []
        for number, block in enumerate(self.blocks):
            earlier.append(tokens)
            if number > 1:
                pair = torch.stack([tokens, earlier[number - 2]], dim=-1)
                tokens = self.fusions[number - 2](pair)[..., 0]
            tokens = block(tokens)
        logits: Tensor = self.head(tokens[:, 0])
        return logits


def _layer(dropout: float) -> nn.TransformerEncoderLayer:
    layer = nn.TransformerEncoderLayer(
        _WIDTH, _HEADS, _HIDDEN, dropout, 'gelu', batch_first=True, norm_first=True
    )
    # the authors' attention drops none of its weights, without which a step takes half the time
    layer.self_attn.dropout = 0.0
    return layer


def spectralformer(
    in_chans: int = 200, num_classes: int = 2, group: int = _GROUP
) -> SpectralFormer:
    """Build SpectralFormer, the pixel-wise form.

    If you use this model in your research, please cite the following paper:

    * https://arxiv.org/abs/2107.02988

    Args:
        in_chans: Bands of the images, in the order of their wavelengths.
        num_classes: Channels of the output.
        group: Bands of a group, an odd number; 1 for none.

    Returns:
        The model, at random weights.

    Raises:
        BadParameter: If ``group`` is even or larger than the number of bands.
    """
    return SpectralFormer(in_chans, num_classes, group)
