"""Questions on what changed between two dates, answered by a choice.

Axes: b batch, t date, c channel, h height, w width, q questions, k answers, f features of a text.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchvision.models import WeightsEnum

from torchgeo_ext.errors import BadInput
from torchgeo_ext.metrics import AnswerAccuracy
from torchgeo_ext.tasks._pair_task import Batch, Metrics, PairTask
from torchgeo_ext.tasks._pixel_losses import cross_entropy
from torchgeo_ext.tasks._text import make_text_encoder


class ChangeQuestionAnswering(PairTask):
    """Trains a network that answers questions on pairs of images, such as TCSSM.

    A batch has ``image`` (b, t=2, c, h, w), ``description``, a text about the place and the event
    of each pair, ``questions``, a list of q texts for each pair, and ``label`` (b, q), the numbers
    of the right answers, -1 where none is known. The q questions are of as many kinds, in the same
    order everywhere, as :class:`~torchgeo_ext.datasets.BRIGHTQuestions` has them.

    To learn what holds for events that were never seen, train with a dataset that leaves them out:
    ``BRIGHTQuestions`` with ``unseen``.

    The overall accuracy, ``val_answers_oa``, tells the best epoch; ``val_answers_aa`` is the mean
    over the kinds of questions. Figures of pairs are not drawn: an answer is no map.
    """

    monitor = 'val_answers_oa'
    predicts = None

    def __init__(
        self,
        model: str = 'tcssm',
        in_channels: int = 3,
        num_answers: int = 13,
        num_questions: int = 4,
        text_encoder: str = 'words',
        model_args: dict[str, Any] | None = None,
        weights: WeightsEnum | str | None = None,
        backbone_weights: WeightsEnum | str | None = None,
        lr: float = 1e-4,
        patience: int = 10,
    ) -> None:
        """Initialize a new ChangeQuestionAnswering instance.

        Args:
            model: Name of a registered model that takes pairs, a text and questions.
            in_channels: Bands of each image.
            num_answers: Answers to choose from; 13 for BRIGHTQuestions.
            num_questions: Questions on each pair; 4 for BRIGHTQuestions.
            text_encoder: ``words`` to count words, which needs nothing else, or the name of a model
                of Hugging Face, which stays as it is (needs ``torchgeo_ext[language]``).
            model_args: Further arguments of the model's builder.
            weights: Weights of the whole network to start from, or their name.
            backbone_weights: Weights of its encoder to start from, or their name.
            lr: Learning rate.
            patience: Epochs without a better validation loss until the learning rate drops.

        Raises:
            BadParameter: If the model is not known or does not take these arguments.
            MissingDependency: If the text encoder needs a package that is not installed.
            MissingWeights: If the text encoder is not here and cannot be downloaded.
        """
        self.weights = weights
        self.backbone_weights = backbone_weights
        # no part of the network: it is not trained, and checkpoints do not hold it
        self.encode = make_text_encoder(text_encoder)
        super().__init__()

    def head_arguments(self, known: Mapping[str, Any]) -> dict[str, Any]:
        """Give the numbers of answers and of a text's features."""
        return {'num_classes': self.hparams['num_answers'], 'text_features': self.encode.features}

    def configure_losses(self) -> None:
        """Set up the loss."""
        self.criterion = cross_entropy()

    def make_metrics(self) -> dict[str, Metric]:
        """Make the accuracies."""
        return {'answers': AnswerAccuracy(self.hparams['num_questions'])}

    def forward(
        self, x: Tensor, descriptions: Sequence[str], questions: Sequence[Sequence[str]]
    ) -> Tensor:
        """Answer questions.

        Args:
            x: Images before and after (b, t=2, c, h, w).
            descriptions: What is told about each pair.
            questions: Those on each pair, as many for each.

        Returns:
            Logits (b, q, k).
        """
        told = self.encode(descriptions).to(x)
        asked = torch.stack([self.encode(texts) for texts in questions]).to(x)
        logits: Tensor = self.model(x, told, asked)
        return logits

    def assess(self, batch: Batch, metrics: Metrics) -> tuple[Tensor, Tensor]:
        """Answer the questions of a batch and count; gives the answers (b, q) too."""
        label: Tensor = batch['label']
        wanted = len(batch['image']), self.hparams['num_questions']
        if label.shape != wanted or label.max() >= self.hparams['num_answers']:
            raise BadInput(
                f'label has the shape {tuple(label.shape)} and answers up to {label.max()}; with '
                f'these arguments it must be {wanted}, up to {self.hparams["num_answers"] - 1}.',
                'Set num_questions and num_answers as the dataset has them.',
            )
        logits = self(batch['image'], *_texts(batch))
        found = logits.argmax(dim=-1)
        metrics['answers'].update(found, label)
        # a question is to the loss what a pixel is elsewhere
        loss = self.criterion(logits.movedim(-1, 1)[..., None], label[..., None])
        return loss, found

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Count a validation batch."""
        self._step(batch, 'val')

    def predict_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> Tensor:
        """Predict the probabilities of all answers (b, q, k)."""
        logits: Tensor = self(batch['image'], *_texts(batch))
        return logits.softmax(dim=-1)


def _texts(batch: Batch) -> tuple[list[str], list[list[str]]]:
    """Take the descriptions and the questions."""
    descriptions: list[str] = list(batch.get('description') or [])
    number = len(batch['image'])
    missing = [place for place, text in enumerate(descriptions) if not (text and text.strip())]
    if len(descriptions) != number or missing:
        raise BadInput(
            f'The text condition is missing: of {number} pairs '
            f'{len(descriptions) - len(missing)} have a description.',
            'Give a text about the place and the event of each pair as description.',
        )
    questions: list[list[str]] = [list(texts) for texts in batch.get('questions', [])]
    if len(questions) != number or len({len(texts) for texts in questions}) != 1:
        raise BadInput(
            f'There are questions on {len(questions)} of {number} pairs, in the numbers '
            f'{sorted({len(texts) for texts in questions})}.',
            'Give as many questions for each pair as a list of texts.',
        )
    return descriptions, questions
