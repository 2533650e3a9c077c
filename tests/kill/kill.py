#!/usr/bin/python3
"""kill.py: the real binary is killed, and what it had answered must be there when it starts again.

    kill.py points BINARY MODELS FOLDER SEED [NAME...]  at every named moment (core/base/point.h), or at these
    kill.py random BINARY MODELS FOLDER SEED N          N times at a random moment
    kill.py power BINARY MODELS FOLDER SEED N SHIM.so   N times, and what was not synchronised is lost (disk_shim.c)
    kill.py sync BINARY MODELS FOLDER SEED N SHIM.so    the same, and one fsync says that it failed

Prints TAP.  Several clients enroll, delete, import, back up and identify until the daemon is gone.  Then it is started again, and:
everything answered is there, by its row and by its index; everything whose deletion was answered is gone from both, and from
every byte of every file; nothing is there by half; an enrolment that is sent again under its Idempotency-Key is the first one or is carried out now, and never
twice; the index's files agree with the rows; the database holds nothing beside rows.
"""
import http.client, json, math, os, random, re, shutil, signal, sqlite3, struct, subprocess, sys, threading, time
import power

KEY = 'kill-test-first-admin-key-0123456789'
DIM = 128
SEGMENT = 256
PEOPLE = 600  # in the folder that every round begins with: two full segments and a bit


def vector(rng):
    v = [rng.gauss(0, 1) for _ in range(DIM)]
    n = math.sqrt(sum(x * x for x in v))
    return [struct.unpack('f', struct.pack('f', x / n))[0] for x in v]


class Gone(Exception):
    """The daemon does not answer any more."""


class Stuck(Exception):
    """A job does not end."""


def networks(models):
    """The published ones of that folder, or those inside the program: vectors are all that is enrolled here."""
    files = [models + '/scrfd_500m.onnx', models + '/mobilefacenet_128.onnx']
    return ['--detector', files[0], '--recognizer', files[1]] if all(map(os.path.exists, files)) else []


class Daemon:
    def __init__(self, binary, models, data, *flags, env=None):
        self.binary, self.data = binary, data
        self.log = open(data.rstrip('/') + '.log', 'w+')
        self.process = subprocess.Popen(
            [binary, 'serve', '--data', data, '--listen', '127.0.0.1:0', *networks(models), '--segment-rows', str(SEGMENT),
             '--workers', '8', *flags],
            stdout=subprocess.DEVNULL, stderr=self.log, env=dict(os.environ, ARCFACED_BOOTSTRAP_KEY=KEY, **(env or {})))
        self.port = None
        end = time.monotonic() + 120
        while self.port is None and self.process.poll() is None and time.monotonic() < end:
            found = re.search(r'"event":"listening".*"port":(\d+)', open(self.log.name).read())
            if found:
                self.port = int(found.group(1))
            else:
                time.sleep(.01)
        if self.port is None and self.process.poll() is None:
            raise SystemExit('Bail out! the daemon does not start: ' + open(self.log.name).read()[-2000:])

    def send(self, method, path, body=None, mime='application/json', headers=None):
        """Status, text and whether it is a first answer given again; Gone when there is none."""
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
        try:
            connection = http.client.HTTPConnection('127.0.0.1', self.port, timeout=60)
            connection.request(method, path, body, {'Authorization': 'Bearer ' + KEY, 'Content-Type': mime, **(headers or {})})
            answer = connection.getresponse()
            text = answer.read()
            connection.close()
        except (OSError, http.client.HTTPException, TypeError):
            raise Gone()
        return answer.status, text, answer.getheader('Idempotent-Replayed') == 'true'

    def call(self, method, path, body=None, mime='application/json'):
        """Status and document; Gone when there is no answer."""
        status, text, _ = self.send(method, path, body, mime)
        try:
            return status, json.loads(text)
        except ValueError:
            return status, text

    def enroll(self, name, v):
        """As send; the name is the key: under one name one face is enrolled once."""
        return self.send('POST', '/v1/enroll', {'subject': name, 'embedding': v}, headers={'Idempotency-Key': name})

    def dead(self):
        return self.port is None or self.process.poll() is not None

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(120)

    def kill(self):
        self.process.kill()
        self.process.wait()


