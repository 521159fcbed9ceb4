"""What published weights were trained to see, those of TorchGeo too.

Weights of this package say it in ``meta['preprocessing']``. TorchGeo's have transforms, which for
some of them are not what was done in their pre-training; what was done stands here with its source.
"""

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn
from torchvision.models import WeightsEnum

from torchgeo_ext.errors import BadParameter
from torchgeo_ext.preprocessing import Preprocessing, Units, joined_steps, standardising_steps

#: Values that are divided by so much at least are digital numbers, or of 8 bits.
_DIGITAL, _BYTE = 1000, 25

#: Mean and standard deviation of SSL4EO-S12, Sentinel-2 level 1C: B1 to B8, B8a, B9 to B12.
_SSL4EO_MEAN = (
    1612.9, 1397.6, 1322.3, 1373.1, 1561.0, 2108.4, 2390.7, 2318.7, 2581.0, 837.7, 22.0, 2195.2,
    1537.4,
)  # fmt: skip
_SSL4EO_STD = (
    791.0, 854.3, 878.7, 1144.9, 1127.5, 1164.2, 1276.0, 1249.5, 1345.9, 577.5, 47.5, 1340.0,
    1142.9,
)  # fmt: skip


def _softcon(weights: WeightsEnum) -> Preprocessing:
    """8 bit between two standard deviations, where TorchGeo standardises."""
    radar = weights.meta['in_chans'] == 2
    return Preprocessing.of_deviations(
        'decibel' if radar else 'digital numbers',
        mean=(-12.59, -20.26) if radar else _SSL4EO_MEAN,
        std=(5.26, 5.91) if radar else _SSL4EO_STD,
        bands=weights.meta['bands'],
        resize=256,
        crop=224,
        source='https://github.com/zhu-xlab/softcon (README)',
    )


def _seco_eco(weights: WeightsEnum) -> Preprocessing:
    """Digital numbers divided by 255, where TorchGeo divides by 10,000.

    The authors' library divides by 255 whatever the numbers are. Their code for the weights of
    twelve bands is not published; it is taken to be the same. NDVI is stored times 10,000.
    """
    return Preprocessing(
        'digital numbers',
        tuple(weights.meta['bands']),
        high=(255.0,),
        # images of 256 x 256 pixels are cropped, smaller ones enlarged first
        resize=256,
        crop=224,
        interpolation='bicubic',
        source='https://github.com/PlekhanovaElena/ssl4eco (secoeco_test_module.py)',
    )


_OF_TORCHGEO = {'softcon': _softcon, 'seco-eco': _seco_eco}


def preprocessing_of(weights: WeightsEnum) -> Preprocessing | None:
    """Tell what is done to pixel values before a network with some weights sees them.

    Args:
        weights: A member of a weights enum, ours or TorchGeo's.

    Returns:
        What was done in their training, or None if it is not known: they have none, or their own
        ``transforms`` do something else.
    """
    known: Preprocessing | None = weights.meta.get('preprocessing')
    if known is None and (find := _OF_TORCHGEO.get(weights.meta.get('ssl_method', ''))):
        known = find(weights)
    return known or _standardised(weights)


def _standardised(weights: WeightsEnum) -> Preprocessing | None:
    """Read it from transforms that standardise, resize and crop."""
    try:
        steps = standardising_steps(weights.transforms)
        mean, std = joined_steps(weights.transforms)
    except BadParameter:
        return None
    if not steps:
        return None
    sizes = {type(step).__name__: step.size[0] for step in _sized(weights.transforms)}
    return Preprocessing(
        _units(mean, std),
        tuple(weights.meta.get('bands') or ()),
        mean=tuple(mean.tolist()),
        std=tuple(std.tolist()),
        resize=sizes.get('Resize'),
        crop=sizes.get('CenterCrop'),
        source='transforms of the weights',
    )


def _sized(transforms: Any) -> Iterator[Any]:
    steps = transforms if isinstance(transforms, nn.Sequential) else [transforms]
    return (step for step in steps if hasattr(step, 'size'))


def _units(mean: Tensor, std: Tensor) -> Units:
    """Tell units from what brings values to about one."""
    if (mean < 0).all():
        return 'decibel'
    if (std >= _DIGITAL).all():
        return 'digital numbers'
    return '8 bit' if (std >= _BYTE).all() and (std <= 255).all() else 'other'
