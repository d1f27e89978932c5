import { deepEqual, throws } from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { gunzipSync, gzipSync } from 'node:zlib';
import { suite } from 'uvu';
import { storedMember } from '../../../store/layer/gzip-member.ts';

const test = suite('store/layer gzip members');

test('stored bytes come back, alone and between compressed members', () => {
  for (const size of [0, 1, 255, 3072, 65535]) {
    const bytes = randomBytes(size);
    deepEqual(gunzipSync(storedMember(bytes)), bytes);
    const stream = Buffer.concat([gzipSync('before'), storedMember(bytes), gzipSync('behind')]);
    deepEqual(gunzipSync(stream), Buffer.concat([Buffer.from('before'), bytes, Buffer.from('behind')]));
  }
  throws(() => storedMember(Buffer.alloc(65536)), RangeError);
});

test.run();
