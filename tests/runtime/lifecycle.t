#!/usr/bin/env python3
# Every verb's life: outputs, exit codes and the texts that engines match.
import json, os, re, sys, time
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from bundle import *


def message(r):
    m = re.fullmatch(r'time="[^"]+" level=error msg="(.*)"\n', r.err)
    return m.group(1).replace('\\"', '"') if m else r.err


def refused(r, text, code=1):
    return r.code == code and text in message(r)


id = name()
c = config('sleep', '1000')
c['annotations'] = {'a.b/c': 'd'}
b = bundle(c)
pid_file = os.path.join(DIR, 'pid')
broken = bundle(config('/bin/broken'))
with open(broken + '/rootfs/bin/broken', 'w') as f:
    f.write('#!/nonexistent\n')
os.chmod(broken + '/rootfs/bin/broken', 0o755)
r = vessel('run', '-d', '--pid-file', pid_file, '--bundle', broken, name(), detached=True)
check(r.code == 1 and not os.path.exists(pid_file), 'run of a program that cannot start leaves no pid file', r)
# Podman reads the log of a failure as one object, however much there was to warn of.
log = os.path.join(DIR, 'one.log')
warned = config('/bin/nosuch')
warned['linux'].setdefault('resources', {})['unified'] = {'memory.nosuch': '1'}
r = vessel('--log', log, '--log-format', 'json', 'create', '--bundle', bundle(warned), name())
check(r.code == 1 and json.load(open(log))['level'] == 'error', 'a failure is one line of the log', (r, open(log).read()))
r = vessel('create', '--bundle', b, '--pid-file', pid_file, id)
check(r.code == 0 and r.err == '', 'create', r)
pid = open(pid_file).read()
check(pid.isdigit(), 'the pid file holds digits only', repr(pid))
s = state(id)
check(list(s) == ['ociVersion', 'id', 'pid', 'status', 'bundle', 'rootfs', 'created',
                  'annotations', 'owner'], 'state has the fields in runc\'s order', s)
check(s['status'] == 'created' and s['pid'] == int(pid) and s['bundle'] == b and
      s['annotations'] == {'a.b/c': 'd'}, 'state after create', s)
