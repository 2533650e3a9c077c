"""bench_training.py ARCFACED [latency|run80|run200]...: what a training costs, and what it costs the others.

latency  p50 and p99 of identify (one client, a crop every 20 ms at most) without a job, with one, and without again, interleaved in
         ROUNDS (2) rounds of SECONDS_EACH (15); the daemon and its child are the release build at their own priorities
run80    time and memory of a training on 80 people with up to 15 photos
run200   the same on 200 people: 100 of celeb_112 (none of the reserved) and 100 of facescrub_112

On two cores, with mobilefacenet_128: p99 of identify 26.9 ms without and 24.4 ms with a job (.91 times; 2 are allowed); 80 people,
1,194 photos: 125 s (planned 107), child at most 617 MiB (planned 594); 200 people, 1,897 photos: 200 s (174), 899 MiB (874).

Needs ARCFACED_SHARED (../shared).
"""
import os
import shutil
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "real"))
from learning_support import CROPS, Client, Daemon, more_people_of, people_of, percentile  # noqa: E402

ROUNDS = int(os.environ.get("ROUNDS", "2"))
SECONDS_EACH = float(os.environ.get("SECONDS_EACH", "15"))


def enroll(daemon, people):
    for name, crops in people.items():
        for crop in crops:
            daemon.enroll("default", name, crop)


def listen(daemon, probes, seconds):
    client = Client(daemon, probes)
    client.start()
    time.sleep(seconds)
    ms = client.finish()
    assert not client.bad, client.bad[:1]
    return ms


def latency(daemon):
    people = people_of(30, 10)
    enroll(daemon, people)
    probes = [crops[0] for crops in people.values()]
    alone, beside = [], []
    listen(daemon, probes, 2)
    for _ in range(ROUNDS):
        alone += listen(daemon, probes, SECONDS_EACH)
        job = daemon.call("POST", "/v1/admin/training", {"epochs": 500, "activate": False})[1]["id"]
        while daemon.child() is None:
            time.sleep(.05)
        beside += listen(daemon, probes, SECONDS_EACH)
        assert daemon.state(job)["state"] == "running"
        daemon.call("POST", "/v1/admin/jobs/%d/cancel" % job, {})
        daemon.wait(job, 60)
    alone.sort()
    beside.sort()
    for name, ms in (("without a job", alone), ("with one", beside)):
        print("identify %-13s: %5d requests, p50 %6.1f ms, p99 %6.1f ms" % (name, len(ms), percentile(ms, .5), percentile(ms, .99)))
    ratio = percentile(beside, .99) / percentile(alone, .99)
    print("p99 with a job / without: %.2f" % ratio)
    assert ratio <= 2, "more than twice"


def peak_bytes(pid):
    try:
        with open("/proc/%d/status" % pid) as status:
            return 1024 * int(next(line for line in status if line.startswith("VmHWM")).split()[1])
    except (OSError, StopIteration):
        return 0


def run(daemon, people, name):
    enroll(daemon, people)
    plan = daemon.call("POST", "/v1/admin/training", {"dry_run": True})[1]
    begin = time.time()
    job = daemon.call("POST", "/v1/admin/training", {"activate": False})[1]["id"]
    peak = 0
    while True:
        row = daemon.state(job)
        if row["state"] in ("succeeded", "failed", "cancelled"):
            break
        peak = max(peak, peak_bytes(daemon.child() or 0))
        time.sleep(.2)
    assert row["state"] == "succeeded", row
    report = row["result"]["report"]
    print("%s: %d people, %d photos, %d steps: %.0f s (planned %.0f s), child at most %.0f MiB (planned %.0f MiB), daemon %.0f MiB" % (
        name, report["people"], report["photos"], report["first"]["steps"] + report["last"]["steps"], time.time() - begin,
        plan["estimated_s"], peak / 2**20, plan["estimated_bytes"] / 2**20, peak_bytes(daemon.process.pid) / 2**20), flush=True)


def main():
    if not os.path.isdir(CROPS):
        print("training: skipped, ARCFACED_SHARED has no faces")
        return
    for part in sys.argv[2:] or ["latency", "run80", "run200"]:
        folder = tempfile.mkdtemp()
        daemon = Daemon(os.path.realpath(sys.argv[1]), folder)
        try:
            if part == "latency":
                latency(daemon)
            elif part == "run80":
                run(daemon, people_of(80, 15), part)
            else:
                people = people_of(100, 15)
                people.update(more_people_of(100, 15))
                run(daemon, people, part)
        finally:
            daemon.process.terminate()
            daemon.process.wait(60)
            shutil.rmtree(folder)


main()
