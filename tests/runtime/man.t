#!/usr/bin/env python3
"""vessel(1) documents exactly the commands and options of the option tables, in both directions."""
import os, re, subprocess, sys

top = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
vessel = os.environ.get('VESSEL', os.path.join(top, 'build/runtime/vessel'))
page = open(os.path.join(top, 'man/vessel.1')).read()
count = failed = 0


def check(ok, name, *why):
    global count, failed
    count += 1
    failed += not ok
    print(('ok' if ok else 'not ok'), count, '-', name)
    for line in why if not ok else []:
        print('#', line)


def help_of(*words):
    return subprocess.run([vessel, *words, '--help'], capture_output=True, text=True,
                          timeout=20).stdout


# --help is written from the tables, a row a line: "   --name ARGUMENT, -n   text".
def rows(text):
    found = {}
    for m in re.finditer(r'^   (--[a-z0-9-]+)(?: \S+)?(?:, (-\w))?\s{2,}', text, re.M):
        found[m.group(1)] = m.group(2) or ''
    found.pop('--help', None)
    return found


def documented(text):
    return {'--' + m.group(2): ('-' + m.group(1) if m.group(1) else '')
            for m in re.finditer(r'^\.It (?:Fl (\w) , )?Fl Fl ([a-z0-9-]+)', text, re.M)}


top_help = help_of()
verbs = re.findall(r'^   ([a-z]+) +\S', top_help.split('COMMANDS:')[1].split('GLOBAL')[0], re.M)
check(len(verbs) >= 17, 'the commands can be listed')
sections = {}
for part in re.split(r'^\.Ss ', page, flags=re.M)[1:]:
    name, _, body = part.partition('\n')
    sections[name.strip()] = re.split(r'^\.Sh ', body, flags=re.M)[0]
check(set(verbs) == set(sections), 'every command has its section and no other is there',
      'undocumented: %s' % sorted(set(verbs) - set(sections)),
      'no command: %s' % sorted(set(sections) - set(verbs)))
for verb in verbs:
    have, want = documented(sections.get(verb, '')), rows(help_of(verb).split('OPTIONS:')[1])
    check(have == want, 'options of vessel ' + verb,
          'undocumented: %s' % sorted(set(want.items()) - set(have.items())),
          'no option: %s' % sorted(set(have.items()) - set(want.items())))
want = rows(top_help.split('GLOBAL OPTIONS:')[1])
have = documented(page.split('.Sh COMMANDS')[0])
check(set(want) == set(have), 'global options', 'table: %s' % want, 'page: %s' % have)
check('checkpoint' not in verbs, 'what is not built is not offered')
lint = subprocess.run(['mandoc', '-T', 'lint', '-W', 'warning', os.path.join(top, 'man/vessel.1')],
                      capture_output=True, text=True)
check(lint.returncode == 0, 'mandoc finds nothing wrong', lint.stdout)
print('1..%d' % count)
sys.exit(failed != 0)
