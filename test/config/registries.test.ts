import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'uvu';
import { readCertificates } from '../../config/certs.ts';
import { readRegistries } from '../../config/registries.ts';
import { parseRegistriesFile } from '../../config/registries-file.ts';
import { findRegistry, pullSources } from '../../config/registries-match.ts';
import type { RegistriesConfig } from '../../config/registries-types.ts';
import { recordAlias, resolveShortName } from '../../config/short-names.ts';
import { formatReference, parseReference } from '../../image/reference.ts';

async function home(files: Record<string, string>) {
  const directory = await mkdtemp(join(tmpdir(), 'slipway-registries-'));
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(directory, name)), { recursive: true });
    await writeFile(join(directory, name), content);
  }
  return {
    path: (name: string) => join(directory, name),
    environment: { HOME: directory },
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true }),
  };
}

const CONF = '.config/containers/registries.conf';

async function config(text: string): Promise<RegistriesConfig> {
  await using place = await home({ [CONF]: text });
  return await readRegistries(place);
}

const RULES = `
unqualified-search-registries = ["one.example", "two.example:5000/"]
short-name-mode = "enforcing"
[[registry]]
location = "example.com"
[[registry]]
prefix = "example.com/deep"
location = "mirror.internal/path/"
insecure = true
[[registry]]
prefix = "*.wild.example"
blocked = true
[aliases]
"fedora" = "registry.fedoraproject.org/fedora"
`;

for (const [name, expected] of [
  ['example.com', 'example.com'],
  ['example.com/x', 'example.com'],
  ['example.com/deep', 'example.com/deep'],
  ['example.com/deep/er:tag', 'example.com/deep'],
  ['example.com/deeper', 'example.com'],
  ['example.com:5000/x', 'example.com'],
  ['example.community/x', undefined],
  ['a.wild.example/x', '*.wild.example'],
  ['a.b.wild.example', '*.wild.example'],
  ['wild.example/x', undefined],
  ['other.example/a.wild.example', undefined],
] as const)
  test(`rule of ${name}`, async () => {
    assert.equal(findRegistry(await config(RULES), name)?.prefix, expected);
  });

test('rewrites a prefix to its location', async () => {
  const rule = findRegistry(await config(RULES), 'example.com/deep/er');
  const [source] = pullSources(rule, parseReference('example.com/deep/er:1'));
  assert.equal(formatReference(source!.reference), 'mirror.internal/path/er:1');
  assert.equal(source!.insecure, true);
});

const MIRRORS = (more = '', mirror = '') => `
[[registry]]
location = "r.example"
${more}
[[registry.mirror]]
location = "m1.example"
${mirror}
[[registry.mirror]]
location = "m2.example/sub"
insecure = true
`;
const DIGEST = `sha256:${'a'.repeat(64)}`;

for (const [name, text, reference, expected] of [
  ['all mirrors', MIRRORS(), 'r.example/x:1', ['m1.example/x:1', 'm2.example/sub/x:1', 'r.example/x:1']],
  [
    'mirror-by-digest-only and a tag',
    MIRRORS('mirror-by-digest-only = true'),
    'r.example/x:1',
    ['r.example/x:1'],
  ],
  [
    'mirror-by-digest-only and a digest',
    MIRRORS('mirror-by-digest-only = true'),
    `r.example/x@${DIGEST}`,
    [`m1.example/x@${DIGEST}`, `m2.example/sub/x@${DIGEST}`, `r.example/x@${DIGEST}`],
  ],
  [
    'digest-only and a tag',
    MIRRORS('', 'pull-from-mirror = "digest-only"'),
    'r.example/x:1',
    ['m2.example/sub/x:1', 'r.example/x:1'],
  ],
  [
    'tag-only and a digest',
    MIRRORS('', 'pull-from-mirror = "tag-only"'),
    `r.example/x@${DIGEST}`,
    [`m2.example/sub/x@${DIGEST}`, `r.example/x@${DIGEST}`],
  ],
] as const)
  test(`pull sources: ${name}`, async () => {
    const rule = findRegistry(await config(text), 'r.example/x');
    const sources = pullSources(rule, parseReference(reference));
    assert.deepEqual(
      sources.map((source) => formatReference(source.reference)),
      expected,
    );
  });

for (const [name, text, message] of [
  ['bad TOML', 'unqualified-search-registries = [', /loading registries configuration/],
  ['no location', '[[registry]]\nblocked = true', /both location and prefix are unset/],
  ['a prefix without location', '[[registry]]\nprefix = "a.example"', /location is unset/],
  ['a URL', '[[registry]]\nlocation = "https://a.example"', /URI schemes are not supported/],
  [
    'a wildcard with a path',
    '[[registry]]\nprefix = "*.a.example/x"\nlocation="y.example"',
    /Wildcarded prefix/,
  ],
  [
    'both mirror settings',
    MIRRORS('mirror-by-digest-only = true', 'pull-from-mirror = "all"'),
    /at the same time/,
  ],
  ['a bad mirror mode', MIRRORS('', 'pull-from-mirror = "never"'), /unsupported pull-from-mirror/],
  [
    'a mode for the registry',
    '[[registry]]\nlocation="a.example"\npull-from-mirror="all"',
    /must not be set/,
  ],
  ['a bad short-name mode', 'short-name-mode = "loose"', /invalid short-name mode: "loose"/],
  [
    'a bad search registry',
    'unqualified-search-registries = ["a b"]',
    /Invalid unqualified-search-registries/,
  ],
  ['an alias without registry', '[aliases]\n"x" = "y"', /must contain a registry/],
  ['an alias with a tag', '[aliases]\n"x" = "a.example/y:1"', /must not contain a tag/],
  ['version 1 and 2', 'short-name-mode="disabled"\n[registries.search]\nregistries=["a.example"]', /mixing/],
  ['a wrong type', '[[registry]]\nlocation = "a.example"\ninsecure = "yes"', /insecure is not true or false/],
  [
    'a conflict',
    '[[registry]]\nlocation="a.example"\n[[registry]]\nprefix="b.example"\nlocation="a.example"\nblocked=true',
    /conflicting 'blocked'/,
  ],
] as const)
  test(`refuses ${name}`, async () => {
    await assert.rejects(config(text), { code: 'bad-config', message });
  });

