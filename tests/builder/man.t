#!/usr/bin/env python3
"""kiln(1) documents exactly the verbs and options of the option tables, in both directions."""
import os, re, subprocess, sys

top = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
kiln = os.environ.get('KILN', os.path.join(top, 'build/builder/kiln'))
page = open(os.path.join(top, 'man/kiln.1')).read()
count = failed = 0


def check(ok, name, *why):
    global count, failed
    count += 1
    failed += not ok
    print(('ok' if ok else 'not ok'), count, '-', name)
    for line in why if not ok else []:
        print('#', line)


def run(*words):
    return subprocess.run([kiln, *words], capture_output=True, text=True, timeout=20)


table = {}
for line in run('completion', 'tables').stdout.splitlines():
    words = line.split()
    if words[0] == '*':
        continue
    options = table.setdefault(words[0], {})
    if len(words) > 1:
        name, _, letter = words[1].partition(',')
        options[name.lstrip('-')] = letter.lstrip('-')
check(len(table) > 10, 'the tables can be listed')

sections = {}
for part in re.split(r'^\.Ss ', page, flags=re.M)[1:]:
    name, _, body = part.partition('\n')
    body = re.split(r'^\.Sh ', body, flags=re.M)[0]
    sections[name.strip()] = {
        m.group(2): m.group(1) or ''
        for m in re.finditer(r'^\.It (?:Fl (\w) , )?Fl Fl ([\w-]+)', body, re.M)}

check(set(table) == set(sections), 'every verb has its section and no other is there',
      'undocumented: %s' % sorted(set(table) - set(sections)),
      'not a verb: %s' % sorted(set(sections) - set(table)))
for verb in sorted(table):
    documented = sections.get(verb, {})
    check(documented == table[verb], 'options of kiln ' + verb,
          'undocumented: %s' % sorted(set(table[verb].items()) - set(documented.items())),
          'not an option: %s' % sorted(set(documented.items()) - set(table[verb].items())))
general = page.split('.Sh VERBS')[0]
for line in run('completion', 'tables').stdout.splitlines():
    if line.startswith('* --'):
        name = line[4:].split()[0]
        check(re.search(r'^\.It .*Fl Fl %s\b' % re.escape(name), general, re.M) is not None,
              'global option --' + name)

for shell, parse in (('bash', ['bash', '-n']), ('zsh', ['zsh', '-n']), ('fish', ['fish', '-n'])):
    script = run('completion', shell)
    named = all(verb in script.stdout for verb in table)
    check(script.returncode == 0 and named, shell + ' completion names every verb')
    try:
        p = subprocess.run(parse, input=script.stdout, capture_output=True, text=True)
        check(p.returncode == 0, shell + ' reads its completion', p.stderr)
    except FileNotFoundError:
        count += 1
        print('ok %d - %s reads its completion # SKIP no %s' % (count, shell, shell))
p = subprocess.run(['bash', '-c', run('completion', 'bash').stdout + '''
COMP_WORDS=(kiln im); COMP_CWORD=1; _kiln; echo "${COMPREPLY[*]}"
COMP_WORDS=(kiln save --format d); COMP_CWORD=3; _kiln; echo "${COMPREPLY[*]}"
COMP_WORDS=(kiln --store /x prune --ke); COMP_CWORD=4; _kiln; echo "${COMPREPLY[*]}"'''],
                   capture_output=True, text=True)
check(p.stdout.splitlines() == ['images import', 'docker', '--keep-storage'],
      'bash completes verbs, values and options', p.stdout, p.stderr)

usage = [
    ((), 1), (('imagse',), 1), (('images', '--bogus'), 1), (('run',), 125), (('run', '--bogus'), 125),
    (('--help',), 0), (('images', '--help'), 0), (('help', 'run'), 0), (('--version',), 0),
]
for words, status in usage:
    p = run(*words)
    check(p.returncode == status, 'kiln %s exits with %d' % (' '.join(words), status), p.stderr)
check("did you mean 'images'" in run('imagse').stderr, 'a misspelt verb gets a suggestion')
for verb in table:
    lines = run(verb, '--help').stdout.splitlines()
    check(len(lines) > 3 and max(map(len, lines)) <= 80, 'kiln %s --help fits the screen' % verb)
print('1..%d' % count)
sys.exit(failed > 0)
