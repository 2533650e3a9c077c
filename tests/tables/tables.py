"""tables.py ARCFACED OUT TABLE...: the paper's tables in miniature: losses, noise, purify, scale, distill; print shows them.

One network, made by this program from chance, is the beginning of every run but those of purify: OUT/base.onnx (`arcfaced
train-recognizer`, a few epochs only, so that there is something left to learn). Its lower layers stay as they are and their
maps are computed once, which is what makes some hundred trainings affordable. Each run is `arcfaced train` and then `arcfaced
eval` on people whom nothing was trained on (LFW's DevTest; View 1 for the losses). Results are lines of OUT/results.ndjson, one
a run: what stands there is not run again, so a call that was cut off goes on, and more seeds add to it.

losses  every loss of the paper's Table 2, accuracy on LFW View 1
noise   labels spoiled by 0, 20, 40, 60 %, half swapped between classes and half strangers: K = 1, 3, 10, and K = 3, purified, K = 1
        (Table 3); TAR at FMR 1e-3, precision and recall of what was dropped
purify  precision and recall on the same labels from networks that know faces, as one does that a daemon purifies with: the
        recogniser inside the program, which has seen most of these people under their right names, and mobilefacenet_y1_128,
        which was taught elsewhere
scale   100, 300, 1000 people: time, memory, gain
distill a small network from chance with ArcFace alone, and with a teacher's embeddings beside it (the paper's last table)
print   the tables as Markdown, from what is there; the status is 1 if the refined rule of purify comes to less than .90 of
        precision or recall at 40 %

SEEDS (3), EPOCHS (4), LEARN (.3): of the runs.  LEAST (10): photos of a person who takes part.  MOST (20): of whom more is left.
ARCFACED_SHARED has the photos.  On two idle cores a seed of all takes some 20 minutes.
"""
import hashlib
import json
import math
import os
import random
import struct
import subprocess
import sys
import time

PROGRAM, OUT = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
SHARED = os.path.abspath(os.environ.get("ARCFACED_SHARED", "../shared"))
LFW = os.path.join(SHARED, "faces/lfw")
HERE = os.path.dirname(os.path.abspath(__file__))
SEEDS = int(os.environ.get("SEEDS", 3))
EPOCHS = os.environ.get("EPOCHS", "4")
LEARN = os.environ.get("LEARN", ".3")
LEAST, MOST = int(os.environ.get("LEAST", 10)), int(os.environ.get("MOST", 20))
KNOWS_FACES = {"the program's recogniser": os.path.join(HERE, "../../core/models/recognizer.onnx"),
               "mobilefacenet_y1_128": os.path.join(SHARED, "models/mobilefacenet_y1_128.onnx")}
JUDGED, WANTED = 40, .90  # percent of wrong labels, and the least precision and recall of the refined rule from KNOWS_FACES
ENTRY, FOOTER = struct.Struct("<IIqQQQ"), struct.Struct("<QQII")


# ---- Data sets (core/train/dataset.h) --------------------------------------------------------------------------------------------


class Dataset:
    """Crops as they were encoded, with label and id; written again with other labels."""

    def __init__(self, path):
        self.bytes = open(path, "rb").read()
        at = len(self.bytes) - FOOTER.size - 32
        table, count, self.people, self.side = FOOTER.unpack_from(self.bytes, at)
        self.entries = [ENTRY.unpack_from(self.bytes, table + i * ENTRY.size) for i in range(count)]

    def crop(self, i):
        offset, length = self.entries[i][3:5]
        return self.bytes[offset:offset + length]

    def by_person(self):
        people = {}
        for i, entry in enumerate(self.entries):
            people.setdefault(entry[0], []).append(i)
        return people

    def write(self, path, chosen):
        """chosen: [(crop, label)]; ids are the crops' places in this set; labels are numbered anew."""
        number = {label: n for n, label in enumerate(sorted({label for _, label in chosen}))}
        table, offset = b"", 8
        with open(path, "wb") as file:
            file.write(b"AFDATA01")
            for crop, label in sorted(chosen, key=lambda pair: (number[pair[1]], pair[0])):
                data = self.crop(crop)
                table += ENTRY.pack(number[label], self.entries[crop][1], crop, offset, len(data), 0)
                offset += len(data)
                file.write(data)
            footer = FOOTER.pack(offset, len(chosen), len(number), self.side)
            file.write(table + footer + hashlib.sha256(table + footer).digest())