test('reads the old format', async () => {
  const old = await config(
    '[registries.search]\nregistries = ["a.example"]\n[registries.insecure]\nregistries = ["b.example"]\n[registries.block]\nregistries = ["b.example", "c.example"]\n',
  );
  assert.deepEqual(old.searchRegistries, ['a.example']);
  assert.deepEqual(
    old.rules.map(({ prefix, insecure, blocked }) => [prefix, insecure, blocked]),
    [
      ['b.example', true, true],
      ['c.example', false, true],
    ],
  );
  await assert.rejects(
    parseRegistriesFile('[registries.search]\nregistries=[]', 'x', { dropIn: true }),
    /v2 format/,
  );
});

test('drop-ins replace rules by prefix, in order of their names', async () => {
  await using place = await home({
    [CONF]: '[[registry]]\nlocation = "a.example"\n',
    '.config/containers/registries.conf.d/10.conf':
      'unqualified-search-registries = ["first.example"]\n[[registry]]\nlocation = "a.example"\ninsecure = true\n[aliases]\nx = "a.example/x"\n',
    '.config/containers/registries.conf.d/20.conf': 'unqualified-search-registries = []\n[aliases]\nx = ""\n',
    '.config/containers/registries.conf.d/ignored.txt': 'nonsense',
  });
  const merged = await readRegistries(place);
  assert.equal(merged.rules.length, 1);
  assert.equal(merged.rules[0]!.insecure, true);
  assert.deepEqual(merged.searchRegistries, []);
  assert.equal(merged.aliases.size, 0);
});

test('an explicit file must be there; the environment may name one', async () => {
  await using place = await home({ 'mine.conf': 'unqualified-search-registries = ["mine.example"]' });
  await assert.rejects(readRegistries({ ...place, file: place.path('none') }), { code: 'not-found' });
  const environment = { ...place.environment, CONTAINERS_REGISTRIES_CONF: place.path('mine.conf') };
  const read = await readRegistries({ environment, dropInDirectory: place.path('none') });
  assert.deepEqual(read.searchRegistries, ['mine.example']);
});

for (const [name, expected] of [
  ['quay.io/a/b', ['quay.io/a/b:latest']],
  ['localhost/x:1', ['localhost/x:1']],
  ['fedora', ['registry.fedoraproject.org/fedora:latest']],
  ['fedora:40', ['registry.fedoraproject.org/fedora:40']],
  ['alpine', ['one.example/alpine:latest', 'two.example:5000/alpine:latest']],
  ['ns/x:2', ['one.example/ns/x:2', 'two.example:5000/ns/x:2']],
] as const)
  test(`short name ${name}`, async () => {
    await using place = await home({ [CONF]: RULES });
    const registries = await readRegistries(place);
    const options = { ...place, registries, mode: 'permissive', aliasFile: place.path('aliases') } as const;
    const { candidates } = await resolveShortName(name, options);
    assert.deepEqual(candidates.map(formatReference), expected);
  });

test('short names: enforcing needs a person, docker.io gets library/, and choices are remembered', async () => {
  await using place = await home({ [CONF]: RULES });
  const registries = await readRegistries(place);
  const options = { ...place, registries, aliasFile: place.path('deep/aliases') };
  await assert.rejects(resolveShortName('alpine', options), /cannot prompt without a TTY/);
  assert.equal((await resolveShortName('alpine', { ...options, interactive: true })).ambiguous, true);
  await recordAlias('alpine', 'docker.io/library/alpine', options.aliasFile);
  const { candidates, description } = await resolveShortName('alpine:3', options);
  assert.deepEqual(candidates.map(formatReference), ['docker.io/library/alpine:3']);
  assert.match(description, /^Resolved "alpine" as an alias/);
  const hub = { ...registries, searchRegistries: ['docker.io'] };
  const busybox = await resolveShortName('busybox', { ...options, registries: hub });
  assert.deepEqual(busybox.candidates.map(formatReference), ['docker.io/library/busybox:latest']);
  const none = { ...registries, searchRegistries: [] };
  await assert.rejects(
    resolveShortName('busybox', { ...options, registries: none }),
    /did not resolve to an alias/,
  );
});

test('certs.d: the first directory of the host counts; half pairs are errors', async () => {
  await using place = await home({
    'one/r.example:5000/ca.crt': 'CA',
    'one/r.example:5000/me.cert': 'CERT',
    'one/r.example:5000/me.key': 'KEY',
    'two/r.example:5000/ca.crt': 'OTHER',
    'two/half.example/me.cert': 'CERT',
    'two/key.example/me.key': 'KEY',
  });
  const options = { ...place, parents: [place.path('one'), place.path('two')] };
  assert.deepEqual(await readCertificates('r.example:5000', options), {
    authorities: ['CA'],
    clients: [{ certificate: 'CERT', key: 'KEY' }],
  });
  assert.deepEqual(await readCertificates('none.example', options), { authorities: [], clients: [] });
  await assert.rejects(
    readCertificates('half.example', options),
    /missing key me\.key for client certificate/,
  );
  await assert.rejects(readCertificates('key.example', options), /missing client certificate me\.cert/);
});

test.run();
