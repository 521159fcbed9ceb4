"""Group alike places without any example."""

import json
from typing import Annotated, Literal, NamedTuple

from torchgeo_ext.operations._checks import one_of
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


class ClusterPlacesResult(NamedTuple):
    """Result of :func:`cluster_places`.

    Attributes:
        clusters: Number of groups.
        cluster_sizes: Points or cells of each group, as JSON.
        source: Where the numbers of the encoder come from.
    """

    output: str | None
    places: str | None
    clusters: int
    cluster_sizes: str
    source: str
    styles: Styles


@operation(
    label='Cluster places',
    group='Location',
    tags=('location', 'regions', 'unsupervised', 'k-means', 'HDBSCAN', 'SatCLIP', 'strata'),
    checks=(one_of('points', 'extent'),),
)
def cluster_places(
    *,
    points: Features | None = None,
    extent: Extent | None = None,
    resolution: Resolution | None = None,
    crs: Crs | None = None,
    model: LocationModel = 'satclip_vit16_l40',
    weights: Weights | None = None,
    method: Literal['kmeans', 'hdbscan'] = 'kmeans',
    clusters: Annotated[int, within(2, 255)] = 10,
    minimum_size: Annotated[int, within(2, 10_000)] = 25,
    maximum_cells: MaximumCells = CELLS,
    untrained: Untrained = False,
    seed: Seed = 0,
    device: Device = 'auto',
    output: Annotated[RasterOut, Label('Groups of cells')] | None = None,
    places: Annotated[FeaturesOut, Label('Groups of points')] | None = None,
    progress: Progress = silent,
) -> ClusterPlacesResult:
    """Group alike places without any example, by what an encoder knows of them.

    Groups points of a layer, or the cells of an area: for regions of alike places, and for strata
    to draw samples from. Groups have no meaning of their own. With trained encoders they follow
    what these have learned; with formulas of longitude and latitude they are no more than parts of
    the map.

    Args:
        points: Points to group, with any attributes.
        extent: Area whose cells to group, instead of points: xmin,ymin,xmax,ymax and its reference
            system in brackets.
        resolution: For an area: width and height of a cell, in units of its reference system.
        crs: For an area: reference system of the cells; that of the extent if left out.
        model: Encoder. Those with the name of a publication are trained and need weights;
            harmonics, fourier and wrap are formulas of longitude and latitude, as a baseline.
        weights: File of the weights as their authors publish it, or as safetensors. Left out, they
            are fetched once, where their licence and their publication allow it.
        method: kmeans makes as many groups as wanted, of any number of places; hdbscan finds how
            many there are, leaves out what lies in none and takes up to 20 000 places.
        clusters: For kmeans: number of groups.
        minimum_size: For hdbscan: places that a group has at least.
        maximum_cells: Refuse an area of more cells than this.
        untrained: Take random numbers for the weights. Only to see what training is worth.
        seed: Of the random numbers and of the first guess of kmeans.
        device: Where to compute; auto takes the best there is.
        output: For an area: raster of groups to write, numbered from 1; 0 is in none.
        places: For points: the same features with number and name of their group (value, class)
            to write.
        progress: Told how far the work is.

    Raises:
        BadParameter: If the output does not fit what is grouped, or there are fewer places than
            groups.
        BadInput: If there are too many places for hdbscan.
    """
    from torchgeo_ext.inference.points import PointLayer
    from torchgeo_ext.operations._location import PlaceEncoder, PlaceGrid
    from torchgeo_ext.operations._place_groups import (
        Grouping,
        check_outputs,
        write_group_features,
        write_group_raster,
    )

    check_outputs(points, output, places)
    source: PointLayer | PlaceGrid
    if points is not None:
        source = PointLayer.open(points, 'points')
    else:
        source = PlaceGrid.over(str(extent), resolution, crs, maximum_cells)
    encoder = PlaceEncoder.open(model, weights, untrained=untrained, seed=seed, device=device)
    progress(0.0, 'Grouping')
    groups = Grouping.fit(
        source, encoder, method, clusters, minimum_size, seed, portion(progress, 0, 0.4)
    )
    work = portion(progress, 0.4, 1.0)
    styles: Styles = {}
    if isinstance(source, PointLayer):
        sizes, styles = write_group_features(places, source, encoder, groups, work)
    else:
        sizes, styles['output'] = write_group_raster(output, source, encoder, groups, work)
    return ClusterPlacesResult(
        output=None if output is None else str(output),
        places=None if places is None else str(places),
        clusters=groups.count,
        cluster_sizes=json.dumps(sizes),
        source=encoder.origin,
        styles=styles,
    )
