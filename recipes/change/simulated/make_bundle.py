"""Makes a bundle of what train.py wrote, with the figures of evaluate.py once there are some.

python recipes/change/simulated/make_bundle.py --checkpoint siamlite.pt --output FOLDER
"""

import argparse
import json
from pathlib import Path

import torch
from train import WAVELENGTHS

from torchgeo_ext.bundles import Band, BundleCard, ModelClass, write_bundle

#: Metres of a pixel of the crops: NAIP of 1 m as it is, Sentinel-2 of 10 m shrunk by two.
RESOLUTION = (1.0, 20.0)


def describe(training: dict[str, object]) -> BundleCard:
    """Say what the model is."""
    return BundleCard(
        name='siamlite_simulated',
        description=(
            'Change of land cover between two images with red, green, blue and near infrared in '
            'any unit: water, buildings, clearings and the like. Other crops, seasons, light and '
            'haze are meant to be no change. Trained on simulated events.'
        ),
        task='change',
        bands=tuple(
            Band(name, wavelength)
            for name, wavelength in zip(('red', 'green', 'blue', 'nir'), WAVELENGTHS, strict=True)
        ),
        classes=(ModelClass(0, 'unchanged', '#d9d9d9'), ModelClass(1, 'changed', '#d7191c')),
        architecture={'class': 'siamlite', 'arguments': {'in_channels': 4, 'num_classes': 1}},
        output_activation='sigmoid',
        dates=2,
        # each tile is standardised by itself, so that it should show more than one field
        tile_size=512,
        halo=48,
        resolution_minimum=RESOLUTION[0],
        resolution_maximum=RESOLUTION[1],
        license='MIT',
        citation='recipes/change/simulated of torchgeo_ext. Contains modified Copernicus Sentinel '
        'data; NAIP imagery by the USDA Farm Production and Conservation Business Center.',
        training=training,
    )


def main() -> None:
    """Write the bundle."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--checkpoint', type=Path, required=True, help='what train.py wrote')
    parser.add_argument('--output', type=Path, required=True, help='folder of the bundle')
    parser.add_argument('--table', type=Path, help='what evaluate.py wrote')
    options = parser.parse_args()
    state = torch.load(options.checkpoint, weights_only=True)
    training = {'recipe': 'recipes/change/simulated', 'steps': state['step']}
    if options.table:
        training['evaluation'] = json.loads(options.table.read_text(encoding='utf-8'))
    write_bundle(options.output, describe(training), state['model'])


if __name__ == '__main__':
    main()
