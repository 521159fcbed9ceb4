"""Detection of objects in upright boxes, on rasters of one's own."""

from torchgeo.tasks import ObjectDetection

from torchgeo_ext.tasks._objects import JudgedBoxes, let_learn


class MaskedObjectDetection(JudgedBoxes, ObjectDetection):
    """TorchGeo's task, with what learning from one's own layers needs.

    Objects outside of the land held out do not count in validation, as many objects of an image as
    there are do, and a backbone without weights to start from learns in all its layers. Takes the
    arguments of TorchGeo's task.
    """

    predicts = 'detection'

    def configure_models(self) -> None:
        """Build the network."""
        super().configure_models()
        backbone = self.model.backbone.body
        if self.hparams['freeze_backbone']:
            backbone.requires_grad_(False)  # TorchGeo's task lets the first layer learn
        elif not self.weights:
            let_learn(backbone)
