import pandas as pd
import pytest

from torchgeo_ext.datasets._dates import ALWAYS, acquired, parse_time, period
from torchgeo_ext.errors import BadInput, BadParameter


@pytest.mark.parametrize(
    ('name', 'start', 'end'),
    [
        ('s_20200501.tif', '2020-05-01', '2020-05-01 23:59:59.999999'),
        ('2020-05-01_x.tif', '2020-05-01', '2020-05-01 23:59:59.999999'),
        ('20200501T103021_T33.tif', '2020-05-01 10:30:21', '2020-05-01 10:30:21.999999'),
    ],
)
def test_dates_in_names(name, start, end):
    found = acquired(f'/some/where/{name}', {})
    assert (found.left, found.right) == (pd.Timestamp(start), pd.Timestamp(end))


@pytest.mark.parametrize('name', ['x.tif', '2020.tif', '120200501.tif', 's_20201301.tif'])
def test_no_dates_in_names(name):
    assert acquired(name, {}) is None


def test_metadata_come_before_the_name():
    tags = {'TIFFTAG_DATETIME': '2015:07:11 10:00:00'}
    assert acquired('s_20200501.tif', tags).left == pd.Timestamp('2015-07-11 10:00')


@pytest.mark.parametrize(
    ('name', 'pattern', 'start', 'end'),
    [
        ('1995.tif', '%Y', '1995-01-01', '1995-12-31 23:59:59.999999'),
        ('x_2020_02_y.tif', '_%Y_%m_', '2020-02-01', '2020-02-29 23:59:59.999999'),
        ('A2020060.tif', 'A%Y%j', '2020-02-29', '2020-02-29 23:59:59.999999'),
        ('3Feb20-07.tif', '%d%b%y', None, None),
        ('03Feb20-07.tif', '%d%b%y-%H', '2020-02-03 07:00', '2020-02-03 07:59:59.999999'),
    ],
)
def test_patterns(name, pattern, start, end):
    if start is None:
        with pytest.raises(BadInput, match='holds no date'):
            acquired(name, {}, pattern)
        return
    found = acquired(name, {}, pattern)
    assert (found.left, found.right) == (pd.Timestamp(start), pd.Timestamp(end))


@pytest.mark.parametrize('pattern', ['%m%d', '%Y%q'])
def test_patterns_that_cannot_be(pattern):
    with pytest.raises(BadParameter, match='date_pattern'):
        acquired('x.tif', {}, pattern)


def test_time_zones_become_utc():
    assert parse_time('2020-05-01T01:00:00+02:00').left == pd.Timestamp('2020-04-30 23:00')
    assert parse_time('nonsense') is None
    assert parse_time(None) is None


def test_periods():
    first, second = parse_time('2020-05-01'), parse_time('2019-01-01T10:00:00Z')
    assert period([first, second]) == pd.Interval(second.left, first.right, closed='both')
    assert period([first, None]) == period([]) == ALWAYS
