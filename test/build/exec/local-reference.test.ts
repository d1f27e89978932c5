import { equal, throws } from 'node:assert/strict';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { belowContext } from '../../../build/exec/local-reference.ts';

const test = suite('images that a Containerfile names by a path');
const context = realpathSync(mkdtempSync(join(tmpdir(), 'local-reference-')));
mkdirSync(join(context, 'images'));
writeFileSync(join(context, 'images/a.tar'), '');
symlinkSync('/images/a.tar', join(context, 'absolute'));
symlinkSync('../../../../../../etc', join(context, 'outside'));
symlinkSync('round', join(context, 'round'));
test.after(() => rmSync(context, { recursive: true, force: true }));

const CASES: readonly (readonly [string, string, string])[] = [
  ['oci-archive:images/a.tar', `oci-archive:${context}/images/a.tar`, 'relative'],
  ['oci-archive:/images/a.tar:tag', `oci-archive:${context}/images/a.tar:tag`, 'absolute, with a tag'],
  ['docker-archive:absolute', `docker-archive:${context}/images/a.tar`, 'a link counts from the context'],
  ['dir:../images', `dir:${context}/images`, 'nothing leads above the context'],
  ['oci:outside/passwd', `oci:${context}/outside/passwd`, 'a link to the outside leads to nothing'],
  ['oci:none:1', `oci:${context}/none:1`, 'what is missing is missing in the context'],
  ['docker://host/name:1', 'docker://host/name:1', 'a registry'],
  ['name:1', 'name:1', 'a name'],
];
for (const [given, expected, why] of CASES) test(why, () => equal(belowContext(given, context), expected));

test('a link in circles is refused', () =>
  throws(() => belowContext('oci:round', context), { code: 'unsafe-path' }));

test.run();
