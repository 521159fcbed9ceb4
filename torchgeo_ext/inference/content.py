"""What a trained model, or one of vision and language, sees in a single image.

Both are sources of pseudo-labels for :func:`torchgeo_ext.datasets.write_pseudo_labels`.

Axes: b batch, c channel, h height, w width, k classes, n instances.
"""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor, nn

from torchgeo_ext.datasets import ImageContent
from torchgeo_ext.errors import BadInput, BadParameter, MissingDependency, MissingWeights

#: Networks with a pyramid of maps take multiples of this.
_STRIDE = 32

type Activation = Literal['softmax', 'sigmoid']


class SegmenterContent:
    """Asks a segmentation model; objects are connected pixels of the classes looked for.

    Args:
        model: Takes stored values (b, c, h, w) and gives scores (b, k, h, w), such as
            ``read_bundle(...).build()``. A single score is that of the second of two classes.
        targets: Numbers of the classes whose change is looked for.
        activation: What turns the scores into probabilities; nothing for those of bundles, mostly
            ``softmax`` for registered models.
        device: Where to compute.
    """

    def __init__(
        self,
        model: nn.Module,
        targets: Sequence[int],
        activation: Activation | None = None,
        device: str | torch.device = 'cpu',
    ) -> None:
        self.model = model.eval().to(device)
        self.targets = targets
        self.activation = activation
        self.device = device

    @torch.no_grad()
    def __call__(self, image: Tensor) -> ImageContent:
        """Tell what is in an image (c, h, w)."""
        height, width = image.shape[-2:]
        padding = (0, -width % _STRIDE, 0, -height % _STRIDE)
        scores: Tensor = self.model(F.pad(image[None].to(self.device), padding, 'replicate'))
        if self.activation == 'softmax':
            scores = scores.softmax(dim=1)
        elif self.activation == 'sigmoid':
            scores = scores.sigmoid()
        probabilities = scores[0, :, :height, :width].cpu()
        if len(probabilities) == 1:
            probabilities = torch.cat([1 - probabilities, probabilities])
        return ImageContent(probabilities, connected(probabilities, self.targets))


def connected(probabilities: Tensor, targets: Sequence[int], lowest: float = 0.0) -> Tensor:
    """Give objects: connected pixels whose likeliest class is one of some.

    Args:
        probabilities: Of each class (k, h, w).
        targets: Numbers of the classes.
        lowest: Probability that a pixel of an object has at least.

    Returns:
        Pixels of each object (n, h, w); those that touch by a corner are one.
    """
    likeliest, classes = probabilities.max(dim=0)
    shown = torch.isin(classes, classes.new_tensor(targets)) & (likeliest >= lowest)
    numbered, number = ndimage.label(shown.numpy(), structure=np.ones((3, 3)))
    return torch.from_numpy(numbered) == torch.arange(1, number + 1)[:, None, None]


class CLIPSegContent:
    """Asks CLIPSeg, which finds what words name, without training.

    SemiCD-VL asks a larger model, APE, with the same words by default; its probabilities are
    sharper, so ``doubt`` should be lower here. Needs the packages of ``torchgeo_ext[language]``;
    the weights are fetched from Hugging Face when first used.

    Lüddecke, T., Ecker, A. (2022). Image segmentation using text and image prompts. CVPR.
    https://arxiv.org/abs/2112.10003

    Args:
        prompts: What to look for; each is a class.
        targets: Numbers of the classes whose change is looked for.
        lowest: Probability that a pixel of an object has at least.
        weights: Name on Hugging Face, or a folder.
        device: Where to compute.

    Raises:
        MissingDependency: If transformers is not installed.
        MissingWeights: If the weights are not here and cannot be downloaded.
    """

    def __init__(
        self,
        prompts: Sequence[str] = ('house', 'building', 'road', 'grass', 'tree', 'water'),
        targets: Sequence[int] = (0, 1),
        lowest: float = 0.2,
        weights: str = 'CIDAS/clipseg-rd64-refined',
        device: str | torch.device = 'cpu',
    ) -> None:
        if not prompts:
            raise BadParameter('prompts is empty.', 'Name what to look for, such as building.')
        try:
            import transformers
        except ImportError as error:
            raise MissingDependency(
                'CLIPSeg needs the package transformers, which is not installed.',
                "Install it with: pip install 'torchgeo_ext[language]'",
            ) from error
        try:
            self.processor: Any = transformers.CLIPSegProcessor.from_pretrained(weights)
            model: Any = transformers.CLIPSegForImageSegmentation.from_pretrained(weights)
        except OSError as error:
            raise MissingWeights(
                f'weights: {weights!r} is not on this machine and could not be downloaded '
                f'({error}).',
                'Connect to the network once, or name a folder that holds them.',
            ) from error
        self.model = model.eval().to(device)
        self.prompts = list(prompts)
        self.targets = targets
        self.lowest = lowest
        self.device = device

    @torch.no_grad()
    def __call__(self, image: Tensor) -> ImageContent:
        """Tell what is in an image (c=3, h, w): red, green and blue from 0 to 255.

        Raises:
            BadInput: If it has other bands.
        """
        if image.ndim != 3 or len(image) != 3:
            raise BadInput(
                f'The image has the shape {tuple(image.shape)}, not (3, height, width).',
                'CLIPSeg sees red, green and blue only; choose these bands.',
            )
        pictures = [image.clamp(0, 255).byte().numpy()] * len(self.prompts)
        given = self.processor(
            text=self.prompts, images=pictures, padding=True, return_tensors='pt'
        )
        logits: Tensor = self.model(**given.to(self.device)).logits
        # a single prompt has lost its axis
        maps = logits.reshape(1, len(self.prompts), *logits.shape[-2:]).sigmoid().cpu()
        probabilities = F.interpolate(maps, image.shape[-2:], mode='bilinear')[0]
        return ImageContent(probabilities, connected(probabilities, self.targets, self.lowest))
