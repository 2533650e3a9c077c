"""common.py: workers that run a network when told to, and outputs they leave."""
import json
import os
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))


class Worker:
    """One process behind the protocol of worker.c."""

    def __init__(self, command, environment=None):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env=dict(os.environ, **(environment or {})))
        self.ready = self.answer()

    def answer(self):
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        raise SystemExit("a worker ended: " + " ".join(self.process.args))

    def run(self, n):
        self.process.stdin.write("%d\n" % n)
        self.process.stdin.flush()
        return self.answer()

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def ours(folder, model, batch=1, threads=1, side=112, span=(-1, 1), dump="", kernels="auto", packing=()):
    command = [folder + "/worker", model, batch, threads, side, span[0], span[1], dump, kernels, *packing]
    # What the library would choose by itself on a processor without AVX is said for it.
    core = {"portable": "Prescott", "avx2": "Haswell"}.get(kernels)
    return Worker([str(c) for c in command], {"OPENBLAS_CORETYPE": core} if core else None)


def theirs(folder, model, batch=1, threads=1, side=112, span=(-1, 1), dump=""):
    command = ["node", HERE + "/ort_worker.js", model, batch, threads, side, span[0], span[1], dump]
    return Worker([str(c) for c in command], {"NODE_PATH": folder + "/node_modules"})


def is_new(path, *makers):
    """Whether a file is there and not older than the scripts that make it."""
    return os.path.exists(path) and all(os.path.getmtime(path) >= os.path.getmtime(m) for m in makers)


def model(folder, name):
    """The file of a generated network, made if it is not there or older than what makes it."""
    path = "%s/%s.onnx" % (folder, name)
    if not is_new(path, HERE + "/models.py"):
        subprocess.run(["/usr/bin/python3", HERE + "/models.py", folder, name], check=True)
    return path
