"""trace_lines: centre lines of what a model or a raster tells, as a layer."""

import geopandas
import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
import torch
from rasterio.features import rasterize
from torch import nn

from tests.rasters import UTM, write_raster
from tests.tasks.pairs import register
from torchgeo_ext.bundles import Band, BundleCard, ModelClass, write_bundle
from torchgeo_ext.errors import BadInput, BadParameter, Canceled
from torchgeo_ext.operations import trace_lines

LEFT, TOP, SIZE = 500_000, 5_300_000, 128
#: Two tracks that do not meet, in pixels.
TRACKS = [shapely.LineString([(10, 20), (110, 60)]), shapely.LineString([(20, 100), (60, 110)])]


class Steep(nn.Module):
    """Makes 0 and 1 of what is below or above 0.5, with one score or two."""

    def __init__(self, outputs=1):
        super().__init__()
        self.outputs, self.steepness = outputs, nn.Parameter(torch.tensor(4.0))

    def forward(self, x):
        score = (x - 0.5) * self.steepness
        return score if self.outputs == 1 else torch.cat([-score, score], dim=1)


def steep(outputs=1):
    return Steep(outputs)


@pytest.fixture
def bundles(tmp_path, monkeypatch):
    register(monkeypatch, steep)
    classes = (ModelClass(0, 'cloud', '#ffffff'), ModelClass(1, 'track', '#ff0000'))
    made = []
    for outputs, activation in ((1, 'sigmoid'), (2, 'softmax')):
        card = BundleCard(
            name='steep', description='', task='segmentation', classes=classes,
            bands=(Band('gray'),), tile_size=64, halo=4, output_activation=activation,
            architecture={'class': 'steep', 'arguments': {'outputs': outputs}},
        )  # fmt: skip
        made.append(write_bundle(tmp_path / f'steep{outputs}', card, Steep(outputs)))
    return made


def tracks(value=1, dtype='uint8'):
    shapes = [(track.buffer(3, cap_style='flat'), value) for track in TRACKS]
    return rasterize(shapes, (SIZE, SIZE), dtype=dtype)


def read(path):
    return pyogrio.read_dataframe(path).sort_values('length_m', ignore_index=True)


def on_ground(shape):
    return shapely.transform(shape, lambda xy: xy * (10, -10) + (LEFT, TOP))


@pytest.mark.parametrize(('number', 'line_class'), [(0, ''), (1, ''), (1, 'track'), (1, '1')])
def test_of_a_model(bundles, tmp_path, number, line_class):
    image = write_raster(tmp_path / 'i.tif', tracks().astype('float32'))
    output, raster = tmp_path / 'o.gpkg', tmp_path / 'p.tif'
    result = trace_lines(
        image, output, bundle=bundles[number], line_class=line_class, probabilities=raster
    )
    frame = read(output)
    assert [*frame.columns] == ['length_m', 'width_m', 'probability', 'geometry']
    assert (frame.crs, {*frame.geom_type}) == (UTM, {'LineString'})
    for line, track in zip(frame.geometry, TRACKS[::-1], strict=True):
        assert line.hausdorff_distance(on_ground(track)) < 40
    chance = 1 / (1 + np.exp(-2)) if number == 0 else 1 / (1 + np.exp(-4))
    assert frame['probability'].tolist() == pytest.approx([chance, chance], rel=1e-5)
    assert frame['width_m'].tolist() == pytest.approx([60, 60], abs=12)
    assert result.lines_count == 2
    assert result.total_length == pytest.approx(frame['length_m'].sum())
    assert 48 < result.mean_width < 72
    with rasterio.open(raster) as dataset:
        assert dataset.count == number + 1


def test_of_rasters(tmp_path):
    for name, values in (
        ('mask', tracks(255)), ('classes', tracks(7) + 2), ('share', tracks(1, 'float32') * 0.8)
    ):  # fmt: skip
        image = write_raster(tmp_path / f'{name}.tif', values)
        output = tmp_path / f'{name}.parquet'
        result = trace_lines(
            image, output, line_class='9' if name == 'classes' else '', minimum_length=500
        )
        frame = geopandas.read_parquet(output)
        assert ('probability' in frame) == (name == 'share')
        assert result.lines_count == len(frame) == 1
        assert frame['length_m'][0] == pytest.approx(10 * TRACKS[0].length, abs=80)
    assert frame['probability'][0] == pytest.approx(0.8)
    nothing = trace_lines(image, tmp_path / 'n.gpkg', threshold=0.9)
    assert (nothing.lines_count, nothing.total_length, nothing.mean_width) == (0, 0, 0)
    assert len(pyogrio.read_dataframe(tmp_path / 'n.gpkg')) == 0
    part = trace_lines(
        image, tmp_path / 'e.gpkg', extent=f'{LEFT},{TOP - 1280},{LEFT + 800},{TOP - 900}'
    )
    assert part.lines_count == 1


def test_what_does_not_fit(bundles, tmp_path):
    mask = write_raster(tmp_path / 'm.tif', tracks())
    chances = write_raster(tmp_path / 'c.tif', tracks(dtype='float32'))
    numbers = write_raster(tmp_path / 'n.tif', tracks(30, 'float32'))
    output = tmp_path / 'o.gpkg'
    for image, options, error, message in (
        (mask, {'mask': mask}, BadParameter, r'mask: .* needs a model'),
        (mask, {'probabilities': tmp_path / 'p.tif'}, BadParameter, 'probabilities: .* needs'),
        (mask, {'line_class': 'road'}, BadParameter, "line_class: 'road' is no pixel value"),
        (chances, {'line_class': '1'}, BadParameter, 'taken for probabilities'),
        (numbers, {}, BadInput, 'values from 0 to 30, which are no probabilities'),
        (mask, {'bundle': bundles[1], 'line_class': 'road'}, BadParameter, '0 cloud, 1 track'),
        (mask, {'bundle': bundles[0], 'line_class': 'cloud'}, BadParameter, 'share one'),
    ):
        with pytest.raises(error, match=message):
            trace_lines(image, output, **options)
        assert not output.exists()


def test_canceling_leaves_nothing(tmp_path):
    def cancel(fraction, text='', **_):
        raise Canceled

    image = write_raster(tmp_path / 'i.tif', tracks())
    with pytest.raises(Canceled):
        trace_lines(image, tmp_path / 'o.gpkg', progress=cancel)
    assert not (tmp_path / 'o.gpkg').exists()
