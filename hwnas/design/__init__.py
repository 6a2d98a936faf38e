"""Designs: network families, quantization policies, accelerator templates, the layer table."""

from hwnas.design.bits_per_cell import BitsPerCell
from hwnas.design.bits_per_layer import BitsPerLayer
from hwnas.design.designs import Design, Designs
from hwnas.design.fixed_network import FixedNetwork
from hwnas.design.graph import Activation, Graph, Join, Layer, Pooling, Source
from hwnas.design.imported_network import ImportedNetwork
from hwnas.design.layers import FLOAT_BITS, LayerTable, Operator
from hwnas.design.mappings import MappingPerLayer, UniformMapping
from hwnas.design.mbconv import MBConv
from hwnas.design.nas_bench_201 import NASBench201
from hwnas.design.nas_bench_macro import NASBenchMacro
from hwnas.design.outside.onnx_file import from_onnx
from hwnas.design.outside.torch_module import from_torch
from hwnas.design.parts import (
    AcceleratorTemplate,
    MappingPolicy,
    NetworkFamily,
    QuantizationPolicy,
    TrainingPolicy,
)
from hwnas.design.searched_training import SearchedTraining
from hwnas.design.skipnet import SkipNet
from hwnas.design.spatial_array import SpatialArray
from hwnas.design.systolic_array import SystolicArray
from hwnas.design.uniform_bits import UniformBits

__all__ = [
    "FLOAT_BITS",
    "AcceleratorTemplate",
    "Activation",
    "BitsPerCell",
    "BitsPerLayer",
    "Design",
    "Designs",
    "FixedNetwork",
    "Graph",
    "ImportedNetwork",
    "Join",
    "Layer",
    "LayerTable",
    "MBConv",
    "MappingPerLayer",
    "MappingPolicy",
    "NASBench201",
    "NASBenchMacro",
    "NetworkFamily",
    "Operator",
    "Pooling",
    "QuantizationPolicy",
    "SearchedTraining",
    "SkipNet",
    "Source",
    "SpatialArray",
    "SystolicArray",
    "TrainingPolicy",
    "UniformBits",
    "UniformMapping",
    "from_onnx",
    "from_torch",
]
