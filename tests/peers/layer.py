#!/usr/bin/python3
"""layer.py FILE IN OUT SIDE KERNEL STRIDE GROUPS: eight equal convolutions, each of the same input, added up."""
import sys

import onnx
from models import Builder, image

path = sys.argv[1]
ci, co, side, kernel, stride, groups = (int(v) for v in sys.argv[2:])
g = Builder("layer", 11, 6, (3, side, side))
x = image(g, "input.1")
if ci != 3:
    x = g.conv(x, ci, 1)
total = None
for _ in range(8):
    y = g.prelu(g.conv(x, co, kernel, stride, kernel // 2, groups))
    total = y if total is None else g.add(total, y)
g.outputs = [total]
g.save(path.rsplit("/", 1)[0])
import os
os.rename(path.rsplit("/", 1)[0] + "/layer.onnx", path)
