#!/usr/bin/python3
"""
layer.py FILE COUNT FORM IN OUT SIDE KERNEL STRIDE GROUPS: COUNT equal layers, each of the same input, added up.

FORM is fp32, a convolution with PRelu; int8, the same as quantised files have it; fc, a product with all of the image.
"""
import os
import sys

from models import Builder, Quantised, image


def floats(count, ci, co, side, kernel, stride, groups):
    g = Builder("layer", 11, 6, (3, side, side))
    x = image(g, "input.1")
    x = x if ci == 3 else g.conv(x, ci, 1)
    return g, [g.prelu(g.conv(x, co, kernel, stride, kernel // 2, groups)) for _ in range(count)], g.add


def products(count, ci, co, side, *_):
    g = Builder("layer", 11, 6, (3, side, side))
    x = g.flatten(g.conv(image(g, "input.1"), ci, 1))
    return g, [g.linear(x, co) for _ in range(count)], g.add


def bytes_(count, ci, co, side, kernel, stride, *_):
    g = Quantised("layer", 11, 6, (3, side, side))
    x = g.qconv(g.quantise(image(g, "input.1")), ci, 1)
    layers = [g.qprelu(g.qconv(x, co, kernel, stride, kernel // 2)) for _ in range(count)]
    return g, layers, lambda a, b: g.qsum("QLinearAdd", a, b)


path, count, form = sys.argv[1], int(sys.argv[2]), sys.argv[3]
g, layers, add = {"fp32": floats, "fc": products, "int8": bytes_}[form](count, *(int(v) for v in sys.argv[4:]))
total = layers[0]
for y in layers[1:]:
    total = add(total, y)
g.outputs = [g.dequantise(total) if form == "int8" else total]
folder = path.rsplit("/", 1)[0]
g.save(folder)
os.rename(folder + "/layer.onnx", path)
