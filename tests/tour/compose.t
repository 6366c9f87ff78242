#!/usr/bin/env python3
# slow
# alone
"""Compose: two services from images that kiln builds, a port, a volume and a network between them, in
Docker Engine with vessel as its runtime; what a tutorial's application does from `up` to `down`."""
import os, shutil, sys
TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, 'conformance/orchestrators'))
import docker_engine, sandbox, suite

COMPOSE = '''
version: "3"
services:
  web:
    image: my-web:1
    ports: ["127.0.0.1:8090:80"]
    environment: {STORE: store}
    depends_on: [store]
    networks: [front, back]
  store:
    image: my-store:1
    volumes: ["visits:/data"]
    networks: [back]
networks: {front: {}, back: {}}
volumes: {visits: {}}
'''
# The web service asks the store, by its name, at every request.
FILES = {'web': {
    'Dockerfile': 'FROM probe:1\nCOPY --chmod=755 index.cgi /www/cgi-bin/index\nEXPOSE 80\nCMD ["httpd", "-f", "-p", "80", "-h", "/www"]\n',
    'index.cgi': '#!/bin/sh\nprintf "Content-Type: text/plain\\r\\n\\r\\n"\nstore=%s\necho "visit $(wget -qO- http://$store/cgi-bin/next)"\n'
                 % "$(nslookup $STORE | sed -n '/^Name/,$s/^Address[^:]*: *\\([0-9.]*\\).*/\\1/p' | head -n1)"},
    'store': {
    'Dockerfile': 'FROM probe:1\nCOPY --chmod=755 next.cgi /srv/cgi-bin/next\nVOLUME /data\nCMD ["httpd", "-f", "-p", "80", "-h", "/srv"]\n',
    'next.cgi': '#!/bin/sh\nprintf "Content-Type: text/plain\\r\\n\\r\\n"\nn=$(cat /data/count 2>/dev/null); echo $((n + 1)) | tee /data/count\n'}}
count = bad = 0


def check(good, name, *detail):
    global count, bad
    count += 1
    bad += not good
    print('%s %d - %s' % ('ok' if good else 'not ok', count, name))
    if not good:
        print('\n'.join('# ' + line for d in detail for line in str(d)[:2000].splitlines()))
    sys.stdout.flush()


def main(directory):
    suite.trap_runtimes(directory)
    suite.build_images(directory)  # the base
    place = directory + '/vessel'
    os.makedirs(place)
    os.symlink(directory + '/trapped.calls', place + '/trapped.calls')
    vessel = suite.program('VESSEL', 'build/runtime/vessel')
    kiln = [suite.program('KILN', 'build/builder/kiln')]
    store = ['--store', directory + '/kiln']
    runtime = suite.Runtime(place, 'vessel', vessel)
    with docker_engine.docker(place, runtime) as engine:
        for name, files in FILES.items():
            context = '%s/app/%s' % (directory, name)
            os.makedirs(context)
            for file, text in files.items():
                with open(context + '/' + file, 'w') as f:
                    f.write(text)
            built = suite.run([*kiln, 'build', *store, '-q', '-t', 'my-%s:1' % name, context], code=None)
            archive = '%s/%s.tar' % (directory, name)
            saved = suite.run([*kiln, 'save', *store, '-o', archive, 'my-%s:1' % name], code=None)
            loaded = engine('load', '-q', '-i', archive, code=None)
            check(loaded.code == 0, 'an image of kiln\'s in Docker: ' + name, built, saved, loaded)
        with open(directory + '/app/docker-compose.yml', 'w') as f:
            f.write(COMPOSE)
        compose = lambda *words, **more: suite.run(['docker-compose', '-f', directory + '/app/docker-compose.yml', '-p', 'app', *words],
                                                   environment=engine.environment, timeout=120, **more)
        page = lambda: suite.run(['curl', '-s', '-m', '5', 'http://127.0.0.1:8090/cgi-bin/index'], code=None).out
        visits = []

        def visit():
            visits.append(page())
            return visits[-1].startswith('visit ') and visits[-1] != 'visit '

        try:
            up = compose('up', '-d', code=None)
            check(up.code == 0, 'up -d', up)
            suite.eventually('the page', visit, 30)
            check(visits[-1] == 'visit 1', 'the page comes from both services, through the published port', visits)
            check(page() == 'visit 2', 'and again')
            ids = {s: compose('ps', '-q', s).out for s in FILES}
            ps = compose('ps')
            check(ps.out.count(' Up ') == 2 and '127.0.0.1:8090->80/tcp' in ps.out, 'ps', ps)
            r = compose('exec', '-T', 'web', 'nslookup', 'store', code=None)
            own = engine.inspect(ids['store'], '{{(index .NetworkSettings.Networks "app_back").IPAddress}}')
            check(own and own in r.out, 'a service has the other\'s name on the network', r, own)
            names = engine.inspect(ids['store'], '{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}').split()
            check(names == ['app_back'], 'the store is on the inner network alone', names)
            compose('restart', '-t', '1', 'web')
            suite.eventually('the page', visit, 30)
            check(visits[-1] == 'visit 3', 'restart of one service', visits)
            compose('down', '-t', '1')
            check(not page() and not engine('ps', '-aq').out, 'down: nothing runs')
            compose('up', '-d')
            ids.update({s + ' anew': compose('ps', '-q', s).out for s in FILES})
            suite.eventually('the page', visit, 30)
            check(visits[-1] == 'visit 4', 'up again: the volume has outlived the containers', visits)
            compose('stop', '-t', '1')
            check(compose('ps').out.count(' Exit ') == 2, 'stop')
        except (AssertionError, OSError) as e:
            check(False, 'the application works', e)
        finally:
            compose('down', '-v', '-t', '0', code=None)
        check('app_visits' not in engine('volume', 'ls', '-q').out.split(), 'down -v takes the volume away')
        lacking = {s: runtime.verbs(i) for s, i in ids.items() if not {'create', 'start', 'delete'} <= set(runtime.verbs(i))}
        check(not lacking and not runtime.others(), 'all of it by vessel, and by no other runtime', lacking, runtime.others())
    print('1..%d' % count)
    sys.stdout.flush()
    os._exit(1 if bad else 0)


main(sandbox.enter('dockerd', '/usr/bin/docker', 'docker-compose', 'runc', 'curl', 'iptables'))
