"""Put what many bands say into few: PCA, MNF, autoencoder."""

from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

from torchgeo_ext.operations._cube import CubeBands, Regularisation, Wavelengths
from torchgeo_ext.operations._operation import (
    ADVANCED,
    Device,
    Extent,
    Label,
    Layer,
    Raster,
    RasterOut,
    StrPath,
    file_out,
    operation,
    within,
)
from torchgeo_ext.progress import Progress, portion, silent

if TYPE_CHECKING:
    from torch import nn

    from torchgeo_ext.inference.spectral.cube import Cube
    from torchgeo_ext.inference.spectral.reduction import Reduction


class ReduceBandsResult(NamedTuple):
    """Result of :func:`reduce_bands`.

    Attributes:
        components: Number of components written.
        bands_used: Number of bands they were made of.
        kept_variance: Share of the variance of these bands that the components give back, 0 to 1;
            of an autoencoder, for spectra that it was not trained on.
        informative: For mnf, number of all components in which the signal is stronger than the
            noise.
    """

    output: str
    table: str | None
    components: int
    bands_used: int
    kept_variance: float
    informative: int | None


@operation(
    label='Reduce bands',
    group='Hyperspectral',
    tags=('PCA', 'principal components', 'MNF', 'minimum noise fraction', 'dimensionality',
          'autoencoder'),
)  # fmt: skip
def reduce_bands(
    image: Raster,
    output: Annotated[RasterOut, Label('Components')],
    *,
    method: Literal['mnf', 'pca', 'autoencoder'] = 'mnf',
    components: Annotated[int, within(1, 512)] = 10,
    bands: CubeBands | None = None,
    extent: Extent | None = None,
    mask: Layer | None = None,
    standardise: bool = False,
    wavelengths: Wavelengths | None = None,
    regularisation: Regularisation = 0.0,
    device: Device = 'auto',
    seed: Annotated[int, within(0, 2**31 - 1), ADVANCED] = 0,
    table: Annotated[StrPath, file_out('csv')] | None = None,
    progress: Progress = silent,
) -> ReduceBandsResult:
    """Put what many bands say into few components, the strongest first.

    For a picture of a hyperspectral image, and to feed methods that many bands make slow or
    confuse. The image is gone through twice, whatever its size; an autoencoder takes a third time
    and training on a sample of the pixels.

    Args:
        image: Image of many bands.
        output: Raster of the components to write.
        method: mnf orders components by how much signal they have for their noise, which is judged
            from what neighbouring pixels differ by; it does best for most images. pca orders them
            by variance, noise or not. autoencoder finds curved combinations, which rebuild spectra
            at least as well as as many principal components; it takes a minute.
        components: How many to write.
        bands: Numbers of the bands to use. Left out, all but those without data, those that the
            file calls bad and those in which water vapour hides the ground.
        extent: Only this part of the image.
        mask: Raster (zero is outside) or polygons; pixels outside do not count and get no value.
        standardise: For pca: let all bands count alike, whatever their variance.
        wavelengths: CSV with the wavelength of each band, or the name of a sensor such as enmap,
            if the image does not tell.
        regularisation: For mnf, if the noise of bands depends on each other: added to the diagonal
            of its covariance, in shares of it, for example 0.001.
        device: Where to compute; auto takes the best there is.
        seed: For an autoencoder: of the pixels drawn and of its start.
        table: Table to write of the components: strength, shares of variance, and for pca and mnf
            what each band contributes.
        progress: Told how far the work is.

    Raises:
        BadParameter: If there are fewer bands than components.
        BadInput: If there are too few pixels, or bands are constant or depend on each other.
    """
    from torchgeo_ext.errors import BadParameter
    from torchgeo_ext.inference import RasterOutput
    from torchgeo_ext.inference.spectral.reduction import fit_autoencoder, fit_mnf, fit_pca
    from torchgeo_ext.operations._cube import open_cube, run_cube

    if standardise and method != 'pca':
        raise BadParameter(
            f'standardise is true, but makes no difference to {method}.', 'Leave it out.'
        )
    if table is not None and method == 'autoencoder':
        raise BadParameter('table: an autoencoder has no table of components.', 'Leave it out.')
    cube = open_cube(image, bands, extent=extent, mask=mask, wavelengths=wavelengths)
    if components > len(cube.bands):
        raise BadParameter(
            f'components is {components}, but only {len(cube.bands)} bands are used.',
            'Ask for fewer, or name more bands.',
        )
    share = portion(progress, 0, 0.5)
    informative = None
    network: nn.Module
    if method == 'autoencoder':
        trained = fit_autoencoder(cube, components, seed=seed, progress=share)
        network, kept = trained.network, trained.kept
    else:
        if method == 'mnf':
            fitted = fit_mnf(cube, regularisation=regularisation, progress=share)
            informative = int((fitted.strengths > 2).sum())
        else:
            fitted = fit_pca(cube, standardise=standardise, progress=share)
        network, kept = fitted.network(components), fitted.kept(components)
        if table is not None:
            _write_table(table, fitted, cube, components)
    written = RasterOutput(
        str(output), 'values', tags={'model': method},
        descriptions=[f'component {number}' for number in range(1, components + 1)],
    )  # fmt: skip
    run_cube(network, cube, [written], portion(progress, 0.5, 1), device=device)
    return ReduceBandsResult(
        output=str(output),
        table=None if table is None else str(table),
        components=components,
        bands_used=len(cube.bands),
        kept_variance=kept,
        informative=informative,
    )


def _write_table(path: StrPath, fitted: 'Reduction', cube: 'Cube', count: int) -> None:
    from torchgeo_ext.operations._tables import Table, write_table

    rows = [
        [
            str(number + 1),
            f'{fitted.strengths[number]:.9g}',
            f'{fitted.kept(number + 1):.9g}',
            *(f'{value:.9g}' for value in fitted.axes[number]),
        ]
        for number in range(count)
    ]
    header = ['component', 'strength', 'kept variance so far', *cube.names]
    write_table(path, Table('Components', header, rows), 'table')
