"""learning_support.py: the real daemon, its people and a client that never pauses; for what trains over HTTP."""
import json
import os
import random
import re
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

SHARED = os.environ.get("ARCFACED_SHARED", "../shared")
CROPS = os.path.join(SHARED, "faces/celeb_112")
MORE_CROPS = os.path.join(SHARED, "faces/facescrub_112")
KEY = "0123456789abcdef-first-admin-key"
RESERVED = 100  # the people with the largest numbers are for measuring only


class Daemon:
    def __init__(self, program, folder):
        self.data = os.path.join(folder, "data")
        self.log = open(os.path.join(folder, "log"), "w+")
        self.process = subprocess.Popen(
            [program, "serve", "--data", self.data, "--listen", "127.0.0.1:0", "--detector",
             os.path.join(SHARED, "models/scrfd_500m.onnx"), "--recognizer",
             os.path.join(SHARED, "models/mobilefacenet_128.onnx")],
            stdout=subprocess.DEVNULL, stderr=self.log, env=dict(os.environ, ARCFACED_BOOTSTRAP_KEY=KEY))
        for _ in range(600):
            found = re.search(r'"event":"listening".*?"port":(\d+)', open(self.log.name).read())
            if found:
                break
            time.sleep(.1)
        else:
            raise SystemExit("the daemon does not start: " + open(self.log.name).read()[-500:])
        self.url = "http://127.0.0.1:" + found.group(1)

    def call(self, method, path, body=None, kind="application/json"):
        """Returns status and document."""
        data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Authorization": "Bearer " + KEY, "Content-Type": kind},
                                         method=method)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def state(self, job):
        return self.call("GET", "/v1/admin/jobs/%d" % job)[1]

    def wait(self, job, seconds):
        end = time.time() + seconds
        while time.time() < end:
            row = self.state(job)
            if row["state"] in ("succeeded", "failed", "cancelled"):
                return row
            time.sleep(.3)
        raise SystemExit("job %d does not end: %s" % (job, row))

    def enroll(self, collection, name, crop, kind="image/jpeg"):
        query = urllib.parse.urlencode({"collection": collection, "aligned": "true", "quality": "none", "subject": name})
        status, answer = self.call("POST", "/v1/enroll?" + query, crop, kind)
        assert status in (200, 201), answer
        return answer["faces"][0]["id"]

    def identify(self, crop):
        return self.call("POST", "/v1/identify?aligned=true", crop, "image/jpeg")

    def model(self, collection="default"):
        return self.call("GET", "/v1/collections/" + collection)[1]["model"]

    def child(self):
        """The training process, or None."""
        found = subprocess.run(["pgrep", "-P", str(self.process.pid), "-f", "--", "--job"], capture_output=True, text=True)
        return int(found.stdout.split()[0]) if found.stdout else None


class Client(threading.Thread):
    """Identifies without pause."""

    def __init__(self, daemon, crops, pause_s=.02):
        super().__init__(daemon=True)
        self.server, self.crops, self.pause_s = daemon, crops, pause_s
        self.bad, self.ms, self.on = [], [], True

    def run(self):
        while self.on:
            begin = time.time()
            status, answer = self.server.identify(self.crops[len(self.ms) % len(self.crops)])
            self.ms.append(1000 * (time.time() - begin))
            if status != 200:
                self.bad.append(answer)
            time.sleep(self.pause_s)

    def finish(self):
        self.on = False
        self.join()
        return sorted(self.ms)


def percentile(ms, share):
    return ms[min(len(ms) - 1, int(share * len(ms)))]


def people_of(n, photos):
    """Those with the most photos, up to so many each, none of the reserved."""
    files = {p: sorted(os.listdir(os.path.join(CROPS, p)))[:photos]
             for p in sorted((p for p in os.listdir(CROPS) if p.isdigit()), key=int)[:-RESERVED]}
    chosen = sorted(files, key=lambda p: (-len(files[p]), int(p)))[:n]
    return {p: [open(os.path.join(CROPS, p, f), "rb").read() for f in files[p]] for p in chosen}


def more_people_of(n, photos):
    """Others, of another set: those with the most photos."""
    files = {}
    for f in sorted(os.listdir(MORE_CROPS)):
        found = re.match(r"(.*)_\d+_aligned\.jpg$", f)
        if found:
            files.setdefault(found.group(1), []).append(f)
    chosen = sorted(files, key=lambda p: (-len(files[p]), p))[:n]
    return {p: [open(os.path.join(MORE_CROPS, f), "rb").read() for f in files[p][:photos]] for p in chosen}


def by_a_poor_camera(crop, seed):
    """A crop as a grey camera far away would give it: 36 pixels, out of focus, flat and noisy; as PNG."""
    from io import BytesIO
    from PIL import Image, ImageFilter
    side = 36
    draw = random.Random(seed)
    small = Image.open(BytesIO(crop)).convert("L").filter(ImageFilter.GaussianBlur(112 / side / 2))
    small = small.resize((side, side), Image.BILINEAR)
    small.putdata([max(0, min(255, round(20 + .7 * value + draw.gauss(0, 2)))) for value in small.getdata()])
    out = BytesIO()
    small.resize((112, 112), Image.BICUBIC).convert("RGB").save(out, "PNG")
    return out.getvalue()
