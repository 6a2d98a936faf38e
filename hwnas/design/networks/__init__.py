"""Well-known networks as they are, one file per family, each as the rows of its layer table.

Images have 224 x 224 pixels and 3 channels, and there are 1,000 classes; a text encoder reads 128
tokens. Biases, batch normalisation and activation functions have no rows (see `LayerTable`), so
published parameter counts are larger than the sum of `LayerTable.weights`: by two numbers per
channel that is normalised, one per bias, and the class token and positions of a ViT.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from hwnas.design.networks.bert import bert_small
from hwnas.design.networks.efficientnet import efficientnet_b0
from hwnas.design.networks.mobilenet import mobilenet_v2, mobilenet_v3_large, mobilenet_v3_small
from hwnas.design.networks.resnet import resnet18, resnet50
from hwnas.design.networks.vit import vit_tiny
from hwnas.design.rows import Row

NETWORKS: Final[Mapping[str, Callable[[], Iterator[Row]]]] = {
    "resnet18": resnet18,
    "resnet50": resnet50,
    "mobilenet_v2": mobilenet_v2,
    "mobilenet_v3_large": mobilenet_v3_large,
    "mobilenet_v3_small": mobilenet_v3_small,
    "efficientnet_b0": efficientnet_b0,
    "vit_tiny": vit_tiny,
    "bert_small": bert_small,
}
"""The networks by name."""

__all__ = ["NETWORKS"]
