"""A typed function becomes a description."""

from typing import Annotated, Literal, NamedTuple

import pytest

from tests.rasters import gradient, write_raster
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.operations._checks import less_than, one_of, overlap, same_length
from torchgeo_ext.operations._operation import (
    ADVANCED,
    Extent,
    Raster,
    RasterOut,
    Rasters,
    bands_of,
    operation,
    table_of,
    within,
)
from torchgeo_ext.operations._validate import validate
from torchgeo_ext.progress import Progress, silent


class Blurred(NamedTuple):
    """Result.

    Attributes:
        mean: Mean of the result.
    """

    output: str
    mean: float
    styles: dict


@operation(label='Blur image', group='Tests', tags=('smooth',))
def blur_image(
    image: Raster,
    output: RasterOut,
    *,
    bands: Annotated[list[int], bands_of('image')] | None = None,
    radius: Annotated[int, within(1, 50, 'pixels')] = 3,
    weight: Annotated[float, within(0, 1), ADVANCED] = 0.5,
    method: Literal['box', 'gauss'] = 'box',
    extent: Extent | None = None,
    classes: Annotated[list[list[object]], table_of('value', 'name')] | None = None,
    quick: bool = False,
    progress: Progress = silent,
) -> Blurred:
    """Blur an image.

    It becomes softer.

    Args:
        image: What to blur.
        output: What comes out.
        bands: Which bands.
        radius: How far.
        weight: How much.
        method: How.
        extent: Where.
        classes: A table.
        quick: Whether to hurry.
        progress: Told how far it is.
    """
    progress(1.0, 'done')
    return Blurred(str(output), float(radius), {})


DESCRIBED = {p['name']: p for p in blur_image.operation.describe()['parameters']}


@pytest.fixture
def image(tmp_path):
    return str(write_raster(tmp_path / 'image.tif', gradient(3, 8, 8)))


def test_description_names_everything():
    described = blur_image.operation.describe()
    assert (described['id'], described['label'], described['group']) == (
        'blurimage', 'Blur image', 'Tests',
    )  # fmt: skip
    assert described['summary'] == 'Blur an image.'
    assert described['help'] == 'It becomes softer.'
    assert 'progress' not in DESCRIBED
    assert described['outputs'] == [
        {'name': 'output', 'label': 'Output', 'help': 'What comes out.', 'kind': 'raster'},
        {'name': 'mean', 'label': 'Mean', 'help': 'Mean of the result.', 'kind': 'number'},
    ]


@pytest.mark.parametrize(
    ('name', 'expected'),
    [
        ('image', {'kind': 'raster', 'optional': False}),
        ('output', {'kind': 'raster_out', 'extensions': ['tif', 'tiff']}),
        ('bands', {'kind': 'bands', 'of': 'image', 'optional': True}),
        (
            'radius',
            {'kind': 'integer', 'minimum': 1, 'maximum': 50, 'unit': 'pixels', 'default': 3},
        ),
        ('weight', {'kind': 'number', 'advanced': True, 'default': 0.5}),
        ('method', {'kind': 'choice', 'choices': ['box', 'gauss'], 'default': 'box'}),
        ('extent', {'kind': 'extent'}),
        ('classes', {'kind': 'table', 'columns': ['value', 'name']}),
        ('quick', {'kind': 'boolean', 'default': False}),
    ],
)
def test_description_of_a_parameter(name, expected):
    assert {key: DESCRIBED[name].get(key) for key in expected} == expected
    assert DESCRIBED[name]['help']


def test_required_parameters_have_no_default():
    assert 'default' not in DESCRIBED['image']


def test_calls_are_checked_and_forwarded(image, tmp_path):
    heard = []
    result = blur_image(
        image, tmp_path / 'o.tif', radius=7, progress=lambda *a, **k: heard.append(a)
    )
    assert result.mean == 7
    assert result.output == str(tmp_path / 'o.tif')
    assert heard == [(1.0, 'done')]


