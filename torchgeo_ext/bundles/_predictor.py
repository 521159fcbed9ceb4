"""The network of a bundle with everything before and after it."""

import torch
from einops import rearrange
from torch import Tensor, nn

from torchgeo_ext.bundles._architecture import fuses_early
from torchgeo_ext.bundles._card import Activation, BundleCard


class Predictor(nn.Module):
    """From stored pixel values to scores.

    Args:
        network: Takes normalised values, gives outputs before any activation.
        card: Says how values are normalised and what turns outputs into scores.
    """

    gain: Tensor
    bias: Tensor

    def __init__(self, network: nn.Module, card: BundleCard) -> None:
        super().__init__()
        self.network = network
        self.activation: Activation = card.output_activation
        self.early_fusion = fuses_early(network)
        # (stored * scale + offset - mean) / std as a single multiply-add, made in float64
        gain = [band.scale / band.std for band in card.bands]
        bias = [(band.offset - band.mean) / band.std for band in card.bands]
        self.register_buffer('gain', _per_band(gain), persistent=False)
        self.register_buffer('bias', _per_band(bias), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Predict.

        Args:
            x: Stored pixel values as float32, of shape (b, c, h, w), or (b, t, c, h, w) for a
                model of two dates.

        Returns:
            Scores of shape (b, k, h, w): probabilities, or predicted values for a regression.
        """
        x = torch.addcmul(self.bias, x, self.gain)
        if self.early_fusion:
            x = rearrange(x, 'b t c h w -> b (t c) h w')
        scores: Tensor = self.network(x)
        if self.activation == 'softmax':
            return scores.softmax(dim=1)
        if self.activation == 'sigmoid':
            return scores.sigmoid()
        return scores


def _per_band(values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64).float()[:, None, None]
