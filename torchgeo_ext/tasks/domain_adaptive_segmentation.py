"""Segmentation of a scene without labels, learned from another one that has some.

Axes: b batch, c channel, h height, w width, k classes.
"""

import copy
from collections.abc import Mapping
from typing import Any

import kornia.augmentation as K
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import WeightsEnum

from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.tasks.masked_segmentation import MaskedSegmentation
from torchgeo_ext.transforms import KorniaSequential, SpectralJitter
from torchgeo_ext.transforms.mixing import random_classes

type Batch = Mapping[str, Any]


class DomainAdaptiveSegmentation(MaskedSegmentation):
    """Trains a network on a labelled source and an unlabelled target, mixing them both ways.

    A training batch has ``source`` and ``target``, as
    :class:`~torchgeo_ext.datamodules.DomainDataModule` gives them, each with ``image``
    (b, c, h, w); that of the source has ``mask`` (b, h, w). Labels of the target are not looked at
    in training; validation and tests are on what the data module gives there.

    A teacher, the moving average of the network, labels the target. Half of the classes of the
    source, rare ones of the batch more often, are pasted onto the target, and half of the classes
    that the teacher is sure of are pasted from the target onto the source; the network learns from
    the source and from both mixtures, whose values are distorted and blurred. Where pixels are the
    target's, the loss is weighted by the share of the target that the teacher is sure of.
    Distortions are made for standardised images.

    This is the counterpart of Bi-Mix for images of the Earth, not Bi-Mix itself: it has neither the
    network that relights images nor discriminators, and no classes are taken for moving ones. The
    teacher is not kept in checkpoints: a training that goes on starts it from the network.

    Yang, G. et al. (2021). Bi-Mix: bidirectional mixing for domain adaptive nighttime semantic
    segmentation. https://arxiv.org/abs/2111.10339

    Tranheden, W. et al. (2021). DACS: domain adaptation via cross-domain mixed sampling. WACV.
    https://arxiv.org/abs/2007.08702 (the weights)
    """

    def __init__(
        self,
        threshold: float = 0.968,
        momentum: float = 0.99,
        mix_weight: float = 1.0,
        distort: bool = True,
        weights: WeightsEnum | str | bool | None = None,
        ignore_index: int = -1,
        **options: Any,
    ) -> None:
        """Initialize a new DomainAdaptiveSegmentation instance.

        Args:
            threshold: Probability from which on the teacher is sure, 0 to 1.
            momentum: How much of the teacher stays in each step, 0 to below 1; less in the first
                ones.
            mix_weight: Weight of the mixtures.
            distort: Whether values of the mixtures are distorted and blurred. Leave it out where
                little but brightness tells classes apart.
            weights: Weights of the encoder to start from: True for those of ImageNet, or their
                name or file.
            ignore_index: Marks pixels without label.
            options: Further arguments of :class:`MaskedSegmentation`.

        Raises:
            BadParameter: If a number is out of its range, or ``task`` is not ``multiclass``.
        """
        if not 0 <= threshold <= 1 or not 0 <= momentum < 1:
            raise BadParameter(
                f'threshold is {threshold} and momentum {momentum}; they must be from 0 to 1, and '
                'momentum below 1.'
            )
        super().__init__(weights=weights, ignore_index=ignore_index, **options)
        if self.hparams['task'] != 'multiclass':
            raise BadParameter(
                f'task is {self.hparams["task"]!r}; classes can be mixed where it is multiclass.'
            )
        self.distort = nn.Sequential()
        if distort:
            self.distort.append(SpectralJitter(gain=0.25, offset=0.25, length=0, p=0.8))
            self.distort.append(KorniaSequential(K.RandomGaussianBlur((5, 5), (0.1, 2.0), p=0.5)))
        # in a list, so that it is no part of the network
        self._teachers: list[nn.Module] = []

    @property
    def teacher(self) -> nn.Module:
        """The moving average of the network; a copy of it before the first step."""
        if not self._teachers:
            self._teachers.append(copy.deepcopy(self.model).requires_grad_(False).eval())
        return self._teachers[0]

    def on_fit_start(self) -> None:
        """Start the teacher, on the device of the network."""
        self._teachers.clear()
        self.teacher.to(self.device)

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Let the teacher follow the network."""
        self.follow(self.global_step)

    @torch.no_grad()
    def follow(self, step: int) -> None:
        """Move the teacher towards the network.

        Args:
            step: How many steps the network has made; in the first ones it moves further.
        """
        share = 1 - min(self.hparams['momentum'], 1 - 1 / (step + 1))
        state = self.model.state_dict()
        for name, value in self.teacher.state_dict().items():
            if value.is_floating_point():
                value.lerp_(state[name], share)
            else:
                value.copy_(state[name])

    def training_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Tensor:
        """Compute the loss of a training batch."""
        loss = self.learn(batch)
        self.log('train_loss', loss, batch_size=len(batch['source']['image']))
        return loss

    def learn(self, batch: Batch) -> Tensor:
        """Compute the loss of the source and of both mixtures, and count the source.

        Args:
            batch: Has ``source`` and ``target``.

        Raises:
            BadInput: If one of them is missing.
        """
        if not {'source', 'target'} <= batch.keys():
            raise BadInput(
                f'A training batch has {", ".join(batch)}, but neither source nor target.',
                'Use DomainDataModule, which joins two data modules.',
            )
        image, mask = batch['source']['image'], _flat(batch['source']['mask'])
        logits = self(image)
        self.train_metrics(logits, mask)
        loss: Tensor = self.criterion(logits, mask)
        other = batch['target']['image']
        # the last batches of an epoch may differ in size
        order = torch.arange(len(image), device=image.device) % len(other)
        guess, sure = (each[order] for each in self.guess(batch['target']))
        mixed = self._mixed((image, mask), (other[order], guess), sure)
        return loss + self.hparams['mix_weight'] * mixed

    @torch.no_grad()
    def guess(self, target: Batch) -> tuple[Tensor, Tensor]:
        """Let the teacher label the target.

        Args:
            target: Has ``image`` (b, c, h, w) and may have ``mask_valid`` (b, h, w).

        Returns:
            Classes (b, h, w), ``ignore_index`` where nothing was measured, and where it is sure.
        """
        confidence, guess = self.teacher(target['image']).softmax(dim=1).max(dim=1)
        sure = confidence >= self.hparams['threshold']
        if 'mask_valid' in target:
            valid = _flat(target['mask_valid']).bool()
            guess, sure = guess.where(valid, self.hparams['ignore_index']), sure & valid
        return guess, sure

    def _mixed(
        self, source: tuple[Tensor, Tensor], target: tuple[Tensor, Tensor], sure: Tensor
    ) -> Tensor:
        """Compute the mean loss of both mixtures.

        Args:
            source: Images and their labels.
            target: Images and the teacher's.
            sure: Where the teacher is (b, h, w).
        """
        (image, mask), (other, guess) = source, target
        ignore = self.hparams['ignore_index']
        trust = sure.float().mean(dim=(1, 2))[:, None, None].expand(guess.shape)
        forth = random_classes(mask, ignore, self._rarity(mask))
        back = ~random_classes(guess.where(sure, ignore), ignore, self._rarity(guess))
        # True where pixels are the source's
        losses = [
            self._entropy(
                torch.where(from_source[:, None], image, other),
                torch.where(from_source, mask, guess),
                torch.where(from_source, torch.ones_like(trust), trust),
            )
            for from_source in (forth, back)
        ]
        return torch.stack(losses).mean()

    def _entropy(self, image: Tensor, mask: Tensor, weight: Tensor) -> Tensor:
        distorted = self.distort({'image': image, 'mask': mask})['image']
        ignore = self.hparams['ignore_index']
        entropy = F.cross_entropy(self(distorted), mask, reduction='none', ignore_index=ignore)
        return (entropy * weight).sum() / (mask != ignore).sum().clamp(min=1)

    def _rarity(self, mask: Tensor) -> Tensor:
        """Weight the classes of a batch (k,) by how rare they are in it."""
        known = mask[mask != self.hparams['ignore_index']]
        counts = torch.bincount(known, minlength=self.hparams['num_classes'])
        return 1 / counts.clamp(min=1).float()


def _flat(mask: Tensor) -> Tensor:
    """Give a mask (b, h, w) of one that may have an axis of bands."""
    return mask.long().reshape(len(mask), *mask.shape[-2:])
