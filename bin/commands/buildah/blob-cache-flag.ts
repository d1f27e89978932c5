import { resolve } from 'node:path';
import type { CommandContext, FlagSpec } from '../../cli/contract.ts';

export const BLOB_CACHE_FLAG: FlagSpec = {
  name: 'blob-cache',
  kind: 'string',
  usage: 'keep copies of blobs in this directory, and take them from there',
  hidden: true,
};

export function blobDirectoryOf({ flags, io }: CommandContext): string | undefined {
  const path = flags.string('blob-cache');
  return path === '' ? undefined : resolve(io.workingDirectory, path);
}