def listing(only):
    """The photos of LFW in the order in which the program reads them."""
    names = sorted(line.split()[0] for line in open(os.path.join(LFW, only)) if len(line.split()) > 1)
    return [os.path.join(name, file) for name in names if os.path.isdir(os.path.join(LFW, "images", name))
            for file in sorted(os.listdir(os.path.join(LFW, "images", name)))]


# ---- Running ------------------------------------------------------------------------------------------------------------------------


def arcfaced(*arguments):
    """Returns the lines that it prints as documents, its seconds and its largest memory in MiB."""
    begin = time.time()
    process = subprocess.Popen([PROGRAM, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    lines = [json.loads(line) for line in process.stdout]
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        raise SystemExit("arcfaced %s: status %d" % (" ".join(map(str, arguments)), status))
    return lines, time.time() - begin, usage.ru_maxrss / 1024


def results():
    path = os.path.join(OUT, "results.ndjson")
    return [json.loads(line) for line in open(path)] if os.path.exists(path) else []


def once(key, run):
    """Runs unless a line with this key is there."""
    if any(line["key"] == key for line in results()):
        return
    line = dict(key=key, **run())
    with open(os.path.join(OUT, "results.ndjson"), "a") as file:
        file.write(json.dumps(line) + "\n")
    print(json.dumps(line), flush=True)


def recognizer_flags():
    return ["--teacher", os.path.join(SHARED, "models/mobilefacenet_128.onnx"), "--detector",
            os.path.join(SHARED, "models/scrfd_500m.onnx"), "--detect-side", "256", "--set", os.path.join(LFW, "images"), "--only"]


def learner_flags():
    return [*recognizer_flags(), os.path.join(LFW, "peopleDevTrain.txt"), "--crops", os.path.join(OUT, "crops"), "--epochs",
            os.environ.get("BASE_EPOCHS", "2")]


def photos():
    """Crops of everybody who may be learnt from."""
    crops = os.path.join(OUT, "crops")
    if not os.path.isdir(crops):
        subprocess.run([os.path.join(HERE, "../../core/models/make-models"), PROGRAM, OUT, "crops"], check=True)
    base = os.path.join(OUT, "base.onnx")
    if not os.path.exists(base + ".run/data"):
        arcfaced("train-recognizer", *learner_flags(), "--data-only", "--out", base)
    return Dataset(base + ".run/data")


def prepare(data):
    """Crops to measure on, View 1 as crops, and the network that all begin from, which is returned."""
    base = os.path.join(OUT, "base.onnx")
    if not os.path.exists(base):
        arcfaced("train-recognizer", *learner_flags(), "--out", base)
    test = os.path.join(OUT, "test.run/data")
    if not os.path.exists(test):
        arcfaced("train-recognizer", *recognizer_flags(), os.path.join(LFW, "peopleDevTest.txt"), "--data-only", "--out",
                 os.path.join(OUT, "test"))
    view = os.path.join(OUT, "lfw")
    if not os.path.isdir(view):
        part = view + ".part"
        for photos, only in ((Dataset(test), "peopleDevTest.txt"), (data, "peopleDevTrain.txt")):
            files = listing(only)
            for i, entry in enumerate(photos.entries):
                if entry[2] < len(files):  # the others are not LFW's
                    path = os.path.join(part, "images", files[entry[2]])
                    os.makedirs(os.path.dirname(path), exist_ok=True)
                    open(path, "wb").write(photos.crop(i))
        for pairs in ("pairsDevTrain.txt", "pairsDevTest.txt", "pairs.txt"):
            open(os.path.join(part, pairs), "w").write(open(os.path.join(LFW, pairs)).read())
        os.rename(part, view)
    return base


def train(base, dataset, *flags):
    out = os.path.join(OUT, "run.onnx")
    for file in (out, out + ".json", out + ".html"):
        if os.path.exists(file):
            os.remove(file)
    subprocess.run(["rm", "-rf", out + ".run"], check=True)
    return out, arcfaced("train", "--recognizer", base, "--dataset", dataset, "--out", out, "--whole", "--distill", 0, "--learn", LEARN,
                         "--epochs", EPOCHS, "--looks", 2, "--optimizer", "adamw", "--rate", .001, *flags)


def view_one(model):
    return arcfaced("eval", "--recognizer", model, "--lfw", os.path.join(OUT, "lfw"), "--view", 1, "--aligned")[0][-1]["accuracy"]


def tar(model, rate=1e-3):
    lines = arcfaced("eval", "--recognizer", model, "--dataset", os.path.join(OUT, "test.run/data"), "--rounds", 200)[0]
    return next(line["rate"] for line in lines if line["kind"] == "TAR" and line.get("fmr") == rate)


def classes(data, n=None, least=LEAST):
    """Crops of the people with the most photos, up to MOST each."""
    people = sorted(data.by_person().values(), key=lambda crops: (-len(crops), crops[0]))
    return [crops[:MOST] for crops in people if len(crops) >= least][:n]


# ---- The tables -----------------------------------------------------------------------------------------------------------------------

LOSSES = [("softmax", "--loss softmax"), ("norm-softmax, s = 20", "--loss norm_softmax --scale 20"),
          ("SphereFace, m1 = 1.35", "--loss sphereface"), ("CosFace, m3 = .35", "--loss cosface"), ("ArcFace, m2 = .5", "--loss arcface"),
          ("CM1 (1, .3, .2)", "--loss cm1"), ("CM2 (.9, .4, .15)", "--loss cm2"),
          ("norm-softmax + intra", "--loss norm_softmax --scale 20 --intra 1"),
          ("norm-softmax + inter", "--loss norm_softmax --scale 20 --inter 1"),
          ("norm-softmax + triplet", "--loss norm_softmax --scale 20 --triplet 1"),
          ("ArcFace + intra", "--loss arcface --intra 1"), ("ArcFace + inter", "--loss arcface --inter 1"),
          ("ArcFace + triplet", "--loss arcface --triplet 1")]
WAYS = [("K = 1", "--purify none --subcenters 1"), ("K = 3", "--purify none --subcenters 3"), ("K = 10", "--purify none --subcenters 10"),
        ("K = 3, plain, K = 1", "--purify plain --subcenters 3"), ("K = 3, refined, K = 1", "--purify refined --subcenters 3")]
NOISE = (0, 20, 40, 60)
SCALES = ((100, LEAST), (300, 3), (1000, 3))


def losses(base, data):
    path = os.path.join(OUT, "losses.dataset")
    data.write(path, [(crop, label) for label, crops in enumerate(classes(data)) for crop in crops])
    once(["losses", "the network that all begin from", 0], lambda: {"accuracy": view_one(base)})
    for seed in range(1, SEEDS + 1):
        for name, flags in LOSSES:
            def run():
                model, (lines, seconds, _) = train(base, path, "--purify", "none", "--holdout", 0, "--seed", seed, *flags.split())
                return {"accuracy": view_one(model), "seconds": seconds}
            once(["losses", name, seed], run)


def spoil(data, percent, seed):
    """Returns [(crop, label)] and the crops whose label is wrong."""
    draw = random.Random(seed)
    own = classes(data)
    label = {crop: number for number, crops in enumerate(own) for crop in crops}
    strangers = [crop for crops in data.by_person().values() if len(crops) < LEAST for crop in crops]
    spoiled = draw.sample(sorted(label), round(percent / 100 * len(label)))
    swapped, replaced = spoiled[:len(spoiled) // 2], spoiled[len(spoiled) // 2:]
    chosen = {crop: number for crop, number in label.items() if crop not in set(spoiled)}
    wrong = set()
    for crop in swapped:
        chosen[crop] = draw.choice([number for number in range(len(own)) if number != label[crop]])
        wrong.add(crop)
    for crop, stranger in zip(replaced, draw.sample(strangers, len(replaced))):
        chosen[stranger] = label[crop]
        wrong.add(stranger)
    return list(chosen.items()), wrong


def judge(photos, wrong):
    """What each rule dropped of the photos that were judged: a fifth of them do not teach and are not."""
    lines = [json.loads(line) for line in open(photos)]
    misnamed = wrong & {line["id"] for line in lines}
    found = {}
    for rule in ("plain", "refined"):
        dropped = {line["id"] for line in lines if not line[rule]["keep"]}
        found[rule] = {"dropped": len(dropped), "wrong": len(misnamed), "caught": len(dropped & misnamed)}
    return found


def noise(base, data):
    path, photos = os.path.join(OUT, "noise.dataset"), os.path.join(OUT, "photos")
    once(["noise", 0, "the network that all begin from", 0], lambda: {"tar": tar(base)})
    for seed in range(1, SEEDS + 1):
        for percent in NOISE:
            chosen, wrong = spoil(data, percent, seed)
            data.write(path, chosen)
            for name, flags in WAYS:
                def run():
                    rule = next((rule for rule in ("plain", "refined") if rule in flags), None)
                    more = ["--photos", photos] if rule else []
                    model, (lines, seconds, _) = train(base, path, "--holdout", 0, "--seed", seed, *flags.split(), *more)
                    return {"tar": tar(model), "seconds": seconds, **(judge(photos, wrong)[rule] if rule else {})}
                once(["noise", percent, name, seed], run)


def purify(_, data):
    path, photos = os.path.join(OUT, "purify.dataset"), os.path.join(OUT, "photos")
    for percent in sorted(NOISE[1:], key=lambda percent: percent != JUDGED):
        for seed in range(1, SEEDS + 1):
            chosen, wrong = spoil(data, percent, seed)
            data.write(path, chosen)
            for name, network in KNOWS_FACES.items():
                def run():
                    _, (_, seconds, _) = train(network, path, "--holdout", 0, "--seed", seed, "--purify", "refined", "--subcenters", 3,
                                               "--photos", photos)
                    return {"seconds": seconds, **judge(photos, wrong)}
                once(["purify", percent, name, seed], run)


def scale(base, data):
    path = os.path.join(OUT, "scale.dataset")
    for seed in range(1, SEEDS + 1):
        for people, least in SCALES:
            def run():
                data.write(path, [(crop, label) for label, crops in enumerate(classes(data, people, least)) for crop in crops])
                model, (lines, seconds, mib) = train(base, path, "--seed", seed)
                gain = next(line for line in lines if line["kind"] == "gain")
                return {"seconds": seconds, "mib": mib, "gain": {k: gain[k] for k in ("fmr", "value", "low", "high")}, "tar": tar(model),
                        "before": tar(base), "photos": sum(map(len, classes(data, people, least)))}
            once(["scale", people, seed], run)


def distill(base, data):
    alone = os.path.join(OUT, "alone.onnx")
    if not os.path.exists(alone):
        os.makedirs(alone + ".run", exist_ok=True)
        if not os.path.exists(alone + ".run/data"):
            os.link(base + ".run/data", alone + ".run/data")
        arcfaced("train-recognizer", *learner_flags(), "--distill", .001, "--out", alone)
    for name, model in (("ArcFace alone", alone), ("ArcFace and the teacher's embeddings", base), *list(KNOWS_FACES.items())[:1],
                        ("the teacher", os.path.join(SHARED, "models/mobilefacenet_128.onnx"))):
        once(["distill", name, 1], lambda: {"accuracy": view_one(model), "tar": tar(model)})


# ---- As Markdown ----------------------------------------------------------------------------------------------------------------------


def mean(values):
    return sum(values) / len(values)


def error(values):
    """Standard error of the mean."""
    return math.sqrt(sum((v - mean(values)) ** 2 for v in values) / (len(values) - 1) / len(values)) if len(values) > 1 else float("nan")


def precision_recall(counts):
    caught, dropped, wrong = (sum(one[k] for one in counts) for k in ("caught", "dropped", "wrong"))
    return caught / dropped if dropped else 0, caught / wrong


def show_purify(lines):
    """Says whether what is judged is good enough."""
    good = True
    print("\n| spoiled | from | plain: precision | recall | refined: precision | recall | seeds |\n|" + "---|" * 7)
    for percent, name in dict.fromkeys((line["key"][1], line["key"][2]) for line in lines):
        of = [line for line in lines if line["key"][1:3] == [percent, name]]
        figures = [precision_recall([line[rule] for line in of]) for rule in ("plain", "refined")]
        print("| %d %% | %s | %.3f | %.3f | %.3f | %.3f | %d |" % (percent, name, *figures[0], *figures[1], len(of)))
        if percent == JUDGED and min(figures[1]) < WANTED:
            good = False
            print("not enough: from %s at %d %% precision %.3f and recall %.3f, %.2f is wanted of both" % (
                name, percent, *figures[1], WANTED), file=sys.stderr)
    return good


def show():
    """Says whether what is judged is good enough."""
    lines = results()
    print("| loss | LFW View 1, % | standard error | seeds |\n|---|---|---|---|")
    for name in dict.fromkeys(line["key"][1] for line in lines if line["key"][0] == "losses"):
        got = [100 * line["accuracy"] for line in lines if line["key"][:2] == ["losses", name]]
        print("| %s | %.2f | %.2f | %d |" % (name, mean(got), error(got), len(got)))
    print("\n| spoiled | way | TAR at FMR 1e-3, % | standard error | interval by identity, first seed | precision | recall | seeds |\n|"
          + "---|" * 8)
    for percent, name in dict.fromkeys((line["key"][1], line["key"][2]) for line in lines if line["key"][0] == "noise"):
        of = [line for line in lines if line["key"][:3] == ["noise", percent, name]]
        got = [100 * line["tar"]["value"] for line in of]
        judged = precision_recall(of) if of[0].get("wrong") else None
        print("| %d %% | %s | %.2f | %.2f | [%.2f, %.2f] | %s | %d |" % (
            percent, name, mean(got), error(got), 100 * of[0]["tar"]["low"], 100 * of[0]["tar"]["high"],
            "%.3f | %.3f" % judged if judged else " | ", len(of)))
    good = show_purify([line for line in lines if line["key"][0] == "purify"])
    print("\n| people | photos | seconds | MiB | TAR at FMR 1e-3 before, % | after | standard error "
          "| gain among those held out, points, first seed | seeds |\n|" + "---|" * 9)
    for people in dict.fromkeys(line["key"][1] for line in lines if line["key"][0] == "scale"):
        of = [line for line in lines if line["key"][:2] == ["scale", people]]
        got = [100 * line["tar"]["value"] for line in of]
        print("| %d | %d | %.0f | %.0f | %.2f | %.2f | %.2f | %.1f [%.1f, %.1f] | %d |" % (
            people, of[0]["photos"], mean([line["seconds"] for line in of]), max(line["mib"] for line in of),
            100 * of[0]["before"]["value"], mean(got), error(got), *(100 * of[0]["gain"][k] for k in ("value", "low", "high")),
            len(of)))
    print("\n| network | LFW View 1, % | TAR at FMR 1e-3, % |\n|---|---|---|")
    for line in (line for line in lines if line["key"][0] == "distill"):
        print("| %s | %.2f | %.2f [%.2f, %.2f] |" % (line["key"][1], 100 * line["accuracy"],
                                                  *(100 * line["tar"][k] for k in ("value", "low", "high"))))
    return good


def main():
    os.makedirs(OUT, exist_ok=True)
    wanted = sys.argv[3:]
    tables = {"losses": losses, "noise": noise, "purify": purify, "scale": scale, "distill": distill}
    if not wanted or any(name not in tables and name != "print" for name in wanted):
        raise SystemExit(__doc__)
    if any(name in tables for name in wanted):
        data = photos()
        base = prepare(data) if any(name in tables and name != "purify" for name in wanted) else None
        for name in wanted:
            if name in tables:
                tables[name](base, data)
    return not show() if "print" in wanted else 0


sys.exit(main())
