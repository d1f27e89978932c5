import { deepEqual, equal, match } from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { suite } from 'uvu';
import { createProgress } from '../../../bin/cli/progress.ts';
import { digestOf } from '../../../image/digest.ts';
import type { TransferEvent } from '../../../transport/contract.ts';

const descriptor = { mediaType: 'application/octet-stream', digest: digestOf('x'), size: 10 };
const EVENTS: TransferEvent[] = [
  { type: 'started', what: 'signatures', text: 'Getting image source signatures' },
  { type: 'started', what: 'blob', descriptor },
  { type: 'advanced', descriptor, bytes: 5 },
  { type: 'advanced', descriptor, bytes: 10 },
  { type: 'done', what: 'blob', descriptor },
  { type: 'started', what: 'manifest' },
  { type: 'warned', text: 'careful' },
];

async function render(mode: 'plain' | 'json' | 'none' | 'bars'): Promise<{ out: string; warnings: string }> {
  const stream = new PassThrough();
  const warnings = new PassThrough();
  const renderer = await createProgress({ mode, stream, warnings });
  for (const event of EVENTS) renderer.onProgress(event);
  renderer.close();
  return { out: String(stream.read() ?? ''), warnings: String(warnings.read() ?? '') };
}

const test = suite('progress');
test('plain lines are Skopeo’s', async () => {
  const { out, warnings } = await render('plain');
  equal(
    out,
    `Getting image source signatures\nCopying blob ${descriptor.digest}\nWriting manifest to image destination\n`,
  );
  equal(warnings, 'warning: careful\n');
});
test('json is one event a line', async () => {
  const lines = (await render('json')).out.trim().split('\n');
  equal(lines.length, EVENTS.length);
  equal(JSON.parse(lines[2] as string).bytes, 5);
});
test('of several images, json names each and plain lines stand together', async () => {
  for (const mode of ['json', 'plain'] as const) {
    const stream = new PassThrough();
    const renderer = await createProgress({ mode, stream, warnings: new PassThrough() });
    const [one, two] = [renderer.image('docker://a:1'), renderer.image('docker://a:2')];
    one.onProgress({ type: 'started', what: 'blob', descriptor });
    two.onProgress({ type: 'started', what: 'manifest' });
    one.onProgress({ type: 'started', what: 'manifest' });
    for (const image of [one, two]) image.end();
    const lines = String(stream.read()).trim().split('\n');
    if (mode === 'json')
      deepEqual(
        lines.map((line) => JSON.parse(line).image),
        ['docker://a:1', 'docker://a:2', 'docker://a:1'],
      );
    else match(lines.join('\n'), /^Copying blob .*\nWriting.*\nWriting/);
  }
});
test('none keeps warnings', async () => {
  const { out, warnings } = await render('none');
  equal(out, '');
  match(warnings, /careful/);
});
test('bars take every event without a terminal', async () => {
  equal(typeof (await render('bars')).out, 'string');
});
test.run();
