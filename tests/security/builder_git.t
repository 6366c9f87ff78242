#!/usr/bin/env python3
# BuildKit CVE-2026-33747: addresses, references and sub-directories of git sources read by a shell, or
# as options of git. Whatever a Dockerfile or an operand says there, nothing of it runs.
# Seen to fail with the refusal of references that begin with a dash and "--" before operands taken out: 2; with
# git started through a shell: 2, 4 and 8.
from builder_attack import *

import_base()
CANARY = T + '/canary'
bin = T + '/bin'  # what a shell would find, and what git would be told to run
for name in ('touch-canary', 'ssh', 'git-upload-pack', 'git-remote-ext', 'sh'):
    write(bin + '/' + name, '#!/bin/bash\necho "%s $*" >> %s\nexit 1\n' % (name, CANARY), 0o755)
os.unlink(bin + '/sh'), os.unlink(bin + '/ssh')
g = lambda *w, cwd=None: subprocess.run(['git', '-c', 'user.name=n', '-c', 'user.email=e@x', '-c', 'init.defaultBranch=main', *w], cwd=cwd, check=True, capture_output=True, text=True).stdout.strip()
work, served = T + '/work', T + '/served'
os.makedirs(served)
write(work + '/Dockerfile', 'FROM base:1\nCOPY . /d\n'), write(work + '/sub/f', 'x\n'), write(work + '/-sub/f', 'dash\n')
g('init', work), g('add', '.', cwd=work), g('commit', '-m', 'x', cwd=work)
# What a repository brings itself: hooks, filters, a submodule with a command, attributes.
write(work + '/.gitattributes', '* filter=evil diff=evil merge=evil\n')
write(work + '/.gitmodules', '[submodule "s"]\n\tpath = s\n\turl = -oProxyCommand=touch-canary\n\tupdate = !touch-canary\n')
write(work + '/.gitconfig', '[filter "evil"]\n\tsmudge = touch-canary\n[core]\n\tsshCommand = touch-canary\n\tfsmonitor = touch-canary\n')
g('checkout', '-q', '-b', 'evil', cwd=work), g('add', '.gitattributes', '.gitconfig', cwd=work), g('commit', '-m', 'evil', cwd=work), g('add', '.gitmodules', cwd=work)
# (git itself would not make this commit)
g('update-index', '--add', '--cacheinfo', '160000,%s,s' % ('1' * 40), cwd=work)
g('branch', 'evil-submodule', g('commit-tree', '-m', 'x', g('write-tree', cwd=work), cwd=work), cwd=work), g('reset', '-q', '--hard', 'main', cwd=work), g('checkout', '-q', '-f', 'main', cwd=work)
g('clone', '--bare', work, served + '/repo.git')
subprocess.run(['git', 'update-ref', 'refs/heads/--upload-pack=touch-canary', 'refs/heads/main'], cwd=served + '/repo.git', capture_output=True)
G = git_served(served) + 'repo.git'
ENV = {'PATH': bin + ':' + os.environ['PATH'], 'HOME': T + '/home', 'GIT_SSH_COMMAND': 'touch-canary', 'GIT_EXTERNAL_DIFF': 'touch-canary', 'GIT_UPLOAD_PACK': 'touch-canary', 'GIT_PROXY_COMMAND': 'touch-canary', 'GIT_EXEC_PATH': bin, 'GIT_CONFIG_COUNT': '1', 'GIT_CONFIG_KEY_0': 'core.fsmonitor', 'GIT_CONFIG_VALUE_0': 'touch-canary'}
os.makedirs(T + '/home')


