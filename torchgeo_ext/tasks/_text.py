"""Texts as features, by words alone or by a frozen language model.

Axes: n texts, f features.
"""

import re
import zlib
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from torchgeo_ext.errors import MissingDependency, MissingWeights


class TextEncoder(Protocol):
    """Gives texts as features."""

    #: How many.
    features: int

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """Give the features (n, f) of texts."""


class HashedWords:
    """Counts words and pairs of neighbouring words, each at a place that its letters decide.

    Nothing is learned and nothing downloaded; texts of the same words in the same order are the
    same, all others differ as their words do.

    Args:
        features: Places to count at.
    """

    def __init__(self, features: int = 512) -> None:
        self.features = features

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """Give the features (n, f) of texts, of length 1."""
        counts = torch.zeros(len(texts), self.features)
        for row, text in zip(counts, texts, strict=True):
            words = re.findall(r'\w+', text.lower())
            for term in (*words, *(' '.join(pair) for pair in pairwise(words))):
                # Python's own hash differs from process to process
                row[zlib.crc32(term.encode()) % self.features] += 1
        return F.normalize(counts, dim=1)


class LanguageModel:
    """The mean over the words of what a frozen model of Hugging Face makes of a text.

    Args:
        name: Name of the model, or a folder.

    Raises:
        MissingDependency: If transformers is not installed.
        MissingWeights: If the model is not here and cannot be downloaded.
    """

    def __init__(self, name: str) -> None:
        try:
            import transformers
        except ImportError as error:
            raise MissingDependency(
                f'text_encoder: {name!r} needs the package transformers, which is not installed.',
                "Install it with: pip install 'torchgeo_ext[language]', or choose words.",
            ) from error
        try:
            self.tokenizer: Any = transformers.AutoTokenizer.from_pretrained(name)
            model: Any = transformers.AutoModel.from_pretrained(name)
        except OSError as error:
            raise MissingWeights(
                f'text_encoder: {name!r} is not on this machine and could not be downloaded '
                f'({error}).',
                'Connect to the network once, name a folder that holds it, or choose words.',
            ) from error
        self.model = model.eval()
        self.features: int = model.config.hidden_size

    @torch.no_grad()
    def __call__(self, texts: Sequence[str]) -> Tensor:
        """Give the features (n, f) of texts."""
        given = self.tokenizer(list(texts), padding=True, truncation=True, return_tensors='pt')
        states: Tensor = self.model(**given).last_hidden_state
        there = given['attention_mask'][..., None].to(states.dtype)
        return (states * there).sum(dim=1) / there.sum(dim=1)


def make_text_encoder(name: str) -> TextEncoder:
    """Make a text encoder: ``words``, or a model of Hugging Face by its name.

    Raises:
        MissingDependency: If transformers is needed and not installed.
        MissingWeights: If the model is not here and cannot be downloaded.
    """
    return HashedWords() if name == 'words' else LanguageModel(name)
