#!/usr/bin/env python3
# slow
# alone
"""Small Dockerfiles of our own (differential/*.cases), built with kiln and with buildah: file trees,
modes, owners, times and config agree but for the kinds of difference in differential/known.py. What
buildah 1.28 has not is compared with what the Dockerfile reference says. umoci and skopeo accept
every image; podman and runc run those that print something.

  tests/builder/differential.t [WORD…]    only cases whose name holds one of the words
BUILDKIT_CHECKOUT names a checkout of BuildKit, in which the cited lines are then looked up.
"""
import concurrent.futures, os, sys, time
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, HERE + '/differential', os.path.dirname(os.path.dirname(HERE)) + '/conformance/orchestrators']
import sandbox
sandbox.enter()  # podman wants a place of its own, and no build here needs a network
from build_case import *
import cases, compare, known, peers

WORDS = sys.argv[1:]
BEGAN = int(time.time())
CASES = [c for c in cases.load() if not WORDS or any(w in c.name for w in WORDS)]
HAVE = {p: bool(shutil.which(p)) for p in ('buildah', 'skopeo', 'umoci', 'podman', 'runc')}
pool = concurrent.futures.ThreadPoolExecutor(2)


class Built:
    """A case and what became of it."""

    def __init__(self, number, case):
        self.number, self.case, self.short = number, case, 'case%d' % number
        self.name = 'docker.io/library/%s:1' % self.short
        self.context = '%s/contexts/%s' % (T, self.short)
        self.kiln = self.peer = self.tree = self.config = None
        self.peer_error = self.peer_tree = self.peer_config = None

    def lay_out(self):
        c = self.case
        cases.lay_out(self.context, cases.entries(c.context))
        write(self.context + '/Dockerfile', c.Dockerfile)
        os.utime(self.context + '/Dockerfile', (cases.EPOCH, cases.EPOCH))
        os.utime(self.context, (cases.EPOCH, cases.EPOCH))
        both, self.places = (c.options or '').split(), {}
        for title, text in c.sections.items():
            kind, _, name = title.partition(' ')
            place = '%s.%s' % (self.context, name)
            if kind == 'context' and name:
                cases.lay_out(place, cases.entries(text))
                os.utime(place, (cases.EPOCH, cases.EPOCH))
                both += ['--build-context', '%s=%s' % (name, place)]
            elif kind == 'secret':
                write(place, text.rstrip('\n'))
                self.places['@%s@' % name] = place
        self.options = [self.placed(w) for w in both]
        self.alone = (c.kiln or '').split()
        self.peers = (c.buildah or '').split()

    def placed(self, word):
        for mark, place in self.places.items():
            word = word.replace(mark, place)
        return word

    def build(self):
        self.lay_out()
        self.kiln = build(self.context, '-t', self.short + ':1', *self.options, *self.alone)
        if self.kiln.rc == 0:
            self.tree = compare.whole_tree(tree(self.kiln.id))
            self.config = config_of(self.kiln.id)
        if HAVE['buildah']:
            try:
                manifest, where = buildah.build(self.context, self.short, *self.options, *self.peers)
                self.peer_tree = compare.whole_tree(tree(None, where, manifest['layers']))
                self.peer_config = config_of(manifest['config']['digest'], where)
            except peers.Refused as e:
                self.peer_error = str(e)
        return self


def base():
    """What every case begins with: busybox, and what the rules of destinations are about."""
    root = base_root()
    for applet in os.listdir(root + '/bin'):  # links, so that no tool reads and hashes 300 copies of one file
        if applet != 'busybox':
            os.unlink(root + '/bin/' + applet)
            os.symlink('busybox', root + '/bin/' + applet)
    cases.lay_out(root, cases.entries(open(HERE + '/differential/base.tree').read()), cases.BASE)
    import_base(root=root)


