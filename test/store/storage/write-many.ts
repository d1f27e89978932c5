// usage: write-many.ts DIRECTORY ID TIMES   counts up its own row and a shared one, one write at a time
import { join } from 'node:path';
import { Database, type DatabaseFile } from '../../../store/storage/database.ts';
import { lockFileAt } from '../../../store/storage/lock-file.ts';

const [, , directory, own, times] = process.argv as [string, string, string, string, string];
const file: DatabaseFile = { path: join(directory, 'rows.json'), durable: false };
const database = new Database<{ id: string; writes: number }>({
  lock: lockFileAt(join(directory, 'rows.lock')),
  files: [file],
  home: file,
  what: 'counter',
});
for (let round = 0; round < Number(times); round += 1)
  await database.write(async (rows) => {
    for (const id of [own, 'shared']) {
      const row = rows.byId(id);
      if (row === undefined) rows.add({ id, writes: 1 });
      else {
        row.writes += 1;
        rows.touch(row);
      }
      if (round % 7 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    rows.save();
  });
