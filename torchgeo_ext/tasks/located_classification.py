"""Classes of images, told by what they show and by where they are.

Axes: b batch, c channel, h height, w width, k classes.
"""

from collections.abc import Sequence
from typing import Any, Literal

from torch import Tensor
from torchgeo.datasets.utils import Sample
from torchvision.models import WeightsEnum

from torchgeo_ext.tasks._located import LocatedNetwork, build_location, split_place, with_place
from torchgeo_ext.tasks.scene_classification import SceneClassification


class LocatedClassification(SceneClassification):
    """:class:`SceneClassification` with the embedding of the place as a further input.

    The same field looks different in Finland and in Spain, and palms grow in one of them only: what
    a place is like narrows down what an image of it can show. A batch has ``point`` (b, 2),
    longitude and latitude in degrees, besides: samples of
    :class:`~torchgeo_ext.datamodules.GeoTIFFDataModule` do where the images have a reference
    system. Bundles of it are run by ``classify_tiles``, which tells it where each tile lies.

    Hold out blocks of land to validate: with tiles of all places in the training, a place tells its
    class by its neighbours, and the score says nothing of other places.

    Mac Aodha, O., Cole, E., Perona, P. (2019). Presence-only geographical priors for fine-grained
    image classification. ICCV. https://arxiv.org/abs/1906.05272 (the idea; there classes of places
    are multiplied with those of images)
    """

    #: Bundles have the bands of the place besides those of the image.
    reads_places = True

    # arguments of the parent that this one does not take: images whose places differ are not mixed
    ignore = (
        'weights', 'location_weights', 'resize', 'crop', 'interpolation', 'mixup', 'cutmix',
        'label_smoothing',
    )  # fmt: skip

    def __init__(
        self,
        location: str = 'location_harmonics',
        location_weights: WeightsEnum | str | None = None,
        location_args: dict[str, Any] | None = None,
        learn_places: bool = False,
        places: str = 'point',
        model: str = 'tu-resnet18',
        weights: WeightsEnum | str | bool | None = None,
        in_channels: int = 3,
        task: Literal['binary', 'multiclass', 'multilabel'] = 'multiclass',
        num_classes: int | None = None,
        num_labels: int | None = None,
        labels: list[str] | None = None,
        share: float = 0.5,
        as_pretrained: bool | str = False,
        model_args: dict[str, Any] | None = None,
        pos_weight: Tensor | None = None,
        loss: Literal['ce', 'bce', 'jaccard', 'focal', 'dice'] = 'ce',
        class_weights: Tensor | Sequence[float] | None = None,
        ignore_index: int = -1,
        lr: float = 1e-3,
        patience: int = 10,
        freeze_backbone: bool = False,
    ) -> None:
        """Initialize a new LocatedClassification instance.

        Args:
            location: Name of the encoder of places, one of
                :func:`~torchgeo_ext.models.location.location_names`.
            location_weights: Weights of it, their name or a file.
            location_args: Further arguments of it.
            learn_places: Whether the encoder learns too, not only what follows it.
            places: Key of the places in a batch.
            model: Name of a backbone, see :class:`SceneClassification`.
            weights: Weights of the backbone to start from, or their name; True for those that timm
                has.
            in_channels: Bands of the images, without those of the place.
            task: ``binary``, ``multiclass`` or ``multilabel``.
            num_classes: Number of classes of ``multiclass``.
            num_labels: Number of labels of ``multilabel``.
            labels: Names of the classes.
            share: Share of a tile's labelled pixels that a class must cover, above 0 to 1.
            as_pretrained: Whether images are prepared as in the pre-training, see
                :class:`SceneClassification`.
            model_args: Further arguments of the backbone's builder.
            pos_weight: Weight of positive examples in ``bce``.
            loss: ``ce``, ``bce``, ``jaccard``, ``focal`` or ``dice``.
            class_weights: Weights of the classes in ``ce``.
            ignore_index: Marks images and pixels without label.
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
        super().__init__(weights=weights, share=share)

    def configure_models(self) -> None:
        """Build the network, and what prepares its input."""
        super().configure_models()
        outputs = self.model.head.out_features
        location = build_location(
            self.hparams['location'], self.location_weights, self.hparams['location_args']
        )
        self.model = LocatedNetwork(
            self.model.backbone,
            location,
            self.hparams['in_channels'],
            outputs,
            self.hparams['learn_places'],
        )

    def inputs(self, batch: Sample) -> Tensor:
        """Take images with their places as last bands (b, c + 2, h, w) from a batch."""
        return with_place(batch, self.hparams['places'])

    def forward(self, x: Tensor) -> Tensor:
        """Classify images with their places as last bands (b, c + 2, h, w): logits (b, k)."""
        image, point = split_place(x)
        logits: Tensor = self.model(self.prepare(image), point)
        return logits

    def predict_step(self, batch: Sample, batch_idx: int, dataloader_idx: int = 0) -> Tensor:
        """Predict probabilities (b, k)."""
        return super().predict_step(
            batch | {'image': self.inputs(batch)}, batch_idx, dataloader_idx
        )