def against(b):
    return compare.differences((b.tree, compare.config_facts(b.config)),
                               (b.peer_tree, compare.config_facts(b.peer_config)), BEGAN)


def against_buildah(b):
    c = b.case
    if c.refused:
        check(b.kiln.rc != 0 and c.refused.strip() in b.kiln.err, c.name + ': kiln refuses it',
              'exit %d' % b.kiln.rc, b.kiln.err)
        return check(b.peer_error is not None, c.name + ': buildah refuses it too') if HAVE['buildah'] \
            else skip(c.name, 'buildah')
    if not check(b.kiln.rc == 0, c.name + ': kiln builds it', c.where, b.kiln.err) or not HAVE['buildah']:
        return None if HAVE['buildah'] else skip(c.name, 'buildah')
    if b.peer_error:
        return check(False, c.name + ': buildah builds it', c.where, b.peer_error)
    rest = known.unexplained(against(b), b)
    return check(not rest, c.name + ': agrees with buildah', c.where, *rest)


def against_the_reference(b, base_tree):
    c = b.case
    if c.refused:
        return check(b.kiln.rc != 0 and c.refused.strip() in b.kiln.err, c.name + ': refused as the reference says',
                     c.where, 'exit %d' % b.kiln.rc, b.kiln.err)
    if b.kiln.rc != 0:
        return check(False, c.name + ': is as the reference says', c.where, b.kiln.err)
    wanted = compare.expected_tree(base_tree, cases.entries(c.tree))
    wrong = compare.shortfalls(b.tree, wanted, BEGAN)
    facts = compare.config_facts(b.config)
    for line in (c.config or '').splitlines():
        key, _, value = line.partition(' = ')
        if facts[key] != json.loads(value):
            wrong.append('config: %s is %r, should be %s' % (key, facts[key], value))
    check(not wrong, c.name + ': is as the reference says', c.where, *wrong)
    if b.peer_tree is not None:  # else it refused, and so has not the feature
        check(known.unexplained(against(b), b), c.name + ': buildah has it not', c.where,
              'its image is the same: the case belongs with those of both')


def history_is_sound(built):
    """image-spec config.md: a history entry that is no empty layer for each layer, in order."""
    wrong = []
    for b in built:
        full = [h for h in b.config.get('history', []) if not h.get('empty_layer')]
        if len(full) != len(manifest_of(b.kiln.id)['layers']) or len(full) != len(b.config['rootfs']['diff_ids']):
            wrong.append('%s: %d entries that are not empty' % (b.case.name, len(full)))
    check(not wrong, 'the history of all %d images has an entry for each layer' % len(built), *wrong)


def citations(built):
    reference = 'frontend/dockerfile/docs/reference.md'
    where = os.environ.get('BUILDKIT_CHECKOUT')
    if not where:
        return skip('the cited lines of the Dockerfile reference', 'BUILDKIT_CHECKOUT')
    if os.path.exists(where + '/' + reference):
        lines = open(where + '/' + reference).read().splitlines()
    else:
        lines = subprocess.run(['git', '--git-dir', where, 'show', 'HEAD:' + reference], capture_output=True,
                               text=True, check=True).stdout.splitlines()
    wrong = []
    for b in built:
        for line, title, _ in b.case.rules:
            fence, heading = False, ''
            for text in lines[:int(line)]:
                fence ^= text.startswith('```')
                if text.startswith('#') and not fence:
                    heading = text.lstrip('# ')
            if heading != title:
                wrong.append('%s: line %s is in "%s", not in "%s"' % (b.case.where, line, heading, title))
    return check(not wrong, 'the cited lines are in the cited sections of the Dockerfile reference', *wrong)