def runs_nothing(texts, name, fails=True):
    wrong = []
    for text in texts:
        runs = [kiln('build', '--progress', 'plain', '--runtime', RUNTIME, text, env=ENV)] if text[0] != '-' else []
        if '\n' not in text:
            write(work + '/Dockerfile.add', 'FROM base:1\nADD ["%s", "/d"]\n' % text.replace('\\', '\\\\').replace('"', '\\"'))
            runs.append(kiln('build', '--runtime', RUNTIME, '-f', work + '/Dockerfile.add', T + '/home', env=ENV))
        for r in runs:
            if os.path.exists(CANARY):
                wrong.append('%r ran: %s' % (text, open(CANARY).read()))
                os.unlink(CANARY)
            if (r.rc == 0) == fails or r.rc not in (0, 1):
                wrong.append('%r: exit %d\n%s' % (text, r.rc, r.err[-700:]))
    check(not wrong, name, *wrong)


r = build(G, env=ENV)
check(r.rc == 0 and tree(r.id)['d/sub/f'].text == 'x\n', 'an honest repository is taken', r.err)
R = ['--upload-pack=touch-canary', '-u touch-canary', '-utouch-canary', '--exec=touch-canary', '--output=' + CANARY, '--config-env=x=y', '-c core.sshCommand=touch-canary', '-', '--', '--help', '$(touch-canary)', '`touch-canary`', ';touch-canary', '|touch-canary', '&&touch-canary', 'main;touch-canary',
     "main'$(touch-canary)'", '"$(touch-canary)"', 'main --upload-pack=touch-canary', '@{-1}', '../../etc', 'HEAD:touch-canary', '^main', '!touch-canary']
runs_nothing([G + '#' + ref for ref in R], 'references that are options or shell: nothing runs')
runs_nothing([G + '#refs/heads/--upload-pack=touch-canary'], 'a branch of such a name is one', fails=False)
runs_nothing([G + '#main\n--upload-pack=touch-canary', G + '#main\ntouch-canary', G + '\n--upload-pack=touch-canary.git', G + '#--upload-pack=touch-canary\nmain'], 'references of several lines: nothing runs')
runs_nothing([G + '#main:' + sub for sub in ('$(touch-canary)', '--help', ';touch-canary', '`touch-canary`', '-x', 'sub;touch-canary', '--upload-pack=touch-canary')], 'sub-directories that are options or shell: nothing runs')
r = build('FROM base:1\nADD %s#main:-sub /d\n' % G, env=ENV)
check(r.rc == 0 and tree(r.id)['d/f'].text == 'dash\n', 'a directory whose name begins with a dash is one', r.err)
runs_nothing(['ext::touch-canary', 'ext::sh -c touch-canary', 'ext::sh -c touch-canary% x.git', 'ext::touch-canary.git', 'fd::0.git', 'file://' + served + '/repo.git', 'file://' + served + '/repo.git#main', served + '/repo.git', 'git-remote-ext://x/y.git', '--upload-pack=touch-canary', '-x'], 'other transports: nothing runs, nothing is read')
runs_nothing(['ssh://-oProxyCommand=touch-canary/x.git', 'ssh://-oProxyCommand=touch-canary@host/x.git', 'git@-oProxyCommand=touch-canary:x/y.git', '-oProxyCommand=touch-canary@x:y/z.git', 'git://-oProxyCommand=touch-canary/x.git', G.removesuffix('/repo.git') + ';touch-canary/x.git',
              G.removesuffix('repo.git') + '--upload-pack=touch-canary.git', 'git://127.0.0.1:1$(touch-canary)/x.git', 'http://127.0.0.1:1/$(touch-canary).git', 'http://127.0.0.1:1/x.git;touch-canary.git', "http://127.0.0.1:1/'|touch-canary|'.git"], 'addresses that are options or shell: nothing runs')
runs_nothing([G + '#evil'], 'a repository with filters and configuration of its own: nothing runs', fails=False)
r = build(G + '#evil-submodule', env=ENV)
check(r.rc != 0 and not os.path.exists(CANARY), 'a repository with a submodule that is a command: nothing runs', r.err, open(CANARY).read() if os.path.exists(CANARY) else '')
write(T + '/home/x', '')
check('unnamed' not in ' '.join(os.listdir(T)) and not [n for n in os.listdir(T + '/home') if n != 'x'], 'and nothing is written where kiln was started', os.listdir(T + '/home'))
done()