class World:
    """What was answered, and what was under way."""

    def __init__(self):
        self.lock = threading.Lock()
        self.there = {}    # name -> (vector, subject id)
        self.gone = {}     # name -> vector
        self.unsure = set()  # names whose enrolling or deleting was not answered
        self.imported = {}  # name -> vector, promised by a job that was answered
        self.answers = {}  # name -> vector and the text that its enrolling was answered with
        self.unanswered = {}  # name -> vector, of an enrolling
        self.sent_again = [0, 0]  # of unanswered: carried out now, and answered as they would have been
        self.complaints = []

    def complain(self, text):
        with self.lock:
            self.complaints.append(text)


def lines_of(people, version):
    lines = [json.dumps({'type': 'header', 'format': 1, 'model': version, 'dim': DIM})]
    lines += [json.dumps({'type': 'face', 'subject': {'name': name}, 'source': 'embedding', 'embedding': v})
              for name, v in people]
    return '\n'.join(lines + [json.dumps({'type': 'end', 'faces': len(people)})]) + '\n'


def wait_job(daemon, job):
    end = time.monotonic() + 120
    while time.monotonic() < end:
        status, document = daemon.call('GET', '/v1/admin/jobs/%d' % job)
        if status == 200 and document['state'] in ('succeeded', 'failed', 'cancelled'):
            return document
        time.sleep(.02)
    raise Stuck('job %d does not end: %s' % (job, document))


def model_version(daemon):
    return [m['version'] for m in daemon.call('GET', '/v1/info')[1]['models'] if m['role'] == 'recognizer'][0]


