import { deepEqual, equal, notEqual } from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { openBuildPlace } from '../../support/build-place.ts';

const test = suite('arguments and the cache');
const base = mkdtempSync(join(tmpdir(), 'argument-cache-'));
process.on('exit', () => rmSync(base, { recursive: true, force: true }));
const isRoot = process.geteuid?.() === 0;
const onlyRoot = isRoot ? test : test.skip;
if (!isRoot) console.log('SKIP arguments and the cache: overlay storage needs root here');

const context = join(base, 'context');
mkdirSync(context);
writeFileSync(join(context, 'f'), 'f');
const place = openBuildPlace(base, context);

async function build(line: string, value: string) {
  const text = `FROM scratch\nARG A=0\n${line}\nCMD ["x"]`;
  const { result, text: output } = await place.build(text, { arguments: new Map([['A', value]]) });
  return { id: result.imageId, cached: output().match(/Using cache/g)?.length ?? 0 };
}

for (const line of [
  'ENV X=$A',
  'LABEL l=$A',
  'USER u$A',
  'WORKDIR /w$A',
  'EXPOSE 80$A',
  'VOLUME /v$A',
  'STOPSIGNAL $A',
  'COPY f /d$A/',
])
  onlyRoot(`another value makes another image, the same one is found again: ${line}`, async () => {
    const [first, second] = [await build(line, '1'), await build(line, '2')];
    notEqual(second.id, first.id);
    for (const [value, expected] of [
      ['1', first],
      ['2', second],
    ] as const) {
      const again = await build(line, value);
      equal(again.id, expected.id);
      equal(again.cached, 3);
    }
  });

onlyRoot('flags that take variables and labels out do not turn the cache off', async () => {
  const text = 'FROM scratch\nARG A=0\nENV X=$A Y=$A\nLABEL l=$A\nCMD ["x"]';
  const options = { unsetEnvironment: ['Y'], unsetLabels: ['l'] };
  const first = await place.build(text, options);
  const second = await place.build(text, options);
  equal(second.result.imageId, first.result.imageId);
  deepEqual(second.text().match(/Using cache/g)?.length, 4);
});

test.run();
