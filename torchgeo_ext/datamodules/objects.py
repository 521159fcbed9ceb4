"""Data module for the published images with objects."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torchgeo.datamodules import NonGeoDataModule
from torchgeo.datasets.utils import Sample

from torchgeo_ext.datamodules._augment import augmentation
from torchgeo_ext.datamodules._filled import filled_up, stack_maps
from torchgeo_ext.datasets._objects import ObjectImages
from torchgeo_ext.errors import BadParameter
from torchgeo_ext.transforms import Standardise


class ObjectDataModule(NonGeoDataModule):
    """Tiles of images with boxes, for TorchGeo's ``ObjectDetection`` and our tasks.

    Values are divided by 255; torchvision's detectors do the rest. Classes count from 1, as 0 is
    the background there: ``num_classes`` of the task is their number plus one. Training tiles are
    flipped at random with their boxes: upright ones and, of datasets that have them, rotated ones
    for ``RotatedObjectDetection``. Smaller tiles are filled up with 0 on the right and below.

    In YAML::

        data:
          class_path: ObjectDataModule
          init_args:
            dataset: torchgeo_ext.datasets.HRPlanesV2
            root: data/hrplanes
          dict_kwargs: {overlap: 128}

    Args:
        dataset: Class of the dataset: ``CloudTracks``, ``GDIT``, ``HRPlanesV2`` or ``STAR``.
        root: Folder with the data.
        batch_size: Tiles per step.
        tile_size: Height and width of tiles in pixels; whole images if None.
        num_workers: Processes that read tiles.
        with_objects: Leave out training tiles without objects.
        flip: Flip training tiles at random.
        maps: Give the map of what objects cover instead of their boxes, for segmentation; -1 where
            smaller tiles are filled up. Training tiles are flipped and turned then.
        **kwargs: Further arguments of the dataset, such as ``overlap`` and ``visible``.
    """

    def __init__(
        self,
        dataset: type[ObjectImages],
        root: str = 'data',
        batch_size: int = 4,
        tile_size: int | None = 1024,
        num_workers: int = 0,
        *,
        with_objects: bool = True,
        flip: bool = True,
        maps: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(dataset, batch_size, num_workers, root=root, tile_size=tile_size, **kwargs)
        self.with_objects = with_objects
        self.aug = Standardise([0.0], [255.0])
        if maps:
            self.collate_fn = _stack_maps
            self.train_aug = augmentation((), self.aug, turn=flip)
        else:
            self.collate_fn = _stack
            self.train_aug = nn.Sequential(FlipBoxes(), self.aug) if flip else self.aug

    def setup(self, stage: str) -> None:
        """Open the splits that a stage needs.

        Args:
            stage: ``fit``, ``validate``, ``test`` or ``predict``.
        """
        if stage == 'fit':
            self.train_dataset = self._open('train', with_objects=self.with_objects)
        if stage in ('fit', 'validate'):
            self.val_dataset = self._open('val')
        if stage == 'test':
            self.test_dataset = self._open('test')
        if stage == 'predict':
            self.predict_dataset = self._open('test')

    def _open(self, split: str, **options: Any) -> ObjectImages:
        dataset = self.dataset_class(split=split, **self.kwargs, **options)  # type: ignore[call-arg]
        assert isinstance(dataset, ObjectImages)
        return dataset


class FlipBoxes(nn.Module):
    """Flip each image of a batch to the left and upside down, or not, with its boxes."""

    def forward(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Flip ``image`` (b, c, h, w), ``bbox_xyxy``, a list of (n, 4), and ``bbox``, of (n, 8)."""
        images, boxes = list(batch['image']), list(batch['bbox_xyxy'])
        corners = list(batch.get('bbox', ()))
        for number, dimension in torch.rand(len(images), 2).lt(0.5).nonzero().tolist():
            low, high = dimension, dimension + 2
            axis = -1 - dimension  # x runs along the width
            size = images[number].shape[axis]
            images[number] = images[number].flip(axis)
            turned = boxes[number].clone()
            turned[:, [low, high]] = size - boxes[number][:, [high, low]]
            boxes[number] = turned
            if corners:
                moved = corners[number].clone()
                moved[:, dimension::2] = size - moved[:, dimension::2]
                corners[number] = moved
        flipped = {'image': torch.stack(images), 'bbox_xyxy': boxes}
        return batch | flipped | ({'bbox': corners} if corners else {})


def _stack(samples: Sequence[Sample]) -> dict[str, Any]:
    """Join tiles, filled up to one size, and give their boxes and classes as lists."""
    boxes = [name for name in ('bbox_xyxy', 'bbox') if name in samples[0]]
    return {
        'image': filled_up([sample['image'] for sample in samples], 0.0),
        **{name: [sample[name] for sample in samples] for name in boxes},
        'label': [sample['label'] + 1 for sample in samples],
    }


def _stack_maps(samples: Sequence[Sample]) -> dict[str, Any]:
    """Join tiles and their maps, filled up to one size."""
    if 'mask' not in samples[0]:
        raise BadParameter(
            'maps is true, but the dataset has no maps of what its objects cover.',
            'Choose one with outlines, such as CloudTracks, or leave maps out.',
        )
    return stack_maps(samples)
