"""Find what changed between two images of one place."""

from typing import Annotated, Literal, NamedTuple

from torchgeo_ext.operations import _checks
from torchgeo_ext.operations._operation import (
    ADVANCED,
    Bundle,
    Device,
    Extent,
    Label,
    Layer,
    Raster,
    RasterOut,
    Styles,
    VectorOut,
    bands_of,
    model_for,
    operation,
    within,
)
from torchgeo_ext.operations._predict import (
    Augmentation,
    BatchSize,
    Merge,
    MinimumArea,
    Overlap,
    Resampling,
    TileSize,
)
from torchgeo_ext.progress import Progress, portion, silent


class DetectChangeResult(NamedTuple):
    """Result of :func:`detect_change`.

    Attributes:
        changed_area: Area that changed in square metres, measured on the ellipsoid.
        changed_fraction: Share of the pixels with data at both dates that changed, 0 to 1.
        valid_fraction: Share of the pixels of the result that have data at both dates, and are
            inside of the mask, 0 to 1; the others are left out.
        threshold_used: Magnitude or probability from which on a pixel was taken for changed; none
            with a model of several kinds of change.
        offset_x: How far the later image lies to the right of the earlier one, in pixels of the
            result; none if they have too little in common to tell.
        offset_y: How far the later image lies below the earlier one, in pixels of the result.
        iterations: Iterations that irmad took; 0 for other models.
    """

    output: str
    magnitude: str | None
    probabilities: str | None
    polygons: str | None
    changed_area: float
    changed_fraction: float
    valid_fraction: float
    threshold_used: float | None
    offset_x: float | None
    offset_y: float | None
    iterations: int
    styles: Styles


