"""Models that can be run as they are: methods without training and published weights.

Kept apart from the builders because it is read to list operations, which must not load torch.
What TorchGeo's weights do not say in their ``meta`` (class names, colours, wavelengths) stands
here with its source.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class ReadyBand:
    """A band a published model reads.

    Args:
        name: As the publication calls it.
        wavelength: Centre in micrometres.
        mean: Subtracted from stored pixel values ...
        std: ... before they are divided by this.
    """

    name: str
    wavelength: float
    mean: float = 0.0
    std: float = 1.0


@dataclass(frozen=True)
class ReadyModel:
    """A model an operation can run by its name.

    Args:
        name: What the user chooses; never changes its meaning.
        title: One sentence.
        task: What it does with an image or a pair.
        license: SPDX identifier or a sentence; of the weights.
        source: Where it is described.
        bands: What it reads, in the model's order.
        classes: Name and colour of each class, value 0 first; for ``semantic_change`` the land
            cover, value 1 first.
        resolution: Ground resolution in metres it was trained for, smallest and largest.
        tile_size: Tile size it was trained with, in pixels.
        weights: Name for TorchGeo's ``get_weight``; empty for methods that need none.
        builder: Model builder of the registry that takes these weights; empty for TorchGeo's
            U-Nets.
        bands_after: What it reads of the later date, if that is normalised otherwise.
        units: What stored pixel values must be, if that is known; see
            :data:`torchgeo_ext.preprocessing.Units`.
    """

    name: str
    title: str
    task: Literal['segmentation', 'change', 'semantic_change', 'embedding']
    license: str
    source: str
    bands: tuple[ReadyBand, ...] = ()
    classes: tuple[tuple[str, str], ...] = ()
    resolution: tuple[float, float] = (0.0, 0.0)
    tile_size: int = 256
    weights: str = ''
    builder: str = ''
    bands_after: tuple[ReadyBand, ...] = ()
    units: Literal['', '8 bit', 'digital numbers', 'reflectance', 'decibel'] = ''

    @property
    def dates(self) -> Literal[1, 2]:
        """How many images of one place it reads at once."""
        return 1 if self.task in ('segmentation', 'embedding') else 2

    @property
    def first_value(self) -> int:
        """Value of the first class; 0 is no land cover."""
        return 1 if self.task == 'semantic_change' else 0


def _divided_by(divisor: float, *bands: tuple[str, float]) -> tuple[ReadyBand, ...]:
    return tuple(ReadyBand(name, wavelength, std=divisor) for name, wavelength in bands)


# centre wavelengths of Sentinel-2A (ESA, Sentinel-2 MSI spectral responses)
_TEN_METRES = _divided_by(3000, ('B4', 0.665), ('B3', 0.560), ('B2', 0.492), ('B8', 0.833))
_RGB = (('R', 0.660), ('G', 0.560), ('B', 0.480))


def _rgb(means: Sequence[float], stds: Sequence[float], unit: float = 1.0) -> tuple[ReadyBand, ...]:
    return tuple(
        ReadyBand(*band, mean=unit * mean, std=unit * std)
        for band, mean, std in zip(_RGB, means, stds, strict=True)
    )


def _bgr(means: Sequence[float], stds: Sequence[float]) -> tuple[ReadyBand, ...]:
    """Describe 8-bit bands from blue to red by numbers for values from 0 to 1."""
    return _rgb(means[::-1], stds[::-1], unit=255)[::-1]


# mean and standard deviation of ImageNet, for 8-bit values
_IMAGENET = _rgb((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), unit=255)
_FIELDS = 'https://github.com/fieldsoftheworld/ftw-baselines'
_FIELD = (('background', '#d9d9d9'), ('field', '#f2c744'))
_FIELD_AND_BOUNDARY = (*_FIELD, ('field boundary', '#8c510a'))
_TREES = (('background', '#d9d9d9'), ('tree canopy', '#1b7837'))


def _fields(member: str, classes: tuple[tuple[str, str], ...], license: str) -> ReadyModel:
    return ReadyModel(
        name=f'Unet_Weights.{member}',
        title='Field boundaries from two seasons of Sentinel-2 (four bands each, in one file).',
        task='segmentation',
        license=license,
        source=_FIELDS,
        bands=_TEN_METRES * 2,
        classes=classes,
        resolution=(8.0, 12.0),
        weights=f'Unet_Weights.{member}',
        units='digital numbers',
    )


def _building_change(member: str, data: str, resolution: tuple[float, float]) -> ReadyModel:
    return ReadyModel(
        name=f'TinyCD_Weights.{member}',
        title=f'Change of buildings between two aerial RGB images, trained on {data}.',
        task='change',
        license='research and non-commercial use only',
        source='https://arxiv.org/abs/2207.13159',
        bands=_IMAGENET,
        classes=(('unchanged', '#d9d9d9'), ('building change', '#e31a1c')),
        resolution=resolution,
        weights=f'TinyCD_Weights.{member}',
        builder='tinycd',
        units='8 bit',
    )


#: Mean and standard deviation of both dates of LEVIR-CD and of SYSU-CD: blue, green, red.
_CFNET = {
    'LEVIR-CD': (
        ((0.45028868, 0.44673658, 0.38134101), (0.17450373, 0.16485656, 0.15314709)),
        ((0.34578751, 0.33841163, 0.28902323), (0.1292925, 0.12592704, 0.11870409)),
    ),
    'SYSU-CD': (
        ((0.39659573, 0.52846194, 0.46540028), (0.20213536, 0.15811189, 0.15296702)),
        ((0.40202362, 0.48766126, 0.39895686), (0.18235275, 0.15682769, 0.1543715)),
    ),
}


def _content(
    member: str, what: str, resolution: tuple[float, float], statistics: str
) -> ReadyModel:
    before, after = (_bgr(*date) for date in _CFNET[statistics])
    return ReadyModel(
        name=f'CFNet_Weights.{member}',
        title=f'{what[0].upper()}{what[1:]} between two aerial RGB images, trained on '
        f'{member.replace("_", "-")}.',
        task='change',
        license='Apache-2.0 (the repository); the file itself names none',
        source='https://arxiv.org/abs/2503.08505',
        bands=before,
        classes=(('unchanged', '#d9d9d9'), (what, '#e31a1c')),
        resolution=resolution,
        weights=f'CFNet_Weights.{member}',
        builder='cfnet',
        bands_after=after,
        units='8 bit',
    )


def _simulated(member: str, what: str, resolution: tuple[float, float]) -> ReadyModel:
    return ReadyModel(
        name=f'ChangeStar1x256_ViTB_Weights.{member}',
        title=f'Change of {what} between two RGB images, trained on changes made by Changen2.',
        task='change',
        license='CC-BY-NC-SA-4.0',
        source='https://arxiv.org/abs/2406.17998',
        bands=_IMAGENET,
        classes=(('unchanged', '#d9d9d9'), (f'{what} change', '#e31a1c')),
        resolution=resolution,
        tile_size=512,
        weights=f'ChangeStar1x256_ViTB_Weights.{member}',
        builder='changestar1x256_vitb',
        units='8 bit',
    )


#: SECOND's land cover with its colours, in the order of ChangeMamba and Mamba-FCS.
_SECOND = (
    ('low vegetation', '#008000'),
    ('ground', '#808080'),
    ('tree', '#00ff00'),
    ('water', '#0000ff'),
    ('building', '#800000'),
    ('playground', '#ff0000'),
)
# as above, rounded as VMamba's authors do
_VMAMBA = _rgb((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))


def _second(weights: str, builder: str, license: str, source: str) -> ReadyModel:
    return ReadyModel(
        name=weights,
        title='Land cover that changed between two aerial RGB images, trained on SECOND.',
        task='semantic_change',
        license=license,
        source=source,
        bands=_VMAMBA,
        classes=_SECOND,
        resolution=(0.5, 3.0),
        tile_size=512,
        weights=weights,
        builder=builder,
        units='8 bit',
    )


#: Sentinel-2's bands of level 1C with the centre wavelengths of Sentinel-2A, in SSL4EO-S12's order.
_SENTINEL2 = (
    ('B01', 0.443), ('B02', 0.493), ('B03', 0.560), ('B04', 0.665), ('B05', 0.704), ('B06', 0.741),
    ('B07', 0.783), ('B08', 0.833), ('B8A', 0.865), ('B09', 0.945), ('B10', 1.374), ('B11', 1.614),
    ('B12', 2.202),
)  # fmt: skip


def _encoder(weights: str, builder: str, what: str, bands: tuple[ReadyBand, ...]) -> ReadyModel:
    return ReadyModel(
        name=weights,
        title=f'{what}, pre-trained without labels on Sentinel-2 images of the whole world (L1C).',
        task='embedding',
        license='not stated with the file',
        source='https://arxiv.org/abs/2211.07044',
        bands=bands,
        resolution=(8.0, 12.0),
        weights=weights,
        builder=builder,
        units='digital numbers',
    )


def _canopy(member: str) -> ReadyModel:
    return ReadyModel(
        name=f'Unet_Weights.{member}',
        title='Tree canopy from aerial RGB images of 10 cm.',
        task='segmentation',
        license='CC-BY-NC-4.0',
        source='https://arxiv.org/abs/2407.11743',
        bands=_divided_by(1, *_RGB),
        classes=_TREES,
        resolution=(0.08, 0.15),
        tile_size=1024,
        weights=f'Unet_Weights.{member}',
        units='8 bit',
    )


_READY = (
    ReadyModel(
        name='cva',
        title='Change vector analysis: length of the difference of standardised bands.',
        task='change',
        license='none needed',
        source='Malila, W. A. (1980). Change vector analysis',
    ),
    ReadyModel(
        name='irmad',
        title='Iteratively reweighted multivariate alteration detection; needs no training.',
        task='change',
        license='none needed',
        source='https://doi.org/10.1109/TIP.2006.888195',
    ),
    # the authors use the numbers of LEVIR-CD for CLCD too
    _content('CLCD', 'cropland change', (0.5, 2.0), 'LEVIR-CD'),
    _content('LEVIR_CD', 'building change', (0.3, 0.8), 'LEVIR-CD'),
    _content('SYSU_CD', 'change', (0.3, 0.8), 'SYSU-CD'),
    ReadyModel(
        name='ChangeAgent_Weights.LEVIR_MCI',
        title='Change of roads and of buildings between two aerial RGB images.',
        task='change',
        license='MIT (the repository); the file itself names none',
        source='https://arxiv.org/abs/2403.19646',
        bands=_rgb((0.39073, 0.38623, 0.32989), (0.15329, 0.14628, 0.13648), unit=255),
        classes=(
            ('unchanged', '#d9d9d9'),
            ('road change', '#ff7f00'),
            ('building change', '#e31a1c'),
        ),
        resolution=(0.3, 0.8),
        weights='ChangeAgent_Weights.LEVIR_MCI',
        builder='changeagent',
        units='8 bit',
    ),
    ReadyModel(
        name='rcf',
        title='Random convolutional features of any bands (MOSAIKS); needs no training.',
        task='embedding',
        license='none needed',
        source='https://doi.org/10.1038/s41467-021-24638-z',
    ),
    *(
        _encoder(f'{name}.{member}', builder, what, bands)
        for name, builder, what in (
            ('ResNet18_Weights', 'resnet18', 'ResNet-18'),
            ('ResNet50_Weights', 'resnet50', 'ResNet-50'),
            ('ViTSmall16_Weights', 'vit_small_patch16_224', 'ViT-S/16'),
        )
        for member, bands in (
            ('SENTINEL2_ALL_MOCO', _divided_by(10_000, *_SENTINEL2)),
            ('SENTINEL2_RGB_MOCO', _divided_by(10_000, *_SENTINEL2[3:0:-1])),
        )
        if (name, member) != ('ViTSmall16_Weights', 'SENTINEL2_RGB_MOCO')  # not published
    ),
    _second(
        'ChangeMamba_Weights.SECOND_SCD_TINY',
        'changemamba_scd_tiny',
        'Apache-2.0 (that of the code)',
        'https://arxiv.org/abs/2404.03425',
    ),
    _simulated('CHANGEN2_S1', 'building', (0.3, 1.0)),
    _simulated('CHANGEN2_S9', 'land cover', (0.25, 0.5)),
    _second(
        'MambaFCS_Weights.SECOND_BASE',
        'mambafcs_base',
        'MIT (that of the code)',
        'https://arxiv.org/abs/2508.08232',
    ),
    _building_change('LEVIR_CD', 'LEVIR-CD', (0.3, 0.8)),
    _building_change('WHU_CD', 'WHU-CD', (0.1, 0.4)),
    ReadyModel(
        name='Unet_Weights.NAIP_RGBN_RESNET18_CHESAPEAKERSC',
        title='Roads from NAIP aerial images (red, green, blue, near infrared, 1 m).',
        task='segmentation',
        license='MIT',
        source='https://arxiv.org/abs/2401.06762',
        bands=_divided_by(255, *_RGB, ('N', 0.850)),
        classes=(('background', '#d9d9d9'), ('road', '#e31a1c')),
        resolution=(0.6, 1.5),
        tile_size=512,
        weights='Unet_Weights.NAIP_RGBN_RESNET18_CHESAPEAKERSC',
        units='8 bit',
    ),
    _canopy('OAM_RGB_RESNET34_TCD'),
    _canopy('OAM_RGB_RESNET50_TCD'),
    _fields('SENTINEL2_2CLASS_FTW', _FIELD, 'CC-BY-4.0'),
    _fields('SENTINEL2_2CLASS_NC_FTW', _FIELD, 'non-commercial'),
    _fields('SENTINEL2_3CLASS_FTW', _FIELD_AND_BOUNDARY, 'CC-BY-4.0'),
    _fields('SENTINEL2_3CLASS_NC_FTW', _FIELD_AND_BOUNDARY, 'non-commercial'),
    _fields('SENTINEL2_FTW_PRUE_CCBY_EFNETB3', _FIELD_AND_BOUNDARY, 'CC-BY-4.0'),
    _fields('SENTINEL2_FTW_PRUE_CCBY_EFNETB5', _FIELD_AND_BOUNDARY, 'CC-BY-4.0'),
    _fields('SENTINEL2_FTW_PRUE_CCBY_EFNETB7', _FIELD_AND_BOUNDARY, 'CC-BY-4.0'),
)


def ready_models() -> Sequence[ReadyModel]:
    """List the models that can be run by name."""
    return _READY


def ready_model(name: str) -> ReadyModel:
    """Find one by its name.

    Raises:
        KeyError: If there is none of that name.
    """
    return {model.name: model for model in _READY}[name]
