import { equal, match, ok } from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { openBuildPlace } from '../../support/build-place.ts';

const test = suite('FROM a directory context');
const base = mkdtempSync(join(tmpdir(), 'context-base-test-'));
process.on('exit', () => rmSync(base, { recursive: true, force: true }));
const context = join(base, 'context');
const tree = join(base, 'tree');
mkdirSync(context);
mkdirSync(join(tree, 'sub'), { recursive: true });
writeFileSync(join(tree, 'sub/f'), 'one\n');
writeFileSync(join(tree, 'left-out'), '');
writeFileSync(join(tree, '.dockerignore'), 'left-out\n.dockerignore\n');

const place = openBuildPlace(base, context);
const contexts = new Map([['tree', { kind: 'directory', path: tree } as const]]);

async function build(text: string) {
  const built = await place.build(text, { contexts });
  const id = built.result.imageId as string;
  const config = await place.withStore(async (store) => {
    const record = await store.images.get(id);
    const manifest = record && (await store.images.bigData(record.id, 'manifest'));
    const { config: descriptor } = JSON.parse(Buffer.from(manifest as Uint8Array).toString());
    return JSON.parse(
      Buffer.from((await store.images.bigData(id, descriptor.digest)) as Uint8Array).toString(),
    );
  });
  return { id, config, text: built.text() };
}

test('its content is the one layer below what the stage adds, cached by content', async () => {
  const text = 'FROM tree AS first\nLABEL a=b\nFROM tree\nCOPY --from=first /sub/f /copied\n';
  const first = await build(text);
  equal(first.config.rootfs.diff_ids.length, 2);
  match(first.text, /STEP 1\/\d: FROM tree AS first$/m);
  const again = await build(text);
  equal(again.id, first.id);
  equal(again.text.match(/Using cache/g)?.length, 4, 'both uses of the directory, LABEL and COPY');
  writeFileSync(join(tree, 'left-out'), 'what is ignored does not count');
  equal((await build(text)).id, first.id);
  writeFileSync(join(tree, 'sub/f'), 'two\n');
  ok((await build(text)).id !== first.id);
});

test('what is ignored stays out, and FROM alone is an image', async () => {
  const output = { type: 'local', path: join(base, 'out') } as const;
  const alone = await build('FROM tree\n');
  equal(alone.config.rootfs.diff_ids.length, 1);
  await place.build('FROM tree\n', { contexts, outputs: [output] });
  equal(existsSync(join(base, 'out/left-out')), false);
  equal(readFileSync(join(base, 'out/sub/f'), 'utf8'), 'two\n');
});

test.run();
