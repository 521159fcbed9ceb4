"""Semantic segmentation from partly labelled rasters."""

from torchgeo.tasks import SemanticSegmentation

from torchgeo_ext.tasks._masked import FURTHER_DECODERS, MaskedLabels


class MaskedSegmentation(MaskedLabels, SemanticSegmentation):
    """TorchGeo's task, with what learning from one's own layers needs.

    Every loss leaves out pixels without label (``ignore_index``), scores come from one confusion
    matrix, and ``model`` may be any decoder of segmentation_models_pytorch: besides TorchGeo's
    also ``deeplabv3``, ``fpn``, ``linknet``, ``manet``, ``pan``, ``pspnet`` and ``unet++``.
    """

    def configure_models(self) -> None:
        """Build the network."""
        decoder = FURTHER_DECODERS.get(self.hparams['model'])
        if decoder is None:
            super().configure_models()
            return
        self.model = decoder(
            encoder_name=self.hparams['backbone'],
            encoder_weights='imagenet' if self.weights is True else None,
            in_channels=self.hparams['in_channels'],
            classes=self.hparams['num_classes'] or self.hparams['num_labels'] or 1,
        )
