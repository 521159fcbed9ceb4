"""Indian Pines: crops and forest in Indiana, the most used labelled hyperspectral image."""

import json
from pathlib import Path

import torch

from torchgeo_ext.datasets._cube_scene import CubeScene

#: Bands of water vapour among all 220, counted from 1, which the corrected file leaves out.
_WATER_VAPOUR = {*range(104, 109), *range(150, 164), 220}


class IndianPines(CubeScene):
    """Indian Pines, from files of one's own.

    * one image of 145 x 145 pixels, 20 m, AVIRIS, 1992, Indiana
    * 220 bands from 0.4 to 2.5 µm, or 200 without those of water vapour (104 to 108, 150 to 163,
      220). The four spectrometers overlap, so that wavelengths step back three times; they are
      those of the calibration file 92AV3C.spc of https://github.com/spectralpython/sample-data
    * 16 classes, 10,249 labelled pixels; six classes have fewer than 250. Classes by their values
      are those of https://github.com/nshaud/DeepHyperX

    Files: ``Indian_pines.mat`` or ``Indian_pines_corrected.mat``, and ``Indian_pines_gt.mat``.

    Licence: not stated.

    Baumgardner, M. F., Biehl, L. L., Landgrebe, D. A. (2015). 220 band AVIRIS hyperspectral image
    data set: June 12, 1992 Indian Pine test site 3. https://doi.org/10.4231/R7RX991C
    """

    bands = (200, 220)
    size = (145, 145)
    classes = (
        'alfalfa', 'corn, no till', 'corn, minimum till', 'corn', 'grass, pasture', 'grass, trees',
        'grass, pasture, mowed', 'hay, windrowed', 'oats', 'soybeans, no till',
        'soybeans, minimum till', 'soybeans, clean', 'wheat', 'woods',
        'buildings, grass, trees, drives', 'stone, steel, towers',
    )  # fmt: skip
    page = 'https://www.ehu.eus/ccwintco/index.php/Hyperspectral_Remote_Sensing_Scenes'

    def _find_wavelengths(self) -> torch.Tensor:
        text = Path(__file__).with_suffix('.json').read_text(encoding='utf-8')
        centres = torch.tensor(json.loads(text)['nanometres']) / 1000
        if len(self.cube) == len(centres):
            return centres
        kept = [number for number in range(len(centres)) if number + 1 not in _WATER_VAPOUR]
        return centres[kept]
