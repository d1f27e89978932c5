import { BuildError } from '../../../build/error.ts';
import type { CommandSpec } from '../../cli/contract.ts';

export const mkcw: CommandSpec = {
  name: 'mkcw',
  summary: 'Convert an image to a confidential workload (not supported)',
  usage: '[flags] IMAGE DESTINATION',
  flags: [
    'add-file',
    'attestation-url',
    'base-image',
    'cpus',
    'firmware-library',
    'memory',
    'passphrase',
    'slop',
    'type',
    'workload-id',
  ].map((name) => ({ name, kind: 'string' as const, usage: 'without effect, since nothing is converted' })),
  interspersed: false,
  run: async () => {
    throw new BuildError('unsupported', 'confidential workload images are not supported here', {
      hint: 'use the image as it is',
    });
  },
};
