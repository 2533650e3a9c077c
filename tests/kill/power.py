"""power.py: what is on the disk after the power went, from what disk_shim.c kept."""
import os, shutil, subprocess


def key_of(path):
    number, born = subprocess.run(['stat', '-c', '%i %.9W', path], capture_output=True, text=True, check=True).stdout.split()
    seconds, _, rest = born.partition('.')
    return '%s-%d' % (number, int(seconds) * 10**9 + int((rest or '0').ljust(9, '0')))


def keep_all(root, shadow):
    """The state before the shim sees anything: all of it is on the disk."""
    shutil.rmtree(shadow, ignore_errors=True)
    os.makedirs(shadow + '/inodes')
    os.makedirs(shadow + '/folders')
    for folder, folders, files in os.walk(root):
        with open(shadow + '/folders/' + key_of(folder), 'w') as out:
            for name in folders:
                out.write('%s d %s\n' % (key_of(folder + '/' + name), name))
            for name in files:
                key = key_of(folder + '/' + name)
                out.write('%s f %s\n' % (key, name))
                shutil.copyfile(folder + '/' + name, shadow + '/inodes/' + key)
    return key_of(root)


def read_folder(shadow, key):
    try:
        lines = open(shadow + '/folders/' + key).read().splitlines()
    except FileNotFoundError:
        return {}  # made, and nothing in it was ever synchronised
    return {line.split(' ', 2)[2]: line.split(' ', 2)[:2] for line in lines}


def present_folder(path):
    found = {}
    for entry in os.scandir(path) if path and os.path.isdir(path) else ():
        found[entry.name] = [key_of(entry.path), 'd' if entry.is_dir(follow_symlinks=False) else 'f']
    return found


def restore_file(shadow, key, present, target, rng):
    """The synchronised content; with a generator, some of the pages that were written since."""
    try:
        content = bytearray(open(shadow + '/inodes/' + key, 'rb').read())
    except FileNotFoundError:
        content = bytearray()
    if rng is not None and present is not None and os.path.isfile(present):
        now = open(present, 'rb').read()
        if rng.random() < .5:  # the new length came through
            content = content[:len(now)] + bytes(max(0, len(now) - len(content)))
        for at in range(0, min(len(now), len(content)), 4096):
            if now[at:at + 4096] != content[at:at + 4096] and rng.random() < .5:
                end = min(at + 4096, len(content))
                content[at:end] = now[at:end]
    with open(target, 'wb') as out:
        out.write(content)
    os.chmod(target, 0o600)


def restore(shadow, key, present, target, rng=None):
    """
    Makes a folder of what was kept.  Without a generator nothing is there that was not synchronised; with one, any of what was
    written since may have reached the disk or not, page by page and name by name.
    """
    os.makedirs(target, mode=0o700)
    names = read_folder(shadow, key)
    now = present_folder(present)
    by_key = {entry[0]: present + '/' + name for name, entry in now.items()}
    if rng is not None:
        for name in set(names) | set(now):
            if names.get(name) != now.get(name) and rng.random() < .5:
                if name in now:
                    names[name] = now[name]
                else:
                    names.pop(name)
    for name, (below, kind) in names.items():
        if kind == 'd':
            restore(shadow, below, by_key.get(below), target + '/' + name, rng)
        elif not name.endswith('-shm'):
            restore_file(shadow, below, by_key.get(below), target + '/' + name, rng)
