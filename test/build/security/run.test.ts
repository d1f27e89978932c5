// RUN and what it is given: SECURITY B04, B06, I10, and the rows about RUN, secrets, networks and builds at once.
import { equal, ok, rejects } from 'node:assert/strict';
import { spawn } from 'node:child_process';
import {
  closeSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { suite } from 'uvu';
import { cacheKey } from '../../../build/caches/place.ts';
import { BuildError } from '../../../build/error.ts';
import type { BuildOptions } from '../../../build/exec/options.ts';
import { type BuildPlace, openBuildPlace } from '../../support/build-place.ts';
import { makeRootfs } from '../../support/rootfs.ts';

const test = suite('SECURITY: RUN');
const isRoot = process.geteuid?.() === 0;
const place = mkdtempSync(join(tmpdir(), 'slipway-security-run-'));
const context = join(place, 'context');
const store = join(place, 'store');
const BASE = 'FROM scratch\nCOPY rootfs /\nENV PATH=/bin\n';
const RUN = {
  isolation: 'chroot',
  network: { mode: 'host' },
  capabilitiesAdd: [],
  capabilitiesDrop: [],
  hostEnvironment: {},
} as const satisfies BuildOptions['run'];
let builds: BuildPlace;

test.before(() => {
  mkdirSync(join(context, 'rootfs'), { recursive: true });
  mkdirSync(store);
  if (isRoot) makeRootfs(join(context, 'rootfs'), { commands: ['grep', 'cp', 'ps', 'dd', 'sh', 'setsid'] });
  builds = openBuildPlace(store, context);
});
test.after(() => rmSync(place, { recursive: true, force: true }));

function asRoot(name: string, action: () => Promise<void>): void {
  test(name, async () => {
    if (isRoot) await action();
    else console.log(`SKIP ${name}: RUN needs root here`);
  });
}

asRoot(
  'SECURITY B04: a source that is swapped for a link while it is mounted shows nothing of the host',
  async () => {
    const victim = join(place, 'victim');
    mkdirSync(victim);
    writeFileSync(join(victim, 'sentinel'), 'HOST SECRET');
    const cache = join(store, 'cache', cacheKey('raced', 0, 0));
    mkdirSync(join(cache, 'sub'), { recursive: true });
    writeFileSync(join(cache, 'sub', 'sentinel'), 'of the cache');
    symlinkSync(victim, join(cache, 'link'));
    const swap = 'while :; do mv -T sub old; mv -T link sub; mv -T sub link; mv -T old sub; sleep 0.02; done';
    const swapper = spawn('sh', ['-c', swap], { cwd: cache, stdio: 'ignore' });
    try {
      let shown = 0;
      // On a busy machine the swapper wins most rounds.
      for (let round = 0; round < 12 || (shown === 0 && round < 200); round += 1) {
        const mount = '--mount=type=cache,id=raced,source=sub,target=/m';
        const steps = `RUN ${mount} cat /m/sentinel\n`.repeat(4);
        try {
          const { text } = await builds.build(BASE + steps, { layers: false });
          ok(!text().includes('HOST SECRET'));
          shown += text().split('of the cache').length - 1;
        } catch (error) {
          ok(error instanceof BuildError && !error.message.includes('HOST SECRET'), String(error));
        }
      }
      ok(shown > 0, 'the cache was never seen: the race was not tried');
    } finally {
      swapper.kill('SIGKILL');
    }
  },
);

asRoot('SECURITY B06: values that nobody knows are refused before anything runs', async () => {
  const refused = [
    '--security=insecure',
    '--security=INSECURE',
    '--security=1',
    '--network=nobody-knows',
    '--network=container:1',
    '--mount=type=nothing,target=/x',
    '--mount=type=',
    '--mount=type=cache,target=/x,sharing=sometimes',
    '--mount=type=cache,target=/x,mode=9',
    '--mount=type=bind,target=/x,bind-propagation=suid',
    '--mount=type=secret',
    '--mount=type=tmpfs',
    '--mount=type=cache,target=/x,uid=-1',
  ];
  for (const flag of refused)
    await rejects(builds.build(`${BASE}RUN ${flag} echo it ran\n`), (error) => {
      ok(error instanceof BuildError, `${flag}: ${String(error)}`);
      ok(!error.message.includes('\n'), error.message);
      return true;
    });
});

/** Every file below a directory that holds the text, compressed ones too. */
function filesWith(directory: string, needle: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' }).flatMap((name) => {
    const path = join(directory, name);
    return lstatSync(path).isFile() && bytesOf(path).includes(needle) ? [name] : [];
  });
}

