"""Give every pixel the class of the known spectra that it resembles."""

import json
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from torchgeo_ext.operations._checks import one_of
from torchgeo_ext.operations._cube import CubeBands, Wavelengths
from torchgeo_ext.operations._operation import (
    ADVANCED,
    Extent,
    Features,
    File,
    Label,
    Layer,
    Raster,
    RasterOut,
    StrPath,
    Styles,
    VectorOut,
    field_of,
    file_out,
    operation,
    within,
)
from torchgeo_ext.operations._predict import MinimumArea
from torchgeo_ext.progress import Progress, portion, silent

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

    from torchgeo_ext.operations._spectra import Known


class ClassifySpectraResult(NamedTuple):
    """Result of :func:`classify_spectra`.

    Attributes:
        classes: Value, name and colour of each class, as JSON.
        class_areas: Area of each class in square metres, measured on the ellipsoid, as JSON.
        known_spectra: Number of spectra that were learned from.
        bands_used: Number of bands that were used.
        held_out_accuracy: How well examples are classified by those of other parts of the image:
            share of the pixels that get the right class, averaged over classes, 0 to 1. None for
            a library, or if there are too few examples to leave some out.
    """

    output: str
    confidence: str | None
    polygons: str | None
    report: str | None
    classes: str
    class_areas: str
    known_spectra: int
    bands_used: int
    held_out_accuracy: float | None
    styles: Styles


@operation(
    label='Classify spectra',
    group='Hyperspectral',
    tags=('spectral angle mapper', 'SAM', 'support vector machine', 'SVM', 'random forest',
          'spectral library', 'supervised classification', 'minerals'),
    checks=(one_of('library', 'examples'),),
)  # fmt: skip
def classify_spectra(
    image: Raster,
    output: Annotated[RasterOut, Label('Class map')],
    *,
    library: Annotated[File, Label('Spectral library')] | None = None,
    library_field: str | None = None,
    spectra: str | None = None,
    examples: Features | None = None,
    class_field: Annotated[str, field_of('examples')] | None = None,
    method: Literal['angle', 'svm', 'forest'] = 'angle',
    maximum_angle: Annotated[float, within(0.0, 90.0, 'degrees')] | None = None,
    bands: CubeBands | None = None,
    extent: Extent | None = None,
    mask: Layer | None = None,
    library_scale: Annotated[float, within(1e-12, 1e12)] = 1.0,
    wavelengths: Wavelengths | None = None,
    trees: Annotated[int, within(1, 10_000), ADVANCED] = 300,
    cost: Annotated[float, within(1e-6, 1e9), ADVANCED] = 100.0,
    seed: Annotated[int, within(0, 2**31 - 1), ADVANCED] = 0,
    confidence: RasterOut | None = None,
    polygons: VectorOut | None = None,
    minimum_area: MinimumArea = 0.0,
    report: Annotated[StrPath, file_out('html')] | None = None,
    progress: Progress = silent,
) -> ClassifySpectraResult:
    """Give every pixel the class of the known spectra that it resembles most.

    Known are the spectra of a library, which are brought to the bands of the image by wavelength,
    or those of points, lines or polygons on the image itself.

    Args:
        image: Image of many bands.
        output: Class map to write.
        library: ENVI library (.sli), GeoPackage or GeoJSON of EnMAP-Box, or CSV with a row for
            each spectrum and columns headed by wavelengths.
        library_field: Field of the library with the class of each spectrum; left out, each
            spectrum is a class.
        spectra: Names of the spectra of the library to use, separated by commas; all if left out.
        examples: Points, lines or polygons of known class.
        class_field: Their field with the class, text or whole numbers.
        method: angle (spectral angle mapper) takes the class of the spectrum at the smallest angle,
            whatever the brightness; one spectrum for each class is enough. svm (support vector
            machine with a radial kernel) and forest (random forest) learn what tells classes apart
            and need examples of how much each varies.
        maximum_angle: For angle: pixels at a larger angle to all spectra get no class (value 0).
        bands: Numbers of the bands to use. Left out, all but those without data, those that the
            file calls bad and those in which water vapour hides the ground.
        extent: Only this part; examples elsewhere do not count.
        mask: Raster (zero is outside) or polygons; pixels outside get no class.
        library_scale: Factor from values of the library to those of the image, for svm and forest;
            10000 for a library of reflectance and an image that stores it times 10000.
        wavelengths: CSV with the wavelength of each band, or the name of a sensor such as enmap,
            if the image does not tell.
        trees: For forest: number of trees.
        cost: For svm: cost of a known spectrum on the wrong side (C).
        seed: For forest and svm: of what is drawn at random.
        confidence: Raster to write of how well the class fits: cosine of the angle, or share of the
            trees.
        polygons: Polygons of the classes to write (GeoPackage).
        minimum_area: Leave out smaller polygons.
        report: Page to write with a plot of the mean spectrum of each class, and their areas.
        progress: Told how far the work is.

    Raises:
        BadInput: If there are fewer than two classes, or bands do not fit together.
        BadParameter: If an argument does not go with the method.
    """
    import math

    import numpy as np

    from torchgeo_ext.datasets._classes import LabelClass
    from torchgeo_ext.inference.examples import accuracy_elsewhere
    from torchgeo_ext.inference.spectral.classify import fit_spectra
    from torchgeo_ext.operations._cube import open_cube
    from torchgeo_ext.operations._pixelwise import map_classes
    from torchgeo_ext.operations._predict import class_table
    from torchgeo_ext.operations._spectra import LibraryChoice, known_spectra

    _check_method(method, maximum_angle, confidence, class_field, examples)
    cube = open_cube(image, bands, extent=extent, mask=mask, wavelengths=wavelengths)
    choice = LibraryChoice(library, library_field, spectra, library_scale)
    progress(0.02, 'Reading the known spectra')
    known = known_spectra(cube, choice, examples, class_field, fewest=2)
    count = len(known.legend)
    widest = None if maximum_angle is None else math.radians(maximum_angle)

    def fit(seen: 'NDArray[Any]', classes: 'NDArray[np.intp]') -> 'nn.Module':
        return fit_spectra(
            method, seen, classes, count, trees=trees, cost=cost, maximum_angle=widest, seed=seed
        )

    progress(0.05, 'Fitting')
    accuracy = None
    if known.places is not None:
        features = known.spectra.astype(np.float32)
        accuracy = accuracy_elsewhere(fit, features, known.classes, known.places)
    legend = class_table(known.legend)
    if widest is not None:
        legend += class_table([LabelClass(0, 'unclassified', '#f0f0f0')])
    styles, areas = map_classes(
        fit(known.spectra, known.classes),
        known.cube.source,
        known.cube.grid,
        legend,
        model=f'{method} of {len(known.spectra)} spectra',
        mask=known.cube.mask,
        device='cpu',
        output=output,
        confidence=confidence,
        polygons=polygons,
        minimum_area=minimum_area,
        tile_size=known.cube.tile_size,
        progress=portion(progress, 0.15, 1),
    )
    if report is not None:
        _describe(report, known, areas, accuracy)
    return ClassifySpectraResult(
        output=str(output),
        confidence=None if confidence is None else str(confidence),
        polygons=None if polygons is None else str(polygons),
        report=None if report is None else str(report),
        classes=json.dumps(legend),
        class_areas=json.dumps(areas),
        known_spectra=len(known.spectra),
        bands_used=len(known.cube.bands),
        held_out_accuracy=accuracy,
        styles=styles,
    )


