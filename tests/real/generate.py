"""generate.py ARCFACED [--recognizer F] [--people N] [FLAG...]: are faces from embeddings taken for the people they were made of?

Through mobilefacenet_y1_128 and through the program's own recogniser, or through F alone.  Twenty people of celeb_112 (not of the reserved ones).  One half of each person's photos makes the target, the other half tells
an independent recogniser (mbf_512_int8) what the person looks like.  A picture is recognised if its cosine to the mean of those
reaches the threshold at which that recogniser takes 1 % of the photos of others for the person; scrfd_2.5g says whether it sees a face.
The cosine under the network that was descended through proves nothing: noise reaches it too.

Everything is done twice, with the prior on BatchNormalization statistics and without.  Prints one line per check and figure; the
exit status is 1 if a check failed.  FLAG... go to `arcfaced generate` each time.  The contact sheets stay in build/generate.
Needs ARCFACED_SHARED (../shared).
"""
import json
import math
import os
import subprocess
import sys
import tempfile

SHARED = os.environ.get("ARCFACED_SHARED", "../shared")
CROPS = os.path.join(SHARED, "faces/celeb_112")
JUDGE = os.path.join(SHARED, "models/mbf_512_int8.onnx")
DETECTOR = os.path.join(SHARED, "models/scrfd_2.5g.onnx")
RESERVED = 100  # the people with the largest numbers are for measuring only
FMR = 0.01
OUT = "build/generate"
# What is descended through, and in how many steps.
RECOGNIZERS = {
    os.path.join(SHARED, "models/mobilefacenet_y1_128.onnx"): 120,
    "core/models/recognizer.onnx": 240,
}
failed = 0


def check(name, good, more=""):
    global failed
    failed += not good
    print("%s - %s%s" % ("ok" if good else "not ok", name, ": " + str(more) if more else ""), flush=True)


def lines(program, *arguments):
    done = subprocess.run([program, *arguments], stdout=subprocess.PIPE, text=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def unit(vector):
    length = math.sqrt(sum(x * x for x in vector))
    return [x / length for x in vector]


def dot(a, b):
    return sum(x * y for x, y in zip(a, b))


def embed(program, files):
    return [line["faces"][0]["embedding"] for line in lines(program, "embed", "--recognizer", JUDGE, "--aligned", *files)]


def mean_and_error(values):
    mean = sum(values) / len(values)
    spread = math.sqrt(sum((x - mean) ** 2 for x in values) / max(1, len(values) - 1))
    return mean, spread / math.sqrt(len(values))


def split(people, folder):
    """Every other photo into folder/target/PERSON; returns the others by person."""
    held = {}
    for person in people:
        os.makedirs(os.path.join(folder, person))
        photos = sorted(os.listdir(os.path.join(CROPS, person)))
        for photo in photos[::2]:
            os.symlink(os.path.abspath(os.path.join(CROPS, person, photo)), os.path.join(folder, person, photo))
        held[person] = [os.path.join(CROPS, person, photo) for photo in photos[1::2]]
    return held


def judge(program, recognizer, flags, people, folder, template, threshold):
    """Makes a picture of everybody, with the prior and without, and has them judged.  False: they were not made."""
    network = os.path.basename(recognizer).removesuffix(".onnx")
    figures = {}
    for name, more in (("with the prior", []), ("without", ["--form", "none"])):
        out = os.path.join(OUT, network, name.replace(" ", "-"))
        said = lines(program, "generate", "--recognizer", recognizer, "--set", folder, "--aligned", "--out", out, *flags, *more)
        made = [line for line in said if line["kind"] == "picture"]
        done = [line for line in said if line["kind"] == "done"]
        good = len(made) == len(people) and len(done) == 1
        check("%s, %s: %d pictures are made" % (network, name, len(people)), good)
        if not good:
            return
        vectors = embed(program, [line["file"] for line in made])
        own = [dot(vector, template[line["person"]]) for vector, line in zip(vectors, made)]
        others = [dot(vector, template[other]) for vector, line in zip(vectors, made) for other in people
                  if other != line["person"]]
        seen = lines(program, "detect", "--detector", DETECTOR, *[line["file"] for line in made])
        scores = [max([face["score"] for face in line["faces"]], default=0) for line in seen]
        figures[name] = {
            "recognised": sum(cosine >= threshold for cosine in own) / len(people),
            "cosine": mean_and_error(own),
            "found": sum(score > 0 for score in scores) / len(people),
            "strangers": sum(cosine >= threshold for cosine in others) / len(others),
        }
        print("# %-14s recognised %.2f (of others' %.3f), judge's cosine %.3f ± %.3f, a face in %.2f (mean score %.2f), own "
              "cosine %.3f, %.1f s a picture, sheet %s" %
              (name, figures[name]["recognised"], figures[name]["strangers"], *figures[name]["cosine"],
               figures[name]["found"], sum(scores) / len(people), sum(line["cosine"] for line in made) / len(people),
               done[0]["seconds_per_picture"], os.path.join(out, "sheet.png")), flush=True)
    have, lack = figures["with the prior"], figures["without"]
    check(network + ": recognised in at least 40 %", have["recognised"] >= 0.4, have["recognised"])
    check(network + ": a face is found in at least 80 %", have["found"] >= 0.8, have["found"])
    check(network + ": more are recognised with the prior", have["recognised"] > lack["recognised"])
    check(network + ": more faces are found with the prior", have["found"] > lack["found"])


def main():
    program = sys.argv[1]
    flags = sys.argv[2:]
    recognizers = RECOGNIZERS
    n_people = 20
    if "--recognizer" in flags:
        at = flags.index("--recognizer")
        recognizers = {flags[at + 1]: RECOGNIZERS.get(flags[at + 1])}
        del flags[at:at + 2]
    if "--people" in flags:
        at = flags.index("--people")
        n_people = int(flags[at + 1])
        del flags[at:at + 2]
    if not os.path.exists(JUDGE):
        print("ok - faces from embeddings # SKIP no models at %s (set ARCFACED_SHARED)" % SHARED)
        return 0
    everybody = sorted(os.listdir(CROPS), key=int)[:-RESERVED]
    people = everybody[::len(everybody) // n_people][:n_people]

    with tempfile.TemporaryDirectory() as folder:
        held = split(people, folder)
        photos = {person: embed(program, files) for person, files in held.items()}
        template = {person: unit([sum(column) for column in zip(*vectors)]) for person, vectors in photos.items()}
        strangers = sorted((dot(vector, template[other]) for person in people for vector in photos[person]
                            for other in people if other != person), reverse=True)
        threshold = strangers[int(FMR * len(strangers))]
        print("# the judge takes %g %% of %d comparisons with strangers for matches from cosine %.3f" %
              (100 * FMR, len(strangers), threshold))
        for recognizer, steps in recognizers.items():
            own_steps = ["--steps", str(steps)] if steps is not None and "--steps" not in flags else []
            judge(program, recognizer, flags + own_steps, people, folder, template, threshold)
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
