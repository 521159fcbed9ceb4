"""Group alike places of an image without any example."""

import json
from typing import Annotated, NamedTuple

from torchgeo_ext.operations._operation import (
    ADVANCED,
    Device,
    Extent,
    Label,
    Layer,
    Raster,
    RasterOut,
    Styles,
    VectorOut,
    bands_of,
    operation,
    within,
)
from torchgeo_ext.operations._predict import MinimumArea
from torchgeo_ext.progress import Progress, portion, silent


class ClusterImageResult(NamedTuple):
    """Result of :func:`cluster_image`.

    Attributes:
        clusters: Number of groups.
        cluster_areas: Area of each group in square metres, measured on the ellipsoid, as JSON.
    """

    output: str
    polygons: str | None
    clusters: int
    cluster_areas: str
    styles: Styles


@operation(
    label='Cluster image',
    group='Segmentation',
    tags=('unsupervised classification', 'k-means', 'embedding', 'explore', 'strata'),
)
def cluster_image(
    image: Raster,
    output: Annotated[RasterOut, Label('Groups')],
    *,
    clusters: Annotated[int, within(2, 255)] = 10,
    bands: Annotated[list[int], bands_of('image')] | None = None,
    extent: Extent | None = None,
    mask: Layer | None = None,
    device: Device = 'auto',
    seed: Annotated[int, within(0, 2**31 - 1), ADVANCED] = 0,
    polygons: VectorOut | None = None,
    minimum_area: MinimumArea = 0.0,
    progress: Progress = silent,
) -> ClusterImageResult:
    """Group alike places of an image without any example (k-means).

    For a first look at an image or an embedding, and for strata to draw samples from. The bands
    are standardised first, so that each counts as much as any other. Groups have no meaning of
    their own; neighbouring numbers stand for alike groups.

    Args:
        image: Image or embedding.
        output: Raster of groups to write, numbered from 1.
        clusters: Number of groups.
        bands: Numbers of the bands to use. Left out, all; of more than 30 those that have data, are
            not marked as bad and are not in the water vapour.
        extent: Only this part of the image.
        mask: Raster (zero is outside) or polygons; pixels outside get no group.
        device: Where to compute; auto takes the best there is.
        seed: Of the first guess; another one gives somewhat other groups.
        polygons: Polygons of the groups to write (GeoPackage).
        minimum_area: Leave out smaller polygons.
        progress: Told how far the work is.

    Raises:
        BadParameter: If there are fewer pixels than groups.
    """
    from torch import nn

    from torchgeo_ext.datasets._classes import make_classes
    from torchgeo_ext.errors import BadParameter
    from torchgeo_ext.inference import MaskSource, RasterSource
    from torchgeo_ext.inference.embedding import sample_vectors
    from torchgeo_ext.inference.examples import fit_clusters
    from torchgeo_ext.operations._cube import bands_of_use
    from torchgeo_ext.operations._pixelwise import TILE, map_classes
    from torchgeo_ext.operations._predict import choose_grid, class_table

    grid = choose_grid(image, extent)
    source = RasterSource(str(image), bands=bands_of_use(image, bands, grid))
    masked = None if mask is None else MaskSource(str(mask))
    sample = sample_vectors(
        nn.Identity(), source, grid, tile_size=TILE, reduction=1, device='cpu', mask=masked,
        progress=portion(progress, 0, 0.1),
    )  # fmt: skip
    if len(sample) < clusters:
        raise BadParameter(
            f'clusters is {clusters}, but only {len(sample)} pixels have data.',
            'Ask for fewer groups.',
        )
    progress(0.1, 'Grouping')
    fitted = fit_clusters(sample, clusters, seed)
    numbers = range(1, clusters + 1)
    groups = make_classes(numbers, {number: f'group {number}' for number in numbers})
    styles, areas = map_classes(
        fitted,
        source,
        grid,
        class_table(groups),
        model=f'k-means of {clusters} groups',
        mask=masked,
        device=device,
        output=output,
        polygons=polygons,
        minimum_area=minimum_area,
        progress=portion(progress, 0.15, 1),
    )
    return ClusterImageResult(
        output=str(output),
        polygons=None if polygons is None else str(polygons),
        clusters=clusters,
        cluster_areas=json.dumps(areas),
        styles=styles,
    )
