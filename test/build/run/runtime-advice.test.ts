import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { runtimeAdvice } from '../../../build/run/runtime-advice.ts';

const test = suite('advice about runtimes');
const base = mkdtempSync(join(tmpdir(), 'advice-'));
test.after(() => rmSync(base, { recursive: true, force: true }));

let made = 0;
function runtimeThatSays(text: string): string {
  made += 1;
  const path = join(base, `runtime${made}`);
  writeFileSync(path, `#!/bin/sh\n[ "$1" = --version ] && echo '${text}'\n`, { mode: 0o755 });
  return path;
}

test('X01: versions of runc with known ways out are named, with the good ones', () => {
  for (const version of ['1.1.5+ds1', '1.2.9', '1.3.5', '1.4.0-rc.3', '1.4.2', '0.9.9']) {
    const path = runtimeThatSays(`runc version ${version}`);
    const [plain] = /^[\d.]+\d/.exec(version) as RegExpExecArray;
    assert.match(runtimeAdvice(path) ?? '', new RegExp(`^${path} is version ${plain},.* 1\\.3\\.6`));
  }
});

test('X01: newer ones, and runtimes that say something else, are not', () => {
  for (const text of [
    'runc version 1.3.6',
    'runc version 1.4.11',
    'runc version 1.5.0',
    'runc version 2.0.0',
    'crun version 1.8',
  ])
    assert.equal(runtimeAdvice(runtimeThatSays(text)), undefined);
  assert.equal(runtimeAdvice(join(base, 'missing')), undefined);
});

test.run();
