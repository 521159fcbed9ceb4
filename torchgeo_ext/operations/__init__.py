"""What a user can do: one file per operation."""

from torchgeo_ext.operations.assess_bands import assess_bands
from torchgeo_ext.operations.assess_damage import assess_damage
from torchgeo_ext.operations.build_cells import build_cells
from torchgeo_ext.operations.classify_spectra import classify_spectra
from torchgeo_ext.operations.classify_tiles import classify_tiles
from torchgeo_ext.operations.cluster_image import cluster_image
from torchgeo_ext.operations.cluster_places import cluster_places
from torchgeo_ext.operations.compute_spectral_index import compute_spectral_index
from torchgeo_ext.operations.compute_statistics import compute_statistics
from torchgeo_ext.operations.coregister import coregister
from torchgeo_ext.operations.create_bundle import create_bundle
from torchgeo_ext.operations.describe_model import describe_model
from torchgeo_ext.operations.detect_anomalies import detect_anomalies
from torchgeo_ext.operations.detect_change import detect_change
from torchgeo_ext.operations.detect_objects import detect_objects
from torchgeo_ext.operations.detect_semantic_change import detect_semantic_change
from torchgeo_ext.operations.detect_target import detect_target
from torchgeo_ext.operations.embed_grid import embed_grid
from torchgeo_ext.operations.embed_image import embed_image
from torchgeo_ext.operations.embed_points import embed_points
from torchgeo_ext.operations.engine_status import engine_status
from torchgeo_ext.operations.evaluate_change import evaluate_change
from torchgeo_ext.operations.evaluate_segmentation import evaluate_segmentation
from torchgeo_ext.operations.find_similar_places import find_similar_places
from torchgeo_ext.operations.geolocate_image import geolocate_image
from torchgeo_ext.operations.import_cube import import_cube
from torchgeo_ext.operations.list_models import list_models
from torchgeo_ext.operations.match_radiometry import match_radiometry
from torchgeo_ext.operations.predict_from_location import predict_from_location
from torchgeo_ext.operations.reduce_bands import reduce_bands
from torchgeo_ext.operations.relate_objects import relate_objects
from torchgeo_ext.operations.resample_spectra import resample_spectra
from torchgeo_ext.operations.segment_from_examples import segment_from_examples
from torchgeo_ext.operations.segment_image import segment_image
from torchgeo_ext.operations.segment_instances import segment_instances
from torchgeo_ext.operations.trace_lines import trace_lines
from torchgeo_ext.operations.train_change import train_change
from torchgeo_ext.operations.train_classifier import train_classifier
from torchgeo_ext.operations.train_detector import train_detector
from torchgeo_ext.operations.train_segmentation import train_segmentation
from torchgeo_ext.operations.unmix_spectra import unmix_spectra
from torchgeo_ext.operations.update_map import update_map

__all__ = (
    'assess_bands',
    'assess_damage',
    'build_cells',
    'classify_spectra',
    'classify_tiles',
    'cluster_image',
    'cluster_places',
    'compute_spectral_index',
    'compute_statistics',
    'coregister',
    'create_bundle',
    'describe_model',
    'detect_anomalies',
    'detect_change',
    'detect_objects',
    'detect_semantic_change',
    'detect_target',
    'embed_grid',
    'embed_image',
    'embed_points',
    'engine_status',
    'evaluate_change',
    'evaluate_segmentation',
    'find_similar_places',
    'geolocate_image',
    'import_cube',
    'list_models',
    'match_radiometry',
    'predict_from_location',
    'reduce_bands',
    'relate_objects',
    'resample_spectra',
    'segment_from_examples',
    'segment_image',
    'segment_instances',
    'trace_lines',
    'train_change',
    'train_classifier',
    'train_detector',
    'train_segmentation',
    'unmix_spectra',
    'update_map',
)
