"""What the files of exports say, read as the other tools read them."""

from __future__ import annotations

import math
import re

from ruamel.yaml import YAML


def parse(text):
    return YAML(typ="safe", pure=True).load(text)


def accounted(exported, macs):
    """MACs of all layers in the files, per row of the design."""
    rows = {}
    for layer in exported.layers:
        rows[layer.row] = rows.get(layer.row, 0) + macs[layer.name] * layer.times
    return rows


def expected(design):
    return {row: int(macs) for row, macs in enumerate(design.layers.macs) if macs}


def topology(text):
    """A table as SCALE-Sim reads it: no heading, no last field."""
    rows = [line.split(",")[:-1] for line in text.splitlines()[1:]]
    return {row[0]: [int(field) for field in row[1:]] for row in rows}


def scalesim_products(text):
    """Name to (pixels, filters, window), as SCALE-Sim makes them of a topology."""
    found = {}
    for name, (height, width, r, s, channels, filters, stride) in topology(text).items():
        lines = math.ceil((height - r + stride) / stride)
        found[name] = (
            lines * math.ceil((width - s + stride) / stride),
            filters,
            r * s * channels,
        )
    return found


def timeloop_factors(directive):
    pairs = (pair.split("=") for pair in directive["factors"].split())
    return {loop: int(factor) for loop, factor in pairs}


def maestro_layers(text):
    """Name to (type, stride, sizes, directives)."""
    found = {}
    for name, body in re.findall(r"^  Layer (\w+) \{\n(.*?)^  \}", text, re.M | re.S):
        sizes = re.search(r"Dimensions \{ (.*) \}", body)[1]
        stride = re.search(r"Stride \{ X: (\d+), Y: \1 \}", body)
        found[name] = (
            re.search(r"Type: (\w+)", body)[1],
            int(stride[1]) if stride else 1,
            {k: int(v) for k, v in (pair.split(": ") for pair in sizes.split(", "))},
            re.findall(r"^ +((?:Spatial|Temporal)Map|Cluster)\((.*), ?(.*)\) ?(.*);", body, re.M),
        )
    return found


def maestro_macs(text):
    macs = {}
    for name, (kind, stride, size, _) in maestro_layers(text).items():
        if kind == "GEMM":
            macs[name] = math.prod(size.values())
            continue
        lines, rest = divmod(size["Y"] - size["R"], stride)
        columns, more = divmod(size["X"] - size["S"], stride)
        assert (rest, more) == (0, 0)
        one = size["N"] * size["C"] * size["R"] * size["S"] * (lines + 1) * (columns + 1)
        macs[name] = one * size["K"]
    return macs