def _check_method(
    method: str, maximum_angle: object, confidence: object, class_field: object, examples: object
) -> None:
    from torchgeo_ext.errors import BadParameter

    if maximum_angle is not None and method != 'angle':
        raise BadParameter(
            f'maximum_angle is {maximum_angle}, but makes no difference to {method}.',
            'Leave it out, or choose angle as method.',
        )
    if confidence is not None and method == 'svm':
        raise BadParameter(
            'confidence: a support vector machine gives none.', 'Leave it out, or take a forest.'
        )
    if examples is not None and class_field is None:
        raise BadParameter(
            'class_field is needed to tell the classes of examples.', 'Name their field.'
        )


def _describe(
    path: StrPath, known: 'Known', areas: dict[str, float], accuracy: float | None
) -> None:
    from torchgeo_ext.operations._spectra_report import write_spectra
    from torchgeo_ext.operations._tables import hectares

    lead = f'{len(known.spectra)} known spectra, {len(known.cube.bands)} bands.'
    if accuracy is not None:
        lead += f' Accuracy on examples of other parts of the image: {accuracy:.3f}.'
    rows: list[tuple[str, ...]] = [('class', 'known spectra', 'area (ha)')]
    for number, name in enumerate(known.names):
        count = int((known.classes == number).sum())
        rows.append((name, str(count), hectares(areas[name])))
    write_spectra(path, 'Classes of spectra', lead, known.cube, known.means, known.legend, rows)
