#!/usr/bin/python3
"""load.py BINARY MODELS FOLDER SEED SECONDS: many clients enroll, delete, identify and look at two collections at once.

Each client knows its own people and may say for certain: who was enrolled is found by the next request, who was deleted never again.
Whoever is named instead has the cosine that his vector has, by the test's own reckoning: of millions of pairs of chance a few reach
the threshold.  Some are asked for among those of their client or of another one alone (a filter).  Segments are short, so that they are filled, written to files and, half dead, rewritten all the time.
Prints TAP, what was done, and how long it took.  Each of them must have been done, and a segment rewritten: a daemon that is always
busy gives no wrong answer either.
"""
import collections, os, random, sys, threading, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from kill import DIM, Daemon, Gone, vector  # noqa: E402

CLIENTS = 12
WORK = ('enroll', 'delete', 'identify', 'filter')
THRESHOLD = .40  # the daemon's own


class Client(threading.Thread):
    def __init__(self, load, number):
        super().__init__()
        self.load, self.number = load, number
        self.rng = random.Random('%s %d' % (load.seed, number))
        self.there, self.gone, self.wrong = {}, {}, []
        self.n = collections.Counter()
        self.slowest = collections.defaultdict(list)
        self.collection = ('default', 'other')[number % 2]

    def call(self, what, *arguments):
        begin = time.monotonic()
        status, document = self.load.daemon.call(*arguments)
        self.slowest[what].append(time.monotonic() - begin)
        if status == 503:
            self.n['busy'] += 1
            return None
        if status not in (200, 201):
            self.wrong.append('%s: %s %s' % (what, status, document))
            return None
        self.n[what] += 1
        return document

    def enroll(self):
        name = 'client%d-%d' % (self.number, sum(self.n.values()))
        v = self.load.known[name] = vector(self.rng)
        document = self.call('enroll', 'POST', '/v1/enroll', {'subject': name, 'embedding': v, 'collection': self.collection,
                                                                'metadata': {'client': self.number}})
        if document:
            self.there[name] = (v, document['subject']['id'])
            self.ask(name, v, True)

    def delete(self):
        name = self.rng.choice(list(self.there))
        v, subject = self.there[name]
        if self.call('delete', 'DELETE', '/v1/subjects/' + subject):
            del self.there[name]
            self.gone[name] = v
            self.ask(name, v, False)

    def ask(self, name, v, expected, whose=None):
        body = {'embedding': v, 'collection': self.collection}
        if whose is not None:
            body['filter'] = {'client': whose}
        document = self.call('identify' if whose is None else 'filter', 'POST', '/v1/identify', body)
        if not document:
            return
        face = document['faces'][0]
        names = [c['subject']['name'] for c in face['candidates']]
        for c in face['candidates']:
            own = self.load.known.get(c['subject']['name'], [0] * DIM)
            if abs(sum(a * b for a, b in zip(v, own)) - c['cosine']) > 1e-4:
                self.wrong.append('%s has another cosine with %s: %s' % (name, c['subject']['name'], c['cosine']))
        if expected and (face['decision'] != 'match' or names[:1] != [name]):
            self.wrong.append('%s is not found: %s %s' % (name, face['decision'], names))
        near = [c for c in face['candidates'] if c['cosine'] >= THRESHOLD]
        if not expected and (name in names or (face['decision'] == 'unknown') != (not near)):
            self.wrong.append('%s was deleted, or filtered out: %s %s' % (name, face['decision'], names))

    def run(self):
        try:
            while time.monotonic() < self.load.end and not self.wrong:
                what = self.rng.random()
                if what < .4 or not self.there:
                    self.enroll()
                elif what < .65:
                    self.delete()
                elif what < .72:
                    name = self.rng.choice(list(self.there))
                    own = self.rng.random() < .5
                    self.ask(name, self.there[name][0], own, self.number if own else self.number + 2)
                elif what < .85:
                    name = self.rng.choice(list(self.there))
                    self.ask(name, self.there[name][0], True)
                elif what < .95 and self.gone:
                    name = self.rng.choice(list(self.gone))
                    self.ask(name, self.gone[name], False)
                else:
                    self.call('list', 'GET', '/v1/subjects?limit=50&collection=' + self.collection)
        except Gone:
            self.wrong.append('the daemon does not answer')


class Load:
    def __init__(self, binary, models, folder, seed, seconds):
        self.seed = seed
        self.known = {}  # name -> vector, also of those who are gone
        self.data = folder + '/data'
        self.files = set()   # of full segments, ever seen
        self.rewritten = set()  # those that are there no more: only a rewritten segment takes its file away
        self.daemon = Daemon(os.path.abspath(binary), models, self.data)
        self.daemon.call('PUT', '/v1/collections/other', {'index': 'Flat'})  # FAISS answers for its full segments, and misses nobody
        self.end = time.monotonic() + seconds


    def look_at_files(self):
        there = {name for _, _, names in os.walk(self.data + '/index') for name in names if name.endswith('.segment')}
        self.rewritten |= self.files - there
        self.files |= there


def main():
    binary, models, folder, seed, seconds = sys.argv[1:6]
    print('# seed %s' % seed)
    load = Load(binary, models, folder, seed, float(seconds))
    clients = [Client(load, n) for n in range(CLIENTS)]
    for c in clients:
        c.start()
    while any(c.is_alive() for c in clients):
        time.sleep(1)
        load.look_at_files()
        if random.random() < .1 and not load.daemon.dead():
            load.daemon.call('POST', '/v1/admin/backup')
    for c in clients:
        c.join()
    wrong = [w for c in clients for w in c.wrong]
    n = sum((c.n for c in clients), collections.Counter())
    print('%sok 1 - %s' % ('not ' if wrong else '', ', '.join('%d %s' % (k, w) for w, k in sorted(n.items()))))
    for text in wrong[:20]:
        print('# ' + str(text)[:1000])
    for what in WORK:
        times = sorted(t for c in clients for t in c.slowest[what])
        if times:
            print('# %s: median %.1f ms, 99 %% %.1f ms, longest %.1f ms' % (
                what, *(1000 * times[min(len(times) - 1, int(q * len(times)))] for q in (.5, .99, 1))))
    missing = [what for what in WORK if n[what] == 0] + ([] if load.rewritten else ['rewriting of segments'])
    print('%sok 2 - %d files of segments were seen, %d of them went when their segment was rewritten%s' % (
        'not ' if missing else '', len(load.files), len(load.rewritten), '; there was no ' + ', no '.join(missing) if missing else ''))
    good = load.daemon.stop() == 0
    print('%sok 3 - it stops cleanly' % ('' if good else 'not '))
    print('1..3')
    return 0 if good and not wrong and not missing else 1


if __name__ == '__main__':
    sys.exit(main())
