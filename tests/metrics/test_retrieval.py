"""RetrievalEvaluator beside a naive count, torchmetrics and distances known otherwise."""

import math

import numpy as np
import pyproj
import pytest
import torch
from torchmetrics.functional.retrieval import (
    retrieval_average_precision,
    retrieval_normalized_dcg,
    retrieval_recall,
)

from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.metrics import RetrievalEvaluator, retrieval
from torchgeo_ext.metrics._sphere import great_circle

PAIRS, WIDTH, KS = 40, 4, (1, 3, 10, 100)


@pytest.fixture
def pairs():
    random = torch.Generator().manual_seed(0)
    first = torch.randn(PAIRS, WIDTH, generator=random)
    return first, first + torch.randn(PAIRS, WIDTH, generator=random)


def naive(questions, answers, groups):
    """The same scores, question by question."""
    unit = [each / np.linalg.norm(each, axis=1, keepdims=True) for each in (questions, answers)]
    rows = []
    for question, group in zip(unit[0], groups, strict=True):
        likeness = unit[1] @ question
        right = [groups[n] == group for n in sorted(range(len(groups)), key=lambda n: -likeness[n])]
        places = [n for n, yes in enumerate(right, 1) if yes]
        row = {'median_rank': places[0], 'map': np.mean([sum(right[:n]) / n for n in places])}
        for k in KS:
            ideal = sum(1 / math.log2(1 + n) for n in range(1, min(k, len(places)) + 1))
            row[f'recall@{k}'] = sum(right[:k]) / len(places)
            row[f'ndcg@{k}'] = sum(1 / math.log2(1 + n) for n in places if n <= k) / ideal
        rows.append(row)
    return {
        name: (np.median if name == 'median_rank' else np.mean)([row[name] for row in rows])
        for name in rows[0]
    }


@pytest.mark.parametrize('grouped', [False, True])
def test_scores_are_those_of_a_naive_count(pairs, grouped, monkeypatch):
    monkeypatch.setattr(retrieval, '_MOST', 7 * PAIRS)  # several parts
    metric = RetrievalEvaluator(KS, names=('image', 'point'))
    groups = torch.arange(PAIRS) // 3 if grouped else torch.arange(PAIRS)
    for part in torch.arange(PAIRS).split(17):
        metric.update(*(each[part] for each in pairs), groups[part] if grouped else None)
    found = metric.compute()
    first, second = (each.numpy().astype(float) for each in pairs)
    for direction, given in (
        ('image_to_point', (first, second)),
        ('point_to_image', (second, first)),
    ):
        expected = naive(*given, groups.tolist())
        for name, value in expected.items():
            assert found[f'{direction}_{name}'].item() == pytest.approx(value, abs=1e-6), name
    assert found['candidates'] == PAIRS
    assert len(found) == 1 + 2 * len(expected)


def test_scores_of_groups_are_those_of_torchmetrics(pairs):
    metric, groups = RetrievalEvaluator((5,)), torch.arange(PAIRS) % 6
    metric.update(*pairs, groups)
    found = metric.compute()
    first, second = (torch.nn.functional.normalize(each, dim=1) for each in pairs)
    # torchmetrics takes what is not above 0 for not found at all
    rows = [(1 + first[n] @ second.T, groups == groups[n]) for n in range(PAIRS)]
    for name, function, options in (
        ('recall@5', retrieval_recall, {'top_k': 5}),
        ('ndcg@5', retrieval_normalized_dcg, {'top_k': 5}),
        ('map', retrieval_average_precision, {}),
    ):
        mean = torch.stack([function(*row, **options) for row in rows]).mean()
        assert found[f'first_to_second_{name}'].item() == pytest.approx(mean.item(), abs=1e-6)


@pytest.mark.parametrize('groups', [None, torch.arange(PAIRS)])
def test_one_embedding_for_everything_is_the_worst(groups):
    metric = RetrievalEvaluator((1, 10))
    metric.update(torch.ones(PAIRS, WIDTH), torch.ones(PAIRS, WIDTH), groups)
    found = metric.compute()
    assert found['first_to_second_recall@10'] == 0
    assert found['first_to_second_median_rank'] == PAIRS


def test_distances_of_first_answers():
    places = torch.tensor([[0.0, 0.0], [1.0, 0.0], [179.9, 0.0], [-179.9, 0.0]], dtype=torch.double)
    first = torch.eye(4)
    metric = RetrievalEvaluator((1,), radii=(25, 200), names=('image', 'point'))
    # everything finds its neighbour: 111 km twice, and 22 km across the antimeridian twice
    metric.update(first, first[[1, 0, 3, 2]], coordinates=places)
    found = metric.compute()
    assert found['image_to_point_within_25km'] == 0.5
    assert found['point_to_image_within_200km'] == 1
    assert found['image_to_point_median_km'].item() == pytest.approx(66.7, abs=0.1)


def test_great_circles_are_those_of_proj():
    random = np.random.default_rng(0)
    first, second = random.uniform(-1, 1, (2, 50, 2)) * (180, 90)
    second[:10] = first[:10] + 1e-4
    sphere = pyproj.Geod(a=6371008.8, b=6371008.8)
    expected = sphere.inv(*first.T, *second.T)[2] / 1000
    found = great_circle(torch.from_numpy(first), torch.from_numpy(second))
    np.testing.assert_allclose(found, expected, rtol=1e-7)


def test_what_cannot_be_is_refused(pairs):
    with pytest.raises(BadParameter, match=r'ks is \[0\]'):
        RetrievalEvaluator((0,))
    metric = RetrievalEvaluator()
    with (
        pytest.warns(UserWarning, match='before the ``update``'),
        pytest.raises(BadInput, match='no pairs'),
    ):
        metric.compute()
    with pytest.raises(BadInput, match='must be'):
        metric.update(pairs[0], pairs[1][:3])
    with pytest.raises(BadInput, match='There are 2 groups, but 40 pairs'):
        metric.update(*pairs, torch.zeros(2))
    metric.update(*pairs)
    with pytest.raises(BadInput, match='groups are given with some pairs only'):
        metric.update(*pairs, torch.arange(PAIRS))
