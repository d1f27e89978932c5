// Bars on a terminal, frame by frame; the terminal is a small emulation of the codes that they use.
import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { suite } from 'uvu';
import { Bars } from '../../../bin/cli/bars.ts';
import { RateMeter } from '../../../bin/cli/rate.ts';
import type { Descriptor } from '../../../image/descriptor.ts';
import { digestOf } from '../../../image/digest.ts';

const test = suite('bars');
const blob = (text: string, size: number): Descriptor => ({
  mediaType: 'application/octet-stream',
  digest: digestOf(text),
  size,
});

/** Keeps the lines that a person would see. */
class Screen {
  columns = 80;
  rows = 24;
  lines: string[] = [''];

  write(text: string): void {
    for (const part of text.split(/(\x1b\[\d+F\x1b\[J|\n)/)) {
      const back = /^\x1b\[(\d+)F/.exec(part);
      if (back) this.lines = [...this.lines.slice(0, this.lines.length - 1 - Number(back[1])), ''];
      else if (part === '\n') this.lines.push('');
      else this.lines[this.lines.length - 1] += part;
    }
  }

  get text(): string[] {
    return this.lines.slice(0, -1);
  }
}

function start(screen: Screen) {
  const clock = { ms: 0 };
  const warnings: string[] = [];
  const bars = new Bars(
    screen,
    (event) => event.type === 'warned' && warnings.push(event.text),
    () => clock.ms,
  );
  const terminal = Object.assign(new PassThrough(), { isTTY: true });
  return { bars, clock, warnings, frame: () => void bars.above(terminal).write('') };
}

test('each blob and the total, with rate and time left; what is done stands above', () => {
  const screen = new Screen();
  const { bars, clock, frame } = start(screen);
  const [one, two] = [blob('one', 1000), blob('two', 3000)];
  for (const descriptor of [one, two]) bars.onProgress({ type: 'started', what: 'blob', descriptor });
  clock.ms = 1000;
  bars.onProgress({ type: 'advanced', descriptor: one, bytes: 500 });
  bars.onProgress({ type: 'advanced', descriptor: two, bytes: 1500 });
  frame();
  equal(screen.text.length, 3);
  match(screen.text[0] as string, /^sha256:\w{12} \[=+-+\] +50% {2}500 B\/1 kB {2}500 B\/s {2}eta 1s$/);
  match(screen.text[2] as string, /^total 0\/2 blobs +\[=+-+\] +50% {2}2 kB\/4 kB .* eta \d+s$/);
  bars.onProgress({ type: 'done', what: 'blob', descriptor: one });
  frame();
  equal(screen.text[0], `${one.digest.slice(0, 19)}  1 kB  done`);
  equal(screen.text.length, 3);
  bars.onProgress({ type: 'done', what: 'blob', descriptor: two });
  bars.close();
  deepEqual(
    screen.text.map((line) => line.slice(-4)),
    ['done', 'done'],
  );
});

test('blobs that do not move count as done, not as speed', () => {
  const screen = new Screen();
  const { bars, clock, frame } = start(screen);
  clock.ms = 1000;
  bars.onProgress({ type: 'skipped', descriptor: blob('there', 900_000_000), reason: 'already exists' });
  bars.onProgress({ type: 'mounted', descriptor: blob('mounted', 5), from: 'team/base' });
  const moving = blob('moving', 4000);
  bars.onProgress({ type: 'advanced', descriptor: moving, bytes: 0 });
  clock.ms = 2000;
  bars.onProgress({ type: 'advanced', descriptor: moving, bytes: 1000 });
  frame();
  match(screen.text[0] as string, /already exists$/);
  match(screen.text[1] as string, /mounted from team\/base$/);
  match(screen.text.at(-1) as string, /^total 2\/3 blobs .* 1 kB\/s /);
  bars.close();
});

test('narrow and low terminals keep one line for each bar, and the total', () => {
  const screen = new Screen();
  screen.columns = 40;
  screen.rows = 6;
  const { bars, frame } = start(screen);
  for (let at = 0; at < 10; at += 1)
    bars.onProgress({ type: 'started', what: 'blob', descriptor: blob(`${at}`, 10) });
  frame();
  equal(screen.text.length, 5);
  match(screen.text[3] as string, /^and 7 more$/);
  ok(screen.text.every((line) => line.length < 40));
  bars.close();
  deepEqual(screen.text, []);
});

test('other lines go above the bars, files stay files, images have names', () => {
  const screen = new Screen();
  const { bars, warnings } = start(screen);
  const image = bars.image('docker://host/app:1');
  image.onProgress({ type: 'started', what: 'blob', descriptor: blob('x', 10) });
  image.onProgress({ type: 'warned', text: 'careful' });
  const file = new PassThrough();
  equal(bars.above(file), file);
  bars.above(Object.assign(new PassThrough(), { isTTY: true })).write('a line\n');
  equal(screen.text[0], 'a line');
  match(screen.text[1] as string, /^docker:\/\/host\/app:1 \w{12} /);
  deepEqual(warnings, ['careful']);
  image.end();
  bars.close();
  deepEqual(screen.text, ['a line']);
});

test('the rate is that of the last seconds', () => {
  const rate = new RateMeter();
  equal(rate.bytesPerSecond(0), 0);
  for (let second = 0; second <= 20; second += 1)
    rate.advance(second < 10 ? second * 1000 : 10_000, second * 1000);
  equal(rate.bytesPerSecond(20_000), 0);
});

test.run();
