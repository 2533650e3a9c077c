#!/usr/bin/python3
"""bench.py FOLDER [--rounds N] [--only WORD]: whole networks against ONNX Runtime, both in turns in one run.

One line a case: the median over the rounds of (their time / our time), what is required, what is aimed at.  Then memory and
loading (memory), where an r100 has to be ready in time and small at rest.  Ends with 1 and a sentence for each figure that is
missed, that could not be taken because a file is not there, or that fewer than seven rounds cannot tell.  Then, without a
verdict: how much of the processor's FMA peak each class of layers reaches (layers), the same networks with kernels forced to AVX2
and to portable C (sets), the daemon's photos per second with each of these (daemon).  WORD takes the cases with it in their name,
or one of these four.

Two cores of a Xeon whose neighbours are busy (its FMA peak went from 172 to 145 GFLOPS within the hour), nine rounds: r50 2.03 times
ONNX Runtime on one thread and 2.04 on two, r100 2.02 and 2.29, r50 by eights 2.33, MobileFaceNet 3.16 and 3.19, SCRFD-500M 1.38, 2.5G
1.65, r50 in int8 2.08.  The aims are not reached.

What an r50 gained by, on one and two threads (both builds in turns, 25 rounds): places of pixels that the compiler knows 1.04 and
1.04; the next tap's lines fetched beside this one's inputs 1.03 and 1.06; the next weights of one block beside each tile 1.04
and 1.03; the same share of every loop for each thread (1) and 1.04.  In int8, weights fetched into the first cache: 1.04.
Tried and not kept, beside what tests/bench/bench_kernel_conv.c says: an equal share of the next weights beside every tile (2 %
slower), into the first cache (the same), no fetching at all (8 % slower), sums over 16 blocks of channels instead of 8 (the same),
a prefetch of this tile's weights eight steps ahead (the same).
"""
import argparse
import os
import statistics
import subprocess
import sys

from common import HERE, is_new, model, ours, theirs
from daemon import bench_daemon

# name, network, batch, threads, side, required, aim
CASES = [
    ("r50 b1 1T", "r50", 1, 1, 112, 2.0, 2.7),
    ("r50 b1 2T", "r50", 1, 2, 112, 1.8, 2.4),
    ("r100 b1 1T", "r100", 1, 1, 112, 2.0, 2.7),
    ("r100 b1 2T", "r100", 1, 2, 112, 1.8, 2.4),
    ("r50 b8 2T", "r50", 8, 2, 112, 2.0, 3.2),
    ("mbf b1 1T", "mbf", 1, 1, 112, 3.0, 4.5),
    ("mbf b1 2T", "mbf", 1, 2, 112, 3.0, 4.5),
    ("scrfd_500m 640 1T", "scrfd_500m", 1, 1, 640, 1.3, 2.0),
    ("scrfd_2.5g 640 1T", "scrfd_2.5g", 1, 1, 640, 1.3, 2.0),
    ("r50_int8 b1 1T", "r50_int8", 1, 1, 112, 2.0, 2.8),
]
SPAN = {"r50_int8": (0, 255)}
LEAST_ROUNDS = 7  # a median of fewer follows a busy neighbour
# What is required of an r100: that it answers so soon after its file is opened, and what is left of its weights with memory=small.
READY_MS = 2000
REST = 1.8
# class of layers: form (layer.py), channels in, channels out, side, kernel, stride, groups
LAYERS = {
    "first 3x3": ("fp32", 3, 64, 112, 3, 1, 1),
    "3x3 at 112": ("fp32", 64, 64, 112, 3, 1, 1),
    "3x3 at 56": ("fp32", 64, 64, 56, 3, 1, 1),
    "3x3 at 28": ("fp32", 128, 128, 28, 3, 1, 1),
    "3x3 at 14": ("fp32", 256, 256, 14, 3, 1, 1),
    "3x3 at 7": ("fp32", 512, 512, 7, 3, 1, 1),
    "3x3 stride 2": ("fp32", 64, 64, 112, 3, 2, 1),
    "1x1": ("fp32", 128, 128, 28, 1, 1, 1),
    "1x1 stride 2": ("fp32", 64, 128, 56, 1, 2, 1),
    "depthwise": ("fp32", 256, 256, 28, 3, 1, 256),
    "groups of 2": ("fp32", 128, 128, 56, 3, 1, 64),
    "FC": ("fc", 512, 512, 7, 7, 1, 1),
    "int8 3x3 at 56": ("int8", 64, 64, 56, 3, 1, 1),
    "int8 3x3 at 28": ("int8", 128, 128, 28, 3, 1, 1),
    "int8 3x3 at 14": ("int8", 256, 256, 14, 3, 1, 1),
    "int8 3x3 at 7": ("int8", 512, 512, 7, 3, 1, 1),
    "int8 3x3 stride 2": ("int8", 128, 128, 56, 3, 2, 1),
    "int8 1x1": ("int8", 128, 128, 28, 1, 1, 1),
}


