"""A trained model as a folder: ``model.json`` (a STAC MLM item) and weights without code.

Start at :func:`read_bundle` and :func:`write_bundle`. Importing this room, and reading the card of
a bundle, needs no torch.
"""

from torchgeo_ext.bundles._architecture import known_architectures
from torchgeo_ext.bundles._card import Band, BundleCard, ModelClass
from torchgeo_ext.bundles._read import Bundle, BundleInfo, describe_bundle, read_bundle
from torchgeo_ext.bundles._write import check_bundle_folder, write_bundle
from torchgeo_ext.bundles.bands import match_bands
from torchgeo_ext.bundles.checkpoint import read_checkpoint

__all__ = (
    'Band',
    'Bundle',
    'BundleCard',
    'BundleInfo',
    'ModelClass',
    'check_bundle_folder',
    'describe_bundle',
    'known_architectures',
    'match_bands',
    'read_bundle',
    'read_checkpoint',
    'write_bundle',
)