function bytesOf(path: string): Buffer {
  const fd = openSync(path, 'r');
  try {
    const buffer = Buffer.alloc(1 << 24);
    const bytes = buffer.subarray(0, readSync(fd, buffer));
    return bytes[0] === 0x1f && bytes[1] === 0x8b ? gunzipSync(bytes) : bytes;
  } finally {
    closeSync(fd);
  }
}

asRoot('SECURITY I10: a secret is in no layer, history, cache key, log or temporary file', async () => {
  const secret = 'S3CR3T-7d1f6c';
  const outside = mkdtempSync(join(tmpdir(), 'slipway-security-secret-'));
  writeFileSync(join(outside, 'file'), secret);
  const options: Partial<BuildOptions> = {
    secrets: new Map([
      ['file', { kind: 'file', value: join(outside, 'file') }],
      ['variable', { kind: 'env', value: 'THE_SECRET' }],
    ]),
    run: { ...RUN, hostEnvironment: { THE_SECRET: secret } },
  };
  const used = `${BASE}
RUN --mount=type=secret,id=file grep -q S3CR3T /run/secrets/file
RUN --mount=type=secret,id=variable,env=V,required test "$V" = "$(echo S3CR3T-7d1f6c)"
RUN --mount=type=secret,id=file,target=/etc/deep/er/s,mode=0444 grep -q S3CR3T /etc/deep/er/s
RUN test ! -e /run/secrets && test ! -e /etc/deep
`.replace('S3CR3T-7d1f6c)', 'S3CR3T-7d1f"6c")');
  try {
    const { text } = await builds.build(used, options);
    ok(!text().includes(secret));
    await rejects(builds.build(`${BASE}RUN --mount=type=secret,id=file false\n`, options), (error) => {
      return error instanceof BuildError && !JSON.stringify([error.message, error.facts]).includes(secret);
    });
    const kept = `${BASE}RUN --mount=type=secret,id=file true\n`;
    await builds.build(kept, options);
    writeFileSync(join(outside, 'file'), 'another value');
    ok((await builds.build(kept, options)).text().includes('Using cache'), 'the value is not in the key');
    equal(filesWith(store, secret).join(), '');
  } finally {
    rmSync(outside, { recursive: true });
  }
});