@operation(
    label='Detect change',
    group='Change detection',
    tags=('difference', 'compare', 'two dates', 'IR-MAD', 'CVA', 'deep learning'),
    checks=(_checks.overlap('before', 'after'), _checks.less_than('overlap', 'tile_size')),
)
def detect_change(
    before: Raster,
    after: Raster,
    output: Annotated[RasterOut, Label('Change map')],
    *,
    model: Annotated[str, model_for('change')] = 'irmad',
    bundle: Bundle | None = None,
    before_bands: Annotated[list[int], bands_of('before')] | None = None,
    after_bands: Annotated[list[int], bands_of('after')] | None = None,
    extent: Extent | None = None,
    mask: Layer | None = None,
    threshold: Annotated[float, within(0.0)] | None = None,
    threshold_by: Literal['automatic', 'significance', 'otsu'] = 'automatic',
    significance: Annotated[float, within(1e-12, 1.0)] = 1e-4,
    regularisation: Annotated[float, within(0.0, 1.0), ADVANCED] = 0.0,
    consistent: Annotated[bool, ADVANCED] = True,
    maximum_iterations: Annotated[int, within(1, 10_000), ADVANCED] = 100,
    resampling: Resampling = 'bilinear',
    tile_size: TileSize = 0,
    overlap: Overlap = -1,
    merge: Merge = 'blend',
    augmentation: Augmentation = 'none',
    device: Device = 'auto',
    batch_size: BatchSize = 0,
    magnitude: RasterOut | None = None,
    probabilities: RasterOut | None = None,
    polygons: Annotated[VectorOut, Label('Changed areas')] | None = None,
    minimum_area: MinimumArea = 0.0,
    progress: Progress = silent,
) -> DetectChangeResult:
    """Find what changed between two images of one place, with a trained model or without.

    The images may differ in grid, resolution and coordinate reference system: the result has the
    pixels of the earlier image where both images are, and the later one is resampled to them. How
    well the two lie on each other is measured and reported; nothing is moved.

    Without training of your own there are two methods. irmad compares combinations of all bands
    that change least, whatever gain and offset the bands have at each date; its threshold has a
    statistical meaning. cva takes the length of the difference of standardised bands, which have
    to be the same at both dates. In both cases a mask that leaves out clouds, and water bodies
    that dominate the scene, makes the result better.

    Args:
        before: Earlier image; its pixels are those of the result.
        after: Later image.
        output: Change raster to write: 0 unchanged, 1 changed, 255 no data; with a bundle its
            classes.
        model: How to find change when no bundle is given. irmad is iteratively reweighted
            multivariate alteration detection, cva is change vector analysis; the others are
            published weights, for which what is said of a bundle below holds as well.
        bundle: Your own trained model, which takes the place of the one above: the model.json of
            its folder, a .zip of that folder, or a Lightning checkpoint (.ckpt). Its first class
            counts as unchanged.
        before_bands: Numbers of the bands to use of the earlier image, in the order of those of
            the later one. Left out, all are used; with a bundle they are found by name,
            wavelength or order, and one that was trained on a cube takes those of other sensors
            too.
        after_bands: Numbers of the bands to use of the later image.
        extent: Only this part of the images.
        mask: Raster (zero is outside) or polygons; pixels outside get no data and do not count.
        threshold: Magnitude (irmad, cva) or probability (bundle) from which on a pixel is
            changed. Left out, it is found for irmad and cva and one half for a bundle.
        threshold_by: How irmad and cva find the threshold. significance (irmad only) reports all
            change that is unlikely to be chance; otsu separates strong from weak; automatic is
            significance for irmad, but where this would be more than a quarter of the pixels
            only strong change is reported, and otsu for cva.
        significance: Share of unchanged pixels that irmad may call changed.
        regularisation: For irmad with bands that depend on each other, such as many narrow ones:
            added to the diagonal of their correlation matrices, for example 0.001.
        consistent: Let irmad account for the variance that weighing pixels takes away, so that
            significance is kept. Without, it is exactly as published in 2007 and reports much
            more.
        maximum_iterations: Where irmad stops if it has not converged.
        resampling: How the later image is brought onto the pixels of the earlier one.
        tile_size: Side of the square tiles that are computed; 0 chooses.
        overlap: Overlap of neighbouring tiles for a bundle; -1 takes twice the halo of the model.
        merge: How overlapping tiles of a bundle become one: blend fades from tile to tile, crop
            takes each pixel from the tile in whose middle it lies.
        augmentation: Average the results of mirrored (flip) or also rotated (d4) tiles of a
            bundle: somewhat better, 4 or 8 times slower.
        device: Where a bundle computes; auto takes the best there is.
        batch_size: Tiles a bundle computes at once; 0 chooses.
        magnitude: Raster of the magnitude of change to write (irmad, cva): square root of the
            chi-square statistic, or length of the change vector in standard deviations.
        probabilities: Raster of the probability of change to write (irmad, bundle); for a bundle
            of several kinds of change one band per class.
        polygons: Polygons of what changed to write (GeoPackage), with class and area.
        minimum_area: Leave out smaller polygons.
        progress: Told how far the work is.
    """
    from torchgeo_ext.inference.change import METHODS, Method
    from torchgeo_ext.operations import _change
    from torchgeo_ext.operations._predict import Plan

    images = _change.two_dates(before, before_bands, after, after_bands)
    plan = Plan(tile_size, overlap, merge, augmentation, device, batch_size, mask, resampling)
    finder: _change.WithoutTraining | _change.WithBundle
    if bundle is None and model in METHODS:
        method = Method(
            model, threshold, threshold_by, significance, regularisation, consistent,
            maximum_iterations,
        )  # fmt: skip
        finder = _change.WithoutTraining(method, images, plan)
    else:
        from torchgeo_ext.operations._models import open_model

        trained = open_model(bundle, model, task='change', dates=2)
        finder = _change.WithBundle(trained, threshold, images, plan)
    grid = _change.common_grid(*images, extent)
    shift = _change.report_shift(finder.sources, grid, portion(progress, 0, 0.05))
    wanted = {'output': output, 'magnitude': magnitude, 'probabilities': probabilities}
    share = 0.85 if polygons else 0.99
    found = finder.detect(grid, wanted, portion(progress, 0.05, share))
    if polygons:
        ending = portion(progress, share, 0.99)
        found.styles['polygons'] = _change.outline_change(
            output, polygons, found, minimum_area, ending
        )
    return DetectChangeResult(
        output=str(output),
        magnitude=None if magnitude is None else str(magnitude),
        probabilities=None if probabilities is None else str(probabilities),
        polygons=None if polygons is None else str(polygons),
        changed_area=_change.area_of(output, found.changed),
        changed_fraction=found.changed_fraction,
        valid_fraction=sum(found.counts.values()) / (grid.width * grid.height),
        threshold_used=found.threshold,
        offset_x=None if shift is None else shift.x,
        offset_y=None if shift is None else shift.y,
        iterations=found.iterations,
        styles=found.styles,
    )
