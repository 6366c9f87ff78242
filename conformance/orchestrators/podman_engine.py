"""podman with storage, runtime table and networks of its own."""
import contextlib
import json
import os
import subprocess

import suite


class Podman:
    def __init__(self, directory, runtime):
        self.directory, self.runtime = directory, runtime
        self.environment = dict(os.environ)
        # In place of /etc/containers and not by environment: conmon drops that before it calls podman to clean up.
        self.etc = f'{directory}/etc'
        os.mkdir(self.etc)
        os.makedirs('/etc/containers', exist_ok=True)
        subprocess.run(['mount', '--bind', self.etc, '/etc/containers'], check=True)
        # Limits that a root without CAP_SYS_RESOURCE can set.
        try:
            suite.needs_controllers('pids')
            pids = ''
        except suite.Lacks:
            pids = 'pids_limit = 0'
        self.write('etc/containers.conf', f'''
[containers]
{pids}
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
init_path = "/usr/bin/tini-static"
log_driver = "k8s-file"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "{runtime.name}"
runtime_supports_json = ["{runtime.name}"]
infra_image = "localhost/pause:1"
[engine.runtimes]
{runtime.name} = ["{runtime.path}"]
[network]
network_backend = "cni"
network_config_dir = "{directory}/networks"
cni_plugin_dirs = ["/usr/lib/cni"]
''')
        self.write('etc/storage.conf', f'''
[storage]
driver = "overlay"
graphroot = "{directory}/root"
runroot = "{directory}/runroot"
''')
        self.write('etc/registries.conf', 'unqualified-search-registries = []\n')
        self.write('etc/policy.json', '{"default":[{"type":"insecureAcceptAnything"}]}')
        self.serial = 0

    def write(self, name, text):
        with open(f'{self.directory}/{name}', 'w') as f:
            f.write(text)

    def __call__(self, *arguments, **options):
        return suite.run(['podman', *arguments], environment=self.environment, **options)

    def terminal(self, typed, *arguments):
        return suite.on_terminal(['podman', *arguments], typed, environment=self.environment)

    def buildah(self, *arguments, **options):
        environment = dict(self.environment, BUILDAH_ISOLATION='oci', BUILDAH_RUNTIME=self.runtime.path)
        return suite.run(['buildah', *arguments], environment=environment, **options)

    def inspect(self, name, expression):
        return self('inspect', '--format', expression, name).out

    def new(self):
        """An unused name."""
        self.serial += 1
        return f'line{self.serial}'

    def once(self, *arguments, code=0):
        """`podman run --rm`; gives the output and what must have been called."""
        cidfile = f'{self.directory}/{self.new()}.cid'
        ran = self('run', '--rm', '--cidfile', cidfile, *arguments, code=code)
        with open(cidfile) as f:
            return ran, {f.read().strip(): ['create', 'start', 'delete']}

    @contextlib.contextmanager
    def running(self, *options, command=('sleep', '1000')):
        """A detached container: its id, removed by force in the end."""
        container = self('run', '-d', '--stop-timeout', '1', *options, 'probe:1', *command).out.splitlines()[-1]
        try:
            yield container
        finally:
            self('rm', '-f', '-t', '0', container, code=None)

    def details(self, name):
        return json.loads(self('inspect', name).out)[0]


@contextlib.contextmanager
def podman(directory, runtime):
    engine = Podman(directory, runtime)
    for name in ('probe', 'pause'):
        layout = f'{os.path.dirname(directory)}/{name}-oci.tar'
        image = engine('pull', '-q', 'oci-archive:' + layout).out
        engine('tag', image, f'localhost/{name}:1')
    yield engine
    engine('rm', '-fa', '-t', '0', code=None)
    left = [m for m in open('/proc/self/mountinfo') if directory + '/root' in m and not m.split()[4].endswith('/overlay')]
    if left:
        print('# mounts left: ' + ' '.join(m.split()[4] for m in left))
    subprocess.run(['umount', '-R', '-l', directory + '/root/overlay'], stderr=subprocess.DEVNULL)
