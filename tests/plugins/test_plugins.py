"""Hooks: each has a test here, and one plugin's failure costs only its own."""

import inspect
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.rasters import gradient, write_raster
from torchgeo_ext import hookimpl, hookspecs, registry
from torchgeo_ext.errors import BadParameter
from torchgeo_ext.plugins import plugins

README = Path(__file__).parents[2] / 'README.md'
HOOKS = [
    name
    for name, function in vars(hookspecs).items()
    if inspect.isfunction(function) and hasattr(function, 'torchgeo_ext_spec')
]
REGISTRIES = {known._hook: known for known in registry.ALL}

pytestmark = pytest.mark.usefixtures('fresh_registry')


def plugin(**functions):
    """A plugin object with these hooks."""
    return type('Plugin', (), {name: staticmethod(hookimpl(f)) for name, f in functions.items()})()


def named(name):
    """Something a registry can hold."""
    return type(name, (), {'name': name})


@pytest.mark.parametrize('hook', HOOKS)
def test_every_hook_is_tested(hook):
    source = Path(__file__).read_text()
    assert hook in REGISTRIES or f'def test_{hook}' in source


@pytest.mark.parametrize('hook', HOOKS)
def test_every_hook_is_in_the_readme_with_its_signature(hook):
    arguments = ', '.join(inspect.signature(getattr(hookspecs, hook)).parameters)
    assert f'`{hook}({arguments})`' in README.read_text()


@pytest.mark.parametrize(
    'hook', sorted(set(REGISTRIES) - {'register_operations', 'register_models'})
)
def test_offered_things_are_known_by_name(hook):
    thing = named('Thing')
    plugins().add(plugin(**{hook: lambda: [thing]}), 'other', '1.0')
    known = REGISTRIES[hook]
    assert known['Thing'] is thing
    assert known.origin('Thing').name == 'other'
    assert list(known) == sorted(known)


def test_unknown_names_are_answered_with_near_ones():
    with pytest.raises(KeyError, match=r"No operation is called 'segment_imag'.*segment_image"):
        registry.operations['segment_imag']
    assert 'segment_imag' not in registry.operations


def test_a_failing_hook_is_kept_and_the_rest_goes_on():
    def fail():
        raise OSError('file is gone')

    thing = named('Thing')
    plugins().add(plugin(register_tasks=fail), 'bad', '1.0')
    plugins().add(plugin(register_tasks=lambda: [thing]), 'good', '1.0')
    assert registry.tasks['Thing'] is thing
    errors = {p.name: p.error for p in plugins().all}
    assert errors['bad'] == 'register_tasks: OSError: file is gone'
    assert errors['good'] == ''


def test_a_misspelt_hook_is_reported():
    kept = plugins().add(plugin(register_dataset=lambda: ()), 'typo', '1.0')
    assert 'register_dataset' in kept.error


def test_an_argument_the_hook_does_not_have_is_reported():
    kept = plugins().add(plugin(register_tasks=lambda folder: []), 'wrong', '1.0')
    assert 'folder' in kept.error


def test_one_name_of_two_plugins_stands_for_neither():
    plugins().add(plugin(register_tasks=lambda: [named('Same')]), 'one', '1.0')
    plugins().add(plugin(register_tasks=lambda: [named('Same')]), 'two', '2.0')
    with pytest.raises(BadParameter, match=r"'Same': one of one 1.0 and one of two 2.0"):
        registry.tasks['Same']
    assert 'Same' not in list(registry.tasks)


def test_a_plugin_cannot_take_a_name_of_ours():
    from torchgeo_ext.operations import list_models

    def other():
        raise AssertionError

    taken = SimpleNamespace(operation=SimpleNamespace(name='list_models'), function=other)
    kept = plugins().add(plugin(register_operations=lambda: [taken]), 'greedy', '1.0')
    assert registry.operations['list_models'] is list_models
    assert 'torchgeo_ext' in kept.error
    assert "'list_models'" in kept.error


def test_run_operation_can_be_wrapped(tmp_path):
    from torchgeo_ext.operations import list_models

    seen = []

    @hookimpl(wrapper=True)
    def run_operation(operation):
        seen.append(operation.name)
        result = yield
        seen.append(result.number)
        return result

    timer = type('Timer', (), {'run_operation': staticmethod(run_operation)})
    plugins().add(timer(), 'timer', '1.0')
    result = plugins().hook.run_operation(
        operation=list_models.operation, parameters={'task': 'change'}, progress=None
    )
    assert seen == ['list_models', result.number]


def test_locate_weights_asks_mirrors_first(tmp_path, monkeypatch):
    from torchgeo_ext import hub

    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    mirror = write_raster(tmp_path / 'mirrored.tif', gradient(1, 4, 4))
    weights = SimpleNamespace(
        url='https://example.org/net-0000.pth', meta={'sha256': hub.sha256(mirror)}
    )
    plugins().add(plugin(locate_weights=lambda weights: mirror), 'mirror', '1.0')
    assert hub.weights_file(weights) == mirror


def test_hook_names_follow_one_pattern():
    for hook in HOOKS:
        assert re.fullmatch(r'[a-z]+_[a-z]+', hook)
