import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { suite } from 'uvu';
import { runTool } from '../../bin/cli/run-tool.ts';
import { skopeo } from '../../bin/skopeo.ts';
import { type WrittenImage, writeIndexLayout, writeLayout } from '../support/layout.ts';
import { seedImage, startTestRegistry } from '../support/registry.ts';

const test = suite<{ directory: string; image: WrittenImage }>('skopeo');
test.before.each((state) => {
  state.directory = mkdtempSync(join(tmpdir(), 'skopeo-'));
  state.image = writeLayout(join(state.directory, 'a'), 'x');
  writeFileSync(join(state.directory, 'policy.json'), '{"default":[{"type":"insecureAcceptAnything"}]}');
});
test.after.each(({ directory }) => rmSync(directory, { recursive: true, force: true }));

async function run(directory: string, ...words: string[]) {
  const output = { stdout: '', stderr: '' };
  const sink = (name: 'stdout' | 'stderr') =>
    new PassThrough().on('data', (chunk: Buffer) => {
      output[name] += chunk.toString();
    });
  const io = {
    stdin: new PassThrough().end(),
    stdout: sink('stdout'),
    stderr: sink('stderr'),
    environment: { HOME: directory, TMPDIR: directory, PATH: process.env.PATH },
    workingDirectory: directory,
  };
  const code = await runTool(skopeo, ['--policy', 'policy.json', ...words], io, new AbortController().signal);
  await new Promise((resolve) => setImmediate(resolve));
  return { code, ...output };
}

test('copy prints the lines that scripts read, quiet says nothing', async ({ directory, image }) => {
  const { code, stdout, stderr } = await run(directory, 'copy', '--digestfile', 'digest', 'oci:a:x', 'dir:b');
  deepEqual([code, stderr], [0, '']);
  const lines = stdout.trimEnd().split('\n');
  equal(lines[0], 'Getting image source signatures');
  deepEqual(
    lines.slice(1, 3).toSorted(),
    image.layers.map(({ digest }) => `Copying blob ${digest}`).toSorted(),
  );
  deepEqual(lines.slice(3), [
    `Copying config ${image.configDigest}`,
    'Writing manifest to image destination',
  ]);
  equal(readFileSync(join(directory, 'digest'), 'utf8'), image.digest);
  equal((await run(directory, 'copy', '-q', 'oci:a:x', 'dir:c')).stdout, '');
  const json = await run(directory, 'copy', '--progress', 'json', 'oci:a:x', 'dir:d');
  for (const line of json.stdout.trimEnd().split('\n')) ok(JSON.parse(line).type);
});

