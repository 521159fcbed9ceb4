"""Predict a target from nothing but the place, and tell how far that can be trusted."""

import json
from typing import Annotated, Literal, NamedTuple

from torchgeo_ext.operations._location_parameters import (
    CELLS,
    LocationModel,
    MaximumCells,
    Resolution,
    Seed,
    Untrained,
    Weights,
)
from torchgeo_ext.operations._operation import (
    ADVANCED,
    Crs,
    Device,
    Extent,
    Features,
    FeaturesOut,
    Label,
    RasterOut,
    StrPath,
    Styles,
    field_of,
    file_out,
    operation,
    within,
)
from torchgeo_ext.progress import Progress, portion, silent


class PredictFromLocationResult(NamedTuple):
    """Result of :func:`predict_from_location`.

    Attributes:
        samples: Points that were learned from.
        block_size: Height and width of the blocks of land in metres.
        r2_spatial: R2 of a numeric target with whole blocks held out: 1 is perfect, 0 no better
            than the mean.
        r2_random: R2 with points held out wherever they lie, as most published scores are; it
            mostly tells how near the next point is.
        f1_spatial: F1 of classes, as the mean of the classes, with whole blocks held out.
        f1_random: F1 with points held out wherever they lie.
        baseline_spatial: Best score of the ways without an encoder, with whole blocks held out.
        scores: All scores of all ways, as JSON.
        source: Where the numbers of the encoder come from.
    """

    output: str | None
    residuals: str | None
    report: str | None
    samples: int
    block_size: float
    r2_spatial: float | None
    r2_random: float | None
    f1_spatial: float | None
    f1_random: float | None
    baseline_spatial: float
    scores: str
    source: str
    styles: Styles


@operation(
    label='Predict from location',
    group='Location',
    tags=(
        'location', 'regression', 'interpolation', 'classification', 'linear probe', 'SatCLIP',
        'spatial cross-validation', 'k-NN', 'residuals',
    ),
)  # fmt: skip
def predict_from_location(
    points: Features,
    target: Annotated[str, field_of('points')],
    *,
    task: Literal['auto', 'regression', 'classification'] = 'auto',
    model: LocationModel = 'satclip_vit16_l40',
    weights: Weights | None = None,
    method: Literal['linear', 'network', 'neighbours'] = 'linear',
    neighbours: Annotated[int, within(1, 1000), ADVANCED] = 5,
    folds: Annotated[int, within(2, 100)] = 5,
    block_size: Annotated[float, within(0, 20_000_000, 'metres')] = 0.0,
    extent: Extent | None = None,
    resolution: Resolution | None = None,
    crs: Crs | None = None,
    maximum_cells: MaximumCells = CELLS,
    untrained: Untrained = False,
    seed: Seed = 0,
    device: Device = 'auto',
    output: Annotated[RasterOut, Label('Predictions')] | None = None,
    residuals: Annotated[FeaturesOut, Label('Residuals')] | None = None,
    report: Annotated[StrPath, file_out('html', 'json')] | None = None,
    progress: Progress = silent,
) -> PredictFromLocationResult:
    """Predict a target from nothing but the place, and tell how far that can be trusted.

    A small model learns the target from the vectors that an encoder gives for the places of the
    points. It is judged twice: by points held out at random, most of which have a neighbour that
    was learned from, and by whole blocks of land held out, which is what counts for places without
    points. Beside it stand ways that need no encoder: the same model from longitude and latitude
    alone, and the mean of the nearest points. An encoder that does not beat these with blocks held
    out is of no use for this target.

    Points without a value are not learned from, and get a prediction in the layer of residuals.

    Args:
        points: Points of which the target is known.
        target: Their field with the target: numbers, or text or whole numbers for classes.
        task: What the target is; auto takes numbers for a regression and the rest for classes.
        model: Encoder. Those with the name of a publication are trained and need weights;
            harmonics, fourier and wrap are formulas of longitude and latitude, as a baseline.
        weights: File of the weights as their authors publish it, or as safetensors. Left out, they
            are fetched once, where their licence and their publication allow it.
        method: linear is ridge or logistic regression, good for most encoders and few points;
            network has two hidden layers and needs some hundred points; neighbours takes the points
            with the nearest vectors.
        neighbours: For neighbours, and for the nearest points beside them: how many.
        folds: In how many parts the points are held out, one after the other.
        block_size: Height and width of the blocks of land; larger ones tell of places farther from
            any point. 0 takes the largest that leaves some for every part.
        extent: Area of the map: xmin,ymin,xmax,ymax and its reference system in brackets.
        resolution: Width and height of a cell of the map, in units of its reference system.
        crs: Reference system of the map; that of the extent if left out.
        maximum_cells: Refuse a map of more cells than this.
        untrained: Take random numbers for the weights of the encoder. Only to see what training is
            worth.
        seed: Of random numbers, and of the parts.
        device: Where to compute; auto takes the best there is.
        output: Map of predictions to write, of an extent.
        residuals: The points with what was predicted while their block was held out (predicted),
            what is left (residual; of classes whether it is right, correct) and the number of
            their part (fold) to write.
        report: Report to write, as HTML or JSON.
        progress: Told how far the work is.

    Raises:
        BadInput: If the target is constant or not numeric, or there are fewer points than folds.
        BadParameter: If there is no such field, or a map has no extent.
    """
    from torchgeo_ext.inference.probe import Probe
    from torchgeo_ext.operations._location import PlaceEncoder
    from torchgeo_ext.operations._location_maps import (
        check_area,
        write_predictions,
        write_residuals,
    )
    from torchgeo_ext.operations._probe_report import write_report
    from torchgeo_ext.operations._probing import evaluate
    from torchgeo_ext.operations._targets import read_targets

    cells = check_area(output, extent, resolution, crs, maximum_cells)
    progress(0.0, 'Reading the points')
    targets = read_targets(points, target, task)
    encoder = PlaceEncoder.open(model, weights, untrained=untrained, seed=seed, device=device)
    probe = Probe(method, targets.classify, neighbours, seed)
    progress(0.05, 'Embedding')
    vectors = encoder(targets.places)
    judged = evaluate(
        probe, targets, vectors, folds, block_size or None, portion(progress, 0.1, 0.6)
    )
    fitted = probe.fit(vectors[targets.known], targets.values[targets.known])
    styles: Styles = {}
    if residuals is not None:
        styles |= write_residuals(residuals, targets, vectors, fitted, judged)
    if cells is not None:
        work = portion(progress, 0.65, 1.0)
        styles['output'] = write_predictions(output, cells, encoder, fitted, targets, target, work)
    if report is not None:
        settings = {'points': str(points), 'target': target, 'encoder': model, 'method': method}
        write_report(report, settings | {'encoder is': encoder.origin}, judged, targets)
    own, number = judged.ways[0], not targets.classify
    return PredictFromLocationResult(
        output=None if output is None else str(output),
        residuals=None if residuals is None else str(residuals),
        report=None if report is None else str(report),
        samples=int(targets.known.sum()),
        block_size=judged.spatial.side,
        r2_spatial=own.spatial.main if number else None,
        r2_random=own.random.main if number else None,
        f1_spatial=None if number else own.spatial.main,
        f1_random=None if number else own.random.main,
        baseline_spatial=max(way.spatial.main for way in judged.ways[1:]),
        scores=json.dumps(judged.describe()),
        source=encoder.origin,
        styles=styles,
    )
