#!/usr/bin/python3
"""models.py DIR NAME...: networks of the published seed models' structure, with random weights.

  r50, r100      as torch exports them: BatchNorm behind convolutions folded, batch free, opset 11
  mbf            MobileFaceNet of twice the width, as torch exports it
  r50_int8, r100_int8   quantised layers of the QOperator form, opset 11, QLinearAdd and QLinearMul of com.microsoft
  r100_mxnet     as MXNet exports it: opset 8, IR 3, no BatchNorm folded, `spatial`, Sub and Mul in the graph
  ir101          a safetensors file with the names of cvlface, and the same network as ONNX
  scrfd_10g      a detector at 320, batch free, nine outputs of rank 3

NAME+inner has five inner tensors as further outputs.  Statistics of the BatchNorms and scales of quantised tensors come from
running one random image through the network, so that numbers stay in the range of real networks.
"""
import json
import struct
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def im2col(x, k, stride, pad):
    c, h, w = x.shape
    x = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
    ho, wo = (h + 2 * pad - k) // stride + 1, (w + 2 * pad - k) // stride + 1
    s0, s1, s2 = x.strides
    view = np.lib.stride_tricks.as_strided(x, (c, k, k, ho, wo), (s0, s1, s2, s1 * stride, s2 * stride))
    return view.reshape(c * k * k, ho * wo), ho, wo


