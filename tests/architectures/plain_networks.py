"""The networks for images once more, written down step by step, to compare with.

Module names are those of the papers' tables, not of ours; every concatenation, interpolation and
unpooling is made as the text says, by the plainest means.
"""

import torch
from torch import nn
from torch.nn import functional as F


def conv(a, b):
    return nn.Sequential(nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU())


def att(c, m, o):
    return nn.Sequential(
        nn.Conv2d(c, m, 1), nn.BatchNorm2d(m), nn.ReLU(), nn.Conv2d(m, o, 1), nn.BatchNorm2d(o),
        nn.Sigmoid(),
    )  # fmt: skip


def unpool(x, places):
    b, c, h, w = x.shape
    flat = torch.zeros(b, c, 4 * h * w, dtype=x.dtype)
    return flat.scatter(2, places.flatten(2), x.flatten(2)).view(b, c, 2 * h, 2 * w)


def head(c, k):
    return nn.Sequential(nn.Conv2d(c, c, 3, padding=1), nn.Conv2d(c, k, 1))


class PlainMTAN(nn.Module):
    """f: channels of the five levels; heads: task -> output channels."""

    def __init__(self, f, heads):
        super().__init__()
        a, b, c, d, e = f
        blocks, sequence = nn.ModuleList, nn.Sequential
        self.encoder_block = blocks([conv(3, a), conv(a, b), conv(b, c), conv(c, d), conv(d, e)])
        self.conv_block_enc = blocks(
            [
                sequence(conv(a, a)),
                sequence(conv(b, b)),
                sequence(conv(c, c), conv(c, c)),
                sequence(conv(d, d), conv(d, d)),
                sequence(conv(e, e), conv(e, e)),
            ]
        )
        self.decoder_block = blocks([conv(a, a), conv(b, a), conv(c, b), conv(d, c), conv(e, d)])
        self.conv_block_dec = blocks(
            [
                sequence(conv(a, a)),
                sequence(conv(a, a)),
                sequence(conv(b, b), conv(b, b)),
                sequence(conv(c, c), conv(c, c)),
                sequence(conv(d, d), conv(d, d)),
            ]
        )
        self.encoder_block_att = blocks(
            [conv(a, b), conv(b, c), conv(c, d), conv(d, e), conv(e, e)]
        )
        self.decoder_block_att = blocks(
            [conv(a, a), conv(b, a), conv(c, b), conv(d, c), conv(e, d)]
        )
        self.encoder_att = nn.ModuleDict(
            {
                task: blocks(
                    [att(a, a, a), *(att(2 * x, x, x) for x in (b, c, d)), att(2 * e, e, e)]
                )
                for task in heads
            }
        )
        self.decoder_att = nn.ModuleDict(
            {
                task: blocks(
                    [
                        att(a + a, a, a),
                        att(b + a, a, a),
                        att(c + b, b, b),
                        att(d + c, c, c),
                        att(e + d, d, d),
                    ]
                )
                for task in heads
            }
        )
        self.pred = nn.ModuleDict({task: head(a, k) for task, k in heads.items()})

    def trunk(self, x):
        e0, e1, u, d1, idx = {}, {}, {}, {}, {}
        for level in range(5):
            e0[level] = self.encoder_block[level](x)
            e1[level] = self.conv_block_enc[level](e0[level])
            x, idx[level] = F.max_pool2d(e1[level], 2, return_indices=True)
        for level in (4, 3, 2, 1, 0):
            u[level] = unpool(x, idx[level])
            x = d1[level] = self.conv_block_dec[level](self.decoder_block[level](u[level]))
        return e0, e1, u, d1

    def forward(self, x):
        e0, e1, u, d1 = self.trunk(x)
        out = {}
        for task in self.pred:
            for level in range(5):
                source = e0[0] if level == 0 else torch.cat([e0[level], a], dim=1)  # noqa: F821
                mask = self.encoder_att[task][level](source)
                a = F.max_pool2d(self.encoder_block_att[level](mask * e1[level]), 2)
            for level in (4, 3, 2, 1, 0):
                a = F.interpolate(a, scale_factor=2, mode="bilinear", align_corners=True)
                a = self.decoder_block_att[level](a)
                mask = self.decoder_att[task][level](torch.cat([u[level], a], dim=1))
                a = mask * d1[level]
            out[task] = activate(task, self.pred[task](a))
        return out


