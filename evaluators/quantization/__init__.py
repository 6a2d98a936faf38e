"""Networks with fake quantisation, in torch."""

from evaluators.quantization.network import QuantizedNetwork
from evaluators.quantization.options import Quantization

__all__ = ["Quantization", "QuantizedNetwork"]
