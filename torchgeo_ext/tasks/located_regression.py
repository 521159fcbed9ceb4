"""Numbers told by what an image shows and by where it is.

Axes: b batch, c channel, h height, w width, k outputs.
"""

from typing import Any, Literal

from torch import Tensor
from torchgeo.datasets.utils import Sample
from torchgeo.models import get_weight
from torchgeo.tasks import Regression
from torchvision.models import WeightsEnum

from torchgeo_ext.models.features import backbone_features
from torchgeo_ext.tasks._located import LocatedNetwork, build_location, check_place


class LocatedRegression(Regression):
    """TorchGeo's task for every backbone, with the embedding of the place as a further input.

    A batch has ``image`` (b, c, h, w), ``label`` (b,) or (b, k) and ``point`` (b, 2), longitude and
    latitude in degrees. See :class:`~torchgeo_ext.tasks.LocatedClassification` for what to hold
    out.
    """

    ignore = ('weights', 'location_weights')

    #: Bundles are run on tiles and pixels that have classes.
    predicts: str | None = None

    def __init__(
        self,
        model: str = 'tu-resnet18',
        weights: WeightsEnum | str | bool | None = None,
        in_channels: int = 3,
        num_outputs: int = 1,
        labels: list[str] | None = None,
        location: str = 'location_harmonics',
        location_weights: WeightsEnum | str | None = None,
        location_args: dict[str, Any] | None = None,
        learn_places: bool = False,
        places: str = 'point',
        model_args: dict[str, Any] | None = None,
        loss: Literal['mae', 'mse'] = 'mse',
        lr: float = 1e-3,
        patience: int = 10,
        freeze_backbone: bool = False,
    ) -> None:
        """Initialize a new LocatedRegression instance.

        Args:
            model: Name of a backbone: one of
                :func:`~torchgeo_ext.models.features.list_backbones`, or ``tu-`` and the name of a
                network of timm.
            weights: Weights of the backbone to start from, or their name; True for those that timm
                has.
            in_channels: Bands of the images.
            num_outputs: How many numbers to tell.
            labels: Their names.
            location: Name of the encoder of places, one of
                :func:`~torchgeo_ext.models.location.location_names`.
            location_weights: Weights of it, their name or a file.
            location_args: Further arguments of it.
            learn_places: Whether the encoder learns too, not only what follows it.
            places: Key of the places in a batch.
            model_args: Further arguments of the backbone's builder.
            loss: ``mse`` or ``mae``.
            lr: Learning rate.
            patience: Epochs without a better validation loss until the learning rate drops.
            freeze_backbone: Do not train the backbone.

        Raises:
            BadParameter: If the encoder or the backbone is not known.
            BadInput: If a file of weights cannot be read.
            MissingWeights: If weights are not here and cannot be downloaded.
        """
        self.location_weights = location_weights
        # every other argument is read from the hyperparameters, which TorchGeo's task saves
        super().__init__(weights=weights)

    def configure_models(self) -> None:
        """Build the network."""
        weights: Any = self.weights or None
        if isinstance(weights, str):
            weights = get_weight(weights)
        bands = self.hparams['in_channels']
        backbone = backbone_features(
            self.hparams['model'], weights, bands, **(self.hparams['model_args'] or {})
        )
        if self.hparams['freeze_backbone']:
            backbone.requires_grad_(False)
        location = build_location(
            self.hparams['location'], self.location_weights, self.hparams['location_args']
        )
        self.model = LocatedNetwork(
            backbone, location, bands, self.hparams['num_outputs'], self.hparams['learn_places']
        )

    def forward(self, image: Tensor, point: Tensor) -> Tensor:
        """Predict from images (b, c, h, w) and their places (b, 2) in degrees: (b, k)."""
        numbers: Tensor = self.model(image, point)
        return numbers

    def training_step(self, batch: Sample, batch_idx: int, dataloader_idx: int = 0) -> Tensor:
        """Compute the loss of a training batch."""
        return self._assess(batch, 'train')

    def validation_step(self, batch: Sample, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Count a validation batch."""
        self._assess(batch, 'val')

    def test_step(self, batch: Sample, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Count a test batch."""
        self._assess(batch, 'test')

    def predict_step(self, batch: Sample, batch_idx: int, dataloader_idx: int = 0) -> Tensor:
        """Predict numbers (b, k)."""
        return self._predict(batch)

    def _predict(self, batch: Sample) -> Tensor:
        point = check_place(batch, self.hparams['places'])
        numbers: Tensor = self(batch['image'], point)
        return numbers

    def _assess(self, batch: Sample, stage: str) -> Tensor:
        """Compute the loss of a batch, and count it."""
        found = self._predict(batch)
        label = batch[self.target_key].float().reshape(found.shape)
        loss: Tensor = self.criterion(found, label)
        getattr(self, f'{stage}_metrics')(found, label)
        self.log(f'{stage}_loss', loss, batch_size=len(found))
        return loss
