"""Designs: network families, quantization policies, accelerator templates, the layer table."""

from hwnas.design.bits_per_cell import BitsPerCell
from hwnas.design.designs import Design, Designs
from hwnas.design.graph import Graph, Join, Layer, Source
from hwnas.design.layers import FLOAT_BITS, LayerTable, Operator
from hwnas.design.parts import AcceleratorTemplate, NetworkFamily, QuantizationPolicy
from hwnas.design.skipnet import SkipNet
from hwnas.design.systolic_array import SystolicArray

__all__ = [
    "FLOAT_BITS",
    "AcceleratorTemplate",
    "BitsPerCell",
    "Design",
    "Designs",
    "Graph",
    "Join",
    "Layer",
    "LayerTable",
    "NetworkFamily",
    "Operator",
    "QuantizationPolicy",
    "SkipNet",
    "Source",
    "SystolicArray",
]
