"""daemon.py: the daemon's photos per second on this machine, and what they wait for."""
import glob
import http.client
import json
import os
import re
import subprocess
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
STAGES = ("queue", "decode", "detect", "align", "embed")


def photo_of(shared):
    """A photo of one face: of the data set where it is there, else a small one of the repository."""
    found = sorted(glob.glob(shared + "/faces/lfw/images/*/*_0001.jpg"))
    path = found[0] if found else HERE + "/../photos/alice-1.jpg"
    with open(path, "rb") as file:
        return file.read()


class Daemon:
    """One daemon without keys, in a folder of its own."""

    def __init__(self, binary, flags, kernels="auto"):
        self.folder = tempfile.TemporaryDirectory()
        environment = dict(os.environ, ARCFACED_KERNELS=kernels)
        core = {"portable": "Prescott", "avx2": "Haswell"}.get(kernels)
        if core:
            environment["OPENBLAS_CORETYPE"] = core
        self.log = open(self.folder.name + "/log", "w+")
        self.process = subprocess.Popen([binary, "serve", "--data", self.folder.name + "/data", "--listen", "127.0.0.1:0",
                                         "--no-auth"] + flags, stdout=subprocess.DEVNULL, stderr=self.log, env=environment)
        self.port = self.wait()

    def wait(self):
        for _ in range(600):
            with open(self.log.name) as text:
                found = re.search(r'"event":"listening".*?"port":(\d+)', text.read())
            if found:
                return int(found.group(1))
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        with open(self.log.name) as text:
            raise SystemExit("the daemon does not start: " + text.read())

    def link(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def stages(self):
        """Seconds of each stage so far."""
        link = self.link()
        link.request("GET", "/metrics")
        text = link.getresponse().read().decode()
        link.close()
        found = re.findall(r'arcfaced_stage_seconds_sum\{stage="(\w+)"\} (\S+)', text)
        return {stage: float(seconds) for stage, seconds in found}

    def end(self):
        self.process.terminate()
        self.process.wait()
        self.log.close()
        self.folder.cleanup()


def load(daemon, photo, concurrency, seconds):
    """Latencies in ms of as many photos as are answered in that time."""
    times, wrong = [], []
    end = time.monotonic() + seconds

    def client():
        link = daemon.link()
        while time.monotonic() < end:
            start = time.monotonic()
            link.request("POST", "/v1/embed", photo, {"Content-Type": "image/jpeg"})
            answer = link.getresponse()
            body = answer.read()
            times.append((time.monotonic() - start) * 1e3)
            if answer.status != 200 or len(json.loads(body)["faces"]) != 1:
                wrong.append((answer.status, body[:300]))
                break
        link.close()

    threads = [threading.Thread(target=client) for _ in range(concurrency)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    if wrong:
        raise SystemExit("the daemon answered %d: %r" % wrong[0])
    return sorted(times)


def bench_daemon(binary, shared, seconds=4):
    """Prints a line for each set of kernels and each concurrency."""
    photo = photo_of(shared)
    flags = []
    for flag, name in (("--detector", "scrfd_500m"), ("--recognizer", "mobilefacenet_128")):
        path = "%s/models/%s.onnx" % (shared, name)
        flags += [flag, path] if os.path.exists(path) else []
    print("\ndaemon, photos of one face (%s)" % (", ".join(os.path.basename(f) for f in flags[1::2]) or "built-in networks"))
    print("kernels   batch  concurrency  photos a second   p50 ms   p99 ms   share of %s" % ", ".join(STAGES))
    for kernels, batch, concurrencies in (("auto", 8, (1, 4, 16)), ("auto", 1, (16,)), ("avx2", 8, (1, 4, 16)),
                                          ("portable", 8, (1, 4, 16))):
        try:
            daemon = Daemon(binary, flags + ["--batch", str(batch)], kernels)
        except SystemExit as error:
            print("%-9s -  %s" % (kernels, str(error)[:120]))
            continue
        load(daemon, photo, 2, 1)  # sessions are made by the first requests
        for concurrency in concurrencies:
            before = daemon.stages()
            times = load(daemon, photo, concurrency, seconds)
            after = daemon.stages()
            spent = {s: after.get(s, 0) - before.get(s, 0) for s in STAGES}
            whole = sum(spent.values()) or 1
            shares = "  ".join("%s %2.0f %%" % (s, 100 * spent[s] / whole) for s in STAGES)
            print("%-9s %5d  %11d  %15.1f  %7.1f  %7.1f   %s" % (
                kernels, batch, concurrency, len(times) / seconds, times[len(times) // 2],
                times[min(len(times) - 1, len(times) * 99 // 100)], shares), flush=True)
        daemon.end()
