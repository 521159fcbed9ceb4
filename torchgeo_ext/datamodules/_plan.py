"""Decides which files of a folder are images and which are labels, or says why it cannot."""

import fnmatch
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pandas as pd
import shapely

from torchgeo_ext.datamodules._folder import ClassField, Folder, PolygonLayer, RasterFile, outline
from torchgeo_ext.datasets._features import UNKNOWN, plain
from torchgeo_ext.errors import BadInput

Task = Literal['segmentation', 'change', 'semantic_change', 'building_damage']
Label = RasterFile | PolygonLayer

#: Parts of names of files and folders that hold labels, and of masks that are no classes.
_LABELS = re.compile(
    r'label|mask|truth|(?<![a-z])gt(?![a-z])|class|lulc|land[ _-]?(cover|use)|annotat|target|'
    r'reference|change'
)
_NO_LABELS = re.compile(r'cloud|valid|nodata|(?<![a-z])(clm|qa|scl|aoi)(?![a-z])')
#: Words of a path that tell the dates of a pair.
_BEFORE = {'before', 'pre', 'a', 't1', 'time1', 'early', 'old', 'from'}
_AFTER = {'after', 'post', 'b', 't2', 'time2', 'late', 'new', 'to'}
#: Names of fields with classes.
_FIELDS = re.compile(r'class|label|lulc|cover|use|type|categor|kind|crop|species')

#: Words for the levels of damage of xBD.
_DAMAGE = {'no damage', 'minor damage', 'major damage', 'destroyed'}

#: Files named in a message.
_NAMED = 6


@dataclass(frozen=True)
class Choice:
    """What the user says where files do not speak for themselves.

    Args:
        task: What to learn.
        images: Pattern of the names of images, with * and ?.
        labels: The same for labels.
        class_field: Field with the classes of polygons.
    """

    task: Task | None = None
    images: str | None = None
    labels: str | None = None
    class_field: str | None = None


@dataclass(frozen=True)
class Plan:
    """What a training can be made of.

    Args:
        task: What to learn.
        images: For each place its dates: one raster, or two for all kinds of change.
        labels: One layer for all places, or one for each; none for ``semantic_change`` if change is
            where the land cover differs.
        covers: Labels of the land cover of each date, for ``semantic_change``.
        class_field: Field with the classes of polygons, if labels are polygons.
        class_names: Name of each class value, where the labels do not tell themselves.
        ignore_value: Label value of what has no class.
        left_out: Files that are not used, and why.
        notes: What the user should know.
    """

    task: Task
    images: tuple[tuple[RasterFile, ...], ...]
    labels: tuple[Label, ...]
    class_field: str | None = None
    class_names: Mapping[int, str] = field(default_factory=dict)
    ignore_value: int | None = None
    left_out: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    covers: tuple[tuple[Label, ...], ...] = ()


def make_plan(folder: Folder, choice: Choice) -> Plan:
    """Tell images from labels and pair them.

    Args:
        folder: What lies there.
        choice: What the user says.

    Raises:
        BadInput: If the files leave it open; the message names them.
    """
    labels, left_out = _labels(folder, choice)
    task = choice.task or _task(folder, labels)
    images = _images(folder, labels, choice, left_out)
    pairs: tuple[tuple[RasterFile, ...], ...]
    covers: tuple[tuple[Label, ...], ...] = ()
    if task == 'segmentation':
        _check_one_layer(folder, images, labels)
        pairs = tuple((image,) for image in images)
    elif task == 'semantic_change':
        covers, labels = _covers(folder, images, labels, left_out)
        pairs = _by_place(folder, *_two_dates(folder, images))
    else:
        pairs, labels = _pairs(folder, images, labels, left_out)
    told = tuple(label for cover in covers for label in cover) or labels
    class_field, names, ignore = _classes(folder, told, choice, task)
    notes = [*_duplicates(folder, images)]
    return Plan(task, pairs, labels, class_field, names, ignore, left_out, tuple(notes), covers)


def relative(folder: Folder, thing: Label | Path) -> str:
    """Give the path of a file or layer from the folder on."""
    path = thing if isinstance(thing, Path) else thing.path
    root = str(folder.root)
    return str(path).removeprefix(root).lstrip('/\\')


def place(thing: Label) -> shapely.Polygon:
    """Give the box around a raster or layer."""
    return outline(thing.grid) if isinstance(thing, RasterFile) else thing.outline


