"""What the two datasets of the Functional Map of the World share: classes and how samples look."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torchgeo.datasets import NonGeoDataset
from torchgeo.datasets.utils import Path as AnyPath
from torchgeo.datasets.utils import Sample, quantile_normalization

from torchgeo_ext.datasets._change_pairs import one_of
from torchgeo_ext.datasets._missing import PublishedNotFoundError
from torchgeo_ext.datasets._rgb import rgb_places
from torchgeo_ext.errors import BadInput

#: As https://github.com/fMoW/dataset lists them, without false detections.
CLASSES = (
    'airport', 'airport_hangar', 'airport_terminal', 'amusement_park', 'aquaculture',
    'archaeological_site', 'barn', 'border_checkpoint', 'burial_site', 'car_dealership',
    'construction_site', 'crop_field', 'dam', 'debris_or_rubble', 'educational_institution',
    'electric_substation', 'factory_or_powerplant', 'fire_station', 'flooded_road', 'fountain',
    'gas_station', 'golf_course', 'ground_transportation_station', 'helipad', 'hospital',
    'impoverished_settlement', 'interchange', 'lake_or_pond', 'lighthouse', 'military_facility',
    'multi-unit_residential', 'nuclear_powerplant', 'office_building', 'oil_or_gas_facility',
    'park', 'parking_lot_or_garage', 'place_of_worship', 'police_station', 'port', 'prison',
    'race_track', 'railway_bridge', 'recreational_facility', 'road_bridge', 'runway', 'shipyard',
    'shopping_mall', 'single-unit_residential', 'smokestack', 'solar_farm', 'space_facility',
    'stadium', 'storage_tank', 'surface_mine', 'swimming_pool', 'toll_booth', 'tower',
    'tunnel_opening', 'waste_disposal', 'water_treatment_facility', 'wind_farm', 'zoo',
)  # fmt: skip


class FMoWScenes(NonGeoDataset):
    """Images of places with one of 62 uses.

    Args:
        root: Folder with the data.
        split: One of ``splits``.
        bands: Names of the bands to give, in this order; all if not given.
        transforms: Called with each sample.

    Raises:
        BadParameter: If there is no such split or band.
        DatasetNotFoundError: If the data is not there.
        BadInput: If tables cannot be understood.
    """

    #: Where the data is to be had, and what the folders look like.
    page: ClassVar[str]
    layout: ClassVar[str]
    splits: ClassVar[tuple[str, ...]]
    all_bands: tuple[str, ...]
    rgb_bands: tuple[str, ...]
    classes: tuple[str, ...] = CLASSES

    def __init__(
        self,
        root: AnyPath = 'data',
        split: str = 'train',
        bands: Sequence[str] | None = None,
        transforms: Callable[[Sample], Sample] | None = None,
    ) -> None:
        self.root = Path(root).expanduser()
        self.split = one_of('split', split, self.splits)
        self.bands = tuple(one_of('bands', b, self.all_bands) for b in bands or self.all_bands)
        self.transforms = transforms
        self.scenes = self._find()
        if not self.scenes:
            raise PublishedNotFoundError(self)

    def _find(self) -> Sequence[Any]:
        """Find the scenes of the split; each ends with the name of its class."""
        raise NotImplementedError

    def _read(self, scene: Any) -> NDArray[Any]:
        """Read all bands (c, h, w) of a scene."""
        raise NotImplementedError

    def __len__(self) -> int:
        """Count the scenes of the split."""
        return len(self.scenes)

    def __getitem__(self, index: int) -> Sample:
        """Read a scene.

        Args:
            index: Number of the scene.

        Returns:
            ``image`` float32 (c, h, w), stored values, of any size, and ``label`` int64 ().

        Raises:
            BadInput: If the file is missing or has other bands.
        """
        scene = self.scenes[index]
        values = self._read(scene)
        if len(values) != len(self.all_bands):
            raise BadInput(
                f'{scene[0]} has {len(values)} bands instead of {len(self.all_bands)}.',
                f'See {self.page}.',
            )
        places = [self.all_bands.index(band) for band in self.bands]
        sample: Sample = {
            'image': torch.from_numpy(values[places].astype(np.float32)),
            'label': torch.tensor(self.classes.index(scene[-1])),
        }
        return sample if self.transforms is None else self.transforms(sample)

    def plot(self, sample: Sample, show_titles: bool = True, suptitle: str | None = None) -> Figure:
        """Draw a scene, and name its class and the ``prediction``, if there is one.

        Args:
            sample: A sample as this dataset gives it.
            show_titles: Write what it is above.
            suptitle: Title of the figure.

        Raises:
            RGBBandsMissingError: If red, green or blue is not among the bands.
        """
        rgb = rgb_places(self.bands, self.rgb_bands)
        figure, axis = plt.subplots(figsize=(4, 4))
        axis.imshow(quantile_normalization(sample['image'][rgb]).movedim(0, -1))
        axis.axis('off')
        if show_titles:
            named = {key: sample[key] for key in ('label', 'prediction') if key in sample}
            lines = [f'{key.capitalize()}: {self.classes[k]}' for key, k in named.items()]
            axis.set_title('\n'.join(lines), fontsize='small')
        if suptitle is not None:
            figure.suptitle(suptitle)
        return figure


def known_class(name: str, source: Path) -> str:
    """Refuse a class that is not known."""
    if name not in CLASSES:
        raise BadInput(
            f'{source} names the class {name!r}, which is not one of the 62 of fMoW.',
            'Check that the file is that of this dataset.',
        )
    return name
