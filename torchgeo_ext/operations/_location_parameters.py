"""Parameters that operations on places have in common; reading them loads nothing heavy."""

from typing import Annotated, Literal

from torchgeo_ext.operations._operation import ADVANCED, Kind, Label, StrPath, within

#: Names of the encoders, in the order of a dialog: those that are trained, and formulas.
LocationModel = Annotated[
    Literal[
        'satclip_vit16_l40',
        'satclip_vit16_l10',
        'satclip_resnet50_l40',
        'satclip_resnet50_l10',
        'satclip_resnet18_l40',
        'satclip_resnet18_l10',
        'geoclip_location',
        'sinr',
        'csp',
        'climplicit',
        'location_harmonics',
        'location_fourier',
        'location_wrap',
    ],
    Label('Encoder'),
]
#: Encoders that have nothing to learn.
FORMULAS = ('location_harmonics', 'location_fourier', 'location_wrap')

#: What several references mean: the one most alike counts, or the mean of all.
Combine = Literal['nearest', 'mean']

Weights = Annotated[
    StrPath, Kind('file', extensions=('safetensors', 'ckpt', 'pth', 'pt')), Label('Weights')
]
Untrained = Annotated[bool, ADVANCED]
Seed = Annotated[int, within(0, 2**31 - 1), ADVANCED]
Resolution = Annotated[float, within(1e-9, None, 'units of the reference system')]
MaximumCells = Annotated[int, within(1, 2**31 - 1, 'cells'), ADVANCED]
#: Cells that are computed without asking: a degree apart all over the globe, or 2000 x 2000.
CELLS = 4_000_000
