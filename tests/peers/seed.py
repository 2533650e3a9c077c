#!/usr/bin/python3
"""seed.py FOLDER [NAME...]: files of the published seed models' structure give the numbers that ONNX Runtime gives.

At batch 1 and 8; raw outputs and five inner tensors, largest difference over the root mean square ≤ 1e-4; of a safetensors file,
against the same weights as ONNX.  Of the quantised ones each integer layer gives the same bytes on the inputs that ONNX
Runtime gave it, and embeddings have a cosine of at least .998.

NAME: one of SEEDS, or layers, or layers of one quantised network (r100_int8:layers).
"""
import os
import sys

import numpy as np

from common import model, ours, theirs

TOLERANCE = 1e-4
COSINE = 0.998
# name: side, span of the input
SEEDS = {
    "r50": (112, (-1, 1)),
    "r100": (112, (-1, 1)),
    "r100_mxnet": (112, (0, 255)),
    "r100_int8": (112, (0, 255)),
    "ir101": (112, (-1, 1)),
    "scrfd_10g": (320, (-1, 1)),
}
QUANTISED = ("r50_int8", "r100_int8")
AT_ONCE = 60  # layers in one file
TYPES = {"float32": np.float32, "uint8": np.uint8}


def read(path, output):
    kind = np.dtype(TYPES[output["type"]])
    return np.fromfile(path, kind).reshape(output["shape"])


def unlink(path):
    if os.path.exists(path):
        os.unlink(path)


def cosine(a, b):
    a, b = a.astype(np.float64), b.astype(np.float64)
    return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))


def judge(name, output, index, x, y):
    """True if output `index` of the file passes, and what to say about it."""
    if name.endswith("_int8"):
        if y.dtype == np.uint8:
            differ = (x != y).mean()
            far = int(np.abs(x.astype(int) - y.astype(int)).max())
            return True, "%.4f %% of the bytes differ, by %d at most" % (100 * differ, far)
        worst = min(cosine(x[i], y[i]) for i in range(len(x)))
        return worst >= COSINE, "cosine %.6f" % worst
    error = float(np.abs(x.astype(np.float64) - y).max() / np.sqrt((x.astype(np.float64) ** 2).mean()))
    return error <= TOLERANCE, "largest difference / rms %.2e" % error


def say(good, name, batch, what, text):
    print("%s %-22s batch %d  %-12s %s" % ("ok    " if good else "FAILED", name, batch, what, text), flush=True)
    return not good


def check(folder, name, batch, file, ours_file=None, label=""):
    side, span = SEEDS[name]
    dumps = [folder + "/dump.a", folder + "/dump.b"]
    b = theirs(folder, file, batch, 2, side, span, dumps[1])
    b.end()
    outputs = b.ready["outputs"]
    # Inner tensors are outputs of the ONNX file; a safetensors file has none, but its values have the same names.
    inner = "" if ours_file is None else "".join("," + o["name"] for o in outputs[1:])
    a = ours(folder, ours_file or file, batch, 1, side, span, dumps[0] + inner)
    a.end()
    failed = 0
    for i, output in enumerate(outputs):
        x, y = (read("%s.%d" % (dumps[k], i), output) for k in (1, 0))
        good, text = judge(name, output, i, x, y)
        failed += say(good, label or name, batch, output["name"], text)
    for i in range(len(outputs)):
        unlink("%s.%d" % (dumps[0], i))
        unlink("%s.%d" % (dumps[1], i))
    return failed


def their_values(folder, source, names, batch):
    """What ONNX Runtime computes for these values of bytes of a network."""
    from onnx import TensorProto, helper, save
    del source.graph.output[:]
    source.graph.output.extend(helper.make_tensor_value_info(n, TensorProto.UINT8, None) for n in names)
    save(source, folder + "/whole.onnx")
    worker = theirs(folder, folder + "/whole.onnx", batch, 2, 112, (0, 255), folder + "/dump.b")
    worker.end()
    values = {}
    for i, output in enumerate(worker.ready["outputs"]):
        values[output["name"]] = read("%s/dump.b.%d" % (folder, i), output)
        unlink("%s/dump.b.%d" % (folder, i))
    return values


