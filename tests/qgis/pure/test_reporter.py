"""What of the progress reaches the log."""

import pytest
from fakes import FakeFeedback

from qgis_plugin.engine import reporter


@pytest.fixture
def clock(monkeypatch):
    """A clock that goes on when told to."""
    now = [100.0]
    monkeypatch.setattr(reporter.time, 'monotonic', lambda: now[0])
    return now


def test_stages_are_logged_at_once_and_numbers_now_and_then(clock):
    feedback = FakeFeedback()
    shown = reporter.Reporter(feedback)
    for epoch in range(10):
        shown.progress({'value': epoch / 10, 'text': f'Epoch {epoch}, loss {0.1 * epoch}'})
        clock[0] += 0.5
    shown.progress({'value': 0.95, 'text': 'Writing'})
    shown.progress({'value': 1, 'text': 'Writing'})
    texts = [text.split(',')[0] for _, text in feedback.said]
    assert texts == ['Epoch 0', 'Epoch 4', 'Epoch 8', 'Writing']
    assert feedback.progress[-1] == 100


def test_tiles_and_the_time_left_are_logged_in_doses(clock):
    feedback = FakeFeedback()
    shown = reporter.Reporter(feedback)
    for tile in range(1, 101):
        clock[0] += 1
        shown.progress({'value': tile / 100, 'text': '', 'tile': tile, 'tiles': 100})
    assert feedback.said[0] == ('info', 'Tile 10 of 100, about 2 min left')
    assert len(feedback.said) == 10


def test_no_time_is_told_from_nothing(clock):
    feedback = FakeFeedback()
    shown = reporter.Reporter(feedback)
    clock[0] += 30
    shown.progress({'value': 0.0, 'text': '', 'tile': 0, 'tiles': 1})
    assert feedback.said == [('info', 'Tile 0 of 1')]


@pytest.mark.parametrize(
    ('seconds', 'words'), [(5, '5 s'), (89, '89 s'), (90, '2 min'), (5400, '1.5 h')]
)
def test_durations(seconds, words):
    assert reporter._duration(seconds) == words


def test_a_value_out_of_range_is_bounded():
    feedback = FakeFeedback()
    for value in (-1, 2):
        reporter.Reporter(feedback).progress({'value': value})
    assert feedback.progress == [0, 100]
