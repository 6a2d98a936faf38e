"""Checks of what parts say about designs: layers, graphs, bit widths, accelerators.

They belong to the suite of spaces; each takes designs, and skips where a part is not there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Final

import numpy as np

from hwnas.arrays import Ints
from hwnas.design.designs import Designs
from hwnas.design.graph import Graph, Join, Layer, Source
from hwnas.design.layers import FLOAT_BITS, LayerTable, Operator
from hwnas.design.parts import (
    AcceleratorTemplate,
    NetworkFamily,
    QuantizationPolicy,
    TrainingPolicy,
)
from hwnas.errors import DesignError
from hwnas.testing.check import nothing_to_check, require

_GRAPHS = 16
_MULTIPLYING: Final = (int(Operator.CONVOLUTION), int(Operator.LINEAR), int(Operator.MATMUL))
_AS_WIDE: Final = (int(Operator.POOL), int(Operator.ADD), int(Operator.ELEMENTWISE))
_COUNTS: Final = ("N", "K", "C", "P", "Q", "R", "S", "stride", "groups")


def _family(designs: Designs) -> NetworkFamily:
    family = designs.space.parts.get("net")
    if not isinstance(family, NetworkFamily):
        nothing_to_check("the space has no network family")
    return family


def _table(designs: Designs) -> LayerTable:
    _family(designs)
    return designs.layers


def layer_rows_make_sense(designs: Designs) -> None:
    """Layer rows ascend by design, every design has some, and their numbers are possible."""
    table = _table(designs)
    for field in fields(table):
        column = getattr(table, field.name)
        if field.name == "n":
            require(column == len(designs), f"{column} designs in the table, not {len(designs)}")
            continue
        kind = np.float64 if field.name == "density" else np.int64
        require(
            column.shape == (len(table),) and column.dtype == kind,
            f"column {field.name} is {column.dtype} {column.shape}, not {kind} ({len(table)},)",
        )
    require((np.diff(table.design) >= 0).all(), "the rows are not sorted by design")
    require(
        np.array_equal(np.unique(table.design), np.arange(len(designs))), "a design has no layer"
    )
    for name in _COUNTS:
        require((getattr(table, name) >= 1).all(), f"{name} is less than 1 somewhere")
    known = {int(operator) for operator in Operator}
    require(set(table.operator.tolist()) <= known, "an operator is unknown")
    require((table.cell >= 0).all(), "a cell is negative")
    require(((table.density > 0) & (table.density <= 1)).all(), "a density is not in (0, 1]")
    bits = np.concatenate([table.weight_bits, table.activation_bits])
    require(((bits >= 1) & (bits <= FLOAT_BITS)).all(), "bits are not between 1 and 32")


def layer_rows_have_work(designs: Designs) -> None:
    """Groups divide the channels; operators that multiply have MACs and the others none."""
    table = _table(designs)
    require((table.C % table.groups == 0).all(), "C is not a multiple of groups somewhere")
    require((table.K % table.groups == 0).all(), "K is not a multiple of groups somewhere")
    working = np.isin(table.operator, _MULTIPLYING)
    require((table.macs[working] > 0).all(), "a layer that multiplies has no MACs")
    require((table.macs[~working] == 0).all(), "a layer that does not multiply has MACs")
    for operator in (Operator.LINEAR, Operator.MATMUL, Operator.ELEMENTWISE, Operator.EMBEDDING):
        rows = table.operator == int(operator)
        for name in ("R", "S", "stride"):
            values = getattr(table, name)[rows]
            require((values == 1).all(), f"a layer of the kind {operator.name} has {name} != 1")
    alike = np.isin(table.operator, _AS_WIDE)
    require((table.C == table.K)[alike].all(), "a layer has as many outputs as inputs, but K != C")


def layer_rows_do_not_depend_on_the_batch(designs: Designs) -> None:
    """A design has the same layers alone, in a batch and in another order; no design has none."""
    table = _table(designs)
    require(len(designs[:0].layers) == 0, "an empty batch has layers")
    for i in range(min(len(designs), _GRAPHS)):
        _check_equal(table.take([i]), designs[i : i + 1].layers, f"design {i} alone")
    order = np.arange(len(designs))[::-1]
    _check_equal(table.take(order.tolist()), designs[order].layers, "in another order")


def sleeping_genes_change_no_layer(designs: Designs) -> None:
    """Genes that are not active do not change the layers."""
    family, space = _family(designs), designs.space
    rng = np.random.default_rng(len(designs))
    awake = rng.integers(0, space.cardinalities, size=designs.genomes.shape)
    other = np.where(designs.active, designs.genomes, awake)
    expected = family.layers(designs.columns, len(designs))
    _check_equal(expected, family.layers(space.decode(other), len(designs)), "with sleeping genes")


def _check_equal(a: LayerTable, b: LayerTable, where: str) -> None:
    for field in fields(a):
        left, right = getattr(a, field.name), getattr(b, field.name)
        require(np.array_equal(left, right), f"{field.name} differs {where}: {left}, {right}")


def _graphs(designs: Designs) -> list[Graph]:
    """The graphs of some designs; there is nothing to check where the family has none at all."""
    _family(designs)
    graphs: list[Graph] = []
    refused: list[str] = []
    for design in designs[:_GRAPHS]:
        try:
            graphs.append(design.graph)
        except DesignError as error:
            refused.append(error.what)
    require(not (graphs and refused), f"only some designs have graphs: {refused[:1]}")
    if refused:
        nothing_to_check(f"the family has no graphs: {refused[0]}")
    return graphs


def graphs_are_sound(designs: Designs) -> None:
    """Layers draw on earlier ones, on channels these have; channels and images add up."""
    for graph in _graphs(designs):
        require(bool(graph.layers), "a graph has no layers")
        names = [layer.name for layer in graph.layers]
        require(len(set(names)) == len(names), f"a layer's name occurs twice: {names}")
        for index, layer in enumerate(graph.layers):
            _check_layer(graph, index, layer)
        last = graph.layers[-1]
        require(graph.classes == last.K, f"{last.K} scores for {graph.classes} classes")


def _check_layer(graph: Graph, index: int, layer: Layer) -> None:
    where = f"layer {layer.name}"
    require(bool(layer.sources), f"{where} has no source")
    taken, images = [], []
    for source in layer.sources:
        require(-1 <= source.layer < index, f"{where} draws on layer {source.layer}")
        channels = _channels(graph, source)
        require(
            np.array_equal(channels, np.unique(channels))
            and (channels < _width(graph, source.layer)).all()
            and (channels >= 0).all()
            and len(channels) > 0,
            f"{where} takes channels {channels.tolist()} of {_width(graph, source.layer)}",
        )
        taken.append(len(channels))
        images.append(_image(graph, source.layer))
    _check_join(layer, taken, images)
    before = images[0]
    if layer.operator is not Operator.LINEAR:
        image = (before + 2 * layer.pad - layer.kernel) // layer.stride + 1
        require(layer.image == image, f"{where} has image {layer.image}, it computes {image}")


def _check_join(layer: Layer, taken: list[int], images: list[int]) -> None:
    where, C = f"layer {layer.name}", layer.C
    if layer.join is Join.MULTIPLY:
        require(taken == [C, C], f"{where} has C = {C}, it multiplies {taken} channels")
        require(images[1] in (1, images[0]), f"{where} multiplies images of sizes {images}")
    else:
        require(len(set(images)) == 1, f"{where} joins images of sizes {images}")
    if layer.join is Join.CONCATENATE:
        require(sum(taken) == C, f"{where} has C = {C}, its sources {taken}")
    if layer.join is Join.ADD:
        require(taken[0] == C, f"{where} has C = {C}, its first source {taken[0]}")
        require(max(taken) <= C, f"{where} adds {taken} channels onto {C}")
    if layer.operator is Operator.ADD:
        adds_two = layer.join is Join.ADD and taken == [C, C]
        require(adds_two, f"{where} has C = {C}, its {layer.join.value} is of {taken}, not of two")
    if layer.operator is Operator.ELEMENTWISE:
        require(layer.join is Join.MULTIPLY, f"{where} multiplies nothing")


def _width(graph: Graph, layer: int) -> int:
    return graph.channels if layer < 0 else graph.layers[layer].K


def _image(graph: Graph, layer: int) -> int:
    return graph.image if layer < 0 else graph.layers[layer].image


def _channels(graph: Graph, source: Source) -> Ints:
    if source.channels is None:
        return np.arange(_width(graph, source.layer))
    return np.array(source.channels, dtype=np.int64)


def graphs_agree_with_layer_rows(designs: Designs) -> None:
    """The graph of a design and its rows of the layer table describe the same network.

    Where additions are joins of other layers, only their total size is compared.
    """
    table = _table(designs)
    for i, graph in enumerate(_graphs(designs)):
        rows, design = table.take([i]), designs[i]
        added = rows.operator == int(Operator.ADD)
        summed = sum(_added_activations(graph, layer) for layer in graph.layers)
        require(
            int(rows.outputs[added].sum()) == summed,
            f"{design.config}: the table adds {rows.outputs[added]} activations, "
            f"the graph {summed}",
        )
        in_joins = any(_adds_on_its_way(layer) for layer in graph.layers)
        kept = ~added if in_joins else np.ones_like(added)
        layers = [layer for layer in graph.layers if not (in_joins and _is_sum(layer))]
        for name, value in _LAYER_COLUMNS.items():
            found, expected = getattr(rows, name)[kept].tolist(), [value(x) for x in layers]
            require(
                found == expected, f"{name} of {design.config}: table {found}, graph {expected}"
            )


def _is_sum(layer: Layer) -> bool:
    return layer.operator is Operator.ADD


def _adds_on_its_way(layer: Layer) -> bool:
    return layer.join is Join.ADD and len(layer.sources) > 1 and not _is_sum(layer)


_LAYER_COLUMNS: Final[dict[str, Callable[[Layer], int]]] = {
    "operator": lambda layer: int(layer.operator),
    "C": lambda layer: layer.C,
    "K": lambda layer: layer.K,
    "P": lambda layer: layer.image,
    "Q": lambda layer: layer.image,
    "R": lambda layer: layer.kernel,
    "S": lambda layer: layer.kernel,
    "stride": lambda layer: layer.stride,
    "groups": lambda layer: layer.groups,
    "weight_bits": lambda layer: layer.weight_bits,
    "activation_bits": lambda layer: layer.activation_bits,
    "cell": lambda layer: layer.cell,
}


def _added_activations(graph: Graph, layer: Layer) -> int:
    """What a sum, or one in front of a layer, computes: the channels added, at their image."""
    if layer.join is not Join.ADD:
        return 0
    channels = sum(len(_channels(graph, source)) for source in layer.sources[1:])
    return channels * _image(graph, layer.sources[0].layer) ** 2


def bits_are_whole_and_possible(designs: Designs) -> None:
    """A policy gives every row weight bits and activation bits, whole numbers from 1 to 32."""
    policy = designs.space.parts.get("quant")
    if not isinstance(policy, QuantizationPolicy):
        nothing_to_check("the space has no quantization policy")
    everybody = np.repeat(np.arange(len(designs)), 2)
    cell = np.tile(np.array([0, 1]), len(designs))
    for bits in policy.bits(designs.columns, everybody, cell):
        require(
            bits.shape == cell.shape and bits.dtype == np.int64,
            f"bits are {bits.dtype} {bits.shape}, not int64 {cell.shape}",
        )
        require(((bits >= 1) & (bits <= FLOAT_BITS)).all(), f"bits {bits} are not 1 to 32")
    backwards = policy.bits(designs.columns, everybody[::-1], cell[::-1])
    forwards = policy.bits(designs.columns, everybody, cell)
    for one, other in zip(forwards, backwards, strict=True):
        require(np.array_equal(one, other[::-1]), "the order of the rows changes their bits")


def accelerators_have_their_parameters(designs: Designs) -> None:
    """A template gives one value per design and parameter; numbers are finite, none negative."""
    template = designs.space.parts.get("hw")
    if not isinstance(template, AcceleratorTemplate):
        nothing_to_check("the space has no accelerator template")
    whole = designs.accelerators
    require(bool(whole), "the template has no parameter")
    for name, column in whole.items():
        require(column.shape == (len(designs),), f"{name} has shape {column.shape}")
        if np.issubdtype(column.dtype, np.number):
            numbers = column.astype(np.float64)
            require((np.isfinite(numbers) & (numbers >= 0)).all(), f"{name} is {numbers}")
    for i in range(min(len(designs), _GRAPHS)):
        alone = designs[i : i + 1].accelerators
        require(
            {name: column[i] for name, column in whole.items()}
            == {name: column[0] for name, column in alone.items()},
            f"design {i} has other parameters alone than in a batch",
        )


def trainings_have_their_settings(designs: Designs) -> None:
    """A training policy gives every design an image size and settings; sleeping genes are mute."""
    space, n = designs.space, len(designs)
    policy = space.parts.get("train")
    if not isinstance(policy, TrainingPolicy):
        nothing_to_check("the space has no training policy")
    images = designs.asked_images
    require((images is None) == (not policy.sizes), f"sizes {policy.sizes}, but images {images}")
    if images is not None:
        require(
            images.shape == (n,) and images.dtype == np.int64,
            f"images are {images.dtype} {images.shape}, not int64 ({n},)",
        )
        require(set(images.tolist()) <= set(policy.sizes), f"images {images} are not among sizes")
        require(min(policy.sizes) >= 1, f"sizes are {policy.sizes}")
    rng = np.random.default_rng(n)
    awake = rng.integers(0, space.cardinalities, size=designs.genomes.shape)
    other = space.decode(np.where(designs.active, designs.genomes, awake))
    again = policy.recipes(other, n)
    require(set(again) == set(designs.recipes), "other settings with sleeping genes")
    for name, column in designs.recipes.items():
        require(column.shape == (n,), f"setting {name} has shape {column.shape}, not ({n},)")
        require(np.array_equal(column, again[name]), f"a sleeping gene changes {name}")
    if images is not None:
        same = policy.images(other, n)
        require(same is not None and np.array_equal(images, same), "a sleeping gene changes images")
    for i in range(min(n, _GRAPHS)):
        whole = {name: column[i] for name, column in designs.recipes.items()}
        require(designs[i].recipe == whole, f"design {i} has other settings alone than in a batch")


CHECKS: Final[tuple[Callable[[Designs], None], ...]] = (
    layer_rows_make_sense,
    layer_rows_have_work,
    layer_rows_do_not_depend_on_the_batch,
    sleeping_genes_change_no_layer,
    graphs_are_sound,
    graphs_agree_with_layer_rows,
    bits_are_whole_and_possible,
    trainings_have_their_settings,
    accelerators_have_their_parameters,
)
