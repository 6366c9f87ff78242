#!/usr/bin/env python3
# slow
"""Tab in bash, zsh and fish, on a terminal: containers by their status, images with their tags, stages of the
Dockerfile, verbs, options, files."""
from tour import *

need()
base_image('nginx:1.23')
build(context('app', Dockerfile='FROM nginx:1.23 AS builder\nFROM builder AS tester\nFROM nginx:1.23\nCMD ["true"]\n'), '-t', 'my-app:latest', '-t', 'my-app:1.0')
write(DIR + '/app', {'other.Dockerfile': 'FROM nginx:1.23 AS special\n'})
for name in 'web-one', 'web-two', 'held':
    run('-d', '--name', name, '--network', 'none', 'nginx:1.23', 'sleep', '1000')
run('-d', '--name', 'ended', '--network', 'none', 'nginx:1.23', 'true')
vessel('pause', 'held')
wait_until(lambda: state('ended') == 'stopped')
PATH = '%s:%s:%s' % (os.path.dirname(VESSEL), os.path.dirname(KILN), os.environ['PATH'])
scripts = os.path.join(DIR, 'scripts')
os.mkdir(scripts)
for program, path in ('vessel', VESSEL), ('kiln', KILN):
    for shell in 'bash', 'zsh', 'fish':
        write(scripts, {program + '.' + shell: call(path, 'completion', shell).out})


class Shell:
    """A shell that a person types into, with both scripts read."""

    def __init__(self, name):
        start = {
            'bash': ['bash', '--norc', '--noprofile', '-i'],
            'zsh': ['zsh', '-f', '-i'],
            'fish': ['fish', '--private', '--no-config', '-i']}[name]
        home = os.path.join(DIR, 'home-' + name)
        os.makedirs(home, exist_ok=True)
        self.name = name
        ENV.update(PATH=PATH, HOME=home, XDG_CONFIG_HOME=home, XDG_DATA_HOME=home, PS1='READY> ', KILN_STORE=STORE)
        self.terminal = Terminal(shutil.which(name), *start[1:], columns=200)
        prepare = {
            'bash': 'bind "set enable-bracketed-paste off"; bind "set bell-style none"; PS1="READY> "; ',
            'zsh': 'unsetopt prompt_sp; unset zle_bracketed_paste; autoload -Uz compinit; compinit -u -D; setopt no_beep; PS1="READY> "; ',
            'fish': 'function fish_prompt; echo "READY> "; end; function fish_greeting; end; set -g fish_autosuggestion_enabled 0; '}[name]
        time.sleep(0.5)
        self.terminal.type(prepare + 'cd %s/app; source %s/vessel.%s; source %s/kiln.%s; echo set-$((40+2))-up\n'.replace(
            '$((40+2))', '(math 40+2)' if name == 'fish' else '$((40+2))') % (DIR, scripts, name, scripts, name))
        self.terminal.until('set-42-up', 30)
        self.terminal.until('READY> ', 10)


def bash(line):
    """The answers of bash's own machinery for a line: its words parted as readline parts them."""
    script = '''
source %s/vessel.bash; source %s/kiln.bash
line=$1
program=${line%%%% *}
rest=$line; COMP_WORDS=()
while [[ $rest ]]; do
  if [[ $rest =~ ^[[:space:]]+ ]]; then rest=${rest:${#BASH_REMATCH}}
  elif [[ $rest =~ ^[:=]+ ]]; then COMP_WORDS+=("$BASH_REMATCH"); rest=${rest:${#BASH_REMATCH}}
  else [[ $rest =~ ^[^:=[:space:]]+ ]]; COMP_WORDS+=("$BASH_REMATCH"); rest=${rest:${#BASH_REMATCH}}; fi
done
[[ $line == *' ' ]] && COMP_WORDS+=('')
COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMP_LINE=$line COMP_POINT=${#line} COMP_WORDBREAKS=' =:'
_$program
printf '%%s\\n' "${COMPREPLY[@]}"
''' % (scripts, scripts)
    r = call('bash', '-c', script, 'bash', line, cwd=DIR + '/app', env={'PATH': PATH})
    return sorted(r.out.split()) if not r.err else r.err


R = '--root ' + ROOT
for line, expected, name in (
        ('vessel %s exec ' % R, ['web-one', 'web-two'], 'exec: the running containers'),
        ('vessel --root=%s exec -it web-o' % ROOT, ['web-one'], '--root=DIR is heeded'),
        ('vessel %s resume ' % R, ['held'], 'resume: the paused one'),
        ('vessel %s stop ' % R, ['held', 'web-one', 'web-two'], 'stop: those that run or are paused'),
        ('vessel %s logs ' % R, ['ended', 'held', 'web-one', 'web-two'], 'logs: every container'),
        ('vessel %s start ' % R, ['ended'], 'start: the stopped one'),
        ('vessel re', ['resume'], 'a verb'),
        ('vessel %s exec --us' % R, ['--user'], 'an option'),
        ('kiln run ', ['my-app:1.0', 'my-app:latest', 'nginx:1.23'], 'run: images with their tags'),
        ('kiln run --rm my-app:l', ['latest'], 'a tag: bash keeps what stands before the colon'),
        ('kiln run my-app:', ['1.0', 'latest'], 'the tags after the colon'),
        ('kiln --store %s rmi ng' % STORE, ['nginx:1.23'], '--store is heeded'),
        ('kiln build --target ', ['builder', 'tester'], '--target: stages of ./Dockerfile'),
        ('kiln build --target=b', ['builder'], '--target=: the same'),
        ('kiln build -f other.Dockerfile --target ', ['special'], '--target: stages of the file after -f'),
        ('kiln build -f ', ['Dockerfile', 'other.Dockerfile'], '-f: files'),
        ('kiln build --progress ', ['auto', 'json', 'plain', 'quiet', 'tty'], 'an option\'s values')):
    equal(bash(line), expected, 'bash: ' + name)

# On a terminal, as it is typed: the shell completes, runs the line, and the programs answer.
for shell in 'bash', 'zsh', 'fish':
    if not shutil.which(shell):
        skip(shell + ' on a terminal', shell)
        continue
    s = Shell(shell)
    t = s.terminal
    for typed, rest, wanted, name in (
            ('vessel %s exec web-t\t' % R, 'echo in-$HOSTNAME-container\n', r'in-\S*-container', 'exec: a container'),
            ('kiln run --rm --network none my-app:l\t', 'echo ran-\'it\'\n', 'ran-it', 'run: an image with its tag'),
            ('kiln build --progress plain --target te\t', '-t tested .\n', 'tester|CACHED|DONE', '--target: a stage'),
            ('kiln hist\t', 'my-app:1.0\n', 'CREATED', 'a verb')):
        t.text = ''
        t.type(typed)
        time.sleep(1.5)
        t.type(rest)
        got = t.until(wanted + r'[\s\S]*READY> ', 20)
        full = {'exec: a container': 'web-two', 'run: an image with its tag': 'my-app:latest', '--target: a stage': 'tester', 'a verb': 'history'}[name]
        check(got and full in got.string, shell + ' on a terminal: ' + name, repr(t.text[-1500:]))
    t.type('exit\n')
    t.end()
finish()
