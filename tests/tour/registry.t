#!/usr/bin/env python3
# slow
"""Images between two machines: login on a terminal, tag, push, pull, run, pinned digests, logout; by way of
a registry with users and with a certificate of a private authority."""
from tour import *
sys.path.insert(0, os.path.join(TOP, 'tests/registry'))
import registry_case

need('docker-registry', 'openssl', 'htpasswd')
PASSWORD = 'corr3ct-h0rse'
users = os.path.join(DIR, 'users')
write(DIR, {'users': subprocess.run(['htpasswd', '-nbB', 'ada', PASSWORD], capture_output=True, text=True).stdout})
authority, key, certificate = registry_case.make_authority(os.path.join(DIR, 'tls'))
host, _ = registry_case.docker_registry(auth={'htpasswd': {'realm': 'r', 'path': users}},
                                        tls={'certificate': certificate, 'key': key})
# A home and a store for each of two machines.
laptop, server = ({'HOME': os.path.join(DIR, name), 'XDG_CONFIG_HOME': os.path.join(DIR, name, '.config'), 'XDG_RUNTIME_DIR': '',
                   'KILN_STORE': os.path.join(DIR, name, 'store')} for name in ('laptop', 'server'))
for machine in laptop, server:
    os.makedirs(machine['HOME'])
ENV.update(laptop)
for name in 'DOCKER_CONFIG', 'REGISTRY_AUTH_FILE', 'KILN_REGISTRIES', 'https_proxy', 'HTTPS_PROXY', 'SSL_CERT_FILE':
    ENV.pop(name, None)
    os.environ.pop(name, None)


def digest(r):
    return next((line.split()[1] for line in r.out.splitlines() if line.startswith('Digest: ')), None)


def trust(machine):
    place = os.path.join(machine['XDG_CONFIG_HOME'], 'kiln/certs.d', host)
    os.makedirs(place)
    shutil.copy(authority, place + '/ca.crt')


base_image('node:20-alpine')
app = context('app', Dockerfile='FROM node:20-alpine\nWORKDIR /www\nCOPY index.html .\nEXPOSE 80\n'
                                'CMD ["httpd", "-f", "-p", "80"]\n', index__html='first\n')
name = host + '/ada/my-app'
r = build(app, '-t', 'my-app:latest')
check(r.code == 0 and kiln('tag', 'my-app:latest', name + ':1').code == 0, 'build, and tag with the registry in the name', r)
r = kiln('push', name + ':1')
check(r.code == 1 and 'certs.d/%s/ca.crt' % host in r.err, 'push: a certificate that nobody vouches for; where to put the authority', r)
trust(laptop)
r = kiln('push', name + ':1')
check(r.code == 1 and 'kiln login ' + host in r.err, 'push: not logged in; how to', r)

t = Terminal(KILN, 'login', host)
t.until('User of .*: $')
t.type('ada\n')
t.until('Password: $')
t.type('wrong\n')
code = t.end()
check(code == 1 and 'refuses' in t.text and 'wrong' not in t.text, 'login with a wrong password', code, t.text)
t = Terminal(KILN, 'login', host)
t.until('User of .*: $')
t.type('ada\n')
t.until('Password: $')
t.type('\x03')
code = t.end()
check(code == 130 and t.modes() == t.before, 'Ctrl-C at the password: the terminal echoes again', code, t.text)
t = Terminal(KILN, 'login', host)
t.until('User of .*: $')
t.type('ada\n')
t.until('Password: $')
t.type(PASSWORD + '\n')
code = t.end()
check(code == 0 and PASSWORD not in t.text and t.modes() == t.before, 'login asks on the terminal and shows no password', code, t.text)

r = kiln('push', name + ':1')
first = digest(r)
check(r.code == 0 and first, 'push', r)
trust(server)
r = kiln('login', '-u', 'ada', '--password-stdin', host, input=PASSWORD, env=server)
check(r.code == 0, 'login from a script', r)
r = kiln('pull', name + ':1', env=server)
check(r.code == 0 and digest(r) == first, 'pull on another machine: the same digest', r)
port = free_port()
r = run('-d', '--name', 'pulled', '-p', '127.0.0.1:%d:80' % port, name + ':1', env=server)
check(r.code == 0 and get(port) == 'first\n', 'which runs there and answers on its port', r)
vessel('delete', '-f', 'pulled')
r = kiln('rmi', name + ':1', env=server)
r = run('--rm', name + ':1', 'cat', '/www/index.html', env=server)
check(r.code == 0 and r.out == 'first\n', 'run of an image that is not there pulls it', r)

# The tag moves; a pinned digest does not.
pinned = context('pinned', Dockerfile='FROM %s:1@%s\nRUN cp /www/index.html /seen\n' % (name, first))
r = build(pinned, '-t', 'pinned')
check(r.code == 0 and run('--rm', 'pinned', 'cat', '/seen').out == 'first\n', 'FROM name:tag@digest', r)
write(app, {'index.html': 'second\n'})
build(app, '-t', name + ':1')
second = digest(kiln('push', name + ':1'))
check(second and second != first, 'the tag moves to another image')
for machine, where in (laptop, 'here'), (server, 'on a machine that has only pulled it'):
    r = kiln('build', '--no-cache', '--pull', '--progress', 'plain', '-t', 'pinned', pinned, env=machine)
    check(r.code == 0 and run('--rm', 'pinned', 'cat', '/seen', env=machine).out == 'first\n', 'a pinned base stays the same, ' + where, r)
r = kiln('pull', name + '@' + first, env=server)
check(r.code == 0 and digest(r) == first, 'pull name@digest: what it was', r)
check(run('--rm', name + '@' + first, 'cat', '/www/index.html', env=server).out == 'first\n', 'run name@digest')
r = kiln('pull', name + ':1', env=server)
check(digest(r) == second, 'pull of the tag: what it is now', r)
r = kiln('images', '--digests', env=server)
check(r.code == 0 and second in r.out, 'images --digests', r)
absent = 'sha256:' + '0' * 64
r = build(context('absent', Dockerfile='FROM %s:1@%s\n' % (name, absent)))
check(r.code == 1 and absent[:19] in r.err and 'Dockerfile:1' in r.err, 'a digest that the registry does not have', r)

r = kiln('logout', host)
check(r.code == 0 and kiln('push', name + ':1').code == 1, 'logout: push is refused', r)
check(PASSWORD not in subprocess.run(['grep', '-rsh', PASSWORD, DIR], capture_output=True, text=True).stdout, 'the password stands nowhere')
finish()
