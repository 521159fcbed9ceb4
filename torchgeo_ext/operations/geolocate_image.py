"""Tell where on Earth an image was taken."""

import os
from typing import Annotated, NamedTuple

from torchgeo_ext.errors import BadInput
from torchgeo_ext.operations._operation import (
    Bundle,
    Device,
    FeaturesOut,
    Fraction,
    Label,
    Rasters,
    Styles,
    VectorOut,
    bands_of,
    operation,
    within,
)
from torchgeo_ext.progress import Progress, portion, silent


class GeolocateImageResult(NamedTuple):
    """Result of :func:`geolocate_image`.

    Attributes:
        longitude: Of the likeliest place, in degrees.
        latitude: Of the likeliest place, in degrees.
        probability: Of its cell.
        radius_km: How far from the place the farthest corner of the cell is: if the cell is right,
            the image was taken nearer than that.
        error_km: How far the place is from where the images say that they are, if they do.
        tile_count: Tiles that the model looked at.
    """

    output: str
    places: str | None
    longitude: float
    latitude: float
    probability: float
    radius_km: float
    error_km: float | None
    tile_count: int
    styles: Styles


@operation(
    label='Geolocate image',
    group='Location',
    tags=('geolocation', 'PlaNet', 'where', 'S2 cells', 'place', 'georeference', 'album'),
)
def geolocate_image(
    images: Rasters,
    bundle: Bundle,
    output: Annotated[VectorOut, Label('Cells')],
    *,
    bands: Annotated[list[int], bands_of('images')] | None = None,
    hierarchical: bool = True,
    tiles: Annotated[int, within(1, 100)] = 9,
    top: Annotated[int, within(1, 1000)] = 5,
    minimum_probability: Fraction = 0.0,
    places: Annotated[FeaturesOut, Label('Likeliest places')] | None = None,
    device: Device = 'auto',
    progress: Progress = silent,
) -> GeolocateImageResult:
    """Tell where on Earth an image was taken, with a model that has learned it from many places.

    The image needs no georeference. The model knows cells of the Earth, small ones where it has
    learned from many images and large ones where from few, and gives each a probability. Parts of
    the Earth where it has learned nothing are in no cell: an image from there gets an answer as
    well, a wrong one. A probability says how the model chooses among what it knows, not how often
    it is right; how often it was right on places held out should be told with the model.

    Several images of one place, of several dates for instance, are looked at together.

    Args:
        images: One image, or several of the same place, with or without georeference. They should
            have the ground resolution that the model was trained with.
        bundle: The trained model: the model.json of its folder, a .zip of that folder, or a
            Lightning checkpoint (.ckpt) of Geolocation.
        output: Cells with their probability to write (GeoPackage), the likeliest first: rank, cell
            (its name in S2), level, probability, likelihood (the same in words), training_images
            (how many were in the cell), longitude, latitude (the middle of those images) and
            radius_km.
        bands: Numbers of the images' bands in the order the model wants them. Left out, bands are
            found by name, then by wavelength, then taken in order if their number fits. A model
            that knows bands by their wavelengths, or was trained on a cube, takes those of other
            sensors too.
        hierarchical: Weigh each cell by the larger ones around it, if the model has learned such;
            otherwise small cells speak for themselves.
        tiles: Of an image that is larger than what the model has learned from, so many tiles all
            over it are looked at.
        top: How many of the likeliest places to write.
        minimum_probability: Leave out cells of a lower probability, but never the likeliest.
        places: Likeliest places to write as points, with the radius of their cells (radius_km) and
            how far they are from where the images say that they are (error_km).
        device: Where to compute; auto takes the best there is.
        progress: Told how far the work is.

    Raises:
        BadInput: If the model does something else, an image lacks bands, or none has data.
    """
    from torchgeo_ext.operations._geolocation import (
        RankedCells,
        ask,
        distances,
        true_place,
        write_cells,
        write_places,
    )
    from torchgeo_ext.operations._models import open_model
    from torchgeo_ext.operations._predict import Image, check_resolution, choose_grid
    from torchgeo_ext.operations._sensors import adapt
    from torchgeo_ext.operations._values import warn_of_values

    paths = [images] if isinstance(images, str | os.PathLike) else [*images]
    opened = open_model(bundle, None, task='geolocation', dates=1)
    seeing = [adapt(opened, [Image(path, bands, 'images')]) for path in paths]
    trained = seeing[0].bundle
    card = trained.card
    grids, sources = [], []
    for path, (told, [source]) in zip(paths, seeing, strict=True):
        if told.card != card:
            raise BadInput(
                f'images: {paths[0]} and {path} are of different sensors, and the model goes by '
                'wavelengths.',
                'Ask about the images of each sensor by themselves.',
            )
        grid = choose_grid(path, None, 'images')
        check_resolution(card, grid)
        warn_of_values(source, grid, card.bands, card.training.get('units'))
        grids.append(grid)
        sources.append(source)
    answer = ask(trained, sources, tiles, device, portion(progress, 0, 0.9))
    cells = card.cells
    assert cells is not None  # as the card of every geolocation has them
    alone = answer.scores[-len(cells.finest) :]
    probabilities = cells.combine(answer.scores[None])[0] if hierarchical else alone
    ranked = RankedCells.of(cells.finest, probabilities, minimum_probability)
    true = true_place(grids)
    errors = None if true is None else distances(ranked.partition.places, true)
    styles: Styles = {'output': write_cells(output, ranked)}
    if places is not None:
        write_places(places, ranked, top, errors)
    longitude, latitude = ranked.partition.places[0].tolist()
    return GeolocateImageResult(
        output=str(output),
        places=None if places is None else str(places),
        longitude=longitude,
        latitude=latitude,
        probability=float(ranked.probabilities[0]),
        radius_km=float(ranked.radii[0]),
        error_km=None if errors is None else float(errors[0]),
        tile_count=answer.tiles,
        styles=styles,
    )
