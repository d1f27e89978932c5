import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { suite } from 'uvu';
import { StepsUnderWay } from '../../../build/exec/steps-under-way.ts';
import { Turns } from '../../../build/exec/turns.ts';

const test = suite('stages at once, shown one after the other');
const directory = mkdtempSync(join(tmpdir(), 'slipway-turns-'));
test.after(() => rmSync(directory, { recursive: true, force: true }));
let files = 0;

function shown() {
  let text = '';
  const stream = (mark: string) =>
    new Writable({
      write(chunk: Buffer, _encoding, done) {
        text += mark + chunk.toString();
        done();
      },
    });
  const streams = { stdout: stream(''), stderr: stream('!') };
  const file = () => {
    files += 1;
    return join(directory, String(files));
  };
  const turns = (order: readonly number[]) => new Turns(order, streams, file);
  return { turns, text: () => text };
}

const gate = () => Promise.withResolvers<void>();

test('what later stages write waits for the earlier ones, both streams in order', async () => {
  const { turns: open, text } = shown();
  const turns = open([0, 2, 5]);
  const [first, second] = [gate(), gate()];
  const write = (line: string) => turns.streams?.stdout.write(line);
  const all = Promise.all([
    turns.run(0, async () => {
      write('a1 ');
      await first.promise;
      write('a2 ');
    }),
    turns.run(2, async () => {
      write('b1 ');
      turns.streams?.stderr.write('b2 ');
      await second.promise;
      assert.equal(turns.streams?.isLive, true);
      write('b3 ');
    }),
    turns.run(5, async () => {
      write('c1 ');
      assert.equal(turns.streams?.isLive, false);
    }),
  ]);
  await new Promise((resolve) => setTimeout(resolve, 5));
  assert.equal(text(), 'a1 ');
  first.resolve();
  await new Promise((resolve) => setTimeout(resolve, 5));
  assert.equal(text(), 'a1 a2 b1 !b2 ');
  second.resolve();
  await all;
  assert.equal(text(), 'a1 a2 b1 !b2 b3 c1 ');
  assert.equal(turns.streams, undefined);
});

test('a stage that fails before its turn is shown, and megabytes may wait', async () => {
  const { turns: open, text } = shown();
  const turns = open([0, 1]);
  const first = gate();
  const running = turns.run(0, async () => {
    turns.streams?.stdout.write('a');
    await first.promise;
  });
  const failing = turns.run(1, async () => {
    for (let at = 0; at < 64; at += 1) turns.streams?.stdout.write('b'.repeat(65_536));
    throw new Error('why');
  });
  await assert.rejects(failing, /why/);
  assert.ok(text() === `a${'b'.repeat(64 * 65_536)}`);
  first.resolve();
  await running;
});

test('a stage that wrote nothing early makes no file', async () => {
  const before = readdirSync(directory).length;
  const { turns: open } = shown();
  const turns = open([0]);
  await turns.run(0, async () => turns.streams?.stdout.write('x'));
  assert.equal(readdirSync(directory).length, before);
});

test('a step is made once: others wait until it has been made or has failed', async () => {
  const steps = new StepsUnderWay();
  assert.equal(steps.wait('k'), undefined);
  const claim = steps.claim('k');
  let woken = false;
  const waiting = steps.wait('k')?.then(() => {
    woken = true;
  });
  await new Promise((resolve) => setTimeout(resolve, 1));
  assert.equal(woken, false);
  claim[Symbol.dispose]();
  await waiting;
  assert.equal(woken, true);
  assert.equal(steps.wait('k'), undefined);
});

test.run();
