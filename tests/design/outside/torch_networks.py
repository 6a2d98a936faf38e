"""Well-known networks as small PyTorch modules, after the code whose weights are published."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


def conv(C, K, kernel=1, stride=1, groups=1, act=nn.ReLU):
    layers = [
        nn.Conv2d(C, K, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(K),
    ]
    return nn.Sequential(*layers, *([act(inplace=True)] if act else []))


class Residual(nn.Module):
    def __init__(self, body, shortcut=None):
        super().__init__()
        self.body, self.shortcut = body, shortcut or nn.Identity()

    def forward(self, x):
        return functional.relu(self.body(x) + self.shortcut(x))


def resnet(counts, bottleneck):
    blocks = [conv(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1)]
    before = 64
    for stage, count in enumerate(counts):
        width = 64 << stage
        out = 4 * width if bottleneck else width
        for i in range(count):
            stride = 2 if stage and i == 0 else 1
            body = (
                [conv(before, width), conv(width, width, 3, stride), conv(width, out, act=None)]
                if bottleneck
                else [conv(before, width, 3, stride), conv(width, width, 3, act=None)]
            )
            shortcut = conv(before, out, 1, stride, act=None) if before != out else None
            blocks.append(Residual(nn.Sequential(*body), shortcut))
            before = out
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, 1000))


class Squeeze(nn.Module):
    def __init__(self, C, squeezed, inner, gate):
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc1, self.fc2 = nn.Conv2d(C, squeezed, 1), nn.Conv2d(squeezed, C, 1)
        self.inner, self.gate = inner(), gate()

    def forward(self, x):
        return self.gate(self.fc2(self.inner(self.fc1(self.pool(x))))) * x


class Inverted(nn.Module):
    def __init__(self, C, K, kernel, stride, inside, act, squeeze=None):
        super().__init__()
        body = [conv(C, inside, act=act)] if inside != C else []
        body.append(conv(inside, inside, kernel, stride, inside, act=act))
        if squeeze:
            body.append(squeeze(inside))
        body.append(conv(inside, K, act=None))
        self.body, self.skips = nn.Sequential(*body), stride == 1 and C == K

    def forward(self, x):
        return x + self.body(x) if self.skips else self.body(x)


def round8(value):
    rounded = max(8, int(value + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * value else rounded


def mobilenet_v2():
    blocks, before = [conv(3, 32, 3, 2, act=nn.ReLU6)], 32
    for t, c, n, s in [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1),
                       (6, 160, 3, 2), (6, 320, 1, 1)]:  # fmt: skip
        for i in range(n):
            blocks.append(Inverted(before, c, 3, s if i == 0 else 1, before * t, nn.ReLU6))
            before = c
    blocks += [conv(320, 1280, act=nn.ReLU6), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout()]
    return nn.Sequential(*blocks, nn.Linear(1280, 1000))


def mobilenet_v3(rows, last):
    def squeeze(inside):
        return Squeeze(inside, round8(inside // 4), nn.ReLU, nn.Hardsigmoid)

    blocks, before = [conv(3, 16, 3, 2, act=nn.Hardswish)], 16
    for kernel, inside, out, squeezes, act, stride in rows:
        kind = nn.Hardswish if act == "HS" else nn.ReLU
        blocks.append(
            Inverted(before, out, kernel, stride, inside, kind, squeeze if squeezes else None)
        )
        before = out
    blocks += [conv(before, 6 * before, act=nn.Hardswish), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    head = [nn.Linear(6 * before, last), nn.Hardswish(), nn.Dropout(), nn.Linear(last, 1000)]
    return nn.Sequential(*blocks, *head)


def mobilenet_v3_large():
    return mobilenet_v3(
        [(3, 16, 16, 0, "RE", 1), (3, 64, 24, 0, "RE", 2), (3, 72, 24, 0, "RE", 1),
         (5, 72, 40, 1, "RE", 2), (5, 120, 40, 1, "RE", 1), (5, 120, 40, 1, "RE", 1),
         (3, 240, 80, 0, "HS", 2), (3, 200, 80, 0, "HS", 1), (3, 184, 80, 0, "HS", 1),
         (3, 184, 80, 0, "HS", 1), (3, 480, 112, 1, "HS", 1), (3, 672, 112, 1, "HS", 1),
         (5, 672, 160, 1, "HS", 2), (5, 960, 160, 1, "HS", 1), (5, 960, 160, 1, "HS", 1)], 1280
    )  # fmt: skip


def mobilenet_v3_small():
    return mobilenet_v3(
        [(3, 16, 16, 1, "RE", 2), (3, 72, 24, 0, "RE", 2), (3, 88, 24, 0, "RE", 1),
         (5, 96, 40, 1, "HS", 2), (5, 240, 40, 1, "HS", 1), (5, 240, 40, 1, "HS", 1),
         (5, 120, 48, 1, "HS", 1), (5, 144, 48, 1, "HS", 1), (5, 288, 96, 1, "HS", 2),
         (5, 576, 96, 1, "HS", 1), (5, 576, 96, 1, "HS", 1)], 1024
    )  # fmt: skip


def efficientnet_b0():
    blocks, before = [conv(3, 32, 3, 2, act=nn.SiLU)], 32
    for t, c, n, s, k in [(1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3),
                          (6, 112, 3, 1, 5), (6, 192, 4, 2, 5), (6, 320, 1, 1, 3)]:  # fmt: skip
        for i in range(n):

            def squeeze(inside, squeezed=before // 4):
                return Squeeze(inside, squeezed, nn.SiLU, nn.Sigmoid)

            stride = s if i == 0 else 1
            blocks.append(Inverted(before, c, k, stride, before * t, nn.SiLU, squeeze))
            before = c
    blocks += [conv(320, 1280, act=nn.SiLU), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout()]
    return nn.Sequential(*blocks, nn.Linear(1280, 1000))


class Attention(nn.Module):
    """Multi-head self-attention; written out, or PyTorch's function."""

    def __init__(self, width, heads, written_out):
        super().__init__()
        self.q, self.k, self.v, self.out = (nn.Linear(width, width) for _ in range(4))
        self.heads, self.written_out = heads, written_out

    def forward(self, x):
        def split(y):
            return y.unflatten(-1, (self.heads, -1)).transpose(1, 2)

        q, k, v = split(self.q(x)), split(self.k(x)), split(self.v(x))
        if self.written_out:
            scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
            y = scores.softmax(-1) @ v
        else:
            y = functional.scaled_dot_product_attention(q, k, v)
        return self.out(y.transpose(1, 2).flatten(2))