def layers_file(path, source, layers, values):
    """One file with all these layers, each apart from the others; their inputs are constants of the file."""
    from onnx import NodeProto, TensorProto, helper, numpy_helper, save
    known = {i.name: i for i in source.graph.initializer}
    # A layer whose inputs are all constants would be folded: the image's sum with nothing keeps them apart.
    nodes = [helper.make_node("ReduceMean", ["input.1"], ["mean"], axes=[1, 2, 3], keepdims=1),
             helper.make_node("Mul", ["mean", "zero_f"], ["nothing"]),
             helper.make_node("QuantizeLinear", ["nothing", "one_f", "zero_u"], ["nothing_4"]),
             helper.make_node("Flatten", ["nothing_4"], ["nothing_2"], axis=1)]
    constants = {n: known[n] for layer in layers for n in layer.input if n in known}
    tensors = [numpy_helper.from_array(np.float32(0), "zero_f"), numpy_helper.from_array(np.float32(1), "one_f"),
               numpy_helper.from_array(np.uint8(0), "zero_u")] + list(constants.values())
    apart, inputs = [], {}
    for layer in layers:
        copy = NodeProto()
        copy.CopyFrom(layer)
        for k, name in enumerate(layer.input):
            if name not in known:
                inputs["in_" + name] = values[name]
                copy.input[k] = "in_" + name
        apart.append(copy)
    for name, value in inputs.items():
        tensors.append(numpy_helper.from_array(value, name + "_c"))
        nodes.append(helper.make_node("QLinearAdd", [name + "_c", "one_f", "zero_u", "nothing_%d" % value.ndim, "one_f", "zero_u",
                                                     "one_f", "zero_u"], [name], domain="com.microsoft"))
    outputs = [helper.make_tensor_value_info(layer.output[0], TensorProto.UINT8, None) for layer in layers]
    image = helper.make_tensor_value_info("input.1", TensorProto.FLOAT, ["N", 3, 112, 112])
    made = helper.make_model(helper.make_graph(nodes + apart, "layers", [image], outputs, tensors),
                             opset_imports=source.opset_import)
    made.ir_version = 6
    save(made, path)


def layers_exact(folder, name, batch):
    """Integer layers, each on the inputs that ONNX Runtime gave it: equal byte by byte."""
    import onnx
    source = onnx.load(model(folder, name))
    known = {i.name for i in source.graph.initializer}
    quantised = [n for n in source.graph.node if n.op_type.startswith("QLinear")]
    failed = 0
    for first in range(0, len(quantised), AT_ONCE):
        layers = quantised[first:first + AT_ONCE]
        wanted = set(n for layer in layers for n in layer.input if n not in known) | set(n.output[0] for n in layers)
        values = their_values(folder, source, sorted(wanted), batch)
        layers_file(folder + "/layers.onnx", source, layers, values)
        ours(folder, folder + "/layers.onnx", batch, 1, 112, (0, 255), folder + "/dump.a").end()
        wrong = 0
        for i, layer in enumerate(layers):
            x = values[layer.output[0]]
            y = np.fromfile("%s/dump.a.%d" % (folder, i), np.uint8).reshape(x.shape)
            unlink("%s/dump.a.%d" % (folder, i))
            differ = int((x != y).sum())
            if differ:
                wrong += say(False, name, batch, layer.output[0],
                             "%s: %d of %d bytes differ" % (layer.op_type, differ, x.size))
        say(not wrong, name, batch, "", "integer layers %d to %d of %d, each on the same inputs: %s" % (
            first, first + len(layers) - 1, len(quantised), "%d differ" % wrong if wrong else "bytes equal"))
        failed += wrong
    return failed


def main():
    folder, wanted = sys.argv[1], sys.argv[2:]
    failed = 0
    known = ["layers"] + [name + ":layers" for name in QUANTISED] + list(SEEDS)
    if not set(wanted) <= set(known):
        sys.exit("SEED_ONLY: each word is one of %s" % ", ".join(known))
    for name in QUANTISED:
        for batch in (1, 8):
            if not wanted or "layers" in wanted or name + ":layers" in wanted:
                failed += layers_exact(folder, name, batch)
    for name in SEEDS:
        if wanted and name not in wanted:
            continue
        file = model(folder, name + "+inner")
        for batch in (1, 8):
            failed += check(folder, name, batch, file)
            if name == "ir101":
                failed += check(folder, name, batch, file, folder + "/ir101.safetensors", "ir101.safetensors")
    print("%d comparisons failed" % failed)
    sys.exit(1 if failed else 0)


main()