def activate(task, x):
    if task == "segmentation":
        return x - x.exp().sum(dim=1, keepdim=True).log()
    if task == "normal":
        return x / x.square().sum(dim=1, keepdim=True).sqrt()
    return x


ATTENTION_LAYERS = {"reduce": "0", "reduce_norm": "1", "mask": "3", "mask_norm": "4"}


def mtan_name(name):
    """Return the name in PlainMTAN of a parameter or buffer of ours."""
    parts = name.split(".")
    if parts[0] == "trunk":
        table = {
            "encoder_first": "encoder_block",
            "encoder_second": "conv_block_enc",
            "decoder_first": "decoder_block",
            "decoder_second": "conv_block_dec",
        }
        return ".".join([table[parts[1]], *parts[2:]])
    if parts[0] == "attention":
        _, task, side, level, layer, leaf = parts
        return f"{side}_att.{task}.{level}.{ATTENTION_LAYERS[layer]}.{leaf}"
    table = {
        "heads": "pred",
        "encoder_mix": "encoder_block_att",
        "decoder_mix": "decoder_block_att",
    }
    return ".".join([table[parts[0]], *parts[1:]])


DILATED = [
    # stage, blocks as (stride, dilation) of the 3x3 convolution
    ("layer1", [(1, 1), (1, 1), (1, 1)]),
    ("layer2", [(2, 1), (1, 1), (1, 1), (1, 1)]),
    ("layer3", [(1, 1), (1, 2), (1, 2), (1, 2), (1, 2), (1, 2)]),
    ("layer4", [(1, 2), (1, 4), (1, 4)]),
]


def norm(state, name, x):
    weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
    return F.batch_norm(x, None, None, weight, bias, training=True)


def plain_resnet(state, x):
    """Return the features of the dilated ResNet-50 in training mode, from parameters by name."""
    x = norm(state, "bn1", F.conv2d(x, state["conv1.weight"], stride=2, padding=3)).relu()
    x = F.max_pool2d(x, 3, stride=2, padding=1)
    for stage, blocks in DILATED:
        for number, (stride, dilation) in enumerate(blocks):
            at = f"{stage}.{number}"
            y = norm(state, f"{at}.bn1", F.conv2d(x, state[f"{at}.conv1.weight"])).relu()
            y = F.conv2d(y, state[f"{at}.conv2.weight"], None, stride, dilation, dilation)
            y = norm(state, f"{at}.bn2", y).relu()
            y = norm(state, f"{at}.bn3", F.conv2d(y, state[f"{at}.conv3.weight"]))
            if number == 0:
                x = F.conv2d(x, state[f"{at}.downsample.0.weight"], stride=stride)
                x = norm(state, f"{at}.downsample.1", x)
            x = (x + y).relu()
    return x


def plain_pyramid_head(state, x):
    """Return one task's prediction in training mode, from parameters by name."""
    parts = [x]
    for number, cells in enumerate((1, 2, 3, 6)):
        y = F.conv2d(F.adaptive_avg_pool2d(x, cells), state[f"branches.{number}.0.weight"])
        y = norm(state, f"branches.{number}.1", y).relu()
        parts.append(F.interpolate(y, size=x.shape[2:], mode="bilinear", align_corners=False))
    y = F.conv2d(torch.cat(parts, dim=1), state["join.weight"], padding=1)
    y = norm(state, "norm", y).relu()
    return F.conv2d(y, state["output.weight"], state["output.bias"])
