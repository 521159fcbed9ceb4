"""Data module for S2-100K, which SatCLIP was trained with."""

import logging
from typing import Any, Literal

import kornia.augmentation as K
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import Subset
from torchgeo.datamodules import NonGeoDataModule
from torchgeo.datasets import S2100k
from torchgeo.datasets.utils import Sample

from torchgeo_ext.datamodules._places import split_at_random, split_by_blocks
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.transforms import KorniaSequential, Rescale

log = logging.getLogger(__name__)

#: Where B10, which level 2A does not have, stands among the bands of level 1C.
_B10 = 10
#: What the stored numbers are divided by.
_SCALE = 10_000.0


class S2100kDataModule(NonGeoDataModule):
    """Sentinel-2 patches and their places, as SatCLIP sees them.

    Batches have ``image`` (b, 13, h, w), reflectance with a band of zeros in place of B10, and
    ``point`` (b, 2), longitude and latitude in degrees, float64. Small files, most of whose pixels
    are the same, are left out as in the publication. What differs from it, on purpose:

    - validation is on whole blocks of the globe with a margin around, not on patches at random
      between those of the training (``split: random`` is the published way);
    - validation patches are cropped in the middle and places left where they are, while the
      published code augments them at random too;
    - places are moved in all directions, by up to half of ``jitter``; the published code moves them
      to the north-east alone, by up to all of it.

    The published code is https://github.com/microsoft/satclip.

    In YAML::

        data:
          class_path: S2100kDataModule
          init_args: {root: data/s2100k, batch_size: 512, num_workers: 8}

    Args:
        root: Folder with ``index.csv`` and ``images``.
        batch_size: Patches per step.
        num_workers: Processes that read patches.
        crop_size: Height and width of what is shown of a patch, in pixels: 256 for ResNets, 224 for
            vision transformers.
        split: ``blocked`` or ``random``.
        share: Which part of the patches to validate by; 0 for none, to learn from all of them with
            ``limit_val_batches: 0`` of the trainer.
        block_size: Side of the blocks in metres.
        buffer: Metres around places held out that are not learned from; an eighth of a block if not
            given.
        smallest_file: Bytes below which files are left out.
        jitter: Width, in degrees, of the square in which places of the training are moved.
        augment: Whether training patches are flipped and blurred at random.
        seed: Decides on the split.
        **kwargs: Further arguments of :class:`torchgeo.datasets.S2100k`, such as ``download``.

    Raises:
        BadParameter: If a number is out of its range.
    """

    def __init__(
        self,
        root: str = 'data',
        batch_size: int = 512,
        num_workers: int = 0,
        *,
        crop_size: int = 256,
        split: Literal['blocked', 'random'] = 'blocked',
        share: float = 0.1,
        block_size: float = 500_000.0,
        buffer: float | None = None,
        smallest_file: int = 10_000,
        jitter: float = 0.01,
        augment: bool = True,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(S2100k, batch_size, num_workers, root=root, **kwargs)
        if not 0 <= share <= 0.5:
            raise BadParameter(f'share is {share}; it must be from 0 to 0.5.')
        for name, value in (('crop_size', crop_size), ('block_size', block_size)):
            if value <= 0:
                raise BadParameter(f'{name} is {value}; it must be above 0.')
        for name, value in (('jitter', jitter), ('buffer', buffer or 0.0)):
            if value < 0:
                raise BadParameter(f'{name} is {value}; it must not be below 0.')
        self.split = split
        self.share = share
        self.block_size = block_size
        self.buffer = buffer
        self.smallest_file = smallest_file
        self.seed = seed
        prepare = [Rescale([1 / _SCALE], [0.0]), InsertZeros(_B10)]
        flips = [K.RandomHorizontalFlip(), K.RandomVerticalFlip()]
        blur = K.RandomGaussianBlur((3, 3), (0.1, 2.0), p=1.0)
        turned = [KorniaSequential(*flips, blur)] if augment else []
        self.aug = nn.Sequential(*prepare, Crop(crop_size))
        self.train_aug = nn.Sequential(
            *prepare, Crop(crop_size, at_random=True), *turned, MovePoints(jitter)
        )
        # in case something shows images as standardised ones
        self.mean, self.std = torch.tensor(0.0), torch.tensor(1.0)

    def setup(self, stage: str) -> None:
        """Open the patches and split them; there is no test part, so that of validation serves.

        Args:
            stage: ``fit``, ``validate``, ``test`` or ``predict``, which takes all patches.

        Raises:
            BadInput: If there are too few patches to fill a batch.
            BadParameter: If there are too few blocks.
        """
        dataset = self.dataset_class(**self.kwargs)
        assert isinstance(dataset, S2100k)
        used = self._large_enough(dataset)
        if stage == 'predict':
            self.predict_dataset = _part(dataset, used)
            return
        places = dataset.index[['lon', 'lat']].to_numpy(float)[used]
        learned, judged = self._split(places)
        log.info(
            'Patches to learn from: %d, to be judged by: %d, in the margin: %d, too small: %d.',
            len(learned), len(judged), len(used) - len(learned) - len(judged),
            len(dataset) - len(used),
        )  # fmt: skip
        if stage == 'fit':
            if len(learned) < self.batch_size:
                raise BadInput(
                    f'batch_size is {self.batch_size}, but there are {len(learned)} patches to '
                    'learn from, so there is no whole batch.',
                    'Choose a smaller batch_size, or a folder with more patches.',
                )
            self.train_dataset = _part(dataset, used[learned])
        if len(judged):
            self.val_dataset = self.test_dataset = _part(dataset, used[judged])

    def _split(self, places: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Number places (n, 2) to learn from and to be judged by."""
        if not self.share:
            return np.arange(len(places)), np.arange(0)
        if self.split == 'random':
            return split_at_random(len(places), self.share, self.seed)
        return split_by_blocks(places, self.share, self.block_size, self.buffer, self.seed)

    def _large_enough(self, dataset: S2100k) -> NDArray[np.int64]:
        """Number the patches whose files are not too small."""
        images = dataset.root / 'images'
        sizes = np.array([(images / name).stat().st_size for name in dataset.index['fn']])
        used = np.flatnonzero(sizes >= self.smallest_file)
        if not len(used):
            raise BadInput(
                f'smallest_file is {self.smallest_file}, but no file in {images} is that large.',
                'Choose a smaller number.',
            )
        return used


def _part(dataset: S2100k, numbers: NDArray[np.int64]) -> Subset[Sample]:
    return Subset(dataset, numbers.tolist())


class InsertZeros(nn.Module):
    """Put a band of zeros among those of a batch.

    Args:
        position: Where, from 0.
    """

    def __init__(self, position: int) -> None:
        super().__init__()
        self.position = position

    def forward(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Give ``image`` (b, c, h, w) a band more."""
        image: Tensor = batch['image']
        before, after = image[:, : self.position], image[:, self.position :]
        return batch | {'image': torch.cat([before, torch.zeros_like(image[:, :1]), after], dim=1)}


class Crop(nn.Module):
    """Cut a square from each image of a batch.

    Args:
        size: Its side in pixels.
        at_random: Whether it lies anywhere, in each image elsewhere, or in the middle.
    """

    def __init__(self, size: int, *, at_random: bool = False) -> None:
        super().__init__()
        self.size = size
        self.at_random = at_random

    def forward(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Crop ``image`` (b, c, h, w).

        Raises:
            BadInput: If it is smaller.
        """
        image: Tensor = batch['image']
        room = torch.tensor(image.shape[-2:]) - self.size
        if (room < 0).any():
            raise BadInput(
                f'crop_size is {self.size}, but patches have {image.shape[-2]} x '
                f'{image.shape[-1]} pixels.',
                'Choose a smaller one.',
            )
        if not room.any():
            return batch
        if self.at_random:
            corners = (torch.rand(len(image), 2) * (room + 1)).long()
        else:
            corners = (room // 2).expand(len(image), 2)
        cut = [
            each[:, top : top + self.size, left : left + self.size]
            for each, (top, left) in zip(image, corners.tolist(), strict=True)
        ]
        return batch | {'image': torch.stack(cut)}


class MovePoints(nn.Module):
    """Move places a little, in any direction.

    Args:
        width: Of the square, in degrees, in the middle of which a place is.
    """

    def __init__(self, width: float) -> None:
        super().__init__()
        self.width = width

    def forward(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Move ``point`` (b, 2), longitude and latitude in degrees; no pole is passed."""
        point: Tensor = batch['point']
        moved = point + (torch.rand(point.shape, dtype=point.dtype) - 0.5).to(point) * self.width
        longitude, latitude = moved.unbind(dim=-1)
        return batch | {'point': torch.stack([longitude, latitude.clamp(-90, 90)], dim=-1)}
