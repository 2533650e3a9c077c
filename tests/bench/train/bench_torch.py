"""bench_torch.py NETWORK THREADS ROUNDS: whole training steps of PyTorch, batch 32, forward and back, for bench_train.c.

The networks are arcface_torch's, as compare_torch.py beside the fixtures has them.  Prints "step r18 2 torch 12.3": images a second.
"""
import sys
import time
import types

try:
    import torch
except ImportError:
    print("skipped: python3-torch is not installed")
    sys.exit(0)

sys.path.insert(0, "tests/core/train/fixtures")
for missing in ("onnx",):  # only the networks are wanted of that file
    sys.modules.setdefault(missing, types.SimpleNamespace(numpy_helper=None))
from compare_torch import NETWORKS  # noqa: E402

name, threads, rounds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
torch.set_num_threads(threads)
torch.manual_seed(1)
net = NETWORKS[name]().train()
x = torch.randn(32, 3, 112, 112)
best = 0
clock = time.process_time if threads == 1 else time.perf_counter
for i in range(rounds + 1):  # the first one warms up
    net.zero_grad()
    start = clock()
    net(x).sum().backward()
    now = clock() - start
    best = now if i < 2 or now < best else best
print("step %s %d torch %.2f" % (name, threads, 32 / best))
