"""Train a model that gives every pixel a class."""

from typing import Annotated, NamedTuple

from torchgeo_ext.operations import _training as training
from torchgeo_ext.operations._network import Architecture
from torchgeo_ext.operations._operation import (
    Device,
    FolderOut,
    Label,
    Layer,
    Rasters,
    bands_of,
    field_of,
    operation,
)
from torchgeo_ext.progress import Progress, silent


class TrainSegmentationResult(NamedTuple):
    """Result of :func:`train_segmentation`.

    Attributes:
        overall_accuracy: Share of the held-out labelled pixels that are right, 0 to 1.
        mean_iou: Intersection over union, mean over the classes of the hold-out, 0 to 1.
        mean_f1: F1 score, mean over the classes of the hold-out, 0 to 1.
        epochs_run: Epochs trained.
        classes: Values and names of the classes.
    """

    output: str
    report: str | None
    overall_accuracy: float
    mean_iou: float
    mean_f1: float
    epochs_run: int
    classes: str


@operation(
    label='Train segmentation model',
    group='Segmentation',
    tags=('classification', 'land cover', 'semantic segmentation', 'deep learning', 'learn'),
    keeps='Keeping the best model so far',
)
def train_segmentation(
    image: Rasters,
    labels: Layer,
    output: Annotated[FolderOut, Label('Model folder')],
    *,
    class_field: Annotated[str, field_of('labels')] | None = None,
    bands: Annotated[list[int], bands_of('image')] | None = None,
    architecture: Architecture = 'unet',
    backbone: str = 'resnet18',
    weights: str | None = None,
    band_adaptation: training.BandAdaptation = 'auto',
    normalisation: training.Normalisation = 'auto',
    patch_size: training.PatchSize = 256,
    batch_size: training.BatchSize = 8,
    epochs: training.Epochs = 50,
    patience: training.Patience = 10,
    learning_rate: training.LearningRate = 1e-3,
    loss: training.LossName = 'ce',
    class_weights: training.ClassWeights = 'square_root',
    ignore_value: training.IgnoreValue | None = None,
    validation_fraction: training.ValidationFraction = 0.2,
    block_size: training.BlockSize = 0,
    augment: training.Augment = True,
    seed: training.Seed = 0,
    device: Device = 'auto',
    model_name: str | None = None,
    license: training.License = '',
    report: training.ReportOut | None = None,
    progress: Progress = silent,
) -> TrainSegmentationResult:
    """Train a model that gives every pixel a class, from images and labels of one's own.

    Labels are a raster of class numbers on any grid, or polygons with a class field; what is not
    labelled is not learned from. Whole blocks of land are held out, the same ones in all images,
    and the model is judged by them. The result is a folder with the model, its class table and a
    report, to be used by "Segment image".

    The first layer of pretrained weights is adapted when they were made for other bands. Stopping
    the training keeps the best state so far.

    Args:
        image: One or more images of the same bands: dates of one place or neighbouring scenes.
        labels: Raster of class numbers, or polygons.
        output: Folder to write the model to.
        class_field: Field of the polygons with their class, text or whole numbers.
        bands: Numbers of the bands to learn from. Left out, all; of more than 30 those that have
            data, are not marked as bad and are not in the water vapour.
        architecture: Decoder of the network.
        backbone: Encoder of the network: a name of segmentation_models_pytorch (resnet18,
            efficientnet-b0, mobilenet_v2, mit_b0, ...) or tu- with one of timm (tu-convnext_tiny);
            for upernet and fpn also one of this package or TorchGeo (dynamicvis_b, vmamba_tiny,
            vit_small_patch16_224, ...).
        weights: What to start from: "imagenet", published weights by name such as
            ResNet18_Weights.SENTINEL2_ALL_MOCO, a checkpoint or a model folder; random if left out.
        band_adaptation: How the first layer of the weights comes to the bands of the images: by
            name, or in order or averaged where names are not known (auto); filters repeated in
            order; mean of all; nearest wavelength; by name with no effect of other bands at first
            (zero).
        normalisation: What is done to pixel values: what was done in the training of the weights
            (weights), standardising by the images learned from (images), or the former where it is
            known and the images can be what the weights expect (auto).
        patch_size: Side of the square pieces of image learned from; smaller for small images.
        batch_size: Patches learned from at once.
        epochs: Rounds over the training data at most.
        patience: Stop after this many epochs without a better one; 0 never stops early.
        learning_rate: Step length of the optimiser (AdamW).
        loss: What is minimised: cross entropy (ce), focal, Dice or Jaccard loss.
        class_weights: How much more rare classes count: the inverse of their number of pixels or
            its square root. By weights in cross entropy, else by drawing them more often.
        ignore_value: Label value that means "not labelled", besides the nodata value.
        validation_fraction: Share of the labels to hold out.
        block_size: Side of the blocks held out, in pixels of the first image; 0 chooses.
        augment: Flip and turn patches at random.
        seed: The same seed on the same machine gives the same model.
        device: Where to compute; auto takes the best there is.
        model_name: Name of the model; that of the folder if left out.
        license: Licence of the model, best as an SPDX identifier such as CC-BY-4.0.
        report: Web page to write the report to as well; it is always part of the model folder.
        progress: Told how far the work is.
    """
    from torchgeo_ext.datamodules import GeoTIFFDataModule

    settings = training.Settings(
        architecture, backbone, weights, patch_size, batch_size, epochs, patience, learning_rate,
        loss, class_weights, validation_fraction, block_size, augment, seed, device, model_name,
        license, band_adaptation, normalisation,
    )  # fmt: skip
    datamodule = GeoTIFFDataModule(
        images=image,
        labels=labels,
        class_field=class_field,
        ignore_value=ignore_value,
        **training.data_settings(settings, bands, image=image),
        **training.map_settings(settings),
    )
    done = training.train(datamodule, settings, output=output, report=report, progress=progress)
    scores = done.fitted.scores
    return TrainSegmentationResult(
        output=str(output),
        report=None if report is None else str(report),
        overall_accuracy=scores.overall_accuracy,
        mean_iou=scores.mean_iou,
        mean_f1=scores.mean_f1,
        epochs_run=len(done.fitted.epochs),
        classes=done.classes_text,
    )
