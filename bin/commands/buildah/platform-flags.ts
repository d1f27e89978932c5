import type { FlagSpec } from '../../cli/contract.ts';

export const PLATFORM_FLAGS: readonly FlagSpec[] = [
  { name: 'arch', kind: 'string', usage: 'architecture of the image to choose' },
  { name: 'os', kind: 'string', usage: 'operating system of the image to choose' },
  { name: 'platform', kind: 'slice', usage: 'platform of the image to choose, `OS/ARCHITECTURE[/VARIANT]`' },
  { name: 'variant', kind: 'string', usage: 'variant of the architecture to choose' },
];