def _labels(folder: Folder, choice: Choice) -> tuple[tuple[Label, ...], dict[str, str]]:
    left_out: dict[str, str] = {}
    candidates: list[Label] = [*folder.layers, *(r for r in folder.rasters if r.classes)]
    if choice.labels is not None:
        chosen = [c for c in candidates if _matches(folder, c, choice.labels)]
        if not chosen:
            raise BadInput(
                f'labels: no layer of polygons or class numbers is called {choice.labels!r} in '
                f'{folder.root}.',
                f'There are: {_listed(folder, candidates) or "none"}.',
            )
    else:
        named = [c for c in candidates if _is_named_label(folder, c)]
        unnamed = [
            c for c in candidates
            if isinstance(c, PolygonLayer) or (len(c.classes or ()) > 1 and not _is_mask(folder, c))
        ]  # fmt: skip
        chosen = named or unnamed
    if any(map(_tells_classes, chosen)):
        for other in (c for c in chosen if not _tells_classes(c)):
            left_out[relative(folder, other)] = 'has no field that tells classes apart'
        chosen = [label for label in chosen if _tells_classes(label)]
    if not chosen:
        raise BadInput(
            f'folder: {folder.root} has no labels: neither polygons nor a raster of class numbers '
            f'(of {len(folder.rasters)} rasters and {len(folder.layers)} layers).',
            'Put labels beside the images, or name them with --labels. Lines and points get a '
            'width by VectorLabels, as labels of GeoTIFFDataModule.',
        )
    return _without_twins(folder, chosen, left_out), left_out


def _tells_classes(label: Label) -> bool:
    return isinstance(label, RasterFile) or any(len(field.names) > 1 for field in label.fields)


def _is_named_label(folder: Folder, label: Label) -> bool:
    name = relative(folder, label).lower()
    return bool(_LABELS.search(name)) and not _NO_LABELS.search(name)


def _is_mask(folder: Folder, label: Label) -> bool:
    return bool(_NO_LABELS.search(relative(folder, label).lower()))


def _without_twins(
    folder: Folder, labels: Sequence[Label], left_out: dict[str, str]
) -> tuple[Label, ...]:
    """Of a raster and polygons of one name keep the polygons if they name their classes."""
    twins: dict[str, list[Label]] = defaultdict(list)
    for label in labels:
        file = str(label.path).partition('|')[0]
        twins[str(Path(file).with_suffix(''))].append(label)
    kept: list[Label] = []
    for same in twins.values():
        rasters = [label for label in same if isinstance(label, RasterFile)]
        layers = [label for label in same if isinstance(label, PolygonLayer)]
        better: list[Label] = [*layers] if any(map(_has_names, layers)) else [*rasters]
        kept += better or same
        for other in same:
            if better and other not in better:
                left_out[relative(folder, other)] = f'like {relative(folder, better[0])}'
    return tuple(kept)


def _has_names(layer: PolygonLayer) -> bool:
    return any(any(field.names.values()) for field in layer.fields)


def _task(folder: Folder, labels: Sequence[Label]) -> Task:
    of_two_dates = any(len(label.days) == 2 for label in labels)
    named = any('change' in relative(folder, label).lower() for label in labels)
    if _of_both_dates(folder, labels):
        return 'semantic_change'
    if not (of_two_dates or named or _of_both_dates(folder, folder.rasters)):
        return 'segmentation'
    layers = [label for label in labels if isinstance(label, PolygonLayer)]
    return 'building_damage' if any(map(_damage_fields, layers)) else 'change'


def _of_both_dates(folder: Folder, things: Sequence[Label]) -> bool:
    """Tell whether names part things into earlier and later ones."""
    moments = Counter(_moment(folder, thing) for thing in things)
    # tiles that are numbered, t1 and t2 among them, have no dates
    return min(moments['before'], moments['after']) > 0 and moments[None] <= sum(
        moments[moment] for moment in ('before', 'after')
    )


def _damage_fields(layer: PolygonLayer) -> list[ClassField]:
    """Give the fields of text that hold xBD's levels of damage and nothing else."""
    return [
        field
        for field in layer.fields
        if field.text and {plain(name) for name in field.names.values()} - UNKNOWN <= _DAMAGE
    ]