test('exit codes: 2 for an image that is not there, 1 for everything else; one logrus line', async ({
  directory,
}) => {
  await using registry = await startTestRegistry();
  await seedImage(registry, 'app', '1');
  const rows: [string[], number, RegExp][] = [
    [['inspect', 'oci:a:none'], 2, /no descriptor found for reference/],
    [['inspect', '--tls-verify=false', `docker://${registry.address}/app:none`], 2, /manifest unknown/],
    [
      ['copy', '--src-tls-verify=false', `docker://${registry.address}/app:none`, 'dir:x'],
      2,
      /manifest unknown/,
    ],
    [['inspect', 'oci:nowhere'], 1, /no such file or directory/],
    [['inspect', 'weird:x'], 1, /unknown transport/],
    [['copy', 'oci:a:x'], 1, /Exactly two arguments expected/],
    [['copy', '--nope', 'oci:a:x', 'dir:x'], 1, /unknown flag: --nope/],
    [['frobnicate'], 1, /Unrecognized command `skopeo frobnicate`\\nTry 'skopeo --help'/],
    [['insp'], 1, /`skopeo insp`\\n\\nDid you mean this\?\\n\\tinspect\\n\\nTry/],
    [[], 1, /Missing command 'skopeo COMMAND'\\nTry 'skopeo --help' for more information/],
    [['login'], 1, /please provide a registry to log in to/],
    [['logout'], 1, /please provide a registry to log out from/],
    [['inspect', '--username', 'u', 'oci:a:x'], 1, /password must be specified when username is specified/],
    [['inspect', 'docker://UPPER'], 1, /: invalid reference format: repository name must be lowercase/],
    [
      ['delete', '--tls-verify=false', `docker://${registry.address}/app:none`],
      1,
      /Unable to delete .*:none\. Image/,
    ],
    [['copy', '--format', 'v3', 'oci:a:x', 'dir:x'], 1, /unknown format/],
    [['copy', '--all', '--multi-arch', 'all', 'oci:a:x', 'dir:x'], 1, /Cannot use --all and --multi-arch/],
    [['copy', '--multi-arch', 'some', 'oci:a:x', 'dir:x'], 1, /unknown multi-arch option/],
    [['copy', '--dest-compress-format', 'lzma', 'oci:a:x', 'dir:x'], 1, /cannot find compressor/],
    [['copy', '--encrypt-layer', '0', 'oci:a:x', 'dir:x'], 1, /can only be used with --encryption-key/],
    [['copy', '--sign-identity', 'UPPER/x:', 'oci:a:x', 'dir:x'], 1, /Could not parse --sign-identity/],
    [['copy', '--sign-identity', 'a/b:1', 'oci:a:x', 'dir:x'], 1, /repository name must be canonical/],
    [
      [
        'copy',
        '--src-authfile',
        'missing.json',
        '--src-tls-verify=false',
        `docker://${registry.address}/app:1`,
        'dir:x',
      ],
      1,
      /missing\.json/,
    ],
    [['--policy', 'none.json', 'copy', 'oci:a:x', 'dir:x'], 1, /Error loading trust policy|none\.json/],
    [['--insecure-policy', '--require-signed', 'copy', 'oci:a:x', 'dir:x'], 1, /mutually exclusive/],
    [['delete', 'dir:a'], 1, /not implemented for dir: images/],
    [['sync', '--src', 'dir', '--dest', 'dir', 'a', 'b'], 1, /consider using rsync/],
    [['sync', '--src', 'yaml', '--dest', 'docker', 'none.yml', 'x'], 1, /none\.yml/],
    [['list-tags', 'dir:a'], 1, /Unsupported transport 'dir' for tag listing/],
    [['list-tags', 'docker://x/y:1'], 1, /No tag or digest allowed/],
    [['manifest-digest', 'none'], 1, /Error reading manifest from none/],
  ];
  for (const [words, code, pattern] of rows) {
    const result = await run(directory, ...words);
    equal(result.code, code, `${words.join(' ')}: ${result.stderr}`);
    match(result.stderr, pattern, words.join(' '));
    match(result.stderr, /^time="\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ" level=fatal msg=/m);
    equal(/\n\s+at /.test(result.stderr) || /\\n\s+at /.test(result.stderr), false, 'no stack trace');
    equal(existsSync(join(directory, 'x')), false, `${words.join(' ')} left something`);
  }
});

test('layers saves blobs into a new directory', async ({ directory, image }) => {
  const digests = [...image.layers, { digest: image.configDigest }].map(({ digest }) => digest.slice(7));
  const saved = async (...words: string[]) => {
    const { code, stderr } = await run(directory, 'layers', 'oci:a:x', ...words);
    equal(code, 0, stderr);
    match(stderr, /^DEPRECATED: /);
    const [made = ''] = readdirSync(directory).filter((name) => name.startsWith('layers-'));
    const names = readdirSync(join(directory, made));
    rmSync(join(directory, made), { recursive: true });
    return names.filter((name) => !['version', 'manifest.json'].includes(name)).sort();
  };
  deepEqual(await saved(), digests.toSorted());
  deepEqual(await saved(String(digests[0])), [digests[0]]);
  match((await run(directory, 'layers')).stderr, /Usage: layers imageReference \[layer\.\.\.\]/);
});

test('sync names images as the command line does', async ({ directory }) => {
  await using registry = await startTestRegistry();
  const image = await seedImage(registry, 'app', '1');
  const flags = ['--src-tls-verify=false', '--digestfile', 'digests', '--src', 'docker', '--dest', 'dir'];
  equal((await run(directory, 'sync', ...flags, `${registry.address}/app:1`, 'out')).code, 0);
  equal(readFileSync(join(directory, 'digests'), 'utf8'), `${image.digest} dir:out/app:1\n`);
  const missing = await run(directory, 'sync', ...flags, `${registry.address}/app:2`, 'out');
  match(missing.stderr, /Error copying ref \\"docker:\/\/[^"]*\/app:2\\": .*manifest unknown/);
});

test('endless files, addresses that are none and a full disk behind stdout are one line', async ({
  directory,
}) => {
  for (const [words, message] of [
    [['manifest-digest', '/dev/zero'], /exceeded maximum allowed size of 4194304 bytes/],
    [['inspect', 'docker://127.0.0.1:99999/a:b'], /"127\.0\.0\.1:99999\\" is no address of a registry/],
    [['inspect', 'docker://1.2.3.999/a:b'], /"1\.2\.3\.999\\" is no address of a registry/],
  ] as const) {
    const { code, stderr } = await run(directory, ...words);
    equal(code, 1);
    match(stderr, message);
    equal(stderr.trimEnd().split('\n').length, 1);
  }
  if (!existsSync('/dev/full')) return console.log('SKIP a full disk behind stdout: there is no /dev/full');
  const full = openSync('/dev/full', 'w');
  const words = ['manifest-digest', join(directory, 'policy.json')];
  const { status, stderr } = spawnSync('bin/skopeo', words, {
    stdio: ['ignore', full, 'pipe'],
    encoding: 'utf8',
  });
  closeSync(full);
  equal(status, 1);
  match(stderr, /^time=\S+ level=fatal msg="writing the output: write: no space left on device"\n$/);
});

