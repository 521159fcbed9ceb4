"""Train a model that gives whole scenes a class: tiles of an image, or what is around polygons."""

from typing import Annotated, NamedTuple

from torchgeo_ext.operations import _training as training
from torchgeo_ext.operations._operation import (
    Device,
    Folder,
    FolderOut,
    Label,
    Layer,
    Rasters,
    bands_of,
    field_of,
    operation,
    within,
)
from torchgeo_ext.progress import Progress, silent


class TrainClassifierResult(NamedTuple):
    """Result of :func:`train_classifier`.

    Attributes:
        overall_accuracy: Share of the held-out examples that are right, 0 to 1; of several classes
            at once, share of the decisions about single classes.
        mean_iou: Intersection over union of the examples said to be of a class and those that are,
            mean over the classes of the hold-out, 0 to 1.
        mean_f1: F1 score, mean over the classes of the hold-out, 0 to 1.
        training_examples: Examples learned from.
        held_out_examples: Examples that scores are of.
        epochs_run: Epochs trained.
        classes: Values and names of the classes.
    """

    output: str
    report: str | None
    overall_accuracy: float
    mean_iou: float
    mean_f1: float
    training_examples: int
    held_out_examples: int
    epochs_run: int
    classes: str


@operation(
    label='Train classifier',
    group='Segmentation',
    tags=(
        'scene classification', 'tiles', 'patches', 'multi-label', 'deep learning', 'learn',
        'EuroSAT',
    ),
    keeps='Keeping the best model so far',
)  # fmt: skip
def train_classifier(
    output: Annotated[FolderOut, Label('Model folder')],
    *,
    image: Rasters | None = None,
    labels: Layer | None = None,
    folder: Annotated[Folder, Label('Folder of images by class')] | None = None,
    class_field: Annotated[str, field_of('labels')] | None = None,
    bands: Annotated[list[int], bands_of('image')] | None = None,
    tiles: bool = False,
    around: bool = True,
    multilabel: bool = False,
    tile_size: Annotated[int, within(0, 2048, 'pixels')] = 0,
    share: Annotated[float, within(0.01, 1.0)] = 0.5,
    backbone: str = 'tu-resnet18',
    weights: str | None = None,
    band_adaptation: training.BandAdaptation = 'auto',
    normalisation: training.Normalisation = 'auto',
    freeze_backbone: bool = False,
    batch_size: Annotated[int, within(2, 1024, 'examples')] = 32,
    epochs: training.Epochs = 50,
    patience: training.Patience = 10,
    learning_rate: training.LearningRate = 1e-3,
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
) -> TrainClassifierResult:
    """Train a model that gives whole scenes a class, from examples of one's own.

    Examples are squares of images: around each point or polygon of a layer, the tiles that a class
    raster or polygons cover, or the files in a folder for each class. Whole blocks of land are held
    out, the same ones in all images, and the model is judged by them; no example that shares ground
    with one of the hold-out is learned from. Only files that do not say where they lie are held out
    one by one. The result is a folder with the model, its class table and a report, to be used by
    "Classify tiles".

    Stopping the training keeps the best state so far.

    Args:
        output: Folder to write the model to.
        image: One or more images of the same bands: dates of one place or neighbouring scenes.
        labels: Points or polygons with their class, or a raster of class numbers.
        folder: Folder that holds a folder of images for each class, named like it, instead of image
            and labels.
        class_field: Field of the points or polygons with their class, text or whole numbers. If
            there may be several, text with commas between them.
        bands: Numbers of the bands to learn from. Left out, all; of more than 30 those that have
            data, are not marked as bad and are not in the water vapour.
        tiles: Polygons are labels of the tiles of the images that they cover. Otherwise each of
            them is one example.
        around: The example of a polygon is the smallest square around it, resampled to the tile
            size. Otherwise it is a square of the tile size around its middle.
        multilabel: An example may have several classes at once, or none.
        tile_size: Height and width of the examples in pixels; 0 takes that of the first image in a
            folder, else 64.
        share: Share of a tile that a class must cover for the tile to be an example of it; with
            several classes at once every class that covers so much holds.
        backbone: Network that looks at the image: tu- with a name of timm (tu-resnet18,
            tu-convnext_tiny), or one of this package or TorchGeo (rsmamba_b, resnet50,
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
        freeze_backbone: Train the last layer alone; quick, for good weights and few examples.
        batch_size: Examples learned from at once.
        epochs: Rounds over the examples at most.
        patience: Stop after this many epochs without a better one; 0 never stops early.
        learning_rate: Step length of the optimiser (AdamW).
        class_weights: How much more rare classes count: the inverse of their number of examples or
            its square root. By weights in the loss; if there may be several classes, by drawing
            their examples more often.
        ignore_value: Label value that means "not labelled", besides the nodata value.
        validation_fraction: Share of the examples to hold out.
        block_size: Side of the blocks held out, in pixels of the first image; 0 chooses.
        augment: Flip and turn examples at random.
        seed: The same seed on the same machine gives the same model.
        device: Where to compute; auto takes the best there is.
        model_name: Name of the model; that of the folder if left out.
        license: Licence of the model, best as an SPDX identifier such as CC-BY-4.0.
        report: Web page to write the report to as well; it is always part of the model folder.
        progress: Told how far the work is.

    Raises:
        BadParameter: If neither image and labels nor a folder are given, or backbone and weights do
            not go together.
        BadInput: If there are too few examples.
    """
    from itertools import chain

    from torchgeo_ext.datamodules import SceneDataModule
    from torchgeo_ext.datasets.scene_patches import images_by_class
    from torchgeo_ext.operations._scene_training import train_scenes

    settings = training.Settings(
        'scene', backbone, weights, tile_size, batch_size, epochs, patience, learning_rate,
        'bce' if multilabel else 'ce', class_weights, validation_fraction, block_size, augment,
        seed, device, model_name, license, band_adaptation, normalisation,
    )  # fmt: skip
    files = None
    if folder is not None and image is None:  # the data module refuses both
        files = [*chain(*images_by_class(folder).values())]
    datamodule = SceneDataModule(
        images=image,
        labels=labels,
        folder=None if folder is None else str(folder),
        class_field=class_field,
        tiles=tiles,
        around=around,
        share=share,
        multilabel=multilabel,
        ignore_value=ignore_value,
        tile_size=tile_size,
        balance=class_weights if multilabel else 'none',
        seed=seed,
        **training.data_settings(settings, bands, image=image, folder=files),
    )
    done = train_scenes(
        datamodule, settings, frozen=freeze_backbone, output=output, report=report,
        progress=progress,
    )  # fmt: skip
    scores = done.fitted.scores
    return TrainClassifierResult(
        output=str(output),
        report=None if report is None else str(report),
        overall_accuracy=scores.overall_accuracy,
        mean_iou=scores.mean_iou,
        mean_f1=scores.mean_f1,
        training_examples=len(datamodule.training),
        held_out_examples=len(datamodule.held_out),
        epochs_run=len(done.fitted.epochs),
        classes=', '.join(f'{entry.value} {entry.name}' for entry in datamodule.classes),
    )