def _covers(
    folder: Folder, images: Sequence[RasterFile], labels: Sequence[Label], left_out: dict[str, str]
) -> tuple[tuple[tuple[Label, ...], ...], tuple[Label, ...]]:
    """Tell the land cover before, that after, and labels of what changed."""
    moments = [_moment(folder, label) or _day_moment(folder, label, images) for label in labels]
    before, after, others = (
        tuple(label for label, moment in zip(labels, moments, strict=True) if moment == wanted)
        for wanted in ('before', 'after', None)
    )
    if not before or not after:
        raise BadInput(
            f'folder: which labels are of the earlier and which of the later date cannot be told '
            f'of {_listed(folder, labels)}.',
            'Put the words before and after, or the dates of the images, into their names.',
        )
    for same in (before, after):
        _check_one_layer(folder, images, same)
    changed = tuple(label for label in others if 'change' in relative(folder, label).lower())
    left_out |= {relative(folder, o): 'of neither date' for o in others if o not in changed}
    return (before, after), changed


def _day_moment(
    folder: Folder, label: Label, images: Sequence[RasterFile]
) -> Literal['before', 'after'] | None:
    """Tell the date of a label by its day."""
    before, after = ({i.days[0] for i in d if i.days} for d in _two_dates(folder, images))
    if len(label.days) != 1 or label.days[0] not in before ^ after:
        return None
    return 'before' if label.days[0] in before else 'after'


def _moment(folder: Folder, thing: Label) -> Literal['before', 'after'] | None:
    # a layer's name is as good as that of a file
    name = relative(folder, thing).lower().replace('|layername=', '/')
    *folders, file = Path(name).with_suffix('').parts
    # A and B are pairs of folders, but part a and part b of a scene are none
    words = {word for word in _words(file) if len(word) > 1}.union(*map(_words, folders))
    if bool(words & _BEFORE) == bool(words & _AFTER):
        return None
    return 'before' if words & _BEFORE else 'after'


def _words(name: str) -> set[str]:
    return set(re.split(r'[\W_]+', name))


def _images(
    folder: Folder, labels: Sequence[Label], choice: Choice, left_out: dict[str, str]
) -> tuple[RasterFile, ...]:
    """Choose the rasters of one number of bands and one type that lie where labels are."""
    labelled = shapely.union_all([place(label) for label in labels])
    groups: dict[tuple[int, str], list[RasterFile]] = defaultdict(list)
    for raster in folder.rasters:
        name = relative(folder, raster)
        if raster in labels or name in left_out:
            continue
        if choice.images is not None and not _matches(folder, raster, choice.images):
            left_out[name] = f'not {choice.images}'
        elif choice.images is None and raster.classes and _is_named_label(folder, raster):
            left_out[name] = 'looks like labels'
        elif not place(raster).intersects(labelled):
            left_out[name] = 'lies where no labels are'
        else:
            groups[raster.kind].append(raster)
    if not groups:
        raise BadInput(
            f'folder: {folder.root} has no image where the labels ({_listed(folder, labels)}) are.',
            'Check the reference systems, or choose files with --images and --labels.',
        )
    ranked = sorted(groups.values(), key=_rank, reverse=True)
    if len(ranked) > 1 and _rank(ranked[0]) == _rank(ranked[1]):
        kinds = '; '.join(
            f'{len(group)} of {_kind(group[0])}: {_listed(folder, group)}' for group in ranked
        )
        raise BadInput(
            f'folder: the images of {folder.root} differ in bands or type ({kinds}).',
            'Choose those to learn from with --images and a pattern of names.',
        )
    _check_bands(folder, ranked[0])
    for group in ranked[1:]:
        for raster in group:
            left_out[relative(folder, raster)] = f'{_kind(raster)}, unlike the images'
    return tuple(ranked[0])


def _check_bands(folder: Folder, images: Sequence[RasterFile]) -> None:
    """See that files are no single bands of one image: each would be learned from by itself."""
    seen: dict[object, RasterFile] = {}
    for image in images:
        first = seen.setdefault((image.days, image.grid), image)
        if len(image.bands) == 1 and all(image.bands) and first.bands != image.bands:
            raise BadInput(
                f'folder: {relative(folder, first)} and {relative(folder, image)} are different '
                f'bands of one image ({first.bands[0]}, {image.bands[0]}).',
                'Join the bands of each image in one file first: gdalbuildvrt -separate '
                'IMAGE.vrt BAND.tif BAND.tif ..., and choose these with --images.',
            )