check(re.fullmatch(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z', s['created']), 'time of creation', s)
check(os.readlink('/proc/%s/exe' % pid) != '', 'init is there')
check(refused(vessel('create', '--bundle', b, id), 'container with given ID already exists'),
      'create of an id in use')
r = vessel('start', id)
check(r.code == 0 and r.out == '' and r.err == '', 'start', r)
check(state(id)['status'] == 'running', 'running')
check(open('/proc/%s/cmdline' % pid).read() == 'sleep\0001000\000', 'start returned after execve')
check(refused(vessel('start', id), 'cannot start an already running container'), 'start again')
r = vessel('list')
check(re.match(r'ID +PID +STATUS +BUNDLE +CREATED +OWNER\n%s +%s +running +%s +\S+ +root\n$'
               % (id, pid, b), r.out), 'list', r)
check(json.loads(vessel('list', '-f', 'json').out)[0]['owner'] == 'root', 'list as JSON')
check(vessel('list', '-q').out == id + '\n', 'list of ids')
check(json.loads(vessel('ps', '-f', 'json', id).out) == [int(pid)], 'ps as JSON')
r = vessel('ps', id)
check('PID' in r.out.split('\n')[0] and len(r.out.split('\n')) == 3 and 'sleep' in r.out, 'ps', r)
r = vessel('ps', id, '-o', 'pid,comm')
check(r.out.split() == ['PID', 'COMMAND', pid, 'sleep'], 'ps with options', r)
r = vessel('events', '--stats', id)
e = json.loads(r.out)
check(e['type'] == 'stats' and e['id'] == id and e['data']['pids']['current'] == 1, 'events', r)
check(refused(vessel('delete', id), 'cannot delete container %s that is not stopped: running' % id),
      'delete of a running one')
check(vessel('pause', id).code == 0 and state(id)['status'] == 'paused', 'pause')
check(refused(vessel('pause', id), 'container not running'), 'pause again')
check(refused(vessel('exec', id, 'true'), 'exec failed: cannot exec in a paused container '
              '(use --ignore-paused to override)', 255), 'exec in a paused one')
check(vessel('resume', id).code == 0 and state(id)['status'] == 'running', 'resume')
check(refused(vessel('resume', id), 'container not paused'), 'resume again')
check(vessel('update', '--pids-limit', '7', id).code == 0, 'update')
check(json.loads(vessel('events', '--stats', id).out)['data']['pids']['limit'] == 7, 'updated')
check(vessel('update', '-r', '-', id, stdin=b'{"pids":{"limit":9}}').code == 0 and
      json.loads(vessel('events', '--stats', id).out)['data']['pids']['limit'] == 9,
      'update from standard input')
check(vessel('kill', id, 'KILL').code == 0, 'kill')
for _ in range(100):
    if state(id)['status'] == 'stopped':
        break
    time.sleep(0.01)
check(state(id)['status'] == 'stopped' and state(id)['pid'] == 0, 'stopped')
check(refused(vessel('kill', id, '9'), 'container not running'), 'kill of a stopped one')
check(vessel('kill', '-a', id, '9').code == 0, 'kill --all of a stopped one')
check(refused(vessel('exec', id, 'true'), 'exec failed: cannot exec in a stopped container', 255),
      'exec in a stopped one')
check(len(vessel('ps', id).out.split('\n')) == 2, 'ps of a stopped one prints the heading')
check(refused(vessel('pause', id), 'container not running'), 'pause of a stopped one')
check(refused(vessel('start', id), 'cannot start a container that has stopped'), 'start')
check(refused(vessel('events', '--stats', id), 'container with id %s is not running' % id),
      'events of a stopped one')
check(refused(vessel('update', '--memory', '1', id), 'container not running'), 'update')
check(vessel('delete', id).code == 0, 'delete')
for args in (['delete', id], ['state', id], ['kill', id, '9'], ['start', id]):
    check(refused(vessel(*args), 'container does not exist'), args[0] + ' of none')
check(refused(vessel('exec', id, 'true'), 'exec failed: container does not exist', 255),
      'exec in none')
check(vessel('delete', '--force', id).code == 0, 'delete --force of none')
check(vessel('list', '-f', 'json').out == 'null\n', 'list of none as JSON')
check(left_over() == [], 'nothing is left', left_over())

# run
r = run(config('sh', '-c', 'echo out; echo err >&2; exit 42'))
check((r.code, r.out, r.err) == (42, 'out\n', 'err\n'), 'run passes output and exit code on', r)
check(run(config('sh', '-c', 'kill -9 $$')).code in (137, 0), 'run of a process that kills itself')
for args, text in ((['nonexist'], 'exec: "nonexist": executable file not found in $PATH'),
                   (['/etc/passwd'], 'exec: "/etc/passwd": permission denied'),
                   (['/etc'], 'exec: "/etc": is a directory'),
                   (['/nope'], 'exec: "/nope": stat /nope: no such file or directory')):
    r = run(config(*args))
    check(refused(r, text), 'run of %s' % args[0], r)
    r = vessel('create', '--bundle', bundle(config(*args)), name())
    check(refused(r, text), 'create with %s' % args[0], r)
script = bundle(config('/bin/broken'))
with open(script + '/rootfs/bin/broken', 'w') as f:
    f.write('no program at all')
os.chmod(script + '/rootfs/bin/broken', 0o755)
id = name()
check(vessel('create', '--bundle', script, id).code == 0, 'create with a file that is no program')
r = vessel('start', id)
check(refused(r, 'exec format error'), 'start says why execve failed', r)
vessel('delete', '--force', id)
# No pid file names a process that never was the program.
for args in (['run'], ['run', '--detach']):
    r = vessel(*args, '--pid-file', pid_file + '.none', '--bundle', script, name())
    check(refused(r, 'exec format error') and not os.path.exists(pid_file + '.none') and left_over() == [],
          '%s of a file that is no program leaves no pid file' % ' '.join(args), (r, left_over()))
id = name()
living = bundle(config('sleep', '1000'))
shutil.copy(script + '/rootfs/bin/broken', living + '/rootfs/bin')
vessel('run', '--detach', '--bundle', living, id)
for args in (['exec'], ['exec', '--detach']):
    r = vessel(*args, '--pid-file', pid_file + '.none', id, '/bin/broken')
    check(refused(r, 'exec format error', 255) and not os.path.exists(pid_file + '.none'),
          '%s of a file that is no program leaves no pid file' % ' '.join(args), r)
vessel('delete', '--force', id)
with open(script + '/rootfs/bin/broken', 'w') as f:
    f.write('#!/no/such/interpreter\n')
id = name()
check(vessel('create', '--bundle', script, id).code == 0, 'create with a script without its interpreter')
r = vessel('start', id)
check(refused(r, 'no such file or directory'), 'start says that the interpreter is missing', r)
vessel('delete', '--force', id)
r = run(config('/bin/script'))
r = vessel('run', '--detach', '--bundle', bundle(config('sleep', '1000')), name())
check(r.code == 0, 'run --detach', r)
check(vessel('delete', '--force', '%s-%d' % (TAG, int(name().split('-')[-1]) - 1)).code == 0,
      'delete --force of a running one')
id = name()
r = vessel('run', '--keep', '--bundle', bundle(config('true')), id)
check(r.code == 0 and state(id)['status'] == 'stopped', 'run --keep', r)
vessel('delete', id)
check(left_over() == [], 'nothing is left of any run', left_over())

# The command line itself.
for args in (['--version'], ['-v']):
    check(vessel(*args).out.startswith('runc version '), ' '.join(args))
check(vessel('no-such-verb').code == 3, 'an unknown command')
r = vessel('create', '--no-such-option', 'c')
check(r.code == 1 and 'flag provided but not defined: -no-such-option' in r.err, 'unknown option', r)
check(vessel('kill').code == 1 and vessel('kill', 'a', 'b', 'c').code == 1, 'numbers of arguments')
r = vessel('checkpoint', '--help')
check(r.code == 1 and 'not supported' in r.err and r.out == '', 'checkpoint --help', r)
for verb in 'create start run exec state kill delete list ps pause resume update events'.split():
    r = vessel(verb, '--help')
    check(r.code == 0 and 'USAGE' in r.out, verb + ' --help')
log = os.path.join(DIR, 'log')
r = vessel('--log', log, '--log-format', 'json', 'state', 'none')
j = json.load(open(log))
check(j['level'] == 'error' and j['msg'] == 'container does not exist' and 'time' in j,
      'the log file is one JSON object', open(log).read())
check('container does not exist' in r.err, 'and the message is on stderr too')
done()
