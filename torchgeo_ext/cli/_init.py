"""``init``: looks at a folder of images and labels and writes the configuration of a training."""

import argparse
import fnmatch
import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from torchgeo_ext.cli._bar import Bar
from torchgeo_ext.errors import BadParameter
from torchgeo_ext.staging import staged

#: Patches of at most this size.
_LARGEST_PATCH = 256
#: Lists and mappings that make a line longer get several.
_LINE = 120
_INDENT = '    '
#: Networks halve images five times.
_STRIDE = 32


def add_init(commands: Any) -> argparse.ArgumentParser:
    """Add the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        'init',
        help='Look at a folder of images and labels and write the YAML of a training.',
        description='Looks at the files of a folder, says which are images and which are labels, '
        'and writes a configuration for "torchgeo-ext fit". Patterns may hold * and ?.',
    )
    parser.add_argument('folder', type=Path, help='Folder with images and labels.')
    parser.add_argument(
        '--task',
        choices=('segmentation', 'change', 'semantic_change', 'building_damage'),
        help='What to learn.',
    )
    parser.add_argument('--images', metavar='PATTERN', help='Names of the images to use.')
    parser.add_argument('--labels', metavar='PATTERN', help='Names of the labels to use.')
    parser.add_argument('--class-field', metavar='NAME', help='Field with the class of a polygon.')
    parser.add_argument(
        '--output', type=Path, metavar='FILE', help='YAML to write. Default: FOLDER.yaml.'
    )
    parser.add_argument('--force', action='store_true', help='Replace the YAML if there is one.')
    parser.set_defaults(run=_init)
    return parser


def _init(options: argparse.Namespace) -> None:
    from torchgeo_ext.datamodules import GeoTIFFDataModule
    from torchgeo_ext.datamodules._folder import look_at
    from torchgeo_ext.datamodules._plan import Choice, make_plan

    output = options.output or Path(f'{options.folder.resolve().name}.yaml')
    if output.exists() and not options.force:
        raise BadParameter(f'output: {output} is there already.', 'Add --force to replace it.')
    choice = Choice(options.task, options.images, options.labels, options.class_field)
    with Bar() as bar:
        folder = look_at(options.folder.resolve(), bar)
        plan = make_plan(folder, choice)
        data = _data(folder, plan)
        module = GeoTIFFDataModule(**data)
        module.progress = bar
        # reads the labels: what does not fit is found now and not when training begins
        facts = _Facts(folder, plan, module)
    if plan.task == 'semantic_change':
        # from now on there may be no others
        data['classes'] = {entry.value: entry.name for entry in module.labelled.told_classes}
    with staged(output, 'output') as part:
        part.write_text(_yaml(facts, data, output.resolve()), encoding='utf-8')
    print('\n'.join(facts.told()))
    print(f'Written: {output}. Next: torchgeo-ext fit --config {output}')


def _data(folder: Any, plan: Any) -> dict[str, Any]:
    """Give the arguments of the data module."""
    from torchgeo_ext.datamodules._plan import relative

    dates = list(zip(*plan.images, strict=True))
    names = ('images',) if plan.task == 'segmentation' else ('before', 'after')
    before, after = plan.covers or ((), ())
    layers = {
        'damage' if plan.task == 'building_damage' else 'labels': plan.labels,
        'labels_before': before,
        'labels_after': after,
    }
    files = [*(raster.path for raster in folder.rasters), *folder.broken]
    everything = [relative(folder, file) for file in files]
    side = min(min(image.grid.shape) for group in plan.images for image in group)
    data = {
        'root': str(folder.root),
        **{
            name: _pattern([relative(folder, image.path) for image in images], everything)
            if name == 'images'
            else [relative(folder, image.path) for image in images]
            for name, images in zip(names, dates, strict=True)
        },
        **{name: _paths(folder, labels) for name, labels in layers.items() if labels},
        'class_field': plan.class_field,
        'classes': dict(plan.class_names) or None,
        'ignore_value': plan.ignore_value,
        'patch_size': max(_STRIDE, min(_LARGEST_PATCH, side // 2 // _STRIDE * _STRIDE)),
    }
    return {key: value for key, value in data.items() if value is not None}


def _paths(folder: Any, labels: Sequence[Any]) -> str | list[str]:
    from torchgeo_ext.datamodules._plan import relative

    paths = [relative(folder, label) for label in labels]
    return paths[0] if len(paths) == 1 else paths


class _Facts:
    """What was understood, for people and for the model's arguments."""

    def __init__(self, folder: Any, plan: Any, module: Any) -> None:
        self.folder, self.plan, self.dataset = folder, plan, module.labelled
        self.bands = [band.name for band in module.described]

    @property
    def binary(self) -> bool:
        """Whether the question is changed or not."""
        values = [entry.value for entry in self.dataset.classes]
        return self.plan.task == 'change' and len(values) == 2 and values[0] == 0

    def images(self) -> str:
        """Tell of the images in one line."""
        used = [image for group in self.plan.images for image in group]
        first = used[0]
        grids = Counter(f'{i.grid.crs.to_string() if i.grid.crs else "no CRS"}' for i in used)
        days = sorted({f'{image.days[0]:%Y-%m-%d}' for image in used if image.days})
        when = '' if not days else f', {days[0]}' + (f' to {days[-1]}' if len(days) > 1 else '')
        what = (
            f'{len(self.plan.images)} pairs' if self.plan.task != 'segmentation' else f'{len(used)}'
        )
        sensor = f' of {first.sensor}' if first.sensor else ''
        return (
            f'{what}, {len(self.bands)} bands {first.dtype}{sensor} '
            f'({_few(self.bands)}), pixels of {first.grid.resolution[0]:.6g}, '
            f'{_few(grids)}{when}'
        )

    def labels(self) -> str:
        """Tell of the labels in one line."""
        from torchgeo_ext.datamodules._plan import relative

        every = [label for labels in (*self.plan.covers, self.plan.labels) for label in labels]
        names = _few([relative(self.folder, label) for label in every])
        field = f', field {self.plan.class_field}' if self.plan.class_field else ''
        classes = ', '.join(f'{entry.value} {entry.name}' for entry in self.dataset.classes)
        ignored = self.plan.ignore_value
        without = '' if ignored is None else f'; {ignored} has no name and counts as not labelled'
        return f'{names}{field}: {classes}{without}'

    def told(self) -> Iterator[str]:
        """Tell everything."""
        from torchgeo_ext.datamodules._plan import relative

        yield f'Task: {self.plan.task}'
        yield f'Images: {self.images()}'
        for group in self.plan.images:
            yield '  ' + ' -> '.join(relative(self.folder, image.path) for image in group)
        yield f'Labels: {self.labels()}'
        for name, why in sorted(self.plan.left_out.items()):
            yield f'Not used: {name} ({why})'
        for path, why in self.folder.broken.items():
            yield f'Cannot be read: {relative(self.folder, path)} ({why})'
        yield from (f'Note: {note}' for note in self.plan.notes)


