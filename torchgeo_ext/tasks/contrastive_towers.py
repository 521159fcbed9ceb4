"""Towers for different kinds of things that learn which of them belong together.

Radford, A. et al. (2021). Learning transferable visual models from natural language supervision.
ICML. https://arxiv.org/abs/2103.00020

Klemmer, K. et al. (2025). SatCLIP: global, general-purpose location embeddings with satellite
imagery. AAAI. https://arxiv.org/abs/2311.17179

Axes: n pairs, d features.
"""

import itertools
import operator
import re
from collections.abc import Mapping, Sequence
from typing import Any, Self

import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer
from torchgeo.models import get_weight
from torchgeo.tasks import BaseTask
from torchvision.models import WeightsEnum

from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.losses import SymmetricContrastiveLoss
from torchgeo_ext.metrics import RetrievalEvaluator
from torchgeo_ext.models._weights import load_exactly, read_state, weights_of_checkpoint
from torchgeo_ext.tasks._towers import build_tower

#: Parameters that weights do not decay of, besides those of one axis, as published.
_UNDECAYED = re.compile('bn|ln|bias|logit_scale')

#: The towers of SatCLIP by the key of the batch.
_SATCLIP = {'image': 'visual', 'point': 'location'}


class ContrastiveTowers(BaseTask):
    """Learns embeddings in which things that belong together are near, and others far.

    A batch has what each tower sees under a key of its own: ``image`` and ``point`` of
    :class:`~torchgeo_ext.datamodules.S2100kDataModule`, or texts, images of another sensor and so
    on. There may be more than two towers; the loss is then the mean over all pairs of them. Towers
    are the parts of a registered network (``model``), are built by their names, or are any modules.

    Scores of retrieval are those of all pairs of the validation, whatever the batch size; the loss
    is among the pairs of a batch. Gradients that are accumulated (``accumulate_grad_batches``) do
    not make pairs compete with more others; ``gather`` does.

    In YAML::

        model:
          class_path: ContrastiveTowers
          init_args:
            towers:
              image: {model: tu-resnet18, in_chans: 13}
              point: {model: location_harmonics, legendre_polys: 20}
    """

    ignore: Sequence[str] | str | None = ('weights', 'backbone_weights')

    #: There is nothing for a bundle to predict.
    predicts: str | None = None

    def __init__(
        self,
        model: str | None = None,
        weights: WeightsEnum | str | None = None,
        towers: dict[str, Any] | None = None,
        backbone_weights: dict[str, str] | None = None,
        embed_dim: int = 256,
        model_args: dict[str, Any] | None = None,
        freeze: list[str] | None = None,
        groups: str | None = None,
        places: str | None = 'point',
        temperature: float = 0.07,
        learn_temperature: bool = True,
        largest_scale: float | None = None,
        gather: bool = False,
        ks: Sequence[int] = (1, 5, 10),
        radii: Sequence[float] = (25.0, 200.0, 750.0, 2500.0),
        lr: float = 1e-4,
        weight_decay: float = 0.01,
    ) -> None:
        """Initialize a new ContrastiveTowers instance.

        Args:
            model: Name of a registered network with towers, such as ``satclip_resnet18_l10``.
            weights: Weights of it to start from, or their name.
            towers: What sees the values of each key of a batch: of a ``model``, the name of its
                part or method (those of SatCLIP by default); without one, the name of a network, a
                mapping with ``model`` and arguments of its builder, or a module.
            backbone_weights: Weights to start a tower from, by its key, such as
                ``ResNet18_Weights.SENTINEL2_ALL_MOCO``; its last layer starts at random.
            embed_dim: Length of the vectors of towers that are built by their names.
            model_args: Further arguments of the builder of ``model``.
            freeze: Regular expressions; parameters in whose names one is found do not learn, and
                what they belong to stays in evaluation mode, so that its statistics stay too.
            groups: Key of whole numbers in the batch; things of one number belong together. By
                default each is alone.
            places: Key of longitude and latitude in the batch, by which distances of what is found
                are told; ignored if a batch has none.
            temperature: What likenesses are divided by at first.
            learn_temperature: Whether it is learned.
            largest_scale: What its inverse may grow to; 100 in CLIP, without limit in SatCLIP.
            gather: Whether pairs compete with those of all processes of a distributed training.
            ks: How many answers the scores of retrieval look at.
            radii: Kilometres within which first answers are counted.
            lr: Learning rate.
            weight_decay: Of all but biases, normalisations and the temperature.

        Raises:
            BadParameter: If a network is not known, there are fewer than two towers, or nothing is
                left to learn.
            MissingWeights: If weights are not here and cannot be downloaded.
        """
        self.weights = weights
        self.backbone_weights = backbone_weights or {}
        self.towers = towers or (_SATCLIP if model else {})
        if any(isinstance(tower, nn.Module) for tower in self.towers.values()):
            # modules are not kept among the settings of a checkpoint, which are plain values
            self.ignore = ('weights', 'backbone_weights', 'towers')
        if len(self.towers) < 2:
            raise BadParameter(
                f'towers is {self.towers}; it must have two entries or more.',
                'Give the towers by the keys of a batch, or a model that has them.',
            )
        if weights and not model:
            raise BadParameter(
                f'weights is {weights}, but there is no model.',
                'Name the model, or give weights in the entries of towers.',
            )
        super().__init__()

    def configure_models(self) -> None:
        """Build the towers."""
        name = self.hparams['model']
        if name is None:
            width = self.hparams['embed_dim']
            built = {key: build_tower(given, width) for key, given in self.towers.items()}
            self.model = nn.ModuleDict(built)
            self._parts = {key: key for key in built}
        else:
            self.model = self._registered(name)
            self._parts = dict(self.towers)
        for key, weights in self.backbone_weights.items():
            self._start_from(key, weights)
        self._freeze(self.hparams['freeze'] or ())

    def _registered(self, name: str) -> nn.Module:
        # names are looked up when a task is made; the registry knows the tasks themselves too
        from torchgeo_ext import registry

        weights = get_weight(self.weights) if isinstance(self.weights, str) else self.weights
        arguments = dict(self.hparams['model_args'] or {})
        network: nn.Module = registry.models[name](
            **({'weights': weights} if weights else {}), **arguments
        )
        for key, part in self.towers.items():
            try:
                operator.attrgetter(str(part))(network)
            except AttributeError as error:
                raise BadParameter(
                    f'towers: {name} has no part {part!r} for {key}.',
                    f'Its parts are {", ".join(name for name, _ in network.named_children())}.',
                ) from error
        return network.train()

    def _start_from(self, key: str, weights: str) -> None:
        if key not in self._parts:
            raise BadParameter(
                f'backbone_weights: there is no tower {key!r}, but {", ".join(self._parts)}.'
            )
        tower = operator.attrgetter(self._parts[key])(self.model)
        own = tower.state_dict()
        # that of the weights, if there is one, belongs to what they were trained for
        last = list(own)[-1].rpartition('.')[0]
        state = weights_of_checkpoint(read_state(get_weight(weights)))
        rest = {name: value for name, value in state.items() if not name.startswith(f'{last}.')}
        heads = {name: value for name, value in own.items() if name.startswith(f'{last}.')}
        load_exactly(tower, rest | heads, weights)

    def _freeze(self, patterns: Sequence[str]) -> None:
        named = dict(self.model.named_parameters())
        for pattern in patterns:
            found = [name for name in named if re.search(pattern, name)]
            if not found:
                raise BadParameter(
                    f'freeze: {pattern!r} is found in no name of a parameter.',
                    f'They are called {", ".join(itertools.islice(named, 3))} and so on.',
                )
            for name in found:
                named[name].requires_grad_(False)
        if not any(parameter.requires_grad for parameter in named.values()):
            raise BadParameter('freeze: no parameter is left to learn.', 'Freeze less.')

    def configure_losses(self) -> None:
        """Set up the loss, whose temperature is that of the network if it has one."""
        self.criterion = SymmetricContrastiveLoss(
            self.hparams['temperature'],
            self.hparams['learn_temperature'],
            self.hparams['largest_scale'],
            self.hparams['gather'],
        )
        scale = getattr(self.model, 'logit_scale', None)
        if isinstance(scale, nn.Parameter):
            if not self.weights:
                scale.data.copy_(self.criterion.logit_scale)
            scale.requires_grad_(self.hparams['learn_temperature'])
            self.criterion.logit_scale = scale

    def configure_metrics(self) -> None:
        """Set up scores of retrieval for each pair of towers."""
        pairs = list(itertools.combinations(self._parts, 2))
        for stage in ('val', 'test'):
            evaluators = [
                RetrievalEvaluator(self.hparams['ks'], self.hparams['radii'], names=pair)
                for pair in pairs
            ]
            setattr(self, f'{stage}_metrics', nn.ModuleList(evaluators))

    def configure_optimizers(self) -> Optimizer:
        """Set up AdamW, without decay of what has one axis or is called so."""
        learned = [(n, p) for n, p in self.named_parameters() if p.requires_grad]
        kept = [p for n, p in learned if p.ndim < 2 or _UNDECAYED.search(n)]
        decayed = [p for n, p in learned if p.ndim >= 2 and not _UNDECAYED.search(n)]
        groups = [
            {'params': kept, 'weight_decay': 0.0},
            {'params': decayed, 'weight_decay': self.hparams['weight_decay']},
        ]
        return AdamW([group for group in groups if group['params']], lr=self.hparams['lr'])

    def train(self, mode: bool = True) -> Self:
        """Change the mode, but not of what does not learn."""
        super().train(mode)
        for module in self.model.modules():
            own = list(module.parameters())
            if own and not any(parameter.requires_grad for parameter in own):
                module.eval()
        return self

    def on_train_start(self) -> None:
        """Put what does not learn into evaluation mode, whatever the trainer has done."""
        self.train()

    def forward(self, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Embed things.

        Args:
            batch: Has some of the keys of towers, each with what its tower takes.

        Returns:
            Vectors (n, d) of length 1 in float32 by key.
        """
        return {
            key: F.normalize(operator.attrgetter(part)(self.model)(batch[key]).float(), dim=1)
            for key, part in self._parts.items()
            if key in batch
        }

    def training_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Tensor:
        """Compute the loss of a training batch."""
        _, loss = self._assess(batch, 'train')
        self.log('train_scale', self.criterion.logit_scale.detach().exp())
        return loss

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Count a validation batch."""
        self._count(batch, 'val')

    def test_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Count a test batch."""
        self._count(batch, 'test')

    def predict_step(
        self, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> dict[str, Tensor]:
        """Embed what a batch has."""
        return self(batch)

    def on_validation_epoch_end(self) -> None:
        """Log scores of retrieval."""
        self._log_scores('val')

    def on_test_epoch_end(self) -> None:
        """Log scores of retrieval."""
        self._log_scores('test')

    def _assess(self, batch: Any, stage: str) -> tuple[dict[str, Tensor], Tensor]:
        """Embed a batch and compute its loss."""
        if missing := sorted(self._parts.keys() - batch.keys()):
            raise BadInput(
                f'A batch has {", ".join(batch)}, but not {", ".join(missing)}.',
                'Choose a data module that gives it, or name the keys of the batch in towers.',
            )
        vectors: dict[str, Tensor] = self(batch)
        groups = self._groups(batch)
        losses = [
            self.criterion(*pair, groups) for pair in itertools.combinations(vectors.values(), 2)
        ]
        loss = sum(losses[1:], losses[0]) / len(losses)
        self.log(f'{stage}_loss', loss, batch_size=len(next(iter(vectors.values()))))
        return vectors, loss

    def _count(self, batch: Any, stage: str) -> None:
        vectors, _ = self._assess(batch, stage)
        evaluators = getattr(self, f'{stage}_metrics')
        places = batch.get(self.hparams['places'])
        for evaluator, pair in zip(
            evaluators, itertools.combinations(vectors.values(), 2), strict=True
        ):
            evaluator.update(*pair, self._groups(batch), places)

    def _groups(self, batch: Any) -> Tensor | None:
        key = self.hparams['groups']
        return None if key is None else batch[key]

    def _log_scores(self, stage: str) -> None:
        for evaluator in getattr(self, f'{stage}_metrics'):
            scores = evaluator.compute()
            self.log_dict({f'{stage}_{name}': value for name, value in scores.items()})
            evaluator.reset()
