"""Two data modules in one: a labelled source, and a target that is to be segmented."""

from typing import Any

import torch
from lightning.pytorch.utilities import CombinedLoader
from matplotlib.figure import Figure
from torch.utils.data import DataLoader
from torchgeo.datamodules import BaseDataModule
from torchgeo.datasets.utils import Sample


class DomainDataModule(BaseDataModule):
    """Training batches of two data modules side by side.

    A training batch has ``source`` and ``target``, each a batch of one of them, prepared as that
    one prepares its batches: two of :class:`~torchgeo_ext.datamodules.GeoTIFFDataModule`
    standardise by the statistics of their own images. An epoch ends with the longer one.
    Validation, test and prediction are those of the target; its labels serve to judge alone.

    Args:
        source: The data module with labels to learn from.
        target: The one of what is to be segmented.
    """

    def __init__(self, source: BaseDataModule, target: BaseDataModule) -> None:
        super().__init__(target.dataset_class, target.batch_size, target.num_workers)
        self.source = source
        self.target = target

    @property
    def _both(self) -> dict[str, BaseDataModule]:
        return {'source': self.source, 'target': self.target}

    def prepare_data(self) -> None:
        """Let both prepare their data."""
        for module in self._both.values():
            module.prepare_data()

    def setup(self, stage: str) -> None:
        """Set up what a stage needs: both in training, the target alone otherwise.

        Args:
            stage: ``fit``, ``validate``, ``test`` or ``predict``.
        """
        for module in self._both.values() if stage == 'fit' else (self.target,):
            module.trainer = self.trainer
            module.setup(stage)
        self.mean, self.std = self.target.mean, self.target.std

    def train_dataloader(self) -> Any:
        """Give batches of both; the shorter one begins anew until the longer one ends."""
        loaders = {name: module.train_dataloader() for name, module in self._both.items()}
        return CombinedLoader(loaders, 'max_size_cycle')

    def val_dataloader(self) -> DataLoader[Sample]:
        """Give validation batches of the target."""
        return self.target.val_dataloader()

    def test_dataloader(self) -> DataLoader[Sample]:
        """Give test batches of the target."""
        return self.target.test_dataloader()

    def predict_dataloader(self) -> DataLoader[Sample]:
        """Give prediction batches of the target."""
        return self.target.predict_dataloader()

    def transfer_batch_to_device(
        self, batch: Any, device: torch.device, dataloader_idx: int
    ) -> Any:
        """Let each module transfer its part."""
        if 'source' in batch:
            return {
                name: module.transfer_batch_to_device(batch[name], device, dataloader_idx)
                for name, module in self._both.items()
            }
        return self.target.transfer_batch_to_device(batch, device, dataloader_idx)

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Let each module prepare its part."""
        if 'source' in batch:
            return {
                name: module.on_after_batch_transfer(batch[name], dataloader_idx)
                for name, module in self._both.items()
            }
        return self.target.on_after_batch_transfer(batch, dataloader_idx)

    def state_dict(self) -> dict[str, Any]:
        """Give what a checkpoint should know: what the target says."""
        return self.target.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Prepare the target as the training of a checkpoint did."""
        self.target.load_state_dict(state_dict)

    def plot(self, *args: Any, **kwargs: Any) -> Figure | None:
        """Draw a sample of the target, see its own data module."""
        return self.target.plot(*args, **kwargs)