def _rank(group: Sequence[RasterFile]) -> tuple[bool, bool, bool]:
    """Rate how surely rasters are images: known sensor, days in all names, several bands."""
    return (
        all(raster.sensor for raster in group),
        all(raster.days for raster in group),
        len(group[0].bands) > 1,
    )


def _kind(raster: RasterFile) -> str:
    number = len(raster.bands)
    return f'{number} band{"s" * (number != 1)} {raster.dtype}'


def _check_one_layer(folder: Folder, images: Sequence[RasterFile], labels: Sequence[Label]) -> None:
    """See that several layers complement each other: each pixel must have but one label."""
    nowhere = [t for t in (*images, *labels) if isinstance(t, RasterFile) and t.grid.crs is None]
    if len(labels) > 1 and nowhere:
        raise BadInput(
            f'folder: {_listed(folder, nowhere)} have no reference system, so that it is not known '
            'which labels belong to which image.',
            'Give them one, or use a dataset of numbered images, such as those of TorchGeo.',
        )
    boxes = [place(label) for label in labels]
    whole = shapely.union_all(boxes).area
    if sum(box.area for box in boxes) > 1.05 * whole:
        raise BadInput(
            f'folder: several layers could be the labels: {_listed(folder, labels)}.',
            'Choose one with --labels, or several that do not overlap.',
        )


def _pairs(
    folder: Folder, images: Sequence[RasterFile], labels: Sequence[Label], left_out: dict[str, str]
) -> tuple[tuple[tuple[RasterFile, ...], ...], tuple[Label, ...]]:
    """Pair images by the dates of the labels, by words in their names or by their own dates."""
    dated = [label for label in labels if len(label.days) == 2]
    if not dated:
        before, after = _two_dates(folder, images)
        pairs = _by_place(folder, before, after)
        _check_one_layer(folder, images, labels)
        return pairs, tuple(labels)
    for label in labels:
        if label not in dated:
            left_out[relative(folder, label)] = 'does not name its two dates, as others do'
    found: list[tuple[tuple[RasterFile, ...], Label]] = []
    for label in dated:
        first, second = (
            [i for i in images if day in i.days[:1] and place(i).intersects(place(label))]
            for day in label.days
        )
        if not first or not second:
            days = ' and '.join(f'{day:%Y-%m-%d}' for day in label.days)
            raise BadInput(
                f'folder: {relative(folder, label)} is of {days}, but images are of '
                f'{", ".join(sorted({f"{i.days[0]:%Y-%m-%d}" for i in images if i.days}))}.',
                'Add the missing image, or choose labels with --labels.',
            )
        found += [(pair, label) for pair in _by_place(folder, first, second)]
    used = {image.path for pair, _ in found for image in pair}
    left_out |= {
        relative(folder, image): 'of no labelled pair' for image in images if image.path not in used
    }
    pairs = tuple(pair for pair, _ in found)
    of_pairs = tuple(label for _, label in found)
    return pairs, of_pairs if len(dated) > 1 else tuple(dated)


def _two_dates(
    folder: Folder, images: Sequence[RasterFile]
) -> tuple[list[RasterFile], list[RasterFile]]:
    moments = [_moment(folder, image) for image in images]
    if all(moments) and len(set(moments)) == 2:
        return (
            [i for i, m in zip(images, moments, strict=True) if m == 'before'],
            [i for i, m in zip(images, moments, strict=True) if m == 'after'],
        )
    undated = [image for image in images if not image.days]
    if undated:
        raise BadInput(
            f'folder: the date of {_listed(folder, undated)} is not known.',
            'Put dates such as 2020-05-31 into the names of images, or the words before and after.',
        )
    days: list[pd.Timestamp] = sorted({image.days[0] for image in images})
    if len(days) != 2:
        shown = ', '.join(f'{day:%Y-%m-%d}' for day in days)
        raise BadInput(
            f'folder: change is between two dates, but images are of {shown}.',
            'Put both dates into the names of labels, or choose images with --images.',
        )
    return (
        [image for image in images if image.days[0] == days[0]],
        [image for image in images if image.days[0] == days[1]],
    )


