#!/usr/bin/python3
"""wild.py: 360 uncropped photos of 60 people through the real daemon over HTTP; prints TAP.

Protocol: in each of 50 seeded draws, 40 people are enrolled with 3 of their 6 photos; their other photos (mated) and all
photos of the other 20 people (non-mated) are identified.
  rank-1      share of mated probes whose best candidate is the right person
  FNIR @ FPIR the threshold is the lowest at which at most 1 % of the non-mated probes find anybody; FNIR is the share of
              mated probes whose best candidate is not the right person or stands below it
Each photo is embedded once (POST /v1/embed, its largest face); the draws then work on embeddings, in a collection of their
own each.  What the daemon answers must equal what the embeddings say when they are compared here.  One more draw sends the
photos themselves.

The daemon is given by ARCFACED, the photos and models by ARCFACED_SHARED.
"""

import base64
import http.client
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time

DRAWS = 50
PEOPLE_ENROLLED = 40
PHOTOS_ENROLLED = 3
FPIR = 0.01
LEAST_RANK_1 = 0.965
MOST_FNIR = 0.065
KEY = "wild-test-key-0123456789abcdef"

SHARED = os.environ.get("ARCFACED_SHARED") or "../shared"
ARCFACED = os.environ.get("ARCFACED") or "build/release/arcfaced"


class Daemon:
    """The real binary with an empty data folder, on a port of its own choice."""

    def __init__(self, folder):
        models = os.path.join(SHARED, "models")
        self.log_path = os.path.join(folder, "log")
        environment = dict(os.environ, ARCFACED_BOOTSTRAP_KEY=KEY)
        command = [ARCFACED, "serve", "--data", os.path.join(folder, "data"), "--listen", "127.0.0.1:0",
                   "--detector", os.path.join(models, "scrfd_500m.onnx"),
                   "--recognizer", os.path.join(models, "mobilefacenet_128.onnx")]
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        self.port = self._wait_for_port(time.monotonic() + 60)

    def _wait_for_port(self, deadline):
        while time.monotonic() < deadline and self.process.poll() is None:
            with open(self.log_path, encoding="utf-8") as log:
                for line in log:
                    found = re.search(r'"event": ?"listening".*"port": ?(\d+)', line)
                    if found:
                        return int(found.group(1))
            time.sleep(0.05)
        with open(self.log_path, encoding="utf-8") as log:
            sys.exit("Bail out! the daemon does not listen: " + log.read()[-2000:])

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)


class Client:
    """One kept connection."""

    def __init__(self, port):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def call(self, method, path, body=None, kind="application/json"):
        headers = {"Authorization": "Bearer " + KEY}
        if body is not None:
            headers["Content-Type"] = kind
            if kind == "application/json":
                body = json.dumps(body).encode()
        while True:
            self.connection.request(method, path, body, headers)
            answer = self.connection.getresponse()
            content = answer.read()
            if answer.status != 503:  # a full queue asks to come again
                break
            time.sleep(0.2)
        if answer.status >= 300:
            sys.exit("Bail out! %s %s: %d %s" % (method, path, answer.status, content.decode()[:500]))
        return json.loads(content) if content else None


def largest(faces):
    """The largest face, as identify and enroll choose it.  The one nearest the centre is a little better here (rank-1 .9752,
    FNIR .0460 instead of .9738, .0485): 14 photos show several people."""
    return max(faces, key=lambda face: face["box"][2] * face["box"][3])


def read_photos():
    """[(person, path)], in a fixed order."""
    root = os.path.join(SHARED, "faces", "wild")
    photos = []
    for person in sorted(os.listdir(root)):
        folder = os.path.join(root, person)
        if os.path.isdir(folder):
            photos += [(person, os.path.join(folder, name)) for name in sorted(os.listdir(folder))
                       if name.endswith(".jpg")]
    return photos


def make_draw(seed, photos):
    """(enrolled, mated, non_mated): numbers of photos."""
    chance = random.Random(seed)
    by_person = {}
    for i, (person, _) in enumerate(photos):
        by_person.setdefault(person, []).append(i)
    people = sorted(by_person)
    gallery = chance.sample(people, PEOPLE_ENROLLED)
    enrolled, mated, non_mated = [], [], []
    for person in people:
        own = by_person[person]
        if person in gallery:
            chosen = chance.sample(own, PHOTOS_ENROLLED)
            enrolled += chosen
            mated += [i for i in own if i not in chosen]
        else:
            non_mated += own
    return enrolled, mated, non_mated


def judge(mated, non_mated):
    """mated: [(is right, cosine)], non_mated: [cosine] of the best candidates; returns rank-1 and FNIR."""
    scores = sorted(non_mated, reverse=True)
    threshold = scores[int(FPIR * len(scores))]  # so many may stand above it
    rank_1 = sum(right for right, _ in mated) / len(mated)
    fnir = sum(not right or cosine <= threshold for right, cosine in mated) / len(mated)
    return rank_1, fnir


def cosines(embeddings):
    return [[sum(x * y for x, y in zip(a, b)) for b in embeddings] for a in embeddings]


def best_of(table, photos, enrolled, probe):
    best = max(enrolled, key=lambda i: table[probe][i])
    return photos[best][0], table[probe][best]


def judge_offline(table, photos, draw):
    enrolled, mated, non_mated = draw
    found = [(best_of(table, photos, enrolled, i), photos[i][0]) for i in mated]
    return judge([(person == own, cosine) for (person, cosine), own in found],
                 [best_of(table, photos, enrolled, i)[1] for i in non_mated])


