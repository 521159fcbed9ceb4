"""Train a model that finds objects."""

from typing import Annotated, Literal, NamedTuple

from torchgeo_ext.operations import _training as training
from torchgeo_ext.operations._operation import (
    Device,
    FolderOut,
    Label,
    Polygons,
    Rasters,
    bands_of,
    field_of,
    operation,
)
from torchgeo_ext.progress import Progress, silent

# as in the room of the training, which needs torch
Detector = Literal[
    'faster-rcnn', 'fcos', 'retinanet', 'ssd', 'centernet', 'detr', 'rotated-fcos', 'mask-rcnn'
]


class TrainDetectorResult(NamedTuple):
    """Result of :func:`train_detector`.

    Attributes:
        mean_ap: Average precision on the hold-out, mean over overlaps from 0.5 to 0.95 and over
            classes, 0 to 1.
        mean_ap_50: The same for an overlap of 0.5.
        objects: Number of objects of the hold-out.
        epochs_run: Epochs trained.
        classes: Values and names of the classes.
    """

    output: str
    report: str | None
    mean_ap: float
    mean_ap_50: float
    objects: int
    epochs_run: int
    classes: str


@operation(
    label='Train detector',
    group='Objects',
    tags=(
        'object detection',
        'Faster R-CNN',
        'Mask R-CNN',
        'rotated boxes',
        'deep learning',
        'learn',
    ),
    keeps='Keeping the best model so far',
)
def train_detector(
    image: Rasters,
    labels: Polygons,
    output: Annotated[FolderOut, Label('Model folder')],
    *,
    class_field: Annotated[str, field_of('labels')] | None = None,
    bands: Annotated[list[int], bands_of('image')] | None = None,
    architecture: Detector = 'faster-rcnn',
    backbone: str = 'resnet50',
    weights: str | None = None,
    band_adaptation: training.BandAdaptation = 'auto',
    normalisation: training.Normalisation = 'auto',
    patch_size: training.PatchSize = 512,
    batch_size: training.BatchSize = 4,
    epochs: training.Epochs = 50,
    patience: training.Patience = 10,
    learning_rate: training.LearningRate = 1e-4,
    class_weights: training.ClassWeights = 'square_root',
    ignore_value: str | None = None,
    validation_fraction: training.ValidationFraction = 0.2,
    block_size: training.BlockSize = 0,
    augment: training.Augment = True,
    seed: training.Seed = 0,
    device: Device = 'auto',
    model_name: str | None = None,
    license: training.License = '',
    report: training.ReportOut | None = None,
    progress: Progress = silent,
) -> TrainDetectorResult:
    """Train a model that finds objects, from images and polygons of one's own.

    Polygons are boxes or outlines around objects; their classes are in a field, or all are of one
    class. All objects have to be drawn where there are any, as the rest is learned as background.
    Whole blocks of land are held out, the same ones in all images, and the model is judged by the
    objects in them. The result is a folder with the model, its class table and a report.

    Upright boxes (faster-rcnn, fcos, retinanet, ssd, centernet, detr) and boxes that lie as the
    objects do (rotated-fcos) are for "Detect objects", outlines (mask-rcnn) for "Segment
    instances". Stopping the training keeps the best state so far.

    Args:
        image: One or more images of the same bands: dates of one place or neighbouring scenes.
        labels: Polygons around the objects.
        output: Folder to write the model to.
        class_field: Field of the polygons with their class, text or whole numbers; all are of one
            class if left out.
        bands: Numbers of the bands to learn from. Left out, all; of more than 30 those that have
            data, are not marked as bad and are not in the water vapour.
        architecture: The detector. Faster R-CNN, RetinaNet and FCOS learn fastest; DETR takes many
            hundred epochs and shows 100 objects of a patch at most.
        backbone: Its network: a ResNet of torchvision (resnet18, resnet50, resnext50_32x4d, ...);
            for ssd, centernet, detr and rotated-fcos any backbone of this package or TorchGeo, or
            tu- and one of timm.
        weights: What the backbone starts from: "imagenet", published weights by name such as
            ResNet50_Weights.SENTINEL2_ALL_MOCO, a checkpoint or a model folder; random if left out.
        band_adaptation: How the first layer of the weights comes to the bands of the images: by
            name, or in order or averaged where names are not known (auto); filters repeated in
            order; mean of all; nearest wavelength; by name with no effect of other bands at first
            (zero).
        normalisation: What is done to pixel values: what was done in the training of the weights
            (weights), standardising by the images learned from (images), or the former where it is
            known and the images can be what the weights expect (auto).
        patch_size: Side of the square pieces of image learned from; a few times the largest object.
        batch_size: Patches learned from at once.
        epochs: Rounds over the training data at most.
        patience: Stop after this many epochs without a better one; 0 never stops early.
        learning_rate: Step length of the optimiser (AdamW).
        class_weights: How much more often rare classes are drawn: by the inverse of their number of
            objects or its square root.
        ignore_value: Class of polygons that are no objects.
        validation_fraction: Share of the objects to hold out.
        block_size: Side of the blocks held out, in pixels of the first image; 0 chooses.
        augment: Flip and turn patches at random.
        seed: The same seed on the same machine gives the same model.
        device: Where to compute; auto takes the best there is.
        model_name: Name of the model; that of the folder if left out.
        license: Licence of the model, best as an SPDX identifier such as CC-BY-4.0.
        report: Web page to write the report to as well; it is always part of the model folder.
        progress: Told how far the work is.

    Raises:
        BadInput: If no polygon lies on an image, or too few do to learn from and to be judged by.
    """
    from torchgeo_ext.operations._object_training import ObjectSettings, make_data, train_objects

    settings = ObjectSettings(
        architecture, backbone, weights, band_adaptation, normalisation, patch_size, batch_size,
        epochs, patience, learning_rate, class_weights, validation_fraction, block_size, augment,
        seed, device, model_name, license,
    )  # fmt: skip
    datamodule = make_data(
        settings,
        images=image,
        labels=str(labels),
        class_field=class_field,
        ignore_value=ignore_value,
        **training.data_settings(settings, bands, image=image),
    )
    done = train_objects(datamodule, settings, output=output, report=report, progress=progress)
    scores = done.fitted.scores
    return TrainDetectorResult(
        output=str(output),
        report=None if report is None else str(report),
        mean_ap=scores.map,
        mean_ap_50=scores.map_50,
        objects=int(scores.labelled.sum()),
        epochs_run=len(done.fitted.epochs),
        classes=', '.join(f'{entry.value} {entry.name}' for entry in datamodule.classes),
    )
