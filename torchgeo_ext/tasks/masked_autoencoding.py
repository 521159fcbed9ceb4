"""Pre-training by reconstructing what was hidden.

Axes: b batch, c channel, h height, w width.
"""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor
from torchgeo.datasets.utils import Sample
from torchgeo.tasks import BaseTask

from torchgeo_ext.errors import BadParameter
from torchgeo_ext.models._reconstruction import Reconstruction
from torchgeo_ext.tasks._registered import build_registered
from torchgeo_ext.tasks._wavelengths import tell_wavelengths


class MaskedAutoencoding(BaseTask):
    """Trains any registered network that hides parts of images and reconstructs them.

    Such are ``lessvit_mae_base``, ``satmaepp_rgb_mae_vitl`` and ``satmaepp_sentinel2_mae_vitl``;
    TorchGeo's :class:`~torchgeo.tasks.MAE` is for plain transformers of timm.

    A batch has ``image`` (b, c, h, w), normalised, and may have ``mask_valid`` (b, h, w), True
    where there is a measurement, and ``wavelengths`` (b, c) in micrometres. Networks that know
    bands by their wavelengths are told those of each batch, so that images of several sensors train
    one network, batch by batch; networks that leave out pixels without measurement are told these.

    ``task.model.encoder`` (or the network itself, for SatMAE++) has the weights of the backbone.
    """

    monitor = 'val_loss'
    mode = 'min'
    #: Bundles are made of what predicts classes.
    predicts: str | None = None

    def __init__(
        self,
        model: str = 'lessvit_mae_base',
        in_channels: int = 13,
        model_args: dict[str, Any] | None = None,
        lr: float = 1e-4,
        weight_decay: float = 0.05,
        patience: int = 10,
    ) -> None:
        """Initialize a new MaskedAutoencoding instance.

        Args:
            model: Name of a registered network.
            in_channels: Bands of the images.
            model_args: Further arguments of the network's builder, such as ``wavelengths``, which
                are then not taken from batches.
            lr: Learning rate of AdamW.
            weight_decay: Its weight decay.
            patience: Epochs without a better validation loss until the learning rate drops.

        Raises:
            BadParameter: If the network is not known, does not take these arguments, or does not
                reconstruct.
        """
        # every argument is read from the hyperparameters, which TorchGeo's task saves
        super().__init__()

    def configure_models(self) -> None:
        """Build the network."""
        name = self.hparams['model']
        arguments = dict(self.hparams['model_args'] or {})
        self.model = build_registered(
            name, self.hparams['in_channels'], arguments, type(self).__name__
        )
        parameters = inspect.signature(self.model.forward)
        if parameters.return_annotation is not Reconstruction:
            raise BadParameter(
                f'model: {name} does not reconstruct images.',
                'Choose a masked autoencoder, such as lessvit_mae_base.',
            )
        self._takes_valid = 'valid' in parameters.parameters

    def configure_optimizers(self) -> Any:
        """Set up AdamW, and the drop of the learning rate."""
        optimizer = torch.optim.AdamW(
            self.parameters(),
            lr=self.hparams['lr'],
            betas=(0.9, 0.95),
            weight_decay=self.hparams['weight_decay'],
        )
        scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimizer, patience=self.hparams['patience']
        )
        return {
            'optimizer': optimizer,
            'lr_scheduler': {'scheduler': scheduler, 'monitor': self.monitor},
        }

    def forward(self, batch: Mapping[str, Any]) -> Reconstruction:
        """Hide and reconstruct the images of a batch.

        Raises:
            BadInput: If images of several sensors are in one batch.
        """
        tell_wavelengths(self.model, self.hparams['model_args'], batch)
        known = (
            {'valid': batch['mask_valid']} if self._takes_valid and 'mask_valid' in batch else {}
        )
        result: Reconstruction = self.model(batch['image'], **known)
        return result

    def training_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Tensor:
        """Compute the loss of a batch."""
        return self._shared_step(batch, 'train')

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Compute the loss of a batch; the same is hidden in every epoch."""
        self._shared_step(batch, 'val')

    def test_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Compute the loss of a batch."""
        self._shared_step(batch, 'test')

    def predict_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Reconstruction:
        """Reconstruct the images of a batch."""
        return self(batch)

    def _shared_step(self, batch: Any, stage: str) -> Tensor:
        loss = self(batch).loss.mean()
        self.log(f'{stage}_loss', loss, batch_size=len(batch['image']))
        return loss

    @staticmethod
    def plot(sample: Sample, result: Reconstruction, bands: Sequence[int] = (2, 1, 0)) -> Figure:
        """Draw an image, what was seen of it and its reconstruction.

        Args:
            sample: Unused but for its title, if it has a ``filename``.
            result: Of a batch; its first image is drawn.
            bands: Places of the bands shown as red, green and blue, or a single one.
        """
        from matplotlib import pyplot

        shown = [number for number in bands if number < result.target.shape[1]] or [0]
        shown = shown if len(shown) == 3 else shown[:1]
        parts = [values[0, shown].detach().cpu() for values in result[1:]]
        target, prediction, hidden = (part.float() for part in parts)
        low, high = target.quantile(torch.tensor([0.02, 0.98])).tolist()
        figure, axes = pyplot.subplots(1, 3, figsize=(9, 3.2), layout='constrained')
        images = {
            'image': target,
            'seen': target.masked_fill(hidden > 0, low),
            'reconstructed': prediction,
        }
        for axis, (title, image) in zip(axes, images.items(), strict=True):
            stretched = ((image - low) / max(high - low, 1e-6)).clamp(0, 1)
            axis.imshow(stretched.movedim(0, -1).squeeze(-1), cmap='gray')
            axis.set_title(title)
            axis.axis('off')
        if 'filename' in sample:
            figure.suptitle(str(sample['filename']))
        return figure
