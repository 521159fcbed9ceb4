"""Data module for patches of multispectral sensors with a map of each."""

from collections.abc import Sequence
from typing import Any

from torch import nn

from torchgeo_ext.datamodules._published_card import published_card
from torchgeo_ext.datamodules._standardised import StandardisedDataModule, published_figures
from torchgeo_ext.datasets._spectral_patches import SpectralPatches


class SpectralPatchDataModule(StandardisedDataModule):
    """Patches of MARIDA or SegMunich, standardised with the published figures.

    Training patches are flipped and turned at random, maps alike. Batches tell the wavelengths of
    the bands, which networks that go by them are told by our tasks; checkpoints tell bands and
    figures, so that they become bundles.

    In YAML::

        data:
          class_path: SpectralPatchDataModule
          init_args: {dataset: torchgeo_ext.datasets.MARIDA, root: data/marida, tile_size: 96}

    Args:
        dataset: Class of the dataset.
        root: Folder with the data.
        batch_size: Patches or tiles per step.
        num_workers: Processes that read patches.
        bands: Names of the bands; all if not given.
        tile_size: Cut patches into squares of so many pixels; whole patches if None.
        overlap: Pixels that neighbouring tiles share.
        transforms: What is done to training batches before they are standardised: modules that
            take a batch as a dict, and single augmentations of kornia.
        turn: Flip and turn training patches at random.
        **kwargs: Further arguments of the dataset, such as ``merge_water`` or ``val_share``.

    Raises:
        BadParameter: If there is no such band.
    """

    def __init__(
        self,
        dataset: type[SpectralPatches],
        root: str = 'data',
        batch_size: int = 64,
        num_workers: int = 0,
        *,
        bands: list[str] | None = None,
        tile_size: int | None = None,
        overlap: int = 0,
        transforms: Sequence[nn.Module] = (),
        turn: bool = True,
        **kwargs: Any,
    ) -> None:
        mean, std = published_figures(dataset, dataset.choose(bands))
        super().__init__(
            dataset,
            batch_size,
            num_workers,
            mean=mean,
            std=std,
            transforms=transforms,
            turn=turn,
            root=root,
            bands=bands,
            tile_size=tile_size,
            overlap=overlap,
            **kwargs,
        )

    def state_dict(self) -> dict[str, Any]:
        """Give what the bundle of a model says of its data."""
        dataset = self.val_dataset or self.test_dataset
        centres = dataset.wavelengths.tolist() if isinstance(dataset, SpectralPatches) else None
        return published_card(dataset, self.mean, self.std, centres)
