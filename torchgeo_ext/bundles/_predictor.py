"""The network of a bundle with everything before and after it.

Axes: b batch, t date, c channel, h height, w width, k scores.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from torchgeo_ext.bundles._architecture import fuses_early
from torchgeo_ext.bundles._card import Activation, Band, BundleCard, Task


class Standardised(nn.Module):
    """A network behind what standardises stored pixel values for it.

    Args:
        network: Takes normalised values.
        card: Says how values are normalised.
    """

    gain: Tensor
    bias: Tensor

    def __init__(self, network: nn.Module, card: BundleCard) -> None:
        super().__init__()
        self.network = network
        # with one set of bands for both dates broadcasting is left to the tensors
        dates = [card.bands_of(date) for date in range(2 if card.bands_after else 1)]
        # (stored * scale + offset - mean) / std as a single multiply-add, made in float64
        self.register_buffer('gain', _per_band(dates, lambda b: b.scale / b.std), persistent=False)
        self.register_buffer(
            'bias', _per_band(dates, lambda b: (b.offset - b.mean) / b.std), persistent=False
        )
        self.steps = _Steps(dates) if card.bands[0].clip else None

    def _normalised(self, x: Tensor) -> Tensor:
        return torch.addcmul(self.bias, x, self.gain) if self.steps is None else self.steps(x)


class _Steps(nn.Module):
    """Clips stored pixel values, cuts them into steps and standardises them.

    In the order of :meth:`torchgeo_ext.preprocessing.Preprocessing.apply`, so that values come to
    the same step as in training.
    """

    def __init__(self, dates: 'Sequence[Sequence[Band]]') -> None:
        super().__init__()
        self.levels = dates[0][0].levels
        numbers: dict[str, Callable[[Band], float]] = {
            'scale': lambda b: b.scale,
            'offset': lambda b: b.offset,
            'low': lambda b: _span(b)[0],
            'span': lambda b: _span(b)[1],
            'mean': lambda b: (b.mean - _span(b)[0]) / _span(b)[1],
            'std': lambda b: b.std / _span(b)[1],
        }
        for name, value in numbers.items():
            self.register_buffer(name, _per_band(dates, value), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map stored pixel values to what the network sees."""
        own: Any = self
        x = ((x * own.scale + own.offset - own.low) / own.span).clamp(0, 1)
        if self.levels:
            x = (x * (self.levels - 1)).floor() / (self.levels - 1)
        return (x - own.mean) / own.std


def _span(band: Band) -> tuple[float, float]:
    """Give the value that becomes 0, and how much more becomes 1."""
    low, high = band.clip or (0.0, 1.0)
    return low, high - low


class Predictor(Standardised):
    """From stored pixel values to scores.

    Args:
        network: Takes normalised values, gives outputs before any activation.
        card: Says how values are normalised and what turns outputs into scores.
    """

    def __init__(self, network: nn.Module, card: BundleCard) -> None:
        super().__init__(network, card)
        self.task: Task = card.task
        self.activation: Activation = card.output_activation
        self.one_score = card.outputs == 1 and card.task != 'regression'
        self.early_fusion = fuses_early(network)
        self.cells = [] if card.cells is None else card.cells.sizes

    def forward(self, x: Tensor) -> Tensor:
        """Predict.

        Args:
            x: Stored pixel values as float32, of shape (b, c, h, w), or (b, t, c, h, w) for a
                model of two dates, and for several images of a place whose ``geolocation`` is
                asked for. For a ``map_update`` (b, t * c + 1, h, w): the bands of both
                dates, then the map as numbers of its classes from 1, 0 being none.

        Returns:
            Scores of shape (b, k, h, w): probabilities, or predicted values for a regression. A
            model of several maps gives them one after the other, see :attr:`BundleCard.maps`; a
            ``classification`` gives those of whole tiles, (b, k), and a ``geolocation`` those of
            cells, of one partition after the other.
        """
        if self.task == 'map_update':
            pair = rearrange(x[:, :-1], 'b (t c) h w -> b t c h w', t=2)
            return self._updates(self.network(self._normalised(pair), x[:, -1].long()))
        x = self._normalised(x)
        if self.early_fusion:
            x = rearrange(x, 'b t c h w -> b (t c) h w')
        outputs = self.network(x)
        if self.task == 'change' and isinstance(outputs, tuple):
            outputs = outputs[0]  # a network that tells land cover as well
        if isinstance(outputs, tuple):
            return torch.cat([_yes(outputs[0]), *map(_classes, outputs[1:])], dim=1)
        if self.cells:
            parts = outputs.split(self.cells, dim=1)
            return torch.cat([part.softmax(dim=1) for part in parts], dim=1)
        if self.activation == 'softmax':
            return outputs.softmax(dim=1)
        if self.activation == 'sigmoid':
            return _yes(outputs) if self.one_score else outputs.sigmoid()
        scores: Tensor = outputs
        return scores

    def _updates(self, logits: Tensor) -> Tensor:
        """Give the score of change and, if the network tells them, of the new classes."""
        if self.activation == 'sigmoid':
            return _yes(logits)
        return torch.cat([1 - logits.softmax(dim=1)[:, :1], _classes(logits)], dim=1)


def _yes(logits: Tensor) -> Tensor:
    """Give the score of a yes (b, 1, h, w) from logits of it, or of no and yes."""
    return logits.sigmoid() if logits.shape[1] == 1 else logits.softmax(dim=1)[:, 1:]


def _classes(logits: Tensor) -> Tensor:
    """Give the scores of classes; the first of the logits (b, k, h, w) stands for none of them."""
    return logits[:, 1:].softmax(dim=1)


def _per_band(dates: Sequence[Sequence[Band]], value: Callable[[Band], float]) -> Tensor:
    """Give a value per band, (c, 1, 1) or (t, c, 1, 1)."""
    values = torch.tensor([[value(band) for band in bands] for bands in dates], dtype=torch.float64)
    return (values if len(dates) > 1 else values[0]).float()[..., None, None]
