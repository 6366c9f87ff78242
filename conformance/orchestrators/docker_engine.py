"""Docker Engine with a data root, an exec root and a socket of its own."""
import contextlib
import os
import subprocess

import suite

DOCKER = '/usr/bin/docker'  # Debian's: one earlier in PATH may be of another release


class Docker:
    def __init__(self, directory, runtime):
        self.directory, self.runtime, self.serial = directory, runtime, 0
        self.environment = dict(os.environ, DOCKER_HOST=f'unix://{directory}/docker.sock', DOCKER_CONFIG=f'{directory}/client')

    def __call__(self, *arguments, **options):
        return suite.run([DOCKER, *arguments], **{'environment': self.environment, **options})

    def terminal(self, typed, *arguments):
        return suite.on_terminal([DOCKER, *arguments], typed, environment=self.environment)

    def inspect(self, name, expression):
        return self('inspect', '--format', expression, name).out

    def once(self, *arguments, code=0):
        """`docker run --rm`; gives the output and what must have been called."""
        self.serial += 1
        cidfile = f'{self.directory}/{self.serial}.cid'
        ran = self('run', '--rm', '--cidfile', cidfile, *arguments, code=code)
        with open(cidfile) as f:
            return ran, {f.read().strip(): ['create', 'start', 'delete']}

    @contextlib.contextmanager
    def running(self, *options, command=('sleep', '1000')):
        container = self('run', '-d', *options, 'probe:1', *command).out.splitlines()[-1]
        try:
            yield container
        finally:
            self('rm', '-f', '-v', container, code=None)

    def value(self, container, *names):
        """The first of these files in the container's cgroups."""
        for where, _, files in os.walk('/sys/fs/cgroup'):
            for name in names:
                if container in where and name in files:
                    with open(f'{where}/{name}') as f:
                        return f.read().strip()
        raise AssertionError(f'no {names} for {container}')

    def context(self, dockerfile):
        place = f'{self.directory}/context'
        os.makedirs(place, exist_ok=True)
        for name, text in (('Dockerfile', dockerfile), ('given', 'given\n')):
            with open(f'{place}/{name}', 'w') as f:
                f.write(text)
        return place


@contextlib.contextmanager
def docker(directory, runtime):
    engine = Docker(directory, runtime)
    # BuildKit takes `runc` from PATH, and so does the runtime that is named runc.
    runtime.wrap(f'{directory}/bin/runc', runtime.program)
    environment = dict(os.environ, PATH=f'{directory}/bin:' + os.environ['PATH'],
                       DOCKER_BUILDKIT_RUNC_COMMAND=f'{directory}/bin/runc')
    own = [] if runtime.name == 'runc' else ['--add-runtime', f'{runtime.name}={runtime.path}']
    command = ['dockerd', '--config-file', f'{directory}/daemon.json', '--data-root', f'{directory}/data', '--exec-root', f'{directory}/exec',
               '--pidfile', f'{directory}/docker.pid', '--host', f'unix://{directory}/docker.sock', '--default-runtime', runtime.name, *own]
    with open(f'{directory}/daemon.json', 'w') as f:
        f.write('{}')
    with open(f'{directory}/daemon.log', 'w') as log:
        daemon = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
    try:
        def answers():
            if daemon.poll() is not None:
                raise AssertionError('dockerd ended: ' + open(f'{directory}/daemon.log').read()[-2000:])
            return engine('version', code=None).code == 0
        suite.eventually('dockerd answers', answers, 60)
        engine.version = engine('version', '--format', '{{.Server.Version}}').out
        engine('load', '-q', '-i', os.path.dirname(directory) + '/probe-docker.tar')
        yield engine
    finally:
        daemon.terminate()
        daemon.wait(60)