def path_of(folder, shared, network):
    if network.startswith("scrfd"):
        return "%s/models/%s.onnx" % (shared, network)
    return model(folder, network)


def runs_for(worker, seconds):
    """How many runs fill so much time."""
    worker.run(1)
    one = statistics.median(worker.run(3)["wall"]) / 1000
    return max(1, min(200, round(seconds / one)))


def compare(folder, path, batch, threads, side, span, rounds):
    a = ours(folder, path, batch, threads, side, span)
    b = theirs(folder, path, batch, threads, side, span)
    n, m = runs_for(a, 0.4), runs_for(b, 0.4)
    ratios, cpu, best = [], [], []
    for i in range(rounds):
        pair = {}
        for worker, count in ((a, n), (b, m)) if i % 2 == 0 else ((b, m), (a, n)):
            pair[worker] = worker.run(count)
        wall = [statistics.median(pair[w]["wall"]) for w in (a, b)]
        used = [statistics.median(pair[w]["cpu"]) for w in (a, b)]
        ratios.append(wall[1] / wall[0])
        cpu.append(used[1] / used[0])
        best.append(wall)
    a.end()
    b.end()
    times = [statistics.median(t[k] for t in best) for k in (0, 1)]
    return statistics.median(ratios), statistics.median(cpu), times, a.ready


def wanted_cases(only):
    return [case for case in CASES if only in case[0]]


def bench_cases(args):
    """Returns a sentence for each case that is missed or cannot be measured."""
    missed = []
    if args.rounds < LEAST_ROUNDS:
        missed.append("%d rounds are no verdict on any case: at least %d are needed (PEER_ROUNDS=)" % (args.rounds, LEAST_ROUNDS))
    print("case                 ratio  required  aim    ours ms  theirs ms  cpu ratio")
    for name, network, batch, threads, side, required, aim in wanted_cases(args.only):
        path = path_of(args.folder, args.shared, network)
        if not os.path.exists(path):
            missed.append("%s was not measured: there is no %s (ARCFACED_SHARED=)" % (name, path))
            print("%-20s NOT MEASURED: no %s" % (name, path))
            continue
        ratio, cpu, times, _ = compare(args.folder, path, batch, threads, side, SPAN.get(network, (-1, 1)), args.rounds)
        word = "aim" if ratio >= aim else "ok" if ratio >= required else "MISSED"
        if ratio < required:
            missed.append("%s: %.2f times ONNX Runtime's speed, %.1f is required" % (name, ratio, required))
        print("%-20s %5.2f  %5.1f     %4.1f  %8.2f  %8.2f   %5.2f      %s" % (name, ratio, required, aim, times[0] / batch,
                                                                       times[1] / batch, cpu, word), flush=True)
    return missed


