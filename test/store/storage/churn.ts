// usage: churn.ts DIRECTORY DRIVER   makes and removes layers, images and containers until killed
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { openStore } from '../../../store/storage/open.ts';
import { tarOf } from '../../support/tar.ts';

const [, , directory, driver] = process.argv as [string, string, string, string];
const store = await openStore({
  graphRoot: join(directory, 'root'),
  runRoot: join(directory, 'run'),
  driver,
});
console.log('started');
for (let round = 0; ; round += 1) {
  const name = `${process.pid}-${round}`;
  const tar = tarOf(
    Array.from({ length: 20 }, (_, file) => ({ name: `${name}/f${file}`, body: 'x'.repeat(file * 100) })),
  );
  const base = await store.layers.createFromTar({}, Readable.from([tar]));
  const image = await store.images.create({
    topLayer: base.id,
    names: [`localhost/churn:${name}`],
    bigData: [{ key: 'manifest', data: Buffer.from(`{"name":"${name}"}`) }],
  });
  const container = await store.containers.create({ imageId: image.id, names: [name] });
  writeFileSync(join(await store.layers.diffDirectory(container.layerId), 'new'), name);
  const layer = await store.layers.commitFrom(container.layerId, { move: round % 2 === 0 });
  await store.images.create({ topLayer: layer.id, names: [`localhost/made:${name}`] });
  await store.deleteContainer(container.id);
  if (round % 3 !== 0) await store.deleteImage(image.id);
}
