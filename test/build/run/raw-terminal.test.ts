import { equal } from 'node:assert/strict';
import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { suite } from 'uvu';
import { makeRaw } from '../../../build/run/raw-terminal.ts';
import { openHostTerminal, openTerminalPair, type TerminalPair } from '../../../build/run/terminal.ts';

const test = suite('raw terminals');

function passed(from: number, to: number, text: string): string {
  writeSync(from, text);
  const buffer = Buffer.alloc(64);
  return buffer.toString('latin1', 0, readSync(to, buffer));
}

function close({ master, slave }: TerminalPair): void {
  closeSync(slave);
  closeSync(master);
}

test('a terminal for a runtime hands on every byte: line feeds, the end of input, interrupts', () => {
  const pair = openHostTerminal();
  equal(passed(pair.slave, pair.master, 'line\n'), 'line\n');
  equal(passed(pair.master, pair.slave, 'keys\r\x03\x04'), 'keys\r\x03\x04');
  close(pair);
});

test('a terminal is afterwards as it was', () => {
  const pair = openTerminalPair((name, flags) =>
    openSync(name === 'ptmx' ? '/dev/ptmx' : `/dev/pts/${name}`, flags),
  );
  const undo = makeRaw(pair.slave);
  equal(passed(pair.slave, pair.master, 'a\n'), 'a\n');
  undo();
  equal(passed(pair.slave, pair.master, 'a\n'), 'a\r\n');
  close(pair);
});

test.run();