class Block(nn.Module):
    def __init__(self, width, heads, inside, *, first, written_out=False):
        super().__init__()
        self.attention = Attention(width, heads, written_out)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, inside), nn.GELU(), nn.Linear(inside, width))
        self.first = first

    def forward(self, x):
        if self.first:
            x = x + self.attention(self.norm1(x))
            return x + self.mlp(self.norm2(x))
        x = self.norm1(x + self.attention(x))
        return self.norm2(x + self.mlp(x))


class ViT(nn.Module):
    def __init__(self, depth=12, width=192, heads=3, patch=16, image=224, written_out=False):
        super().__init__()
        self.patches = nn.Conv2d(3, width, patch, patch)
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.position = nn.Parameter(torch.zeros(1, (image // patch) ** 2 + 1, width))
        self.blocks = nn.Sequential(
            *(Block(width, heads, 4 * width, first=True, written_out=written_out)
              for _ in range(depth))
        )  # fmt: skip
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 1000)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.position
        return self.head(self.norm(self.blocks(x))[:, 0])


class Bert(nn.Module):
    def __init__(self, depth=4, width=512, heads=8, inside=2048):
        super().__init__()
        self.words = nn.Embedding(30522, width)
        self.positions = nn.Embedding(512, width)
        self.segments = nn.Embedding(2, width)
        self.norm = nn.LayerNorm(width)
        self.blocks = nn.Sequential(
            *(Block(width, heads, inside, first=False) for _ in range(depth))
        )
        self.pooler = nn.Linear(width, width)

    def forward(self, words, segments, places):
        x = self.words(words) + self.segments(segments) + self.positions(places)
        return self.pooler(self.blocks(self.norm(x))[:, 0]).tanh()


NETWORKS = {
    "resnet18": lambda: resnet((2, 2, 2, 2), bottleneck=False),
    "resnet50": lambda: resnet((3, 4, 6, 3), bottleneck=True),
    "mobilenet_v2": mobilenet_v2,
    "mobilenet_v3_large": mobilenet_v3_large,
    "mobilenet_v3_small": mobilenet_v3_small,
    "efficientnet_b0": efficientnet_b0,
    "vit_tiny": ViT,
    "bert_small": Bert,
}


def on_no_device(name):
    """A network and its input without any numbers in them."""
    with torch.device("meta"):
        network = NETWORKS[name]().eval()
        ids = torch.zeros(1, 128, dtype=torch.int64)
        return network, (ids, ids, ids) if name == "bert_small" else torch.zeros(1, 3, 224, 224)
