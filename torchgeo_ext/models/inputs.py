"""What published weights were trained to see, those of TorchGeo too.

Weights of this package say it in ``meta['preprocessing']``. TorchGeo's have transforms, which for
some of them are not what was done in their pre-training; what was done stands here with its source.
"""

from torchvision.models import WeightsEnum

from torchgeo_ext.preprocessing import Preprocessing

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
        What was done in their training, or None if it is not known here: the weights' own
        ``transforms`` are then all there is.
    """
    known: Preprocessing | None = weights.meta.get('preprocessing')
    if known is None and (find := _OF_TORCHGEO.get(weights.meta.get('ssl_method', ''))):
        known = find(weights)
    return known