class Builder:
    """Writes nodes and computes, for one image, what they give."""

    def __init__(self, name, opset, ir, shape, seed=1, domains=()):
        self.random = np.random.default_rng(seed)
        self.name, self.opset, self.ir, self.domains = name, opset, ir, domains
        self.nodes, self.constants, self.values = [], {}, {}
        self.inputs, self.outputs, self.inner = [], [], []
        self.count = 0
        self.input_shape = shape

    def constant(self, array, name=None):
        self.count += 1
        name = name or "w%d" % self.count
        self.constants[name] = np.array(array, order="C")
        return name

    def node(self, op, inputs, value, name=None, domain=None, **attributes):
        self.count += 1
        out = name or "t%d" % self.count
        self.nodes.append(helper.make_node(op, inputs, [out], name=op + "_" + out, domain=domain, **attributes))
        self.values[out] = value
        return out

    def normal(self, *shape, scale=1.0):
        return (self.random.standard_normal(shape) * scale).astype(np.float32)

    def conv_value(self, x, w, b, k, stride, pad, group):
        v = self.values[x]
        out = []
        oc = w.shape[0] // group
        ic = v.shape[0] // group
        if group == v.shape[0] and oc == 1:  # depthwise: tap by tap
            p = np.pad(v, ((0, 0), (pad, pad), (pad, pad)))
            ho, wo = (v.shape[1] + 2 * pad - k) // stride + 1, (v.shape[2] + 2 * pad - k) // stride + 1
            y = np.zeros((group, ho, wo), np.float32)
            for i in range(k):
                for j in range(k):
                    y += w[:, 0, i, j, None, None] * p[:, i:i + stride * (ho - 1) + 1:stride, j:j + stride * (wo - 1) + 1:stride]
            return y + (0 if b is None else b[:, None, None])
        for g in range(group):
            columns, ho, wo = im2col(v[g * ic:(g + 1) * ic], k, stride, pad)
            out.append((w[g * oc:(g + 1) * oc].reshape(oc, -1) @ columns).reshape(oc, ho, wo))
        y = np.concatenate(out)
        return y + (0 if b is None else b[:, None, None])

    # ---- float layers

    def weights(self, x, co, k, group, gain):
        ci = self.values[x].shape[0] // group
        return self.normal(co, ci, k, k, scale=gain * np.sqrt(2.0 / (ci * k * k)))

    def conv(self, x, co, k, stride=1, pad=0, group=1, bias=True, gain=1.0, w_name=None):
        w = self.weights(x, co, k, group, gain)
        b = self.normal(co, scale=0.05) if bias else None
        inputs = [x, self.constant(w, w_name)] + ([self.constant(b)] if bias else [])
        return self.node("Conv", inputs, self.conv_value(x, w, b, k, stride, pad, group), kernel_shape=[k, k],
                         strides=[stride, stride], pads=[pad] * 4, group=group, dilations=[1, 1])

    def norm_parameters(self, v):
        """A trained BatchNorm has the statistics of what it sees."""
        axes = tuple(range(1, v.ndim))
        c = v.shape[0]
        mean = v.mean(axis=axes) if v.ndim > 1 else np.zeros(c, np.float32)
        var = v.var(axis=axes) if v.ndim > 1 else np.full(c, v.var(), np.float32)
        return [(1 + 0.1 * self.normal(c)).astype(np.float32), 0.1 * self.normal(c), mean.astype(np.float32),
                (var + 0.01).astype(np.float32)]

    @staticmethod
    def normed(v, parameters, epsilon):
        scale, shift, mean, var = (p.reshape((-1,) + (1,) * (v.ndim - 1)) for p in parameters)
        return ((v - mean) / np.sqrt(var + np.float32(epsilon)) * scale + shift).astype(np.float32)

    def norm(self, x, epsilon=1e-5, names=None, name=None, **attributes):
        v = self.values[x]
        parameters = self.norm_parameters(v)
        inputs = [x] + [self.constant(p, n) for p, n in zip(parameters, names or [None] * 4)]
        return self.node("BatchNormalization", inputs, self.normed(v, parameters, epsilon), name=name, epsilon=epsilon,
                         **attributes)

    def prelu(self, x, flat=False, w_name=None):
        v = self.values[x]
        slope = (0.25 + 0.05 * self.normal(v.shape[0])).astype(np.float32)
        given = slope if flat else slope.reshape(-1, 1, 1)
        return self.node("PRelu", [x, self.constant(given, w_name)], np.where(v < 0, v * slope.reshape(-1, 1, 1), v))

    def relu(self, x):
        return self.node("Relu", [x], np.maximum(self.values[x], 0))

    def add(self, a, b, name=None):
        return self.node("Add", [a, b], self.values[a] + self.values[b], name=name)

    def flatten(self, x):
        return self.node("Flatten", [x], self.values[x].reshape(-1), axis=1)

    def linear(self, x, n, names=(None, None)):
        k = self.values[x].shape[0]
        w, b = self.normal(n, k, scale=np.sqrt(1.0 / k)), self.normal(n, scale=0.01)
        return self.node("Gemm", [x, self.constant(w, names[0]), self.constant(b, names[1])], w @ self.values[x] + b,
                         transB=1)

    # ---- saving

    def save(self, folder, inner=False):
        made = []
        free = ["N"] + list(self.input_shape)
        for name in self.inputs:
            made.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, free))
        tensors = [numpy_helper.from_array(a, n) for n, a in self.constants.items()]
        if self.ir < 4:  # old files list their weights as inputs too
            made += [helper.make_tensor_value_info(t.name, t.data_type, list(t.dims)) for t in tensors]
        names = self.outputs + (self.pick_inner() if inner else [])
        kinds = {np.dtype("float32"): TensorProto.FLOAT, np.dtype("uint8"): TensorProto.UINT8}
        outputs = [helper.make_tensor_value_info(n, kinds[self.values[n].dtype], None) for n in names]
        graph = helper.make_graph(self.nodes, self.name, made, outputs, tensors)
        imports = [helper.make_opsetid("", self.opset)] + [helper.make_opsetid(d, 1) for d in self.domains]
        model = helper.make_model(graph, opset_imports=imports, producer_name="models.py")
        model.ir_version = self.ir
        onnx.save(model, "%s/%s%s.onnx" % (folder, self.name, "+inner" if inner else ""))

    def pick_inner(self):
        """Five of the recorded tensors, evenly spread."""
        n = len(self.inner)
        return [self.inner[i * (n - 1) // 4] for i in range(5)]


BLOCKS = {"r50": (3, 4, 14, 3), "r100": (3, 13, 30, 3)}


def image(builder, name="data", low=-1.0, high=1.0):
    builder.inputs.append(name)
    builder.values[name] = builder.random.uniform(low, high, builder.input_shape).astype(np.float32)
    return name


def iresnet(name, blocks):
    g = Builder(name, 11, 6, (3, 112, 112))
    x = g.prelu(g.conv(image(g, "input.1"), 64, 3, 1, 1))
    for n, c in zip(blocks, (64, 128, 256, 512)):
        for block in range(n):
            stride = 2 if block == 0 else 1
            y = g.prelu(g.conv(g.norm(x), c, 3, 1, 1))
            y = g.conv(y, c, 3, stride, 1, gain=0.5)
            x = g.add(y, g.conv(x, c, 1, 2) if block == 0 else x)
            g.inner.append(x)
    x = g.norm(g.linear(g.flatten(g.norm(x)), 512))
    g.outputs = [x]
    return g


def iresnet_mxnet():
    g = Builder("r100_mxnet", 8, 3, (3, 112, 112))
    data = image(g, low=0, high=255)
    scalar = lambda v, n: g.constant(np.array([v], np.float32), n)
    x = g.node("Identity", [data], g.values[data], name="id")
    x = g.node("Sub", [x, scalar(127.5, "scalar_op1")], g.values[x] - np.float32(127.5), name="_minusscalar0")
    x = g.node("Mul", [x, scalar(0.0078125, "scalar_op2")], g.values[x] * np.float32(0.0078125), name="_mulscalar0")
    norm = lambda x: g.norm(x, 2e-5, momentum=0.9, spatial=1)
    x = g.prelu(norm(g.conv(x, 64, 3, 1, 1, bias=False)))
    for n, c in zip(BLOCKS["r100"], (64, 128, 256, 512)):
        for block in range(n):
            stride = 2 if block == 0 else 1
            y = g.prelu(norm(g.conv(norm(x), c, 3, 1, 1, bias=False)))
            y = norm(g.conv(y, c, 3, stride, 1, bias=False))
            x = g.add(y, norm(g.conv(x, c, 1, 2, bias=False)) if block == 0 else x)
            g.inner.append(x)
    x = norm(x)
    x = g.node("Dropout", [x], g.values[x], ratio=0.4)
    g.constant(np.array([0, -1], np.int64), "flat_shape")
    x = g.node("Reshape", [x, "flat_shape"], g.values[x].reshape(-1))
    x = g.norm(g.linear(x, 512), 2e-5, name="fc1", momentum=0.9, spatial=1)
    g.outputs = [x]
    return g


def mobilefacenet():
    g = Builder("mbf", 11, 6, (3, 112, 112))

    def unit(x, c, k, stride=1, pad=0, group=1):
        return g.prelu(g.conv(x, c, k, stride, pad, group))

    def depth_wise(x, c, inner, stride, residual):
        y = g.conv(unit(unit(x, inner, 1), inner, 3, stride, 1, inner), c, 1)
        x = g.add(x, y) if residual else y
        g.inner.append(x)
        return x

    x = unit(unit(image(g, "input.1"), 128, 3, 2, 1), 128, 3, 1, 1, 64)
    for c, inner, n, residual_inner in ((128, 128, 4, 128), (256, 256, 6, 256), (256, 512, 2, 256)):
        x = depth_wise(x, c, inner, 2, False)
        for _ in range(n):
            x = depth_wise(x, c, residual_inner, 1, True)
    x = g.conv(unit(x, 512, 1), 512, 7, 1, 0, 512)
    x = g.norm(g.linear(g.flatten(x), 512))
    g.outputs = [x]
    return g


def ir101(folder):
    """
    cvlface's names: BatchNorms apart, biases of convolutions none, slopes as vectors.  The sum behind a block is called as the
    block, as core/train/build.h calls it.
    """
    g = Builder("ir101", 13, 7, (3, 112, 112))
    state = {}

    def norm(x, path):
        names = ["%s.%s" % (path, n) for n in ("weight", "bias", "running_mean", "running_var")]
        return g.norm(x, names=names)

    def conv(x, path, *args, **kwargs):
        return g.conv(x, *args, bias=False, w_name=path + ".weight", **kwargs)

    x = norm(conv(image(g, "input"), "conv1", 64, 3, 1, 1), "bn1")
    x = g.prelu(x, w_name="prelu.weight")
    for layer, (n, c) in enumerate(zip(BLOCKS["r100"], (64, 128, 256, 512)), 1):
        for block in range(n):
            path, stride = "layer%d.%d" % (layer, block), 2 if block == 0 else 1
            y = norm(conv(norm(x, path + ".bn1"), path + ".conv1", c, 3, 1, 1), path + ".bn2")
            y = g.prelu(y, w_name=path + ".prelu.weight")
            y = norm(conv(y, path + ".conv2", c, 3, stride, 1), path + ".bn3")
            if block == 0:
                x = norm(conv(x, path + ".downsample.0", c, 1, 2), path + ".downsample.1")
            x = g.add(y, x, path)
            g.inner.append(x)
    x = g.linear(g.flatten(norm(x, "bn2")), 512, ("fc.weight", "fc.bias"))
    g.outputs = [norm(x, "features")]
    for name, array in g.constants.items():
        state["model.net." + name] = array.reshape(-1) if ".prelu." in "." + name else array
        if name.endswith("running_var"):
            state["model.net." + name.replace("running_var", "num_batches_tracked")] = np.array(7, np.int64)
    header, at = {}, 0
    for name, array in state.items():
        kind = "I64" if array.dtype == np.int64 else "F32"
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [at, at + array.nbytes]}
        at += array.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(folder + "/ir101.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for array in state.values():
            file.write(array.tobytes())
    return g


def scrfd_10g():
    g = Builder("scrfd_10g", 11, 6, (3, 320, 320))

    def unit(x, c, k=3, stride=1, pad=1):
        return g.relu(g.conv(x, c, k, stride, pad))

    def resize(x):
        v = g.values[x]
        g.constant(np.array([], np.float32), "none") if "none" not in g.constants else None
        g.constant(np.array([1, 1, 2, 2], np.float32), "twice") if "twice" not in g.constants else None
        return g.node("Resize", [x, "none", "twice"], v.repeat(2, 1).repeat(2, 2), mode="nearest",
                      nearest_mode="floor", coordinate_transformation_mode="asymmetric")

    def pool(x, op, **attributes):
        v = g.values[x]
        c, h, w = v.shape
        v = v.reshape(c, h // 2, 2, w // 2, 2)
        return g.node(op, [x], v.max((2, 4)) if op == "MaxPool" else v.mean((2, 4)), kernel_shape=[2, 2],
                      strides=[2, 2], pads=[0] * 4, **attributes)

    x = image(g, "input.1")
    for c, stride in ((28, 2), (28, 1), (56, 1)):
        x = unit(x, c, 3, stride)
    x = pool(x, "MaxPool")
    levels = []
    for stage, (n, c) in enumerate(zip((3, 4, 2, 3), (56, 88, 88, 224))):
        for block in range(n):
            stride = 2 if block == 0 and stage > 0 else 1
            y = g.conv(unit(x, c, 3, stride), c, 3, 1, 1, gain=0.5)
            if block == 0 and (stride == 2 or g.values[x].shape[0] != c):
                x = pool(x, "AveragePool", ceil_mode=1) if stride == 2 else x
                x = g.conv(x, c, 1)
            x = g.relu(g.add(y, x))
            g.inner.append(x)
        levels.append(x)
    levels = [g.conv(x, 56, 1) for x in levels[1:]]
    for i in (1, 0):
        levels[i] = g.add(levels[i], resize(levels[i + 1]))
    levels = [g.conv(x, 56, 3, 1, 1) for x in levels]
    for i in (0, 1):
        levels[i + 1] = g.add(levels[i + 1], g.conv(levels[i], 56, 3, 2, 1))
    levels = [levels[0]] + [g.conv(x, 56, 3, 1, 1) for x in levels[1:]]
    outputs = {"score": [], "bbox": [], "kps": []}
    for x, stride in zip(levels, (8, 16, 32)):
        for _ in range(3):
            x = unit(x, 80)
        g.inner.append(x)
        for kind, width in (("score", 1), ("bbox", 4), ("kps", 10)):
            y = g.conv(x, 2 * width, 3, 1, 1, gain=0.3)
            v = g.values[y]
            if kind == "bbox":
                factor = g.constant(np.array(0.8, np.float32))
                y = g.node("Mul", [y, factor], v * np.float32(0.8))
            y = g.node("Transpose", [y], g.values[y].transpose(1, 2, 0), perm=[0, 2, 3, 1])
            target = "rows%d" % width
            g.constant(np.array([0, -1, width], np.int64), target) if target not in g.constants else None
            name = None if kind == "score" else "%s_%d" % (kind, stride)
            y = g.node("Reshape", [y, target], g.values[y].reshape(-1, width), name=name)
            if kind == "score":
                y = g.node("Sigmoid", [y], 1 / (1 + np.exp(-g.values[y])), name="score_%d" % stride)
            outputs[kind].append(y)
    g.outputs = outputs["score"] + outputs["bbox"] + outputs["kps"]
    return g


class Quantised(Builder):
    """Adds layers of the QOperator form: bytes between layers, floats only inside BatchNorm and PRelu."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, domains=["com.microsoft"], **kwargs)
        self.scales = {}  # of a tensor of bytes: names of scale and zero point, and their values
        self.floats = {}  # what it stands for

    def choose(self, v):
        low, high = min(float(v.min()), 0.0), max(float(v.max()), 0.0)
        scale = np.float32((high - low) / 255 or 1)
        zero = np.uint8(np.clip(np.rint(-low / scale), 0, 255))
        return self.constant(scale), self.constant(zero), scale, zero

    def emit(self, op, inputs, v, domain=None, quantiser=None, **attributes):
        """A node whose output is bytes that stand for v."""
        q = quantiser or self.choose(v)
        byte = np.clip(np.rint(v / q[2]) + q[3], 0, 255).astype(np.uint8)
        out = self.node(op, inputs + [q[0], q[1]], byte, domain=domain, **attributes)
        self.scales[out] = q
        self.floats[out] = ((byte.astype(np.float32) - q[3]) * q[2]).astype(np.float32)
        return out

    def quantise(self, x):
        return self.emit("QuantizeLinear", [x], self.values[x])

    def dequantise(self, x):
        q = self.scales[x]
        return self.node("DequantizeLinear", [x, q[0], q[1]], self.floats[x])

    def quantised_weights(self, w):
        scale = (np.abs(w).reshape(w.shape[0], -1).max(axis=1) / 127).astype(np.float32)
        byte = np.clip(np.rint(w / scale.reshape((-1,) + (1,) * (w.ndim - 1))), -127, 127).astype(np.int8)
        return byte, scale

    def qconv(self, x, co, k, stride=1, pad=0, gain=1.0):
        q = self.scales[x]
        self.values["float"] = self.floats[x]
        w, b = self.weights("float", co, k, 1, gain), self.normal(co, scale=0.05)
        byte, scale = self.quantised_weights(w)
        bias = np.rint(b / (scale * q[2])).astype(np.int32)
        v = self.conv_value("float", byte * scale.reshape(-1, 1, 1, 1), bias * scale * q[2], k, stride, pad, 1)
        y = self.choose(v)
        inputs = [x, q[0], q[1], self.constant(byte), self.constant(scale), self.constant(np.zeros(co, np.int8)), y[0], y[1],
                  self.constant(bias)]
        byte_y = np.clip(np.rint(v / y[2]) + y[3], 0, 255).astype(np.uint8)
        out = self.node("QLinearConv", inputs, byte_y, kernel_shape=[k, k], strides=[stride, stride], pads=[pad] * 4,
                        group=1, dilations=[1, 1])
        self.scales[out] = y
        self.floats[out] = ((byte_y.astype(np.float32) - y[3]) * y[2]).astype(np.float32)
        return out

    def qsum(self, op, a, b):
        inputs = []
        for x in (a, b):
            inputs += [x, self.scales[x][0], self.scales[x][1]]
        v = self.floats[a] + self.floats[b] if op == "QLinearAdd" else self.floats[a] * self.floats[b]
        return self.emit(op, inputs, v, domain="com.microsoft")

    def qconstant(self, v):
        """A constant of bytes that stands for v."""
        v = np.asarray(v, np.float32)
        q = self.choose(v)
        byte = np.clip(np.rint(v / q[2]) + q[3], 0, 255).astype(np.uint8)
        name = self.constant(byte)
        self.scales[name], self.floats[name] = q, (byte.astype(np.float32) - q[3]) * q[2]
        return name

    def qprelu(self, x):
        return self.quantise(self.prelu(self.dequantise(x)))

    def qnorm(self, x):
        return self.quantise(self.norm(self.dequantise(x), 2e-5))

    def qmatmul(self, x, n):
        q = self.scales[x]
        k = self.floats[x].shape[0]
        w = self.normal(k, n, scale=np.sqrt(1.0 / k))
        scale = np.float32(np.abs(w).max() / 127)
        byte = np.clip(np.rint(w / scale), -127, 127).astype(np.int8)
        v = self.floats[x] @ (byte * scale)
        return self.emit("QLinearMatMul", [x, q[0], q[1], self.constant(byte), self.constant(scale),
                                           self.constant(np.int8(0))], v)


def iresnet_int8(name, blocks):
    g = Quantised(name, 11, 6, (3, 112, 112))
    data = image(g, low=0, high=255)
    x = g.node("Sub", [data, g.constant(np.array([127.5], np.float32))], g.values[data] - np.float32(127.5))
    x = g.qsum("QLinearMul", g.quantise(x), g.qconstant([0.0078125]))
    x = g.qprelu(g.qconv(x, 64, 3, 1, 1))
    for n, c in zip(blocks, (64, 128, 256, 512)):
        for block in range(n):
            stride = 2 if block == 0 else 1
            y = g.qprelu(g.qconv(g.qnorm(x), c, 3, 1, 1))
            y = g.qconv(y, c, 3, stride, 1, gain=0.5)
            x = g.qsum("QLinearAdd", y, g.qconv(x, c, 1, 2) if block == 0 else x)
            g.inner.append(x)
    x = g.quantise(g.flatten(g.norm(g.dequantise(x), 2e-5)))
    x = g.qsum("QLinearAdd", g.qmatmul(x, 512), g.qconstant(g.normal(512, scale=0.01)))
    x = g.norm(g.dequantise(x), 2e-5, name="fc1")
    g.outputs = [x]
    return g


def make(folder, name):
    base, _, inner = name.partition("+")
    if base in BLOCKS:
        g = iresnet(base, BLOCKS[base])
    elif base.endswith("_int8"):
        g = iresnet_int8(base, BLOCKS[base[:-5]])
    else:
        g = {"mbf": mobilefacenet, "r100_mxnet": iresnet_mxnet, "scrfd_10g": scrfd_10g,
             "ir101": lambda: ir101(folder)}[base]()
    g.save(folder, inner == "inner")


if __name__ == "__main__":
    for wanted in sys.argv[2:]:
        make(sys.argv[1], wanted)
