"""TCSSM: answers questions on pairs of images, told about the place and the disaster.

Ghazaei, E., Aptoula, E. (2025). Text-conditioned state space model for domain-generalized change
detection visual question answering. https://arxiv.org/abs/2508.08974

Axes: b batch, t date, c channel, h height, w width, f features of a text, q questions, n pixels.
"""

from functools import partial
from typing import Literal

import torch
from einops import rearrange
from torch import Tensor, nn

from torchgeo_ext.errors import BadInput
from torchgeo_ext.layers import VSSBlock
from torchgeo_ext.models._pairs import two_dates
from torchgeo_ext.models.vmamba import SIZES, VMamba, VMamba_Weights, load_backbone

_WIDTH = 256
_HEADS = 8


class TCSSM(nn.Module):
    """A shared VMamba whose scans depend on a text, and a classifier of answers.

    Neither code nor weights are published. From the paper's description are: a state space model
    that sees both images, whose lengths of steps, B and C are predicted from the image and a text
    about geography and disaster together, and answers as classes. Of this package's own making are
    the rest: VMamba as the encoder, all of whose scans are
    :class:`~torchgeo_ext.layers.TextSS2D`; the dates and their difference joined on the coarsest
    map and mixed by one more block; and questions that look at its pixels to be answered.

    Texts are given as features, by any text encoder, so that nothing has to be downloaded.

    Args:
        in_chans: Bands of each image.
        num_classes: Answers to choose from.
        text_features: Features of the description and of each question.
        size: Size of VMamba.
        backbone_weights: Weights of VMamba alone to start from.

    Raises:
        BadParameter: If the weights are those of another size.
        MissingWeights: If weights are not here and cannot be downloaded.
    """

    def __init__(
        self,
        in_chans: int = 3,
        num_classes: int = 13,
        text_features: int = 512,
        size: Literal['tiny', 'small', 'base'] = 'tiny',
        backbone_weights: VMamba_Weights | None = None,
    ) -> None:
        super().__init__()
        self.text_features = text_features
        block = partial(VSSBlock, text_features=text_features)
        self.encoder = VMamba(SIZES[size], in_chans, block)
        if backbone_weights:
            load_backbone(self.encoder, size, backbone_weights)
        self.join = nn.Linear(3 * SIZES[size].dims[-1], _WIDTH)
        self.mix = VSSBlock(_WIDTH, text_features=text_features)
        self.norm = nn.LayerNorm(_WIDTH)
        self.ask = nn.Sequential(nn.LayerNorm(text_features), nn.Linear(text_features, _WIDTH))
        self.look = nn.MultiheadAttention(_WIDTH, _HEADS, batch_first=True)
        self.answer = nn.Sequential(
            nn.LayerNorm(3 * _WIDTH),
            nn.Linear(3 * _WIDTH, _WIDTH),
            nn.GELU(),
            nn.Dropout(0.1),
            nn.Linear(_WIDTH, num_classes),
        )

    def forward(self, x: Tensor, text: Tensor, questions: Tensor) -> Tensor:
        """Answer questions.

        Args:
            x: Images before and after (b, t=2, c, h, w) of any height and width, normalised.
            text: Features of what is told about each pair (b, f).
            questions: Features of the questions on each pair (b, q, f).

        Returns:
            Logits of the answers (b, q, k).

        Raises:
            BadInput: If a text is missing or has other features.
        """
        dates = two_dates(x, multiple=32)
        self._check('text', text, (len(x), self.text_features))
        self._check('questions', questions, (len(x), -1, self.text_features))
        before, after = (
            rearrange(self.encoder(image, text)[-1], 'b c h w -> b h w c') for image in dates
        )
        joined = self.join(torch.cat([before, after, after - before], dim=-1))
        pixels = self.norm(self.mix(joined, text)).flatten(1, 2)
        asked = self.ask(questions)
        seen, _ = self.look(asked, pixels, pixels, need_weights=False)
        everywhere = pixels.mean(dim=1, keepdim=True).expand_as(asked)
        logits: Tensor = self.answer(torch.cat([asked, seen, everywhere], dim=-1))
        return logits

    def _check(self, argument: str, value: Tensor, shape: tuple[int, ...]) -> None:
        fits = value.ndim == len(shape) and all(
            wanted in (-1, size) for wanted, size in zip(shape, value.shape, strict=True)
        )
        if not fits:
            wanted = ', '.join('any number' if size == -1 else str(size) for size in shape)
            raise BadInput(
                f'{argument} has the shape {tuple(value.shape)}, not ({wanted}).',
                'Encode a description for each pair, and its questions, with one text encoder.',
            )


def tcssm(
    in_chans: int = 3,
    num_classes: int = 13,
    text_features: int = 512,
    size: Literal['tiny', 'small', 'base'] = 'tiny',
    backbone_weights: VMamba_Weights | None = None,
) -> TCSSM:
    """Build TCSSM from its description.

    If you use this model in your research, please cite the following paper:

    * https://arxiv.org/abs/2508.08974

    Args:
        in_chans: Bands of each image.
        num_classes: Answers to choose from; 13 for ``BRIGHTQuestions``.
        text_features: Features of the description and of each question.
        size: Size of VMamba.
        backbone_weights: Weights of VMamba alone to start from. Filters of the three colours are
            repeated and scaled for other numbers of bands.

    Returns:
        The model.

    Raises:
        BadParameter: If the weights are those of another size.
        MissingWeights: If weights are not here and cannot be downloaded.
    """
    return TCSSM(in_chans, num_classes, text_features, size, backbone_weights)
