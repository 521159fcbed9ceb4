"""List the models that can be run by name."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from torchgeo_ext.operations._operation import StrPath, file_out, operation
from torchgeo_ext.staging import staged


class ListModelsResult(NamedTuple):
    """Result of :func:`list_models`.

    Attributes:
        number: How many models there are.
        names: Their names, separated by commas.
        models: Everything known of them, as JSON.
    """

    output: str | None
    number: int
    names: str
    models: str


@operation(
    label='List models', group='Models', tags=('weights', 'pretrained', 'catalogue', 'licence')
)
def list_models(
    *,
    task: Literal['all', 'segmentation', 'change', 'semantic_change', 'embedding'] = 'all',
    output: Annotated[StrPath, file_out('json')] | None = None,
) -> ListModelsResult:
    """List the models that need no training of one's own, with bands, classes and licence.

    Args:
        task: Only models for this task.
        output: Where to write the list as JSON.
    """
    from torchgeo_ext.ready import ready_models

    chosen = [model for model in ready_models() if task in ('all', model.task)]
    text = json.dumps([dataclasses.asdict(model) for model in chosen], indent=1)
    if output is not None:
        with staged(output) as part:
            Path(part).write_text(text + '\n', encoding='utf-8')
    return ListModelsResult(
        output=None if output is None else str(output),
        number=len(chosen),
        names=', '.join(model.name for model in chosen),
        models=text,
    )
