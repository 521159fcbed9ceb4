"""Lightning tasks: what TorchGeo's lack."""

from torchgeo_ext.tasks.binary_change_detection import BinaryChangeDetection
from torchgeo_ext.tasks.building_damage import BuildingDamage
from torchgeo_ext.tasks.change_question_answering import ChangeQuestionAnswering
from torchgeo_ext.tasks.conditional_change_detection import ConditionalChangeDetection
from torchgeo_ext.tasks.contrastive_towers import ContrastiveTowers
from torchgeo_ext.tasks.domain_adaptive_segmentation import DomainAdaptiveSegmentation
from torchgeo_ext.tasks.geolocation import Geolocation
from torchgeo_ext.tasks.located_classification import LocatedClassification
from torchgeo_ext.tasks.located_regression import LocatedRegression
from torchgeo_ext.tasks.masked_autoencoding import MaskedAutoencoding
from torchgeo_ext.tasks.masked_change_detection import MaskedChangeDetection
from torchgeo_ext.tasks.masked_instance_segmentation import MaskedInstanceSegmentation
from torchgeo_ext.tasks.masked_object_detection import MaskedObjectDetection
from torchgeo_ext.tasks.masked_segmentation import MaskedSegmentation
from torchgeo_ext.tasks.momentum_contrast import MomentumContrast
from torchgeo_ext.tasks.rotated_object_detection import RotatedObjectDetection
from torchgeo_ext.tasks.scene_classification import SceneClassification
from torchgeo_ext.tasks.semantic_change_detection import SemanticChangeDetection
from torchgeo_ext.tasks.semi_supervised_change_detection import SemiSupervisedChangeDetection
from torchgeo_ext.tasks.series_segmentation import SeriesSegmentation

__all__ = (
    'BinaryChangeDetection',
    'BuildingDamage',
    'ChangeQuestionAnswering',
    'ConditionalChangeDetection',
    'ContrastiveTowers',
    'DomainAdaptiveSegmentation',
    'Geolocation',
    'LocatedClassification',
    'LocatedRegression',
    'MaskedAutoencoding',
    'MaskedChangeDetection',
    'MaskedInstanceSegmentation',
    'MaskedObjectDetection',
    'MaskedSegmentation',
    'MomentumContrast',
    'RotatedObjectDetection',
    'SceneClassification',
    'SemanticChangeDetection',
    'SemiSupervisedChangeDetection',
    'SeriesSegmentation',
)
