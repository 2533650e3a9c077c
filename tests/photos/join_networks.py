"""join_networks.py ONE.onnx OTHER.onnx OUT.onnx: one recogniser of two, for `arcfaced generate` to find faces that both take for the
same person (README.md).

Both see the same picture, each prepared as its manifest (FILE.onnx.json) says; their embeddings stand behind one another.
Needs Debian's python3-onnx.
"""
import json
import sys

import numpy
from onnx import TensorProto, helper, load, numpy_helper, save


def plane(values, name):
    """A number for each channel, as a constant."""
    return numpy_helper.from_array(numpy.array(values, numpy.float32).reshape(1, 3, 1, 1), name)


def renamed(path, prefix):
    """The network with all names behind a prefix, and those of its input and output."""
    graph = load(path).graph
    for node in graph.node:
        node.name = prefix + node.name
        node.input[:] = [prefix + name if name else name for name in node.input]
        node.output[:] = [prefix + name for name in node.output]
    for value in list(graph.initializer) + list(graph.input) + list(graph.output):
        value.name = prefix + value.name
    constants = {value.name for value in graph.initializer}
    return graph, next(value.name for value in graph.input if value.name not in constants), graph.output[0].name


def main():
    nodes, constants, outputs, numbers = [], [], [], 0
    for number, path in enumerate(sys.argv[1:3]):
        prefix = "%d." % number
        graph, source, output = renamed(path, prefix)
        how = json.load(open(path + ".json"))
        constants += [plane(how["mean"], prefix + "mean"), plane(1 / numpy.array(how["std"]), prefix + "scale"), *graph.initializer]
        nodes += [helper.make_node("Sub", ["input", prefix + "mean"], [prefix + "less"], prefix + "sub"),
                  helper.make_node("Mul", [prefix + "less", prefix + "scale"], [source], prefix + "mul"), *graph.node]
        outputs.append(output)
        numbers += graph.output[0].type.tensor_type.shape.dim[1].dim_value
    nodes.append(helper.make_node("Concat", outputs, ["embedding"], "both", axis=1))
    pictures = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 3, 112, 112])
    embeddings = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["N", numbers])
    model = helper.make_model(helper.make_graph(nodes, "both", [pictures], [embeddings], constants),
                              opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 7
    save(model, sys.argv[3])
    json.dump({"role": "recognizer", "color": "rgb", "mean": [0, 0, 0], "std": [1, 1, 1]}, open(sys.argv[3] + ".json", "w"))


main()
