#!/usr/bin/env python3
# slow
"""`kiln run -it` on a real terminal, and exit codes as Docker's."""
from tour import *

need()
base_image('ubuntu')
PROMPT = r'# (\x1b\[6n)?$'

t = Terminal(KILN, 'run', '--root', ROOT, '--rm', '-it', '--name', 'shell', 'ubuntu', 'sh')
check(t.until(PROMPT), 'run --rm -it: a prompt', t.text)
check(t.modes() != t.before, 'the caller\'s terminal is raw meanwhile')
t.type('tty; stty size; echo $TERM $$\n')
check(t.until(r'/dev/(pts/\d+|console)\r\n30 100\r\n\S+ 1\r\n'), 'a terminal with the window\'s size', t.text)
t.resize(50, 132)
time.sleep(0.3)
t.type('stty size\n')
check(t.until(r'50 132\r\n'), 'resize', t.text)
t.until(PROMPT)
t.type('sleep 100\n')
time.sleep(0.3)
t.type('\x03')
check(t.until(PROMPT), 'Ctrl-C ends the command, not the shell', t.text)
t.type('exit 42\n')
equal(t.end(), 42, 'the exit code', t.text)
check(t.modes() == t.before, 'raw mode is taken back')
check(state('shell') == 'gone' and os.listdir(STORE + '/kiln/bundles') == [], '--rm leaves nothing')

# As everywhere, process 1 of a pid namespace takes only signals that it handles: hence --init.
t = Terminal(KILN, 'run', '--root', ROOT, '--rm', '-it', '--init', 'ubuntu', 'cat')
wait_until(lambda: t.modes() != t.before)
time.sleep(0.5)
t.type('\x03')
equal(t.end(), 130, 'Ctrl-C on a program that does not expect it: 128 + INT', t.text)
check(t.modes() == t.before, 'raw mode is taken back')
t = Terminal(KILN, 'run', '--root', ROOT, '--rm', '-it', 'ubuntu', 'cat')
wait_until(lambda: t.modes() != t.before)
time.sleep(0.3)
t.type('typed\n\x04')
equal(t.end(), 0, 'Ctrl-D is end of file', t.text)
check(t.text.count('typed') == 2, 'typing is echoed once and read once', repr(t.text))

# Whoever is killed, the terminal is usable afterwards.
for who in 'container', 'runtime':
    t = Terminal(KILN, 'run', '--root', ROOT, '--name', 'hit-' + who, '-it', 'ubuntu', 'sh')
    t.until(PROMPT)
    pid = json.loads(vessel('state', 'hit-' + who).out)['pid']
    if who == 'runtime':
        pid = int(re.search(r'^PPid:\s+(\d+)', open('/proc/%d/status' % pid).read(), re.M).group(1))
    os.kill(pid, signal.SIGKILL)
    equal(t.end(), 137, 'SIGKILL of the %s: 137' % who, t.text)
    check(t.modes() == t.before, 'and raw mode is taken back')
    equal(vessel('delete', '-f', 'hit-' + who).code, 0, 'and delete cleans up')
t = Terminal(KILN, 'run', '--root', ROOT, '--rm', '-it', 'ubuntu', 'no-such-program')
equal(t.end(), 127, 'a start that fails')
check(t.modes() == t.before, 'leaves the terminal as it was', t.text)

for words, code, name in (
        (['ubuntu', 'sh', '-c', 'exit 7'], 7, 'the program\'s own'),
        (['ubuntu', 'no-such-program'], 127, 'not found'),
        (['ubuntu', '/no/such/program'], 127, 'no such file'),
        (['ubuntu', '/etc/passwd'], 126, 'not executable'),
        (['ubuntu', '/etc'], 126, 'a directory'),
        (['ubuntu', 'sh', '-c', 'kill -9 $$; sleep 1; exit 3'], 3, 'process 1 cannot kill itself'),
        (['ubuntu', 'sh', '-c', 'sh -c \'kill -TERM $$\'; exit $?'], 143, '128 + TERM of a child'),
        (['no-such-image'], 125, 'no such image'),
        (['--network', 'moon', 'ubuntu', 'true'], 125, 'a wrong option'),
        (['--restart', 'always', 'ubuntu', 'true'], 125, '--restart always'),
        (['-p', '99999:80', 'ubuntu', 'true'], 125, 'no such port')):
    r = run('--rm', *words)
    equal(r.code, code, 'exit code: ' + name, r)
equal(run('--rm', '--init', 'ubuntu', 'sh', '-c', 'kill -9 $$').code, 137, 'exit code: 128 + KILL under --init')
r = run('--rm', '--init', 'ubuntu', 'ps')
check(r.code == 0 and re.search(r'^ *1 root .*/dev/\.init', r.out, re.M), '--init is process 1', r)
equal(run('--rm', '-i', 'ubuntu', 'cat', input='piped\n').out, 'piped\n', '-i without -t: a pipe')
equal(run('--rm', 'ubuntu', 'sh', '-c', 'echo out; echo err >&2').out, 'out\n', 'stdout and stderr are apart')
p = subprocess.Popen([KILN, 'run', '--root', ROOT, '--rm', 'ubuntu', 'sh', '-c', 'trap "exit 9" TERM; echo up; sleep 30 & wait'],
                     stdout=subprocess.PIPE, env=ENV)
p.stdout.readline()
p.terminate()
equal(p.wait(20), 9, 'a signal to kiln reaches the program')
finish()