@pytest.mark.parametrize(
    ('values', 'said'),
    [
        ({'radius': 0}, 'radius is 0, but must be at least 1 pixels and at most 50 pixels'),
        ({'radius': 2.5}, 'radius is 2.5, but must be a whole number'),
        ({'radius': '3'}, "radius is '3'"),
        ({'radius': True}, 'radius is True'),
        ({'weight': float('nan')}, 'weight is nan'),
        ({'method': 'gaus'}, 'Did you mean gauss?'),
        ({'radios': 3}, "no parameter 'radios'. Did you mean radius"),
        ({'bands': [0]}, 'bands is [0], but must be a list of band numbers, counted from 1'),
        ({'bands': 'red'}, 'bands'),
        ({'extent': '1,2,3'}, 'extent'),
        ({'extent': '3,2,1,4'}, 'xmin,ymin,xmax,ymax'),
        ({'classes': [[1]]}, 'rows of 2 values (value, name)'),
        ({'classes': '{'}, 'a list of rows'),
        ({'quick': 1}, 'quick is 1, but must be true or false'),
        ({'image': None}, 'needs a value for image'),
        ({'output': 'out.png'}, 'must end in .tif or .tiff'),
        ({'output': '/nowhere/out.tif'}, 'the folder /nowhere does not exist'),
    ],
)
def test_wrong_values_are_named(image, tmp_path, values, said):
    job = {'image': image, 'output': str(tmp_path / 'o.tif')} | values
    with pytest.raises(BadParameter) as caught:
        validate(blur_image.operation, job)
    assert said in str(caught.value)
    assert caught.value.hint


def test_missing_file(tmp_path):
    with pytest.raises(BadInput, match=r'image: .*gone\.tif does not exist'):
        blur_image(tmp_path / 'gone.tif', tmp_path / 'o.tif')


def test_sources_only_gdal_can_find_are_not_looked_for(tmp_path):
    values = validate(
        blur_image.operation, {'image': '/vsimem/x.tif', 'output': str(tmp_path / 'o.tif')}
    )
    assert values['image'] == '/vsimem/x.tif'


def test_output_may_not_be_an_input(image):
    with pytest.raises(BadParameter, match='output is the same file as image'):
        blur_image(image, image)


def test_extents_come_as_text_or_numbers(image, tmp_path):
    job = {'image': image, 'output': str(tmp_path / 'o.tif')}
    for extent in ('0,1,2,3', (0, 1, 2, 3), '0, 1, 2, 3 [EPSG:4326]'):
        assert validate(blur_image.operation, job | {'extent': extent})['extent']


@pytest.mark.parametrize(
    ('check', 'values', 'said'),
    [
        (
            one_of('a', 'b'),
            {'a': 1, 'b': 2},
            'Exactly one of a, b is needed, but a and b was given',
        ),
        (one_of('a', 'b'), {}, 'none of them'),
        (less_than('a', 'b'), {'a': 64, 'b': 64}, 'a is 64, but must be smaller than b'),
        (same_length('a', 'b'), {'a': [1], 'b': [1, 2]}, 'a has 1 entries, but b has 2'),
    ],
)
def test_checks_refuse(check, values, said):
    with pytest.raises(BadParameter, match=said):
        check(values)


def test_automatic_sizes_pass_the_check():
    less_than('a', 'b')({'a': 64, 'b': 0})
    less_than('a', 'b')({'a': -1, 'b': 32})


def test_overlap(tmp_path):
    from affine import Affine

    near = write_raster(tmp_path / 'near.tif', gradient(1, 8, 8))
    far = write_raster(
        tmp_path / 'far.tif', gradient(1, 8, 8), transform=Affine(10, 0, 0, 0, -10, 5_300_000)
    )
    degrees = write_raster(
        tmp_path / 'degrees.tif', gradient(1, 9, 9), crs='EPSG:4326',
        transform=Affine(0.01, 0, 14.95, 0, -0.01, 47.9),
    )  # fmt: skip
    nowhere = write_raster(tmp_path / 'nowhere.tif', gradient(1, 8, 8), crs=None)
    check = overlap('before', 'after')
    check({'before': str(near), 'after': str(degrees)})
    with pytest.raises(
        BadInput, match=r'before .*near\.tif.* and after .*far\.tif.* do not overlap'
    ):
        check({'before': str(near), 'after': str(far)})
    with pytest.raises(BadInput, match=r'after: .*nowhere\.tif has no coordinate reference system'):
        check({'before': str(near), 'after': str(nowhere)})


def test_a_function_that_is_not_documented_is_refused():
    def count_pixels(image: Raster) -> Blurred:
        """Count."""
        raise AssertionError

    with pytest.raises(TypeError, match=r'count_pixels\(image\) has no entry'):
        operation(label='Count', group='Tests')(count_pixels)


def test_a_type_nobody_knows_is_refused():
    def count_pixels(image: complex) -> Blurred:
        """Count.

        Args:
            image: What.
        """
        raise AssertionError

    with pytest.raises(TypeError, match='no kind of parameter'):
        operation(label='Count', group='Tests')(count_pixels)


def test_one_path_is_a_list_of_one(image):
    class Counted(NamedTuple):
        """Result.

        Attributes:
            number: How many.
        """

        number: int

    @operation(label='Count', group='Tests')
    def count_images(image: Rasters) -> Counted:
        """Count.

        Args:
            image: What.
        """
        return Counted(len(image))

    assert count_images(image).number == 1
    assert count_images([image, image]).number == 2