def identify(client, path, body, kind="application/json"):
    """The best candidate: (name, cosine); nobody is (None, -1)."""
    faces = client.call("POST", path, body, kind)["faces"]
    candidates = faces[0]["candidates"] if faces else []
    if not candidates:
        return None, -1.0
    return candidates[0]["subject"]["name"], candidates[0]["cosine"]


def draw_over_http(client, name, photos, draw, enroll_one, identify_one):
    """Runs one draw in a collection of its own; returns rank-1, FNIR and every best candidate."""
    enrolled, mated, non_mated = draw
    client.call("PUT", "/v1/collections/" + name, {})
    for i in enrolled:
        enroll_one(name, i)
    found = {i: identify_one(name, i) for i in mated + non_mated}
    client.call("DELETE", "/v1/collections/" + name)
    rank_1, fnir = judge([(found[i][0] == photos[i][0], found[i][1]) for i in mated], [found[i][1] for i in non_mated])
    return rank_1, fnir, found


def main():
    if not os.path.exists(os.path.join(SHARED, "faces", "wild")):
        print("1..1\nok 1 - wild # SKIP no photos at %s (set ARCFACED_SHARED)" % SHARED)
        return 0
    photos = read_photos()
    results = []
    with tempfile.TemporaryDirectory() as folder:
        daemon = Daemon(folder)
        client = Client(daemon.port)

        start = time.monotonic()
        embeddings, n_several, n_other = [], 0, 0
        for _, path in photos:
            with open(path, "rb") as photo:
                answer = client.call("POST", "/v1/embed?faces=all", photo.read(), "image/jpeg")
            if not answer["faces"]:
                sys.exit("Bail out! no face found in " + path)
            n_several += len(answer["faces"]) > 1
            embeddings.append(largest(answer["faces"])["embedding"])
        print("# wild: %d photos embedded in %.1f s, %d with several faces" %
              (len(photos), time.monotonic() - start, n_several))
        table = cosines(embeddings)

        def enroll_vector(collection, i):
            client.call("POST", "/v1/enroll",
                        {"collection": collection, "subject": photos[i][0], "embedding": embeddings[i]})

        def identify_vector(collection, i):
            return identify(client, "/v1/identify", {"collection": collection, "embedding": embeddings[i], "top_k": 1,
                                                     "threshold": -1})

        start = time.monotonic()
        rank_1, fnir = [], []
        for seed in range(DRAWS):
            draw = make_draw(seed, photos)
            one_rank_1, one_fnir, found = draw_over_http(client, "draw-%d" % seed, photos, draw, enroll_vector,
                                                         identify_vector)
            rank_1.append(one_rank_1)
            fnir.append(one_fnir)
            for i, (person, cosine) in found.items():
                want_person, want_cosine = best_of(table, photos, draw[0], i)
                n_other += abs(cosine - want_cosine) > 1e-5 or (person != want_person and cosine > want_cosine + 1e-6)
        mean_rank_1 = sum(rank_1) / DRAWS
        mean_fnir = sum(fnir) / DRAWS
        print("# wild: %d draws over HTTP in %.1f s: mean rank-1 %.4f, mean FNIR at FPIR 1 %% %.4f; %d answers differ from "
              "a comparison of all embeddings" % (DRAWS, time.monotonic() - start, mean_rank_1, mean_fnir, n_other))
        results.append((mean_rank_1 >= LEAST_RANK_1, "mean rank-1 is at least %.3f" % LEAST_RANK_1))
        results.append((mean_fnir <= MOST_FNIR, "mean FNIR at FPIR 1 %% is at most %.3f" % MOST_FNIR))
        results.append((n_other == 0, "every answer equals a comparison of all embeddings"))

        def read_photo(i):
            with open(photos[i][1], "rb") as photo:
                return photo.read()

        def enroll_photo(collection, i):
            client.call("POST", "/v1/enroll?collection=%s&subject=%s&faces=largest&quality=none" %
                        (collection, photos[i][0]), read_photo(i), "image/jpeg")

        def identify_photo(collection, i):
            # Raw and base64 by turns: the ways to send a photo may not differ.
            if i % 2 == 0:
                return identify(client, "/v1/identify?collection=%s&faces=largest&top_k=1&threshold=-1" % collection,
                                read_photo(i), "image/jpeg")
            return identify(client, "/v1/identify", {"collection": collection, "faces": "largest", "top_k": 1,
                                                     "threshold": -1,
                                                     "image": base64.b64encode(read_photo(i)).decode()})

        start = time.monotonic()
        one_rank_1, one_fnir, _ = draw_over_http(client, "photos", photos, make_draw(0, photos), enroll_photo,
                                                 identify_photo)
        print("# wild: one draw with photos in %.1f s: rank-1 %.4f, FNIR %.4f (with embeddings %.4f, %.4f)" %
              (time.monotonic() - start, one_rank_1, one_fnir, rank_1[0], fnir[0]))
        results.append((abs(one_rank_1 - rank_1[0]) < 0.009 and abs(one_fnir - fnir[0]) < 0.017,
                        "photos end to end say what their embeddings say"))
        results.append((daemon.stop() == 0, "the daemon stops when asked"))
    print("1..%d" % len(results))
    for i, (passed, name) in enumerate(results, 1):
        print("%s %d - %s" % ("ok" if passed else "not ok", i, name))
    return 0 if all(passed for passed, _ in results) else 1


if __name__ == "__main__":
    sys.exit(main())
