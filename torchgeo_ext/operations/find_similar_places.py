"""Find places that are like some others."""

from typing import Annotated, Any, NamedTuple

from torchgeo_ext.errors import BadParameter
from torchgeo_ext.operations._checks import one_of
from torchgeo_ext.operations._location_parameters import (
    CELLS,
    Combine,
    LocationModel,
    MaximumCells,
    Resolution,
    Seed,
    Untrained,
    Weights,
)
from torchgeo_ext.operations._operation import (
    Crs,
    Device,
    Extent,
    Features,
    FeaturesOut,
    Label,
    RasterOut,
    Styles,
    operation,
    within,
)
from torchgeo_ext.progress import Progress, portion, silent


class FindSimilarPlacesResult(NamedTuple):
    """Result of :func:`find_similar_places`.

    Attributes:
        compared_count: Places that were compared with the references.
        place_count: Places in the ranked layer.
        highest_similarity: Of the place most alike, -1 to 1.
        lowest_similarity: Of the place least alike.
        source: Where the numbers of the encoder come from.
    """

    output: str | None
    places: str | None
    compared_count: int
    place_count: int
    highest_similarity: float
    lowest_similarity: float
    source: str
    styles: Styles


@operation(
    label='Find similar places',
    group='Location',
    tags=('location', 'similarity', 'search', 'analogue', 'SatCLIP', 'cosine', 'retrieval'),
    checks=(one_of('extent', 'candidates'),),
)
def find_similar_places(
    references: Features,
    *,
    extent: Extent | None = None,
    candidates: Features | None = None,
    resolution: Resolution | None = None,
    crs: Crs | None = None,
    model: LocationModel = 'satclip_vit16_l40',
    weights: Weights | None = None,
    combine: Combine = 'nearest',
    exclusion: Annotated[float, within(0, 20_038_000, 'metres')] = 0.0,
    top: Annotated[int, within(1, 100_000)] = 100,
    spacing: Annotated[float, within(0, 20_038_000, 'metres')] = 0.0,
    maximum_cells: MaximumCells = CELLS,
    untrained: Untrained = False,
    seed: Seed = 0,
    device: Device = 'auto',
    output: Annotated[RasterOut, Label('Similarity')] | None = None,
    places: Annotated[FeaturesOut, Label('Most similar places')] | None = None,
    progress: Progress = silent,
) -> FindSimilarPlacesResult:
    """Find places that are like some others, in what an encoder knows of them.

    Give a few points of what is looked for, and an area or a layer of points to search in. Places
    are compared by the cosine of the angle between their vectors; how high that is for places that
    have nothing in common depends on the encoder, so that the order says more than the number.
    Places near to a reference are like it without any encoder: leave them out by an exclusion
    distance.

    Args:
        references: Points that are like what is looked for.
        extent: Area to search in: xmin,ymin,xmax,ymax and its reference system in brackets.
        candidates: Points to choose from, instead of an area.
        resolution: For an area: width and height of a cell, in units of its reference system.
        crs: For an area: reference system of the cells; that of the extent if left out.
        model: Encoder. Those with the name of a publication are trained and need weights;
            harmonics, fourier and wrap are formulas of longitude and latitude, as a baseline.
        weights: File of the weights as their authors publish it, or as safetensors. Left out, they
            are fetched once, where their licence and their publication allow it.
        combine: What several references mean: nearest looks for places like any of them, mean for
            places like all of them.
        exclusion: Leave out what is nearer to a reference than this.
        top: How many of the most similar places to write.
        spacing: Most similar places lie at least so far apart; 0 takes them as they come.
        maximum_cells: Refuse an area of more cells than this.
        untrained: Take random numbers for the weights. Only to see what training is worth.
        seed: Of the random numbers.
        device: Where to compute; auto takes the best there is.
        output: For an area: raster of the similarity to write, -1 to 1.
        places: Most similar places to write, with rank, similarity and metres to the nearest
            reference (rank, similarity, distance_m): middles of cells, or candidates with their
            attributes.
        progress: Told how far the work is.

    Raises:
        BadParameter: If neither raster nor places are wanted, or an area has no resolution.
        BadInput: If a layer has no points, or nothing is left to compare.
    """
    from torchgeo_ext.inference.points import PointLayer
    from torchgeo_ext.operations._location import PlaceEncoder, PlaceGrid
    from torchgeo_ext.operations._similar_places import (
        search_candidates,
        search_cells,
        similarity_style,
        write_best,
    )
    from torchgeo_ext.operations._similarity import Likeness

    _check_wanted(extent, output, places)
    known = PointLayer.open(references, 'references')
    source: PointLayer | PlaceGrid
    if candidates is not None:
        source = PointLayer.open(candidates, 'candidates')
    else:
        source = PlaceGrid.over(str(extent), resolution, crs, maximum_cells)
    encoder = PlaceEncoder.open(model, weights, untrained=untrained, seed=seed, device=device)
    located = known.located()
    likeness = Likeness(encoder(located), located, combine, exclusion)
    work = portion(progress, 0, 0.95)
    if isinstance(source, PointLayer):
        found = search_candidates(source, encoder, likeness, work)
    else:
        found = search_cells(source, encoder, likeness, output, work)
    styles: Styles = {}
    if output is not None:
        styles['output'] = similarity_style(output, found)
    best = None
    if places is not None:
        best = found.best(top, spacing)
        styles |= write_best(places, source, best)
    low, high = found.quantiles([0, 1])
    return FindSimilarPlacesResult(
        output=None if output is None else str(output),
        places=None if places is None else str(places),
        compared_count=found.compared,
        place_count=0 if best is None else len(best.numbers),
        highest_similarity=high,
        lowest_similarity=low,
        source=encoder.origin,
        styles=styles,
    )


def _check_wanted(extent: Any, output: Any, places: Any) -> None:
    if output is None and places is None:
        raise BadParameter(
            'find_similar_places has nothing to write.', 'Give output, places or both.'
        )
    if extent is None and output is not None:
        raise BadParameter(
            f'output: a raster ({output}) needs an area, but candidates are given.',
            'Give an extent instead of candidates, or leave output out.',
        )