test('inspect shows what Skopeo shows', async ({ directory, image }) => {
  const { stdout } = await run(directory, 'inspect', 'oci:a:x');
  const json = JSON.parse(stdout);
  deepEqual(Object.keys(json), [
    'Digest',
    'RepoTags',
    'Created',
    'DockerVersion',
    'Labels',
    'Architecture',
    'Os',
    'Layers',
    'LayersData',
    'Env',
  ]);
  equal(json.Digest, image.digest);
  equal(json.LayersData[0].Annotations, null);
  match(stdout, /^ {4}"Env": \[\n {8}"A=b\\u003cc\\u003e"\n {4}\]$/m);
  equal((await run(directory, 'inspect', '--raw', 'oci:a:x')).stdout, image.manifest.toString());
  equal(JSON.parse((await run(directory, 'inspect', '--config', 'oci:a:x')).stdout).architecture, 'amd64');
  const rows: [string, string][] = [
    ['{{.Digest}}', image.digest],
    ['{{.Architecture}}/{{.Os}} {{len .Layers}}', 'amd64/linux 2'],
    [
      '{{range .LayersData}}{{.MIMEType}} {{end}}',
      'application/vnd.oci.image.layer.v1.tar+gzip application/vnd.oci.image.layer.v1.tar+gzip ',
    ],
    ['{{index .Labels "x"}} {{.Created}}', 'y 2020-01-02 03:04:05.6 +0000 UTC'],
    ['{{json .Env}}', '["A=b<c>"]'],
    ['{{.Digest.Encoded}} {{.Created.Year}}', `${image.digest.slice(7)} 2020`],
    ['{{.Created.Format "Jan 2, 2006 at 3:04pm (MST)"}}', 'Jan 2, 2020 at 3:04am (UTC)'],
    ['table {{.Os}} {{.Architecture}}', 'linux       amd64'],
    ['{{println .Os}}', 'linux\n'],
    ['{{if .Name}}named{{else}}nameless{{end}}', 'nameless'],
  ];
  for (const [format, text] of rows)
    equal((await run(directory, 'inspect', '--format', format, 'oci:a:x')).stdout, `${text}\n`, format);
  equal((await run(directory, 'inspect', '--format', '{{.Nope}}', 'oci:a:x')).code, 1);
  const lines = '{{range .LayersData}}{{.Size}}{{"\\n"}}{{end}}';
  match((await run(directory, 'inspect', '--format', lines, 'oci:a:x')).stdout, /^\d+\n\d+\n$/);
  equal((await run(directory, 'inspect', '--format', '{{json .}}', 'oci:a:x')).stdout.split('\n').length, 2);
  const config = async (format: string) =>
    (await run(directory, 'inspect', '--config', '--format', format, 'oci:a:x')).stdout;
  match(await config('{{json .}}'), /^\{"created":"2020.*\}\n$/);
  match(await config('{{json .RootFS}}'), /^\{"type":"layers","diff_ids":\["sha256:/);
  match(await config('{{.}}'), /^\{2020-01-02 03:04:05\.6 \+0000 UTC .*\{amd64 linux {2}\[\] \} /);
  equal(await config('{{.Platform}} {{.OS}} {{.OSFeatures}}'), '{amd64 linux  [] } linux []\n');
  equal((await run(directory, 'inspect', '--raw', '--format', '{{.Name}}', 'oci:a:x')).code, 1);
  const sha512 = JSON.parse(
    (await run(directory, 'inspect', '--manifest-digest', 'sha512', 'oci:a:x')).stdout,
  );
  match(sha512.Digest, /^sha512:[0-9a-f]{128}$/);
});

test('inspect of an index describes the image for the wanted platform, with the digest of the index', async ({
  directory,
}) => {
  const index = writeIndexLayout(join(directory, 'i'), 'x', [
    { os: 'linux', architecture: 'amd64' },
    { os: 'linux', architecture: 'arm64' },
  ]);
  const json = JSON.parse((await run(directory, '--override-arch', 'arm64', 'inspect', 'oci:i:x')).stdout);
  deepEqual([json.Digest, json.Architecture], [index.digest, 'arm64']);
  match(
    (await run(directory, '--override-os', 'plan9', 'inspect', 'oci:i:x')).stderr,
    /no image found in image index/,
  );
});

test('a registry: names, tags, deleting, credentials by flag', async ({ directory }) => {
  await using registry = await startTestRegistry();
  const name = `docker://${registry.address}/app`;
  equal((await run(directory, 'copy', '--dest-tls-verify=false', 'oci:a:x', `${name}:1`)).code, 0);
  const tags = JSON.parse((await run(directory, 'list-tags', '--tls-verify=false', name)).stdout);
  deepEqual(tags, { Repository: `${registry.address}/app`, Tags: ['1'] });
  const json = JSON.parse((await run(directory, 'inspect', '--tls-verify=false', `${name}:1`)).stdout);
  deepEqual([json.Name, json.RepoTags], [`${registry.address}/app`, ['1']]);
  registry.faults.add({ url: 'tags/list', status: 403, body: '{"errors":[{"code":"DENIED"}]}' });
  const denied = await run(directory, 'inspect', '--tls-verify=false', `${name}:1`);
  deepEqual([denied.code, JSON.parse(denied.stdout).RepoTags], [0, []]);
  registry.faults.clear();
  equal((await run(directory, 'delete', '--tls-verify=false', `${name}:1`)).code, 0);
  equal((await run(directory, 'inspect', '--tls-verify=false', `${name}:1`)).code, 2);
});

test('sync: dry run writes nothing, plan and apply and shards agree', async ({ directory }) => {
  await using registry = await startTestRegistry();
  for (const tag of ['1', '2', '3']) await seedImage(registry, 'app', tag, [tag]);
  const flags = ['--src-tls-verify=false', '--dest-tls-verify=false'];
  const ends = ['--src', 'docker', '--dest', 'docker', `${registry.address}/app`, `${registry.address}/m`];
  registry.faults.clear();
  const dry = await run(directory, 'sync', '--dry-run', ...flags, ...ends);
  equal(dry.code, 0);
  match(dry.stderr, /Would have copied image ref 1\/3/);
  deepEqual(registry.faults.requests(/^(PUT|POST|PATCH|DELETE)/), []);
  equal((await run(directory, 'sync', '--plan', 'plan.json', ...flags, ...ends)).code, 0);
  const plan = JSON.parse(readFileSync(join(directory, 'plan.json'), 'utf8'));
  deepEqual([plan.items.length, plan.items[0].action], [3, 'create']);
  for (const shard of ['1/2', '2/2'])
    equal((await run(directory, 'sync', '--apply', 'plan.json', '--shard', shard, ...flags)).code, 0);
  const digests = await run(directory, 'sync', '--digestfile', 'digests', ...flags, ...ends);
  match(digests.stderr, /Synced 3 images .*copied="0" unchanged="3"/);
  match((await run(directory, 'sync', '--shard', '3/2', ...flags, ...ends)).stderr, /invalid shard/);
});

test('manifest-digest and --version', async ({ directory, image }) => {
  writeFileSync(join(directory, 'm.json'), image.manifest);
  equal((await run(directory, 'manifest-digest', 'm.json')).stdout, `${image.digest}\n`);
  match((await run(directory, '--version')).stdout, /^skopeo version 1\.22\.0/);
});

test('keys and signatures in local files', async ({ directory, image }) => {
  writeFileSync(join(directory, 'pass'), 'secret\n');
  equal(
    (await run(directory, 'generate-sigstore-key', '--output-prefix', 'k', '--passphrase-file', 'pass')).code,
    0,
  );
  ok(existsSync(join(directory, 'k.private')) && existsSync(join(directory, 'k.pub')));
  match(
    (await run(directory, 'generate-sigstore-key', '--output-prefix', 'k', '--passphrase-file', 'pass'))
      .stderr,
    /Refusing to overwrite existing/,
  );
  const words = [
    '--sign-by-sigstore-private-key',
    join(directory, 'k.private'),
    '--sign-passphrase-file',
    join(directory, 'pass'),
    '--sign-identity',
    'example.com/app:1',
  ];
  equal((await run(directory, 'copy', ...words, 'oci:a:x', 'dir:signed')).code, 0);
  match(readFileSync(join(directory, 'signed/signature-1'), 'latin1'), /sigstore-json/);
  writeFileSync(join(directory, 'wrong'), 'other\n');
  const bad = await run(
    directory,
    'copy',
    ...words.with(3, join(directory, 'wrong')),
    'oci:a:x',
    'dir:unsigned',
  );
  equal(bad.code, 1);
  equal(existsSync(join(directory, 'unsigned')), false, 'nothing is written before the key works');
  ok(image);
});

test.run();
