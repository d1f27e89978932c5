import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import type { IsolationKind, RunRequest } from '../../../build/run/contract.ts';
import { detectIsolation } from '../../../build/run/detect.ts';
import { mayRaiseLimits, readHostFacts } from '../../../build/run/host.ts';
import { base, mounts, processes, rootfs, run as runIn, tree } from './in-rootfs.ts';

/** What a run leaves in a root file system that lacks it. */
const STAYING = ['dev', 'proc', 'sys'];

/**
 * Everything that all isolations have to do alike.
 * @param runtime of the isolation; absent: the one that it takes by itself
 */
export function isolationCases(kind: IsolationKind, runtime?: string): void {
  const test = suite(`RUN with ${kind} isolation${runtime ? ` and ${runtime}` : ''}`);
  const run: typeof runIn = (isolation, script, extra) => runIn(isolation, script, { runtime, ...extra });
  const { works, reason } = detectIsolation().reports.find((report) => report.kind === kind) ?? {
    works: false,
  };
  const it = (name: string, body: () => Promise<void>) => {
    if (works) return test(name, body);
    console.log(`SKIP ${kind}: ${name}: ${reason}`);
    test.skip(name, body);
  };

  const programThatRuns = (script: string) =>
    `import { runCommand } from ${JSON.stringify(join(import.meta.dirname, '../../../build/run/run.ts'))};
     await runCommand({ rootfs: ${JSON.stringify(rootfs)}, stateDirectory: ${JSON.stringify(join(base, 'killed'))},
       args: ['/bin/sh', '-c', ${JSON.stringify(script)}], environment: ['PATH=/bin'], workingDirectory: '/',
       user: '', mounts: [], isolation: ${JSON.stringify(kind)},
       ...${JSON.stringify({ runtime })}, network: { mode: 'host' },
       capabilities: { add: [], drop: [] }, stdin: 'ignore', stdout: 'inherit', stderr: 'inherit' });`;

  const oneId = /^\s*0\s+[0-9]+\s+1\s*$/.test(readFileSync('/proc/self/uid_map', 'utf8'));
  const itWithUsers = (name: string, body: () => Promise<void>) => {
    if (!oneId) return it(name, body);
    console.log(`SKIP ${kind}: ${name}: this user namespace has one user id only`);
    test.skip(name, body);
  };

  it('exit codes, output and errors come through', async () => {
    const { result, output, errors } = await run(kind, 'echo out; echo err >&2; exit 7');
    assert.deepEqual([result.exitCode, output, errors], [7, 'out\n', 'err\n']);
  });

  it('a signal that ends the command is 128 plus its number', async () => {
    assert.equal((await run(kind, 'sh -c "kill -KILL \\$\\$"; exit $?')).result.exitCode, 137);
  });

  it('I12: what the run made is gone but /dev, /proc and /sys, times of directories included', async () => {
    for (const name of STAYING) rmSync(join(rootfs, name), { recursive: true, force: true });
    const before = tree().split('\n');
    utimesSync(join(rootfs, 'etc'), 1000, 1000);
    const look =
      'test -e /proc/self/status && test -s /etc/hosts && test -e /run/.containerenv; stat -c %Y /etc';
    assert.equal((await run(kind, look)).output, '1000\n');
    assert.deepEqual(tree().split('\n'), [...before, ...STAYING].sort());
    for (const name of STAYING) assert.equal(statSync(join(rootfs, name)).mode & 0o7777, 0o755);
    assert.equal(statSync(join(rootfs, 'etc')).mtimeMs, 1_000_000);
    assert.deepEqual(mounts(), []);
    assert.deepEqual(
      readdirSync(base).filter((name) => name.startsWith('state-')),
      [],
    );
  });

  it('the file system is private: /dev has the standard nodes alone, /sys and /proc/sys are read-only', async () => {
    const { output, result } = await run(
      kind,
      'ls /dev; test ! -w /proc/sys/kernel/hostname; echo x 2>/dev/null >/sys/kernel/mm/x || echo sys-ro; head -c 1 /dev/zero | grep -c "" >/dev/null; test ! -s /proc/timer_list && echo masked',
    );
    assert.equal(result.exitCode, 0);
    assert.match(output, /^fd\nfull\n/m);
    assert.match(output, /null\nptmx\npts\nrandom\nshm\nstderr\nstdin\nstdout\ntty\nurandom\nzero\n/);
    assert.doesNotMatch(output, /sda|vda|mem\n|kmsg/);
    assert.match(output, /sys-ro\nmasked/);
  });

  it('the environment is what was given, HOME, HOSTNAME and no more', async () => {
    const { output } = await run(kind, 'env', { environment: ['PATH=/bin', 'A=1=2', 'B='] });
    const lines = output.split('\n').filter((line) => !/^(PWD|SHLVL|_|OLDPWD)=/.test(line));
    assert.deepEqual(lines.sort(), ['', 'A=1=2', 'B=', 'HOME=/root', 'HOSTNAME=box', 'PATH=/bin']);
  });

  it('B15: nothing of this process is readable inside', async () => {
    process.env.SENTINEL_OF_RUN_TEST = 'seen-from-inside';
    const script =
      'grep -la seen-from-inside /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null | grep -v "^/proc/$$/"; env';
    const { output } = await run(kind, script);
    delete process.env.SENTINEL_OF_RUN_TEST;
    assert.doesNotMatch(output.replace(/cmdline/g, ''), /SENTINEL|environ/);
  });

  it('B16: malformed environment entries are dropped', async () => {
    const { output } = await run(kind, 'env', { environment: ['PATH=/bin', 'HOME*', '*', '=x', 'A=b'] });
    assert.doesNotMatch(output, /\*|^=x/m);
    assert.match(output, /^A=b$/m);
  });

  it('B17: inheritable and ambient capabilities are empty, even with all added', async () => {
    const all = { add: ['ALL'], drop: [] };
    const { output } = await run(kind, 'grep -E "CapInh|CapAmb" /proc/self/status', { capabilities: all });
    assert.equal(output.match(/0000000000000000/g)?.length, 2);
  });

  it('capabilities: the default set, additions, removals', async () => {
    const cap = async (capabilities: RunRequest['capabilities']) =>
      (await run(kind, 'grep CapEff /proc/self/status', { capabilities })).output.trim().split('\t')[1];
    assert.equal(await cap({ add: [], drop: [] }), '00000000800405fb');
    assert.equal(await cap({ add: ['net_raw'], drop: ['CAP_CHOWN'] }), '00000000800425fa');
    assert.equal(await cap({ add: ['net_raw'], drop: ['all'] }), '0000000000000000');
  });

  it('seccomp: a filter by default, none when unconfined', async () => {
    const look = 'grep -E "^(Seccomp|NoNewPrivs):" /proc/self/status';
    assert.match((await run(kind, look)).output, /Seccomp:\t2/);
    const open = await run(kind, look, { securityOptions: ['seccomp=unconfined', 'no-new-privileges'] });
    assert.match(open.output, /NoNewPrivs:\t1\nSeccomp:\t0/);
  });

  it('seccomp: a profile of the caller', async () => {
    const profile = join(base, 'profile.json');
    const rule = {
      names: ['chmod', 'fchmod', 'fchmodat', 'fchmodat2'],
      action: 'SCMP_ACT_ERRNO',
      errnoRet: 95,
    };
    writeFileSync(profile, JSON.stringify({ defaultAction: 'SCMP_ACT_ALLOW', syscalls: [rule] }));
    const { errors } = await run(kind, 'mkdir /tmp/d; chmod 700 /tmp/d; rm -r /tmp/d', {
      securityOptions: [`seccomp=${profile}`],
    });
    assert.match(errors, /not supported/);
  });

  itWithUsers('users by name and id; B18: the primary group is among the supplementary ones', async () => {
    const id = async (user: string, additionalGroups: string[] = []) =>
      (await run(kind, 'id -u; id -g; id -G', { user, additionalGroups })).output
        .trim()
        .replaceAll('\n', ' ');
    assert.equal(await id('user'), '1000 1000 1000 10 100');
    assert.equal(await id('1000:10'), '1000 10 10');
    assert.equal(await id('user:'), '1000 1000 1000');
    assert.equal(await id('user:users'), '1000 100 100');
    assert.equal(await id('4321', ['7']), '4321 0 0 7');
    assert.match(await id('4321', ['keep-groups']), /^4321 0 0/);
    await assert.rejects(id('4321', ['keep-groups', '7']), /keep-groups' option is not allowed/);
  });

  itWithUsers("an ordinary user has no capabilities, and may open the streams' device files", async () => {
    const { output, result } = await run(kind, 'echo again >/dev/stdout; grep CapEff /proc/self/status', {
      user: 'user',
    });
    assert.equal(result.exitCode, 0);
    assert.equal(output, 'again\nCapEff:\t0000000000000000\n');
  });

  it('B21: a working directory is made inside; descriptors above 2 are not inherited', async () => {
    const outside = join(base, 'outside');
    mkdirSync(outside, { recursive: true });
    symlinkSync('/elsewhere', join(rootfs, 'link'));
    const { output } = await run(kind, 'pwd -P; ls /proc/self/fd', { workingDirectory: '/link/deep' });
    assert.match(output, /^\/elsewhere\/deep\n0\n1\n2\n3\n$/);
    assert.equal(statSync(join(rootfs, 'elsewhere/deep')).isDirectory(), true);
    assert.equal(existsSync('/elsewhere'), false);
    rmSync(join(rootfs, 'elsewhere'), { recursive: true });
    rmSync(join(rootfs, 'link'));
    await assert.rejects(run(kind, 'true', { workingDirectory: '/proc/self/fd/7' }));
    rmSync(join(rootfs, 'proc'), { recursive: true, force: true });
  });

  it('mounts: bind files and directories, read-only, tmpfs with a size', async () => {
    const source = join(base, 'source');
    mkdirSync(source, { recursive: true });
    writeFileSync(join(source, 'f'), 'content');
    const { output, result } = await run(
      kind,
      'cat /m/ro/f /deep/er/file; touch /m/ro/x 2>/dev/null || echo read-only; touch /m/rw/made; mount | grep "on /scratch "; test -x /scratch',
      {
        mounts: [
          { type: 'bind', source, destination: '/m/ro', options: ['ro'] },
          { type: 'bind', source, destination: '/m/rw', options: ['rw', 'nosuid'] },
          { type: 'bind', source: join(source, 'f'), destination: '/deep/er/file', options: ['ro'] },
          { type: 'tmpfs', destination: '/scratch', options: ['size=64k', 'mode=0711'] },
        ],
      },
    );
    assert.equal(result.exitCode, 0);
    assert.match(output, /^contentcontentread-only\n.*size=64k.*mode=711/);
    assert.equal(existsSync(join(source, 'made')), true);
    assert.equal(existsSync(join(rootfs, 'deep')), false);
  });

  it('B05: a mount point whose parent was swapped for a link leaves the host file alone', async () => {
    const victim = join(base, 'victim');
    mkdirSync(victim, { recursive: true });
    writeFileSync(join(victim, 'hosts'), '');
    await run(kind, `mv /etc /etc-old 2>/dev/null || true; ln -s ${victim} /swapped`);
    const mountsHere: RunRequest['mounts'] = [{ type: 'tmpfs', destination: '/a/b/hosts', options: [] }];
    await run(kind, `rm -rf /x; ln -s ${victim} /x`, { mounts: mountsHere });
    assert.equal(existsSync(join(victim, 'hosts')), true);
    for (const name of ['swapped', 'x']) rmSync(join(rootfs, name), { force: true });
  });

  it('B23: generated files land inside where the image has links', async () => {
    const target = join(base, 'host-resolv');
    writeFileSync(target, 'host file');
    symlinkSync(target, join(rootfs, 'etc/resolv.conf'));
    const { output } = await run(kind, 'cat /etc/resolv.conf', {
      dns: { servers: ['192.0.2.9'], search: ['example.test'], options: [] },
    });
    assert.match(output, /search example.test\nnameserver 192.0.2.9\n/);
    assert.equal(readFileSync(target, 'utf8'), 'host file');
    rmSync(join(rootfs, 'etc/resolv.conf'));
    assert.equal(lstatSync(join(rootfs, 'etc')).isDirectory(), true);
  });

  it('hosts, hostname and .containerenv as asked', async () => {
    const { output } = await run(
      kind,
      'cat /etc/hostname; hostname; grep gateway /etc/hosts; cat /run/.containerenv; grep "box c" /etc/hosts',
      {
        hosts: { entries: [{ name: 'gateway;gw', address: '192.0.2.1' }] },
        containerEnv: { engine: 'buildah-1', name: 'c', id: 'i', image: 'im', imageId: 'id' },
      },
    );
    assert.match(output, /^box\nbox\n192.0.2.1\tgateway gw\n\nengine="buildah-1"\nname="c"/);
    assert.doesNotMatch(output, /box c/);
  });

  it('network none: only loopback, and it is up', async () => {
    const { output } = await run(kind, 'cat /proc/net/dev; test -e /etc/resolv.conf || echo no-resolver', {
      network: { mode: 'none' },
    });
    assert.match(output, /\blo:/);
    assert.doesNotMatch(output, /eth0|ens|enp/);
    assert.match(output, /no-resolver/);
  });

  it("the host's process ids, where asked for", async () => {
    const { output } = await run(kind, 'test -e /proc/$PPID/status && echo $$; sleep 984 &', {
      namespaces: { pid: 'host' },
    });
    assert.ok(Number(output) > 10, output);
    await sleep(200);
    assert.deepEqual(processes('sleep 984'), []);
  });

  it('ulimits reach the command', async () => {
    const { output } = await run(kind, 'ulimit -n; ulimit -Hn; ulimit -c', {
      limits: {
        ulimits: [
          { name: 'nofile', soft: 100, hard: 200 },
          { name: 'core', soft: 0, hard: 0 },
        ],
      },
    });
    assert.equal(output, '100\n200\n0\n');
  });

  it('no signal is ignored or blocked, with limits, a terminal and a profile of the caller too', async () => {
    const core = { name: 'core', soft: 0, hard: 0 };
    const look = 'grep -E "^Sig(Blk|Ign)" /proc/self/status';
    const cases = [{}, { limits: { ulimits: [core] } }, { terminal: true }];
    for (const extra of cases) {
      const { output } = await run(kind, look, extra);
      assert.equal(output.match(/0000000000000000/g)?.length, 2, output);
    }
  });

  itWithUsers('a terminal of its own', async () => {
    const { output } = await run(kind, 'tty; test -t 0 && test -t 2 && echo yes; read x; echo got $x', {
      terminal: true,
      user: 'user',
      stdin: Readable.from([Buffer.from('typed\n')]),
    });
    assert.match(output, /\/dev\/pts\/0\r\nyes\r\n(typed\r\n)?got typed\r\n$/);
  });

  itWithUsers('a user namespace of its own: ids, mounts, limits, a terminal, the exit code', async () => {
    const ranges = [{ containerId: 0, hostId: 1000, size: 2000 }];
    const hard = mayRaiseLimits(readHostFacts()) ? 1_048_576 : 100;
    const limits = { ulimits: [{ name: 'nofile', soft: 90, hard }] };
    const script =
      'cat /proc/self/uid_map; id -u; stat -c %u:%g /t; echo x >/t/f; stat -c %u:%g /t/f; ulimit -n; grep -E "CapEff|Seccomp:" /proc/self/status; test -t 0 && exit 7';
    const inNamespace = { idMappings: { uids: ranges, gids: ranges }, limits, terminal: true };
    const mounts = [{ destination: '/t', type: 'tmpfs' as const, source: 'tmpfs', options: ['gid=5'] }];
    const root = await run(kind, script, { ...inNamespace, mounts });
    assert.deepEqual(root.output.trim().split(/\s+/), [
      ...['0', '1000', '2000', '0', '0:5', '0:0', '90', 'CapEff:', '00000000800405fb', 'Seccomp:', '2'],
    ]);
    assert.equal(root.result.exitCode, 7);
    const { output } = await run(kind, 'id -u; id -g; echo >$(tty) seen', { ...inNamespace, user: 'user' });
    assert.equal(output, '1000\r\n1000\r\nseen\r\n');
  });

  it('standard input is passed on, and ends', async () => {
    const { output } = await run(kind, 'cat', {
      stdin: Readable.from([Buffer.from('one'), Buffer.from('two')]),
    });
    assert.equal(output, 'onetwo');
  });

  it('a command that is missing is 127; one that may not be executed is 126, or what the runtime says', async () => {
    const start = (args: string[]) => run(kind, '', { args });
    await assert.rejects(start(['nosuch']), { exitCode: 127 });
    await assert.rejects(start(['/no/such']), { exitCode: 127 });
    await assert.rejects(start(['/etc/passwd']), { exitCode: kind === 'oci' ? 1 : 126 });
  });

  it('everything left behind is killed: background processes hold neither the result nor the pipes', async () => {
    const { output } = await run(kind, 'sleep 987 & echo done');
    assert.equal(output, 'done\n');
    assert.deepEqual(processes('sleep 987'), []);
  });

  it('an endless writer is stopped by abort; nothing is left', async () => {
    const controller = new AbortController();
    const reason = new Error('enough');
    setTimeout(() => controller.abort(reason), 700).unref();
    await assert.rejects(
      run(kind, 'sleep 986 & while :; do echo xxxxxxxxxxxxxxxx; done', { signal: controller.signal }),
      reason,
    );
    await sleep(100);
    assert.deepEqual(processes('sleep 986'), []);
    assert.deepEqual(mounts(), []);
  });

  it('a command that writes faster than anyone reads loses nothing', async () => {
    const program = join(base, 'fast.ts');
    const script = 'sleep 0.5; head -c 1000000 /dev/zero && echo >&2 all';
    writeFileSync(program, programThatRuns(script));
    const slowly = `"$0" --disable-warning=ExperimentalWarning "$1" 2>&1 | (sleep 2; cat)`;
    const { stdout, stderr } = spawnSync('sh', ['-c', slowly, process.execPath, program], {
      maxBuffer: 2 ** 24,
    });
    assert.equal(stdout.length, 1_000_000 + 'all\n'.length, `${stderr}${stdout.subarray(-200)}`);
  });

  it('SIGKILL of this process takes the command along', async () => {
    const program = join(base, 'killed.ts');
    writeFileSync(program, programThatRuns('echo up; sleep 985 & sleep 985'));
    const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await new Promise((resolve) => child.stdout?.once('data', resolve));
    child.kill('SIGKILL');
    for (let tries = 0; tries < 50 && processes('sleep 985').length > 0; tries += 1) await sleep(100);
    assert.deepEqual(processes('sleep 985'), []);
    assert.deepEqual(mounts(), []);
    rmSync(join(base, 'killed'), { recursive: true, force: true });
    for (const name of ['proc', 'sys', 'dev', 'run'])
      rmSync(join(rootfs, name), { recursive: true, force: true });
    for (const name of ['hosts', 'hostname', 'resolv.conf'])
      rmSync(join(rootfs, 'etc', name), { force: true });
  });

  test.run();
}
