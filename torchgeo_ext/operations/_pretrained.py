"""What is done to the images of a training: what the weights it starts from were trained to see."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from torchgeo_ext.errors import BadParameter

if TYPE_CHECKING:
    from torchgeo_ext.bundles import Band
    from torchgeo_ext.datasets._scene_dataset import SceneDataset
    from torchgeo_ext.preprocessing import Preprocessing
    from torchgeo_ext.sensors import SensorBand

log = logging.getLogger(__name__)

Way = Literal['auto', 'images', 'weights']


@dataclass(frozen=True)
class _Known:
    """What is done to values before a network with some weights sees them."""

    preprocessing: 'Preprocessing'
    #: Of a model folder, whose figures are of physical values.
    bands: 'tuple[Band, ...]' = ()

    def problems(self, dataset: 'SceneDataset', described: 'Sequence[SensorBand]') -> list[str]:
        from torchgeo_ext.datamodules._pretrained import look, problems
        from torchgeo_ext.operations._values import unlike

        if not self.bands:
            return problems(self.preprocessing, dataset)
        by_name = {band.name: band for band in self.bands}
        seen = zip(self.preprocessing.for_image(described).bands, look(dataset), strict=True)
        told = ((name, unlike(by_name[name], values)) for name, values in seen if len(values))
        return [f'{name} {how}' for name, how in told if how]

    def bring_to(
        self, dataset: 'SceneDataset', described: 'tuple[SensorBand, ...]'
    ) -> 'Preprocessing':
        from torchgeo_ext.datamodules._pretrained import for_dataset

        if not self.bands:
            return for_dataset(self.preprocessing, dataset, described)
        return self.preprocessing.for_image(described)


def choose_preprocessing(
    way: Way, weights: str | None, dataset: 'SceneDataset', described: 'tuple[SensorBand, ...]'
) -> 'tuple[Preprocessing | None, str]':
    """Choose what is done to the physical values of images before a network sees them.

    A warning tells if they cannot be what the weights expect.

    Args:
        way: ``images`` standardises them by their own statistics; ``weights`` does what was done in
            the training of the weights; ``auto`` does the latter if it is known, all bands are
            among those of the weights, and values suit them.
        weights: What the network starts from, as the user named it.
        dataset: The images.
        described: What is known of their bands.

    Returns:
        What is done, or None to standardise; and that in a sentence.

    Raises:
        BadParameter: If what was done in the training of the weights is wanted but not known, or a
            band of the images is not among theirs.
    """
    known = _known(weights) if weights else None
    if known is None:
        if way == 'weights':
            raise BadParameter(
                f'normalisation is weights, but it is not known what was done in the training of '
                f'{weights or "none (weights is empty)"}.',
                'Name published weights or a model folder, or leave it at auto.',
            )
        return None, _BY_IMAGES
    try:
        seen = known.bring_to(dataset, described)
        problems = known.problems(dataset, described)
    except BadParameter as error:
        if way == 'weights':
            raise BadParameter(
                f'normalisation is weights, but for {weights}: {error.message}', error.hint
            ) from error
        log.info('Images are not prepared as in the training of %s: %s', weights, error.message)
        return None, _BY_IMAGES
    for problem in problems:
        log.warning('The images do not suit the weights %s: %s', weights, problem)
    if way == 'images' or (problems and way == 'auto'):
        return None, _BY_IMAGES
    return seen, f'Bands are prepared as in the training of {weights}.'


#: Said of a training that looks at the images alone.
_BY_IMAGES = 'Bands are standardised by the mean and standard deviation of what is learned from.'


def _known(weights: str) -> _Known | None:
    from torchgeo_ext.operations._network import IMAGENET, card_of_weights, published_weights

    if weights == IMAGENET:
        from torchgeo_ext import preprocessing

        return _Known(preprocessing.IMAGENET)
    card = card_of_weights(weights)
    if card is not None:
        from torchgeo_ext.datamodules._pretrained import preprocessing_of_bands

        return _Known(preprocessing_of_bands(card.image_bands), card.image_bands)
    member = published_weights(weights)
    if member is None:
        return None
    from torchgeo_ext.models.inputs import preprocessing_of

    found = preprocessing_of(member)
    return None if found is None else _Known(found)
