"""Describe each cell of a grid by what an encoder knows of its place."""

from typing import Annotated, NamedTuple

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
    Label,
    RasterOut,
    Styles,
    operation,
    within,
)
from torchgeo_ext.progress import Progress, silent


class EmbedGridResult(NamedTuple):
    """Result of :func:`embed_grid`.

    Attributes:
        dimensions: Numbers that describe each cell: bands of the embedding.
        explained_variance: Share of the variance that the components keep, 0 to 1; none if the
            vectors were left as they are.
        width: Columns of the grid.
        height: Rows of the grid.
        source: Where the numbers of the encoder come from.
    """

    output: str
    picture: str | None
    dimensions: int
    explained_variance: float | None
    width: int
    height: int
    source: str
    styles: Styles


@operation(
    label='Embed grid',
    group='Location',
    tags=('location', 'coordinates', 'SatCLIP', 'GeoCLIP', 'SINR', 'raster', 'PCA', 'features'),
)
def embed_grid(
    extent: Extent,
    resolution: Resolution,
    output: Annotated[RasterOut, Label('Embedding')],
    *,
    crs: Crs | None = None,
    model: LocationModel = 'satclip_vit16_l40',
    weights: Weights | None = None,
    components: Annotated[int, within(0, 256)] = 0,
    maximum_cells: MaximumCells = CELLS,
    untrained: Untrained = False,
    seed: Seed = 0,
    device: Device = 'auto',
    picture: Annotated[RasterOut, Label('Picture of the embedding')] | None = None,
    progress: Progress = silent,
) -> EmbedGridResult:
    """Describe each cell of a grid by what an encoder knows of its place, without any image.

    The raster has a band for each number of the vectors: stacked with other rasters it tells a
    model where it is, and Cluster image or Segment from examples make maps of it. It is large: four
    bytes for each band and cell. In degrees of longitude and latitude a grid takes a fraction of
    the time that as many points take.

    Args:
        extent: Area to describe: xmin,ymin,xmax,ymax and its reference system in brackets.
        resolution: Width and height of a cell, in units of the reference system of the grid:
            degrees, if that has degrees.
        output: Embedding to write: a raster of float32 with one band for each number of the
            vectors.
        crs: Reference system of the grid; that of the extent if left out.
        model: Encoder. Those with the name of a publication are trained and need weights;
            harmonics, fourier and wrap are formulas of longitude and latitude, as a baseline.
        weights: File of the weights as their authors publish it, or as safetensors. Left out, they
            are fetched once, where their licence and their publication allow it.
        components: Keep only so many principal components, which makes the file smaller; 0 keeps
            the vectors as they are.
        maximum_cells: Refuse to write more cells than this, so that a wrong resolution does not
            fill the disk.
        untrained: Take random numbers for the weights. Only to see what training is worth.
        seed: Of the random numbers.
        device: Where to compute; auto takes the best there is.
        picture: Picture to write that shows the first three principal components as red, green and
            blue.
        progress: Told how far the work is.

    Raises:
        BadParameter: If the grid would have too many cells, or the extent is no place on Earth.
        MissingWeights: If published weights are not here and cannot be fetched.
    """
    from torchgeo_ext.operations._location import PlaceEncoder, PlaceGrid
    from torchgeo_ext.operations._location_rasters import GridLayers, components_of

    cells = PlaceGrid.over(str(extent), resolution, crs, maximum_cells)
    encoder = PlaceEncoder.open(model, weights, untrained=untrained, seed=seed, device=device)
    turned = None
    if components or picture is not None:
        progress(0.0, 'Sampling')
        turned = components_of(cells.sample(encoder), components)
    layers = GridLayers(encoder, turned, components > 0)
    layers.write(cells, output, picture, progress)
    return EmbedGridResult(
        output=str(output),
        picture=None if picture is None else str(picture),
        dimensions=layers.dimensions,
        explained_variance=turned.explained_variance if turned and components else None,
        width=cells.grid.width,
        height=cells.grid.height,
        source=encoder.origin,
        styles={},
    )
