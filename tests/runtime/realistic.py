"""A config as an engine writes it: six namespaces, 19 mounts, docker's seccomp profile, limits."""
import os
import bundle as b

PROFILE = os.path.join(b.TOP, 'tests/security/profiles/docker')


def seccomp(path=PROFILE):
    """linux.seccomp of a file of rules (the form is described in seccomp_profiles.hh)."""
    profile = {'architectures': [], 'syscalls': []}
    with open(path) as f:
        for line in f:
            words = line.split()
            if not words or words[0] == '#' or words[0].startswith('#'):
                continue
            if words[0] == 'default':
                profile['defaultAction'] = words[1]
                if len(words) > 2:
                    profile['defaultErrnoRet'] = int(words[2])
            elif words[0] == 'arch':
                profile['architectures'].append(words[1])
            elif words[0] == 'rule':
                colon = words.index(':')
                rule = {'names': words[colon + 1:], 'action': words[1]}
                rest = words[2:colon]
                if rest and rest[0] != 'if':
                    rule['errnoRet'] = int(rest.pop(0))
                while rest:
                    arg = {'index': int(rest[1]), 'op': rest[2], 'value': int(rest[3], 0)}
                    rest = rest[4:]
                    if rest and rest[0] != 'if':
                        arg['valueTwo'] = int(rest.pop(0), 0)
                    rule.setdefault('args', []).append(arg)
                profile['syscalls'].append(rule)
    return profile


MASKED = ['/proc/acpi', '/proc/kcore', '/proc/keys', '/proc/latency_stats', '/proc/timer_list',
          '/proc/timer_stats', '/proc/sched_debug', '/proc/scsi', '/sys/firmware',
          '/sys/fs/selinux', '/sys/dev/block']
READONLY = ['/proc/asound', '/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys',
            '/proc/sysrq-trigger']
CAPS = ['CAP_CHOWN', 'CAP_DAC_OVERRIDE', 'CAP_FOWNER', 'CAP_FSETID', 'CAP_KILL',
        'CAP_NET_BIND_SERVICE', 'CAP_SETFCAP', 'CAP_SETGID', 'CAP_SETPCAP', 'CAP_SETUID',
        'CAP_SYS_CHROOT']


def files(path):
    """The files that the binds of `config` name, in the bundle."""
    for file in ('resolv.conf', 'hosts', 'hostname', 'containerenv', 'secret', 'localtime'):
        with open(os.path.join(path, file), 'w') as f:
            f.write(file + '\n')
    for directory in ('data', 'cache', 'logs', 'config', 'secrets', 'home'):
        os.makedirs(os.path.join(path, directory), exist_ok=True)
    return path


def config(*args):
    c = b.config(*args)
    p = c['process']
    p['env'] += ['HOME=/root', 'HOSTNAME=inside', 'TERM=xterm', 'container=podman']
    p['noNewPrivileges'] = False
    p['capabilities'] = {s: CAPS for s in ('bounding', 'effective', 'permitted')}
    p['oomScoreAdj'] = 0
    p['rlimits'] = [{'type': 'RLIMIT_NOFILE', 'soft': 1024, 'hard': 1024}]

    def bind(source, destination, *options):
        return {'destination': destination, 'type': 'bind', 'source': source,
                'options': ['rbind', 'rprivate', *options]}
    c['mounts'] += [
        {'destination': '/sys', 'type': 'sysfs', 'source': 'sysfs',
         'options': ['nosuid', 'noexec', 'nodev', 'ro']},
        {'destination': '/dev/mqueue', 'type': 'mqueue', 'source': 'mqueue',
         'options': ['nosuid', 'noexec', 'nodev']},
        {'destination': '/dev/shm', 'type': 'tmpfs', 'source': 'shm',
         'options': ['nosuid', 'noexec', 'nodev', 'mode=1777', 'size=65536k']},
        {'destination': '/sys/fs/cgroup', 'type': 'cgroup', 'source': 'cgroup',
         'options': ['nosuid', 'noexec', 'nodev', 'relatime', 'ro']},
        {'destination': '/run', 'type': 'tmpfs', 'source': 'tmpfs',
         'options': ['nosuid', 'nodev', 'mode=755', 'tmpcopyup']},
        bind('resolv.conf', '/etc/resolv.conf', 'nosuid', 'nodev', 'noexec'),
        bind('hosts', '/etc/hosts', 'nosuid', 'nodev', 'noexec'),
        bind('hostname', '/etc/hostname', 'nosuid', 'nodev', 'noexec'),
        bind('containerenv', '/run/.containerenv', 'nosuid', 'nodev', 'noexec'),
        bind('localtime', '/etc/localtime', 'ro'), bind('secrets', '/run/secrets', 'ro'),
        bind('data', '/data'), bind('cache', '/var/cache', 'nosuid', 'nodev'),
        bind('logs', '/var/log', 'nosuid', 'nodev'), bind('config', '/etc/app', 'ro'),
        bind('home', '/root')]
    # b.config's three, and these: 19.
    assert len(c['mounts']) == 19
    c['linux'].update({
        'maskedPaths': MASKED, 'readonlyPaths': READONLY, 'seccomp': seccomp(),
        'sysctl': {'net.ipv4.ping_group_range': '0 0'},
        'resources': {'devices': [{'allow': False, 'access': 'rwm'}],
                      'memory': {'limit': 256 << 20}, 'pids': {'limit': 2048},
                      'cpu': {'shares': 512, 'quota': 200000, 'period': 100000}}})
    c['linux']['namespaces'].append({'type': 'cgroup'})
    return c