def _by_place(
    folder: Folder, before: Sequence[RasterFile], after: Sequence[RasterFile]
) -> tuple[tuple[RasterFile, ...], ...]:
    """Pair each earlier image with the later one that covers most of it."""
    pairs = []
    for earlier in before:
        shared = [place(earlier).intersection(place(later)).area for later in after]
        if not max(shared):
            raise BadInput(
                f'folder: no later image covers {relative(folder, earlier)}.',
                'Choose images with --images.',
            )
        pairs.append((earlier, after[shared.index(max(shared))]))
    return tuple(pairs)


def _classes(
    folder: Folder, labels: Sequence[Label], choice: Choice, task: Task
) -> tuple[str | None, dict[int, str], int | None]:
    """Find the field with the classes, the names of numbered classes, and the number of none."""
    layers = [label for label in labels if isinstance(label, PolygonLayer)]
    if not layers:
        # classes are looked for when labels are opened; of several pairs one may lack a class
        several = task == 'change' and len(labels) > 1
        values = sorted({value for label in labels for value in _values(label)})
        return None, {value: f'class {value}' for value in values} if several else {}, None
    if len(layers) < len(labels):
        raise BadInput(
            f'folder: some labels are rasters and some are polygons: {_listed(folder, labels)}.',
            'Choose either with --labels.',
        )
    chosen = _field(folder, layers, choice, task)
    if chosen is None:
        return None, {}, None
    if chosen.text or task == 'building_damage':
        return chosen.name, {}, None
    names = {int(value): name for value, name in chosen.names.items()}
    nameless = [value for value, name in names.items() if not name]
    return (
        chosen.name,
        {value: name for value, name in names.items() if name},
        nameless[0] if nameless else None,
    )


def _values(label: Label) -> Iterable[int]:
    return (label.classes or {}) if isinstance(label, RasterFile) else ()


def _field(
    folder: Folder, layers: Sequence[PolygonLayer], choice: Choice, task: Task
) -> ClassField | None:
    fields = layers[0].fields
    if choice.class_field is not None:
        fields = tuple(field for field in fields if field.name == choice.class_field)
        if not fields:
            raise BadInput(
                f'class_field: {relative(folder, layers[0])} has no field '
                f'{choice.class_field!r} with classes.',
                f'Its fields are: {", ".join(f.name for f in layers[0].fields) or "none"}.',
            )
    if task == 'segmentation':
        fields = tuple(field for field in fields if len(field.names) > 1)
    if task == 'building_damage' and choice.class_field is None:
        fields = tuple(_damage_fields(layers[0]))
    ranked = sorted(fields, key=_field_rank, reverse=True)
    if not ranked:
        if task == 'change':
            return None
        raise BadInput(
            f'folder: no field of {relative(folder, layers[0])} tells classes apart.',
            'Name it with --class-field, or choose other labels with --labels.',
        )
    if len(ranked) > 1 and _field_rank(ranked[0]) == _field_rank(ranked[1]):
        names = ', '.join(field.name for field in ranked)
        raise BadInput(
            f'folder: several fields of {relative(folder, layers[0])} could hold the classes: '
            f'{names}.',
            'Name the right one with --class-field.',
        )
    return ranked[0]


def _field_rank(field: ClassField) -> tuple[bool, bool, bool]:
    """Rate a field: every polygon has a class, by name; the field is called like one."""
    named = field.text or not all(name.startswith('class ') for name in field.names.values())
    return not field.missing, named, bool(_FIELDS.search(field.name.lower()))


def _duplicates(folder: Folder, images: Sequence[RasterFile]) -> Iterable[str]:
    """Tell of images of the same day and place: they would count twice."""
    seen: dict[tuple[object, ...], RasterFile] = {}
    for image in images:
        if not image.days:
            continue
        key = image.days, image.grid
        if key in seen:
            yield (
                f'{relative(folder, image)} and {relative(folder, seen[key])} are of the same day '
                'and place.'
            )
        seen.setdefault(key, image)


def _matches(folder: Folder, thing: Label, pattern: str) -> bool:
    name = relative(folder, thing)
    names = {name, name.partition('|')[0], Path(name.partition('|')[0]).name}
    return any(fnmatch.fnmatch(candidate, pattern) for candidate in names)


def _listed(folder: Folder, things: Sequence[Label]) -> str:
    names = [relative(folder, thing) for thing in things]
    more = f' and {len(names) - _NAMED} more' if len(names) > _NAMED else ''
    return ', '.join(names[:_NAMED]) + more
