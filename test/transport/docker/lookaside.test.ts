import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { digestOf } from '../../../image/digest.ts';
import { parseReference } from '../../../image/reference.ts';
import {
  lookasideBase,
  lookasideUrl,
  readLookaside,
  writeLookaside,
} from '../../../transport/docker/lookaside.ts';

const test = suite<{ directory: string }>('lookaside');
test.before.each((context) => {
  context.directory = mkdtempSync(join(tmpdir(), 'slipway-lookaside-'));
});
test.after.each(({ directory }) => rmSync(directory, { recursive: true, force: true }));

const NAME = parseReference('busybox:latest');
const DIGEST = digestOf('manifest');
const HEX = DIGEST.slice(7);
const simple = (text: string) => ({ kind: 'simple' as const, bytes: Buffer.from(`\x90${text}`, 'latin1') });
const noFetch = {
  fetch: () => Promise.reject(new Error('not asked for')),
};

test('URLs: digest with an equals sign, numbers from 1', () => {
  for (const configured of ['https://example.com/lookaside', 'https://example.com/lookaside/'])
    assert.equal(
      lookasideUrl(lookasideBase(configured, NAME), DIGEST, 2).href,
      `https://example.com/lookaside/library/busybox@sha256=${HEX}/signature-2`,
    );
  assert.throws(() => lookasideBase('not a url', NAME), { code: 'bad-option' });
});

test('files: written, read, and what stood behind is removed', async ({ directory }) => {
  const base = lookasideBase(`file://${directory}/a b`, NAME);
  const both = [simple('one'), simple('two')];
  await writeLookaside(base, DIGEST, both);
  const place = join(directory, `a b/library/busybox@sha256=${HEX}`);
  assert.equal(readFileSync(join(place, 'signature-2'), 'latin1'), '\x90two');
  assert.deepEqual(await readLookaside(base, DIGEST, noFetch), both);
  await writeLookaside(base, DIGEST, [simple('three')]);
  assert.deepEqual(await readLookaside(base, DIGEST, noFetch), [simple('three')]);
  assert.equal(existsSync(join(place, 'signature-2')), false);
  assert.deepEqual(await readLookaside(base, digestOf('other'), noFetch), []);
});

test('writing to a web server is refused and says what to configure', async () => {
  await assert.rejects(writeLookaside(lookasideBase('https://u:PW@x.example/s?k=PW', NAME), DIGEST, []), {
    code: 'unsupported',
    message:
      'Writing directly to a https lookaside https://x.example/s/library/busybox is not supported. Configure a lookaside-staging: location',
  });
});

const answer = (answers: Record<number, { status: number; body?: Uint8Array }>) => ({
  fetch: async (url: URL) => {
    const index = Number(/signature-(\d+)$/.exec(url.pathname)?.[1]);
    const { status, body = Buffer.alloc(0) } = answers[index] ?? { status: 404 };
    return { status, body };
  },
});
const WEB = lookasideBase('https://sig.example', NAME);

test('web: read until 404', async () => {
  const access = answer({
    1: { status: 200, body: simple('a').bytes },
    2: { status: 200, body: simple('b').bytes },
  });
  assert.deepEqual(await readLookaside(WEB, DIGEST, access), [simple('a'), simple('b')]);
});

for (const status of [401, 403, 429, 500, 302])
  test(`web: status ${status} fails closed`, async () => {
    await assert.rejects(readLookaside(WEB, DIGEST, answer({ 1: { status } })), { code: 'registry' });
  });

test('web: a login page is no signature', async () => {
  await assert.rejects(
    readLookaside(WEB, DIGEST, answer({ 1: { status: 200, body: Buffer.from('<html>') } })),
    {
      code: 'bad-signature',
    },
  );
});

test('S10: endless signatures', async () => {
  const access = { fetch: async () => ({ status: 200, body: simple('x').bytes }) };
  await assert.rejects(readLookaside(WEB, DIGEST, access), /server provided 128 signatures/);
});

test('S10: a signature file over 4 MB', async ({ directory }) => {
  const base = lookasideBase(`file://${directory}`, NAME);
  await writeLookaside(base, DIGEST, [simple('x')]);
  writeFileSync(
    join(directory, `library/busybox@sha256=${HEX}/signature-1`),
    Buffer.alloc(4 * 1024 * 1024 + 1, 0x90),
  );
  await assert.rejects(readLookaside(base, DIGEST, noFetch), /exceeds the limit/);
});

test('other schemes and an aborted signal', async () => {
  await assert.rejects(readLookaside(lookasideBase('ftp://x', NAME), DIGEST, noFetch), {
    code: 'unsupported',
  });
  await assert.rejects(readLookaside(WEB, DIGEST, { ...noFetch, signal: AbortSignal.abort() }), {
    name: 'AbortError',
  });
});

test.run();