def make_base(binary, models, folder, rng):
    """A data folder with PEOPLE people of one face, and 'many' who has half of the first segment."""
    daemon = Daemon(binary, models, folder + '/base')
    version = model_version(daemon)
    people = [('many', vector(rng)) for _ in range(SEGMENT * 6 // 10)]
    base = {'base%d' % i: vector(rng) for i in range(PEOPLE)}
    people += list(base.items())
    status, document = daemon.call('POST', '/v1/import?collection=default', lines_of(people, version), 'application/x-ndjson')
    assert status == 202, document
    wait_job(daemon, document['id'])
    subjects = {}
    token = ''
    while token is not None:
        page = daemon.call('GET', '/v1/subjects?limit=1000&page_token=' + token)[1]
        subjects.update((s['name'], s['id']) for s in page['subjects'])
        token = page['next_page_token']
    end = time.monotonic() + 30
    while len([f for _, _, fs in os.walk(folder + '/base/index') for f in fs if f.endswith('.segment')]) < 2 and time.monotonic() < end:
        time.sleep(.05)
    assert daemon.stop() == 0
    return {name: (v, subjects[name]) for name, v in base.items()}, subjects['many'], version, [v for n, v in people if n == 'many']


class Round:
    def __init__(self, test, name, seed, env=None):
        self.test, self.name = test, name
        self.rng = random.Random('%s %s' % (seed, name))
        self.data = test.folder + '/data'
        self.env = env
        self.disk_fails = False  # then a change may be refused with 500
        shutil.rmtree(self.data, ignore_errors=True)
        shutil.copytree(test.folder + '/base', self.data)
        self.world = World()
        self.world.there = dict(test.people)
        self.many_deleted = False

    def enroll(self, daemon, rng, name):
        v = vector(rng)
        with self.world.lock:
            self.world.unsure.add(name)
            self.world.unanswered[name] = v
        status, text, again = daemon.enroll(name, v)
        if status == 201 and not again:
            with self.world.lock:
                self.world.there[name] = (v, json.loads(text)['subject']['id'])
                self.world.answers[name] = (v, text)
                self.world.unsure.discard(name)
                del self.world.unanswered[name]
        elif status not in (503, 507) and not (self.disk_fails and status == 500):
            self.world.complain('enroll %s: %s %s' % (name, status, text))

    def delete(self, daemon, name):
        with self.world.lock:
            v, subject = self.world.there.pop(name)
            self.world.unsure.add(name)
        status, document = daemon.call('DELETE', '/v1/subjects/' + subject)
        if status == 200:
            with self.world.lock:
                self.world.gone[name] = v
                self.world.unsure.discard(name)
            if not document['scrubbed'] and not self.disk_fails:
                self.world.complain('delete %s: not scrubbed' % name)
        elif status in (503, 507):
            with self.world.lock:
                self.world.there[name] = (v, subject)
                self.world.unsure.discard(name)
        elif not (self.disk_fails and status == 500):
            self.world.complain('delete %s: %s %s' % (name, status, document))

    def identify(self, daemon, rng):
        with self.world.lock:
            name = rng.choice(list(self.world.there))
            v = self.world.there[name][0]
        status, document = daemon.call('POST', '/v1/identify', {'embedding': v})
        with self.world.lock:
            still = name in self.world.there and name not in self.world.unsure
        best = document['faces'][0]['candidates'][:1] if status == 200 else None
        if status == 200 and still and (not best or best[0]['subject']['name'] != name):
            self.world.complain('identify: %s is not found: %s' % (name, best))
        # Who was gone before we asked is nobody's candidate.
        with self.world.lock:
            gone = [n for n in self.world.gone][-1:] if self.world.gone else []
            probes = [(n, self.world.gone[n]) for n in gone]
        for n, v in probes:
            status, document = daemon.call('POST', '/v1/identify', {'embedding': v})
            if status == 200 and any(c['subject']['name'] == n for c in document['faces'][0]['candidates']):
                self.world.complain('identify: %s was deleted and is found' % n)

    def client(self, daemon, number):
        rng = random.Random('%s %s %d' % (self.test.seed, self.name, number))
        i = 0
        try:
            while not daemon.dead():
                i += 1
                what = rng.random()
                if what < .55:
                    self.enroll(daemon, rng, 'c%d-%d' % (number, i))
                elif what < .8:
                    with self.world.lock:
                        mine = [n for n in self.world.there if n.startswith('c%d-' % number) or
                                (n.startswith('base') and int(n[4:]) % 4 == number)]
                    if mine:
                        self.delete(daemon, rng.choice(mine))
                else:
                    self.identify(daemon, rng)
        except Gone:
            pass

    def batches(self, daemon):
        """Imports, a deletion that empties half a segment, backups."""
        try:
            people = [('i%d' % i, vector(self.rng)) for i in range(SEGMENT + 40)]
            with self.world.lock:
                self.world.unsure.update(n for n, _ in people)
            status, document = daemon.call('POST', '/v1/import?collection=default', lines_of(people, self.test.version), 'application/x-ndjson')
            if status == 202:
                with self.world.lock:
                    self.world.imported.update(people)
                wait_job(daemon, document['id'])
            if daemon.call('DELETE', '/v1/subjects/' + self.test.many)[0] == 200:
                self.many_deleted = True
            while not daemon.dead():
                status, document = daemon.call('POST', '/v1/admin/backup')
                if status == 202:
                    wait_job(daemon, document['id'])
                time.sleep(.2)
        except Gone:
            pass
        except Stuck as trouble:
            self.world.complain(str(trouble))

    def refused(self, daemon):
        """On a disk that fails it may say so and not serve: nothing was promised then."""
        said = open(daemon.log.name).read()
        return self.disk_fails and '"event":"cannot_serve","error":"io"' in said and '"event":"listening"' not in said

    def run(self, flags, until_s, settle=None):
        """Works until the daemon is dead, or kills it after that long.  Says whether it died by itself."""
        daemon = Daemon(self.test.binary, self.test.models, self.data, *flags, env=self.env)
        threads = []
        if not daemon.dead():
            threads = [threading.Thread(target=self.client, args=(daemon, n)) for n in range(4)]
            threads.append(threading.Thread(target=self.batches, args=(daemon,)))
            for t in threads:
                t.start()
        try:
            daemon.process.wait(until_s)
            died = daemon.process.returncode == -signal.SIGKILL
            if not died and not self.refused(daemon):
                self.world.complain('it ended by itself: %s' % open(daemon.log.name).read()[-800:])
        except subprocess.TimeoutExpired:
            died = False
            daemon.kill()
        for t in threads:
            t.join()
        if settle:
            settle(daemon)
        return died

    def verify_erased(self, when):
        """What was answered as deleted is in no file."""
        gone = [{'embedding': v} for v in self.world.gone.values()]
        if self.many_deleted:
            gone += [{'embedding': v} for v in self.test.many_vectors]
        if not gone:
            return
        json.dump(gone, open(self.test.folder + '/gone.json', 'w'))
        done = subprocess.run([self.test.binary, 'verify-erasure', self.test.folder + '/gone.json', '--data', self.data],
                              capture_output=True, text=True)
        if 'looked for' not in done.stdout or 'FOUND' in done.stdout:
            self.world.complain('%s: %s' % (when, (done.stdout + done.stderr)[:600]))

    def verify(self):
        daemon = Daemon(self.test.binary, self.test.models, self.data)
        try:
            self.compare(daemon)
        except (Gone, Stuck, KeyError, TypeError, IndexError) as trouble:
            self.world.complain('it does not answer as it should: %r' % trouble)
        finally:
            daemon.kill()

    def send_again(self, daemon):
        """What was answered is answered alike; what was not is there afterwards, once; what is gone stays so."""
        world = self.world
        for name in list(world.answers)[-20:]:
            status, text, again = daemon.enroll(name, world.answers[name][0])
            if name in world.there and (status, text, again) != (201, world.answers[name][1], True):
                world.complain('%s is answered otherwise: %s %s' % (name, status, text))
            if name in world.gone and status != 410:
                world.complain('%s was deleted, and enrolling it again is answered %s %s' % (name, status, text))
        for name, v in world.unanswered.items():
            status, text, again = daemon.enroll(name, v)
            if status != 201:
                world.complain('%s was not answered, and now %s %s' % (name, status, text))
                continue
            world.sent_again[again] += 1
            world.there[name] = (v, json.loads(text)['subject']['id'])
            world.unsure.discard(name)

    def compare(self, daemon):
        world, test = self.world, self.test
        if daemon.dead():
            world.complain('it does not start again: ' + open(daemon.log.name).read()[-800:])
            return
        jobs = daemon.call('GET', '/v1/admin/jobs?limit=100')[1]['jobs']
        for job in jobs:
            if job['state'] in ('queued', 'running'):
                job = wait_job(daemon, job['id'])
            if job['state'] != 'succeeded':
                world.complain('job %s: %s' % (job['kind'], job))
        self.send_again(daemon)
        connection = http.client.HTTPConnection('127.0.0.1', daemon.port, timeout=60)
        connection.request('GET', '/v1/export', headers={'Authorization': 'Bearer ' + KEY})
        rows = {}
        n_many = 0
        for line in connection.getresponse().read().splitlines():
            line = json.loads(line)
            if line['type'] == 'face' and line['subject']['name'] == 'many':
                n_many += 1
            elif line['type'] == 'face':
                if line['subject']['name'] in rows or len(line['embedding']) != DIM:
                    world.complain('%s is there twice, or by half' % line['subject']['name'])
                rows[line['subject']['name']] = line['embedding']
        if n_many != (0 if self.many_deleted else n_many) or n_many not in (0, SEGMENT * 6 // 10):
            world.complain('%d faces are left of one whose deletion was %sanswered' % (n_many, '' if self.many_deleted else 'not '))
        expected = {n: v for n, (v, _) in world.there.items()}
        expected.update(world.imported)
        for name, v in expected.items():
            if name in rows and max(abs(a - b) for a, b in zip(rows[name], v)) > 1e-6:
                world.complain('%s has another vector' % name)
        lost = [n for n in expected if n not in rows]
        back = [n for n in world.gone if n in rows]
        extra = [n for n in rows if n not in expected and n not in world.unsure]
        for what, names in (('lost', lost), ('deleted, and there again', back), ('there, and nobody enrolled them', extra)):
            if names:
                world.complain('%d are %s: %s' % (len(names), what, names[:5]))
        token, n_subjects = '', 0
        while token is not None:
            page = daemon.call('GET', '/v1/subjects?limit=1000&page_token=' + token)[1]
            n_subjects += sum(s['name'] != 'many' for s in page['subjects'])
            for s in page['subjects']:
                if s['name'] != 'many' and s['faces'] != 1:
                    world.complain('%s has %d faces' % (s['name'], s['faces']))
            token = page['next_page_token']
        if n_subjects != len(rows):
            world.complain('%d subjects, %d faces' % (n_subjects, len(rows)))
        names = list(rows)
        for name in names[-20:] + self.rng.sample(names, min(20, len(names))):
            best = daemon.call('POST', '/v1/identify', {'embedding': rows[name]})[1]['faces'][0]['candidates'][:1]
            if not best or best[0]['subject']['name'] != name:
                world.complain('%s has a row and is not found: %s' % (name, best))
        for name in list(world.gone)[-20:]:
            found = daemon.call('POST', '/v1/identify', {'embedding': world.gone[name]})[1]['faces'][0]['candidates']
            if any(c['subject']['name'] == name for c in found):
                world.complain('%s was deleted and is found' % name)
        if daemon.stop() != 0:
            world.complain('it does not stop cleanly: ' + open(daemon.log.name).read()[-800:])
        self.verify_erased('at the end')
        for command in (['index', 'verify', '--segment-rows', str(SEGMENT)], ['verify-erasure']):
            done = subprocess.run([test.binary, *command, '--data', self.data], capture_output=True, text=True)
            if done.returncode != 0:
                world.complain('%s: %s' % (command[0], (done.stdout + done.stderr)[-600:]))


class Test:
    def __init__(self, binary, models, folder, seed):
        self.binary, self.models, self.folder, self.seed = binary, models, folder, seed
        self.n = self.failed = 0
        self.people, self.many, self.version, self.many_vectors = make_base(binary, models, folder, random.Random(seed))

    def tell(self, name, complaints):
        self.n += 1
        self.failed += bool(complaints)
        print('%sok %d - %s%s' % ('not ' if complaints else '', self.n, name, ', seed %s' % self.seed if complaints else ''))
        for text in complaints[:10]:
            print('# ' + str(text).replace('\n', ' ')[:1000])
        sys.stdout.flush()


# The moments of learning need a training first: tests/api/61_learning_kills.sh kills at those.
LEARNING = ('train.', 'training.', 'reembed.', 'switch.', 'evaluate.')


def source_points():
    """Every other named moment that stands in the source, so that none is forgotten here."""
    names = set()
    for top in ('core', 'index', 'server'):
        for folder, _, files in os.walk(top):
            for file in files:
                if file.endswith('.c'):
                    names.update(re.findall(r'point_reached\("([^"]+)"\)', open(os.path.join(folder, file)).read()))
    return {name for name in names if not name.startswith(LEARNING)}


def test_restore(test, point, nth):
    """Restoring is killed; restoring again makes it whole."""
    rng = random.Random('%s %s' % (test.seed, point))
    data, target = test.folder + '/data', test.folder + '/restored'
    shutil.rmtree(data, ignore_errors=True)
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(test.folder + '/base', data)
    daemon = Daemon(test.binary, test.models, data)
    name = wait_job(daemon, daemon.call('POST', '/v1/admin/backup')[1]['id'])['result']['name']
    daemon.stop()
    command = [test.binary, 'restore', '--from', data + '/backups/' + name, '--data', target]
    first = subprocess.run(command + ['--kill-at', '%s:%d' % (point, nth)], capture_output=True, text=True)
    complaints = [] if first.returncode == -signal.SIGKILL else ['it did not die: ' + first.stderr]
    again = subprocess.run(command, capture_output=True, text=True)
    whole = os.path.exists(target + '/arcfaced.db')
    if again.returncode != 0 and not ('arcfaced.db' in again.stderr and whole):
        complaints.append('it cannot be restored again: ' + again.stderr)
    if not complaints:
        daemon = Daemon(test.binary, test.models, target)
        for person in rng.sample(list(test.people), 10):
            best = daemon.call('POST', '/v1/identify', {'embedding': test.people[person][0]})[1]['faces'][0]['candidates'][:1]
            if not best or best[0]['subject']['name'] != person:
                complaints.append('%s is not found' % person)
        daemon.stop()
    return complaints


def test_migrate(test, point, nth):
    """Migrating from the first schema is killed; the next start finishes it, and every row is there."""
    data = test.folder + '/old'
    shutil.rmtree(data, ignore_errors=True)
    os.mkdir(data, 0o700)
    old = sqlite3.connect(data + '/arcfaced.db', isolation_level=None)
    old.executescript(open('tests/upgrade/schema_1.sql').read())
    count = "SELECT (SELECT count(*) FROM faces), (SELECT count(*) FROM embeddings), (SELECT count(*) FROM audit)"
    before = old.execute(count).fetchone()
    old.close()
    command = [test.binary, 'key', 'list', '--data', data]
    first = subprocess.run(command + ['--kill-at', '%s:%d' % (point, nth)], capture_output=True, text=True)
    complaints = [] if first.returncode == -signal.SIGKILL else ['it did not die: ' + first.stderr]
    again = subprocess.run(command, capture_output=True, text=True)
    if again.returncode != 0:
        complaints.append(again.stderr)
    new = sqlite3.connect(data + '/arcfaced.db')
    newest = len([f for f in os.listdir('migrations') if re.match(r'\d{4}_', f)])
    if new.execute('PRAGMA user_version').fetchone()[0] != newest:
        complaints.append('the schema is not the newest')
    after = new.execute(count).fetchone()
    if after != before:
        complaints.append('rows: %s before, %s after' % (before, after))
    if new.execute('PRAGMA integrity_check').fetchone()[0] != 'ok':
        complaints.append('damaged')
    new.close()
    return complaints


def run_points(test, wanted):
    rng = random.Random(test.seed)
    spread = {'change.applied': 60, 'change.committed': 60, 'segment.written': 4, 'scrub.begin': 12, 'scrub.swept': 12,
              'scrub.done': 12, 'fold.done': 12, 'segment.complete': 5}
    for point in sorted(source_points()):
        if wanted and point not in wanted:
            continue
        nth = rng.randint(1, spread.get(point, 1))
        if point.startswith('restore.'):
            for nth in (1, 2) if point == 'restore.placed' else (1,):
                test.tell('killed at %s:%d' % (point, nth), test_restore(test, point, nth))
            continue
        if point.startswith('migrate.'):
            for nth in (1, 2):
                test.tell('killed at %s:%d' % (point, nth), test_migrate(test, point, nth))
            continue
        one = Round(test, point, test.seed)
        if not one.run(['--kill-at', '%s:%d' % (point, nth)], 60):
            one.world.complain('it never came to %s:%d' % (point, nth))
        one.verify()
        done_now, done_then = one.world.sent_again
        test.tell('killed at %s:%d (%d enrolments were not answered, %d were carried out)' % (
            point, nth, done_now + done_then, done_then), one.world.complaints)


def run_random(test, n):
    rng = random.Random('%s random' % test.seed)
    for i in range(n):
        one = Round(test, 'random%d' % i, test.seed)
        after = rng.uniform(.05, 3)
        one.run([], after)
        one.verify()
        test.tell('killed after %.2f s (%d answered, %d deleted)' % (
            after, len(one.world.there) - PEOPLE + len(one.world.gone), len(one.world.gone)), one.world.complaints)


def run_power(test, n, shim, fail_sync):
    rng = random.Random('%s power' % test.seed)
    lies = n == 1 and os.environ.get('DISK_LIES')
    for i in range(n):
        shadow = test.folder + '/shadow'
        one = Round(test, 'power%d' % i, test.seed)
        root = power.keep_all(one.data, shadow)
        env = {'LD_PRELOAD': shim, 'DISK_ROOT': one.data, 'DISK_SHADOW': shadow}
        said = 'the power went'
        if fail_sync:
            env['DISK_FAIL_SYNC'] = str(rng.randint(1, 120))
            said = 'sync %s failed, then the power went' % env['DISK_FAIL_SYNC']
        one.env, one.disk_fails = env, fail_sync
        after = rng.uniform(.3, 3)
        strict = rng.random() < .5

        def settle(_daemon):
            os.rename(one.data, one.data + '.lost')
            power.restore(shadow, root, one.data + '.lost', one.data, None if strict else rng)
            shutil.rmtree(one.data + '.lost')

        one.run([], after, settle)
        one.env = None
        if not fail_sync:
            one.verify_erased('before it starts again')
        one.verify()
        test.tell('%s after %.2f s, with %s of what was not synchronised (%d answered, %d deleted)' % (
            said, after, 'nothing' if strict else 'some', len(one.world.there) - PEOPLE + len(one.world.gone), len(one.world.gone)),
            ['a disk that lies lost nothing'] * (not one.world.complaints) if lies else one.world.complaints)


def main():
    mode, binary, models, folder, seed = sys.argv[1:6]
    print('# seed %s' % seed)
    test = Test(os.path.abspath(binary), models, folder, seed)
    if mode == 'points':
        run_points(test, sys.argv[6:])
    elif mode == 'random':
        run_random(test, int(sys.argv[6]))
    else:
        run_power(test, int(sys.argv[6]), os.path.abspath(sys.argv[7]), mode == 'sync')
    print('1..%d' % test.n)
    return 1 if test.failed else 0


if __name__ == '__main__':
    sys.exit(main())