def all_of(built, name, function, *programs):
    """One point: `function` gives for each image what is wrong, or nothing."""
    lacking = [p for p in programs if not HAVE[p]]
    if lacking:
        return skip(name, ', '.join(lacking))

    def one(b):
        try:
            wrong = function(b)
        except (peers.Refused, subprocess.TimeoutExpired) as e:
            wrong = str(e)
        return ['%s: %s' % (b.case.name, wrong)] if wrong else []
    begun = time.monotonic()
    wrong = [w for found in pool.map(one, built) for w in found]
    check(not wrong, '%s: all %d' % (name, len(built)), *wrong)
    print('# %.1f s' % (time.monotonic() - begun))


def copied_by_skopeo(b):
    seen = layouts.take(STORE, b.name, b.short)
    layers = [l['digest'] for l in manifest_of(b.kiln.id)['layers']]
    return '' if seen['Layers'] == layers else 'skopeo inspect has layers %r, not %r' % (seen['Layers'], layers)


def unpacked_by_umoci(b):
    history, found = layouts.unpack(b.short)
    if len(history) != len(b.config['history']):
        return 'umoci stat counts %d steps, not %d' % (len(history), len(b.config['history']))
    return '; '.join(map(str, compare.differences((b.tree, {}), (found, {}), BEGAN)[:5]))


def printed(b, program):
    wanted = b.case.output.encode()
    if program == 'podman':
        got = podman.run(layouts.of(b.short), b.short)
    else:
        bundle = '%s/bundles/%s-%s' % (T, program, b.short)
        peers.call(KILN, 'bundle', '--store', STORE, b.short + ':1', bundle)
        runtime = RUNTIME if program == 'vessel' else program
        try:
            got = peers.call(runtime, '--root', '%s/%s' % (T, program), 'run', '--bundle', bundle, b.short)
        finally:
            subprocess.run([KILN, 'bundle', '--store', STORE, '--rm', bundle], capture_output=True)
    return '' if got == wanted else 'printed %r, not %r' % (got, wanted)


begun = time.monotonic()
base()
buildah = peers.Buildah(T + '/buildah') if HAVE['buildah'] else None
try:
    if buildah:
        buildah.pull(STORE, 'docker.io/library/base:1', 'base:1')
    built = list(pool.map(lambda p: Built(*p).build(), enumerate(CASES, 1)))
    print('# built in %.1f s' % (time.monotonic() - begun))
    base_tree = compare.whole_tree(tree(None, layers=manifest_of(import_base(root=base_root()))['layers']))
    common = [b for b in built if not b.case.rule]
    own = [b for b in built if b.case.rule]
    for b in common:
        against_buildah(b)
    for b in own:
        against_the_reference(b, base_tree)
    images = [b for b in built if b.kiln.rc == 0]
    history_is_sound(images)
    citations(own)
    if not WORDS:
        compared = [b for b in common if b.peer_tree and not b.case.refused]
        if buildah:
            check(len(compared) >= 35, '%d Dockerfiles were built by both' % len(compared))
            for kind in known.KINDS:
                check(kind.seen, 'occurs: ' + kind.name, kind.clause)
        check(len(known.KINDS) <= 8, '%d kinds of difference are listed' % len(known.KINDS))
        check(len(own) >= 25, '%d Dockerfiles have what buildah has not' % len(own))
    layouts = peers.Layouts(T + '/layouts')
    all_of(images, 'skopeo inspects and copies every image', copied_by_skopeo, 'skopeo')
    all_of(images, 'umoci unpacks every image to the same tree', unpacked_by_umoci, 'skopeo', 'umoci')
    talking = [b for b in images if b.case.output is not None]
    all_of(talking, 'vessel runs the images', lambda b: printed(b, 'vessel'))
    all_of(talking, 'runc runs the images', lambda b: printed(b, 'runc'), 'runc')
    podman = peers.Podman(T + '/podman') if HAVE['podman'] and HAVE['skopeo'] else None
    all_of(talking, 'podman runs the images', lambda b: printed(b, 'podman'), 'podman', 'skopeo', 'runc')
    if podman:
        podman.close()
finally:
    if buildah:
        buildah.close()
done()
