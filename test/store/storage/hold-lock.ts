// usage: hold-lock.ts LOCKFILE   takes the lock for writing and keeps it until killed
import { lockFileAt } from '../../../store/storage/lock-file.ts';

await lockFileAt(process.argv[2]!).acquire('write');
console.log('held');
setInterval(() => {}, 60_000);
