"""Networks with fake quantisation, in torch."""

from evaluators.quantization.network import QuantizedNetwork

__all__ = ["QuantizedNetwork"]