def _yaml(facts: _Facts, data: dict[str, Any], output: Path) -> str:
    """Write the configuration, each line with what it means where that is not plain."""
    task, model = _model(facts)
    lines = [
        f'# Images: {facts.images()}.',
        f'# Labels: {facts.labels()}.',
        f'# Train: torchgeo-ext fit --config {output.name} (go on with it: --ckpt_path last)',
        f'# Scores: torchgeo-ext test --config {output.name} --ckpt_path best',
        'trainer:',
        f'  max_epochs: 50  # checkpoints, logs and figures go to {output.stem}_run',
        'model:',
        f'  class_path: {task}',
        '  init_args:',
        *(line for key, value in model.items() for line in _entry(key, value)),
        'data:',
        '  class_path: GeoTIFFDataModule',
        '  init_args:',
        *(line for key, value in data.items() for line in _entry(key, value)),
        '    balance: square_root  # draws rare classes more often; or none, inverse',
        '    test_fold: 1  # of 5 folds of blocks: 0 chooses the best epoch, 1 is for tests alone',
    ]
    return '\n'.join(lines) + '\n'


def _model(facts: _Facts) -> tuple[str, dict[str, Any]]:
    """Choose the task and its arguments; what equals a default is left out."""
    bands, classes = len(facts.bands), [entry.name for entry in facts.dataset.classes]
    if facts.plan.task == 'semantic_change':
        model = {'model': 'changemamba_scd_tiny', 'in_channels': bands, 'num_classes': len(classes)}
        return 'SemanticChangeDetection', model
    if facts.plan.task == 'building_damage':
        model = {'model': 'changemamba_bda_tiny', 'in_channels': bands, 'levels': len(classes) - 1}
        return 'BuildingDamage', model
    change = facts.plan.task == 'change'
    kinds = {'task': 'multiclass', 'loss': 'ce'} if change and not facts.binary else {}
    several = {} if facts.binary else {'num_classes': len(classes), 'labels': classes}
    return 'MaskedChangeDetection' if change else 'MaskedSegmentation', {
        'model': 'fcsiamdiff' if change else 'unet',
        'backbone': 'resnet18',
        'in_channels': bands,
        **kinds,
        **several,
        'ignore_index': -1,
    }


def _flow(value: Any) -> str:
    """Write a value on one line."""
    import yaml

    text: str = yaml.safe_dump(
        value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10**9
    )
    return text.removesuffix('\n').removesuffix('\n...')


def _entry(key: str, value: Any) -> Iterator[str]:
    """Write an argument; long lists and mappings have a line for each entry."""
    line = f'{_INDENT}{key}: {_flow(value)}'
    if isinstance(value, dict) and len(line) > _LINE:
        yield f'{_INDENT}{key}:'
        yield from (f'{_INDENT}  {_flow(k)}: {_flow(v)}' for k, v in value.items())
    elif isinstance(value, list) and len(line) > _LINE:
        yield f'{_INDENT}{key}:'
        yield from (f'{_INDENT}  - {_flow(entry)}' for entry in value)
    else:
        yield line


def _common_start(names: Sequence[str]) -> str:
    alike = itertools.takewhile(lambda signs: len(set(signs)) == 1, zip(*names, strict=False))
    return ''.join(signs[0] for signs in alike)


def _pattern(names: Sequence[str], others: Sequence[str]) -> str | list[str]:
    """Give a pattern that stands for exactly these names among all, if there is one."""
    # up to a sign and without parts of dates
    first = re.sub(r'[^\W_]*$', '', _common_start(names))
    first = re.sub(r'[\d-]+$', '', first)
    last = _common_start([name[::-1] for name in names])[::-1]
    pattern = f'{first}*{last}'
    found = [name for name in others if fnmatch.fnmatch(name, pattern)]
    # a star of the file system does not cross folders
    inside = all('/' not in name[len(first) : len(name) - len(last)] for name in names)
    if len(names) > 3 and inside and sorted(found) == list(names):
        return pattern
    return list(names)


def _few(words: Sequence[str] | Counter[str]) -> str:
    listed = list(words)
    return ', '.join(listed[:4]) + (f' and {len(listed) - 4} more' if len(listed) > 4 else '')