def bench_layers(args):
    peak = float(subprocess.run([args.folder + "/peak"], check=True, capture_output=True, text=True).stdout)
    print("\nclass of layers        ms  GFLOPS of a direct sum, and of the peak of %.0f (Winograd may pass 1); of int8, of four times that,"
          " which VNNI has" % peak)
    for name, shape in LAYERS.items():
        form, ci, co, side, kernel, stride, groups = shape
        count = 2 if form == "fc" else 8  # layers in a row; those of products are large
        path = "%s/layer_%s.onnx" % (args.folder, "_".join(str(v) for v in shape))
        if not is_new(path, HERE + "/layer.py", HERE + "/models.py"):
            subprocess.run(["/usr/bin/python3", HERE + "/layer.py", path, str(count)] + [str(v) for v in shape], check=True)
        worker = ours(args.folder, path, 1, 1, side)
        ms = min(worker.run(runs_for(worker, 0.2))["wall"]) / count
        worker.end()
        out = 1 if form == "fc" else side // stride
        flops = 2 * co * (ci // groups) * kernel * kernel * out * out
        print("%-18s %6.3f  %7.1f  %5.2f" % (name, ms, flops / ms / 1e6, flops / ms / 1e6 / peak / (4 if form == "int8" else 1)),
              flush=True)


def bench_memory(args):
    """Returns a sentence for each figure of an r100 that is missed."""
    missed = []
    print("\nnetwork    memory weights  load ms  first answer ms  file's weights MB  at rest MB  of the file's  activations MB  resident MB"
          "  ms")
    for network in ("r50", "r100", "mbf", "r50_int8"):
        for packing in (("small", "fp32"), ("fast", "fp32"), ("small", "fp16")):
            worker = ours(args.folder, model(args.folder, network), span=SPAN.get(network, (-1, 1)), packing=packing)
            r = worker.ready
            ms = statistics.median(worker.run(5)["wall"])
            worker.end()
            print("%-10s %-6s %-7s %8.0f  %15.0f  %17.1f  %10.1f  %13.2f  %14.1f  %11.1f  %6.1f" % (
                network, packing[0], packing[1], r["load"], r["first"], r["weights"] / 1e6, r["rest"] / 1e6,
                r["rest"] / r["weights"], r["peak"] / 1e6, r["resident"] / 1e6, ms), flush=True)
            if (network, packing) == ("r100", ("small", "fp32")) and r["rest"] > REST * r["weights"]:
                missed.append("r100 at rest: %.2f times its weights with memory=small, %.1f is allowed"
                              % (r["rest"] / r["weights"], REST))
    ready = least_ready(args.folder, "r100")
    print("r100 with memory=small answers %.0f ms after its file is opened, the least of %d; required %d ms"
          % (ready, LEAST_ROUNDS, READY_MS), flush=True)
    if ready > READY_MS:
        missed.append("r100: ready after %.0f ms, %d are allowed" % (ready, READY_MS))
    return missed


def least_ready(folder, network):
    """ms to the first answer; the least of some processes, since a neighbour can only add to it."""
    ready = []
    for _ in range(LEAST_ROUNDS):
        worker = ours(folder, model(folder, network), packing=("small", "fp32"))
        ready.append(worker.ready["first"])
        worker.end()
    return min(ready)


def bench_sets(args):
    print("\nkernels     " + "".join("%12s" % n for n in ("r50", "mbf", "r50_int8")) + "   ms, one thread")
    for kernels in ("auto", "avx2", "portable"):
        line = "%-10s  " % kernels
        for network in ("r50", "mbf", "r50_int8"):
            try:
                worker = ours(args.folder, model(args.folder, network), span=SPAN.get(network, (-1, 1)), kernels=kernels)
            except SystemExit:
                line += "%12s" % "-"
                continue
            line += "%12.1f" % statistics.median(worker.run(5)["wall"])
            worker.end()
        print(line, flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", default="")
    parser.add_argument("--shared", default=os.environ.get("ARCFACED_SHARED", "../shared"))
    args = parser.parse_args()
    sections = {"memory": bench_memory, "layers": bench_layers, "sets": bench_sets,
                "daemon": lambda args: bench_daemon(args.folder + "/../arcfaced", args.shared)}
    if args.only not in sections and not wanted_cases(args.only):
        sys.exit("PEER_ONLY: \"%s\" is in no case's name and is none of %s" % (args.only, ", ".join(sections)))
    missed = [] if args.only in sections else bench_cases(args)
    for name, section in sections.items():
        if args.only in ("", name):
            missed += section(args) or []
    print("\n" + "".join("MISSED  %s\n" % sentence for sentence in missed) + "%d required figures missed" % len(missed))
    sys.exit(1 if missed else 0)


main()
