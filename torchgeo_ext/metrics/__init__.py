"""Metrics that torchmetrics lacks: of change as published, of maps, objects, places, retrieval.

All are torchmetrics classes that return a dictionary, so they fit into a ``MetricCollection``.
"""

from torchgeo_ext.metrics.answer_accuracy import AnswerAccuracy
from torchgeo_ext.metrics.binary_change import BinaryChange
from torchgeo_ext.metrics.class_scores import ClassScores
from torchgeo_ext.metrics.great_circle_accuracy import GreatCircleAccuracy
from torchgeo_ext.metrics.object_precision import ObjectPrecision
from torchgeo_ext.metrics.retrieval import RetrievalEvaluator
from torchgeo_ext.metrics.semantic_change import SemanticChangeByDate, SemanticChangeByPair
from torchgeo_ext.metrics.semantic_change_segmentation import SemanticChangeSegmentation
from torchgeo_ext.metrics.xview2_score import XView2Score

__all__ = (
    'AnswerAccuracy',
    'BinaryChange',
    'ClassScores',
    'GreatCircleAccuracy',
    'ObjectPrecision',
    'RetrievalEvaluator',
    'SemanticChangeByDate',
    'SemanticChangeByPair',
    'SemanticChangeSegmentation',
    'XView2Score',
)