test('SECURITY B26: a password in the URL of ADD is in no log, history or file of the store', async () => {
  const password = 'P4SSW0RD-5a1d';
  const { createServer } = await import('node:http');
  const server = createServer(({ headers }, response) => {
    const sent = Buffer.from((headers.authorization ?? '').replace('Basic ', ''), 'base64').toString();
    response.writeHead(sent === `user:${password}` ? 200 : 401, { etag: '"1"' }).end('content');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address() as AddressInfo;
  const url = (path: string) => `http://user:${password}@127.0.0.1:${address.port}/${path}`;
  const memoryDirectory = join(store, 'memory');
  try {
    const { text } = await builds.build(`FROM scratch\nADD ${url('file')} /\n`, { memoryDirectory });
    ok(text().includes('ADD http://127.0.0.1'), text());
    ok(!text().includes(password), text());
    await rejects(
      builds.build(`FROM scratch\nADD ${url('file')} ${url('none').replace(password, 'WRONG')} /x/\n`, {
        retries: 0,
      }),
      (error) => error instanceof BuildError && !/P4SSW0RD|WRONG/.test(error.message),
    );
    equal(filesWith(store, password).join(), '');
  } finally {
    server.closeAllConnections();
    server.close();
  }
});

asRoot('rows of RUN: exit codes, signals, daemons and endless lines', async () => {
  const codeOf = async (command: string) => {
    try {
      await builds.build(`${BASE}RUN ${command}\n`);
      return 0;
    } catch (error) {
      return error instanceof BuildError ? error.exitCode : undefined;
    }
  };
  equal(await codeOf('exit 7'), 7);
  equal(await codeOf('exit 255'), 255);
  equal(await codeOf('kill -9 $$'), 137);
  equal(await codeOf('exec >&- 2>&-; exit 3'), 3);
  const before = process.memoryUsage().rss;
  let bytes = 0;
  const { Writable } = await import('node:stream');
  const stdout = new Writable({
    write(chunk: Buffer, _encoding, done) {
      bytes += chunk.length;
      done();
    },
  });
  await builds.build(
    `${BASE}RUN dd if=/dev/zero bs=1048576 count=512 2>/dev/null | tr '\\\\0' x || dd if=/dev/zero bs=1048576 count=512\n`,
    { stdout },
  );
  ok(bytes >= 512 << 20, `${bytes} bytes came`);
  ok(process.memoryUsage().rss - before < 300 << 20, 'one line of 512 MB is held in memory');
});

asRoot('rows of RUN: what a command leaves behind it ends with it', async () => {
  const mark = `slipway-orphan-${process.pid}`;
  const { text } = await builds.build(
    `${BASE}RUN (setsid sh -c 'sleep 300; : ${mark}' &) ; sleep 0.2; grep -l ${mark} /proc/[2-9]*/cmdline\n`,
    { layers: false },
  );
  ok(/\/proc\/\d+\/cmdline/.test(text()), 'the orphan never ran');
  const alive = readdirSync('/proc').filter((name) => {
    try {
      return /^\d+$/.test(name) && bytesOf(`/proc/${name}/cmdline`).includes(mark);
    } catch {
      return false;
    }
  });
  equal(alive.join(), '');
});

asRoot('rows of RUN: orphans that end are reaped, and the command goes on', async () => {
  const orphans = '(true &) ; (sleep 0.1 &) ; (setsid sleep 0.2 &)';
  const zombies = "grep -l '^State:.*zombie' /proc/[0-9]*/status";
  const { text } = await builds.build(
    `${BASE}RUN for i in 1 2 3 4 5 6 7 8; do ${orphans} ; done; sleep 0.5; ${zombies}; echo went on\n`,
    { layers: false },
  );
  ok(/^went on$/m.test(text()) && !/^\/proc/m.test(text()), text());
});

asRoot('rows of networks: RUN --network=none reaches nothing', async () => {
  const { text } = await builds.build(
    `${BASE}RUN --network=none cat /proc/net/dev /proc/net/unix | grep -v lo: ; echo "$(grep -c @ /proc/net/unix)"\n`,
  );
  ok(!/eth|wlan|veth/.test(text()), text());
});

asRoot(
  'rows of builds at once: a failing stage stops the others, the last of the same tag wins',
  async () => {
    const slow = `${BASE.replace('scratch', 'scratch AS slow')}RUN sleep 60\n`;
    const bad = `${BASE.replace('scratch', 'scratch AS bad')}RUN exit 9\n`;
    const started = performance.now();
    await rejects(
      builds.build(
        `${slow}${bad}FROM scratch\nCOPY --from=slow /etc/passwd /\nCOPY --from=bad /etc/passwd /\n`,
        { jobs: 4 },
      ),
      (error) => error instanceof BuildError && error.exitCode === 9,
    );
    ok(performance.now() - started < 50_000, 'the other stage ran on');
    const tags = ['one', 'two', 'three'].map((name) =>
      builds.build(
        `FROM scratch\nLABEL name=${name}\n`,
        { output: 'localhost/same:tag', layers: false },
        true,
      ),
    );
    const ids = (await Promise.all(tags)).map(({ result }) => result.imageId);
    const named = await builds.withStore(async (opened) => await opened.images.get('localhost/same:tag'));
    ok(ids.includes(named?.id ?? ''), 'the tag is on one of them');
  },
);

asRoot('rows of builds at once: sharing=locked lets one in after the other', async () => {
  const mount = '--mount=type=cache,id=counter,target=/c,sharing=locked';
  const step = `RUN ${mount} n=$(cat /c/n 2>/dev/null || echo 0); sleep 0.3; echo $((n + 1)) > /c/n\n`;
  await Promise.all(
    [1, 2, 3].map((round) => builds.build(`${BASE}LABEL round=${round}\n${step}`, { layers: false }, true)),
  );
  const { text } = await builds.build(`${BASE}RUN ${mount} echo "counted $(cat /c/n)"\n`, { layers: false });
  ok(text().includes('counted 3'), text());
});

test.run();
