#!/usr/bin/python3
"""seed.py FOLDER [NAME...]: files of the published seed models' structure give the numbers that ONNX Runtime gives.

At batch 1 and 8; raw outputs and five inner tensors, largest difference over the root mean square ≤ 1e-4.  Of the quantised one
the bytes of its first layers are equal, and embeddings have a cosine of at least .998.
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


def check(folder, name, batch, file, ours_file=None, label=""):
    side, span = SEEDS[name.partition("+")[0].partition("-")[0]]
    dumps = [folder + "/dump.a", folder + "/dump.b"]
    a = ours(folder, ours_file or file, batch, 1, side, span, dumps[0])
    a.end()
    b = theirs(folder, file, batch, 2, side, span, dumps[1])
    b.end()
    outputs = b.ready["outputs"]
    failed = 0
    for i, output in enumerate(outputs):
        if ours_file is not None and i > 0:
            break  # a safetensors file has no inner outputs
        x, y = (read("%s.%d" % (dumps[k], i), output) for k in (1, 0))
        good, text = judge(name, output, i, x, y)
        failed += not good
        print("%s %-22s batch %d  %-12s %s" % ("ok    " if good else "FAILED", label or name, batch, output["name"], text),
              flush=True)
    for i in range(len(outputs)):
        unlink("%s.%d" % (dumps[0], i))
        unlink("%s.%d" % (dumps[1], i))
    return failed


def layers_exact(folder):
    """Integer layers, each on the inputs that ONNX Runtime gave it: equal byte by byte."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper
    source = onnx.load(model(folder, "r50_int8"))
    graph = source.graph
    quantised = [n for n in graph.node if n.op_type.startswith("QLinear")]
    probe = [n.output[0] for n in quantised]
    failed = 0
    for first in range(0, len(probe), 60):
        names = probe[first:first + 60]
        wanted = set(n for q in quantised[first:first + 60] for n in q.input if n not in {i.name for i in graph.initializer})
        everything = sorted(wanted | set(names))
        del graph.output[:]
        graph.output.extend(helper.make_tensor_value_info(n, TensorProto.UINT8, None) for n in everything)
        whole = folder + "/whole.onnx"
        onnx.save(source, whole)
        worker = theirs(folder, whole, 1, 2, 112, (0, 255), folder + "/dump.b")
        worker.end()
        values = {o["name"]: read("%s/dump.b.%d" % (folder, i), o) for i, o in enumerate(worker.ready["outputs"])}
        # One file with all these layers, their inputs as constants of the file.
        known = {i.name: i for i in graph.initializer}
        alone = [n for n in quantised[first:first + 60]]
        constants = {n: known[n] for q in alone for n in q.input if n in known}
        renamed, inputs = [], {}
        for n in alone:
            copy = onnx.NodeProto()
            copy.CopyFrom(n)
            for k, i in enumerate(n.input):
                if i not in known:
                    inputs["in_" + i] = values[i]
                    copy.input[k] = "in_" + i
            renamed.append(copy)
        # A layer whose inputs are all constants would be folded: the image's sum with nothing keeps them apart.
        nodes, image = [], "input.1"
        nodes.append(helper.make_node("ReduceMean", [image], ["mean"], axes=[1, 2, 3], keepdims=1))
        nodes.append(helper.make_node("Mul", ["mean", "zero_f"], ["nothing"]))
        nodes.append(helper.make_node("QuantizeLinear", ["nothing", "one_f", "zero_u"], ["nothing_u"]))
        extra = [numpy_helper.from_array(np.float32(0), "zero_f"), numpy_helper.from_array(np.float32(1), "one_f"),
                 numpy_helper.from_array(np.uint8(0), "zero_u")]
        made = []
        for name, value in inputs.items():
            extra.append(numpy_helper.from_array(value, name + "_c"))
            if value.ndim == 4:
                made.append(helper.make_node("QLinearAdd", [name + "_c", "one_f", "zero_u", "nothing_u", "one_f", "zero_u", "one_f",
                                                            "zero_u"], [name], domain="com.microsoft"))
            else:
                made.append(helper.make_node("Identity", [name + "_c"], [name]))
        outputs = [helper.make_tensor_value_info(n.output[0], TensorProto.UINT8, None) for n in alone]
        image_info = helper.make_tensor_value_info(image, TensorProto.FLOAT, ["N", 3, 112, 112])
        g = helper.make_graph(nodes + made + renamed, "layers", [image_info], outputs, list(constants.values()) + extra)
        layers = helper.make_model(g, opset_imports=source.opset_import)
        layers.ir_version = 6
        onnx.save(layers, folder + "/layers.onnx")
        worker = ours(folder, folder + "/layers.onnx", 1, 1, 112, (0, 255), folder + "/dump.a")
        worker.end()
        for i, n in enumerate(alone):
            x = values[n.output[0]]
            y = np.fromfile("%s/dump.a.%d" % (folder, i), np.uint8).reshape(x.shape)
            differ = int((x != y).sum())
            failed += differ > 0
            if differ:
                print("FAILED r50_int8 %s %s: %d of %d bytes differ" % (n.op_type, n.output[0], differ, x.size))
        print("%s r50_int8 layers %d to %d, each on the same inputs: bytes equal" % ("ok    " if not failed else "FAILED", first,
                                                                             first + len(names) - 1), flush=True)
        for i in range(len(everything)):
            unlink("%s/dump.b.%d" % (folder, i))
        for i in range(len(alone)):
            unlink("%s/dump.a.%d" % (folder, i))
    return failed


def main():
    folder, wanted = sys.argv[1], sys.argv[2:]
    failed = 0
    if not wanted or "layers" in wanted:
        failed += layers_exact(folder)
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
