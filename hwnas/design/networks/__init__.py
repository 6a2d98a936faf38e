"""Well-known networks as they are, one file per family.

Convolutional ones are graphs, of 224 x 224 pixels, 3 channels and 1,000 classes unless told
otherwise; transformers are the rows of their layer tables, for images of that size or 128 tokens.
Biases, batch normalisation and activation functions have no rows (see `LayerTable`), so published
parameter counts are larger than the sum of `LayerTable.weights`: by two numbers per channel that is
normalised, one per bias, and the class token and positions of a ViT.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from hwnas.design.graph import Graph
from hwnas.design.networks.bert import bert_small
from hwnas.design.networks.efficientnet import efficientnet_b0
from hwnas.design.networks.mobilenet import mobilenet_v2, mobilenet_v3_large, mobilenet_v3_small
from hwnas.design.networks.resnet import resnet18, resnet50
from hwnas.design.networks.vit import vit_tiny
from hwnas.design.rows import Row

CONVOLUTIONAL: Final[Mapping[str, Callable[[int, int, int], Graph]]] = {
    "resnet18": resnet18,
    "resnet50": resnet50,
    "mobilenet_v2": mobilenet_v2,
    "mobilenet_v3_large": mobilenet_v3_large,
    "mobilenet_v3_small": mobilenet_v3_small,
    "efficientnet_b0": efficientnet_b0,
}
"""Graphs by name, made of image, channels and classes."""

TRANSFORMERS: Final[Mapping[str, Callable[[], Iterator[Row]]]] = {
    "vit_tiny": vit_tiny,
    "bert_small": bert_small,
}
"""Rows by name."""

NETWORKS: Final = (*CONVOLUTIONAL, *TRANSFORMERS)
"""The names of all networks."""

__all__ = ["CONVOLUTIONAL", "NETWORKS", "TRANSFORMERS"]
