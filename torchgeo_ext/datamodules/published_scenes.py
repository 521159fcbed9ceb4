"""Data module for published images of scenes, cut and normalised as weights were trained with."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torchvision.transforms.v2 as T
from torch import nn
from torchgeo.datamodules import NonGeoDataModule
from torchgeo.datasets import NonGeoDataset
from torchgeo.models import get_weight
from torchvision.models import WeightsEnum

from torchgeo_ext.datamodules._augment import augmentation
from torchgeo_ext.errors import BadParameter
from torchgeo_ext.models.inputs import preprocessing_of
from torchgeo_ext.preprocessing import Preprocessing


class PublishedSceneDataModule(NonGeoDataModule):
    """Training, validation and test images of a published dataset with classes of scenes.

    Most networks are fine-tuned on parts of training images, of random size and shape, resized to
    one size; the others are resized and, if their middle is what counts, cropped. That is done to
    each image by itself, so that images of all sizes go into a batch. Values are normalised as in
    the training of some weights, whatever a network starts from.

    In YAML::

        data:
          class_path: PublishedSceneDataModule
          init_args:
            dataset: torchgeo_ext.datasets.FMoWSentinel
            root: data/fmow
            as_pretrained: SatMAEPP_Weights.SENTINEL2_FMOW_MAE
          dict_kwargs: {bands: [B2, B3, B4, B5, B6, B7, B8, B8A, B11, B12]}

    Args:
        dataset: Class of the dataset, one of ours or of TorchGeo's that gives ``image`` (c, h, w),
            stored values, and ``label``.
        root: Folder with the data.
        batch_size: Images per step.
        num_workers: Processes that read images.
        as_pretrained: Weights, or their name, whose training says how values are normalised, and
            what sizes are if they are not given.
        size: Height and width in pixels of what the network sees.
        resize: Length of the shorter side in pixels that validation and test images are resized to
            before their middle is cut; they are resized to ``size`` as a whole if None.
        scale: Smallest and largest share of an image that a training image shows, above 0 to 1.
        transforms: What is done to training batches before they are normalised: modules that take
            a batch as a dict, and single augmentations of kornia.
        turn: Flip and turn training images at random.
        val_split: Split that decides which epoch is the best.
        test_split: Split that is tested and predicted; ``val`` for datasets without a test split.
        **kwargs: Further arguments of the dataset, such as ``bands``.

    Raises:
        BadParameter: If it is not known what was done in the training of the weights, there is no
            size, or ``scale`` cannot be.
    """

    def __init__(
        self,
        dataset: type[NonGeoDataset],
        root: str = 'data',
        batch_size: int = 64,
        num_workers: int = 0,
        *,
        as_pretrained: WeightsEnum | str,
        size: int | None = None,
        resize: int | None = None,
        scale: Sequence[float] = (0.3, 1.0),
        transforms: Sequence[nn.Module] = (),
        turn: bool = True,
        val_split: str = 'val',
        test_split: str = 'test',
        **kwargs: Any,
    ) -> None:
        if len(scale) != 2 or not 0 < scale[0] <= scale[1] <= 1:
            raise BadParameter(
                f'scale is {list(scale)}; it must be a smaller and a larger share above 0 to 1.'
            )
        super().__init__(dataset, batch_size, num_workers, root=root, **kwargs)
        self.val_split, self.test_split = val_split, test_split
        known = _preprocessing(as_pretrained)
        if size is None:
            size, resize = known.crop or known.resize, known.resize if known.crop else None
        if size is None:
            raise BadParameter(
                f'size: {as_pretrained} were trained on images of no certain size.', 'Give a size.'
            )
        self.preprocessing = known
        way = T.InterpolationMode(known.interpolation)
        self.part = T.RandomResizedCrop(size, (scale[0], scale[1]), interpolation=way)
        self.whole: nn.Module = T.Resize([size, size], way)
        if resize is not None:
            self.whole = nn.Sequential(T.Resize(resize, way), T.CenterCrop(size))
        # tasks undo it in figures
        self.mean, self.std = torch.tensor(0), torch.tensor(1)
        self.aug = _OfSamples(known.transform(resized=False))
        self.train_aug = augmentation(transforms, self.aug, turn=turn)

    def setup(self, stage: str) -> None:
        """Open the splits that a stage needs.

        Args:
            stage: ``fit``, ``validate``, ``test`` or ``predict``.
        """
        if stage == 'fit':
            self.train_dataset = self._open('train', self.part)
        if stage in ('fit', 'validate'):
            self.val_dataset = self._open(self.val_split, self.whole)
        if stage == 'test':
            self.test_dataset = self._open(self.test_split, self.whole)
        if stage == 'predict':
            self.predict_dataset = self._open(self.test_split, self.whole)

    def _open(self, split: str, resize: nn.Module) -> NonGeoDataset:
        options = {'split': split, 'transforms': _OfSamples(resize), **self.kwargs}
        dataset = self.dataset_class(**options)
        assert isinstance(dataset, NonGeoDataset)
        return dataset


class _OfSamples(nn.Module):
    """Does something to the ``image`` of a sample or a batch, and to nothing else."""

    def __init__(self, change: nn.Module) -> None:
        super().__init__()
        self.change = change

    def forward(self, sample: Mapping[str, Any]) -> dict[str, Any]:
        """Change the image (..., c, h, w)."""
        return {**sample, 'image': self.change(sample['image'])}


def _preprocessing(weights: WeightsEnum | str) -> Preprocessing:
    known = preprocessing_of(get_weight(weights) if isinstance(weights, str) else weights)
    if known is None:
        raise BadParameter(
            f'as_pretrained: it is not known what was done in the training of {weights}.',
            'Name weights that say it, such as SatMAEPP_Weights.SENTINEL2_FMOW_MAE.',
        )
    return known
